//! [`Adapter`]: a low-rank update of a linear layer, in its slot.

use std::ops::Range;

use burn::tensor::{FloatDType, Int, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slm_kernels::ops;

use super::Weight;
use crate::Result;

/// Weights looked at together when rows are measured: bounds the memory of [`Adapter::measure`].
const CHUNK: usize = 1 << 20;

/// A low-rank update `ΔW = s·B·A` (LoRA, Hu et al. 2021) that is never materialised in training.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// `[rank, in]`.
    pub a: Tensor<2>,
    /// `[out, rank]`.
    pub b: Tensor<2>,
    /// `alpha / rank`, or `alpha / √rank` for rsLoRA.
    pub scale: f32,
    /// Factors `[rank, in]` and `[out, rank]` that PiSSA and OLoRA take out of the base weight and begin with: the update
    /// is `s·(B·A − B₀·A₀)`, so that the base stays as it is.
    pub start: Option<[Tensor<2>; 2]>,
    /// DoRA's lengths of rows (Liu et al. 2024).
    pub magnitude: Option<Magnitude>,
    /// Inputs left out in training.
    pub dropout: Option<Dropout>,
}

/// The learned length of each row of `W + ΔW`, apart from its direction.
#[derive(Debug, Clone)]
pub struct Magnitude {
    /// `[out]`, learned.
    pub weight: Tensor<1>,
    /// `[out]`, the lengths of the rows of `W + ΔW`: a constant in the backward pass, as in PEFT. It is that of the
    /// factors when [`Linear::measure`](super::Linear::measure) was last called.
    pub norm: Tensor<1>,
}

/// A fraction of an adapter's inputs set to zero, the others enlarged: which, is a function of the seed alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// The fraction, below 1.
    pub rate: f32,
    /// Of the choice; the trainer gives each layer of each pass its own. `None` outside training: nothing is left out.
    pub seed: Option<u64>,
}

impl Adapter {
    /// A plain update `s·B·A` of `a` `[rank, in]` and `b` `[out, rank]`.
    pub fn new(a: Tensor<2>, b: Tensor<2>, scale: f32) -> Self {
        Self { a, b, scale, start: None, magnitude: None, dropout: None }
    }

    /// `ΔW` as a matrix `[out, in]`, without a magnitude's part.
    pub fn delta(&self) -> Tensor<2> {
        self.delta_rows(0..self.b.dims()[0])
    }

    fn delta_rows(&self, rows: Range<usize>) -> Tensor<2> {
        let product =
            |a: &Tensor<2>, b: &Tensor<2>| b.clone().narrow(0, rows.start, rows.len()).matmul(a.clone());
        let whole = product(&self.a, &self.b);
        let whole = match &self.start {
            Some([a, b]) => whole - product(a, b),
            None => whole,
        };
        whole.mul_scalar(self.scale)
    }

    /// `weight` with the update in it, `[out, in]` in f32: what merging puts in its place.
    ///
    /// # Errors
    /// When a packed weight cannot be expanded.
    pub fn merged(&self, weight: &Weight) -> Result<Tensor<2>> {
        let sum = weight.range(0..weight.dims()[0], &self.a.device())? + self.delta();
        Ok(match &self.magnitude {
            Some(magnitude) => {
                let length = lengths(sum.clone());
                sum * (magnitude.weight.clone() / length).unsqueeze_dim::<2>(1)
            }
            None => sum,
        })
    }

    /// The lengths of the rows of `weight` with the update in it.
    ///
    /// # Shapes
    /// To `[out]`.
    ///
    /// # Errors
    /// When a packed weight cannot be expanded.
    pub fn measure(&self, weight: &Weight) -> Result<Tensor<1>> {
        let [out, input] = weight.dims();
        let device = self.a.device();
        let step = (CHUNK / input.max(1)).max(1);
        let mut parts = Vec::new();
        for start in (0..out).step_by(step) {
            let rows = start..out.min(start + step);
            let sum = weight.range(rows.clone(), &device)?.detach() + self.delta_rows(rows).detach();
            parts.push(lengths(sum));
        }
        Ok(Tensor::cat(parts, 0))
    }

    /// `s·(x·Aᵀ)·Bᵀ`.
    pub(super) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        // The scale goes where the numbers are few.
        ops::dense_linear(ops::dense_linear(x, &self.a).mul_scalar(self.scale), &self.b)
    }

    /// Whether it is nothing but its factors now.
    pub(super) fn is_plain(&self) -> bool {
        let drops = self.dropout.is_some_and(|d| d.rate > 0.0 && d.seed.is_some());
        self.start.is_none() && self.magnitude.is_none() && !drops
    }

    /// What is taken out of the base weight's product.
    pub(super) fn start<const D: usize>(&self, x: Tensor<D>) -> Option<Tensor<D>> {
        let [a, b] = self.start.as_ref()?;
        Some(ops::dense_linear(ops::dense_linear(x, a).mul_scalar(self.scale), b))
    }

    /// `x` with some of its numbers left out; `None` where none are.
    pub(super) fn drop_inputs<const D: usize>(&self, x: &Tensor<D>) -> Option<Tensor<D>> {
        let dropout = self.dropout.filter(|d| d.rate > 0.0)?;
        let mut rng = ChaCha8Rng::seed_from_u64(dropout.seed?);
        let kept = (1.0 - dropout.rate).recip();
        let draw = |_| if rng.random::<f32>() < dropout.rate { 0.0 } else { kept };
        let mask: Vec<f32> = (0..x.shape().num_elements()).map(draw).collect();
        Some(x.clone() * Tensor::from_data(TensorData::new(mask, x.dims()), &x.device()))
    }

    /// Of an embedding `[vocab, hidden]`, as the transposed update `A` `[rank, vocab]` and `B` `[hidden, rank]`: the rows
    /// `x` of `ids`, updated.
    ///
    /// # Shapes
    /// `[n]` and `[n, hidden]` to `[n, hidden]`.
    pub(crate) fn embed(&self, ids: &Tensor<1, Int>, x: Tensor<2>) -> Tensor<2> {
        let read = |a: &Tensor<2>, b: &Tensor<2>| {
            let rows = a.clone().select(1, ids.clone()).transpose(); // [n, rank]
            rows.mul_scalar(self.scale).matmul(b.clone().transpose())
        };
        let x = match &self.start {
            Some([a, b]) => x - read(a, b),
            None => x,
        };
        let sum = x + read(&self.a, &self.b);
        match &self.magnitude {
            Some(magnitude) => sum * magnitude.factor().unsqueeze_dim::<2>(0),
            None => sum,
        }
    }
}

impl Magnitude {
    /// What the rows are multiplied by, `[out]`.
    pub(super) fn factor(&self) -> Tensor<1> {
        self.weight.clone() / self.norm.clone()
    }
}

/// # Shapes
/// `[rows, in]` to `[rows]`.
fn lengths(rows: Tensor<2>) -> Tensor<1> {
    rows.cast(FloatDType::F32).powi_scalar(2).sum_dim(1).sqrt().squeeze_dim(1)
}
