//! Few rows of `x`: codes go from memory to registers and are used there.

use std::arch::x86_64::*;
use std::ops::Range;

use crate::linear::activations::{Activations, CHUNK, Order, Row, place};
use crate::output::Output;
use crate::packed::{BLOCK, Layout, Numbers};

/// Rows of `W` of a task.
pub(super) const ROWS: usize = 64;

/// Writes the columns `rows` of `y`.
///
/// # Safety
/// The processor must have the instructions. `rows` must be in the matrix, of `dims` rows and columns; `x` must have as many
/// columns, and `y` as many columns as the matrix rows.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn run<L: Layout>(
    layout: L,
    rows: Range<usize>,
    dims: [usize; 2],
    x: &Activations,
    y: Output<'_>,
) {
    // SAFETY: the contract of this function.
    unsafe {
        let mut first = 0;
        while first < x.len() {
            first += match x.len() - first {
                1 => strip::<L, 1>(layout, rows.clone(), dims, (x, first), y),
                2 | 3 => strip::<L, 2>(layout, rows.clone(), dims, (x, first), y),
                _ => strip::<L, 4>(layout, rows.clone(), dims, (x, first), y),
            };
        }
    }
}

/// `M` rows of `x` from `first`; returns their number.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn strip<L: Layout, const M: usize>(
    layout: L,
    rows: Range<usize>,
    dims: [usize; 2],
    (x, first): (&Activations, usize),
    y: Output<'_>,
) -> usize {
    let mut tokens = [x.row(first); M];
    for (i, token) in tokens.iter_mut().enumerate() {
        *token = x.row(first + i);
    }
    let chunks = dims[1].div_ceil(CHUNK);
    // Four rows far apart: each is then a stream that goes on in the next step, as prefetchers like it.
    let quarter = rows.len().div_ceil(4);
    for step in 0..quarter {
        // After the last row, the last row again; its sums are dropped.
        let mut four = [0; 4];
        for (r, row) in four.iter_mut().enumerate() {
            *row = (rows.start + r * quarter + step).min(rows.end - 1);
        }
        // SAFETY: the contract of this function; the last chunk of a row may end after the matrix.
        unsafe {
            let mut sums = [_mm512_setzero_ps(); M];
            let mut whole = chunks;
            for row in four {
                if !layout.has_chunk(row, chunks - 1) {
                    whole = chunks - 1;
                }
            }
            for first in (0..whole).step_by(L::CHUNKS) {
                let numbers = layout.numbers(four, first);
                for chunk in 0..L::CHUNKS {
                    let mut codes = [[_mm512_setzero_si512(); 2]; 4];
                    for (codes, row) in codes.iter_mut().zip(four) {
                        layout.prefetch(row, first + chunk);
                        *codes = layout.chunk(row, first + chunk);
                    }
                    add::<L, M>(&mut sums, &codes, (&numbers, chunk), first + chunk, &tokens);
                }
            }
            if whole < chunks {
                let (codes, numbers) = gather(layout, four, whole, dims[1]);
                add::<L, M>(&mut sums, &codes, (&numbers, 0), whole, &tokens);
            }
            for (i, sums) in sums.into_iter().enumerate() {
                let mut totals = [0.0; 4];
                _mm_storeu_ps(totals.as_mut_ptr(), total(sums));
                for (r, total) in totals.into_iter().enumerate() {
                    let row = rows.start + r * quarter + step;
                    if row < rows.end {
                        *y.at((first + i) * dims[0] + row, 1) = total;
                    }
                }
            }
        }
    }
    M
}

/// A chunk of four rows block by block, as far as there are columns.
#[inline(never)]
#[target_feature(enable = "avx512f")]
fn gather<L: Layout>(layout: L, rows: [usize; 4], chunk: usize, cols: usize) -> ([[__m512i; 2]; 4], Numbers) {
    let (mut codes, mut scales, mut minimums) = ([[0; CHUNK]; 4], [[0.0; 16]; 2], [[0.0; 16]; 2]);
    let order = if L::UNIT == BLOCK { Order::Halves } else { Order::Plain };
    let per_block = BLOCK / L::UNIT;
    for (r, row) in rows.into_iter().enumerate() {
        for at in 0..(cols.div_ceil(BLOCK) - chunk * 4).min(4) {
            let block = chunk * 4 + at;
            let from = layout.codes(row, block);
            for (from, to) in from.as_chunks::<16>().0.iter().zip(place(order, at)) {
                codes[r][to..to + 16].copy_from_slice(from);
            }
            for unit in at * per_block..(at + 1) * per_block {
                let from = chunk * 4 * per_block + unit;
                scales[unit / 4][unit % 4 * 4 + r] = layout.scale(row, from);
                minimums[unit / 4][unit % 4 * 4 + r] = layout.minimum(row, from);
            }
        }
    }
    // SAFETY: the arrays are as long as what is loaded.
    unsafe {
        let load = |codes: &[u8; CHUNK]| {
            [_mm512_loadu_epi8(codes.as_ptr().cast()), _mm512_loadu_epi8(codes[64..].as_ptr().cast())]
        };
        let floats = |numbers: &[f32; 16]| _mm512_loadu_ps(numbers.as_ptr());
        let zero = _mm512_setzero_ps();
        let numbers = Numbers {
            scales: [floats(&scales[0]), floats(&scales[1]), zero, zero],
            minimums: [floats(&minimums[0]), floats(&minimums[1])],
        };
        ([load(&codes[0]), load(&codes[1]), load(&codes[2]), load(&codes[3])], numbers)
    }
}

/// Adds the products of a chunk, the `nth` of those whose numbers these are: part `j` of the sum of row `r` in lane `4 * j + r`.
///
/// # Safety
/// The rows of `x` must have the chunk.
#[inline(always)]
unsafe fn add<L: Layout, const M: usize>(
    sums: &mut [__m512; M],
    w: &[[__m512i; 2]; 4],
    (numbers, nth): (&Numbers, usize),
    chunk: usize,
    x: &[Row<'_>; M],
) {
    // SAFETY: the contract of this function.
    unsafe {
        let zero = _mm512_setzero_si512();
        for part in 0..BLOCK / L::UNIT {
            let unit = chunk * CHUNK / L::UNIT + part * 4;
            let (scales, minimums) = (numbers.scales[nth * (BLOCK / L::UNIT) + part], numbers.minimums[nth]);
            for (sum, x) in sums.iter_mut().zip(x) {
                let codes = x.codes.as_ptr().add(chunk * CHUNK);
                let mut dots = [zero; 4];
                if L::UNIT == BLOCK {
                    let (low, high) = (_mm512_loadu_epi8(codes), _mm512_loadu_epi8(codes.add(64)));
                    for (dot, w) in dots.iter_mut().zip(w) {
                        *dot = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(zero, w[0], low), w[1], high);
                    }
                } else {
                    let codes = _mm512_loadu_epi8(codes.add(part * 64));
                    for (dot, w) in dots.iter_mut().zip(w) {
                        *dot = _mm512_dpbusd_epi32(zero, w[part], codes);
                    }
                }
                let mut dot = units(dots);
                let scale = if L::UNIT == BLOCK {
                    spread(_mm_loadu_ps(x.scales.as_ptr().add(chunk * 4)))
                } else {
                    let two = x.scales.as_ptr().add(chunk * 4 + part * 2);
                    spread_two(_mm_castsi128_ps(_mm_loadl_epi64(two.cast())))
                };
                let scale = _mm512_mul_ps(scales, scale);
                if L::MINIMUM {
                    let products = spread(_mm_loadu_ps(x.products.as_ptr().add(unit)));
                    *sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, *sum);
                    *sum = _mm512_fmadd_ps(minimums, products, *sum);
                } else {
                    let offsets = spread(_mm_loadu_ps(x.offsets.as_ptr().add(unit).cast()));
                    dot = _mm512_add_epi32(dot, _mm512_castps_si512(offsets));
                    *sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, *sum);
                }
            }
        }
    }
}

/// Number `j` in the lanes `4 * j..`.
#[inline(always)]
unsafe fn spread(numbers: __m128) -> __m512 {
    // SAFETY: the contract of `run`; so below.
    unsafe {
        let lanes = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
        _mm512_permutevar_ps(_mm512_broadcast_f32x4(numbers), lanes)
    }
}

/// The first of two numbers in the lanes `0..8`, the second in the others.
#[inline(always)]
unsafe fn spread_two(numbers: __m128) -> __m512 {
    // SAFETY: see above.
    unsafe {
        let lanes = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
        _mm512_permutevar_ps(_mm512_broadcast_f32x4(numbers), lanes)
    }
}

/// The sums of each four lanes: those of lanes `4 * j..` of row `r` in lane `4 * j + r`.
#[inline(always)]
unsafe fn units([a, b, c, d]: [__m512i; 4]) -> __m512i {
    // SAFETY: see above.
    unsafe {
        let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd))
    }
}

/// The four parts of each row added, in order.
#[inline(always)]
unsafe fn total(sums: __m512) -> __m128 {
    // SAFETY: see above.
    unsafe {
        let two = _mm_add_ps(_mm512_castps512_ps128(sums), _mm512_extractf32x4_ps::<1>(sums));
        _mm_add_ps(_mm_add_ps(two, _mm512_extractf32x4_ps::<2>(sums)), _mm512_extractf32x4_ps::<3>(sums))
    }
}
