//! Encoders of the BERT family: texts to vectors, and pairs of texts to scores.
//!
//! Sequences of a batch lie behind one another without padding, so a batch costs what its tokens cost, and a text's
//! vector does not depend on its neighbours.

mod bert;
mod config;
mod cross;
mod load;
mod save;
mod text;

pub use bert::{Affine, Encoder, EncoderLayer, LayerNorm, Segment};
pub use config::EncoderConfig;
pub use cross::CrossEncoder;
pub use text::{Pooling, TextEncoder};
