//! Causal, grouped attention of one sequence over a paged cache of keys and values.
//!
//! Keys and values live in pages of 64 tokens, whose keys are stored column by column: scores and outputs are
//! then the same loop, with nothing summed across lanes. Scores of a block of queries and one page stay in
//! cache, and the softmax is taken page by page (FlashAttention, <https://arxiv.org/abs/2205.14135>); pages
//! outside of what a block may see are skipped. The sums of a query are taken in the same order whatever the
//! other queries are: reading a prompt at once, in parts, or token by token gives the same bits (on one
//! instruction set). [`scalar`] is the reference.

pub mod scalar;

mod backward;
mod buffer;
mod page;
mod task;
#[cfg(test)]
mod tests;

#[cfg(feature = "flex")]
pub(crate) use backward::backward_into;
pub use backward::{Forward, attention_backward};
pub use buffer::{KvBuffer, KvType};
pub(crate) use task::{Tokens, attend_varlen};

use crate::Result;
use crate::output::Output;
use crate::packed::check_length;
use crate::simd::Level;

/// How scores become weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionOptions {
    /// Factor of the scores, usually `1 / √dim`.
    pub scale: f32,
    /// Whether a query sees no keys after its own position.
    pub causal: bool,
    /// Sees only keys less than this many positions away: with `causal` the last so many, itself included.
    pub window: Option<usize>,
    /// `c`: scores become `c · tanh(score / c)` after scaling (Gemma 2).
    pub softcap: Option<f32>,
}

impl Default for AttentionOptions {
    /// Causal, with a scale of 1.
    fn default() -> Self {
        Self { scale: 1.0, causal: true, window: None, softcap: None }
    }
}

impl AttentionOptions {
    /// The keys, of `all`, that the query at `position` sees.
    pub(crate) fn visible(&self, position: usize, all: usize) -> std::ops::Range<usize> {
        let window = self.window.unwrap_or(usize::MAX).max(1);
        let end = if self.causal { position + 1 } else { position.saturating_add(window) };
        position.saturating_sub(window - 1)..end.min(all)
    }
}

/// Sizes of a sequence's attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Query heads, a multiple of `kv_heads`.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Numbers of a head.
    pub dim: usize,
}

/// Attention of queries over keys and values, of which the queries belong to the last positions.
///
/// # Shapes
///
/// `q` and `out`: `[new, heads, dim]`, `k` and `v`: `[all, kv_heads, dim]` with `new <= all`; `out` is
/// overwritten.
///
/// # Errors
///
/// Buffers that do not fit the shape or each other.
pub fn attention(
    q: &[f32],
    [k, v]: [&[f32]; 2],
    shape: Shape,
    options: &AttentionOptions,
    out: &mut [f32],
) -> Result<()> {
    let mut buffer = KvBuffer::new(shape.kv_heads, shape.dim, KvType::F32);
    buffer.append(k, v)?;
    check_queries(q.len(), shape.heads, &buffer)?;
    check_length("out", q.len(), out.len())?;
    attend_into(Level::best(), q, shape.heads, &buffer, options, Output::new(out));
    Ok(())
}

/// Attention within each of several sequences that lie behind one another.
///
/// # Shapes
///
/// `q` and `out`: `[tokens, heads, dim]`, `k` and `v`: `[tokens, kv_heads, dim]`, where `tokens` is the sum of
/// `lengths`; `out` is overwritten.
///
/// # Errors
///
/// Buffers that do not fit the shape, the lengths or each other.
pub fn attention_varlen(
    [q, k, v]: [&[f32]; 3],
    lengths: &[usize],
    shape: Shape,
    options: &AttentionOptions,
    out: &mut [f32],
) -> Result<()> {
    let Shape { heads, kv_heads, dim } = shape;
    let group = heads.checked_div(kv_heads).unwrap_or(0);
    check_length("query heads", group * kv_heads, heads)?;
    let tokens = lengths.iter().fold(0_usize, |sum, length| sum.saturating_add(*length));
    for (what, len, heads) in [("q", q.len(), heads), ("k", k.len(), kv_heads), ("v", v.len(), kv_heads)] {
        check_length(what, tokens.saturating_mul(heads * dim), len)?;
    }
    check_length("out", q.len(), out.len())?;
    if !q.is_empty() {
        let rows = |numbers, heads| Tokens { numbers, stride: heads * dim };
        let qkv = [rows(q, heads), rows(k, kv_heads), rows(v, kv_heads)];
        attend_varlen(Level::best(), qkv, lengths, (shape, options), Output::new(out));
    }
    Ok(())
}

/// Appends `k` and `v` to `buffer`, then attends over all that it holds.
///
/// # Shapes
///
/// `q` and `out`: `[new, heads, dim]`, `k` and `v`: `[new, kv_heads, dim]`; `out` is overwritten.
///
/// # Errors
///
/// Buffers that do not fit the shape or each other. Then nothing has been appended.
pub fn attention_cached(
    q: &[f32],
    [k, v]: [&[f32]; 2],
    buffer: &mut KvBuffer,
    options: &AttentionOptions,
    out: &mut [f32],
) -> Result<()> {
    let group = q.len().checked_div(k.len()).unwrap_or(0);
    check_length("q", k.len() * group, q.len())?;
    check_length("out", q.len(), out.len())?;
    buffer.append(k, v)?;
    attend_into(Level::best(), q, buffer.kv_heads() * group, buffer, options, Output::new(out));
    Ok(())
}

fn check_queries(len: usize, heads: usize, buffer: &KvBuffer) -> Result<()> {
    let group = heads.checked_div(buffer.kv_heads()).unwrap_or(0);
    check_length("query heads", group * buffer.kv_heads(), heads)?;
    let width = heads * buffer.head_dim();
    let new = len.checked_div(width).unwrap_or(0);
    check_length("q", new.min(buffer.len()) * width, len)
}

/// Attention of `q` (`[new, heads, dim]`, the last of the positions in `buffer`): writes all of `out`.
pub(crate) fn attend_into(
    level: Level,
    q: &[f32],
    heads: usize,
    buffer: &KvBuffer,
    options: &AttentionOptions,
    out: Output<'_>,
) {
    if !q.is_empty() {
        buffer.attend(level, q, heads, options, out);
    }
}
