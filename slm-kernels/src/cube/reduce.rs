//! Sums: [`zeros`] to begin with, and [`reduced`], what the units of a cube come to together.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

/// Units of a cube that reduces.
pub(super) const UNITS: usize = 128;

/// The largest `value` of a cube, or the sum of all, for each of its units. `shared` holds a number for each.
#[cube]
pub(super) fn reduced(value: f32, shared: &mut Shared<[f32]>, #[comptime] largest: bool) -> f32 {
    let unit = UNIT_POS as usize;
    // Nobody reads an earlier result any more.
    sync_cube();
    shared[unit] = value;
    sync_cube();
    #[unroll]
    for step in 0..comptime!(UNITS.ilog2() as usize) {
        let half = comptime!(UNITS >> (step + 1));
        if unit < half {
            let a = shared[unit];
            let b = shared[unit + half];
            if comptime!(largest) {
                shared[unit] = max(a, b);
            } else {
                shared[unit] = a + b;
            }
        }
        sync_cube();
    }
    shared[0]
}

/// Sums of a unit of its own, before the first is added.
#[cube]
pub(super) fn zeros(#[comptime] count: usize) -> Array<f32> {
    let mut sums = Array::<f32>::new(count);
    #[unroll]
    for i in 0..count {
        sums[i] = 0.0f32;
    }
    sums
}
