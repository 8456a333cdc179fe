//! Where the codes and scales of each format are: what the kernels see of it.

use std::marker::PhantomData;

use burn::tensor::f16;

use super::block::{Block, Iq4Nl, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
use super::{BlockType, Format, PackedTensor};

#[cfg(target_arch = "x86_64")]
pub(crate) use super::wide::Wide;

/// Where there are no vectors of 64 bytes.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) trait Wide {}
#[cfg(not(target_arch = "x86_64"))]
impl<L> Wide for L {}

/// Weights that the formats are unpacked by.
pub(crate) const BLOCK: usize = 32;

/// A matrix of which `weight = (code - OFFSET) * scale + minimum` with unsigned codes of 8 bits.
///
/// All products of [`scale`](Self::scale) with a code are exact in `f32`, except those of `Q6K`.
pub(crate) trait Layout: Wide + Copy + Send + Sync {
    /// Weights that share a scale, as kernels see it: 32, or 16.
    const UNIT: usize;
    /// The code of zero.
    const OFFSET: u8;
    /// Whether there are minimums; then `OFFSET` is 0.
    const MINIMUM: bool;

    /// Codes of the weights `block * 32..` of `row`; `OFFSET` after the last column.
    fn codes(&self, row: usize, block: usize) -> [u8; BLOCK];

    /// Scale of the weights `unit * UNIT..` of `row`.
    fn scale(&self, row: usize, unit: usize) -> f32;

    /// Minimum of the weights `unit * UNIT..` of `row`; 0 where there are none.
    #[inline(always)]
    fn minimum(&self, _row: usize, _unit: usize) -> f32 {
        0.0
    }
}

/// A computation on any [`Layout`].
pub(crate) trait Visitor {
    /// What it computes.
    type Out;

    /// Runs on `layout`.
    fn visit<L: Layout>(self, layout: L) -> Self::Out;
}

/// Scales of groups, and minimums where the format has them.
#[derive(Clone, Copy)]
pub(crate) struct Groups<'a> {
    pub(crate) codes: &'a [u8],
    pub(crate) scales: &'a [f16],
    pub(crate) minimums: &'a [f16],
    pub(crate) cols: usize,
    /// Blocks of a group.
    pub(crate) blocks: usize,
    /// Groups of a row.
    pub(crate) per_row: usize,
}

impl Groups<'_> {
    #[inline(always)]
    fn at(&self, row: usize, block: usize) -> usize {
        row * self.per_row + block / self.blocks
    }

    #[inline(always)]
    fn scale(&self, row: usize, block: usize) -> f32 {
        self.scales[self.at(row, block)].to_f32()
    }

    #[inline(always)]
    fn bytes(&self, row: usize, block: usize) -> &[u8] {
        &self.codes[row * (self.cols / 2) + block * (BLOCK / 2)..][..BLOCK / 2]
    }
}

/// 16 bytes to 32 codes: the low nibbles, then the high ones.
#[inline(always)]
pub(crate) fn nibbles(bytes: &[u8]) -> [u8; BLOCK] {
    let mut codes = [0; BLOCK];
    let (low, high) = codes.split_at_mut(BLOCK / 2);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
        *low = byte & 15;
        *high = byte >> 4;
    }
    codes
}

/// [`Format::Int8`].
#[derive(Clone, Copy)]
pub(crate) struct Int8<'a>(pub(crate) Groups<'a>);

impl Layout for Int8<'_> {
    const UNIT: usize = 32;
    const OFFSET: u8 = 128;
    const MINIMUM: bool = false;

    #[inline(always)]
    fn codes(&self, row: usize, block: usize) -> [u8; BLOCK] {
        let row = &self.0.codes[row * self.0.cols..][..self.0.cols];
        let mut codes = [0; BLOCK];
        let from = &row[block * BLOCK..];
        match from.first_chunk() {
            Some(whole) => codes = *whole,
            None => codes[..from.len()].copy_from_slice(from),
        }
        codes.map(|code| code ^ 128)
    }

    #[inline(always)]
    fn scale(&self, row: usize, unit: usize) -> f32 {
        self.0.scale(row, unit)
    }
}

/// [`Format::Int4`].
#[derive(Clone, Copy)]
pub(crate) struct Int4<'a>(pub(crate) Groups<'a>);

impl Layout for Int4<'_> {
    const UNIT: usize = 32;
    const OFFSET: u8 = 8;
    const MINIMUM: bool = false;

    #[inline(always)]
    fn codes(&self, row: usize, block: usize) -> [u8; BLOCK] {
        nibbles(self.0.bytes(row, block))
    }

    #[inline(always)]
    fn scale(&self, row: usize, unit: usize) -> f32 {
        self.0.scale(row, unit)
    }
}

/// [`Format::Int4Asym`].
#[derive(Clone, Copy)]
pub(crate) struct Int4Asym<'a>(pub(crate) Groups<'a>);

impl Layout for Int4Asym<'_> {
    const UNIT: usize = 32;
    const OFFSET: u8 = 0;
    const MINIMUM: bool = true;

    #[inline(always)]
    fn codes(&self, row: usize, block: usize) -> [u8; BLOCK] {
        nibbles(self.0.bytes(row, block))
    }

    #[inline(always)]
    fn scale(&self, row: usize, unit: usize) -> f32 {
        self.0.scale(row, unit)
    }

    #[inline(always)]
    fn minimum(&self, row: usize, unit: usize) -> f32 {
        self.0.minimums[self.0.at(row, unit)].to_f32()
    }
}

/// [`Format::Nf4`], which is no [`Layout`]: its weights are not evenly spaced.
#[derive(Clone, Copy)]
pub(crate) struct Nf4<'a>(pub(crate) Groups<'a>);

impl Nf4<'_> {
    /// The 16 bytes with the codes of the weights `block * 32..` of `row`.
    #[inline(always)]
    pub(crate) fn bytes(&self, row: usize, block: usize) -> &[u8] {
        self.0.bytes(row, block)
    }

    /// Their scale.
    #[inline(always)]
    pub(crate) fn scale(&self, row: usize, block: usize) -> f32 {
        self.0.scale(row, block)
    }

    /// The scales of `row`, each of [`Nf4::blocks`] blocks.
    #[inline(always)]
    pub(crate) fn scales(&self, row: usize) -> &[f16] {
        &self.0.scales[row * self.0.per_row..][..self.0.per_row]
    }

    /// Blocks of a group.
    #[inline(always)]
    pub(crate) fn blocks(&self) -> usize {
        self.0.blocks
    }
}

/// The values of [`Format::Nf4`](super::Format::Nf4): sixteen quantiles of the normal distribution, scaled to -1..1, with an exact
/// zero (`QLoRA`, Dettmers et al. 2023, appendix E).
pub const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// A matrix of `ggml` blocks.
#[derive(Clone, Copy)]
pub(crate) struct Blocks<'a, B> {
    pub(crate) bytes: &'a [u8],
    /// Blocks of a row.
    pub(crate) per_row: usize,
    pub(crate) kind: PhantomData<B>,
}

impl<B: Block> Blocks<'_, B> {
    /// The block that holds the weights `at * size..` of `row`, and the index of that part within it.
    #[inline(always)]
    fn at(&self, row: usize, at: usize, size: usize) -> (&[u8], usize) {
        let parts = B::WEIGHTS / size;
        let start = (row * self.per_row + at / parts) * B::BYTES;
        (&self.bytes[start..][..B::BYTES], at % parts)
    }
}

impl<B: Block> Layout for Blocks<'_, B> {
    const UNIT: usize = B::UNIT;
    const OFFSET: u8 = B::OFFSET;
    const MINIMUM: bool = B::MINIMUM;

    #[inline(always)]
    fn codes(&self, row: usize, block: usize) -> [u8; BLOCK] {
        let (bytes, part) = self.at(row, block, BLOCK);
        B::codes(bytes, part)
    }

    #[inline(always)]
    fn scale(&self, row: usize, unit: usize) -> f32 {
        let (bytes, unit) = self.at(row, unit, B::UNIT);
        B::scale(bytes, unit)
    }

    #[inline(always)]
    fn minimum(&self, row: usize, unit: usize) -> f32 {
        let (bytes, unit) = self.at(row, unit, B::UNIT);
        B::minimum(bytes, unit)
    }
}

/// A tensor as its kernels see it.
pub(crate) enum View<'a> {
    Int8(Int8<'a>),
    Int4(Int4<'a>),
    Int4Asym(Int4Asym<'a>),
    Nf4(Nf4<'a>),
    Block(BlockType, Blocks<'a, ()>),
}

impl View<'_> {
    /// Runs `visitor` on the layout, or gives it back for [`Nf4`].
    #[inline(always)]
    pub(crate) fn visit<V: Visitor>(&self, visitor: V) -> Result<V::Out, (V, Nf4<'_>)> {
        Ok(match self {
            Self::Int8(layout) => visitor.visit(*layout),
            Self::Int4(layout) => visitor.visit(*layout),
            Self::Int4Asym(layout) => visitor.visit(*layout),
            Self::Nf4(layout) => return Err((visitor, *layout)),
            Self::Block(block, blocks) => match block {
                BlockType::Q8_0 => visitor.visit(blocks.of(Q8_0)),
                BlockType::Q4_0 => visitor.visit(blocks.of(Q4_0)),
                BlockType::Q4_1 => visitor.visit(blocks.of(Q4_1)),
                BlockType::Q5_0 => visitor.visit(blocks.of(Q5_0)),
                BlockType::Q5_1 => visitor.visit(blocks.of(Q5_1)),
                BlockType::Q4K => visitor.visit(blocks.of(Q4K)),
                BlockType::Q5K => visitor.visit(blocks.of(Q5K)),
                BlockType::Q6K => visitor.visit(blocks.of(Q6K)),
                BlockType::Iq4Nl => visitor.visit(blocks.of(Iq4Nl)),
            },
        })
    }
}

impl<'a> Blocks<'a, ()> {
    #[inline(always)]
    fn of<B: Block>(&self, _kind: B) -> Blocks<'a, B> {
        Blocks { bytes: self.bytes, per_row: self.per_row, kind: PhantomData }
    }
}

impl PackedTensor {
    /// The layout of this tensor.
    pub(crate) fn view(&self) -> View<'_> {
        let group_size = self.format.group_size();
        let groups = Groups {
            codes: &self.codes,
            scales: &self.scales,
            minimums: self.minimums.as_deref().unwrap_or(&[]),
            cols: self.cols,
            blocks: group_size.div_ceil(BLOCK),
            per_row: self.cols / group_size,
        };
        match self.format {
            Format::Int8 { .. } => View::Int8(Int8(groups)),
            Format::Int4 { .. } => View::Int4(Int4(groups)),
            Format::Int4Asym { .. } => View::Int4Asym(Int4Asym(groups)),
            Format::Nf4 { .. } => View::Nf4(Nf4(groups)),
            Format::Block(block) => {
                let per_row = self.cols / block.weights();
                View::Block(block, Blocks { bytes: &self.codes, per_row, kind: PhantomData })
            }
        }
    }
}
