//! Rounding to nearest, and its improvements that look at one matrix alone: [`quantize_matrix`] and [`encode`].

use rayon::prelude::*;
use slm_kernels::packed::{Format, PackedTensor};

use crate::grid::{Grid, Unit, pack};
use crate::{Error, QuantStats, Result, hqq};

/// Packs one matrix by plain rounding where the format has it (scales from the largest weight), else as
/// [`encode`] does, and measures what that loses.
///
/// # Shapes
///
/// `weights`: `shape` = `[out, in]`, row-major.
///
/// # Errors
///
/// A group size that is not supported or does not divide `in`; a buffer of another length; a weight that is
/// not finite.
pub fn quantize_matrix(
    weights: &[f32],
    shape: [usize; 2],
    format: Format,
) -> Result<(PackedTensor, QuantStats)> {
    let packed = match nearest(weights, shape, format) {
        Err(Error::Pack(slm_kernels::Error::NoEncoder { .. })) => {
            encode(weights, shape, format, &Search::default())?
        }
        other => other?,
    };
    let stats = QuantStats::measure(weights, &packed)?;
    Ok((packed, stats))
}

/// Plain rounding, some rows to each thread.
fn nearest(weights: &[f32], shape: [usize; 2], format: Format) -> Result<PackedTensor> {
    const ROWS: usize = 64;
    let [_, cols] = shape;
    check(weights, shape)?;
    format.check(cols)?;
    let pack = |rows: &[f32]| PackedTensor::quantize(rows, rows.len() / cols, cols, format);
    let parts: Vec<PackedTensor> =
        weights.par_chunks(ROWS * cols).map(pack).collect::<std::result::Result<_, _>>()?;
    let codes = parts.iter().map(PackedTensor::codes).collect::<Vec<_>>().concat();
    if let Format::Block(block) = format {
        return Ok(PackedTensor::from_blocks(codes, shape, block)?);
    }
    let scales = parts.iter().map(PackedTensor::scales).collect::<Vec<_>>().concat();
    let minimums: Option<Vec<_>> = parts.iter().map(PackedTensor::minimums).collect();
    let minimums = minimums.filter(|_| format.has_minimums()).map(|m| m.concat().into());
    Ok(PackedTensor::from_parts(codes, scales, minimums, shape, format)?)
}

/// How [`encode`] looks for scales.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Search<'a> {
    /// How much the squared error of a column counts, `[in]`; the mean square of that input is the usual choice
    /// (llama.cpp calls it an importance matrix). All the same where it is `None`.
    pub importance: Option<&'a [f32]>,
    /// Improve the scales by HQQ (Badri and Shaji 2023): outliers among the errors count less.
    pub half_quadratic: bool,
    /// Minimums of [`Format::Int4Asym`] are whole multiples of their scales, 1 to 15 below zero: the zero points of GPTQ's
    /// and AWQ's files.
    pub whole_zeros: bool,
}

/// Packs one matrix with scales that were searched for.
///
/// # Shapes
/// `weights`: `shape` = `[out, in]`, row-major.
///
/// # Errors
/// A format that does not fit `in`; a buffer of another length; a weight or an importance that is not finite.
pub fn encode(
    weights: &[f32],
    shape: [usize; 2],
    format: Format,
    search: &Search<'_>,
) -> Result<PackedTensor> {
    let grid = Grid::new(format, shape[1])?.with_whole_zeros(search.whole_zeros);
    check(weights, shape)?;
    let importance = importance(search.importance, shape[1])?;
    let mut codes = vec![0_i8; weights.len()];
    let mut units = vec![Unit::default(); weights.len() / grid.unit];
    let row = |((w, codes), units): ((&[f32], &mut [i8]), &mut [Unit])| {
        let parts = w.chunks(grid.unit).zip(importance.chunks(grid.unit)).zip(codes.chunks_mut(grid.unit));
        for (((w, importance), codes), unit) in parts.zip(units) {
            *unit = grid.fit(w, importance);
            if search.half_quadratic {
                *unit = hqq::improve(&grid, unit, w, importance);
            }
            grid.encode(unit, w, codes);
        }
    };
    weights
        .par_chunks(grid.cols)
        .zip(codes.par_chunks_mut(grid.cols))
        .zip(units.par_chunks_mut(grid.cols / grid.unit))
        .for_each(row);
    pack(&grid, &codes, &units)
}

/// The importance of each column, on average 1.
pub(crate) fn importance(given: Option<&[f32]>, cols: usize) -> Result<Vec<f32>> {
    let Some(given) = given else { return Ok(vec![1.0; cols]) };
    if given.len() != cols {
        let (expected, got) = (cols, given.len());
        return Err(slm_kernels::Error::Length { what: "importance", expected, got }.into());
    }
    let mean = given.iter().map(|i| f64::from(*i)).sum::<f64>() / cols.max(1) as f64;
    if let Some(column) = given.iter().position(|i| !i.is_finite() || *i < 0.0) {
        return Err(Error::Importance { column, value: given[column] });
    }
    if mean <= 0.0 {
        return Ok(vec![1.0; cols]);
    }
    // A column that calibration never used still keeps its weights roughly.
    Ok(given.iter().map(|i| (f64::from(*i) / mean).max(1e-4) as f32).collect())
}

/// Checks a matrix for its length and for numbers.
pub(crate) fn check(weights: &[f32], [rows, cols]: [usize; 2]) -> Result<()> {
    let (expected, got) = (rows.saturating_mul(cols), weights.len());
    if expected != got {
        return Err(slm_kernels::Error::Length { what: "weights", expected, got }.into());
    }
    match weights.iter().position(|w| !w.is_finite()) {
        Some(at) => {
            let (row, value) = (at / cols.max(1), weights[at]);
            Err(slm_kernels::Error::NotFinite { what: "weight", row, value }.into())
        }
        None => Ok(()),
    }
}
