//! Kernels for AVX2 with FMA.
#![expect(unsafe_code, reason = "processor intrinsics, behind a run-time check")]

mod backward;
mod block;
mod dot;
mod tile;

use super::Range;
use super::columns::Columns;
use crate::{Bits, PackedTensor};

/// Bytes of 32 codes of 4 bits.
const INT4: usize = 16;
/// Bytes of 32 codes of 8 bits.
const INT8: usize = 32;

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// Asks the processor.
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }

    /// Fills the columns `rows` of `y = x · Wᵀ`.
    pub(super) fn forward(self, x: &[f32], m: usize, w: &PackedTensor, rows: Range, y: &Columns<'_>) {
        // SAFETY: `self` proves that the processor has the features these functions are compiled for.
        unsafe {
            match (w.bits(), m) {
                (Bits::Int4, 1) => dot::forward::<INT4, 1>(x, w, rows, y),
                (Bits::Int4, 2) => dot::forward::<INT4, 2>(x, w, rows, y),
                (Bits::Int4, 3) => dot::forward::<INT4, 3>(x, w, rows, y),
                (Bits::Int4, 4) => dot::forward::<INT4, 4>(x, w, rows, y),
                (Bits::Int4, _) => tile::forward::<INT4>(x, m, w, rows, y),
                (Bits::Int8, 1) => dot::forward::<INT8, 1>(x, w, rows, y),
                (Bits::Int8, 2) => dot::forward::<INT8, 2>(x, w, rows, y),
                (Bits::Int8, 3) => dot::forward::<INT8, 3>(x, w, rows, y),
                (Bits::Int8, 4) => dot::forward::<INT8, 4>(x, w, rows, y),
                (Bits::Int8, _) => tile::forward::<INT8>(x, m, w, rows, y),
            }
        }
    }

    /// Adds to the columns `cols` of `dx = dy · W`.
    pub(super) fn backward(self, dy: &[f32], m: usize, w: &PackedTensor, cols: Range, dx: &Columns<'_>) {
        // SAFETY: as in `forward`.
        unsafe {
            match w.bits() {
                Bits::Int4 => backward::backward::<INT4>(dy, m, w, cols, dx),
                Bits::Int8 => backward::backward::<INT8>(dy, m, w, cols, dx),
            }
        }
    }
}
