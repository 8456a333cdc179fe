//! Many rows of `x`: a panel of weights is unpacked once, and meets all of them in the cache.

use std::arch::x86_64::*;
use std::ops::Range;

use crate::linear::activations::{Activations, CHUNK, Row};
use crate::output::Output;
use crate::packed::{BLOCK, Layout};
use crate::scratch::Scratch;

/// Rows of `W` of a task, two vectors.
pub(super) const ROWS: usize = 32;

/// Rows of `x` whose sums fit the registers.
const STRIP: usize = 6;

/// Writes the columns `rows` of `y`.
///
/// # Safety
/// As [`stream::run`](super::stream::run).
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn run<L: Layout>(
    layout: L,
    rows: Range<usize>,
    dims: [usize; 2],
    x: &Activations,
    y: Output<'_>,
) {
    let panel = Panel::unpack(layout, rows.clone(), dims[1]);
    let y = Columns { y, stride: dims[0], start: rows.start, width: rows.len() };
    let mut first = 0;
    while first < x.len() {
        // SAFETY: the contract of this function.
        unsafe {
            first += match x.len() - first {
                1 | 2 => panel.strip::<L, 1>(x, first, &y),
                3..STRIP => panel.strip::<L, 3>(x, first, &y),
                _ => panel.strip::<L, STRIP>(x, first, &y),
            };
        }
    }
}

/// Where the results go.
struct Columns<'a> {
    y: Output<'a>,
    stride: usize,
    start: usize,
    width: usize,
}

/// 32 rows of weights. Units are sorted by their index modulo 4, as their products are summed.
struct Panel {
    /// `[units, UNIT / 4, 32, 4]`.
    codes: Scratch,
    /// `[units, 32]`.
    scales: Scratch,
    minimums: Scratch,
    units: usize,
}

impl Panel {
    #[inline(always)]
    fn unpack<L: Layout>(layout: L, rows: Range<usize>, cols: usize) -> Self {
        let blocks = cols.div_ceil(BLOCK);
        let per_block = BLOCK / L::UNIT;
        let units = blocks * per_block;
        let mut codes = Scratch::new(blocks * BLOCK / 4 * ROWS);
        let mut scales = Scratch::new(units * ROWS);
        let mut minimums = Scratch::new(if L::MINIMUM { units * ROWS } else { 0 });
        let words = codes.words_mut();
        for block in 0..blocks {
            for r in 0..ROWS {
                // After the last row, the last row again; its results are dropped.
                let row = (rows.start + r).min(rows.end - 1);
                let from = layout.codes(row, block);
                for part in 0..per_block {
                    let unit = block * per_block + part;
                    let at = sorted(unit, units);
                    scales[at * ROWS + r] = layout.scale(row, unit);
                    if L::MINIMUM {
                        minimums[at * ROWS + r] = layout.minimum(row, unit);
                    }
                    let from = from[part * L::UNIT..][..L::UNIT].as_chunks::<4>().0;
                    let to = &mut words[at * L::UNIT / 4 * ROWS..][..L::UNIT / 4 * ROWS];
                    for (from, to) in from.iter().zip(to.chunks_exact_mut(ROWS)) {
                        to[r] = u32::from_le_bytes(*from);
                    }
                }
            }
        }
        Self { codes, scales, minimums, units }
    }

    /// `M` rows of `x` from `first` times the panel; returns their number.
    ///
    /// # Safety
    /// The processor must have the instructions, and the rows of `x` as many columns as the panel.
    #[inline(always)]
    unsafe fn strip<L: Layout, const M: usize>(
        &self,
        x: &Activations,
        first: usize,
        y: &Columns<'_>,
    ) -> usize {
        let mut tokens = [x.row(first); M];
        for (i, token) in tokens.iter_mut().enumerate() {
            *token = x.row(first + i);
        }
        let mut at = 0;
        for part in 0..4.min(self.units) {
            // SAFETY: the contract of this function.
            let mut sums = unsafe { [[_mm512_setzero_ps(); 2]; M] };
            for unit in (part..self.units).step_by(4) {
                // SAFETY: the contract of this function.
                unsafe { self.unit::<L, M>(&mut sums, at, unit, &tokens) };
                at += 1;
            }
            for (i, sums) in sums.into_iter().enumerate() {
                // SAFETY: tasks have disjoint rows of `W`, so disjoint columns of `y`.
                unsafe { y.add(first + i, sums, part == 0) };
            }
        }
        M
    }

    /// Adds the products of `unit`, the one at `at` in the panel.
    ///
    /// # Safety
    /// As [`Panel::strip`].
    #[inline(always)]
    unsafe fn unit<L: Layout, const M: usize>(
        &self,
        sums: &mut [[__m512; 2]; M],
        at: usize,
        unit: usize,
        x: &[Row<'_>; M],
    ) {
        // SAFETY: the contract of this function; the panel has the unit.
        unsafe {
            let mut dots = [[_mm512_setzero_si512(); 2]; M];
            if !L::MINIMUM {
                for (dots, x) in dots.iter_mut().zip(x) {
                    *dots = [_mm512_set1_epi32(*x.offsets.as_ptr().add(unit)); 2];
                }
            }
            let mut codes = self.codes.as_ptr().add(at * (L::UNIT / 4) * ROWS);
            for half in 0..L::UNIT / 16 {
                let from = match L::UNIT {
                    BLOCK => unit / 4 * CHUNK + unit % 4 * 16 + half * 64,
                    _ => unit * 16,
                };
                for group in 0..4 {
                    let w = [_mm512_loadu_epi8(codes.cast()), _mm512_loadu_epi8(codes.add(16).cast())];
                    for (dots, x) in dots.iter_mut().zip(x) {
                        let x = x.codes.as_ptr().add(from + group * 4).cast::<i32>();
                        let x = _mm512_set1_epi32(x.read_unaligned());
                        dots[0] = _mm512_dpbusd_epi32(dots[0], w[0], x);
                        dots[1] = _mm512_dpbusd_epi32(dots[1], w[1], x);
                    }
                    codes = codes.add(ROWS);
                }
            }
            let scales = self.scales.as_ptr().add(at * ROWS);
            let scales = [_mm512_loadu_ps(scales), _mm512_loadu_ps(scales.add(16))];
            for ((sums, dots), x) in sums.iter_mut().zip(dots).zip(x) {
                let scale = _mm512_set1_ps(*x.scales.as_ptr().add(unit * L::UNIT / BLOCK));
                for v in 0..2 {
                    let dot = _mm512_cvtepi32_ps(dots[v]);
                    sums[v] = _mm512_fmadd_ps(dot, _mm512_mul_ps(scales[v], scale), sums[v]);
                }
            }
            if L::MINIMUM {
                let minimums = self.minimums.as_ptr().add(at * ROWS);
                let minimums = [_mm512_loadu_ps(minimums), _mm512_loadu_ps(minimums.add(16))];
                for (sums, x) in sums.iter_mut().zip(x) {
                    let product = _mm512_set1_ps(*x.products.as_ptr().add(unit));
                    for v in 0..2 {
                        sums[v] = _mm512_fmadd_ps(minimums[v], product, sums[v]);
                    }
                }
            }
        }
    }
}

/// Index of a unit when they are sorted by their index modulo 4.
#[inline(always)]
fn sorted(unit: usize, units: usize) -> usize {
    let (part, extra) = (unit % 4, units % 4);
    part * (units / 4) + part.min(extra) + unit / 4
}

impl Columns<'_> {
    /// Writes (`fresh`) or adds to a row.
    ///
    /// # Safety
    /// The processor must have the instructions; no other task may have these columns.
    #[inline(always)]
    unsafe fn add(&self, row: usize, sums: [__m512; 2], fresh: bool) {
        // SAFETY: the contract of this function; what is masked is not touched.
        unsafe {
            let to = self.y.at(row * self.stride + self.start, self.width);
            let mask = u32::MAX >> (32 - self.width);
            for (v, sum) in sums.into_iter().enumerate() {
                let (to, mask) = (to.wrapping_add(16 * v), (mask >> (16 * v)) as u16);
                let after = if fresh { sum } else { _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), sum) };
                _mm512_mask_storeu_ps(to, mask, after);
            }
        }
    }
}
