//! The layout of GPTQ checkpoints.
//!
//! `qweight` (I32, `[in · bits / 32, out]`) holds the codes of neighbouring inputs in a word, first lowest; `qzeros` (I32,
//! `[groups, out · bits / 32]`) the zero points of neighbouring outputs, less one in the first version of the format;
//! `scales` are `[groups, out]`, and `g_idx` (I32, `[in]`) is the group of each input.

use std::sync::Arc;

use safetensors::tensor::Dtype;

use super::codes::Codes;
use super::{Method, Tensors};
use crate::model::files::TensorFile;
use crate::model::layout::Stored;
use crate::{Error, Result};

/// The codes of a tensor; `None` if it is not quantized.
pub(super) fn read(tensors: &mut Tensors<'_>, stored: &Stored, method: Method) -> Result<Option<Codes>> {
    let Method::Gptq { bits, group_size, zeros_less_one } = method else { return Ok(None) };
    let Some(base) = stored.name.strip_suffix(".weight") else { return Ok(None) };
    let name = |part: &str| format!("{base}.{part}");
    let Some(file) = tensors.take(&name("qweight")) else { return Ok(None) };
    let per_word = 32 / bits;
    let words = Words::read(file, &name("qweight"))?;
    let (rows, cols) = (words.width, words.height * per_word);
    let group_size = group_size.unwrap_or(cols).max(1);
    let groups = cols.div_ceil(group_size);
    let mut part = |part: &str| tensors.need(&name(part));
    let scales = transposed(part("scales")?, &name("scales"), [groups, rows])?;
    let zeros = Words::read(part("qzeros")?, &name("qzeros"))?;
    zeros.expect([groups, rows.div_ceil(per_word)], file, &name("qzeros"))?;
    let add = u8::from(zeros_less_one);
    let mask = if bits == 8 { 255 } else { 15 };
    let zeros: Vec<u8> = (0..rows)
        .flat_map(|row| (0..groups).map(move |group| (row, group)))
        .map(|(row, group)| {
            zeros.code(group, row / per_word, (row % per_word, bits)).wrapping_add(add) & mask
        })
        .collect();
    let order = match tensors.take(&name("g_idx")) {
        Some(file) => order(&Words::read(file, &name("g_idx"))?, (cols, group_size), file, &name("g_idx"))?,
        None => None,
    };
    let mut codes = vec![0; rows * cols];
    for j in 0..cols {
        let input = order.as_ref().map_or(j, |order| order[j] as usize);
        for row in 0..rows {
            codes[row * cols + j] = words.code(input / per_word, row, (input % per_word, bits));
        }
    }
    let mut all = Codes::with_zeros((rows, cols, bits), codes, (group_size, scales, &zeros));
    all.order = order;
    Ok(Some(all))
}

/// A matrix of words of 32 bits.
pub(super) struct Words<'a> {
    words: &'a [[u8; 4]],
    pub(super) height: usize,
    pub(super) width: usize,
}

impl<'a> Words<'a> {
    /// A matrix, or a vector as a single row.
    pub(super) fn read(file: &'a TensorFile, name: &str) -> Result<Self> {
        let raw = file.raw(name, Dtype::I32)?;
        let (words, _) = raw.bytes.as_chunks::<4>();
        match raw.shape[..] {
            [height, width] => Ok(Self { words, height, width }),
            [width] => Ok(Self { words, height: 1, width }),
            _ => Err(file.invalid(&format!("{name}: expected 2 dimensions, got {:?}", raw.shape))),
        }
    }

    pub(super) fn expect(&self, shape: [usize; 2], file: &TensorFile, name: &str) -> Result<()> {
        let got = [self.height, self.width];
        let wrong = || file.invalid(&format!("{name}: expected {shape:?}, got {got:?}"));
        if got == shape { Ok(()) } else { Err(wrong()) }
    }

    pub(super) fn word(&self, row: usize, column: usize) -> u32 {
        u32::from_le_bytes(self.words[row * self.width + column])
    }

    /// The code at a place within a word, by how many bits a code has.
    pub(super) fn code(&self, row: usize, column: usize, (place, bits): (usize, usize)) -> u8 {
        let mask = if bits == 8 { 255 } else { 15 };
        (self.word(row, column) >> (place * bits)) as u8 & mask
    }
}

/// Numbers of shape `[groups, rows]` as `[rows, groups]`.
pub(super) fn transposed(file: &TensorFile, name: &str, [groups, rows]: [usize; 2]) -> Result<Vec<f32>> {
    let values = file.read_f32(name)?;
    if values.len() != groups * rows {
        let (expected, got) = (groups * rows, values.len());
        return Err(file.invalid(&format!("{name}: expected {expected} numbers, got {got}")));
    }
    Ok((0..rows)
        .flat_map(|row| (0..groups).map(move |g| (row, g)))
        .map(|(r, g)| values[g * rows + r])
        .collect())
}

/// The inputs sorted by their groups; `None` where they already are.
fn order(
    groups: &Words<'_>,
    (cols, group_size): (usize, usize),
    file: &TensorFile,
    name: &str,
) -> Result<Option<Arc<[u32]>>> {
    groups.expect([1, cols], file, name)?;
    if (0..cols).all(|input| groups.word(0, input) as usize == input / group_size) {
        return Ok(None);
    }
    let mut order: Vec<u32> = (0..cols as u32).collect();
    order.sort_by_key(|input| groups.word(0, *input as usize));
    let whole = order.iter().enumerate().all(|(j, i)| groups.word(0, *i as usize) as usize == j / group_size);
    let wrong =
        || -> Error { file.invalid(&format!("{name}: its groups do not have {group_size} inputs each")) };
    if whole { Ok(Some(order.into())) } else { Err(wrong()) }
}
