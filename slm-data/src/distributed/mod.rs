//! Curation on more than one machine: the steps of a [`PipelineConfig`] as functions and plans of DataFusion.
//!
//! [`run`] does what [`Pipeline::run`](crate::Pipeline::run) does, on whatever executes the plans of the context it is
//! given: the cores of this machine, or a Ballista cluster. Both keep the same rows and give the same reasons. Rows lie
//! in Parquet files in the folder `cache`, which all machines must see under the same name; what the scheduler and the
//! executors need besides is [`functions`], registered.
//!
//! | function | gives |
//! |---|---|
//! | `slm_pair(question, answer, source)` | a row, as the JSON text that the other functions take |
//! | `slm_steps(row, steps)` | `{found_row, found_step, found_reason, found_detail}`; `steps` is a literal, a list of `{name, kind}` in JSON |
//! | `slm_fingerprint(row)` | [`Example::fingerprint`](crate::Example::fingerprint) |
//! | `slm_source(row)` | where the row comes from |
//! | `slm_keys(row, settings)` | the keys that near duplicates share, a list; `settings` is a literal, JSON |
//! | `slm_similarity(row, row, settings)` | the similarity of near duplicates, null for others |
//!
//! Steps that judge rows one by one, and exact and near duplicates, are done this way. Steps that need all rows at once
//! (`decontamination`, `contradictions`, `select`, `curate`, a `schema` with values that follow from others) are not:
//! they come last as a rule, on what is left, and then [`Pipeline`](crate::Pipeline) serves.

mod functions;
mod near;
mod run;
mod steps;
mod table;

use ::datafusion::error::DataFusionError;
use ::datafusion::prelude::SessionContext;

pub use functions::functions;
pub use run::run;
pub use steps::apply_steps;
pub use table::write_table;

use crate::Error;
#[cfg(doc)]
use crate::PipelineConfig;

/// Makes [`functions`] known to a context.
pub fn register(context: &SessionContext) {
    for function in functions() {
        context.register_udf(function.as_ref().clone());
    }
}

impl From<DataFusionError> for Error {
    fn from(source: DataFusionError) -> Self {
        Self::DataFusion { source: Box::new(source) }
    }
}
