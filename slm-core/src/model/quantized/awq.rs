//! The layout of AWQ checkpoints (`gemm`).
//!
//! `qweight` (I32, `[in, out / 8]`) and `qzeros` (I32, `[groups, out / 8]`) hold the codes of eight neighbouring outputs in
//! a word, in an order of their own; `scales` are `[groups, out]`. Zero points are as they are.

use super::Tensors;
use super::codes::Codes;
use super::gptq::{Words, transposed};
use crate::Result;
use crate::model::layout::Stored;

const PER_WORD: usize = 8;
/// Place within a word of each of eight outputs.
const PLACES: [usize; PER_WORD] = [0, 4, 1, 5, 2, 6, 3, 7];

/// The codes of a tensor; `None` if it is not quantized.
pub(super) fn read(
    tensors: &mut Tensors<'_>,
    stored: &Stored,
    group_size: Option<usize>,
) -> Result<Option<Codes>> {
    let Some(base) = stored.name.strip_suffix(".weight") else { return Ok(None) };
    let name = |part: &str| format!("{base}.{part}");
    let Some(file) = tensors.take(&name("qweight")) else { return Ok(None) };
    let words = Words::read(file, &name("qweight"))?;
    let (rows, cols) = (words.width * PER_WORD, words.height);
    let group_size = group_size.unwrap_or(cols).max(1);
    let groups = cols.div_ceil(group_size);
    let scales = transposed(tensors.need(&name("scales"))?, &name("scales"), [groups, rows])?;
    let zeros = Words::read(tensors.need(&name("qzeros"))?, &name("qzeros"))?;
    zeros.expect([groups, words.width], file, &name("qzeros"))?;
    let code = |words: &Words<'_>, at: usize, row: usize| {
        words.code(at, row / PER_WORD, (PLACES[row % PER_WORD], 4))
    };
    let all = |words: &Words<'_>, count: usize| -> Vec<u8> {
        (0..rows)
            .flat_map(|row| (0..count).map(move |at| (row, at)))
            .map(|(r, at)| code(words, at, r))
            .collect()
    };
    let (codes, zeros) = (all(&words, cols), all(&zeros, groups));
    Ok(Some(Codes::with_zeros((rows, cols, 4), codes, (group_size, scales, &zeros))))
}
