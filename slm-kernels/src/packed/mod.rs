//! [`PackedTensor`]: a weight matrix in 4 or 8 bits per weight.
//!
//! # Layout
//!
//! A matrix `[rows, cols]` (HF's `[out, in]`) is cut along each row into groups of 32, 64 or 128 weights.
//! A group has one `f32` scale, and `weight = code * scale`. Both buffers are row-major: `scales` is
//! `[rows, cols / group_size]`, `codes` is `[rows, bytes_per_row]`.
//!
//! - 8 bits: one signed byte per weight, in order; `-127..=127` when made here.
//! - 4 bits: blocks of 32 weights in 16 bytes. Byte `j` of a block holds weight `j` in its low nibble and
//!   weight `j + 16` in its high nibble, each as `code + 8` with `code` in `-8..=7`. One mask and one shift
//!   unpack a block in order, which is why neighbours do not share a byte. A scale may be negative: the
//!   group's largest weight, whatever its sign, can then use the code `-8`.

mod quantize;

use std::fmt;
use std::sync::Arc;

use crate::{Error, Result};

/// Weights of a block: the unit of the 4-bit layout and of the kernels.
pub(crate) const BLOCK: usize = 32;

/// Width of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bits {
    /// Two weights per byte.
    Int4,
    /// One weight per byte.
    Int8,
}

impl Bits {
    /// Bits of a code: 4 or 8.
    pub const fn width(self) -> usize {
        match self {
            Self::Int4 => 4,
            Self::Int8 => 8,
        }
    }

    /// The variant of `width` bits, if there is one.
    pub const fn from_width(width: usize) -> Option<Self> {
        match width {
            4 => Some(Self::Int4),
            8 => Some(Self::Int8),
            _ => None,
        }
    }

    /// Bytes of `count` codes; `count` is a multiple of 32.
    pub const fn bytes(self, count: usize) -> usize {
        match self {
            Self::Int4 => count / 2,
            Self::Int8 => count,
        }
    }
}

/// A weight matrix `[rows, cols]` in 4 or 8 bits per weight and one scale per group of a row.
///
/// Cloning shares the buffers. See the [module](self) for the layout.
#[derive(Clone, PartialEq)]
pub struct PackedTensor {
    codes: Arc<[u8]>,
    scales: Arc<[f32]>,
    rows: usize,
    cols: usize,
    bits: Bits,
    group_size: usize,
}

impl PackedTensor {
    /// Rounds `weights` (`[rows, cols]`, row-major) to the nearest code, group by group.
    ///
    /// 8 bits: the scale maps the group's largest magnitude to 127. 4 bits: of several scales, each
    /// refitted by least squares to its own codes, the one with the smallest squared error.
    ///
    /// # Errors
    ///
    /// A group size other than 32, 64 or 128, or that does not divide `cols`; a buffer of another length
    /// than `rows * cols`; a weight that is not finite.
    pub fn quantize(
        weights: &[f32],
        rows: usize,
        cols: usize,
        bits: Bits,
        group_size: usize,
    ) -> Result<Self> {
        check_group(group_size, cols)?;
        check_length("weights", rows.saturating_mul(cols), weights.len())?;
        if let Some(at) = weights.iter().position(|w| !w.is_finite()) {
            return Err(Error::NotFinite { what: "weight", row: at / cols, value: weights[at] });
        }
        let (codes, scales) = quantize::pack(weights, cols, bits, group_size);
        Ok(Self { codes: codes.into(), scales: scales.into(), rows, cols, bits, group_size })
    }

    /// Puts a tensor together from stored `codes` and `scales`; see the [module](self) for their layout.
    ///
    /// # Errors
    ///
    /// A group size that is not supported or does not divide the columns of `shape` (`[rows, cols]`); a
    /// buffer of the wrong length; a scale that is not finite.
    pub fn from_parts(
        codes: impl Into<Arc<[u8]>>,
        scales: impl Into<Arc<[f32]>>,
        shape: [usize; 2],
        bits: Bits,
        group_size: usize,
    ) -> Result<Self> {
        let ([rows, cols], codes, scales) = (shape, codes.into(), scales.into());
        check_group(group_size, cols)?;
        check_length("codes", rows.saturating_mul(bits.bytes(cols)), codes.len())?;
        check_length("scales", rows.saturating_mul(cols / group_size), scales.len())?;
        if let Some(at) = scales.iter().position(|s| !s.is_finite()) {
            return Err(Error::NotFinite { what: "scale", row: at / (cols / group_size), value: scales[at] });
        }
        Ok(Self { codes, scales, rows, cols, bits, group_size })
    }

    /// The weights in `f32`, `[rows, cols]` row-major.
    pub fn dequantize(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.rows * self.cols];
        for (row, out) in out.chunks_exact_mut(self.cols).enumerate() {
            self.dequantize_row(row, 0, out);
        }
        out
    }

    /// Writes the weights `row, start..start + out.len()`; `start` and the length are whole blocks.
    pub(crate) fn dequantize_row(&self, row: usize, start: usize, out: &mut [f32]) {
        let (codes, scales) = (self.row_codes(row), self.row_scales(row));
        let block_bytes = self.bits.bytes(BLOCK);
        for (i, out) in out.chunks_exact_mut(BLOCK).enumerate() {
            let at = start / BLOCK + i;
            let scale = scales[at * BLOCK / self.group_size];
            let codes = &codes[at * block_bytes..(at + 1) * block_bytes];
            match self.bits {
                Bits::Int8 => {
                    for (w, &code) in out.iter_mut().zip(codes) {
                        *w = f32::from(code.cast_signed()) * scale;
                    }
                }
                Bits::Int4 => {
                    let (low, high) = out.split_at_mut(BLOCK / 2);
                    for ((low, high), &pair) in low.iter_mut().zip(high).zip(codes) {
                        *low = (f32::from(pair & 15) - 8.0) * scale;
                        *high = (f32::from(pair >> 4) - 8.0) * scale;
                    }
                }
            }
        }
    }

    /// Codes of one row.
    pub(crate) fn row_codes(&self, row: usize) -> &[u8] {
        let bytes = self.bits.bytes(self.cols);
        &self.codes[row * bytes..(row + 1) * bytes]
    }

    /// Scales of one row.
    pub(crate) fn row_scales(&self, row: usize) -> &[f32] {
        let groups = self.cols / self.group_size;
        &self.scales[row * groups..(row + 1) * groups]
    }

    /// The codes, `[rows, bits.bytes(cols)]`.
    pub fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// The scales, `[rows, cols / group_size]`.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Width of a code.
    pub fn bits(&self) -> Bits {
        self.bits
    }

    /// Weights that share a scale.
    pub fn group_size(&self) -> usize {
        self.group_size
    }

    /// Memory of codes and scales, in bytes.
    pub fn bytes(&self) -> usize {
        self.codes.len() + self.scales.len() * size_of::<f32>()
    }
}

impl fmt::Debug for PackedTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedTensor")
            .field("rows", &self.rows)
            .field("cols", &self.cols)
            .field("bits", &self.bits)
            .field("group_size", &self.group_size)
            .finish_non_exhaustive()
    }
}

fn check_group(group_size: usize, cols: usize) -> Result<()> {
    if matches!(group_size, 32 | 64 | 128) && cols > 0 && cols.is_multiple_of(group_size) {
        return Ok(());
    }
    Err(Error::GroupSize { group_size, cols })
}

pub(crate) fn check_length(what: &'static str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::Length { what, expected, got }) }
}
