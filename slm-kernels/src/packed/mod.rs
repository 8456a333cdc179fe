//! [`PackedTensor`]: a weight matrix in 4 to 8 bits per weight.
//!
//! # Layout
//!
//! A matrix `[rows, cols]` (HF's `[out, in]`) is kept row by row, in a [`Format`].
//!
//! The formats with a group size cut each row into groups that share a scale. `scales` (and `minimums`, in
//! [`Format::Int4Asym`]) are `f16`, `[rows, cols / group_size]`; `codes` are `[rows, bytes_per_row]`:
//!
//! - 8 bits: one signed byte per weight, in order; `-127..=127` when made here.
//! - 4 bits: blocks of 32 weights in 16 bytes. Byte `j` of a block holds weight `j` in its low nibble and weight `j + 16` in
//!   its high nibble. One mask and one shift unpack a block in order, which is why neighbours do not share a byte.
//!
//! | format | weight |
//! |---|---|
//! | [`Format::Int8`] | `code * scale` |
//! | [`Format::Int4`] | `(code - 8) * scale`; a scale may be negative, so that the largest weight, whatever its sign, can use the code 0 |
//! | [`Format::Int4Asym`] | `code * scale + minimum` |
//! | [`Format::Nf4`] | `table[code] * scale`, the 16 values of `NormalFloat` (Dettmers et al. 2023) |
//!
//! [`Format::Block`] are the blocks of GGUF files as they are there, scales among the codes, so that a mapped file needs no
//! conversion. `codes` are then `[rows, cols / block.weights() * block.bytes()]`, and there are no `scales`.

mod block;
mod bytes;
mod expand;
mod format;
mod layout;
mod quantize;
#[cfg(target_arch = "x86_64")]
mod wide;
#[cfg(target_arch = "x86_64")]
mod wide_block;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::f16;
use rayon::prelude::*;

pub use bytes::Bytes;
pub use format::{BlockType, Format};
pub use layout::NF4;

pub(crate) use expand::Expand;
pub(crate) use layout::{BLOCK, Layout, Nf4, View, Visitor};
#[cfg(target_arch = "x86_64")]
pub(crate) use wide::Numbers;

use crate::simd::Portable;
use crate::{Error, Result};

/// A weight matrix `[rows, cols]` in 4 to 8 bits per weight.
///
/// Cloning shares the buffers. See the [module](self) for the layout.
#[derive(Clone, PartialEq)]
pub struct PackedTensor {
    codes: Bytes,
    scales: Arc<[f16]>,
    minimums: Option<Arc<[f16]>>,
    order: Option<Arc<[u32]>>,
    rows: usize,
    cols: usize,
    format: Format,
    #[cfg(feature = "cube")]
    resident: crate::cube::Resident,
}

impl PackedTensor {
    /// Rounds `weights` (`[rows, cols]`, row-major) to the nearest code.
    ///
    /// [`Format::Int8`] maps a group's largest magnitude to 127, [`Format::Int4Asym`] its smallest and largest weight to the
    /// ends, and [`Format::Nf4`] its largest magnitude to 1. [`Format::Int4`] takes, of several scales, each refitted by least
    /// squares to its own codes, the one with the smallest squared error. The blocks of 32 weights are made as `ggml`'s
    /// reference makes them, byte for byte.
    ///
    /// # Errors
    ///
    /// - [`Error::GroupSize`] if the format does not fit `cols`.
    /// - [`Error::Length`] if there are not `rows * cols` weights.
    /// - [`Error::NotFinite`] if a weight is not finite, or too large for a scale in `f16`.
    /// - [`Error::NoEncoder`] for the blocks of 256 weights and `Iq4Nl`, whose codes are searched for, not rounded to.
    pub fn quantize(weights: &[f32], rows: usize, cols: usize, format: Format) -> Result<Self> {
        format.check(cols)?;
        check_length("weights", rows.saturating_mul(cols), weights.len())?;
        if let Some(at) = weights.iter().position(|w| !w.is_finite()) {
            return Err(Error::NotFinite { what: "weight", row: at / cols, value: weights[at] });
        }
        if let Format::Block(block) = format {
            let blocks = quantize::blocks(weights, block).ok_or(Error::NoEncoder { block })?;
            return Self::from_blocks(blocks, [rows, cols], block);
        }
        let (codes, scales, minimums) = quantize::groups(weights, cols, format);
        let minimums = format.has_minimums().then(|| minimums.into());
        Self::from_parts(codes, scales, minimums, [rows, cols], format)
    }

    /// Puts a tensor `shape` (`[rows, cols]`) together from stored parts; see the [module](self) for their layout. `scales`
    /// are empty for [`Format::Block`].
    ///
    /// # Errors
    ///
    /// - [`Error::GroupSize`] if the format does not fit the columns.
    /// - [`Error::Length`] if a buffer has another length than shape and format say; minimums where there should be none
    ///   included, and none where there should be some.
    /// - [`Error::NotFinite`] if a scale or a minimum is not finite.
    pub fn from_parts(
        codes: impl Into<Bytes>,
        scales: impl Into<Arc<[f16]>>,
        minimums: Option<Arc<[f16]>>,
        shape: [usize; 2],
        format: Format,
    ) -> Result<Self> {
        let ([rows, cols], codes, scales) = (shape, codes.into(), scales.into());
        format.check(cols)?;
        check_length("codes", rows.saturating_mul(format.row_bytes(cols)), codes.len())?;
        let groups = rows.saturating_mul(format.row_scales(cols));
        check_length("scales", groups, scales.len())?;
        let expected = if format.has_minimums() { groups } else { 0 };
        check_length("minimums", expected, minimums.as_ref().map_or(0, |minimums| minimums.len()))?;
        let minimums = minimums.filter(|_| format.has_minimums());
        let tensor = Self {
            codes,
            scales,
            minimums,
            order: None,
            rows,
            cols,
            format,
            #[cfg(feature = "cube")]
            resident: crate::cube::Resident::default(),
        };
        tensor.check_finite()?;
        Ok(tensor)
    }

    /// The blocks of a GGUF file, row by row, as a tensor `shape` (`[rows, cols]`).
    ///
    /// # Errors
    ///
    /// As [`PackedTensor::from_parts`].
    pub fn from_blocks(blocks: impl Into<Bytes>, shape: [usize; 2], block: BlockType) -> Result<Self> {
        let none: [f16; 0] = [];
        Self::from_parts(blocks, none, None, shape, Format::Block(block))
    }

    fn check_finite(&self) -> Result<()> {
        let parts = [("scale", &*self.scales), ("minimum", self.minimums.as_deref().unwrap_or(&[]))];
        for (what, numbers) in parts {
            if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
                let row = at / self.format.row_scales(self.cols);
                return Err(Error::NotFinite { what, row, value: numbers[at].to_f32() });
            }
        }
        if !matches!(self.format, Format::Block(_)) {
            return Ok(());
        }
        let view = self.view();
        let bad =
            |row| view.visit(expand::NotFinite { row, cols: self.cols }).ok().flatten().map(|v| (row, v));
        match (0..self.rows).into_par_iter().with_min_len(64).find_map_first(bad) {
            Some((row, value)) => Err(Error::NotFinite { what: "scale", row, value }),
            None => Ok(()),
        }
    }

    /// Says that column `j` of the packed matrix belongs to input `order[j]`, as in GPTQ checkpoints with act-order: products
    /// then permute their inputs, and [`PackedTensor::dequantize`] gives the columns in the order of the inputs.
    ///
    /// # Errors
    ///
    /// [`Error::InputOrder`] if `order` is not a permutation of the columns.
    pub fn with_input_order(mut self, order: impl Into<Arc<[u32]>>) -> Result<Self> {
        let order = order.into();
        let mut seen = vec![false; self.cols];
        let fresh = |&at: &u32| seen.get_mut(at as usize).is_some_and(|seen| !std::mem::replace(seen, true));
        if order.len() != self.cols || !order.iter().all(fresh) {
            return Err(Error::InputOrder { cols: self.cols, got: order.len() });
        }
        self.order = Some(order);
        #[cfg(feature = "cube")]
        {
            self.resident = crate::cube::Resident::default();
        }
        Ok(self)
    }

    /// The weight on a GPU.
    #[cfg(feature = "cube")]
    pub(crate) fn on(&self, device: &burn::tensor::Device) -> crate::cube::OnDevice {
        self.resident.on(device, self)
    }

    /// The weights in `f32`, `[rows, cols]` row-major.
    pub fn dequantize(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.rows * self.cols];
        let rows_at_once = (1_usize << 16).div_ceil(self.cols);
        out.par_chunks_mut(rows_at_once * self.cols).enumerate().for_each(|(at, out)| {
            let start = at * rows_at_once;
            self.expand_rows(start..start + out.len() / self.cols, out);
        });
        out
    }

    /// Writes the weights of `rows` to `out`, `[rows, cols]`.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if there are not that many rows, or `out` has another length.
    pub fn dequantize_rows(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        if rows.start > rows.end || rows.end > self.rows {
            return Err(Error::Length { what: "rows", expected: rows.end, got: self.rows });
        }
        check_length("weights", rows.len() * self.cols, out.len())?;
        self.expand_rows(rows, out);
        Ok(())
    }

    fn expand_rows(&self, rows: Range<usize>, out: &mut [f32]) {
        let blocks = 0..self.cols.div_ceil(BLOCK);
        Expand { rows, blocks, out, stride: self.cols, cols: self.cols }.run(Portable, &self.view());
        let Some(order) = &self.order else { return };
        let mut packed = vec![0.0; self.cols];
        for row in out.chunks_exact_mut(self.cols) {
            packed.copy_from_slice(row);
            for (&at, w) in order.iter().zip(&packed) {
                row[at as usize] = *w;
            }
        }
    }

    /// The codes, row by row.
    pub fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// The scales, `[rows, cols / group_size]`; none where they are among the codes.
    pub fn scales(&self) -> &[f16] {
        &self.scales
    }

    /// The minimums, as many as scales, of an asymmetric format.
    pub fn minimums(&self) -> Option<&[f16]> {
        self.minimums.as_deref()
    }

    /// The input that each column belongs to, where that is not its own index.
    pub fn input_order(&self) -> Option<&Arc<[u32]>> {
        self.order.as_ref()
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// How the weights are coded.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Memory of codes, scales and minimums, in bytes.
    pub fn bytes(&self) -> usize {
        let numbers = self.scales.len() + self.minimums.as_ref().map_or(0, |minimums| minimums.len());
        self.codes.len() + numbers * size_of::<f16>()
    }

    /// [`PackedTensor::bytes`] per weight, in bits.
    pub fn bits_per_weight(&self) -> f64 {
        self.format.bits_per_weight()
    }
}

impl fmt::Debug for PackedTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedTensor")
            .field("rows", &self.rows)
            .field("cols", &self.cols)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

pub(crate) fn check_length(what: &'static str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::Length { what, expected, got }) }
}
