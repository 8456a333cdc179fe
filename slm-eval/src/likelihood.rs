//! What a model finds likely, as lm-evaluation-harness measures it: texts after a context, choices, whole texts.
//!
//! The model only reads. So a base model can be measured that would not answer in the form asked for, and there is
//! nothing to parse.

use serde::{Deserialize, Serialize};
use slm_core::LocalModel;

use crate::metrics::check_finite;
use crate::{Error, Result};

/// How texts are read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LikelihoodConfig {
    /// Most tokens that are read at a time; `None`, or more than the model's context, is the context.
    pub window: Option<usize>,
    /// The token that stands before a text that has nothing before it. `None` is the begin-of-text token of the
    /// model's `config.json`, or else its first end-of-text token.
    pub prefix: Option<u32>,
}

/// A question with answers to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    /// What stands before the choice, as the model shall read it.
    pub context: String,
    /// The texts to choose from; each is read after a space.
    pub choices: Vec<String>,
    /// Place of the right one, counted from 0.
    pub gold: usize,
    /// Where it comes from.
    pub source: String,
}

/// What a model made of [`Choices`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChoiceRow {
    /// Natural-log probability of each choice.
    pub likelihoods: Vec<f64>,
    /// The right one.
    pub gold: usize,
    /// The likeliest: `acc` of the harness.
    pub picked: usize,
    /// The likeliest per character: `acc_norm` of the harness.
    pub picked_per_character: usize,
    /// The likeliest per byte: `acc_bytes` of the harness.
    pub picked_per_byte: usize,
}

/// A text and how likely it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TextLikelihood {
    /// Natural-log probability of all of it.
    pub likelihood: f64,
    /// Pieces between white space.
    pub words: usize,
    /// Bytes of UTF-8.
    pub bytes: usize,
}

impl TextLikelihood {
    /// `exp` of the mean negative log-probability of a word, over all texts.
    pub fn word_perplexity(texts: &[Self]) -> f64 {
        (-Self::sum(texts) / texts.iter().map(|t| t.words).sum::<usize>() as f64).exp()
    }

    /// `exp` of the mean negative log-probability of a byte, over all texts.
    pub fn byte_perplexity(texts: &[Self]) -> f64 {
        (-Self::sum(texts) / texts.iter().map(|t| t.bytes).sum::<usize>() as f64).exp()
    }

    /// Mean negative log2-probability of a byte, over all texts.
    pub fn bits_per_byte(texts: &[Self]) -> f64 {
        Self::byte_perplexity(texts).log2()
    }

    fn sum(texts: &[Self]) -> f64 {
        texts.iter().map(|t| t.likelihood).sum()
    }
}

/// Natural-log probability of `continuation` after `context`. Where both are longer than the window, the beginning of
/// the context is cut off. Spaces at the context's end are read with the continuation, as tokenizers expect.
///
/// # Errors
/// When the continuation has no tokens or more than the window, or the model fails.
pub fn log_likelihood(
    model: &LocalModel,
    context: &str,
    continuation: &str,
    config: &LikelihoodConfig,
) -> Result<f64> {
    let (mut ids, from) = if context.is_empty() {
        let mut ids = model.tokenizer.encode(continuation, false)?;
        let prefix = prefix(model, config)?;
        if ids.first() != Some(&prefix) {
            ids.insert(0, prefix);
        }
        (ids, 1)
    } else {
        let before = model.tokenizer.encode(context.trim_end(), true)?.len();
        (model.tokenizer.encode(&format!("{context}{continuation}"), true)?, before)
    };
    let count = ids.len().saturating_sub(from);
    let window = window(model, config);
    if count == 0 || count > window {
        let got = format!("{count} tokens with a window of {window}: {continuation:?}");
        return Err(Error::Setting {
            name: "continuation",
            expected: "1 token or more, within the window",
            got,
        });
    }
    ids.drain(..ids.len().saturating_sub(window + 1));
    let scores = model.score(&ids)?;
    total(&scores[scores.len() - count..])
}

/// Natural-log probability of a whole text. A text longer than the window is read in parts: each token is predicted
/// once, the first of a part after one token of context, those of the last part with a full window.
///
/// # Errors
/// When the text has no tokens, or the model fails.
pub fn text_likelihood(model: &LocalModel, text: &str, config: &LikelihoodConfig) -> Result<TextLikelihood> {
    let mut ids = model.tokenizer.encode(text, true)?;
    if ids.is_empty() {
        return Err(Error::Empty { what: "tokens of a text" });
    }
    ids.insert(0, prefix(model, config)?);
    let window = window(model, config);
    let (mut likelihood, mut done) = (0.0, 1);
    while done < ids.len() {
        let end = (done + window).min(ids.len());
        let scores = model.score(&ids[end.saturating_sub(window + 1)..end])?;
        likelihood += total(&scores[scores.len() - (end - done)..])?;
        done = end;
    }
    // The harness splits at white space and counts the empty pieces at the ends.
    let space = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
    let inner = text.trim_matches(space);
    let ends = [text.starts_with(space), text.ends_with(space) && !inner.is_empty()];
    let words = inner.split(space).filter(|word| !word.is_empty()).count().max(1);
    let words = words + ends.into_iter().filter(|end| *end).count();
    Ok(TextLikelihood { likelihood, words, bytes: text.len() })
}

/// How likely each choice is after the question, and which one the model so picks; of equals the first.
///
/// # Errors
/// When there are no choices, the right one is not among them, or as [`log_likelihood`].
pub fn choose(model: &LocalModel, question: &Choices, config: &LikelihoodConfig) -> Result<ChoiceRow> {
    if question.gold >= question.choices.len() {
        let got = format!("{} of {}", question.gold, question.choices.len());
        return Err(Error::Setting { name: "gold", expected: "the place of a choice", got });
    }
    let likely = |choice: &String| log_likelihood(model, &question.context, &format!(" {choice}"), config);
    let likelihoods = question.choices.iter().map(likely).collect::<Result<Vec<f64>>>()?;
    let best_by = |length: fn(&str) -> usize| {
        let per = |at: usize| likelihoods[at] / length(&question.choices[at]) as f64;
        (1..likelihoods.len()).fold(0, |best, at| if per(at) > per(best) { at } else { best })
    };
    Ok(ChoiceRow {
        gold: question.gold,
        picked: best_by(|_| 1),
        picked_per_character: best_by(|choice| choice.chars().count()),
        picked_per_byte: best_by(str::len),
        likelihoods,
    })
}

fn window(model: &LocalModel, config: &LikelihoodConfig) -> usize {
    let context = model.model.config.context_length();
    config.window.unwrap_or(context).clamp(1, context)
}

fn prefix(model: &LocalModel, config: &LikelihoodConfig) -> Result<u32> {
    let own = || model.model.config.bos_token_id.or(model.eos.first().copied());
    config.prefix.or_else(own).ok_or_else(|| Error::Setting {
        name: "prefix",
        expected: "a token, as the model has neither a begin-of-text nor an end-of-text token",
        got: "none".into(),
    })
}

fn total(scores: &[f32]) -> Result<f64> {
    let scores: Vec<f64> = scores.iter().copied().map(f64::from).collect();
    check_finite("log-probability of token", &scores)?;
    Ok(scores.iter().sum())
}
