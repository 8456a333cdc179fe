//! Chosen codes as a [`PackedTensor`]: the layouts of groups and of ggml's blocks.

use half::f16;
use slm_kernels::packed::{BlockType, Format, PackedTensor};

use super::{Grid, Steps, Unit};
use crate::Result;

/// Packs codes `[rows, cols]` and their units `[rows, cols / unit]`.
pub(crate) fn pack(grid: &Grid, codes: &[i8], units: &[Unit]) -> Result<PackedTensor> {
    let rows = codes.len() / grid.cols;
    let shape = [rows, grid.cols];
    if let Format::Block(block) = grid.format {
        let mut bytes = Vec::with_capacity(units.len() * block.bytes());
        for (codes, unit) in codes.chunks(grid.unit).zip(units) {
            push_block(block, unit, codes, &mut bytes);
        }
        return Ok(PackedTensor::from_blocks(bytes, shape, block)?);
    }
    let bytes: Vec<u8> = match grid.format {
        Format::Int8 { .. } => codes.iter().map(|code| code.cast_unsigned()).collect(),
        _ => {
            let offset = if let Steps::Symmetric { low, .. } = grid.steps { -low } else { 0 };
            let mut bytes = Vec::with_capacity(codes.len() / 2);
            for codes in codes.chunks(32) {
                push_nibbles(codes, offset, &mut bytes);
            }
            bytes
        }
    };
    let scales: Vec<f16> = units.iter().map(|u| u.scale).collect();
    let minimums =
        grid.format.has_minimums().then(|| units.iter().map(|u| u.minimum).collect::<Vec<f16>>().into());
    Ok(PackedTensor::from_parts(bytes, scales, minimums, shape, grid.format)?)
}

/// Half as many bytes as codes: byte `j` holds code `j` low and code `j + n / 2` high.
fn push_nibbles(codes: &[i8], offset: i8, bytes: &mut Vec<u8>) {
    let (low, high) = codes.split_at(codes.len() / 2);
    let nibble = |code: &i8| (code + offset).cast_unsigned() & 15;
    bytes.extend(low.iter().zip(high).map(|(low, high)| nibble(low) | nibble(high) << 4));
}

fn push_block(block: BlockType, unit: &Unit, codes: &[i8], bytes: &mut Vec<u8>) {
    if block != BlockType::Q6K {
        bytes.extend(unit.scale.to_le_bytes());
    }
    match block {
        BlockType::Q8_0 => bytes.extend(codes.iter().map(|code| code.cast_unsigned())),
        BlockType::Q4_0 => push_nibbles(codes, 8, bytes),
        BlockType::Iq4Nl => push_nibbles(codes, 0, bytes),
        BlockType::Q4_1 => {
            bytes.extend(unit.minimum.to_le_bytes());
            push_nibbles(codes, 0, bytes);
        }
        BlockType::Q5_0 => push_fifth_bits(codes, 16, bytes),
        BlockType::Q5_1 => {
            bytes.extend(unit.minimum.to_le_bytes());
            push_fifth_bits(codes, 0, bytes);
        }
        BlockType::Q4K => {
            push_parts(unit, bytes);
            codes.chunks(64).for_each(|codes| push_nibbles(codes, 0, bytes));
        }
        BlockType::Q5K => push_q5k(unit, codes, bytes),
        BlockType::Q6K => push_q6k(unit, codes, bytes),
    }
}

/// 32 codes of 5 bits: the fifth bits in a word of 32, then the others as nibbles.
fn push_fifth_bits(codes: &[i8], offset: i8, bytes: &mut Vec<u8>) {
    let bit = |(index, code): (usize, &i8)| u32::from((code + offset).cast_unsigned() >> 4) << index;
    let word: u32 = codes.iter().enumerate().map(bit).sum();
    bytes.extend(word.to_le_bytes());
    push_nibbles(codes, offset, bytes);
}

/// The second scale and the eight 6-bit scales and minimums of Q4_K and Q5_K in 12 bytes: of the first four parts in
/// the low bits of bytes 0 to 7; of the last four the lower nibbles in bytes 8 to 11, the upper two bits on top of the first eight.
fn push_parts(unit: &Unit, bytes: &mut Vec<u8>) {
    bytes.extend(unit.minimum.to_le_bytes());
    let (s, m) = (|part: usize| unit.scales[part].cast_unsigned(), |part: usize| unit.minimums[part]);
    bytes.extend((0..4).map(|part| s(part) | (s(part + 4) >> 4) << 6));
    bytes.extend((0..4).map(|part| m(part) | (m(part + 4) >> 4) << 6));
    bytes.extend((4..8).map(|part| (s(part) & 15) | (m(part) & 15) << 4));
}

/// Fifth bits: bit `p` of byte `l` belongs to weight `l` of part `p`.
fn push_q5k(unit: &Unit, codes: &[i8], bytes: &mut Vec<u8>) {
    push_parts(unit, bytes);
    bytes.extend((0..32).map(|l| {
        let bit = |part: usize| (codes[part * 32 + l].cast_unsigned() >> 4) << part;
        (0..8).map(bit).sum::<u8>()
    }));
    codes.chunks(64).for_each(|codes| push_nibbles(codes, 0, bytes));
}

/// Per 128 weights, as four runs of 32: the lower nibbles of runs 0 and 2, then of 1 and 3, share bytes; the upper
/// two bits of all four share a byte.
fn push_q6k(unit: &Unit, codes: &[i8], bytes: &mut Vec<u8>) {
    let code = |half: usize, run: usize, l: usize| (codes[half * 128 + run * 32 + l] + 32).cast_unsigned();
    for half in 0..2 {
        for run in 0..2 {
            bytes.extend((0..32).map(|l| (code(half, run, l) & 15) | (code(half, run + 2, l) & 15) << 4));
        }
    }
    for half in 0..2 {
        bytes.extend((0..32).map(|l| (0..4).map(|run| (code(half, run, l) >> 4) << (2 * run)).sum::<u8>()));
    }
    bytes.extend(unit.scales.iter().map(|s| s.cast_unsigned()));
    bytes.extend(unit.scale.to_le_bytes());
}
