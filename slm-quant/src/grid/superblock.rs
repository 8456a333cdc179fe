//! Stored numbers of a K-quant's super-block: the scales of its parts are themselves codes of one scale.
//!
//! Each part is fitted alone first. Then the parts' codes and the block's scale are chosen in turns: around its best
//! fit a part tries the neighbouring codes, and the block's scale follows by least squares.

use half::f16;

use super::fit::{Sums, affine as fit_affine, error, scale as fit_scale, to_half};
use super::{Level, Steps, Unit};

const ROUNDS: usize = 3;
/// Largest scale and minimum of a part of Q4_K and Q5_K: 6 bits.
const SIX_BITS: f32 = 63.0;

/// Eight parts of 32 weights with a scale and a minimum in 6 bits each (Q4_K, Q5_K).
pub(super) fn affine(weights: &[f32], importance: &[f32], high: i8) -> Unit {
    let mut fits = [(0.0_f32, 0.0_f32); 8];
    for ((fit, w), i) in fits.iter_mut().zip(weights.chunks(32)).zip(importance.chunks(32)) {
        *fit = fit_affine(w, i, high, true);
    }
    let largest = |f: &dyn Fn(&(f32, f32)) -> f32| fits.iter().map(f).fold(0.0_f32, f32::max);
    let mut unit = Unit {
        scale: to_half(largest(&|f| f.0) / SIX_BITS),
        minimum: to_half(largest(&|f| -f.1) / SIX_BITS),
        ..Unit::default()
    };
    let mut best = (f32::INFINITY, unit);
    for _ in 0..ROUNDS {
        let mut total = 0.0;
        let mut sums = Normal::default();
        for (part, (w, i)) in weights.chunks(32).zip(importance.chunks(32)).enumerate() {
            let (error, s, m) = neighbours(&unit, fits[part], (w, i), high);
            (unit.scales[part], unit.minimums[part]) = (s, m);
            total += error;
            sums.add(&unit, part, (w, i), high);
        }
        if total < best.0 {
            best = (total, unit);
        }
        let Some((d, m)) = sums.solve(&unit) else { break };
        (unit.scale, unit.minimum) = (d, m);
    }
    best.1
}

/// The codes of a part's scale and minimum, among those around the best fit.
fn neighbours(unit: &Unit, fit: (f32, f32), (w, i): (&[f32], &[f32]), high: i8) -> (f32, i8, u8) {
    let (d, dm) = (unit.scale.to_f32(), unit.minimum.to_f32());
    let code = |x: f32, unit: f32| if unit > 0.0 { (x / unit).round().clamp(0.0, SIX_BITS) } else { 0.0 };
    let (s0, m0) = (code(fit.0, d), code(-fit.1, dm));
    let mut best = (f32::INFINITY, 0, 0);
    for ds in [0.0, -1.0, 1.0, 2.0] {
        for dm_step in [0.0, -1.0, 1.0] {
            let (s, m) = (s0 + ds, m0 + dm_step);
            if !(0.0..=SIX_BITS).contains(&s) || !(0.0..=SIX_BITS).contains(&m) {
                continue;
            }
            let e = error(w, i, &Level::new(d * s, -dm * m, Steps::Affine { high }));
            if e < best.0 {
                best = (e, s as i8, m as u8);
            }
        }
    }
    best
}

/// The normal equations of a super-block's two scales.
#[derive(Debug, Default)]
struct Normal {
    aa: f64,
    ab: f64,
    bb: f64,
    aw: f64,
    bw: f64,
}

impl Normal {
    /// Adds a part with the codes that its level chooses.
    fn add(&mut self, unit: &Unit, part: usize, (w, i): (&[f32], &[f32]), high: i8) {
        let (s, m) = (f32::from(unit.scales[part]), f32::from(unit.minimums[part]));
        let level = Level::new(unit.scale.to_f32() * s, -unit.minimum.to_f32() * m, Steps::Affine { high });
        for (w, i) in w.iter().zip(i) {
            self.add_weight(f32::from(level.nearest(*w).0) * s, m, *w, *i);
        }
    }

    fn add_weight(&mut self, a: f32, b: f32, w: f32, i: f32) {
        self.aa += f64::from(i * a * a);
        self.ab += f64::from(i * a * b);
        self.bb += f64::from(i * b * b);
        self.aw += f64::from(i * a * w);
        self.bw += f64::from(i * b * w);
    }

    /// `w ≈ scale · a - minimum · b`.
    fn solve(&self, unit: &Unit) -> Option<(f16, f16)> {
        if self.aa <= 0.0 {
            return None;
        }
        let determinant = self.aa * self.bb - self.ab * self.ab;
        if self.bb <= 0.0 || determinant <= self.aa * self.bb * 1e-9 {
            let scale = (self.aw + f64::from(unit.minimum.to_f32()) * self.ab) / self.aa;
            return positive(scale).map(|scale| (scale, unit.minimum));
        }
        let scale = (self.bb * self.aw - self.ab * self.bw) / determinant;
        let minimum = (self.ab * self.aw - self.aa * self.bw) / determinant;
        positive(scale).zip(positive(minimum))
    }
}

fn positive(x: f64) -> Option<f16> {
    (x.is_finite() && x >= 0.0).then(|| to_half(x as f32))
}

/// The super-block's two scales for given codes.
pub(super) fn refit_affine(unit: &Unit, (w, i): (&[f32], &[f32]), codes: &[i8]) -> Unit {
    let mut sums = Normal::default();
    for (index, ((w, i), code)) in w.iter().zip(i).zip(codes).enumerate() {
        let part = index / 32;
        let (s, m) = (f32::from(unit.scales[part]), f32::from(unit.minimums[part]));
        sums.add_weight(f32::from(*code) * s, m, *w, *i);
    }
    match sums.solve(unit) {
        Some((scale, minimum)) => Unit { scale, minimum, ..*unit },
        None => *unit,
    }
}

/// Sixteen parts of 16 weights with a scale in 8 bits each (Q6_K).
pub(super) fn symmetric(weights: &[f32], importance: &[f32]) -> Unit {
    let steps = Steps::Symmetric { low: -32, high: 31 };
    let mut fits = [0.0_f32; 16];
    for ((fit, w), i) in fits.iter_mut().zip(weights.chunks(16)).zip(importance.chunks(16)) {
        *fit = fit_scale(w, i, steps);
    }
    let largest = fits.iter().fold(0.0_f32, |a, f| if f.abs() > a.abs() { *f } else { a });
    // The largest takes the code -128, which the other sign does not have.
    let mut unit = Unit { scale: to_half(largest / -128.0), ..Unit::default() };
    let mut best = (f32::INFINITY, unit);
    for _ in 0..ROUNDS {
        let (mut total, mut sums) = (0.0, Sums::default());
        for (part, (w, i)) in weights.chunks(16).zip(importance.chunks(16)).enumerate() {
            let d = unit.scale.to_f32();
            let start = if d == 0.0 { 0.0 } else { (fits[part] / d).round() };
            let mut chosen = (f32::INFINITY, 0);
            for step in [0.0, -1.0, 1.0] {
                let code = (start + step).clamp(-128.0, 127.0);
                let e = error(w, i, &Level::new(d * code, 0.0, steps));
                if e < chosen.0 {
                    chosen = (e, code as i8);
                }
            }
            unit.scales[part] = chosen.1;
            total += chosen.0;
            let (s, level) = (f32::from(chosen.1), Level::new(d * f32::from(chosen.1), 0.0, steps));
            for (w, i) in w.iter().zip(i) {
                sums = sums.add(f32::from(level.nearest(*w).0) * s, *w, *i);
            }
        }
        if total < best.0 {
            best = (total, unit);
        }
        let Some(scale) = sums.slope() else { break };
        unit.scale = to_half(scale);
    }
    best.1
}

/// The super-block's scale for given codes.
pub(super) fn refit_symmetric(unit: &Unit, (w, i): (&[f32], &[f32]), codes: &[i8]) -> Unit {
    let mut sums = Sums::default();
    for (index, ((w, i), code)) in w.iter().zip(i).zip(codes).enumerate() {
        sums = sums.add(f32::from(*code) * f32::from(unit.scales[index / 16]), *w, *i);
    }
    sums.slope().map_or(*unit, |scale| Unit { scale: to_half(scale), ..*unit })
}
