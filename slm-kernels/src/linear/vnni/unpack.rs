//! A panel of weights, from codes as they are stored to the order in which they are multiplied.

use std::arch::x86_64::*;
use std::ops::Range;

use super::gather::gather;
use super::panel::{Panel, ROWS};
use crate::linear::activations::CHUNK;
use crate::packed::{BLOCK, Layout, Numbers};
use crate::scratch::Scratch;

/// Unpacks `rows`; after the last, the last again.
///
/// # Safety
/// The processor must have the instructions; `rows` must be in the matrix, which has `cols` columns.
#[inline(always)]
pub(super) unsafe fn unpack<L: Layout>(layout: L, rows: Range<usize>, cols: usize) -> Panel {
    let units = cols.div_ceil(BLOCK) * (BLOCK / L::UNIT);
    let mut panel = Panel {
        codes: Scratch::new(units * (L::UNIT / 4) * ROWS),
        scales: Scratch::new(units * ROWS),
        minimums: Scratch::new(if L::MINIMUM { units * ROWS } else { 0 }),
        units,
    };
    for first in (0..cols.div_ceil(CHUNK)).step_by(L::CHUNKS) {
        for vector in 0..ROWS / 16 {
            let mut sixteen = [0; 16];
            for (r, row) in sixteen.iter_mut().enumerate() {
                *row = (rows.start + vector * 16 + r).min(rows.end - 1);
            }
            // SAFETY: the contract of this function.
            unsafe { chunks(layout, &mut panel, sixteen, (first, vector), cols) };
        }
    }
    panel
}

/// Unpacks the chunks of `L::CHUNKS` from `first` of 16 rows, the `vector`th of the panel.
///
/// # Safety
/// As [`unpack`].
#[inline(always)]
unsafe fn chunks<L: Layout>(
    layout: L,
    panel: &mut Panel,
    rows: [usize; 16],
    (first, vector): (usize, usize),
    cols: usize,
) {
    let mut whole = true;
    for row in rows {
        whole &= layout.has_chunk(row, first + L::CHUNKS - 1);
    }
    let fours = rows.as_chunks::<4>().0;
    // SAFETY: the contract of this function.
    unsafe {
        let mut numbers = [Numbers::one(_mm512_setzero_ps()); 4];
        let mut codes = [[_mm512_setzero_si512(); 16]; 2];
        if whole {
            for (numbers, rows) in numbers.iter_mut().zip(fours) {
                *numbers = layout.numbers(*rows, first);
            }
        }
        for nth in 0..L::CHUNKS {
            let chunk = first + nth;
            if whole {
                for (r, row) in rows.into_iter().enumerate() {
                    [codes[0][r], codes[1][r]] = layout.chunk(row, chunk);
                }
            } else {
                for (four, rows) in fours.iter().enumerate() {
                    let (from, of_four) = gather(layout, *rows, chunk, cols);
                    numbers[four] = of_four;
                    for (r, from) in from.into_iter().enumerate() {
                        [codes[0][four * 4 + r], codes[1][four * 4 + r]] = from;
                    }
                }
            }
            for (half, codes) in codes.into_iter().enumerate() {
                put_codes::<L>(panel, (chunk, half, vector), codes);
            }
            for part in 0..BLOCK / L::UNIT {
                let unit = chunk * (CHUNK / L::UNIT) + part * 4;
                let (at, units) = (nth * (BLOCK / L::UNIT) + part, panel.units);
                let [a, b, c, d] = &numbers;
                let scales = [a.scales[at], b.scales[at], c.scales[at], d.scales[at]];
                put_numbers(&mut panel.scales, (unit, units, vector), scales);
                if L::MINIMUM {
                    let minimums = [a.minimums[nth], b.minimums[nth], c.minimums[nth], d.minimums[nth]];
                    put_numbers(&mut panel.minimums, (unit, units, vector), minimums);
                }
            }
        }
    }
}

/// Writes a vector of codes of each of 16 rows.
///
/// # Safety
/// As [`unpack`].
#[inline(always)]
unsafe fn put_codes<L: Layout>(
    panel: &mut Panel,
    (chunk, half, vector): (usize, usize, usize),
    codes: [__m512i; 16],
) {
    // SAFETY: the contract of this function; a unit of the panel has `UNIT / 4` groups of `ROWS` words.
    unsafe {
        let groups = L::UNIT / 4;
        for (word, codes) in turn(codes).into_iter().enumerate() {
            let (unit, group) = match L::UNIT {
                BLOCK => (chunk * 4 + word / 4, word % 4 + half * 4),
                _ => (chunk * 8 + half * 4 + word / 4, word % 4),
            };
            if unit < panel.units {
                let at = (sorted(unit, panel.units) * groups + group) * ROWS + vector * 16;
                _mm512_storeu_ps(panel.codes[at..at + 16].as_mut_ptr(), _mm512_castsi512_ps(codes));
            }
        }
    }
}

/// Writes the numbers of four units of 16 rows, of which those of row `4 * four + r` and unit `j` are in lane `4 * j + r`.
///
/// # Safety
/// As [`unpack`].
#[inline(always)]
unsafe fn put_numbers(to: &mut Scratch, (unit, units, vector): (usize, usize, usize), fours: [__m512; 4]) {
    // SAFETY: the contract of this function.
    unsafe {
        let [a, b, c, d] = fours;
        let fours =
            [_mm512_castps_si512(a), _mm512_castps_si512(b), _mm512_castps_si512(c), _mm512_castps_si512(d)];
        let turned = quarters(fours);
        for (j, numbers) in turned.into_iter().enumerate() {
            if unit + j < units {
                let at = sorted(unit + j, units) * ROWS + vector * 16;
                _mm512_storeu_ps(to[at..at + 16].as_mut_ptr(), _mm512_castsi512_ps(numbers));
            }
        }
    }
}

/// Word `i` of vector `j` to word `j` of vector `i`.
#[inline(always)]
unsafe fn turn(rows: [__m512i; 16]) -> [__m512i; 16] {
    // SAFETY: the contract of [`unpack`]; so below.
    unsafe {
        let zero = _mm512_setzero_si512();
        // Of four rows, word `g` of each quarter: `[four][g]`.
        let mut words = [[zero; 4]; 4];
        for (words, rows) in words.iter_mut().zip(rows.as_chunks::<4>().0) {
            let low = [_mm512_unpacklo_epi32(rows[0], rows[1]), _mm512_unpacklo_epi32(rows[2], rows[3])];
            let high = [_mm512_unpackhi_epi32(rows[0], rows[1]), _mm512_unpackhi_epi32(rows[2], rows[3])];
            *words = [
                _mm512_unpacklo_epi64(low[0], low[1]),
                _mm512_unpackhi_epi64(low[0], low[1]),
                _mm512_unpacklo_epi64(high[0], high[1]),
                _mm512_unpackhi_epi64(high[0], high[1]),
            ];
        }
        let mut out = [zero; 16];
        for g in 0..4 {
            let turned = quarters([words[0][g], words[1][g], words[2][g], words[3][g]]);
            for (j, turned) in turned.into_iter().enumerate() {
                out[4 * j + g] = turned;
            }
        }
        out
    }
}

/// Quarter `i` of vector `j` to quarter `j` of vector `i`.
#[inline(always)]
unsafe fn quarters([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    // SAFETY: see above.
    unsafe {
        let ab = [_mm512_shuffle_i32x4::<0b10_00_10_00>(a, b), _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b)];
        let cd = [_mm512_shuffle_i32x4::<0b10_00_10_00>(c, d), _mm512_shuffle_i32x4::<0b11_01_11_01>(c, d)];
        [
            _mm512_shuffle_i32x4::<0b10_00_10_00>(ab[0], cd[0]),
            _mm512_shuffle_i32x4::<0b10_00_10_00>(ab[1], cd[1]),
            _mm512_shuffle_i32x4::<0b11_01_11_01>(ab[0], cd[0]),
            _mm512_shuffle_i32x4::<0b11_01_11_01>(ab[1], cd[1]),
        ]
    }
}

/// Index of a unit when they are sorted by their index modulo 4.
#[inline(always)]
fn sorted(unit: usize, units: usize) -> usize {
    let (part, extra) = (unit % 4, units % 4);
    part * (units / 4) + part.min(extra) + unit / 4
}
