#![doc = include_str!("../README.md")]

mod curate;
mod error;
mod example;
mod io;
mod mix;
mod split;
mod text;

pub use curate::{
    AnswerSchema, ContradictionConfig, ContradictionScope, CurateConfig, Curated, CurationReport,
    DecontaminationConfig, Determined, DropReason, Dropped, LanguageConfig, LengthBucket, LengthConfig,
    Lengths, NearDuplicate, NearDuplicateConfig, NearRule, PiiAction, PiiConfig, PiiKind, QualityConfig,
    ReasonReport, RefusalConfig, Sample, SourceReport, Step, StepReport, Switch, curate, near_duplicates,
};
pub use error::{Error, Result};
pub use example::{Document, Example, Message, Role};
pub use io::{BadLine, Loaded, read_documents, read_examples, write_examples};
pub use mix::mix_replay;
pub use split::{SplitConfig, Splits, split};
