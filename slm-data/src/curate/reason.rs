//! The steps of a curation and the reasons for dropping a row.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Example;

/// A step of the pipeline; the order of the variants is the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// A user and an assistant turn, none of them empty.
    Structure,
    /// Personal data and secrets.
    PersonalData,
    /// Characters of question and answer.
    Length,
    /// Rules for pages of text.
    Web,
    /// Refusals and template phrases.
    Refusal,
    /// Words that no row may hold, or a model's score of toxicity.
    Toxicity,
    /// Repetition and gibberish.
    Quality,
    /// The language.
    Language,
    /// Answers cut off.
    Truncation,
    /// The form that answers must have.
    Schema,
    /// Overlap with the evaluation set.
    Decontamination,
    /// One question, several answers.
    Contradictions,
    /// The same row again.
    ExactDuplicates,
    /// Values that the other rows disagree with.
    LabelNoise,
    /// Almost the same question.
    NearDuplicates,
    /// Scores, and what was selected by them.
    Selection,
    /// Answers that their source does not support.
    Support,
    /// A step that was written outside of this crate.
    Custom,
}

/// Why a row was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DropReason {
    /// No user turn, or no assistant turn.
    Structure,
    /// A turn without text.
    EmptyTurn,
    /// Personal data, where the action is to drop, or where redaction would break the answer's JSON.
    PersonalData,
    /// Fewer characters than allowed.
    TooShort,
    /// More characters than allowed.
    TooLong,
    /// A rule of Gopher or C4.
    WebText,
    /// A refusal, or a phrase of an assistant about itself.
    Refusal,
    /// A word that no row may hold, or a score of toxicity above the limit.
    Toxic,
    /// One word, or the same few words, over and over.
    Repetition,
    /// Not words, not code, not data.
    Gibberish,
    /// Not in an allowed language.
    Language,
    /// JSON or a code block that does not end.
    Truncated,
    /// The answer is not a JSON object.
    NotJson,
    /// The answer has other keys.
    WrongKeys,
    /// A value that should have been copied from the question is not there.
    Ungrounded,
    /// A value outside its list.
    NotAllowed,
    /// The question overlaps with the evaluation set.
    Contaminated,
    /// Other rows answer the same question differently.
    Contradiction,
    /// The same question and answer as an earlier row.
    ExactDuplicate,
    /// A value that a clear majority of comparable rows disagrees with.
    LabelNoise,
    /// Almost the same question as an earlier row.
    NearDuplicate,
    /// The score is below the limit.
    LowScore,
    /// Other rows were selected.
    NotSelected,
    /// The passage that the answer should be from does not say it.
    Unsupported,
    /// A step that was written outside of this crate; the detail says why.
    Custom,
}

impl DropReason {
    /// The step that drops for this reason.
    pub fn step(self) -> Step {
        match self {
            Self::Structure | Self::EmptyTurn => Step::Structure,
            Self::PersonalData => Step::PersonalData,
            Self::TooShort | Self::TooLong => Step::Length,
            Self::WebText => Step::Web,
            Self::Refusal => Step::Refusal,
            Self::Toxic => Step::Toxicity,
            Self::Repetition | Self::Gibberish => Step::Quality,
            Self::Language => Step::Language,
            Self::Truncated => Step::Truncation,
            Self::NotJson | Self::WrongKeys | Self::Ungrounded | Self::NotAllowed => Step::Schema,
            Self::Contaminated => Step::Decontamination,
            Self::Contradiction => Step::Contradictions,
            Self::ExactDuplicate => Step::ExactDuplicates,
            Self::LabelNoise => Step::LabelNoise,
            Self::NearDuplicate => Step::NearDuplicates,
            Self::LowScore | Self::NotSelected => Step::Selection,
            Self::Unsupported => Step::Support,
            Self::Custom => Step::Custom,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Structure => "structure",
            Self::PersonalData => "personal data",
            Self::Length => "length",
            Self::Web => "web rules",
            Self::Refusal => "refusal",
            Self::Toxicity => "toxicity",
            Self::Quality => "quality",
            Self::Language => "language",
            Self::Truncation => "truncation",
            Self::Schema => "schema",
            Self::Decontamination => "decontamination",
            Self::Contradictions => "contradictions",
            Self::ExactDuplicates => "exact duplicates",
            Self::LabelNoise => "label noise",
            Self::NearDuplicates => "near duplicates",
            Self::Selection => "selection",
            Self::Support => "support",
            Self::Custom => "custom",
        })
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Structure => "structure",
            Self::EmptyTurn => "empty turn",
            Self::PersonalData => "personal data",
            Self::TooShort => "too short",
            Self::TooLong => "too long",
            Self::WebText => "web text",
            Self::Refusal => "refusal",
            Self::Toxic => "toxic",
            Self::Repetition => "repetition",
            Self::Gibberish => "gibberish",
            Self::Language => "language",
            Self::Truncated => "truncated",
            Self::NotJson => "not JSON",
            Self::WrongKeys => "wrong keys",
            Self::Ungrounded => "ungrounded",
            Self::NotAllowed => "not allowed",
            Self::Contaminated => "contaminated",
            Self::Contradiction => "contradiction",
            Self::ExactDuplicate => "exact duplicate",
            Self::LabelNoise => "label noise",
            Self::NearDuplicate => "near duplicate",
            Self::LowScore => "low score",
            Self::NotSelected => "not selected",
            Self::Unsupported => "unsupported",
            Self::Custom => "custom",
        })
    }
}

/// Why a row is dropped, and what gave it away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) reason: DropReason,
    pub(crate) detail: String,
    /// Fingerprint of the row that it is a duplicate of.
    pub(crate) of: Option<String>,
}

impl Verdict {
    pub(crate) fn new(reason: DropReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), of: None }
    }

    /// The same for a duplicate of a row.
    pub(crate) fn of(self, row: &Example) -> Self {
        Self { of: Some(row.fingerprint()), ..self }
    }
}
