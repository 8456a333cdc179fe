//! Scales and minimums of one group, by search: candidates that clip more or less of the range, each brought to its
//! best by least squares.

use half::f16;

use super::{Level, Steps, Unit};

/// Rounds to the nearest integer, ties to even; `x` is between -2^22 and 2^22.
#[inline]
pub(super) fn round(x: f32) -> f32 {
    // Adding 1.5 · 2^23 leaves no bits for a fraction; unlike `f32::round` this needs no call on old processors.
    const SHIFT: f32 = 12_582_912.0;
    (x + SHIFT) - SHIFT
}

/// The entry of an ascending table nearest to `x`.
#[inline]
pub(super) fn nearest_entry(table: &[f32; 16], x: f32) -> i8 {
    let mut code = 0;
    for pair in table.windows(2) {
        code += i8::from(x > f32::midpoint(pair[0], pair[1]));
    }
    code
}

/// The group's stored numbers.
pub(super) fn unit(weights: &[f32], importance: &[f32], steps: Steps) -> Unit {
    match steps {
        Steps::Affine { high } => {
            let (scale, minimum) = affine(weights, importance, high, false);
            half_precision(scale, minimum)
        }
        Steps::Whole { high } => whole(weights, importance, high),
        _ => half_precision(scale(weights, importance, steps), 0.0),
    }
}

/// The best stored numbers for given codes.
pub(super) fn refit(
    unit: &Unit,
    (weights, importance): (&[f32], &[f32]),
    codes: &[i8],
    steps: Steps,
) -> Unit {
    let sums = codes.iter().zip(weights).zip(importance).fold(Sums::default(), |sums, ((code, w), i)| {
        let step = match steps {
            Steps::Table(table) => table[(*code & 15) as usize],
            _ => f32::from(*code),
        };
        sums.add(step, *w, *i)
    });
    let solved = match steps {
        Steps::Affine { .. } => sums.line(),
        Steps::Whole { high } => {
            return sums.zero(high).map_or(*unit, |(scale, zero, _)| at_zero(scale, zero));
        }
        _ => sums.slope().map(|scale| (scale, 0.0)),
    };
    solved.map_or(*unit, |(scale, minimum)| half_precision(scale, minimum))
}

pub(super) fn half_precision(scale: f32, minimum: f32) -> Unit {
    Unit { scale: to_half(scale), minimum: to_half(minimum), ..Unit::default() }
}

/// `(code - zero) · scale`.
fn at_zero(scale: f32, zero: f32) -> Unit {
    let scale = to_half(scale);
    half_precision(scale.to_f32(), -zero * scale.to_f32())
}

/// The nearest number of half precision that is finite.
pub(super) fn to_half(x: f32) -> f16 {
    f16::from_f32(x.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()))
}

/// Sums of a weighted least-squares fit of weights by codes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    i: f32,
    q: f32,
    w: f32,
    qq: f32,
    qw: f32,
    ww: f32,
}

impl Sums {
    #[inline]
    pub(super) fn add(self, q: f32, w: f32, i: f32) -> Self {
        Self {
            i: self.i + i,
            q: self.q + i * q,
            w: self.w + i * w,
            qq: self.qq + i * q * q,
            qw: self.qw + i * q * w,
            ww: self.ww + i * w * w,
        }
    }

    /// The scale without a minimum.
    pub(super) fn slope(&self) -> Option<f32> {
        (self.qq > 0.0).then(|| self.qw / self.qq).filter(|s| s.is_finite())
    }

    /// Scale and minimum.
    pub(super) fn line(&self) -> Option<(f32, f32)> {
        let determinant = self.i * self.qq - self.q * self.q;
        if determinant <= self.i * self.qq * 1e-6 {
            return None;
        }
        let scale = (self.i * self.qw - self.q * self.w) / determinant;
        let minimum = (self.qq * self.w - self.q * self.qw) / determinant;
        (scale.is_finite() && minimum.is_finite()).then_some((scale, minimum))
    }

    /// Scale, zero point from 1 to `high`, and error, with the zero points beside that of [`Sums::line`] tried.
    fn zero(&self, high: i8) -> Option<(f32, f32, f32)> {
        let free = self.line().map_or(0.0, |(scale, minimum)| -minimum / scale);
        let low = free.floor().clamp(1.0, f32::from(high));
        let mut best: Option<(f32, f32, f32)> = None;
        for zero in [low, (low + 1.0).min(f32::from(high))] {
            let over = self.qq - 2.0 * zero * self.q + zero * zero * self.i;
            let scale = (self.qw - zero * self.w) / over;
            if scale.is_finite() && scale > 0.0 {
                let error = self.error(scale, -zero * scale);
                if best.is_none_or(|(.., least)| error < least) {
                    best = Some((scale, zero, error));
                }
            }
        }
        best
    }

    /// The weighted squared error of a scale and a minimum with these codes.
    pub(super) fn error(&self, scale: f32, minimum: f32) -> f32 {
        self.ww - 2.0 * (scale * self.qw + minimum * self.w)
            + scale * scale * self.qq
            + 2.0 * scale * minimum * self.q
            + minimum * minimum * self.i
    }
}

/// The weighted squared error of rounding to the nearest code.
pub(super) fn error(weights: &[f32], importance: &[f32], level: &Level) -> f32 {
    let term = |(w, i): (&f32, &f32)| {
        let e = w - level.nearest(*w).1;
        i * e * e
    };
    weights.iter().zip(importance).map(term).sum()
}

/// Sums over the codes that rounding to a level chooses.
fn sums_at(weights: &[f32], importance: &[f32], level: &Level) -> Sums {
    let unscaled = Level::new(1.0, 0.0, level.steps);
    weights
        .iter()
        .zip(importance)
        .fold(Sums::default(), |sums, (w, i)| sums.add(unscaled.value(level.nearest(*w).0), *w, *i))
}

/// A scale for codes without a minimum. It may be negative, where the largest weight is worth the one code more that
/// the negative side has.
pub(super) fn scale(weights: &[f32], importance: &[f32], steps: Steps) -> f32 {
    let largest = weights.iter().fold(0.0_f32, |a, w| if w.abs() > a.abs() { *w } else { a });
    let (low, high) = match steps {
        Steps::Symmetric { low, high } => (f32::from(low), f32::from(high)),
        Steps::Table(table) => (table[0], table[15]),
        Steps::Affine { high } | Steps::Whole { high } => (0.0, f32::from(high)),
    };
    if largest == 0.0 {
        return 0.0;
    }
    let mut best = (f32::INFINITY, largest / low);
    let consider = |best: &mut (f32, f32), candidate: f32| {
        let sums = sums_at(weights, importance, &Level::new(candidate, 0.0, steps));
        if let Some(scale) = sums.slope() {
            let error = sums.error(scale, 0.0);
            if error < best.0 {
                *best = (error, scale);
            }
        }
    };
    // With 8 bits there is nothing to win by clipping.
    let (from, to, count) = if high - low > 100.0 && !matches!(steps, Steps::Table(_)) {
        (0.995, 1.005, 3)
    } else {
        (0.80, 1.55, 20)
    };
    for edge in [low, high] {
        if edge == high && low == -high {
            continue;
        }
        for index in 0..count {
            let stretch = from + (to - from) * index as f32 / (count - 1) as f32;
            consider(&mut best, largest / (edge * stretch));
        }
    }
    for _ in 0..3 {
        let before = best;
        consider(&mut best, before.1);
        if best == before {
            break;
        }
    }
    best.1
}

/// A scale and a minimum for codes from 0 to `high`; with `below_zero` the minimum is at most 0.
pub(super) fn affine(weights: &[f32], importance: &[f32], high: i8, below_zero: bool) -> (f32, f32) {
    let (mut low, mut top) = (f32::INFINITY, f32::NEG_INFINITY);
    for w in weights {
        (low, top) = (low.min(*w), top.max(*w));
    }
    if below_zero {
        (low, top) = (low.min(0.0), top.max(0.0));
    }
    let range = top - low;
    if range <= 0.0 {
        return (0.0, if below_zero { low.min(0.0) } else { low });
    }
    let steps = Steps::Affine { high };
    let mut best = (f32::INFINITY, range / f32::from(high), low);
    let consider = |best: &mut (f32, f32, f32), scale: f32, minimum: f32| {
        let sums = sums_at(weights, importance, &Level::new(scale, minimum, steps));
        let solved = match sums.line() {
            Some((_, m)) if below_zero && m > 0.0 => sums.slope().map(|s| (s, 0.0)),
            other => other,
        };
        if let Some((s, m)) = solved.filter(|(s, _)| *s > 0.0) {
            let error = sums.error(s, m);
            if error < best.0 {
                *best = (error, s, m);
            }
        }
    };
    const CUTS: [f32; 5] = [-0.02, 0.015, 0.05, 0.09, 0.14];
    for under in CUTS {
        for over in CUTS {
            consider(&mut best, range * (1.0 - under - over) / f32::from(high), low + under * range);
        }
    }
    for _ in 0..3 {
        let before = best;
        consider(&mut best, before.1, before.2);
        if best == before {
            break;
        }
    }
    (best.1, best.2)
}

/// A scale and a whole zero point for codes from 0 to `high`, from the best that any minimum at most 0 gives.
fn whole(weights: &[f32], importance: &[f32], high: i8) -> Unit {
    let (scale, minimum) = affine(weights, importance, high, true);
    if scale <= 0.0 {
        return Unit::default();
    }
    let steps = Steps::Affine { high };
    let mut best = (f32::INFINITY, scale, (-minimum / scale).round().clamp(1.0, f32::from(high)));
    for _ in 0..6 {
        let level = Level::new(best.1, -best.2 * best.1, steps);
        match sums_at(weights, importance, &level).zero(high) {
            Some((scale, zero, error)) if error < best.0 => best = (error, scale, zero),
            _ => break,
        }
    }
    at_zero(best.1, best.2)
}
