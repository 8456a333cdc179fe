//! From logits to text: configuration, sampling, constraints, stop strings and the decode loop.

mod answer;
mod batch;
mod config;
pub mod constraint;
mod forced;
mod local;
mod logprobs;
mod lookup;
mod prefix;
mod prepared;
mod sampler;
mod sequence;
mod state;
mod stop;
mod thoughts;
mod typed;

pub use batch::{Batch, BatchRequest, OnBatchDelta};
pub use config::{Dry, GenerationConfig, Lookup, Mirostat, Step, Xtc};
pub use constraint::{Constraint, Grammars};
pub(crate) use local::to_values;
pub use local::{Generated, LocalModel};
pub use prefix::PrefixCache;
pub use prepared::Prepared;
pub use sampler::Sampler;
pub use state::{PrefillState, StatePooling};
pub use typed::generate_as;
