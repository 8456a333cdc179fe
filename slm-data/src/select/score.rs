//! Scores of rows: by rules, and by models that are lent.

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::text::{self, share};
use crate::{Error, Example, Result};

/// Gives each row a number; more is better.
pub trait Scorer {
    /// Its name, for reports.
    fn name(&self) -> &'static str;

    /// A score per row, in their order.
    ///
    /// # Errors
    /// When a model that is lent fails.
    fn score(&mut self, rows: &[Example]) -> Result<Vec<f64>>;
}

/// Rules: what bad answers have in common, without a model. From 0 to 1.
///
/// The mean of five shares: length (full from 20 words on), different words, sentences that end, content words
/// of the question that the answer takes up (full from a quarter on), and letters among the characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuleScore;

impl Scorer for RuleScore {
    fn name(&self) -> &'static str {
        "rules"
    }

    fn score(&mut self, rows: &[Example]) -> Result<Vec<f64>> {
        Ok(rows.par_iter().map(rules).collect())
    }
}

fn rules(row: &Example) -> f64 {
    let answer = text::normalize(row.answer());
    let words: Vec<&str> = text::words(&answer).collect();
    if words.is_empty() {
        return 0.0;
    }
    let length = share(words.len(), 20).min(1.0);
    let different: BTreeSet<&str> = words.iter().copied().collect();
    // Long texts repeat words by nature: half of them may.
    let variety = (2.0 * share(different.len(), words.len())).min(1.0);
    let ended = answer.ends_with(['.', '!', '?', '"', ')', '}', ']', '`', ':', ';']) || words.len() < 8;
    let question = text::normalize(row.question());
    let content: BTreeSet<&str> = text::words(&question).filter(|word| word.chars().count() > 3).collect();
    let taken = content.iter().filter(|word| different.contains(*word)).count();
    let addressed = if content.is_empty() { 1.0 } else { (4.0 * share(taken, content.len())).min(1.0) };
    let visible = answer.chars().filter(|c| !c.is_whitespace()).count();
    let letters = (1.25 * share(answer.chars().filter(|c| c.is_alphabetic()).count(), visible)).min(1.0);
    (length + variety + f64::from(u8::from(ended)) + addressed + letters) / 5.0
}

/// The mean negative log-likelihood per token of answers, each after its question or (`None`) alone: a model,
/// as a closure.
pub type AnswerLoss<'a> = dyn FnMut(&[(Option<&str>, &str)]) -> std::result::Result<Vec<f64>, String> + 'a;

fn losses(model: &mut AnswerLoss<'_>, pairs: &[(Option<&str>, &str)]) -> Result<Vec<f64>> {
    let found = model(pairs).map_err(|reason| Error::Model { what: "the scoring model", reason })?;
    if found.len() != pairs.len() {
        let reason = format!("expected {} numbers, got {}", pairs.len(), found.len());
        return Err(Error::Model { what: "the scoring model", reason });
    }
    Ok(found)
}

/// The answer's perplexity after its question, negated: what the model finds strange comes last.
pub struct Perplexity<'a> {
    /// The model.
    pub model: Box<AnswerLoss<'a>>,
}

impl std::fmt::Debug for Perplexity<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Perplexity")
    }
}

impl Scorer for Perplexity<'_> {
    fn name(&self) -> &'static str {
        "perplexity"
    }

    fn score(&mut self, rows: &[Example]) -> Result<Vec<f64>> {
        let pairs: Vec<_> = rows.iter().map(|row| (Some(row.question()), row.answer())).collect();
        Ok(losses(&mut *self.model, &pairs)?.into_iter().map(|loss| -loss.exp()).collect())
    }
}

/// Instruction-following difficulty (Li et al. 2023): the answer's perplexity after the question, divided by
/// that of the answer alone. Above 1 the question does not help with the answer, which says that they do not
/// belong together: such rows score 0.
pub struct Ifd<'a> {
    /// The model.
    pub model: Box<AnswerLoss<'a>>,
}

impl std::fmt::Debug for Ifd<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ifd")
    }
}

impl Scorer for Ifd<'_> {
    fn name(&self) -> &'static str {
        "IFD"
    }

    fn score(&mut self, rows: &[Example]) -> Result<Vec<f64>> {
        let (after, alone) = after_and_alone(&mut *self.model, rows)?;
        let ratio = |(after, alone): (f64, f64)| (after - alone).exp();
        Ok(after.into_iter().zip(alone).map(ratio).map(|ifd| if ifd > 1.0 { 0.0 } else { ifd }).collect())
    }
}

/// Pointwise information (PVI, Ethayarajh et al. 2022): the nats per token that the question takes off the answer's
/// loss. An answer that does not belong to its question gains nothing from it and comes last.
///
/// The model should know the domain a little without having seen the rows: train it on one half to score the other.
pub struct PointwiseInformation<'a> {
    /// The model.
    pub model: Box<AnswerLoss<'a>>,
}

impl std::fmt::Debug for PointwiseInformation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PointwiseInformation")
    }
}

impl Scorer for PointwiseInformation<'_> {
    fn name(&self) -> &'static str {
        "pointwise information"
    }

    fn score(&mut self, rows: &[Example]) -> Result<Vec<f64>> {
        let (after, alone) = after_and_alone(&mut *self.model, rows)?;
        Ok(after.into_iter().zip(alone).map(|(after, alone)| alone - after).collect())
    }
}

/// The losses of answers after their questions, and without them.
fn after_and_alone(model: &mut AnswerLoss<'_>, rows: &[Example]) -> Result<(Vec<f64>, Vec<f64>)> {
    let after: Vec<_> = rows.iter().map(|row| (Some(row.question()), row.answer())).collect();
    let alone: Vec<_> = rows.iter().map(|row| (None, row.answer())).collect();
    Ok((losses(model, &after)?, losses(model, &alone)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_put_bad_answers_last() -> Result<()> {
        let ask = "Why does the storage service refuse to start after the update?";
        let rows = [
            Example::pair(
                ask,
                "The storage service refuses to start because its configuration file still names \
                the old volume; correct the path and start the service again.",
                "",
            ),
            Example::pair(ask, "No idea", ""),
            Example::pair(ask, "yes yes yes yes yes yes yes yes yes yes yes yes", ""),
            Example::pair(ask, "", ""),
        ];
        let scores = RuleScore.score(&rows)?;
        assert!(scores[0] > 0.95 && scores[1] < 0.8 && scores[2] < 0.5 && scores[3] == 0.0, "{scores:?}");
        Ok(())
    }

    #[test]
    fn model_scores() -> Result<()> {
        // A model for which the letter x is hard, and the question takes half of the pain.
        let loss = |pairs: &[(Option<&str>, &str)]| {
            Ok(pairs
                .iter()
                .map(|(question, answer)| {
                    let hard = answer.matches('x').count() as f64;
                    if question.is_some_and(|question| question != "unrelated") { hard / 2.0 } else { hard }
                })
                .collect())
        };
        let rows = [
            Example::pair("q", "ax", ""),
            Example::pair("q", "axxxx", ""),
            Example::pair("unrelated", "ax", ""),
        ];
        let perplexity = Perplexity { model: Box::new(loss) }.score(&rows)?;
        assert!(perplexity[0] > perplexity[1]);
        let ifd = Ifd { model: Box::new(loss) }.score(&rows)?;
        assert!((ifd[0] - (-0.5_f64).exp()).abs() < 1e-12 && ifd[1] < ifd[0]);
        assert!((ifd[2] - 1.0).abs() < 1e-12);
        let information = PointwiseInformation { model: Box::new(loss) }.score(&rows)?;
        assert_eq!(information, [0.5, 2.0, 0.0]);
        let short = Perplexity { model: Box::new(|_| Ok(vec![1.0])) }.score(&rows);
        assert!(matches!(short, Err(Error::Model { .. })));
        Ok(())
    }
}
