//! Does the evidence carry what an answer claims? [`Verifier`].

mod claims;
mod features;
mod judge;
mod model;
mod policy;

pub use claims::claims;
pub(crate) use claims::clauses;
use features::Evidence;
pub use judge::{Judge, Likelihood, LikelihoodJudge, PairJudge, SharedJudge};
pub use model::{SupportModel, threshold};
pub use policy::{JudgedClaim, RiskPoint, SupportPolicy, risk_coverage};

use crate::Result;
use crate::retrieve::SharedEmbedder;

/// Windows of the evidence that an embedder or a judge reads for a claim.
const NEAREST: usize = 8;

/// How well evidence carries a claim.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// Probability that the evidence supports the claim, as far as the examples of the model are like it.
    pub probability: f64,
    /// Numbers, amounts, dates and codes of the claim that the evidence does not say.
    pub missing_quantities: usize,
    /// What was measured, in the order of [`Verifier::measures`].
    pub measures: Vec<f64>,
}

/// Judges claims by their evidence: words and pairs of words found, quantities compared as values, names, negation, and
/// with an embedder also nearness of meaning. No second model is asked, unless it is given as a [`Judge`].
///
/// ```
/// use slm_rag::verify::Verifier;
///
/// let evidence = ["The bridge opened on 3 March 1932. It is 1.5 km long and carries eight lanes of traffic."];
/// let verifier = Verifier::default();
/// let right = verifier.check("The bridge is 1,500 metres long.", &evidence)?;
/// let wrong = verifier.check("The bridge is 1,500 miles long.", &evidence)?;
/// assert_eq!((right.missing_quantities, wrong.missing_quantities), (0, 1));
/// assert!(right.probability > wrong.probability);
/// # Ok::<(), slm_rag::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Verifier {
    model: SupportModel,
    embedder: Option<SharedEmbedder>,
    judges: Vec<SharedJudge>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("model", &self.model)
            .field("embedder", &self.embedder.is_some())
            .field("judges", &self.judges.len())
            .finish()
    }
}

impl Verifier {
    /// A verifier of words with a model of its own, such as one [fitted](SupportModel::fit) to examples.
    pub fn new(model: SupportModel) -> Self {
        Self { model, embedder: None, judges: Vec::new() }
    }

    /// A verifier of words and meaning, with a model that was fitted with the same embedder.
    pub fn with_embedder(model: SupportModel, embedder: SharedEmbedder) -> Self {
        Self { embedder: Some(embedder), ..Self::new(model) }
    }

    /// The same with one more judge; the model is to be fitted with the same judges in the same order.
    #[must_use]
    pub fn with_judge(mut self, judge: SharedJudge) -> Self {
        self.judges.push(judge);
        self
    }

    /// Judges a claim by all of the evidence.
    ///
    /// # Errors
    /// When the embedder fails.
    pub fn check(&self, claim: &str, evidence: &[&str]) -> Result<Verdict> {
        let evidence = Evidence::new(evidence);
        let measures = self.of(claim, &evidence)?;
        let probability = self.model.probability(&measures);
        Ok(Verdict { probability, missing_quantities: evidence.missing(claim), measures })
    }

    /// What is measured of a claim, for fitting a [`SupportModel`], each from 0 to 1: the share of its words, by rarity, in
    /// the evidence; the same in the two neighbouring sentences that fit best, and its fourth power; the share of its
    /// neighbouring words that are neighbours there; the shares of its quantities and of its names that the evidence
    /// lacks; whether one of both is negated; its length; how many words are missing from the evidence, and from the
    /// best two sentences; the share of names missing there; whether it has quantities and all are said; its longest run
    /// of words found; the share of its runs of four letters in the best sentences, and in the evidence; the share of its words
    /// with other forms of a word counted in part; whether the evidence sets one thing against another; the largest share
    /// of its names in one sentence; with an embedder, the largest cosine; then what the [judges](Self::with_judge) say.
    ///
    /// # Errors
    /// When the embedder fails.
    pub fn measures(&self, claim: &str, evidence: &[&str]) -> Result<Vec<f64>> {
        self.of(claim, &Evidence::new(evidence))
    }

    /// The two neighbouring sentences of one text of the evidence that share most with a claim, whether they support it or
    /// not; empty where there is no sentence.
    pub fn nearest(&self, claim: &str, evidence: &[&str]) -> String {
        let evidence = Evidence::new(evidence);
        evidence.measure(claim).1.first().map_or("", |&n| evidence.window(n)).to_owned()
    }

    fn of(&self, claim: &str, evidence: &Evidence) -> Result<Vec<f64>> {
        let (measures, order) = evidence.measure(claim);
        let mut measures = measures.to_vec();
        let near: Vec<&str> = order.into_iter().take(NEAREST).map(|n| evidence.window(n)).collect();
        if let Some(embedder) = &self.embedder {
            let texts: Vec<&str> = std::iter::once(claim).chain(near.iter().copied()).collect();
            let vectors = embedder.embed(&texts)?;
            let cosine = |other: &Vec<f32>| {
                let own = vectors.first().into_iter().flatten();
                own.zip(other).map(|(a, b)| f64::from(a * b)).sum::<f64>()
            };
            measures.push(vectors.iter().skip(1).map(cosine).fold(0.0, f64::max));
        }
        for judge in &self.judges {
            measures.extend(judge.measures(claim, &near)?);
        }
        Ok(measures)
    }
}
