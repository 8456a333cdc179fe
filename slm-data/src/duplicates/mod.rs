//! Duplicates: exact, near, in meaning, and between parts.

mod across;
mod banding;
mod near;
mod semantic;
mod shingles;

pub(crate) use across::question;
pub use across::{Leak, leaks};
#[cfg(feature = "datafusion")]
pub(crate) use near::template;
pub(crate) use near::{Buffers, Rules, Sketcher, banded, sample, search};
pub use near::{NearDuplicate, Similarity, near_duplicate_texts, near_duplicates_by};
pub(crate) use semantic::dot;
pub use semantic::{Embed, embed, semantic_duplicates};
pub(crate) use shingles::AsIs;
pub use shingles::Shingle;
#[cfg(feature = "datafusion")]
pub(crate) use shingles::jaccard;
