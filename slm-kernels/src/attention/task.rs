//! A block of queries against the pages that it may see.
#![expect(unsafe_code, reason = "pointers into checked matrices")]

use std::ops::Range;

use super::page::{Gathered, KEYS, PageHead, Paged, padded};
use super::{AttentionOptions, Shape};
use crate::output::{Output, for_each_task};
use crate::scratch::Scratch;
use crate::simd::{Kernel, Level, Outer, Simd, exp, load_part, product, store_part, strip, tanh};

/// Rows (tokens times heads) of a block: its queries, scores and outputs stay in the level-2 cache.
const ROWS: usize = 48;

/// Bytes to fetch ahead of keys and values that come from memory.
const AHEAD: usize = 1024;

/// Queries of the last positions of a sequence.
pub(super) struct Queries<'a> {
    /// `[new, heads, dim]`, tokens `stride` apart.
    q: &'a [f32],
    stride: usize,
    shape: Shape,
    new: usize,
    all: usize,
}

impl<'a> Queries<'a> {
    /// Queries of checked sizes, `all` positions in total.
    pub(super) fn new(q: &'a [f32], shape: Shape, all: usize) -> Self {
        let stride = shape.heads * shape.dim;
        let new = q.len() / stride;
        assert!(
            new <= all && q.len() == new * stride && shape.heads.is_multiple_of(shape.kv_heads),
            "unchecked sizes"
        );
        Self { q, stride, shape, new, all }
    }

    fn group(&self) -> usize {
        self.shape.heads / self.shape.kv_heads
    }
}

/// Writes all of `out`.
pub(super) fn attend<P: Paged>(
    level: Level,
    queries: &Queries<'_>,
    pages: &P,
    options: &AttentionOptions,
    out: Output<'_>,
) {
    let (group, kv_heads) = (queries.group(), queries.shape.kv_heads);
    // For few tokens, a group is shared out where there are fewer heads than threads.
    let threads = rayon::current_num_threads();
    let parts = if queries.new > 1 { 1 } else { threads.div_ceil(kv_heads).min(group) };
    let heads = group.div_ceil(parts);
    let tokens = (ROWS / heads).max(1);
    let (parts, blocks) = (group.div_ceil(heads), queries.new.div_ceil(tokens));
    let count = kv_heads * parts * blocks;
    let work = 2 * queries.q.len() * (queries.all - queries.new / 2);
    for_each_task(count, work, |task| {
        // The last tokens first: they see most, and the last task should be a short one.
        let block = blocks - 1 - task / (kv_heads * parts);
        let (kv_head, part) = (task % (kv_heads * parts) / parts, task % parts);
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

/// Tokens of all sequences, one behind the other, with tokens `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Tokens<'a> {
    /// `[tokens, heads, dim]`.
    pub(crate) numbers: &'a [f32],
    pub(crate) stride: usize,
}

impl<'a> Tokens<'a> {
    /// The `dim` numbers from `at` on of each of `tokens`.
    fn rows(self, tokens: Range<usize>, at: usize, dim: usize) -> impl ExactSizeIterator<Item = &'a [f32]> {
        tokens.map(move |token| &self.numbers[token * self.stride + at..][..dim])
    }
}

/// Each sequence on its own, a task for each of its groups of heads: writes all of `out`.
pub(crate) fn attend_varlen(
    level: Level,
    [q, k, v]: [Tokens<'_>; 3],
    lengths: &[usize],
    (shape, options): (Shape, &AttentionOptions),
    out: Output<'_>,
) {
    let Shape { heads, kv_heads, dim } = shape;
    let (group, width) = (heads / kv_heads, heads * dim);
    let mut starts = Vec::with_capacity(lengths.len());
    let tokens = lengths.iter().fold(0, |start, length| {
        starts.push(start);
        start + length
    });
    assert_eq!(out.len(), tokens * width, "unchecked sizes");
    let work = lengths.iter().map(|length| 4 * length * length * width).sum();
    for_each_task(lengths.len() * kv_heads, work, |task| {
        let (sequence, kv_head) = (task / kv_heads, task % kv_heads);
        let (start, new) = (starts[sequence], lengths[sequence]);
        if new == 0 {
            return;
        }
        let [k, v] = [k, v].map(|from| from.rows(start..start + new, kv_head * dim, dim));
        let pages = Gathered::new(k, v, dim);
        let stride = q.stride;
        let q = &q.numbers[start * stride..][..(new - 1) * stride + width];
        let queries = Queries { q, stride, shape, new, all: new };
        let (tokens, out) = ((ROWS / group).max(1), out.part(start * width, new * width));
        for first in (0..new).step_by(tokens) {
            level.run(Task {
                queries: &queries,
                pages: &pages,
                options,
                out,
                kv_head,
                heads: kv_head * group..(kv_head + 1) * group,
                tokens: first..(first + tokens).min(new),
            });
        }
    });
}

/// Some heads of a group and some tokens. Row `r` is head `r % heads.len()` of token `r / heads.len()`.
struct Task<'a, P> {
    queries: &'a Queries<'a>,
    pages: &'a P,
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

impl<P: Paged> Kernel for Task<'_, P> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut state = self.start(s);
        let first = self.position(self.tokens.start);
        let last = self.position(self.tokens.end - 1);
        let all = self.queries.all;
        let seen = self.options.visible(first, all).start..self.options.visible(last, all).end;
        for page in seen.start / KEYS..seen.end.div_ceil(KEYS) {
            let head = self.pages.head(page, self.kv_head);
            let keys = page * KEYS..((page + 1) * KEYS).min(seen.end);
            self.page(s, &mut state, head, keys);
        }
        self.finish(s, &state);
    }
}

impl<P: Paged> Task<'_, P> {
    fn rows(&self) -> usize {
        self.tokens.len() * self.heads.len()
    }

    /// Place of a new token in the sequence.
    fn position(&self, token: usize) -> usize {
        self.queries.all - self.queries.new + token
    }

    /// Token and head of a row.
    fn place(&self, row: usize) -> [usize; 2] {
        [self.tokens.start + row / self.heads.len(), self.heads.start + row % self.heads.len()]
    }

    #[inline(always)]
    fn start<S: Simd>(&self, s: S) -> State {
        let (rows, dim) = (self.rows(), self.queries.shape.dim);
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
            let [token, head] = self.place(r);
            let from = &self.queries.q[token * self.queries.stride + head * dim..][..dim];
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

    /// Takes in the `keys` (places in the sequence, the first that of the page) of one page.
    #[inline(always)]
    fn page<S: Simd>(&self, s: S, state: &mut State, head: PageHead<'_, P::Number>, keys: Range<usize>) {
        let (rows, dim) = (self.rows(), self.queries.shape.dim);
        let width = padded(dim);
        // One strip: keys and values come from memory and are used once.
        let ahead = if rows <= strip(S::LANES) { AHEAD } else { 0 };
        assert!(keys.len() <= KEYS && head.keys.len() == dim * KEYS);
        assert!(head.values.len() >= keys.len() * width);
        // Vectors of scores that any row sees.
        let vectors = keys.len().div_ceil(S::LANES);
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
        unsafe { product(s, rows, vectors, tile) };
        for row in 0..rows {
            self.soften(s, state, row, head.scales, (keys.start, vectors * S::LANES));
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
        // SAFETY: as above; values are `[keys, width]`, or more.
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
        (page_start, keys): (usize, usize),
    ) {
        let position = self.position(self.tokens.start + row / self.heads.len());
        let seen = self.options.visible(position, self.queries.all);
        let from = seen.start.saturating_sub(page_start).min(keys);
        let to = seen.end.saturating_sub(page_start).min(keys);
        let scores = &mut state.scores[row * KEYS..][..keys];
        if from >= to {
            scores.fill(0.0);
            return;
        }
        self.adjust(s, scores, scales.map(|[keys, _]| keys));
        scores[..from].fill(f32::NEG_INFINITY);
        scores[to..].fill(f32::NEG_INFINITY);

        let before = state.largest[row];
        // SAFETY: whole vectors of `keys` numbers.
        unsafe {
            let mut largest = s.splat(before);
            for k in (0..keys).step_by(S::LANES) {
                largest = s.at_least(largest, s.load(scores.as_ptr().add(k)));
            }
            let largest = s.largest(largest);
            let mut total = s.splat(0.0);
            for k in (0..keys).step_by(S::LANES) {
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
                let width = padded(self.queries.shape.dim);
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
        assert!(scores.len().is_multiple_of(S::LANES) && scores.len() <= KEYS);
        for k in (0..scores.len()).step_by(S::LANES) {
            // SAFETY: whole vectors of scores.
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
        let dim = self.queries.shape.dim;
        for (r, values) in state.values.chunks_exact(padded(dim)).enumerate() {
            let total = s.splat(state.total[r]);
            let [token, head] = self.place(r);
            // SAFETY: tasks have disjoint heads and tokens; the padded row has whole vectors.
            unsafe {
                let out = self.out.at((token * self.queries.shape.heads + head) * dim, dim);
                for k in (0..dim).step_by(S::LANES) {
                    let v = s.div(s.load(values.as_ptr().add(k)), total);
                    store_part(s, out.add(k), dim - k, v);
                }
            }
        }
    }
}
