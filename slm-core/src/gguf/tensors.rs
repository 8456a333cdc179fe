//! Weights as the bytes of a GGUF file.

use std::borrow::Cow;

use slm_kernels::{BlockType, Format, PackedTensor};

use super::GgufType;
use crate::Result;
use crate::model::{FloatType, Held};
use crate::nn::Weight;

/// Weights of a block of the types that group formats are written as.
const BLOCK: usize = 32;

/// The blocks that hold the same weights as `packed`; `None` where the format has no such.
///
/// A group of more than 32 weights becomes several blocks of the same scale.
pub(super) fn blocks_of(packed: &PackedTensor) -> Option<BlockType> {
    if packed.input_order().is_some() || !packed.cols().is_multiple_of(BLOCK) {
        return None;
    }
    match packed.format() {
        Format::Block(block) => Some(block),
        Format::Int8 { .. } => Some(BlockType::Q8_0),
        Format::Int4 { .. } => Some(BlockType::Q4_0),
        Format::Int4Asym { .. } => Some(BlockType::Q4_1),
        // The table of its codes is another than that of any block.
        Format::Nf4 { .. } => None,
    }
}

/// The type that `held` is written as; what the format has no blocks for becomes `float`.
pub(super) fn kind(held: &Held, float: FloatType) -> GgufType {
    match held {
        Held::Matrix(Weight::Packed(packed)) => blocks_of(packed).map_or(float.into(), GgufType::from),
        _ => float.into(),
    }
}

/// The bytes of `held` as `kind`: blocks, or else `float`.
pub(super) fn encode<'a>(
    held: &'a Held,
    name: &str,
    (kind, float): (GgufType, FloatType),
    plus_one: bool,
) -> Result<Cow<'a, [u8]>> {
    if let Held::Matrix(Weight::Packed(packed)) = held
        && blocks_of(packed).is_some_and(|block| GgufType::from(block) == kind)
    {
        return Ok(match packed.format() {
            Format::Block(_) => Cow::Borrowed(packed.codes()),
            _ => Cow::Owned(interleave(packed)),
        });
    }
    let mut values = held.values(name)?;
    if plus_one {
        values.iter_mut().for_each(|v| *v += 1.0);
    }
    Ok(Cow::Owned(float.encode(&values)))
}

/// Scale, minimum and codes of each block of 32 weights behind one another.
fn interleave(packed: &PackedTensor) -> Vec<u8> {
    let (cols, format) = (packed.cols(), packed.format());
    let codes_of_block = format.row_bytes(cols) / (cols / BLOCK);
    let numbers = if format.has_minimums() { 2 } else { 1 };
    let blocks = packed.codes().chunks_exact(codes_of_block);
    let mut out = Vec::with_capacity(packed.codes().len() + blocks.len() * 2 * numbers);
    for (index, codes) in blocks.enumerate() {
        // Groups do not cross rows, so blocks can be counted through.
        let group = index * BLOCK / format.group_size();
        out.extend(packed.scales()[group].to_le_bytes());
        if let Some(minimums) = packed.minimums() {
            out.extend(minimums[group].to_le_bytes());
        }
        out.extend(codes);
    }
    out
}
