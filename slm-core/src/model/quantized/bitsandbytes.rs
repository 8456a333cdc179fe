//! The layout of bitsandbytes' 4-bit checkpoints.
//!
//! `weight` (U8, `[rows · cols / 2, 1]`) holds two codes in a byte, the first in the high half; `weight.absmax` the scale
//! of each block of weights, itself quantized to 8 bits where `weight.nested_absmax` is there; a JSON object with the
//! shape stands in `weight.quant_state.bitsandbytes__nf4`.

use half::f16;
use safetensors::tensor::Dtype;
use serde::Deserialize;
use slm_kernels::packed::NF4;

use super::Tensors;
use super::codes::{Codes, Meaning};
use crate::Result;
use crate::model::files::TensorFile;
use crate::model::layout::Stored;

#[derive(Deserialize)]
struct State {
    blocksize: usize,
    shape: [usize; 2],
    nested_blocksize: Option<usize>,
    nested_offset: Option<f32>,
}

/// The codes of a tensor; `None` if it is not quantized.
pub(super) fn read(tensors: &mut Tensors<'_>, stored: &Stored) -> Result<Option<Codes>> {
    let name = |part: &str| format!("{}.{part}", stored.name);
    let (absmax, map) = (name("absmax"), name("quant_map"));
    let Some(file) = tensors.take(&absmax) else { return Ok(None) };
    let state_name = name("quant_state.bitsandbytes__nf4");
    let Some(state_file) = tensors.take(&state_name) else {
        let other = name("quant_state.bitsandbytes__fp4");
        let kind = if tensors.take(&other).is_some() { "fp4" } else { "of an unknown kind" };
        return Err(file.invalid(&format!("{} is {kind}; only nf4 is read", stored.name)));
    };
    let state: State = serde_json::from_slice(state_file.raw(&state_name, Dtype::U8)?.bytes)
        .map_err(|e| file.invalid(&format!("{state_name}: {e}")))?;
    if tensors.need(&map)?.read_f32(&map)?.iter().zip(&NF4).any(|(got, want)| (got - want).abs() > 1e-6) {
        return Err(file.invalid(&format!("{map}: these are not the values of nf4")));
    }
    let raw = tensors.need(&stored.name)?.raw(&stored.name, Dtype::U8)?;
    let [rows, cols] = state.shape;
    let count = rows.saturating_mul(cols);
    if raw.bytes.len() != count.div_ceil(2) || state.blocksize == 0 || !cols.is_multiple_of(state.blocksize) {
        let (bytes, block) = (raw.bytes.len(), state.blocksize);
        let name = &stored.name;
        return Err(
            file.invalid(&format!("{name}: {bytes} bytes in blocks of {block} are not [{rows}, {cols}]"))
        );
    }
    let scales = scales(tensors, file, &stored.name, &state)?;
    if scales.len() != count / state.blocksize {
        let (expected, got) = (count / state.blocksize, scales.len());
        return Err(file.invalid(&format!("{absmax}: expected {expected} scales, got {got}")));
    }
    Ok(Some(Codes {
        rows,
        cols,
        meaning: Meaning::Nf4,
        codes: raw.bytes.iter().flat_map(|pair| [pair >> 4, pair & 15]).collect(),
        group_size: state.blocksize,
        scales,
        minimums: Vec::new(),
        order: None,
    }))
}

/// The scale of each block, expanded where they are quantized themselves.
fn scales(tensors: &mut Tensors<'_>, file: &TensorFile, weight: &str, state: &State) -> Result<Vec<f16>> {
    let (nested, map) = (format!("{weight}.nested_absmax"), format!("{weight}.nested_quant_map"));
    let absmax = format!("{weight}.absmax");
    let Some(nested_file) = tensors.take(&nested) else {
        return Ok(file.read_f32(&absmax)?.into_iter().map(f16::from_f32).collect());
    };
    let (outer, table) = (nested_file.read_f32(&nested)?, tensors.need(&map)?.read_f32(&map)?);
    let codes = file.raw(&absmax, Dtype::U8)?.bytes;
    let (size, offset) = (state.nested_blocksize.unwrap_or(256).max(1), state.nested_offset.unwrap_or(0.0));
    let one = |(i, code): (usize, &u8)| {
        Some(f16::from_f32(table.get(usize::from(*code))? * outer.get(i / size)? + offset))
    };
    let all: Option<Vec<f16>> = codes.iter().enumerate().map(one).collect();
    all.ok_or_else(|| file.invalid(&format!("{nested}: too few numbers")))
}
