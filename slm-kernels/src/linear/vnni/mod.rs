//! Products of whole numbers with AVX-512 VNNI.
#![expect(
    unsafe_code,
    reason = "processor intrinsics, behind a run-time check; pointers into checked matrices"
)]

mod gather;
mod panel;
mod stream;
mod unpack;

use std::ops::Range;

use super::activations::Activations;
use crate::output::Output;
use crate::packed::Layout;

/// Proof that the processor has AVX-512 F, BW, DQ, VL and VNNI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vnni(());

/// Rows of `x` from which unpacking a panel of weights once is cheaper than for every few of them.
const PANEL: usize = 16;

impl Vnni {
    /// Asks the processor.
    pub(super) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("f16c");
        has.then_some(Self(()))
    }

    /// Rows of `W` of a task for `m` rows of `x`.
    pub(super) fn rows(m: usize) -> usize {
        if m < PANEL { stream::ROWS } else { panel::ROWS }
    }

    /// Writes the columns `rows` of `y`, which has as many columns as `w` of `dims` (rows, columns) rows. Activations are in
    /// halves for units of 32, else in order.
    pub(super) fn run<L: Layout>(
        self,
        layout: L,
        (rows, dims): (Range<usize>, [usize; 2]),
        x: &Activations,
        y: Output<'_>,
    ) {
        assert!(rows.end <= dims[0] && x.cols() == dims[1] && y.len() == x.len() * dims[0]);
        // SAFETY: `self` proves that the processor has the instructions; the sizes are checked above.
        unsafe {
            if x.len() < PANEL {
                stream::run(layout, rows, dims, x, y);
            } else {
                panel::run(layout, rows, dims, x, y);
            }
        }
    }
}
