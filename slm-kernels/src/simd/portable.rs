//! Vectors of 8 floats as arrays, for any processor.

use burn::tensor::{bf16, f16};

use super::Simd;

/// Needs nothing of the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Portable;

const LANES: usize = 8;

/// Lane by lane.
macro_rules! lanes {
    ($i:ident => $value:expr) => {{
        let mut out = [0.0_f32; LANES];
        let mut $i = 0;
        while $i < LANES {
            out[$i] = $value;
            $i += 1;
        }
        out
    }};
}

impl Simd for Portable {
    type V = [f32; LANES];

    const LANES: usize = LANES;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [value; LANES]
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::V {
        // SAFETY: the contract of the method.
        unsafe { from.cast::<[f32; LANES]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const f16) -> Self::V {
        // SAFETY: the contract of the method.
        lanes!(i => unsafe { *from.add(i) }.to_f32())
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const bf16) -> Self::V {
        // SAFETY: the contract of the method.
        lanes!(i => unsafe { *from.add(i) }.to_f32())
    }

    #[inline(always)]
    unsafe fn load_i8(self, from: *const i8) -> Self::V {
        // SAFETY: the contract of the method.
        lanes!(i => f32::from(unsafe { *from.add(i) }))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: Self::V) {
        // SAFETY: the contract of the method.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(value) }
    }

    #[inline(always)]
    fn prefetch(self, _at: *const u8) {}

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(i => a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(i => a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(i => a[i] * b[i])
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(i => a[i] / b[i])
    }

    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // Without an instruction for it, a fused multiplication is a slow library call.
        if cfg!(target_arch = "aarch64") {
            lanes!(i => a[i].mul_add(b[i], c[i]))
        } else {
            lanes!(i => a[i] * b[i] + c[i])
        }
    }

    #[inline(always)]
    fn at_most(self, bound: Self::V, a: Self::V) -> Self::V {
        lanes!(i => if bound[i] < a[i] { bound[i] } else { a[i] })
    }

    #[inline(always)]
    fn at_least(self, bound: Self::V, a: Self::V) -> Self::V {
        lanes!(i => if bound[i] > a[i] { bound[i] } else { a[i] })
    }

    #[inline(always)]
    fn round(self, a: Self::V) -> Self::V {
        lanes!(i => a[i].round_ties_even())
    }

    #[inline(always)]
    fn pow2(self, n: Self::V) -> Self::V {
        lanes!(i => f32::from_bits(((n[i] as i32 + 127) << 23) as u32))
    }

    #[inline(always)]
    fn less(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
        lanes!(i => if a[i] < b[i] { yes[i] } else { no[i] })
    }

    #[inline(always)]
    fn sum4(self, vectors: [Self::V; 4]) -> [f32; 4] {
        let mut out = [0.0; 4];
        for (out, v) in out.iter_mut().zip(vectors) {
            *out = ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
        }
        out
    }

    #[inline(always)]
    fn largest(self, a: Self::V) -> f32 {
        let mut largest = a[0];
        for &lane in &a[1..] {
            largest = if lane > largest { lane } else { largest };
        }
        largest
    }
}
