//! Round-to-nearest: from weights to codes and scales.

use burn::tensor::f16;
use rayon::prelude::*;

use super::layout::NF4;
use super::{BLOCK, BlockType, Format};

/// Divisors of the group's largest weight tried as 4-bit scales: from no clipping to clipping about 20 %
/// of the range.
const INT4_DIVISORS: [f32; 7] = [7.0, 7.3, 7.6, 8.0, 8.4, 8.8, 9.3];

/// Codes, scales and minimums of a checked matrix with rows of `cols`, in a format other than [`Format::Block`].
pub(super) fn groups(weights: &[f32], cols: usize, format: Format) -> (Vec<u8>, Vec<f16>, Vec<f16>) {
    let (rows, group_size) = (weights.len() / cols, format.group_size());
    let per_row = format.row_scales(cols);
    let mut codes = vec![0; rows * format.row_bytes(cols)];
    let mut scales = vec![[f16::ZERO; 2]; rows * per_row];
    codes
        .par_chunks_mut(format.row_bytes(cols))
        .zip(scales.par_chunks_mut(per_row))
        .zip(weights.par_chunks(cols))
        .for_each(|((codes, scales), weights)| {
            let mut row = vec![0; cols];
            let groups = row.chunks_exact_mut(group_size).zip(weights.chunks_exact(group_size));
            for (scale, (codes, weights)) in scales.iter_mut().zip(groups) {
                *scale = match format {
                    Format::Int8 { .. } => int8(weights, codes),
                    Format::Int4Asym { .. } => asymmetric(weights, codes),
                    Format::Nf4 { .. } => nf4(weights, codes),
                    Format::Int4 { .. } | Format::Block(_) => int4(weights, codes),
                };
            }
            match format {
                Format::Int8 { .. } => codes.copy_from_slice(&row),
                _ => pack_nibbles(&row, codes),
            }
        });
    let minimums = if format.has_minimums() { scales.iter().map(|s| s[1]).collect() } else { Vec::new() };
    (codes, scales.into_iter().map(|s| s[0]).collect(), minimums)
}

/// Blocks of a checked matrix, as `ggml`'s reference rounds; `None` where it searches instead.
pub(super) fn blocks(weights: &[f32], block: BlockType) -> Option<Vec<u8>> {
    let encode = match block {
        BlockType::Q8_0 => q8_0,
        BlockType::Q4_0 => q4_0,
        BlockType::Q4_1 => q4_1,
        BlockType::Q5_0 => q5_0,
        BlockType::Q5_1 => q5_1,
        BlockType::Q4K | BlockType::Q5K | BlockType::Q6K | BlockType::Iq4Nl => return None,
    };
    let mut bytes = vec![0; weights.len() / block.weights() * block.bytes()];
    bytes
        .par_chunks_mut(block.bytes())
        .zip(weights.as_chunks::<BLOCK>().0)
        .with_min_len(256)
        .for_each(|(bytes, weights)| encode(weights, bytes));
    Some(bytes)
}

/// 32 codes to 16 bytes each time: byte `j` gets the codes `j` (low) and `j + 16`.
fn pack_nibbles(codes: &[u8], bytes: &mut [u8]) {
    for (bytes, codes) in bytes.chunks_exact_mut(BLOCK / 2).zip(codes.as_chunks::<BLOCK>().0) {
        for (byte, (low, high)) in bytes.iter_mut().zip(codes.iter().zip(&codes[BLOCK / 2..])) {
            *byte = low & 15 | high << 4;
        }
    }
}

fn largest(weights: &[f32]) -> f32 {
    weights.iter().fold(0.0_f32, |max, w| max.max(w.abs()))
}

/// The weight of the largest magnitude.
fn extreme(weights: &[f32]) -> f32 {
    weights.iter().fold(0.0_f32, |max, &w| if w.abs() > max.abs() { w } else { max })
}

fn range(weights: &[f32]) -> (f32, f32) {
    weights.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &w| (low.min(w), high.max(w)))
}

fn int8(weights: &[f32], codes: &mut [u8]) -> [f16; 2] {
    let scale = f16::from_f32(largest(weights) / 127.0);
    let inverse = inverse(scale.to_f32());
    for (code, w) in codes.iter_mut().zip(weights) {
        *code = (code_of(*w, inverse, -127.0, 127.0) as i8).cast_unsigned();
    }
    [scale, f16::ZERO]
}

fn asymmetric(weights: &[f32], codes: &mut [u8]) -> [f16; 2] {
    let (low, high) = range(weights);
    let minimum = f16::from_f32(low);
    let scale = f16::from_f32((high - minimum.to_f32()) / 15.0);
    let inverse = inverse(scale.to_f32());
    for (code, w) in codes.iter_mut().zip(weights) {
        *code = code_of(w - minimum.to_f32(), inverse, 0.0, 15.0) as u8;
    }
    [scale, minimum]
}

fn nf4(weights: &[f32], codes: &mut [u8]) -> [f16; 2] {
    let scale = f16::from_f32(largest(weights));
    let inverse = inverse(scale.to_f32());
    for (code, w) in codes.iter_mut().zip(weights) {
        let w = w * inverse;
        // The number of midpoints below `w`.
        *code = NF4.windows(2).filter(|pair| w > 0.5 * (pair[0] + pair[1])).count() as u8;
    }
    [scale, f16::ZERO]
}

fn int4(weights: &[f32], codes: &mut [u8]) -> [f16; 2] {
    let scale = best_int4_scale(weights);
    let inverse = inverse(scale.to_f32());
    for (code, w) in codes.iter_mut().zip(weights) {
        *code = (code_of(*w, inverse, -8.0, 7.0) + 8.0) as u8;
    }
    [scale, f16::ZERO]
}

/// The scale with the smallest squared error, by trial of divisors and refit.
fn best_int4_scale(weights: &[f32]) -> f16 {
    let extreme = extreme(weights);
    let mut best = (f32::INFINITY, f16::from_f32(-extreme / 8.0));
    for divisor in INT4_DIVISORS {
        // The extreme weight gets the negative end, which has one code more.
        let first = -extreme / divisor;
        for scale in [first, refit(weights, first)] {
            let scale = f16::from_f32(scale);
            let error = squared_error(weights, scale.to_f32());
            if error < best.0 {
                best = (error, scale);
            }
        }
    }
    best.1
}

/// Least-squares scale for the codes that `scale` gives.
fn refit(weights: &[f32], scale: f32) -> f32 {
    let inverse = inverse(scale);
    let (mut product, mut square) = (0.0, 0.0);
    for &w in weights {
        let code = code_of(w, inverse, -8.0, 7.0);
        product += w * code;
        square += code * code;
    }
    if square > 0.0 { product / square } else { scale }
}

fn squared_error(weights: &[f32], scale: f32) -> f32 {
    let inverse = inverse(scale);
    weights.iter().map(|&w| (w - code_of(w, inverse, -8.0, 7.0) * scale).powi(2)).sum()
}

fn code_of(weight: f32, inverse: f32, low: f32, high: f32) -> f32 {
    // Beside this number floats are whole: adding it rounds, half to even, where `round_ties_even` would be a call.
    const WHOLE: f32 = (3 << 22) as f32;
    ((weight * inverse).clamp(low, high) + WHOLE) - WHOLE
}

/// `1 / scale`, and 0 where that is not a number a code can use (a group of zeros).
fn inverse(scale: f32) -> f32 {
    let inverse = 1.0 / scale;
    if inverse.is_finite() { inverse } else { 0.0 }
}

fn put(bytes: &mut [u8], at: usize, value: f32) {
    bytes[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
}

fn q8_0(weights: &[f32; BLOCK], bytes: &mut [u8]) {
    let scale = largest(weights) / 127.0;
    let inverse = inverse(scale);
    put(bytes, 0, scale);
    for (byte, w) in bytes[2..].iter_mut().zip(weights) {
        *byte = ((w * inverse).round() as i8).cast_unsigned();
    }
}

/// Codes of `levels` steps whose middle is zero, with the extreme weight at the lower end.
fn symmetric(weights: &[f32; BLOCK], levels: f32) -> (f32, [u8; BLOCK]) {
    let scale = extreme(weights) / (-levels / 2.0);
    let inverse = inverse(scale);
    let code = |w: f32| (w * inverse + (levels / 2.0 + 0.5)).min(levels - 1.0) as u8;
    (scale, weights.map(code))
}

/// Codes of `levels` steps from the smallest weight to the largest.
fn spanning(weights: &[f32; BLOCK], levels: f32) -> ([f32; 2], [u8; BLOCK]) {
    let (low, high) = range(weights);
    let scale = (high - low) / (levels - 1.0);
    let inverse = inverse(scale);
    ([scale, low], weights.map(|w| ((w - low) * inverse + 0.5).min(levels - 1.0) as u8))
}

fn q4_0(weights: &[f32; BLOCK], bytes: &mut [u8]) {
    let (scale, codes) = symmetric(weights, 16.0);
    put(bytes, 0, scale);
    pack_nibbles(&codes, &mut bytes[2..]);
}

fn q4_1(weights: &[f32; BLOCK], bytes: &mut [u8]) {
    let ([scale, minimum], codes) = spanning(weights, 16.0);
    put(bytes, 0, scale);
    put(bytes, 2, minimum);
    pack_nibbles(&codes, &mut bytes[4..]);
}

fn fifth_bits(codes: &[u8; BLOCK]) -> [u8; 4] {
    let bits = codes.iter().enumerate().fold(0_u32, |bits, (at, code)| bits | u32::from(code >> 4) << at);
    bits.to_le_bytes()
}

fn q5_0(weights: &[f32; BLOCK], bytes: &mut [u8]) {
    let (scale, codes) = symmetric(weights, 32.0);
    put(bytes, 0, scale);
    bytes[2..6].copy_from_slice(&fifth_bits(&codes));
    pack_nibbles(&codes, &mut bytes[6..]);
}

fn q5_1(weights: &[f32; BLOCK], bytes: &mut [u8]) {
    let ([scale, minimum], codes) = spanning(weights, 32.0);
    put(bytes, 0, scale);
    put(bytes, 2, minimum);
    bytes[4..8].copy_from_slice(&fifth_bits(&codes));
    pack_nibbles(&codes, &mut bytes[8..]);
}
