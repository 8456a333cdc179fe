//! [`EncoderData`]: what an encoder learns from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slm_core::TextEncoder;
use slm_core::encoder::Segment;

use super::{EncoderTrainConfig, LabelLoss};
use crate::train::fingerprint;
use crate::{Error, Result};

/// A text and what it is: a question and its intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelledText {
    /// The text.
    pub text: String,
    /// Texts of one label are to be close.
    pub label: String,
}

/// Two texts that are to be close: a question and the passage that answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextPair {
    /// The question.
    pub query: String,
    /// What it is to find.
    pub passage: String,
}

/// What an encoder learns from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EncoderData {
    /// Texts with labels, by [`EncoderTrainConfig::label_loss`].
    Labelled(Vec<LabelledText>),
    /// Each query is to find its passage among all of the batch (`MultipleNegativesRankingLoss` of sentence-transformers, InfoNCE
    /// of van den Oord et al. 2018). The other passages are taken to be wrong, unless they are the same text.
    Pairs(Vec<TextPair>),
}

/// What a run is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EncoderPlan {
    /// Texts or pairs.
    pub examples: usize,
    /// Labels; 0 for pairs.
    pub labels: usize,
    /// Texts that fill the encoder's longest input: longer ones are cut to it.
    pub cut: usize,
    /// Tokens of one pass over the data.
    pub tokens_per_epoch: usize,
    /// Optimizer steps.
    pub steps: usize,
    /// Trainable weights.
    pub trainable_parameters: usize,
}

/// Tokenized data.
#[derive(Debug)]
pub(super) enum Examples {
    Labelled { texts: Vec<Segment>, labels: Vec<usize>, names: Vec<String> },
    Pairs { queries: Vec<Segment>, passages: Vec<Segment> },
}

impl Examples {
    /// # Errors
    /// When a text is empty, or there is nothing to tell apart.
    pub(super) fn new(encoder: &TextEncoder, data: EncoderData, config: &EncoderTrainConfig) -> Result<Self> {
        match data {
            EncoderData::Labelled(data) => {
                let texts = tokenized(encoder, data.iter().map(|item| item.text.as_str()))?;
                let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
                for item in &data {
                    *counts.entry(item.label.as_str()).or_default() += 1;
                }
                if counts.len() < 2 {
                    return Err(refused(format!("{} labels: nothing is to be told apart", counts.len())));
                }
                let repeated = counts.values().any(|count| *count > 1);
                if config.label_loss == LabelLoss::SupervisedContrastive && !repeated {
                    return Err(refused("no label has two texts that could be drawn together".into()));
                }
                let names: Vec<String> = counts.keys().map(|name| (*name).to_owned()).collect();
                let place = |item: &LabelledText| names.binary_search(&item.label).unwrap_or_default();
                let labels = data.iter().map(place).collect();
                Ok(Self::Labelled { texts, labels, names })
            }
            EncoderData::Pairs(pairs) => {
                if pairs.len() < 2 {
                    return Err(refused(format!("{} pairs: no other passage is wrong", pairs.len())));
                }
                let queries = tokenized(encoder, pairs.iter().map(|pair| pair.query.as_str()))?;
                let passages = tokenized(encoder, pairs.iter().map(|pair| pair.passage.as_str()))?;
                Ok(Self::Pairs { queries, passages })
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Labelled { texts, .. } => texts.len(),
            Self::Pairs { queries, .. } => queries.len(),
        }
    }

    pub(super) fn names(&self) -> &[String] {
        match self {
            Self::Labelled { names, .. } => names,
            Self::Pairs { .. } => &[],
        }
    }

    /// All segments.
    pub(super) fn segments(&self) -> impl Iterator<Item = &Segment> {
        let (first, second): (_, &[Segment]) = match self {
            Self::Labelled { texts, .. } => (texts, &[]),
            Self::Pairs { queries, passages } => (queries, passages),
        };
        first.iter().chain(second)
    }

    /// Identifies the data, and the tables of `encoder`, which do not learn and are in no checkpoint.
    pub(super) fn fingerprint(&self, encoder: &TextEncoder) -> Result<u64> {
        let table = encoder.encoder.word_embeddings.clone().try_into_vec_as::<f32>();
        let table = table.map_err(|e| slm_core::Error::Device { reason: format!("{e:?}") })?;
        let table = table.iter().map(|number| u64::from(number.to_bits()));
        let tokens = |segment: &Segment| {
            segment.ids.iter().map(|id| u64::from(*id)).chain([u64::MAX]).collect::<Vec<_>>()
        };
        let labels: &[usize] = match self {
            Self::Labelled { labels, .. } => labels,
            Self::Pairs { .. } => &[],
        };
        let names = self.names().iter().flat_map(|name| name.bytes().map(u64::from).chain([u64::MAX]));
        let labels = labels.iter().map(|label| *label as u64);
        Ok(fingerprint(self.segments().flat_map(tokens).chain(labels).chain(names).chain(table)))
    }

    /// Tokens of an example.
    pub(super) fn tokens(&self, index: usize) -> usize {
        match self {
            Self::Labelled { texts, .. } => texts[index].ids.len(),
            Self::Pairs { queries, passages } => queries[index].ids.len() + passages[index].ids.len(),
        }
    }
}

fn tokenized<'a>(encoder: &TextEncoder, texts: impl Iterator<Item = &'a str>) -> Result<Vec<Segment>> {
    let texts: Vec<&str> = texts.collect();
    if let Some(index) = texts.iter().position(|text| text.trim().is_empty()) {
        return Err(refused(format!("text {index} is empty")));
    }
    Ok(encoder.segments(&texts)?)
}

fn refused(reason: String) -> Error {
    Error::Config { field: "data", reason }
}
