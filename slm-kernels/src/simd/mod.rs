//! Vectors of `f32` as wide as the processor has them: kernels are written once over [`Simd`] and compiled
//! for each [`Level`], which is chosen at run time.
#![expect(
    unsafe_code,
    reason = "loads and stores through pointers; instruction sets behind a run-time check"
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod element;
mod math;
mod pairs;
mod portable;
mod tile;

pub(crate) use element::{Element, load_part, store_part};
pub(crate) use math::{exp, sigmoid, tanh};
pub(crate) use pairs::{Pair, rounded};
pub(crate) use portable::Portable;
pub(crate) use tile::{Dots, Outer, dots, product, strip_product};

/// An instruction set that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Arrays of 8 floats, which the compiler maps to what the target always has (NEON on 64-bit ARM).
    Portable,
    /// AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    /// AVX-512 (F), with the above.
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
}

impl Level {
    /// The widest that this processor has.
    pub(crate) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(level) = avx512::Avx512::detect().map(Self::Avx512) {
            return level;
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(level) = avx2::Avx2::detect().map(Self::Avx2) {
            return level;
        }
        Self::Portable
    }

    /// All that this processor has.
    #[cfg(test)]
    pub(crate) fn available() -> Vec<Self> {
        let mut levels = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        levels.extend(avx2::Avx2::detect().map(Self::Avx2));
        #[cfg(target_arch = "x86_64")]
        levels.extend(avx512::Avx512::detect().map(Self::Avx512));
        levels
    }

    /// Floats of a vector.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Self::Portable => portable::Portable::LANES,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => avx2::Avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => avx512::Avx512::<false>::LANES,
        }
    }

    /// Rows of a tile whose sums fit the registers, four vectors wide.
    pub(crate) fn strip(self) -> usize {
        strip(self.lanes())
    }

    /// Runs `kernel`, compiled for this instruction set.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Out {
        match self {
            Self::Portable => kernel.run(portable::Portable),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => simd.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => simd.run(kernel),
        }
    }

    /// Whether the processor multiplies pairs of bfloats.
    pub(crate) fn has_bf16(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => simd.with_bf16().is_some(),
            _ => false,
        }
    }

    /// [`Level::run`], with products of pairs of bfloats if [`Level::has_bf16`].
    pub(crate) fn run_bf16<K: Kernel>(self, kernel: K) -> K::Out {
        #[cfg(target_arch = "x86_64")]
        if let Self::Avx512(simd) = self
            && let Some(simd) = simd.with_bf16()
        {
            return simd.run(kernel);
        }
        self.run(kernel)
    }
}

/// See [`Level::strip`]: processors with vectors of 16 floats have 32 registers, others 16.
pub(crate) const fn strip(lanes: usize) -> usize {
    if lanes == 16 { 6 } else { 3 }
}

/// Code to be compiled for every instruction set.
///
/// Implementations and all that they call on the hot path must be `#[inline(always)]`, and hold no closures
/// there: only what is inlined into the function that enables the instructions is compiled with them.
pub(crate) trait Kernel {
    /// What it computes.
    type Out;

    /// Runs with the vectors of `S`.
    fn run<S: Simd>(self, simd: S) -> Self::Out;
}

/// Vectors of `f32`. A value proves that the processor has the instructions.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// A vector.
    type V: Copy;

    /// Floats of a vector: 8 or 16.
    const LANES: usize;

    /// All lanes `value`.
    fn splat(self, value: f32) -> Self::V;

    /// [`Self::LANES`] floats.
    ///
    /// # Safety
    /// `from` must be readable for that many elements; no alignment is needed. So for all loads.
    unsafe fn load(self, from: *const f32) -> Self::V;

    /// Widens [`Self::LANES`] half-precision floats.
    ///
    /// # Safety
    /// As [`Self::load`].
    unsafe fn load_f16(self, from: *const burn::tensor::f16) -> Self::V;

    /// Widens [`Self::LANES`] bfloats.
    ///
    /// # Safety
    /// As [`Self::load`].
    unsafe fn load_bf16(self, from: *const burn::tensor::bf16) -> Self::V;

    /// Widens [`Self::LANES`] signed bytes.
    ///
    /// # Safety
    /// As [`Self::load`].
    unsafe fn load_i8(self, from: *const i8) -> Self::V;

    /// Writes [`Self::LANES`] floats.
    ///
    /// # Safety
    /// `to` must be writable for that many elements; no alignment is needed.
    unsafe fn store(self, to: *mut f32, value: Self::V);

    /// Hints that the cache line at `at` will be read; any address will do.
    fn prefetch(self, at: *const u8);

    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;

    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;

    /// `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;

    /// `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;

    /// `a * b + c`, rounded once where the processor can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;

    /// The smaller of `bound` and `a`; NaN where `a` is.
    fn at_most(self, bound: Self::V, a: Self::V) -> Self::V;

    /// The larger of `bound` and `a`; NaN where `a` is.
    fn at_least(self, bound: Self::V, a: Self::V) -> Self::V;

    /// The nearest whole number, half to even.
    fn round(self, a: Self::V) -> Self::V;

    /// 2 to the power of `n`, whole numbers in `-126..=127`.
    fn pow2(self, n: Self::V) -> Self::V;

    /// Lane by lane `yes` where `a < b`, else `no`.
    fn less(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;

    /// The sums of the lanes, each of four vectors in the same order.
    fn sum4(self, vectors: [Self::V; 4]) -> [f32; 4];

    /// The largest lane.
    fn largest(self, a: Self::V) -> f32;

    /// `table[code] * scale` of the 32 codes in 16 bytes, those of the low halves first: two or four vectors, of four that
    /// are returned.
    ///
    /// # Safety
    /// `codes` must be readable for 16 bytes.
    #[inline(always)]
    unsafe fn look_up(self, table: &[f32; 16], codes: *const u8, scale: Self::V) -> [Self::V; 4] {
        let mut numbers = [0.0; 32];
        for at in 0..16 {
            // SAFETY: the contract of the method.
            let pair = unsafe { *codes.add(at) };
            numbers[at] = table[usize::from(pair & 15)];
            numbers[at + 16] = table[usize::from(pair >> 4)];
        }
        let mut out = [scale; 4];
        for (at, out) in out.iter_mut().enumerate().take(32 / Self::LANES) {
            // SAFETY: the array has that many numbers.
            *out = self.mul(unsafe { self.load(numbers.as_ptr().add(at * Self::LANES)) }, scale);
        }
        out
    }

    /// Writes a square of [`Self::LANES`] rows, `from_stride` floats apart, with rows and columns exchanged, `to_stride` apart.
    ///
    /// # Safety
    /// Both squares must be readable and writable.
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        for row in 0..Self::LANES {
            for col in 0..Self::LANES {
                // SAFETY: the contract of this function.
                unsafe { *to.add(col * to_stride + row) = *from.add(row * from_stride + col) };
            }
        }
    }

    /// `2 * LANES` numbers as pairs of bfloats, nearest with ties to even: the first two in the first lane.
    #[inline(always)]
    fn pair(self, low: Self::V, high: Self::V) -> Self::V {
        pairs::pair(self, low, high)
    }

    /// `c` and the products of the two bfloats in each lane of `a` and `b`.
    #[inline(always)]
    fn dot_pairs(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        pairs::dot(self, a, b, c)
    }

    /// The sum of the lanes.
    #[inline(always)]
    fn sum(self, a: Self::V) -> f32 {
        let zero = self.splat(0.0);
        self.sum4([a, zero, zero, zero])[0]
    }
}
