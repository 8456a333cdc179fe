//! What a language model says of a token, and how far two say different things: sums over the vocabulary without a
//! matrix of probabilities. [`log_prob`] and [`kl_divergence`], with their gradients.
#![expect(unsafe_code, reason = "vectors of checked rows")]

use super::check_rows;
use crate::Result;
use crate::output::{Output, for_each_task};
use crate::packed::check_length;
use crate::simd::{Kernel, Level, Simd, exp, load_part, store_part};

/// Numbers looked at twice while they are in the level-1 cache.
const PART: usize = 4096;

/// Logits, and what they are compared with.
#[derive(Debug, Clone, Copy)]
pub enum Truth<'a> {
    /// A token of each row.
    Tokens(&'a [i32]),
    /// The logits of a model that is right, `[rows, width]`.
    Logits(&'a [f32]),
}

/// `log softmax(logits)[token]` of each row, in nats.
///
/// # Shapes
///
/// `logits`: `[rows, width]`, `tokens` and `out`: `[rows]`; `out` is overwritten.
///
/// # Errors
///
/// Buffers that do not fit each other, or a token that is none of `0..width`.
pub fn log_prob(logits: &[f32], width: usize, tokens: &[i32], out: &mut [f32]) -> Result<()> {
    run(logits, width, Truth::Tokens(tokens), out).map(|_| ())
}

/// `Σ p · (log p - log q)` of each row, in nats, where `p` and `q` are the softmax of `reference` and of `logits`.
///
/// # Shapes
///
/// `reference`, `logits`: `[rows, width]`, `out`: `[rows]`; `out` is overwritten.
///
/// # Errors
///
/// Buffers that do not fit each other.
pub fn kl_divergence(reference: &[f32], logits: &[f32], width: usize, out: &mut [f32]) -> Result<()> {
    run(logits, width, Truth::Logits(reference), out).map(|_| ())
}

/// The logarithm of the sum of exponentials of one row of logits, and the entropy of its softmax, in nats: what takes a logit
/// to a log-probability, and how open the choice was.
pub fn entropy(logits: &[f32]) -> [f32; 2] {
    Level::best().run(Entropy { logits })
}

/// The gradient of [`log_prob`] or [`kl_divergence`] with respect to `logits`, in their place; `slopes` are those of `out`.
///
/// # Errors
///
/// As there.
pub fn likelihood_backward(logits: &mut [f32], width: usize, truth: Truth<'_>, slopes: &[f32]) -> Result<()> {
    let mut out = vec![0.0; slopes.len()];
    let normal = run(logits, width, truth, &mut out)?;
    likelihood_backward_at(Level::best(), Output::new(logits), (width, truth), &normal, slopes);
    Ok(())
}

fn run(logits: &[f32], width: usize, truth: Truth<'_>, out: &mut [f32]) -> Result<Vec<f32>> {
    check_rows("logits", width, logits.len())?;
    let rows = logits.len().checked_div(width).unwrap_or(0);
    check_length("out", rows, out.len())?;
    truth.check(rows, width)?;
    let mut normal = vec![0.0; 2 * rows];
    let to = [Output::new(out), Output::new(&mut normal)];
    likelihood_into(Level::best(), logits, (width, truth), to);
    Ok(normal)
}

impl Truth<'_> {
    /// Whether it fits `rows` of logits.
    ///
    /// # Errors
    ///
    /// Another length, or a token that is none of `0..width`.
    pub(crate) fn check(&self, rows: usize, width: usize) -> Result<()> {
        match self {
            Self::Logits(reference) => check_length("reference", rows * width, reference.len()),
            Self::Tokens(tokens) => {
                check_length("tokens", rows, tokens.len())?;
                let known = |token: &&i32| usize::try_from(**token).is_ok_and(|token| token < width);
                match tokens.iter().find(|token| !known(token)) {
                    Some(token) => {
                        let got = usize::try_from(*token).unwrap_or(usize::MAX);
                        Err(crate::Error::Length { what: "vocabulary", expected: width, got })
                    }
                    None => Ok(()),
                }
            }
        }
    }
}

/// [`log_prob`] and [`kl_divergence`] of checked lengths: writes all of `out` and of `normal`, the logarithms of both sums of
/// exponentials (`[rows, 2]`).
pub(crate) fn likelihood_into(
    level: Level,
    logits: &[f32],
    (width, truth): (usize, Truth<'_>),
    [out, normal]: [Output<'_>; 2],
) {
    for_each_task(out.len(), logits.len(), |row| {
        let logits = &logits[row * width..][..width];
        let truth = match truth {
            Truth::Tokens(tokens) => Truth::Tokens(&tokens[row..=row]),
            Truth::Logits(all) => Truth::Logits(&all[row * width..][..width]),
        };
        level.run(Row { logits, truth, row, out, normal });
    });
}

/// [`likelihood_backward`] of checked lengths, given what [`likelihood_into`] wrote to `normal`.
pub(crate) fn likelihood_backward_at(
    level: Level,
    logits: Output<'_>,
    (width, truth): (usize, Truth<'_>),
    normal: &[f32],
    slopes: &[f32],
) {
    for_each_task(slopes.len(), logits.len(), |row| {
        let own = logits.part(row * width, width);
        let normal = [normal[2 * row], normal[2 * row + 1]];
        let reference = match truth {
            Truth::Logits(all) => Some(&all[row * width..][..width]),
            Truth::Tokens(_) => None,
        };
        level.run(RowBackward { logits: own, reference, normal, slope: slopes[row] });
        if let Truth::Tokens(tokens) = truth {
            // SAFETY: tasks have rows of their own, and the token was checked.
            unsafe { *own.at(tokens[row] as usize, 1) += slopes[row] };
        }
    });
}

struct Row<'a> {
    logits: &'a [f32],
    truth: Truth<'a>,
    row: usize,
    out: Output<'a>,
    normal: Output<'a>,
}

impl Kernel for Row<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let own = log_sum_exp(s, self.logits);
        let (value, other) = match self.truth {
            Truth::Tokens(tokens) => (self.logits[tokens[0] as usize] - own, 0.0),
            Truth::Logits(reference) => {
                let other = log_sum_exp(s, reference);
                (divergence(s, [reference, self.logits], [other, own]), other)
            }
        };
        // SAFETY: tasks have rows of their own.
        unsafe {
            *self.out.at(self.row, 1) = value;
            let normal = self.normal.at(2 * self.row, 2);
            (*normal, *normal.add(1)) = (own, other);
        }
    }
}

/// As [`load_part`], with what no sum of exponentials sees after the last number.
///
/// # Safety
/// `from` must be readable for `len` elements.
#[inline(always)]
unsafe fn load_or_none<S: Simd>(s: S, from: *const f32, len: usize) -> S::V {
    // SAFETY: the contract of this function.
    unsafe {
        if len >= S::LANES {
            return s.load(from);
        }
        let mut part = [f32::NEG_INFINITY; 16];
        std::ptr::copy_nonoverlapping(from, part.as_mut_ptr(), len);
        s.load(part.as_ptr())
    }
}

/// Logarithm of the sum of the exponentials, part by part around the largest number so far.
#[inline(always)]
fn log_sum_exp<S: Simd>(s: S, numbers: &[f32]) -> f32 {
    let (mut most, mut sum) = (f32::NEG_INFINITY, 0.0_f32);
    let mut start = 0;
    while start < numbers.len() {
        let part = &numbers[start..(start + PART).min(numbers.len())];
        start += PART;
        let mut largest = s.splat(f32::NEG_INFINITY);
        for at in (0..part.len()).step_by(S::LANES) {
            // SAFETY: cut to the part.
            largest = s.at_least(largest, unsafe { load_or_none(s, part.as_ptr().add(at), part.len() - at) });
        }
        let now = most.max(s.largest(largest));
        let (center, mut sums) = (s.splat(now), s.splat(0.0));
        for at in (0..part.len()).step_by(S::LANES) {
            // SAFETY: cut to the part.
            let x = unsafe { load_or_none(s, part.as_ptr().add(at), part.len() - at) };
            sums = s.add(sums, exp(s, s.sub(x, center)));
        }
        sum = sum * (most - now).exp() + s.sum(sums);
        most = now;
    }
    most + sum.ln()
}

/// `Σ p · (log p - log q)`.
#[inline(always)]
fn divergence<S: Simd>(s: S, [reference, logits]: [&[f32]; 2], [other, own]: [f32; 2]) -> f32 {
    let (center, between) = (s.splat(other), s.splat(own - other));
    let mut sums = s.splat(0.0);
    for at in (0..logits.len()).step_by(S::LANES) {
        let left = logits.len() - at;
        // SAFETY: cut to the row; both have one length.
        unsafe {
            let p = load_or_none(s, reference.as_ptr().add(at), left);
            let q = load_part(s, logits.as_ptr().add(at), left);
            let weight = exp(s, s.sub(p, center));
            // What has no weight may be infinite.
            let p = load_part(s, reference.as_ptr().add(at), left);
            sums = s.fma(weight, s.add(s.sub(p, q), between), sums);
        }
    }
    s.sum(sums)
}

pub(crate) struct Entropy<'a> {
    pub(crate) logits: &'a [f32],
}

impl Kernel for Entropy<'_> {
    type Out = [f32; 2];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [f32; 2] {
        let own = log_sum_exp(s, self.logits);
        let (center, mut sums) = (s.splat(own), s.splat(0.0));
        // What has no weight may be infinite.
        let least = s.splat(-1e30);
        for at in (0..self.logits.len()).step_by(S::LANES) {
            // SAFETY: cut to the row.
            let x = unsafe { load_or_none(s, self.logits.as_ptr().add(at), self.logits.len() - at) };
            let x = s.sub(s.at_least(x, least), center);
            sums = s.fma(exp(s, x), x, sums);
        }
        [own, -s.sum(sums)]
    }
}

struct RowBackward<'a> {
    logits: Output<'a>,
    reference: Option<&'a [f32]>,
    /// Logarithms of the sums of the exponentials, of the logits and of the reference.
    normal: [f32; 2],
    slope: f32,
}

impl Kernel for RowBackward<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let len = self.logits.len();
        let [own, other] = self.normal.map(|normal| s.splat(normal));
        // Of a divergence the probabilities themselves, of a log-probability their negatives.
        let sign = if self.reference.is_some() { self.slope } else { -self.slope };
        let slope = s.splat(sign);
        for at in (0..len).step_by(S::LANES) {
            // SAFETY: tasks have rows of their own; vectors are cut to the row.
            unsafe {
                let to = self.logits.at(at, (len - at).min(S::LANES));
                let mut p = exp(s, s.sub(load_part(s, to, len - at), own));
                if let Some(reference) = self.reference {
                    let right = load_part(s, reference.as_ptr().add(at), len - at);
                    p = s.sub(p, exp(s, s.sub(right, other)));
                }
                store_part(s, to, len - at, s.mul(p, slope));
            }
        }
    }
}
