//! [`LoraAdapter`]: low-rank updates of chosen linear layers, apart from the model they belong to.

mod fused;
mod peft;

use std::collections::BTreeMap;

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use slm_core::CausalLm;
use slm_core::nn::{Adapter, Weight};

use crate::{Error, Result};

/// Stands for every linear layer of the blocks in [`LoraConfig::target_modules`].
const ALL_LINEAR: &str = "all-linear";

/// Which layers get an update, and how large it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the updates.
    pub rank: usize,
    /// The update is scaled by `alpha / rank`, or by `alpha / √rank` with [`rslora`](Self::rslora).
    pub alpha: f32,
    /// Scale by the root of the rank (rsLoRA, Kalajdzievski 2023).
    pub rslora: bool,
    /// Layers by the last part of their path (`q_proj`), by the end of it (`layers.0.mlp.up_proj`), or
    /// `all-linear`.
    pub target_modules: Vec<String>,
    /// Seed of the initial `A`.
    pub seed: u64,
}

impl Default for LoraConfig {
    /// Rank 8, alpha 16, on all linear layers.
    fn default() -> Self {
        Self { rank: 8, alpha: 16.0, rslora: false, target_modules: vec![ALL_LINEAR.into()], seed: 0 }
    }
}

impl LoraConfig {
    fn scale(&self, rank: usize, alpha: f32) -> f32 {
        if self.rslora { alpha / (rank as f32).sqrt() } else { alpha / rank as f32 }
    }

    fn targets(&self, path: &str) -> bool {
        self.target_modules.iter().any(|target| target == ALL_LINEAR || ends_with(path, target))
    }
}

/// Whether `path` is `name` or ends with it after a dot.
fn ends_with(path: &str, name: &str) -> bool {
    path.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Low-rank updates `ΔW = s·B·A` (LoRA, Hu et al. 2021) by the path of their layer. Cloning shares tensors.
#[derive(Debug, Clone)]
pub struct LoraAdapter {
    /// How it was made.
    pub config: LoraConfig,
    /// Update of each layer, by path: `model.layers.0.self_attn.q_proj`.
    pub layers: BTreeMap<String, Adapter>,
}

impl LoraAdapter {
    /// A fresh adapter for `model`: `A` uniform in `±1/√in` as PEFT draws it, `B` zero, so that nothing
    /// changes before the first step.
    ///
    /// # Errors
    /// When the rank is zero or a target names no layer of the model.
    pub fn init(model: &CausalLm, config: &LoraConfig) -> Result<Self> {
        if config.rank == 0 {
            return Err(Error::Config { field: "rank", reason: "must be positive".into() });
        }
        let device = model.device().inner();
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let scale = config.scale(config.rank, config.alpha);
        let mut unused: Vec<&String> = config.target_modules.iter().collect();
        let mut layers = BTreeMap::new();
        model.clone().for_each_linear(&mut |path, linear| {
            unused.retain(|target| *target != ALL_LINEAR && !ends_with(path, target));
            if config.targets(path) {
                layers.insert(
                    path.to_owned(),
                    fresh(linear.weight.dims(), config.rank, scale, &mut rng, &device),
                );
            }
        });
        if let Some(target) = unused.first() {
            let reason = format!("no layer of the model ends with \"{target}\"");
            return Err(Error::Config { field: "target_modules", reason });
        }
        Ok(Self { config: config.clone(), layers })
    }

    /// Puts the updates into the adapter slots of `model`, in place of those that are there.
    ///
    /// # Errors
    /// When an update names no layer of the model or does not fit it; the model is then unchanged.
    pub fn attach(&self, model: &mut CausalLm) -> Result<()> {
        self.check(model)?;
        model.for_each_linear(&mut |path, linear| linear.adapter = self.layers.get(path).cloned());
        Ok(())
    }

    /// Takes the updates out of the adapter slots of `model`.
    pub fn detach(model: &mut CausalLm, config: &LoraConfig) -> Self {
        let mut layers = BTreeMap::new();
        model.for_each_linear(&mut |path, linear| {
            if let Some(adapter) = linear.adapter.take() {
                layers.insert(path.to_owned(), adapter);
            }
        });
        Self { config: config.clone(), layers }
    }

    /// Adds the updates to the weights of `model`, which then needs no adapter.
    ///
    /// # Errors
    /// When an update does not fit, or its layer is packed; the model is then unchanged.
    pub fn merge(&self, model: &mut CausalLm) -> Result<()> {
        self.add_to(model, 1.0)
    }

    /// Takes the updates out of weights that they were merged into, up to rounding.
    ///
    /// # Errors
    /// As [`LoraAdapter::merge`].
    pub fn unmerge(&self, model: &mut CausalLm) -> Result<()> {
        self.add_to(model, -1.0)
    }

    /// Number of weights.
    pub fn num_parameters(&self) -> usize {
        self.layers
            .values()
            .map(|l| l.a.dims().iter().product::<usize>() + l.b.dims().iter().product::<usize>())
            .sum()
    }

    fn add_to(&self, model: &mut CausalLm, sign: f32) -> Result<()> {
        self.check(model)?;
        let mut packed = None;
        model.for_each_linear(&mut |path, linear| {
            if self.layers.contains_key(path) && matches!(linear.weight, Weight::Packed(_)) {
                packed.get_or_insert_with(|| path.to_owned());
            }
        });
        if let Some(layer) = packed {
            return Err(Error::Packed { layer });
        }
        model.for_each_linear(&mut |path, linear| {
            if let (Some(adapter), Weight::Dense(weight)) = (self.layers.get(path), &mut linear.weight) {
                // In f32 whatever the base is kept in: rounding would lose small updates.
                let base = weight.clone().cast(FloatDType::F32);
                *weight = base + adapter.delta().mul_scalar(sign);
            }
        });
        Ok(())
    }

    fn check(&self, model: &CausalLm) -> Result<()> {
        let mut left: BTreeMap<&String, &Adapter> = self.layers.iter().collect();
        let mut problems = Vec::new();
        model.clone().for_each_linear(&mut |path, linear| {
            let Some(adapter) = left.remove(&path.to_owned()) else { return };
            let ([out, input], a, b) = (linear.weight.dims(), adapter.a.dims(), adapter.b.dims());
            if a[1] != input || b[0] != out || a[0] != b[1] {
                problems
                    .push(format!("{path}: expected A [r, {input}] and B [{out}, r], found {a:?} and {b:?}"));
            }
        });
        problems.extend(left.keys().map(|path| format!("surplus {path}")));
        if problems.is_empty() { Ok(()) } else { Err(Error::Tensors { path: "(memory)".into(), problems }) }
    }
}

fn fresh(
    [out, input]: [usize; 2],
    rank: usize,
    scale: f32,
    rng: &mut ChaCha8Rng,
    device: &Device,
) -> Adapter {
    let bound = (input as f32).sqrt().recip();
    let values: Vec<f32> = (0..rank * input).map(|_| rng.random_range(-bound..bound)).collect();
    Adapter {
        a: Tensor::from_data(TensorData::new(values, [rank, input]), device),
        b: Tensor::zeros([out, rank], device),
        scale,
    }
}
