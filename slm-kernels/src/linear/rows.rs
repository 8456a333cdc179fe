//! Products of whole numbers, a row of `W` at a time: its codes are unpacked once into a buffer, and meet every row of `x`
//! there. For processors without AVX-512 VNNI.
#![expect(unsafe_code, reason = "tasks write their own columns of a shared matrix")]

use std::ops::Range;

use super::activations::{Activations, Row};
use crate::output::Output;
use crate::packed::{BLOCK, Layout};
use crate::scratch::Scratch;

/// How to sum the products of the codes of four units.
pub(super) trait Dot: Copy {
    /// Sums of `UNIT` products each; both slices have `4 * UNIT` codes, and those of the weights are below 128 if `small`.
    fn dot<const UNIT: usize>(self, w: &[u8], x: &[i8], small: bool) -> [i32; 4];
}

/// In plain Rust.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Dot for Portable {
    #[inline(always)]
    fn dot<const UNIT: usize>(self, w: &[u8], x: &[i8], _small: bool) -> [i32; 4] {
        let mut sums = [0; 4];
        for ((sum, w), x) in sums.iter_mut().zip(w.chunks_exact(UNIT)).zip(x.chunks_exact(UNIT)) {
            for (&w, &x) in w.iter().zip(x) {
                *sum += i32::from(w) * i32::from(x);
            }
        }
        sums
    }
}

/// Writes the columns `rows` of `y`, which has `stride` columns, from activations in plain order.
#[inline(always)]
pub(super) fn run<L: Layout, D: Dot>(
    dot: D,
    layout: L,
    rows: Range<usize>,
    x: &Activations,
    (y, stride): (Output<'_>, usize),
) {
    let units = x.stride() / L::UNIT;
    let mut codes = Scratch::new(x.stride() / size_of::<f32>());
    let (mut scales, mut minimums) = (Scratch::new(units), Scratch::new(if L::MINIMUM { units } else { 0 }));
    let codes = codes.bytes_mut();
    let last = x.cols().div_ceil(BLOCK);
    for row in rows {
        for (block, to) in codes.chunks_exact_mut(BLOCK).enumerate() {
            // What is multiplied with the padding may be anything finite.
            let from = if block < last { layout.codes(row, block) } else { [0; BLOCK] };
            to.copy_from_slice(&from);
        }
        for unit in 0..units {
            let there = unit < last * (BLOCK / L::UNIT);
            scales[unit] = if there { layout.scale(row, unit) } else { 0.0 };
            if L::MINIMUM {
                minimums[unit] = if there { layout.minimum(row, unit) } else { 0.0 };
            }
        }
        for i in 0..x.len() {
            let sum = sum::<L, D>(dot, codes, [&scales, &minimums], x.row(i));
            // SAFETY: tasks have disjoint rows of `W`, so disjoint columns of `y`.
            unsafe { *y.at(i * stride + row, 1) = sum };
        }
    }
}

/// One row of `W` times one row of `x`.
#[inline(always)]
fn sum<L: Layout, D: Dot>(dot: D, codes: &[u8], [scales, minimums]: [&[f32]; 2], x: Row<'_>) -> f32 {
    let mut parts = [0.0_f32; 4];
    for (at, (w, codes)) in codes.chunks_exact(4 * L::UNIT).zip(x.codes.chunks_exact(4 * L::UNIT)).enumerate()
    {
        let sums = if L::UNIT == 16 {
            dot.dot::<16>(w, codes, L::OFFSET < 64)
        } else {
            dot.dot::<32>(w, codes, L::OFFSET < 64)
        };
        for (j, part) in parts.iter_mut().enumerate() {
            let unit = 4 * at + j;
            let scale = scales[unit] * x.scales[unit * L::UNIT / BLOCK];
            if L::MINIMUM {
                *part = (sums[j] as f32).mul_add(scale, *part);
                *part = minimums[unit].mul_add(x.products[unit], *part);
            } else {
                *part = ((sums[j] + x.offsets[unit]) as f32).mul_add(scale, *part);
            }
        }
    }
    ((parts[0] + parts[1]) + parts[2]) + parts[3]
}

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2 {
    //! With AVX2.

    use std::arch::x86_64::*;

    use super::{Activations, Dot, Layout, Output, Range};

    /// With AVX2: only to be used in a function compiled for it.
    #[derive(Clone, Copy)]
    struct Avx2;

    impl Dot for Avx2 {
        #[inline(always)]
        fn dot<const UNIT: usize>(self, w: &[u8], x: &[i8], small: bool) -> [i32; 4] {
            assert!(w.len() == 4 * UNIT && x.len() == 4 * UNIT && UNIT.is_multiple_of(16));
            let mut out = [0; 4];
            // SAFETY: `run` is the only user, whose caller has checked for AVX2; loads are within the slices.
            unsafe {
                let mut sums = [_mm256_setzero_si256(); 4];
                for (j, sum) in sums.iter_mut().enumerate() {
                    for from in (j * UNIT..(j + 1) * UNIT).step_by(16) {
                        let w = _mm_loadu_si128(w.as_ptr().add(from).cast());
                        let x = _mm_loadu_si128(x.as_ptr().add(from).cast());
                        let products = if small {
                            // Sums of two products fit 16 bits.
                            _mm256_cvtepi16_epi32(_mm_maddubs_epi16(w, x))
                        } else {
                            _mm256_madd_epi16(_mm256_cvtepu8_epi16(w), _mm256_cvtepi8_epi16(x))
                        };
                        *sum = _mm256_add_epi32(*sum, products);
                    }
                }
                let pairs = [_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3])];
                let eight = _mm256_hadd_epi32(pairs[0], pairs[1]);
                let four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256::<1>(eight));
                _mm_storeu_si128(out.as_mut_ptr().cast(), four);
            }
            out
        }
    }

    /// [`run`](super::run).
    ///
    /// # Safety
    /// The processor must have AVX2, FMA and F16C.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(in super::super) unsafe fn run<L: Layout>(
        layout: L,
        rows: Range<usize>,
        x: &Activations,
        y: (Output<'_>, usize),
    ) {
        super::run(Avx2, layout, rows, x, y);
    }
}
