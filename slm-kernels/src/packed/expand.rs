//! From codes to `f32`.
#![expect(unsafe_code, reason = "vectors to arrays")]

use std::ops::Range;

use super::layout::{BLOCK, Layout, NF4, View, Visitor};
use crate::simd::Simd;

/// A part of a matrix to be expanded: `rows`, and the columns of the blocks `blocks`.
#[derive(Debug)]
pub(crate) struct Expand<'a> {
    pub(crate) rows: Range<usize>,
    pub(crate) blocks: Range<usize>,
    /// `[rows, stride]`; of the last block only the columns that there are.
    pub(crate) out: &'a mut [f32],
    pub(crate) stride: usize,
    /// Columns of the matrix.
    pub(crate) cols: usize,
}

impl Expand<'_> {
    /// Expands the part of `view`.
    #[inline(always)]
    pub(crate) fn run<S: Simd>(self, s: S, view: &View<'_>) {
        if let Err((part, nf4)) = view.visit(self) {
            part.each(
                #[inline(always)]
                |row, block| look_up(s, nf4.bytes(row, block), nf4.scale(row, block)),
            );
        }
    }

    #[inline(always)]
    fn each(self, weights: impl Fn(usize, usize) -> [f32; BLOCK]) {
        let start = self.blocks.start;
        let width = (self.blocks.end * BLOCK).min(self.cols) - start * BLOCK;
        for (row, out) in self.rows.zip(self.out.chunks_mut(self.stride)) {
            for (block, out) in (start..).zip(out[..width].chunks_mut(BLOCK)) {
                let weights = weights(row, block);
                match out.first_chunk_mut() {
                    Some(out) => *out = weights,
                    None => out.copy_from_slice(&weights[..out.len()]),
                }
            }
        }
    }
}

/// A block of `NormalFloat`.
#[inline(always)]
fn look_up<S: Simd>(s: S, bytes: &[u8], scale: f32) -> [f32; BLOCK] {
    let mut weights = [0.0; BLOCK];
    assert_eq!(bytes.len(), BLOCK / 2);
    // SAFETY: 16 bytes, and 32 numbers.
    unsafe {
        let vectors = s.look_up(&NF4, bytes.as_ptr(), s.splat(scale));
        for (at, vector) in vectors.into_iter().enumerate().take(BLOCK / S::LANES) {
            s.store(weights.as_mut_ptr().add(at * S::LANES), vector);
        }
    }
    weights
}

impl Visitor for Expand<'_> {
    type Out = ();

    #[inline(always)]
    fn visit<L: Layout>(self, layout: L) {
        self.each(
            #[inline(always)]
            |row, block| {
                let codes = layout.codes(row, block);
                let mut weights = [0.0; BLOCK];
                let units = weights.chunks_exact_mut(L::UNIT).zip(codes.chunks_exact(L::UNIT));
                for (unit, (weights, codes)) in units.enumerate() {
                    let unit = block * (BLOCK / L::UNIT) + unit;
                    let (scale, minimum) = (layout.scale(row, unit), layout.minimum(row, unit));
                    for (w, &code) in weights.iter_mut().zip(codes) {
                        *w = (f32::from(code) - f32::from(L::OFFSET)) * scale;
                        if L::MINIMUM {
                            *w += minimum;
                        }
                    }
                }
                weights
            },
        );
    }
}

/// The first row with a scale or minimum that is not finite, and that number.
pub(super) struct NotFinite {
    pub(super) row: usize,
    pub(super) cols: usize,
}

impl Visitor for NotFinite {
    type Out = Option<f32>;

    fn visit<L: Layout>(self, layout: L) -> Option<f32> {
        let numbers = |unit| [layout.scale(self.row, unit), layout.minimum(self.row, unit)];
        (0..self.cols.div_ceil(L::UNIT)).flat_map(numbers).find(|number| !number.is_finite())
    }
}
