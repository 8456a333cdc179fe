//! The building blocks of the transformer, in the order data passes them.

mod adapter;
mod attention;
mod block;
mod cache;
mod linear;
mod norm;
mod rope;

pub use adapter::{Adapter, Dropout, Magnitude};
pub use attention::{Attention, Pass};
pub use block::{Block, Mlp};
pub use cache::{KvCache, KvCacheType};
pub use linear::{Linear, Weight};
pub use norm::RmsNorm;

pub(crate) use rope::Rotations;
