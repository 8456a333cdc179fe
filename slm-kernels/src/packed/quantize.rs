//! Round-to-nearest: from weights to codes and scales.

use rayon::prelude::*;

use super::{BLOCK, Bits};

/// Divisors of the group's largest weight tried as 4-bit scales: from no clipping to clipping about 20 %
/// of the range.
const INT4_DIVISORS: [f32; 7] = [7.0, 7.3, 7.6, 8.0, 8.4, 8.8, 9.3];

/// Codes and scales of a checked matrix with rows of `cols`.
pub(super) fn pack(weights: &[f32], cols: usize, bits: Bits, group_size: usize) -> (Vec<u8>, Vec<f32>) {
    let mut codes = vec![0; bits.bytes(weights.len())];
    let mut scales = vec![0.0; weights.len() / group_size];
    if weights.is_empty() {
        return (codes, scales);
    }
    codes
        .par_chunks_mut(bits.bytes(cols))
        .zip(scales.par_chunks_mut(cols / group_size))
        .zip(weights.par_chunks(cols))
        .for_each(|((codes, scales), weights)| {
            let groups = codes.chunks_exact_mut(bits.bytes(group_size));
            for ((codes, scale), weights) in groups.zip(scales).zip(weights.chunks_exact(group_size)) {
                *scale = match bits {
                    Bits::Int8 => pack_int8(weights, codes),
                    Bits::Int4 => pack_int4(weights, codes),
                };
            }
        });
    (codes, scales)
}

fn pack_int8(weights: &[f32], codes: &mut [u8]) -> f32 {
    let scale = weights.iter().fold(0.0_f32, |max, w| max.max(w.abs())) / 127.0;
    for (code, w) in codes.iter_mut().zip(weights) {
        *code = (code_of(*w, inverse(scale), -127.0, 127.0) as i8).cast_unsigned();
    }
    scale
}

fn pack_int4(weights: &[f32], codes: &mut [u8]) -> f32 {
    let scale = best_int4_scale(weights);
    let inverse = inverse(scale);
    let nibble = |w: f32| (code_of(w, inverse, -8.0, 7.0) + 8.0) as u8;
    for (codes, weights) in codes.chunks_exact_mut(BLOCK / 2).zip(weights.chunks_exact(BLOCK)) {
        let (low, high) = weights.split_at(BLOCK / 2);
        for ((code, &low), &high) in codes.iter_mut().zip(low).zip(high) {
            *code = nibble(low) | (nibble(high) << 4);
        }
    }
    scale
}

/// The scale with the smallest squared error, by trial of divisors and refit.
fn best_int4_scale(weights: &[f32]) -> f32 {
    let extreme = weights.iter().fold(0.0_f32, |max, &w| if w.abs() > max.abs() { w } else { max });
    let mut best = (f32::INFINITY, -extreme / 8.0);
    for divisor in INT4_DIVISORS {
        // The extreme weight gets the negative end, which has one code more.
        let first = -extreme / divisor;
        let refitted = refit(weights, first);
        for scale in [first, refitted] {
            let error = squared_error(weights, scale);
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
    (weight * inverse).round_ties_even().clamp(low, high)
}

/// `1 / scale`, and 0 where that is not a number a code can use (a group of zeros).
fn inverse(scale: f32) -> f32 {
    let inverse = 1.0 / scale;
    if inverse.is_finite() { inverse } else { 0.0 }
}
