#![doc = include_str!("../README.md")]

pub mod packed;

pub mod linear;

pub mod dense;

pub mod lora;

pub mod rows;

pub mod attention;

pub mod ops;

pub mod mmap;

mod crew;
#[cfg(feature = "cube")]
mod cube;
mod error;
mod output;
#[cfg(feature = "flex")]
mod pool;
mod scratch;
mod simd;

pub use error::{Error, Result};
pub use linear::{packed_linear, packed_linear_dx};
pub use mmap::MappedFile;
pub use packed::{BlockType, Bytes, Format, PackedTensor};

/// Gives memory that is kept for results of operations back to the system. It is at most what such results ever held at once,
/// which after a training is more than an answer needs.
pub fn release_memory() {
    #[cfg(feature = "flex")]
    pool::release();
}
