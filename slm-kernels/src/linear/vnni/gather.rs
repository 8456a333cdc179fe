//! Chunks at the end of a matrix, of which not all is there.

use std::arch::x86_64::*;

use crate::linear::activations::{CHUNK, Order, place};
use crate::packed::{BLOCK, Layout, Numbers};

/// A chunk of four rows block by block, as far as there are columns.
#[inline(never)]
#[target_feature(enable = "avx512f")]
pub(super) fn gather<L: Layout>(
    layout: L,
    rows: [usize; 4],
    chunk: usize,
    cols: usize,
) -> ([[__m512i; 2]; 4], Numbers) {
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
