//! [`KvBuffer`]: the keys and values of one layer of one sequence.

use std::fmt;
use std::sync::Arc;

use burn::tensor::f16;
use rayon::prelude::*;

use super::page::{Cached, KEYS, Page, Stored};
use super::task::{Queries, attend};
use super::{AttentionOptions, Shape};
use crate::output::Output;
use crate::packed::check_length;
use crate::simd::Level;
use crate::{Error, Result};

/// How keys and values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KvType {
    /// As computed.
    F32,
    /// Half precision.
    #[default]
    F16,
    /// Whole numbers in `-127..=127`, with an `f32` scale for the keys and one for the values of each token and
    /// head: the largest magnitude becomes 127.
    Int8,
}

/// Keys and values of one layer of one sequence, in pages of 64 tokens.
///
/// A clone shares the pages, so that sequences with a common beginning hold it once; appending to one copies
/// at most the page that it writes to.
#[derive(Clone)]
pub struct KvBuffer {
    kv_heads: usize,
    head_dim: usize,
    len: usize,
    pages: Pages,
}

#[derive(Clone)]
enum Pages {
    F32(Vec<Arc<Page<f32>>>),
    F16(Vec<Arc<Page<f16>>>),
    Int8(Vec<Arc<Page<i8>>>),
}

/// Runs `$body` with `$pages` bound to the vector of pages, whatever their type.
macro_rules! with_pages {
    ($all:expr, $pages:ident => $body:expr) => {
        match $all {
            Pages::F32($pages) => $body,
            Pages::F16($pages) => $body,
            Pages::Int8($pages) => $body,
        }
    };
}

impl KvBuffer {
    /// An empty buffer.
    pub fn new(kv_heads: usize, head_dim: usize, kind: KvType) -> Self {
        let pages = match kind {
            KvType::F32 => Pages::F32(Vec::new()),
            KvType::F16 => Pages::F16(Vec::new()),
            KvType::Int8 => Pages::Int8(Vec::new()),
        };
        Self { kv_heads, head_dim, len: 0, pages }
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Heads of keys and values.
    pub fn kv_heads(&self) -> usize {
        self.kv_heads
    }

    /// Numbers of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// How keys and values are stored.
    pub fn kind(&self) -> KvType {
        match self.pages {
            Pages::F32(_) => KvType::F32,
            Pages::F16(_) => KvType::F16,
            Pages::Int8(_) => KvType::Int8,
        }
    }

    /// Keeps the first `tokens` tokens; all, if there are no more.
    pub fn truncate(&mut self, tokens: usize) {
        self.len = self.len.min(tokens);
        let count = self.len.div_ceil(KEYS);
        with_pages!(&mut self.pages, pages => pages.truncate(count));
    }

    /// Bytes of memory, pages shared with clones included.
    pub fn bytes(&self) -> usize {
        with_pages!(&self.pages, pages => pages.iter().map(|page| page.bytes()).sum())
    }

    /// Appends tokens.
    ///
    /// # Shapes
    ///
    /// `k`, `v`: `[new, kv_heads, head_dim]`.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if they are not whole tokens, or not as many.
    pub fn append(&mut self, k: &[f32], v: &[f32]) -> Result<()> {
        let width = self.kv_heads * self.head_dim;
        let new = k.len().checked_div(width).unwrap_or(0);
        check_length("k", new * width, k.len())?;
        check_length("v", k.len(), v.len())?;
        let sizes = [self.kv_heads, self.head_dim];
        with_pages!(&mut self.pages, pages => append(pages, self.len, [k, v], sizes));
        self.len += new;
        Ok(())
    }

    /// Attention of `q` (`[new, heads, dim]`), whose positions are the last that are held.
    pub(super) fn attend(
        &self,
        level: Level,
        q: &[f32],
        heads: usize,
        options: &AttentionOptions,
        out: Output<'_>,
    ) {
        let (kv_heads, dim) = (self.kv_heads, self.head_dim);
        let queries = Queries::new(q, Shape { heads, kv_heads, dim }, self.len);
        with_pages!(&self.pages, pages => {
            attend(level, &queries, &Cached { pages, sizes: [kv_heads, dim] }, options, out);
        });
    }

    /// Whether queries of `heads` heads fit, with keys and values of `kv_heads` heads of `head_dim`.
    pub(crate) fn check(&self, heads: usize, kv_heads: usize, head_dim: usize) -> Result<()> {
        check_length("heads of keys", self.kv_heads, kv_heads)?;
        check_length("numbers of a head", self.head_dim, head_dim)?;
        if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            return Err(Error::Length { what: "query heads", expected: kv_heads, got: heads });
        }
        Ok(())
    }
}

/// Writes tokens after the first `len`, each page by one thread.
fn append<E: Stored>(pages: &mut Vec<Arc<Page<E>>>, len: usize, kv: [&[f32]; 2], sizes: [usize; 2]) {
    let width = sizes[0] * sizes[1];
    let new = kv[0].len().checked_div(width).unwrap_or(0);
    if new == 0 {
        return;
    }
    let first = len / KEYS;
    pages.resize_with((len + new).div_ceil(KEYS), || Arc::new(Page::new(sizes[0], sizes[1])));
    let write = |(at, page): (usize, &mut Arc<Page<E>>)| {
        // Tokens of this page, as places in the sequence, then in `kv`.
        let start = ((first + at) * KEYS).max(len);
        let end = ((first + at + 1) * KEYS).min(len + new);
        let range = (start - len) * width..(end - len) * width;
        Arc::make_mut(page).write(start % KEYS, &kv[0][range.clone()], &kv[1][range], sizes);
    };
    if new < KEYS {
        pages[first..].iter_mut().enumerate().for_each(write);
    } else {
        pages[first..].par_iter_mut().enumerate().for_each(write);
    }
}

impl fmt::Debug for KvBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvBuffer")
            .field("kv_heads", &self.kv_heads)
            .field("head_dim", &self.head_dim)
            .field("kind", &self.kind())
            .field("len", &self.len)
            .field("bytes", &self.bytes())
            .finish()
    }
}
