//! Elementary functions on vectors.

use super::Simd;

/// e to the power of `x`, within 2 units in the last place of the true value where that is a normal number;
/// 0 below -104.
///
/// x = n·ln 2 + r with |r| <= ln 2 / 2; the polynomial of degree 7 is Taylor's, whose rest is below 1e-8.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    // ln 2 in two parts: n times the first is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = s.at_least(s.splat(-104.0), s.at_most(s.splat(89.0), x));
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fma(n, s.splat(-LN2_HIGH), x);
    let r = s.fma(n, s.splat(-LN2_LOW), r);
    let mut p = s.splat(1.0 / 5040.0);
    p = s.fma(p, r, s.splat(1.0 / 720.0));
    p = s.fma(p, r, s.splat(1.0 / 120.0));
    p = s.fma(p, r, s.splat(1.0 / 24.0));
    p = s.fma(p, r, s.splat(1.0 / 6.0));
    p = s.fma(p, r, s.splat(0.5));
    p = s.fma(p, s.mul(r, r), r);
    p = s.add(p, s.splat(1.0));
    // In two steps, because n reaches -150 and 128, where a power of two is no normal number.
    let half = s.round(s.mul(n, s.splat(0.5)));
    s.mul(s.mul(p, s.pow2(half)), s.pow2(s.sub(n, half)))
}

/// 1 / (1 + exp(-x)).
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.sub(s.splat(0.0), x))))
}

/// tanh, within 4e-7 of the true value, relative to it.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    let square = s.mul(x, x);
    let e = exp(s, s.add(x, x));
    let far = s.sub(one, s.div(s.splat(2.0), s.add(e, one)));
    // Near zero the formula above cancels.
    let mut p = s.splat(62.0 / 2835.0);
    p = s.fma(p, square, s.splat(-17.0 / 315.0));
    p = s.fma(p, square, s.splat(2.0 / 15.0));
    p = s.fma(p, square, s.splat(-1.0 / 3.0));
    let near = s.fma(s.mul(p, square), x, x);
    s.less(square, s.splat(0.0625), near, far)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Kernel, Level};

    struct Map<'a>(&'a [f32], u8);

    impl Kernel for Map<'_> {
        type Out = Vec<f32>;

        #[inline(always)]
        #[expect(unsafe_code, reason = "loads and stores")]
        fn run<S: Simd>(self, s: S) -> Vec<f32> {
            let mut out = vec![0.0; self.0.len()];
            for (x, y) in self.0.chunks_exact(S::LANES).zip(out.chunks_exact_mut(S::LANES)) {
                // SAFETY: chunks of the width of a vector.
                unsafe {
                    let x = s.load(x.as_ptr());
                    let value = match self.1 {
                        0 => exp(s, x),
                        1 => sigmoid(s, x),
                        _ => tanh(s, x),
                    };
                    s.store(y.as_mut_ptr(), value);
                }
            }
            out
        }
    }

    #[test]
    fn functions_are_close_to_the_true_values() {
        let xs: Vec<f32> = (-16_000..16_000).map(|i| i as f32 * 0.005).collect();
        for level in Level::available() {
            for (kind, f) in
                [(0, (|x: f64| x.exp()) as fn(f64) -> f64), (1, |x| 1.0 / (1.0 + (-x).exp())), (2, f64::tanh)]
            {
                for (x, got) in xs.iter().zip(level.run(Map(&xs, kind))) {
                    let want = f(f64::from(*x));
                    let error = (f64::from(got) - want).abs() / want.abs().max(1e-30);
                    assert!(error < 4e-7, "{level:?} {kind}: f({x}) = {want}, got {got}");
                }
            }
        }
    }

    #[test]
    fn ends_of_the_range() {
        let xs = [f32::NEG_INFINITY, -200.0, -103.0, 0.0, 88.0, 200.0, f32::INFINITY, f32::NAN].repeat(2);
        for level in Level::available() {
            let got = level.run(Map(&xs, 0));
            assert_eq!([got[0], got[1], got[3]], [0.0, 0.0, 1.0], "{level:?}");
            assert!(got[2] >= 0.0 && got[2] < 1e-44 && got[4] > 1.6e38, "{level:?}");
            assert_eq!([got[5], got[6]], [f32::INFINITY; 2], "{level:?}");
            assert!(got[7].is_nan(), "{level:?}");
        }
    }
}
