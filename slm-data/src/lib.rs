#![doc = include_str!("../README.md")]

mod card;
mod clean;
mod curate;
#[cfg(feature = "datafusion")]
pub mod distributed;
mod duplicates;
mod error;
mod example;
mod io;
mod mix;
mod pairs;
mod pipeline;
mod row;
mod select;
mod sets;
mod split;
mod text;

pub use card::{CardReason, CardSource, CardStep, Cluster, DataCard, Distribution};
pub use clean::{
    C4Rules, CleanConfig, GopherRules, WebReason, clean_text, repair_mojibake, strip_boilerplate,
    strip_markup,
};
pub use curate::{
    AnswerSchema, Compared, ContradictionConfig, ContradictionScope, CurateConfig, Curated, CurationReport,
    DecontaminationConfig, Determined, DropReason, Dropped, LanguageConfig, LengthBucket, LengthConfig,
    Lengths, NearDuplicateConfig, NearRule, PiiAction, PiiConfig, PiiFinding, PiiKind, QualityConfig,
    ReasonReport, RefusalConfig, Sample, SourceReport, Step, StepReport, Switch, ToxicityConfig, WebConfig,
    curate, find_pii, near_duplicates, redact,
};
pub use duplicates::{
    Embed, Leak, NearDuplicate, Shingle, Similarity, embed, leaks, near_duplicate_texts, near_duplicates_by,
    semantic_duplicates,
};
pub use error::{Error, Result};
pub use example::{Document, Example, Message, Role};
pub use io::{
    BadLine, Counts, Entry, Layout, Loaded, RowReader, RowWriter, convert, read_documents, read_examples,
    read_rows, write_examples,
};
pub use mix::{mix_replay, nearest_replay};
pub use pairs::{AskAbout, GroundedPair, GroundedPairs, PairsConfig, pairs_from_documents, support};
pub use pipeline::{
    InputConfig, Outcome, OutputConfig, Pipeline, PipelineConfig, PipelineReport, Stage, StepConfig,
    StepKind, StepRun,
};
pub use row::{Feedback, FromRow, Preference, Row};
pub use select::{
    AnswerLoss, Ifd, LabelNoise, Method, NaiveBayes, Perplexity, PointwiseInformation, Ranked, RuleScore,
    Scorer, SelectConfig, Selection, confident_learning, cross_validated, lexical_vectors, preference_pairs,
    select,
};
pub use split::{SplitConfig, Splits, split, split_by_time};
