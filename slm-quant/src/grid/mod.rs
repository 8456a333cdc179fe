//! [`Grid`]: the values that a format can hold, apart from how they are chosen and how they are stored.
//!
//! A row is cut into *units* that share stored numbers, and a unit into *parts* that share a [`Level`]. For most
//! formats both are the group; a K-quant's unit is its super-block of 256 weights, its parts the 16 or 32 weights of
//! one scale. The methods that choose codes (rounding, HQQ, GPTQ) see no more than this.

mod fit;
mod pack;
mod superblock;

use half::f16;
use slm_kernels::packed::{BlockType, Format, NF4};

pub(crate) use pack::pack;

use crate::Result;

/// The levels of ggml's IQ4_NL.
const IQ4_NL: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0,
];

/// Which codes there are, and what a code stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Steps {
    /// `code · scale`, codes from `low` to `high`.
    Symmetric { low: i8, high: i8 },
    /// `code · scale + minimum`, codes from 0 to `high`.
    Affine { high: i8 },
    /// `(code - zero) · scale`, codes from 0 to `high`, zero points from 1: the first version of GPTQ's layout has no 0.
    Whole { high: i8 },
    /// `table[code] · scale`.
    Table(&'static [f32; 16]),
}

/// The stored numbers of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Unit {
    /// Scale; of the scales, in a super-block.
    pub(crate) scale: f16,
    /// Minimum, added; in a super-block the scale of the minimums, subtracted.
    pub(crate) minimum: f16,
    /// Scales of the parts of a super-block.
    pub(crate) scales: [i8; 16],
    /// Minimums of the parts of a super-block.
    pub(crate) minimums: [u8; 8],
}

/// What the codes of one part stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Level {
    scale: f32,
    minimum: f32,
    inverse: f32,
    steps: Steps,
}

impl Level {
    pub(crate) fn new(scale: f32, minimum: f32, steps: Steps) -> Self {
        // A scale too small to have an inverse holds nothing but the minimum.
        let inverse = if scale.abs() > 1e-30 { 1.0 / scale } else { 0.0 };
        Self { scale, minimum, inverse, steps }
    }

    /// The code nearest to `weight`, and its value.
    #[inline]
    pub(crate) fn nearest(&self, weight: f32) -> (i8, f32) {
        let x = (weight - self.minimum) * self.inverse;
        let code = match self.steps {
            Steps::Symmetric { low, high } => fit::round(x.clamp(f32::from(low), f32::from(high))) as i8,
            Steps::Affine { high } | Steps::Whole { high } => fit::round(x.clamp(0.0, f32::from(high))) as i8,
            Steps::Table(table) => fit::nearest_entry(table, x),
        };
        (code, self.value(code))
    }

    /// What `code` stands for.
    #[inline]
    pub(crate) fn value(&self, code: i8) -> f32 {
        let step = match self.steps {
            Steps::Table(table) => table[(code & 15) as usize],
            _ => f32::from(code),
        };
        step * self.scale + self.minimum
    }

    /// Distance between codes.
    pub(crate) fn step(&self) -> f32 {
        match self.steps {
            Steps::Table(table) => self.scale.abs() * (table[15] - table[0]) / 15.0,
            _ => self.scale.abs(),
        }
    }
}

/// The values that a format can hold in rows of one width.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Grid {
    pub(crate) format: Format,
    pub(crate) cols: usize,
    /// Weights that share stored numbers.
    pub(crate) unit: usize,
    /// Weights that share a [`Level`]; divides the unit.
    pub(crate) part: usize,
    pub(crate) steps: Steps,
}

impl Grid {
    /// The grid of `format` for rows of `cols` weights.
    ///
    /// # Errors
    /// Where the format does not fit the width.
    pub(crate) fn new(format: Format, cols: usize) -> Result<Self> {
        format.check(cols)?;
        let (unit, part, steps) = match format {
            Format::Int8 { group_size } => {
                (group_size, group_size, Steps::Symmetric { low: -127, high: 127 })
            }
            Format::Int4 { group_size } => (group_size, group_size, Steps::Symmetric { low: -8, high: 7 }),
            Format::Int4Asym { group_size } => (group_size, group_size, Steps::Affine { high: 15 }),
            Format::Nf4 { group_size } => (group_size, group_size, Steps::Table(&NF4)),
            Format::Block(block) => block_steps(block),
        };
        Ok(Self { format, cols, unit, part, steps })
    }

    /// The same with zero points, if `whole` and where there are minimums of groups.
    pub(crate) fn with_whole_zeros(self, whole: bool) -> Self {
        match (self.format, self.steps) {
            (Format::Int4Asym { .. }, Steps::Affine { high }) if whole => {
                Self { steps: Steps::Whole { high }, ..self }
            }
            _ => self,
        }
    }

    /// Stored numbers for the weights of one unit that lose little: the error of each weight, squared, counts
    /// `importance` times.
    pub(crate) fn fit(&self, weights: &[f32], importance: &[f32]) -> Unit {
        match (self.unit == self.part, self.steps) {
            (true, steps) => fit::unit(weights, importance, steps),
            (false, Steps::Affine { high }) => superblock::affine(weights, importance, high),
            (false, _) => superblock::symmetric(weights, importance),
        }
    }

    /// Stored numbers that bring the values of given `codes` closest to the weights.
    pub(crate) fn refit(&self, unit: &Unit, weights: &[f32], importance: &[f32], codes: &[i8]) -> Unit {
        match (self.unit == self.part, self.steps) {
            (true, steps) => fit::refit(unit, (weights, importance), codes, steps),
            (false, Steps::Affine { .. }) => superblock::refit_affine(unit, (weights, importance), codes),
            (false, _) => superblock::refit_symmetric(unit, (weights, importance), codes),
        }
    }

    /// The level of a part.
    #[inline]
    pub(crate) fn level(&self, unit: &Unit, part: usize) -> Level {
        let (scale, minimum) = (unit.scale.to_f32(), unit.minimum.to_f32());
        if self.unit == self.part {
            return Level::new(scale, minimum, self.steps);
        }
        let scale = scale * f32::from(unit.scales[part]);
        match self.steps {
            Steps::Affine { .. } => Level::new(scale, -minimum * f32::from(unit.minimums[part]), self.steps),
            _ => Level::new(scale, 0.0, self.steps),
        }
    }

    /// Chooses the nearest codes for a unit.
    pub(crate) fn encode(&self, unit: &Unit, weights: &[f32], codes: &mut [i8]) {
        for (part, (weights, codes)) in weights.chunks(self.part).zip(codes.chunks_mut(self.part)).enumerate()
        {
            let level = self.level(unit, part);
            for (code, weight) in codes.iter_mut().zip(weights) {
                *code = level.nearest(*weight).0;
            }
        }
    }

    /// What the codes of a unit stand for.
    pub(crate) fn decode(&self, unit: &Unit, codes: &[i8], weights: &mut [f32]) {
        for (part, (weights, codes)) in weights.chunks_mut(self.part).zip(codes.chunks(self.part)).enumerate()
        {
            let level = self.level(unit, part);
            for (weight, code) in weights.iter_mut().zip(codes) {
                *weight = level.value(*code);
            }
        }
    }
}

fn block_steps(block: BlockType) -> (usize, usize, Steps) {
    match block {
        BlockType::Q8_0 => (32, 32, Steps::Symmetric { low: -127, high: 127 }),
        BlockType::Q4_0 => (32, 32, Steps::Symmetric { low: -8, high: 7 }),
        BlockType::Q5_0 => (32, 32, Steps::Symmetric { low: -16, high: 15 }),
        BlockType::Q4_1 => (32, 32, Steps::Affine { high: 15 }),
        BlockType::Q5_1 => (32, 32, Steps::Affine { high: 31 }),
        BlockType::Q4K => (256, 32, Steps::Affine { high: 15 }),
        BlockType::Q5K => (256, 32, Steps::Affine { high: 31 }),
        BlockType::Q6K => (256, 16, Steps::Symmetric { low: -32, high: 31 }),
        BlockType::Iq4Nl => (32, 32, Steps::Table(&IQ4_NL)),
    }
}
