//! A block of queries against the pages that it may see.
#![expect(unsafe_code, reason = "pointers into checked matrices")]

use std::ops::Range;
use std::sync::Arc;

use super::AttentionOptions;
use super::page::{KEYS, Page, PageHead, Stored, padded};
use crate::output::{Output, for_each_task};
use crate::scratch::Scratch;
use crate::simd::{Kernel, Level, Outer, Simd, exp, load_part, product, store_part, strip, tanh};

/// Rows (tokens times heads) of a block: its queries, scores and outputs stay in the level-2 cache.
const ROWS: usize = 48;

/// Bytes to fetch ahead of keys and values that come from memory.
const AHEAD: usize = 1024;

/// Queries of the last positions of a sequence.
pub(super) struct Queries<'a> {
    /// `[new, heads, dim]`.
    q: &'a [f32],
    heads: usize,
    kv_heads: usize,
    dim: usize,
    new: usize,
    all: usize,
}

impl<'a> Queries<'a> {
    /// Queries of checked sizes, `all` positions in total.
    pub(super) fn new(q: &'a [f32], heads: usize, [kv_heads, dim]: [usize; 2], all: usize) -> Self {
        let new = q.len() / (heads * dim);
        assert!(
            new <= all && q.len() == new * heads * dim && heads.is_multiple_of(kv_heads),
            "unchecked sizes"
        );
        Self { q, heads, kv_heads, dim, new, all }
    }
}

/// Writes all of `out`.
pub(super) fn attend<E: Stored>(
    level: Level,
    queries: &Queries<'_>,
    pages: &[Arc<Page<E>>],
    options: &AttentionOptions,
    out: Output<'_>,
) {
    let group = queries.heads / queries.kv_heads;
    // For few tokens, a group is shared out where there are fewer heads than threads.
    let threads = rayon::current_num_threads();
    let parts = if queries.new > 1 { 1 } else { threads.div_ceil(queries.kv_heads).min(group) };
    let heads = group.div_ceil(parts);
    let tokens = (ROWS / heads).max(1);
    let (parts, blocks) = (group.div_ceil(heads), queries.new.div_ceil(tokens));
    let count = queries.kv_heads * parts * blocks;
    let work = 2 * queries.q.len() * (queries.all - queries.new / 2);
    for_each_task(count, work, |task| {
        // The last tokens first: they see most, and the last task should be a short one.
        let block = blocks - 1 - task / (queries.kv_heads * parts);
        let (kv_head, part) = (task % (queries.kv_heads * parts) / parts, task % parts);
        let task = Task {
            queries,
            pages,
            options,
            out,
            kv_head,
            heads: kv_head * group + part * heads..kv_head * group + ((part + 1) * heads).min(group),
            tokens: block * tokens..((block + 1) * tokens).min(queries.new),
        };
        level.run(task);
    });
}

/// Some heads of a group and some tokens. Row `r` is head `r % heads.len()` of token `r / heads.len()`.
struct Task<'a, E> {
    queries: &'a Queries<'a>,
    pages: &'a [Arc<Page<E>>],
    options: &'a AttentionOptions,
    out: Output<'a>,
    kv_head: usize,
    heads: Range<usize>,
    tokens: Range<usize>,
}

/// What is known of the rows of a task after some pages.
struct State {
    /// `[rows, dim]`, scaled.
    q: Scratch,
    /// `[rows, KEYS]`: of one page, scores and then weights.
    scores: Scratch,
    /// `[rows, padded(dim)]`: sums of weighted values.
    values: Scratch,
    /// Largest score of each row.
    largest: Scratch,
    /// Sum of the weights of each row.
    total: Scratch,
}

impl<E: Stored> Kernel for Task<'_, E> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut state = self.start(s);
        let first = self.position(self.tokens.start);
        let last = self.position(self.tokens.end - 1);
        let all = self.queries.all;
        let seen = self.options.visible(first, all).start..self.options.visible(last, all).end;
        for page in seen.start / KEYS..seen.end.div_ceil(KEYS) {
            let head = self.pages[page].head(self.kv_head, [self.queries.kv_heads, self.queries.dim]);
            let keys = page * KEYS..((page + 1) * KEYS).min(seen.end);
            self.page(s, &mut state, head, keys);
        }
        self.finish(s, &state);
    }
}

impl<E: Stored> Task<'_, E> {
    fn rows(&self) -> usize {
        self.tokens.len() * self.heads.len()
    }

    /// Place of a new token in the sequence.
    fn position(&self, token: usize) -> usize {
        self.queries.all - self.queries.new + token
    }

    /// Where row `r` starts in the queries and the output.
    fn offset(&self, row: usize) -> usize {
        let (token, head) = (row / self.heads.len(), row % self.heads.len());
        ((self.tokens.start + token) * self.queries.heads + self.heads.start + head) * self.queries.dim
    }

    #[inline(always)]
    fn start<S: Simd>(&self, s: S) -> State {
        let (rows, dim) = (self.rows(), self.queries.dim);
        let mut state = State {
            q: Scratch::new(rows * dim),
            scores: Scratch::new(rows * KEYS),
            values: Scratch::new(rows * padded(dim)),
            largest: Scratch::new(rows),
            total: Scratch::new(rows),
        };
        state.values.fill(0.0);
        state.largest.fill(f32::NEG_INFINITY);
        state.total.fill(0.0);
        let scale = s.splat(self.options.scale);
        for (r, to) in state.q.chunks_exact_mut(dim).enumerate() {
            let from = &self.queries.q[self.offset(r)..][..dim];
            for k in (0..dim).step_by(S::LANES) {
                // SAFETY: cut to the `dim` numbers of both rows.
                unsafe {
                    let q = load_part(s, from.as_ptr().add(k), dim - k);
                    store_part(s, to.as_mut_ptr().add(k), dim - k, s.mul(q, scale));
                }
            }
        }
        state
    }

    /// Takes in the `keys` (places in the sequence) of one page.
    #[inline(always)]
    fn page<S: Simd>(&self, s: S, state: &mut State, head: PageHead<'_, E>, keys: Range<usize>) {
        let (rows, dim) = (self.rows(), self.queries.dim);
        let width = padded(dim);
        // One strip: keys and values come from memory and are used once.
        let ahead = if rows <= strip(S::LANES) { AHEAD } else { 0 };
        assert!(head.keys.len() == dim * KEYS && head.values.len() == KEYS * width && keys.len() <= KEYS);
        let tile = Outer {
            a: state.q.as_ptr(),
            a_stride: dim,
            a_step: 1,
            b: head.keys.as_ptr(),
            b_stride: KEYS,
            depth: dim,
            c: state.scores.as_mut_ptr(),
            c_stride: KEYS,
            fresh: true,
            ahead,
        };
        // SAFETY: queries and scores have `rows` rows; keys are `[dim, KEYS]`.
        unsafe { product(s, rows, KEYS / S::LANES, tile) };
        for row in 0..rows {
            self.soften(s, state, row, head.scales, keys.start);
        }
        let tile = Outer {
            a: state.scores.as_ptr(),
            a_stride: KEYS,
            a_step: 1,
            b: head.values.as_ptr(),
            b_stride: width,
            depth: keys.len(),
            c: state.values.as_mut_ptr(),
            c_stride: width,
            fresh: false,
            ahead,
        };
        // SAFETY: as above; values are `[KEYS, width]`.
        unsafe { product(s, rows, width / S::LANES, tile) };
    }

    /// Turns the scores of `row` into weights, relative to its largest score so far.
    #[inline(always)]
    fn soften<S: Simd>(
        &self,
        s: S,
        state: &mut State,
        row: usize,
        scales: Option<[&[f32]; 2]>,
        page_start: usize,
    ) {
        let position = self.position(self.tokens.start + row / self.heads.len());
        let seen = self.options.visible(position, self.queries.all);
        let from = seen.start.saturating_sub(page_start).min(KEYS);
        let to = seen.end.saturating_sub(page_start).min(KEYS);
        let scores = &mut state.scores[row * KEYS..(row + 1) * KEYS];
        if from >= to {
            scores.fill(0.0);
            return;
        }
        self.adjust(s, scores, scales.map(|[keys, _]| keys));
        scores[..from].fill(f32::NEG_INFINITY);
        scores[to..].fill(f32::NEG_INFINITY);

        let before = state.largest[row];
        // SAFETY: whole vectors of `KEYS` numbers.
        unsafe {
            let mut largest = s.splat(before);
            for k in (0..KEYS).step_by(S::LANES) {
                largest = s.at_least(largest, s.load(scores.as_ptr().add(k)));
            }
            let largest = s.largest(largest);
            let mut total = s.splat(0.0);
            for k in (0..KEYS).step_by(S::LANES) {
                let at = scores.as_mut_ptr().add(k);
                let mut weight = exp(s, s.sub(s.load(at), s.splat(largest)));
                total = s.add(total, weight);
                if let Some([_, values]) = scales {
                    weight = s.mul(weight, s.load(values[k..].as_ptr()));
                }
                s.store(at, weight);
            }
            let mut sum = state.total[row];
            if largest != before {
                let shrink = exp(s, s.splat(before - largest));
                let width = padded(self.queries.dim);
                let values = &mut state.values[row * width..(row + 1) * width];
                for k in (0..width).step_by(S::LANES) {
                    let at = values.as_mut_ptr().add(k);
                    s.store(at, s.mul(s.load(at), shrink));
                }
                sum *= s.largest(shrink);
            }
            state.total[row] = sum + s.sum(total);
            state.largest[row] = largest;
        }
    }

    /// Scales of the keys, then the soft cap.
    #[inline(always)]
    fn adjust<S: Simd>(&self, s: S, scores: &mut [f32], scales: Option<&[f32]>) {
        if scales.is_none() && self.options.softcap.is_none() {
            return;
        }
        assert_eq!(scores.len(), KEYS);
        for k in (0..KEYS).step_by(S::LANES) {
            // SAFETY: whole vectors of `KEYS` numbers.
            unsafe {
                let at = scores.as_mut_ptr().add(k);
                let mut score = s.load(at);
                if let Some(scales) = scales {
                    score = s.mul(score, s.load(scales[k..].as_ptr()));
                }
                if let Some(cap) = self.options.softcap {
                    score = s.mul(s.splat(cap), tanh(s, s.mul(score, s.splat(1.0 / cap))));
                }
                s.store(at, score);
            }
        }
    }

    #[inline(always)]
    fn finish<S: Simd>(&self, s: S, state: &State) {
        let dim = self.queries.dim;
        for (r, values) in state.values.chunks_exact(padded(dim)).enumerate() {
            let total = s.splat(state.total[r]);
            // SAFETY: tasks have disjoint heads and tokens; the padded row has whole vectors.
            unsafe {
                let out = self.out.at(self.offset(r), dim);
                for k in (0..dim).step_by(S::LANES) {
                    let v = s.div(s.load(values.as_ptr().add(k)), total);
                    store_part(s, out.add(k), dim - k, v);
                }
            }
        }
    }
}
