//! [`Format`] and [`BlockType`]: how weights are coded.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// How the weights of a [`PackedTensor`](super::PackedTensor) are coded; see the [module](super) for the layouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// 8 bits, symmetric: `weight = code * scale`, codes in `-127..=127`. With a group as long as the row (one scale per
    /// output channel) rows may have any length.
    Int8 {
        /// Weights that share a scale.
        group_size: usize,
    },
    /// 4 bits, symmetric: `weight = (code - 8) * scale`.
    Int4 {
        /// Weights that share a scale.
        group_size: usize,
    },
    /// 4 bits, asymmetric: `weight = code * scale + minimum`.
    Int4Asym {
        /// Weights that share a scale and a minimum.
        group_size: usize,
    },
    /// 4 bits, quantiles of the normal distribution (`NormalFloat`, Dettmers et al. 2023): `weight = table[code] * scale`.
    Nf4 {
        /// Weights that share a scale, their largest magnitude.
        group_size: usize,
    },
    /// Blocks as in GGUF files.
    Block(BlockType),
}

impl Format {
    /// Memory of codes, scales and minimums per weight, in bits.
    pub fn bits_per_weight(self) -> f64 {
        match self {
            Self::Int8 { group_size } => 8.0 + 16.0 / group_size as f64,
            Self::Int4 { group_size } | Self::Nf4 { group_size } => 4.0 + 16.0 / group_size as f64,
            Self::Int4Asym { group_size } => 4.0 + 32.0 / group_size as f64,
            Self::Block(block) => 8.0 * block.bytes() as f64 / block.weights() as f64,
        }
    }

    /// Weights that share a scale; of a [`BlockType`], weights of a block.
    pub const fn group_size(self) -> usize {
        match self {
            Self::Int8 { group_size }
            | Self::Int4 { group_size }
            | Self::Int4Asym { group_size }
            | Self::Nf4 { group_size } => group_size,
            Self::Block(block) => block.weights(),
        }
    }

    /// Whether rows of `cols` weights can be coded.
    ///
    /// # Errors
    ///
    /// [`Error::GroupSize`] if `cols` is 0 or the group size does not divide it, or if the group size is no multiple of 32
    /// (one scale per row of [`Format::Int8`] excepted).
    pub fn check(self, cols: usize) -> Result<()> {
        let group_size = self.group_size();
        let whole_row = matches!(self, Self::Int8 { .. }) && group_size == cols;
        let fits = group_size > 0 && cols.is_multiple_of(group_size);
        if cols > 0 && fits && (group_size.is_multiple_of(32) || whole_row) {
            return Ok(());
        }
        Err(Error::GroupSize { format: self, group_size, cols })
    }

    /// Bytes of the codes of a row of `cols` weights, for which [`Format::check`] holds.
    pub const fn row_bytes(self, cols: usize) -> usize {
        match self {
            Self::Int8 { .. } => cols,
            Self::Int4 { .. } | Self::Int4Asym { .. } | Self::Nf4 { .. } => cols / 2,
            Self::Block(block) => cols / block.weights() * block.bytes(),
        }
    }

    /// Scales of a row of `cols` weights that are not within the codes.
    pub const fn row_scales(self, cols: usize) -> usize {
        match (self, self.group_size()) {
            (Self::Block(_), _) | (_, 0) => 0,
            (_, group_size) => cols / group_size,
        }
    }

    /// Whether there is a minimum for each scale.
    pub const fn has_minimums(self) -> bool {
        matches!(self, Self::Int4Asym { .. })
    }
}

impl fmt::Display for Format {
    /// `int8-g32`, `int4-g64`, `int4a-g128`, `nf4-g64`, or the name of the block type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int8 { group_size } => write!(f, "int8-g{group_size}"),
            Self::Int4 { group_size } => write!(f, "int4-g{group_size}"),
            Self::Int4Asym { group_size } => write!(f, "int4a-g{group_size}"),
            Self::Nf4 { group_size } => write!(f, "nf4-g{group_size}"),
            Self::Block(block) => f.write_str(block.name()),
        }
    }
}

impl FromStr for Format {
    type Err = Error;

    /// Reads what [`Display`](fmt::Display) writes; upper case is accepted.
    fn from_str(name: &str) -> Result<Self> {
        let unknown = || Error::UnknownFormat { name: name.into() };
        if let Some(block) = BlockType::ALL.into_iter().find(|block| block.name().eq_ignore_ascii_case(name))
        {
            return Ok(Self::Block(block));
        }
        let lower = name.to_ascii_lowercase();
        let (kind, group_size) = lower.split_once("-g").ok_or_else(unknown)?;
        let group_size = group_size.parse().map_err(|_| unknown())?;
        match kind {
            "int8" => Ok(Self::Int8 { group_size }),
            "int4" => Ok(Self::Int4 { group_size }),
            "int4a" => Ok(Self::Int4Asym { group_size }),
            "nf4" => Ok(Self::Nf4 { group_size }),
            _ => Err(unknown()),
        }
    }
}

/// Blocks of `ggml`, as GGUF files hold them: scales and codes in one run of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockType {
    /// 8 bits, symmetric.
    Q8_0,
    /// 4 bits, symmetric.
    Q4_0,
    /// 4 bits with a minimum.
    Q4_1,
    /// 5 bits, symmetric.
    Q5_0,
    /// 5 bits with a minimum.
    Q5_1,
    /// 4 bits with scales and minimums of 6 bits.
    Q4K,
    /// 5 bits with scales and minimums of 6 bits.
    Q5K,
    /// 6 bits, symmetric, with scales of 8 bits.
    Q6K,
    /// 4 bits into a table of uneven steps.
    Iq4Nl,
}

impl BlockType {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
        Self::Iq4Nl,
    ];

    /// Weights of a block: 32 or 256.
    pub const fn weights(self) -> usize {
        match self {
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
            _ => 32,
        }
    }

    /// Bytes of a block.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Q8_0 => 34,
            Self::Q4_0 | Self::Iq4Nl => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Name in `ggml`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
            Self::Q4_1 => "q4_1",
            Self::Q5_0 => "q5_0",
            Self::Q5_1 => "q5_1",
            Self::Q4K => "q4_K",
            Self::Q5K => "q5_K",
            Self::Q6K => "q6_K",
            Self::Iq4Nl => "iq4_nl",
        }
    }

    /// Number of the type in a GGUF file.
    pub const fn ggml_type(self) -> u32 {
        match self {
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q5_0 => 6,
            Self::Q5_1 => 7,
            Self::Q8_0 => 8,
            Self::Q4K => 12,
            Self::Q5K => 13,
            Self::Q6K => 14,
            Self::Iq4Nl => 20,
        }
    }

    /// The type with the number `ggml_type` in a GGUF file.
    pub fn from_ggml_type(ggml_type: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|block| block.ggml_type() == ggml_type)
    }
}

impl fmt::Display for BlockType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
