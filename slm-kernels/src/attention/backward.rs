//! The gradients of attention.
//!
//! Scores of a block of queries are computed again rather than kept (FlashAttention), and stand transposed,
//! `[keys, queries]`: the softmax then runs along lanes, and all five products are the same loop.
#![expect(unsafe_code, reason = "pointers into checked matrices")]

use std::ops::Range;

use super::page::padded;
use super::{AttentionOptions, Shape};
use crate::Result;
use crate::output::{Output, for_each_task};
use crate::packed::check_length;
use crate::scratch::Scratch;
use crate::simd::{Kernel, Level, Outer, Simd, exp, product, tanh};

/// Rows (tokens times heads of a group) of a block.
const ROWS: usize = 48;

/// What [`attention`](super::attention) read, and the gradient of what it wrote.
#[derive(Debug, Clone, Copy)]
pub struct Forward<'a> {
    /// `[batch, new, heads, dim]`.
    pub q: &'a [f32],
    /// `[batch, all, kv_heads, dim]`.
    pub k: &'a [f32],
    /// As the keys.
    pub v: &'a [f32],
    /// As the queries.
    pub dy: &'a [f32],
}

/// The gradients of queries, keys and values of [`attention`](super::attention), of `batch` sequences of one
/// length.
///
/// # Shapes
///
/// As in [`Forward`]; `dq`, `dk`, `dv` are overwritten.
///
/// # Errors
///
/// Buffers that do not fit the shape or each other.
pub fn attention_backward(
    forward: Forward<'_>,
    batch: usize,
    shape: Shape,
    options: &AttentionOptions,
    [dq, dk, dv]: [&mut [f32]; 3],
) -> Result<()> {
    let (group, width) = (shape.heads.checked_div(shape.kv_heads).unwrap_or(0), shape.kv_heads * shape.dim);
    check_length("query heads", group * shape.kv_heads, shape.heads)?;
    let tokens = |len: usize, width: usize| len.checked_div(batch * width).unwrap_or(0);
    let all = tokens(forward.k.len(), width);
    check_length("k", batch * all * width, forward.k.len())?;
    let new = tokens(forward.q.len(), shape.heads * shape.dim).min(all);
    check_length("q", batch * new * shape.heads * shape.dim, forward.q.len())?;
    check_length("v", forward.k.len(), forward.v.len())?;
    check_length("dy", forward.q.len(), forward.dy.len())?;
    check_length("dq", forward.q.len(), dq.len())?;
    check_length("dk", forward.k.len(), dk.len())?;
    check_length("dv", forward.k.len(), dv.len())?;
    backward_into(Level::best(), forward, batch, (shape, options), [dq, dk, dv].map(Output::new));
    Ok(())
}

/// [`attention_backward`] of checked sizes: writes all of `out`, the gradients of queries, keys and values.
pub(crate) fn backward_into(
    level: Level,
    forward: Forward<'_>,
    batch: usize,
    (shape, options): (Shape, &AttentionOptions),
    out: [Output<'_>; 3],
) {
    let Shape { heads, kv_heads, dim } = shape;
    if batch == 0 || kv_heads == 0 || dim == 0 {
        return;
    }
    let (new, all) = (forward.q.len() / (batch * heads * dim), forward.k.len() / (batch * kv_heads * dim));
    let work = 5 * forward.q.len() * (all - new / 2);
    for_each_task(batch * kv_heads, work, |task| {
        let (sequence, kv_head) = (task / kv_heads, task % kv_heads);
        level.run(Task { forward, shape, options, out, new, all, sequence, kv_head });
    });
}

/// The heads of one group of one sequence.
struct Task<'a> {
    forward: Forward<'a>,
    shape: Shape,
    options: &'a AttentionOptions,
    out: [Output<'a>; 3],
    new: usize,
    all: usize,
    sequence: usize,
    kv_head: usize,
}

/// Rows of queries, of the gradients of their outputs, and both transposed.
struct Rows {
    /// `[rows, width]`.
    q: Scratch,
    dy: Scratch,
    /// `[dim, lanes]`.
    q_t: Scratch,
    dy_t: Scratch,
    /// First key that a row sees, and the one after the last: `[lanes]`.
    seen: [Scratch; 2],
    count: usize,
    lanes: usize,
}

impl Kernel for Task<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Shape { heads, kv_heads, dim } = self.shape;
        let (width, group) = (padded(dim), heads / kv_heads);
        let [k, v] = [self.forward.k, self.forward.v].map(|from| self.packed(from));
        let mut sums = [Scratch::new(self.all * width), Scratch::new(self.all * width)];
        sums.iter_mut().for_each(|sum| sum.fill(0.0));
        let tokens = (ROWS / group).max(1);
        for first in (0..self.new).step_by(tokens) {
            let tokens = first..(first + tokens).min(self.new);
            self.block(s, tokens, [&k, &v], &mut sums);
        }
        for (sum, out) in sums.iter().zip(&self.out[1..]) {
            for (token, row) in sum.chunks_exact(width).enumerate() {
                // SAFETY: tasks have disjoint heads of a sequence.
                unsafe { self.write(*out, self.key(token), row) };
            }
        }
    }
}

impl Task<'_> {
    /// Where this head of the key `token` starts.
    fn key(&self, token: usize) -> usize {
        ((self.sequence * self.all + token) * self.shape.kv_heads + self.kv_head) * self.shape.dim
    }

    /// Where row `row` of a block from `token` starts in the queries.
    fn query(&self, token: usize, row: usize) -> usize {
        let Shape { heads, kv_heads, dim } = self.shape;
        let group = heads / kv_heads;
        let head = self.kv_head * group + row % group;
        ((self.sequence * self.new + token + row / group) * heads + head) * dim
    }

    /// # Safety
    /// Tasks that run at the same time must write different rows.
    #[inline(always)]
    unsafe fn write(&self, out: Output<'_>, at: usize, row: &[f32]) {
        let dim = self.shape.dim;
        assert!(row.len() >= dim);
        // SAFETY: `at` checks the place, the row is long enough; unshared by the contract.
        unsafe { std::ptr::copy_nonoverlapping(row.as_ptr(), out.at(at, dim), dim) };
    }

    /// This head of all keys or values, `[all, width]`.
    fn packed(&self, from: &[f32]) -> Scratch {
        let (dim, width) = (self.shape.dim, padded(self.shape.dim));
        let mut to = Scratch::new(self.all * width);
        for (token, to) in to.chunks_exact_mut(width).enumerate() {
            to[..dim].copy_from_slice(&from[self.key(token)..][..dim]);
            to[dim..].fill(0.0);
        }
        to
    }

    fn rows(&self, tokens: &Range<usize>) -> Rows {
        let Shape { heads, kv_heads, dim } = self.shape;
        let (group, width) = (heads / kv_heads, padded(dim));
        let count = tokens.len() * group;
        let lanes = padded(count);
        let mut rows = Rows {
            q: Scratch::new(count * width),
            dy: Scratch::new(count * width),
            q_t: Scratch::new(dim * lanes),
            dy_t: Scratch::new(dim * lanes),
            seen: [Scratch::new(lanes), Scratch::new(lanes)],
            count,
            lanes,
        };
        let both =
            [(self.forward.q, &mut rows.q, &mut rows.q_t), (self.forward.dy, &mut rows.dy, &mut rows.dy_t)];
        for (from, to, transposed) in both {
            transposed.fill(0.0);
            for (row, to) in to.chunks_exact_mut(width).enumerate() {
                let from = &from[self.query(tokens.start, row)..][..dim];
                to[..dim].copy_from_slice(from);
                to[dim..].fill(0.0);
                for (column, from) in transposed.chunks_exact_mut(lanes).zip(from) {
                    column[row] = *from;
                }
            }
        }
        let [first, end] = &mut rows.seen;
        for row in 0..lanes {
            let token = tokens.start + row / group;
            // Lanes beyond the rows see nothing.
            let seen = if row < count { self.visible(token) } else { 0..0 };
            (first[row], end[row]) = (seen.start as f32, seen.end as f32);
        }
        rows
    }

    fn visible(&self, token: usize) -> Range<usize> {
        self.options.visible(self.all - self.new + token, self.all)
    }

    /// Takes in the queries of `tokens`: writes their gradients, and adds to those of keys and values.
    #[inline(always)]
    fn block<S: Simd>(&self, s: S, tokens: Range<usize>, [k, v]: [&Scratch; 2], [dk, dv]: &mut [Scratch; 2]) {
        let (dim, width) = (self.shape.dim, padded(self.shape.dim));
        let rows = self.rows(&tokens);
        let lanes = rows.lanes;
        let keys = self.visible(tokens.start).start..self.visible(tokens.end - 1).end;
        let at = keys.start * width;
        let mut weights = Scratch::new(keys.len() * lanes);
        let mut slopes = Scratch::new(keys.len() * lanes);
        let mut dq = Scratch::new(rows.count * width);
        // `[keys, dim] · [dim, lanes]`
        let across = |a: &[f32], b: &[f32], c: &mut [f32]| Outer {
            a: a.as_ptr(),
            a_stride: width,
            a_step: 1,
            b: b.as_ptr(),
            b_stride: lanes,
            depth: dim,
            c: c.as_mut_ptr(),
            c_stride: lanes,
            fresh: true,
            ahead: 0,
        };
        // `[keys, rows] · [rows, width]`, added to
        let down = |a: &[f32], b: &[f32], c: &mut [f32]| Outer {
            a: a.as_ptr(),
            a_stride: lanes,
            b: b.as_ptr(),
            b_stride: width,
            depth: rows.count,
            c: c.as_mut_ptr(),
            c_stride: width,
            fresh: false,
            ..across(a, b, c)
        };
        let (columns, vectors) = (lanes / S::LANES, width / S::LANES);
        // SAFETY: sizes as the closures say; `keys` are within `all`, and all widths are whole vectors.
        unsafe {
            product(s, keys.len(), columns, across(&k[at..], &rows.q_t, &mut weights));
            let caps = self.soften(s, &rows, &keys, &mut weights);
            product(s, keys.len(), columns, across(&v[at..], &rows.dy_t, &mut slopes));
            product(s, keys.len(), vectors, down(&weights, &rows.dy, &mut dv[at..]));
            self.slopes(s, lanes, &weights, &mut slopes, caps.as_deref());
            product(s, keys.len(), vectors, down(&slopes, &rows.q, &mut dk[at..]));
            let tile = Outer {
                a: slopes.as_ptr(),
                a_stride: 1,
                a_step: lanes,
                b: k[at..].as_ptr(),
                b_stride: width,
                depth: keys.len(),
                c: dq.as_mut_ptr(),
                c_stride: width,
                fresh: true,
                ahead: 0,
            };
            product(s, rows.count, vectors, tile);
        }
        for (row, dq) in dq.chunks_exact(width).enumerate() {
            // SAFETY: tasks have disjoint heads of a sequence.
            unsafe { self.write(self.out[0], self.query(tokens.start, row), dq) };
        }
    }

    /// Turns products (`[keys, lanes]`) into weights; gives the slope of the soft cap where there is one.
    #[inline(always)]
    fn soften<S: Simd>(
        &self,
        s: S,
        rows: &Rows,
        keys: &Range<usize>,
        weights: &mut Scratch,
    ) -> Option<Scratch> {
        let lanes = rows.lanes;
        assert_eq!(weights.len(), keys.len() * lanes);
        let mut caps = self.options.softcap.map(|_| Scratch::new(weights.len()));
        let (zero, one, hidden) = (s.splat(0.0), s.splat(1.0), s.splat(f32::MIN));
        for column in (0..lanes).step_by(S::LANES) {
            // SAFETY: columns of whole vectors of matrices of `lanes` columns.
            unsafe {
                let first = s.load(rows.seen[0].as_ptr().add(column));
                let end = s.load(rows.seen[1].as_ptr().add(column));
                let mut largest = hidden;
                for (row, key) in keys.clone().enumerate() {
                    let at = weights.as_mut_ptr().add(row * lanes + column);
                    let mut score = s.mul(s.load(at), s.splat(self.options.scale));
                    if let (Some(cap), Some(caps)) = (self.options.softcap, &mut caps) {
                        let curve = tanh(s, s.mul(score, s.splat(1.0 / cap)));
                        let slope = s.sub(one, s.mul(curve, curve));
                        s.store(caps.as_mut_ptr().add(row * lanes + column), slope);
                        score = s.mul(curve, s.splat(cap));
                    }
                    let key = s.splat(key as f32);
                    let score = s.less(key, first, hidden, s.less(key, end, score, hidden));
                    largest = s.at_least(largest, score);
                    s.store(at, score);
                }
                let mut total = zero;
                for (row, key) in keys.clone().enumerate() {
                    let at = weights.as_mut_ptr().add(row * lanes + column);
                    let weight = exp(s, s.sub(s.load(at), largest));
                    let key = s.splat(key as f32);
                    let weight = s.less(key, first, zero, s.less(key, end, weight, zero));
                    total = s.add(total, weight);
                    s.store(at, weight);
                }
                // A lane that sees nothing has a total of zero.
                let share = s.less(zero, total, s.div(one, total), zero);
                for row in 0..keys.len() {
                    let at = weights.as_mut_ptr().add(row * lanes + column);
                    s.store(at, s.mul(s.load(at), share));
                }
            }
        }
        caps
    }

    /// Turns the gradients of weights (`[keys, lanes]`) into those of the products that they were made of.
    #[inline(always)]
    fn slopes<S: Simd>(&self, s: S, lanes: usize, weights: &[f32], slopes: &mut [f32], caps: Option<&[f32]>) {
        assert!(weights.len() == slopes.len() && caps.is_none_or(|caps| caps.len() == slopes.len()));
        for column in (0..lanes).step_by(S::LANES) {
            // SAFETY: columns of whole vectors of matrices of `lanes` columns.
            unsafe {
                let mut mean = s.splat(0.0);
                for at in (column..weights.len()).step_by(lanes) {
                    mean = s.fma(s.load(weights.as_ptr().add(at)), s.load(slopes.as_ptr().add(at)), mean);
                }
                for at in (column..weights.len()).step_by(lanes) {
                    let to = slopes.as_mut_ptr().add(at);
                    let weight = s.mul(s.load(weights.as_ptr().add(at)), s.splat(self.options.scale));
                    let mut slope = s.mul(weight, s.sub(s.load(to), mean));
                    if let Some(caps) = caps {
                        slope = s.mul(slope, s.load(caps.as_ptr().add(at)));
                    }
                    s.store(to, slope);
                }
            }
        }
    }
}
