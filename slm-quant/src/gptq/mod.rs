//! GPTQ (Frantar et al. 2022): codes column by column, each error made good by the columns that follow.
//!
//! The error of a layer's output, `tr(Δ H Δᵀ)` with `H = XᵀX` over the inputs of calibration, is lowered in two steps.
//! The first is GPTQ's: columns are rounded one after the other and what is left is folded into the rest through the
//! factor of the inverse of `H`. The second walks over the columns again and gives each weight the code that is
//! best given all others (coordinate descent, as in QuIP's greedy updates, Chee et al. 2023).

mod cholesky;
mod sweep;
mod walk;

use serde::{Deserialize, Serialize};
use slm_kernels::packed::{Format, PackedTensor};

use crate::calibrate::InputStatistics;
use crate::grid::{Grid, Unit, pack};
use crate::round::{check, importance};
use crate::{Error, Result};

/// How GPTQ walks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GptqConfig {
    /// Added to the diagonal of `H`, in parts of its mean; raised where `H` cannot be inverted.
    pub damping: f64,
    /// Columns of large inputs first. The groups are then fitted before the walk, so that the columns need not be
    /// stored in that order (what others call static groups).
    pub act_order: bool,
    /// Coordinate descents after the walk.
    pub sweeps: usize,
}

impl Default for GptqConfig {
    fn default() -> Self {
        Self { damping: 0.01, act_order: true, sweeps: 2 }
    }
}

/// Codes of all rows, while they are chosen.
struct Choice {
    grid: Grid,
    codes: Vec<i8>,
    units: Vec<Unit>,
}

/// `H`, prepared once for all layers that read the same inputs.
#[derive(Debug)]
pub struct Gptq {
    config: GptqConfig,
    /// Damped, `[in, in]`.
    h: Vec<f32>,
    /// The factor of the inverse, in the order of the walk.
    u: Vec<f32>,
    order: Vec<usize>,
    importance: Vec<f32>,
    whole_zeros: bool,
}

impl Gptq {
    /// Factors the statistics of inputs.
    ///
    /// # Errors
    /// Inputs that stay singular with any damping.
    pub fn new(inputs: &InputStatistics, config: GptqConfig) -> Result<Self> {
        let importance = importance(Some(&inputs.mean_square()), inputs.width())?;
        let (h, u, order) = prepare(inputs, &config)?;
        Ok(Self { config, h, u, order, importance, whole_zeros: false })
    }

    /// With zero points instead of minimums, as [`Search::whole_zeros`](crate::Search::whole_zeros).
    #[must_use]
    pub fn with_whole_zeros(self, whole_zeros: bool) -> Self {
        Self { whole_zeros, ..self }
    }

    /// Packs one matrix so that the output for those inputs changes little.
    ///
    /// # Shapes
    /// `weights`: `shape` = `[out, in]`, row-major.
    ///
    /// # Errors
    /// A format that does not fit `in`; statistics of another width; a weight that is not finite.
    pub fn encode(&self, weights: &[f32], shape: [usize; 2], format: Format) -> Result<PackedTensor> {
        let grid = Grid::new(format, shape[1])?.with_whole_zeros(self.whole_zeros);
        check(weights, shape)?;
        let (expected, got) = (shape[1], self.order.len());
        if expected != got {
            return Err(slm_kernels::Error::Length { what: "input statistics", expected, got }.into());
        }
        let units = vec![Unit::default(); weights.len() / grid.unit];
        let mut choice = Choice { grid, codes: vec![0; weights.len()], units };
        walk::walk(&mut choice, weights, (&self.u, &self.order), &self.importance, self.config.act_order);
        for _ in 0..self.config.sweeps {
            sweep::sweep(&mut choice, weights, &self.h);
        }
        pack(&grid, &choice.codes, &choice.units)
    }
}

/// The damped `H`, the factor of its inverse in the order of the walk, and that order.
fn prepare(inputs: &InputStatistics, config: &GptqConfig) -> Result<(Vec<f32>, Vec<f32>, Vec<usize>)> {
    let n = inputs.width();
    let h = inputs.second_moment();
    let mut order: Vec<usize> = (0..n).collect();
    if config.act_order {
        order.sort_by(|a, b| h[b * n + b].total_cmp(&h[a * n + a]));
    }
    let mean = (0..n).map(|i| h[i * n + i]).sum::<f64>() / n.max(1) as f64;
    let mut damping = config.damping.max(1e-6);
    loop {
        let added = if mean > 0.0 { damping * mean } else { 1.0 };
        let entry = |i: usize, j: usize| h[i * n + j] + if i == j { added } else { 0.0 };
        let permuted: Vec<f64> =
            order.iter().flat_map(|i| order.iter().map(move |j| entry(*i, *j))).collect();
        if let Some(u) = cholesky::inverse_factor(&permuted, n) {
            let damped = (0..n * n).map(|at| entry(at / n, at % n) as f32).collect();
            return Ok((damped, u, order));
        }
        damping *= 10.0;
        if damping > 10.0 {
            return Err(Error::Singular { width: n, tokens: inputs.tokens() });
        }
    }
}
