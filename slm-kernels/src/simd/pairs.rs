//! Bfloats in pairs, as processors multiply them.
#![expect(unsafe_code, reason = "vectors to arrays and back")]

use burn::tensor::bf16;

use super::{Element, Kernel, Level, Simd, load_part};

/// Two neighbours of a row.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Pair([bf16; 2]);

impl Pair {
    /// `numbers`, of which there must be an even count.
    pub(crate) fn slice(numbers: &[bf16]) -> &[Self] {
        let (pairs, []) = numbers.as_chunks::<2>() else { panic!("an odd number of bfloats") };
        // SAFETY: `Pair` is an array of two and nothing else.
        unsafe { std::slice::from_raw_parts(pairs.as_ptr().cast(), pairs.len()) }
    }
}

impl Element for Pair {
    type Wide = Self;

    const COLUMNS: usize = 2;

    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const Self) -> S::V {
        // SAFETY: the contract of the method; a pair has the size of a float, and vectors keep bits as they are.
        unsafe { simd.load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_x<S: Simd>(simd: S, from: *const f32, len: usize) -> S::V {
        // SAFETY: the contract of the method.
        unsafe {
            let low = load_part(simd, from, len);
            let high = match len.checked_sub(S::LANES) {
                Some(left) if left > 0 => load_part(simd, from.add(S::LANES), left),
                _ => simd.splat(0.0),
            };
            simd.pair(low, high)
        }
    }

    #[inline(always)]
    fn fma<S: Simd>(simd: S, x: S::V, w: S::V, sum: S::V) -> S::V {
        simd.dot_pairs(x, w, sum)
    }

    #[inline(always)]
    fn run<K: Kernel>(level: Level, kernel: K) -> K::Out {
        level.run_bf16(kernel)
    }
}

/// `x` as a bfloat, in `f32`: nearest, ties to even.
#[inline(always)]
pub(crate) fn rounded(x: f32) -> f32 {
    let bits = x.to_bits();
    let up = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000;
    if x.is_nan() { x } else { f32::from_bits(up) }
}

/// [`Simd::pair`], number by number.
#[inline(always)]
pub(super) fn pair<S: Simd>(s: S, low: S::V, high: S::V) -> S::V {
    let mut numbers = [0.0; 32];
    // SAFETY: the array has room for two of the longest vectors, and as many pairs are written as are loaded.
    unsafe {
        s.store(numbers.as_mut_ptr(), low);
        s.store(numbers.as_mut_ptr().add(S::LANES), high);
        let mut pairs = [0.0_f32; 16];
        for (pair, [low, high]) in pairs.iter_mut().zip(numbers.as_chunks().0) {
            *pair = f32::from_bits(rounded(*low).to_bits() >> 16 | rounded(*high).to_bits());
        }
        s.load(pairs.as_ptr())
    }
}

/// [`Simd::dot_pairs`], lane by lane.
#[inline(always)]
pub(super) fn dot<S: Simd>(s: S, a: S::V, b: S::V, c: S::V) -> S::V {
    let [mut lanes_a, mut lanes_b, mut sums] = [[0.0_f32; 16]; 3];
    // SAFETY: the arrays have room for the longest vector.
    unsafe {
        s.store(lanes_a.as_mut_ptr(), a);
        s.store(lanes_b.as_mut_ptr(), b);
        s.store(sums.as_mut_ptr(), c);
        for (sum, (a, b)) in sums.iter_mut().zip(lanes_a.into_iter().zip(lanes_b)) {
            let [a, b] = [a.to_bits(), b.to_bits()];
            let product = |a, b| f32::from_bits(a) * f32::from_bits(b);
            *sum += product(a << 16, b << 16) + product(a & 0xffff_0000, b & 0xffff_0000);
        }
        s.load(sums.as_ptr())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Dot<'a> {
        a: &'a [f32; 32],
        b: &'a [bf16; 32],
        c: &'a [f32; 16],
    }

    impl Kernel for Dot<'_> {
        type Out = ([f32; 16], usize);

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Out {
            let mut out = [0.0; 16];
            // SAFETY: all arrays are long enough for the longest vectors.
            unsafe {
                let x = Pair::load_x(s, self.a.as_ptr(), 2 * S::LANES);
                let w = Pair::load(s, Pair::slice(self.b).as_ptr());
                s.store(out.as_mut_ptr(), Pair::fma(s, x, w, s.load(self.c.as_ptr())));
            }
            (out, S::LANES)
        }
    }

    proptest! {
        #[test]
        fn pairs_are_multiplied_and_summed(
            a in prop::array::uniform32(-4.0_f32..4.0),
            b in prop::array::uniform32(-4.0_f32..4.0),
            c in prop::array::uniform16(-4.0_f32..4.0),
        ) {
            let b = b.map(bf16::from_f32);
            for level in Level::available() {
                for (out, lanes) in [level.run(Dot { a: &a, b: &b, c: &c }), level.run_bf16(Dot { a: &a, b: &b, c: &c })] {
                    for lane in 0..lanes {
                        let product = |at: usize| bf16::from_f32(a[at]).to_f64() * b[at].to_f64();
                        let want = f64::from(c[lane]) + product(2 * lane) + product(2 * lane + 1);
                        prop_assert!((f64::from(out[lane]) - want).abs() < 1e-5, "{level:?} {lane}: {} {want}", out[lane]);
                    }
                }
            }
        }

        #[test]
        fn rounding_is_that_of_bfloats(bits in any::<u32>()) {
            let x = f32::from_bits(bits);
            let (got, want) = (rounded(x), bf16::from_f32(x).to_f32());
            prop_assert!(got == want || (got.is_nan() && want.is_nan()), "{x}: {got} {want}");
        }
    }
}
