//! A page of keys and values: 64 tokens of all heads.

use std::sync::Arc;

use burn::tensor::f16;
use half::slice::HalfFloatSliceExt;

use crate::scratch::Scratch;
use crate::simd::Element;

/// Tokens of a page.
pub(super) const KEYS: usize = 64;

/// Values of a head are padded to whole vectors of any instruction set.
pub(super) fn padded(dim: usize) -> usize {
    dim.next_multiple_of(16)
}

/// 64 tokens of one layer.
#[derive(Clone)]
pub(super) struct Page<E> {
    /// `[kv_heads, dim, KEYS]`.
    keys: Vec<E>,
    /// `[kv_heads, KEYS, padded(dim)]`.
    values: Vec<E>,
    /// Of keys, then of values: `[2, kv_heads, KEYS]`; empty for types without scales.
    scales: Vec<f32>,
}

/// A head of a page.
#[derive(Clone, Copy)]
pub(super) struct PageHead<'a, E> {
    /// `[dim, KEYS]`.
    pub(super) keys: &'a [E],
    /// `[keys held, padded(dim)]`.
    pub(super) values: &'a [E],
    /// Scales of keys and of values, `[KEYS]` each.
    pub(super) scales: Option<[&'a [f32]; 2]>,
}

/// Keys and values of a sequence, page by page.
pub(super) trait Paged: Sync {
    /// How they are stored.
    type Number: Stored;

    /// Those of `kv_head` on a page.
    fn head(&self, page: usize, kv_head: usize) -> PageHead<'_, Self::Number>;
}

/// The pages of a cache.
pub(super) struct Cached<'a, E> {
    pub(super) pages: &'a [Arc<Page<E>>],
    /// Heads, and numbers of a head.
    pub(super) sizes: [usize; 2],
}

impl<E: Stored + Send + Sync> Paged for Cached<'_, E> {
    type Number = E;

    #[inline(always)]
    fn head(&self, page: usize, kv_head: usize) -> PageHead<'_, E> {
        self.pages[page].head(kv_head, self.sizes)
    }
}

/// One head of a sequence, for as long as a task takes.
pub(super) struct Gathered {
    /// `[pages, dim, KEYS]`.
    keys: Scratch,
    /// `[pages, KEYS, padded(dim)]`.
    values: Scratch,
    dim: usize,
}

impl Gathered {
    /// Copies rows of keys and of values, each of `dim` numbers.
    pub(super) fn new<'a>(
        k: impl ExactSizeIterator<Item = &'a [f32]>,
        v: impl Iterator<Item = &'a [f32]>,
        dim: usize,
    ) -> Self {
        let (tokens, width) = (k.len(), padded(dim));
        let pages = tokens.div_ceil(KEYS);
        // Places after the last token are read, but their results are not.
        let mut keys = Scratch::new(pages * dim * KEYS);
        let mut values = Scratch::new(tokens * width);
        for (at, row) in k.enumerate() {
            let page = &mut keys[at / KEYS * dim * KEYS..][..dim * KEYS];
            for (column, key) in page.chunks_exact_mut(KEYS).zip(row) {
                column[at % KEYS] = *key;
            }
        }
        for (to, row) in values.chunks_exact_mut(width).zip(v) {
            to[..dim].copy_from_slice(row);
            to[dim..].fill(0.0);
        }
        Self { keys, values, dim }
    }
}

impl Paged for Gathered {
    type Number = f32;

    #[inline(always)]
    fn head(&self, page: usize, _: usize) -> PageHead<'_, f32> {
        let (size, width) = (self.dim * KEYS, padded(self.dim));
        let values = page * KEYS * width..((page + 1) * KEYS * width).min(self.values.len());
        PageHead { keys: &self.keys[page * size..][..size], values: &self.values[values], scales: None }
    }
}

/// What a cache stores.
pub(super) trait Stored: Element {
    /// Whether a token of a head has a scale.
    const SCALED: bool;

    /// Converts a row; the scale it has then.
    fn convert(from: &[f32], to: &mut [Self]) -> f32;
}

impl Stored for f32 {
    const SCALED: bool = false;

    fn convert(from: &[f32], to: &mut [Self]) -> f32 {
        to.copy_from_slice(from);
        1.0
    }
}

impl Stored for f16 {
    const SCALED: bool = false;

    fn convert(from: &[f32], to: &mut [Self]) -> f32 {
        to.convert_from_f32_slice(from);
        1.0
    }
}

impl Stored for i8 {
    const SCALED: bool = true;

    fn convert(from: &[f32], to: &mut [Self]) -> f32 {
        let largest = from.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        for (to, from) in to.iter_mut().zip(from) {
            *to = (from * inverse).round_ties_even() as Self;
        }
        // A row that is not finite must stay so.
        if from.iter().all(|v| v.is_finite()) { largest / 127.0 } else { f32::NAN }
    }
}

impl<E: Stored> Page<E> {
    /// Room for 64 tokens.
    pub(super) fn new(kv_heads: usize, dim: usize) -> Self {
        let scales = if E::SCALED { 2 * kv_heads * KEYS } else { 0 };
        Self {
            keys: vec![E::default(); kv_heads * dim * KEYS],
            values: vec![E::default(); kv_heads * KEYS * padded(dim)],
            scales: vec![0.0; scales],
        }
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.keys[..]) + size_of_val(&self.values[..]) + size_of_val(&self.scales[..])
    }

    /// Writes tokens from slot `start` on: `k` and `v` are `[tokens, kv_heads, dim]`.
    pub(super) fn write(&mut self, start: usize, k: &[f32], v: &[f32], [kv_heads, dim]: [usize; 2]) {
        let mut row = vec![E::default(); dim];
        for (at, (k, v)) in k.chunks_exact(dim).zip(v.chunks_exact(dim)).enumerate() {
            let (slot, head) = (start + at / kv_heads, at % kv_heads);
            let key_scale = E::convert(k, &mut row);
            let keys = &mut self.keys[head * dim * KEYS..(head + 1) * dim * KEYS];
            for (column, key) in keys.chunks_exact_mut(KEYS).zip(&row) {
                column[slot] = *key;
            }
            let to = &mut self.values[(head * KEYS + slot) * padded(dim)..][..dim];
            let value_scale = E::convert(v, to);
            if E::SCALED {
                self.scales[head * KEYS + slot] = key_scale;
                self.scales[(kv_heads + head) * KEYS + slot] = value_scale;
            }
        }
    }

    /// Keys and values of `head`.
    pub(super) fn head(&self, head: usize, [kv_heads, dim]: [usize; 2]) -> PageHead<'_, E> {
        let scale = |part: usize| &self.scales[(part * kv_heads + head) * KEYS..][..KEYS];
        PageHead {
            keys: &self.keys[head * dim * KEYS..][..dim * KEYS],
            values: &self.values[head * KEYS * padded(dim)..][..KEYS * padded(dim)],
            scales: if E::SCALED { Some([scale(0), scale(1)]) } else { None },
        }
    }
}
