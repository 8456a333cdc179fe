//! Half-quadratic quantization (HQQ, Badri and Shaji 2023): scales without calibration data that ignore outliers.
//!
//! The loss of a weight is `|error|^p` with `p < 1`. It is split in two: a shrinkage step sets aside the part of each
//! error that an outlier explains, a least-squares step fits the scales to what is left. The original fits zero
//! points alone; here the stored numbers of any format take part.

use crate::grid::{Grid, Unit};

const POWER: f32 = 0.7;
const ROUNDS: usize = 20;
/// Weight of the quadratic part at first, in steps of the grid, and its growth by round.
const BETA: f32 = 4.0;
const GROWTH: f32 = 1.05;

/// The unit whose loss is least along the iteration.
pub(crate) fn improve(grid: &Grid, start: &Unit, weights: &[f32], importance: &[f32]) -> Unit {
    let mut codes = vec![0_i8; weights.len()];
    let mut values = vec![0.0_f32; weights.len()];
    let mut target = vec![0.0_f32; weights.len()];
    let step = (0..grid.unit / grid.part).map(|part| grid.level(start, part).step()).fold(0.0, f32::max);
    if step <= 0.0 {
        return *start;
    }
    let (mut unit, mut beta) = (*start, BETA);
    let mut best = (f32::INFINITY, unit);
    for _ in 0..ROUNDS {
        grid.encode(&unit, weights, &mut codes);
        grid.decode(&unit, &codes, &mut values);
        let errors = weights.iter().zip(&values).zip(importance);
        let loss: f32 = errors.map(|((w, v), i)| i * ((w - v).abs() / step).powf(POWER)).sum();
        if loss >= best.0 {
            break;
        }
        best = (loss, unit);
        for ((target, w), value) in target.iter_mut().zip(weights).zip(&values) {
            *target = w - shrink((w - value) / step, beta) * step;
        }
        unit = grid.refit(&unit, &target, importance, &codes);
        beta *= GROWTH;
    }
    best.1
}

/// The generalized soft threshold: the minimum over `e` of `|e|^p + beta/2 · (e - x)²`, approximately.
fn shrink(x: f32, beta: f32) -> f32 {
    let size = x.abs().max(1e-8);
    x.signum() * (x.abs() - size.powf(POWER - 1.0) / beta).max(0.0)
}
