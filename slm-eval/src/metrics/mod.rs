//! Scores of single answers, and the statistics over them.

mod bleu;
mod calibration;
mod chrf;
mod citation;
mod json;
mod porter;
mod resample;
mod roc;
mod rouge;
mod schema;
mod selective;
mod text;

use std::fmt;

pub use bleu::{corpus_bleu, sentence_bleu};
pub use calibration::{Binning, Calibration, CalibrationBin};
pub use chrf::Chrf;
pub use citation::{CitationScore, citation_score};
pub use json::{extract_json, json_exact_match, json_field_accuracy};
pub use porter::stem;
pub use resample::{
    Interval, PairedComparison, bootstrap_ci, compare_paired, mean_ci, proportion_ci, sign_test,
    weighted_bootstrap_ci,
};
pub use roc::{RocPoint, auroc, roc_curve};
pub use rouge::{Overlap, Rouge, Stemming};
pub use schema::JsonSchema;
pub use selective::RiskCoverage;
use serde::{Deserialize, Serialize};
use serde_json::Value;
pub use text::{exact_match, normalize, token_f1};

use crate::{Error, Result};

/// How an answer is scored against the expected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// [`exact_match`]: 0 or 1.
    #[default]
    ExactMatch,
    /// [`token_f1`]: 0 to 1.
    TokenF1,
    /// F1 of [`Rouge::N`] of words, stemmed: 0 to 1.
    #[serde(rename = "rouge1")]
    Rouge1,
    /// F1 of [`Rouge::N`] of pairs of words, stemmed: 0 to 1.
    #[serde(rename = "rouge2")]
    Rouge2,
    /// F1 of [`Rouge::L`], stemmed: 0 to 1.
    #[serde(rename = "rougeL")]
    RougeL,
    /// F1 of [`Rouge::Lsum`], stemmed: 0 to 1.
    #[serde(rename = "rougeLsum")]
    RougeLsum,
    /// [`sentence_bleu`]: 0 to 1.
    Bleu,
    /// [`Chrf::Characters`]: 0 to 1.
    Chrf,
    /// [`Chrf::WithWords`]: 0 to 1.
    #[serde(rename = "chrf++")]
    ChrfWithWords,
    /// [`json_exact_match`]: 0 or 1.
    JsonExactMatch,
    /// [`json_field_accuracy`]: 0 to 1.
    JsonFieldAccuracy,
}

impl Metric {
    /// Its name in files.
    pub fn key(self) -> &'static str {
        match self {
            Self::ExactMatch => "exact_match",
            Self::TokenF1 => "token_f1",
            Self::Rouge1 => "rouge1",
            Self::Rouge2 => "rouge2",
            Self::RougeL => "rougeL",
            Self::RougeLsum => "rougeLsum",
            Self::Bleu => "bleu",
            Self::Chrf => "chrf",
            Self::ChrfWithWords => "chrf++",
            Self::JsonExactMatch => "json_exact_match",
            Self::JsonFieldAccuracy => "json_field_accuracy",
        }
    }

    /// The score of `prediction`, 0 (wrong) to 1 (right).
    ///
    /// # Errors
    /// When the metric compares JSON and `gold` is none. A `prediction` without JSON scores 0.
    pub fn score(self, prediction: &str, gold: &str) -> Result<f64> {
        let right = |right: bool| if right { 1.0 } else { 0.0 };
        let rouge = |rouge: Rouge| rouge.score(prediction, &[gold], Stemming::Porter).f1;
        Ok(match self {
            Self::ExactMatch => right(exact_match(prediction, gold)),
            Self::TokenF1 => token_f1(prediction, gold),
            Self::Rouge1 => rouge(Rouge::N(1)),
            Self::Rouge2 => rouge(Rouge::N(2)),
            Self::RougeL => rouge(Rouge::L),
            Self::RougeLsum => rouge(Rouge::Lsum),
            Self::Bleu => sentence_bleu(prediction, &[gold]),
            Self::Chrf => Chrf::Characters.sentence(prediction, &[gold]),
            Self::ChrfWithWords => Chrf::WithWords.sentence(prediction, &[gold]),
            Self::JsonExactMatch => right(json_exact_match(prediction, &parse(gold)?)),
            Self::JsonFieldAccuracy => json_field_accuracy(prediction, &parse(gold)?),
        })
    }

    /// The score of `prediction` against the accepted answer that it fits best, as SQuAD scores it; without any, 0. BLEU
    /// takes them together.
    ///
    /// # Errors
    /// As [`Metric::score`].
    pub fn best(self, prediction: &str, golds: &[&str]) -> Result<f64> {
        if self == Self::Bleu {
            return Ok(sentence_bleu(prediction, golds));
        }
        golds.iter().try_fold(0.0, |best: f64, gold| Ok(best.max(self.score(prediction, gold)?)))
    }

    /// Whether `prediction` is right, with no part marks: JSON equal, or text equal once normalised.
    ///
    /// # Errors
    /// As [`Metric::score`].
    pub fn is_exact(self, prediction: &str, gold: &str) -> Result<bool> {
        Ok(match self {
            Self::JsonExactMatch | Self::JsonFieldAccuracy => json_exact_match(prediction, &parse(gold)?),
            _ => exact_match(prediction, gold),
        })
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ExactMatch => "exact match",
            Self::TokenF1 => "token F1",
            Self::Rouge1 => "ROUGE-1",
            Self::Rouge2 => "ROUGE-2",
            Self::RougeL => "ROUGE-L",
            Self::RougeLsum => "ROUGE-Lsum",
            Self::Bleu => "BLEU",
            Self::Chrf => "chrF",
            Self::ChrfWithWords => "chrF++",
            Self::JsonExactMatch => "JSON exact match",
            Self::JsonFieldAccuracy => "JSON field accuracy",
        })
    }
}

fn parse(gold: &str) -> Result<Value> {
    serde_json::from_str(gold).map_err(|source| Error::Gold { gold: gold.into(), source })
}

pub(crate) fn check_finite(what: &'static str, values: &[f64]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(Error::NotFinite { what, index, value: values[index] }),
        None => Ok(()),
    }
}
