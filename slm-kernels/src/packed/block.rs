//! The block types of `ggml`, byte by byte. Numbers are little-endian.

use burn::tensor::f16;

use super::layout::{BLOCK, nibbles};

#[cfg(target_arch = "x86_64")]
pub(crate) use super::wide_block::WideBlock;

/// Where there are no vectors of 64 bytes.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) trait WideBlock {}
#[cfg(not(target_arch = "x86_64"))]
impl<B> WideBlock for B {}

/// One block type.
pub(crate) trait Block: WideBlock + Copy + Send + Sync {
    const BYTES: usize;
    const WEIGHTS: usize;
    /// See [`Layout`](super::layout::Layout); so for what follows.
    const UNIT: usize;
    const OFFSET: u8;
    const MINIMUM: bool;

    /// Codes of the weights `part * 32..` of a block.
    fn codes(block: &[u8], part: usize) -> [u8; BLOCK];

    /// Scale of the weights `unit * UNIT..` of a block: an `f16` in front, where there is but one.
    #[inline(always)]
    fn scale(block: &[u8], _unit: usize) -> f32 {
        half(block, 0)
    }

    /// Minimum of the weights `unit * UNIT..` of a block: an `f16` behind the scale, or none.
    #[inline(always)]
    fn minimum(block: &[u8], _unit: usize) -> f32 {
        if Self::MINIMUM { half(block, 2) } else { 0.0 }
    }
}

#[inline(always)]
fn half(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// Adds 16 to the codes whose bits are set.
#[inline(always)]
fn with_fifth_bits(mut codes: [u8; BLOCK], bits: &[u8]) -> [u8; BLOCK] {
    for (at, code) in codes.iter_mut().enumerate() {
        *code |= (bits[at / 8] >> (at % 8) & 1) << 4;
    }
    codes
}

/// Scale `f16`, 32 signed bytes.
#[derive(Clone, Copy)]
pub(crate) struct Q8_0;

impl Block for Q8_0 {
    const BYTES: usize = 34;
    const WEIGHTS: usize = 32;
    const UNIT: usize = 32;
    const OFFSET: u8 = 128;
    const MINIMUM: bool = false;

    #[inline(always)]
    fn codes(block: &[u8], _part: usize) -> [u8; BLOCK] {
        let mut codes = [0; BLOCK];
        codes.copy_from_slice(&block[2..34]);
        codes.map(|code| code ^ 128)
    }
}

/// Scale `f16`, 16 bytes of nibbles: byte `j` holds weights `j` (low) and `j + 16`.
#[derive(Clone, Copy)]
pub(crate) struct Q4_0;

impl Block for Q4_0 {
    const BYTES: usize = 18;
    const WEIGHTS: usize = 32;
    const UNIT: usize = 32;
    const OFFSET: u8 = 8;
    const MINIMUM: bool = false;

    #[inline(always)]
    fn codes(block: &[u8], _part: usize) -> [u8; BLOCK] {
        nibbles(&block[2..18])
    }
}

/// Scale and minimum `f16`, nibbles as in [`Q4_0`].
#[derive(Clone, Copy)]
pub(crate) struct Q4_1;

impl Block for Q4_1 {
    const BYTES: usize = 20;
    const WEIGHTS: usize = 32;
    const UNIT: usize = 32;
    const OFFSET: u8 = 0;
    const MINIMUM: bool = true;

    #[inline(always)]
    fn codes(block: &[u8], _part: usize) -> [u8; BLOCK] {
        nibbles(&block[4..20])
    }
}

/// Scale `f16`, the fifth bits of 32 codes, nibbles as in [`Q4_0`].
#[derive(Clone, Copy)]
pub(crate) struct Q5_0;

impl Block for Q5_0 {
    const BYTES: usize = 22;
    const WEIGHTS: usize = 32;
    const UNIT: usize = 32;
    const OFFSET: u8 = 16;
    const MINIMUM: bool = false;

    #[inline(always)]
    fn codes(block: &[u8], _part: usize) -> [u8; BLOCK] {
        with_fifth_bits(nibbles(&block[6..22]), &block[2..6])
    }
}

/// Scale and minimum `f16`, then as [`Q5_0`].
#[derive(Clone, Copy)]
pub(crate) struct Q5_1;

impl Block for Q5_1 {
    const BYTES: usize = 24;
    const WEIGHTS: usize = 32;
    const UNIT: usize = 32;
    const OFFSET: u8 = 0;
    const MINIMUM: bool = true;

    #[inline(always)]
    fn codes(block: &[u8], _part: usize) -> [u8; BLOCK] {
        with_fifth_bits(nibbles(&block[8..24]), &block[4..8])
    }
}

/// Two `f16` (of scales, of minimums), 8 scales and 8 minimums of 6 bits in 12 bytes, and nibbles: 32 bytes hold the weights
/// of one unit in their low halves and of the next in their high ones.
#[derive(Clone, Copy)]
pub(crate) struct Q4K;

/// Scale and minimum of `unit`, from the 12 bytes that start with the scales' low bits.
#[inline(always)]
fn six_bits(bytes: &[u8], unit: usize) -> [u8; 2] {
    if unit < 4 {
        return [bytes[unit] & 63, bytes[unit + 4] & 63];
    }
    let (low, scale, minimum) = (bytes[unit + 4], bytes[unit - 4] >> 6, bytes[unit] >> 6);
    [low & 15 | scale << 4, low >> 4 | minimum << 4]
}

#[inline(always)]
fn k_scale(block: &[u8], unit: usize) -> f32 {
    half(block, 0) * f32::from(six_bits(&block[4..16], unit)[0])
}

#[inline(always)]
fn k_minimum(block: &[u8], unit: usize) -> f32 {
    -(half(block, 2) * f32::from(six_bits(&block[4..16], unit)[1]))
}

/// The nibbles of 32 weights: the low halves of 32 bytes or the high ones, in turn.
#[inline(always)]
fn k_nibbles(bytes: &[u8], part: usize) -> [u8; BLOCK] {
    let mut codes = [0; BLOCK];
    codes.copy_from_slice(&bytes[part / 2 * BLOCK..][..BLOCK]);
    let shift = 4 * (part % 2);
    codes.map(|byte| byte >> shift & 15)
}

impl Block for Q4K {
    const BYTES: usize = 144;
    const WEIGHTS: usize = 256;
    const UNIT: usize = 32;
    const OFFSET: u8 = 0;
    const MINIMUM: bool = true;

    #[inline(always)]
    fn codes(block: &[u8], part: usize) -> [u8; BLOCK] {
        k_nibbles(&block[16..], part)
    }

    #[inline(always)]
    fn scale(block: &[u8], unit: usize) -> f32 {
        k_scale(block, unit)
    }

    #[inline(always)]
    fn minimum(block: &[u8], unit: usize) -> f32 {
        k_minimum(block, unit)
    }
}

/// As [`Q4K`], with 32 bytes of fifth bits before the nibbles: byte `j` holds those of weight `j` of each unit.
#[derive(Clone, Copy)]
pub(crate) struct Q5K;

impl Block for Q5K {
    const BYTES: usize = 176;
    const WEIGHTS: usize = 256;
    const UNIT: usize = 32;
    const OFFSET: u8 = 0;
    const MINIMUM: bool = true;

    #[inline(always)]
    fn codes(block: &[u8], part: usize) -> [u8; BLOCK] {
        let mut codes = k_nibbles(&block[48..], part);
        for (code, bits) in codes.iter_mut().zip(&block[16..48]) {
            *code |= (bits >> part & 1) << 4;
        }
        codes
    }

    #[inline(always)]
    fn scale(block: &[u8], unit: usize) -> f32 {
        k_scale(block, unit)
    }

    #[inline(always)]
    fn minimum(block: &[u8], unit: usize) -> f32 {
        k_minimum(block, unit)
    }
}

/// 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 signed scales, and an `f16`. A half of the block takes 64 bytes of
/// nibbles (its first 64 weights in the low halves, the others in the high ones) and 32 bytes of pairs (of 4 weights 32 apart).
#[derive(Clone, Copy)]
pub(crate) struct Q6K;

impl Block for Q6K {
    const BYTES: usize = 210;
    const WEIGHTS: usize = 256;
    const UNIT: usize = 16;
    const OFFSET: u8 = 32;
    const MINIMUM: bool = false;

    #[inline(always)]
    fn codes(block: &[u8], part: usize) -> [u8; BLOCK] {
        let (half, quarter) = (part / 4, part % 4);
        let low = &block[half * 64 + quarter % 2 * BLOCK..][..BLOCK];
        let high = &block[128 + half * BLOCK..][..BLOCK];
        let shifts = (quarter / 2 * 4, quarter * 2);
        let mut codes = [0; BLOCK];
        for ((code, low), high) in codes.iter_mut().zip(low).zip(high) {
            *code = low >> shifts.0 & 15 | (high >> shifts.1 & 3) << 4;
        }
        codes
    }

    #[inline(always)]
    fn scale(block: &[u8], unit: usize) -> f32 {
        half(block, 208) * f32::from(block[192 + unit].cast_signed())
    }
}

/// Scale `f16`, nibbles as in [`Q4_0`] that index a table.
#[derive(Clone, Copy)]
pub(crate) struct Iq4Nl;

/// The table of [`Iq4Nl`].
pub(crate) const IQ4: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

impl Block for Iq4Nl {
    const BYTES: usize = 18;
    const WEIGHTS: usize = 32;
    const UNIT: usize = 32;
    const OFFSET: u8 = 128;
    const MINIMUM: bool = false;

    #[inline(always)]
    fn codes(block: &[u8], _part: usize) -> [u8; BLOCK] {
        nibbles(&block[2..18]).map(|code| IQ4[usize::from(code & 15)].cast_unsigned() ^ 128)
    }
}
