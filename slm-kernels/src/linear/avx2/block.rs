//! Blocks of 32 codes to registers and scratch buffers.

use std::arch::x86_64::*;

use super::Range;
use crate::PackedTensor;
use crate::packed::BLOCK;

/// The codes of a block of `B` bytes (16: 4 bits each, 32: 8 bits each) as floats, in order.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn unpack<const B: usize>(block: &[u8; B]) -> [__m256; 4] {
    const { assert!(B == 16 || B == 32) };
    // SAFETY: a block has at least 16 bytes, and the load needs no alignment.
    let first = unsafe { _mm_loadu_si128(block.as_ptr().cast()) };
    let (low, high) = if B == 16 {
        let mask = _mm_set1_epi8(15);
        let eight = _mm_set1_epi8(8);
        let high = _mm_and_si128(_mm_srli_epi16::<4>(first), mask);
        (_mm_sub_epi8(_mm_and_si128(first, mask), eight), _mm_sub_epi8(high, eight))
    } else {
        // SAFETY: this arm is compiled for blocks of 32 bytes.
        (first, unsafe { _mm_loadu_si128(block.as_ptr().add(16).cast()) })
    };
    [widen(low), widen(_mm_srli_si128::<8>(low)), widen(high), widen(_mm_srli_si128::<8>(high))]
}

/// The low 8 signed bytes as floats.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn widen(codes: __m128i) -> __m256 {
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes))
}

/// The weights `rows, cols` of `w` into `tile`, row-major. `cols` are whole blocks.
#[target_feature(enable = "avx2,fma")]
pub(super) fn expand<const B: usize>(w: &PackedTensor, rows: Range, cols: Range, tile: &mut [f32]) {
    let blocks_per_group = w.group_size() / BLOCK;
    let (first, last) = (cols.start / BLOCK, cols.end / BLOCK);
    for (row, out) in rows.zip(tile.chunks_exact_mut(cols.len())) {
        let blocks = &w.row_codes(row).as_chunks::<B>().0[first..last];
        let scales = w.row_scales(row);
        for ((i, block), out) in (first..).zip(blocks).zip(out.as_chunks_mut::<BLOCK>().0) {
            let scale = _mm256_set1_ps(scales[i / blocks_per_group]);
            for (codes, out) in unpack(block).into_iter().zip(out.as_chunks_mut::<8>().0) {
                // SAFETY: `out` has room for 8 floats, and the store needs no alignment.
                unsafe { _mm256_storeu_ps(out.as_mut_ptr(), _mm256_mul_ps(codes, scale)) };
            }
        }
    }
}

/// The sum of the 8 lanes.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn sum(v: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
}

/// Eight floats.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn load(values: &[f32; 8]) -> __m256 {
    // SAFETY: the array has 8 floats, and the load needs no alignment.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}
