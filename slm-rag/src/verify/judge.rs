//! Further looks at a claim, beside its words: [`Judge`].

use std::sync::Arc;

use slm_core::LocalModel;

use crate::Result;
use crate::retrieve::SharedReranker;

/// Looks at a claim and its evidence in a way of its own: a cross-encoder, a model of entailment, the likelihood under a
/// language model. What it measures stands beside the other measures of a [`Verifier`](super::Verifier), and
/// [`SupportModel::fit`](super::SupportModel::fit) weighs all of them together into one probability.
pub trait Judge {
    /// What it measures of a claim, always as many numbers, each from 0 to 1; `evidence` are the stretches of two
    /// sentences that share most with the claim, best first.
    ///
    /// # Errors
    /// When a model fails.
    fn measures(&self, claim: &str, evidence: &[&str]) -> Result<Vec<f64>>;
}

/// A judge that can be shared.
pub type SharedJudge = Arc<dyn Judge + Send + Sync>;

/// A model that reads two texts together: a cross-encoder, or a model of entailment whose score is that of "entailed".
#[derive(Clone)]
pub struct PairJudge(SharedReranker);

impl PairJudge {
    /// A judge by the best score of one stretch of the evidence.
    pub fn new(model: SharedReranker) -> Self {
        Self(model)
    }
}

impl std::fmt::Debug for PairJudge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PairJudge").finish_non_exhaustive()
    }
}

impl Judge for PairJudge {
    fn measures(&self, claim: &str, evidence: &[&str]) -> Result<Vec<f64>> {
        let best = self.0.score(claim, evidence)?.into_iter().fold(f32::NEG_INFINITY, f32::max);
        Ok(vec![1.0 / (1.0 + f64::from(-best).exp())])
    }
}

/// A model that tells how likely a text is after another.
pub trait Likelihood {
    /// The natural-log probability of each token of `text` after `context`, which may be empty; where both are too long,
    /// the beginning of the context is left out.
    ///
    /// # Errors
    /// When the model fails.
    fn log_probabilities(&self, context: &str, text: &str) -> slm_core::Result<Vec<f32>>;
}

impl Likelihood for LocalModel {
    fn log_probabilities(&self, context: &str, text: &str) -> slm_core::Result<Vec<f32>> {
        let text = self.tokenizer.encode(&format!(" {text}"), false)?;
        let mut ids = self.tokenizer.encode(context, true)?;
        if ids.is_empty() {
            // Something must come before the first token; a blank says least.
            ids = self.tokenizer.encode("\n", false)?;
        }
        let window = self.model.config.context_length();
        let text = text.get(..text.len().min(window / 2)).unwrap_or_default();
        ids.drain(..(ids.len() + text.len()).saturating_sub(window));
        let count = text.len();
        ids.extend_from_slice(text);
        let scores = self.score(&ids)?;
        Ok(scores.get(scores.len().saturating_sub(count)..).unwrap_or_default().to_vec())
    }
}

/// How much likelier a claim becomes by the evidence, to a language model (pointwise mutual information, as in Holtzman et
/// al. 2021 for answers). It asks for nothing to be written, and works with the model that wrote the answer.
#[derive(Debug, Clone)]
pub struct LikelihoodJudge<M> {
    model: M,
}

impl<M: Likelihood> LikelihoodJudge<M> {
    /// A judge by a model's likelihoods.
    pub fn new(model: M) -> Self {
        Self { model }
    }
}

impl<M: Likelihood> Judge for LikelihoodJudge<M> {
    /// The probability of a token with the evidence (geometric mean, and the lowest), and how much the mean log-probability
    /// gains by the evidence, on a logistic scale.
    fn measures(&self, claim: &str, evidence: &[&str]) -> Result<Vec<f64>> {
        // The best stretch stands next to the claim.
        let context: Vec<&str> = evidence.iter().rev().copied().collect();
        let with = self.model.log_probabilities(&context.join("\n"), claim)?;
        let without = self.model.log_probabilities("", claim)?;
        let mean = |scores: &[f32]| {
            scores.iter().map(|score| f64::from(*score)).sum::<f64>() / scores.len().max(1) as f64
        };
        let lowest = with.iter().copied().fold(0.0, f32::min);
        let gain = mean(&with) - mean(&without);
        Ok(vec![mean(&with).exp(), f64::from(lowest).exp(), 1.0 / (1.0 + (-gain).exp())])
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SupportModel, Verifier};
    use super::*;
    use crate::retrieve::Reranker;

    /// Likely is what the context says.
    struct Parrot;

    impl Likelihood for Parrot {
        fn log_probabilities(&self, context: &str, text: &str) -> slm_core::Result<Vec<f32>> {
            let known = |word: &str| if context.contains(word) { -0.1 } else { -3.0 };
            Ok(text.split_whitespace().map(known).collect())
        }
    }

    impl Reranker for Parrot {
        fn score(&self, query: &str, texts: &[&str]) -> slm_core::Result<Vec<f32>> {
            Ok(texts.iter().map(|text| if text.contains(query) { 4.0 } else { -4.0 }).collect())
        }
    }

    #[test]
    fn judges_are_weighed_with_the_words() -> Result<()> {
        let judges: [SharedJudge; 2] =
            [Arc::new(LikelihoodJudge::new(Parrot)), Arc::new(PairJudge::new(Arc::new(Parrot)))];
        let [likelihood, pair] = judges;
        let verifier = |model| Verifier::new(model).with_judge(likelihood.clone()).with_judge(pair.clone());
        let open = verifier(SupportModel::default());
        let passage = ["The pump runs at night. It is blue."];
        let plain = Verifier::default().measures("The pump runs at night.", &passage)?;
        let examples: Vec<(Vec<f64>, bool)> = [("The pump runs at night.", true), ("A cat sleeps.", false)]
            .iter()
            .map(|(claim, supported)| Ok((open.measures(claim, &passage)?, *supported)))
            .collect::<Result<_>>()?;
        let [supported, not] = [&examples[0].0, &examples[1].0];
        assert_eq!(supported.len(), plain.len() + 4);
        assert_eq!(supported[..plain.len()], plain[..]);
        for n in plain.len()..supported.len() {
            assert!(supported[n] > not[n] && (0.0..=1.0).contains(&supported[n]), "measure {n}");
        }
        let fitted = verifier(SupportModel::fit(&examples)?);
        assert!(fitted.check("The pump runs at night.", &passage)?.probability > 0.5);
        assert!(fitted.check("A cat sleeps.", &passage)?.probability < 0.5);
        assert_eq!(open.measures("A cat sleeps.", &[])?.len(), supported.len(), "also without evidence");
        Ok(())
    }
}
