//! What weights and cached keys and values are stored as.

use burn::tensor::{bf16, f16};

use super::{Kernel, Level, Simd};

/// A stored number, widened to `f32` when loaded.
pub(crate) trait Element: Copy + Default + Send + Sync + 'static {
    /// A vector of [`Simd::LANES`] numbers.
    ///
    /// # Safety
    /// `from` must be readable for that many elements.
    unsafe fn load<S: Simd>(simd: S, from: *const Self) -> S::V;

    /// What a vector is kept as once it is loaded: of 32 bits a lane.
    type Wide: Element;

    /// Columns of a lane.
    const COLUMNS: usize = 1;

    /// The vector of `x` to multiply with [`Element::load`], of which only `len` numbers are there; the rest is zero.
    ///
    /// # Safety
    /// `from` must be readable for the smaller of `len` and `COLUMNS * LANES` floats.
    #[inline(always)]
    unsafe fn load_x<S: Simd>(simd: S, from: *const f32, len: usize) -> S::V {
        // SAFETY: the contract of the method.
        unsafe { load_part(simd, from, len) }
    }

    /// `x * w + sum`, for all columns of a lane.
    #[inline(always)]
    fn fma<S: Simd>(simd: S, x: S::V, w: S::V, sum: S::V) -> S::V {
        simd.fma(x, w, sum)
    }

    /// Runs `kernel` with the instructions that `fma` needs.
    #[inline(always)]
    fn run<K: Kernel>(level: Level, kernel: K) -> K::Out {
        level.run(kernel)
    }
}

impl Element for f32 {
    type Wide = f32;

    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const Self) -> S::V {
        // SAFETY: the contract of the method; so below.
        unsafe { simd.load(from) }
    }
}

impl Element for f16 {
    type Wide = f32;

    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const Self) -> S::V {
        // SAFETY: see above.
        unsafe { simd.load_f16(from) }
    }
}

impl Element for bf16 {
    type Wide = f32;

    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const Self) -> S::V {
        // SAFETY: see above.
        unsafe { simd.load_bf16(from) }
    }
}

impl Element for i8 {
    type Wide = f32;

    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const Self) -> S::V {
        // SAFETY: see above.
        unsafe { simd.load_i8(from) }
    }
}

/// The vector at `from`, of which only `len` elements are there; the rest is zero.
///
/// # Safety
/// `from` must be readable for `len` elements.
#[inline(always)]
pub(crate) unsafe fn load_part<S: Simd, E: Element>(simd: S, from: *const E, len: usize) -> S::V {
    let mut buffer = [E::default(); 16];
    // SAFETY: `from` by the contract, and the buffer has as many elements as the longest vector.
    unsafe {
        if len >= S::LANES {
            return E::load(simd, from);
        }
        std::ptr::copy_nonoverlapping(from, buffer.as_mut_ptr(), len);
        E::load(simd, buffer.as_ptr())
    }
}

/// Writes the first `len` elements of `value`.
///
/// # Safety
/// `to` must be writable for `len` elements.
#[inline(always)]
pub(crate) unsafe fn store_part<S: Simd>(simd: S, to: *mut f32, len: usize, value: S::V) {
    let mut buffer = [0.0; 16];
    // SAFETY: as in `load_part`.
    unsafe {
        if len >= S::LANES {
            return simd.store(to, value);
        }
        simd.store(buffer.as_mut_ptr(), value);
        std::ptr::copy_nonoverlapping(buffer.as_ptr(), to, len);
    }
}
