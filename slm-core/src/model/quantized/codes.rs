//! One code for each byte: between the layouts of others and ours.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::TensorData;
use half::f16;
use slm_kernels::packed::NF4;
use slm_kernels::{Format, PackedTensor};

use crate::model::Value;

/// Weights of a block of our 4-bit layouts.
const BLOCK: usize = 32;

/// What a code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// `(code - 8) · scale`.
    Int4,
    /// `code · scale + minimum`.
    Int4Asym,
    /// `(code - 128) · scale`.
    Int8,
    /// Into the table of `NormalFloat`.
    Nf4,
}

/// The codes of a matrix `[rows, cols]`, and their scales.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Codes {
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) meaning: Meaning,
    /// `[rows, cols]`.
    pub(super) codes: Vec<u8>,
    /// Weights of a row that share a scale.
    pub(super) group_size: usize,
    /// `[rows, cols / group_size]`.
    pub(super) scales: Vec<f16>,
    /// As many as scales, or none.
    pub(super) minimums: Vec<f16>,
    /// The input of each column.
    pub(super) order: Option<Arc<[u32]>>,
}

impl Codes {
    /// Codes with a zero point for each scale: symmetric where all of them are the middle.
    pub(super) fn with_zeros(
        (rows, cols, bits): (usize, usize, usize),
        codes: Vec<u8>,
        (group_size, scales, zeros): (usize, Vec<f32>, &[u8]),
    ) -> Self {
        let middle = if bits == 8 { 128 } else { 8 };
        let symmetric = zeros.iter().all(|zero| *zero == middle);
        let meaning = match (bits, symmetric) {
            (8, _) => Meaning::Int8,
            (_, true) => Meaning::Int4,
            (_, false) => Meaning::Int4Asym,
        };
        let base = if bits == 8 { 128.0 } else { 0.0 };
        let minimum = |(zero, scale): (&u8, &f32)| f16::from_f32((base - f32::from(*zero)) * scale);
        let minimums = if symmetric { Vec::new() } else { zeros.iter().zip(&scales).map(minimum).collect() };
        let scales = scales.into_iter().map(f16::from_f32).collect();
        Self { rows, cols, meaning, codes, group_size, scales, minimums, order: None }
    }

    /// Some rows as a packed matrix; as a dense one where our formats have no place for them.
    pub(super) fn value(&self, rows: Range<usize>) -> Result<Value, slm_kernels::Error> {
        let g = self.group_size;
        let format = match self.meaning {
            Meaning::Int4 => Format::Int4 { group_size: g },
            Meaning::Int4Asym => Format::Int4Asym { group_size: g },
            Meaning::Nf4 => Format::Nf4 { group_size: g },
            Meaning::Int8 => Format::Int8 { group_size: g },
        };
        let codes = &self.codes[rows.start * self.cols..rows.end * self.cols];
        // Our 8-bit codes have one less below zero than above, and no minimum.
        let odd = self.meaning == Meaning::Int8 && (!self.minimums.is_empty() || codes.contains(&0));
        if odd || format.check(self.cols).is_err() {
            return Ok(self.dense(rows));
        }
        let packed = if self.meaning == Meaning::Int8 {
            codes.iter().map(|code| code.wrapping_sub(128)).collect()
        } else {
            pack_nibbles(codes)
        };
        let groups = self.cols / g;
        let part = |all: &[f16]| -> Arc<[f16]> { all[rows.start * groups..rows.end * groups].into() };
        let minimums = format.has_minimums().then(|| part(&self.minimums));
        let tensor =
            PackedTensor::from_parts(packed, part(&self.scales), minimums, [rows.len(), self.cols], format)?;
        let tensor = match &self.order {
            Some(order) => tensor.with_input_order(order.clone())?,
            None => tensor,
        };
        Ok(Value::Packed(tensor))
    }

    fn dense(&self, rows: Range<usize>) -> Value {
        let groups = self.cols / self.group_size.max(1);
        let mut out = vec![0.0; rows.len() * self.cols];
        for (row, out) in rows.clone().zip(out.chunks_exact_mut(self.cols)) {
            for (j, code) in self.codes[row * self.cols..][..self.cols].iter().enumerate() {
                let group = row * groups + j / self.group_size.max(1);
                let (code, scale) = (f32::from(*code), self.scales[group].to_f32());
                let minimum = self.minimums.get(group).map_or(0.0, |m| m.to_f32());
                let at = self.order.as_ref().map_or(j, |order| order[j] as usize);
                out[at] = match self.meaning {
                    Meaning::Int4 => (code - 8.0) * scale,
                    Meaning::Int4Asym => code * scale + minimum,
                    Meaning::Int8 => (code - 128.0) * scale + minimum,
                    Meaning::Nf4 => NF4[code as usize & 15] * scale,
                };
            }
        }
        Value::Dense(TensorData::new(out, [rows.len(), self.cols]))
    }

    /// The codes of a packed matrix in groups; `None` for blocks.
    pub(super) fn of(packed: &PackedTensor) -> Option<Self> {
        let meaning = match packed.format() {
            Format::Int4 { .. } => Meaning::Int4,
            Format::Int4Asym { .. } => Meaning::Int4Asym,
            Format::Nf4 { .. } => Meaning::Nf4,
            Format::Int8 { .. } => Meaning::Int8,
            Format::Block(_) => return None,
        };
        let codes = if meaning == Meaning::Int8 {
            packed.codes().iter().map(|code| code.wrapping_add(128)).collect()
        } else {
            unpack_nibbles(packed.codes())
        };
        Some(Self {
            rows: packed.rows(),
            cols: packed.cols(),
            meaning,
            codes,
            group_size: packed.format().group_size(),
            scales: packed.scales().to_vec(),
            minimums: packed.minimums().unwrap_or_default().to_vec(),
            order: packed.input_order().cloned(),
        })
    }
}

/// Byte `j` of 16 holds codes `j` and `j + 16` of 32.
fn pack_nibbles(codes: &[u8]) -> Vec<u8> {
    let (blocks, _) = codes.as_chunks::<BLOCK>();
    blocks.iter().flat_map(|b| (0..BLOCK / 2).map(|j| b[j] & 15 | b[j + BLOCK / 2] << 4)).collect()
}

fn unpack_nibbles(bytes: &[u8]) -> Vec<u8> {
    let (blocks, _) = bytes.as_chunks::<{ BLOCK / 2 }>();
    blocks.iter().flat_map(|b| b.iter().map(|pair| pair & 15).chain(b.iter().map(|pair| pair >> 4))).collect()
}
