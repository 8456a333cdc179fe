//! [`DomainDetector`]: does a text belong to the domain?

mod config;
mod features;
mod logistic;
mod neighbours;
mod shapes;
mod store;

pub use config::DetectorConfig;
pub(crate) use features::{Sparse, Vectorizer};
use logistic::Logistic;
use neighbours::Exemplars;
use serde::{Deserialize, Serialize};

use crate::calibrate::{Calibration, DetectorReport};
use crate::{Error, Result};

/// Scores how much a text looks like the domain.
///
/// A text becomes a TF-IDF vector of words, pairs of words and character n-grams, in which identifiers and
/// numbers stand for their class (`E4102` for a code, `10.0.0.1` for an address). The score is the mean cosine
/// to the nearest in-domain texts. If background texts were given, it is multiplied by the probability that a
/// logistic regression between the two gives to the domain. [`calibrate`](Self::calibrate) adds the threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DomainDetector {
    vectorizer: Vectorizer,
    exemplars: Exemplars,
    classifier: Option<Logistic>,
    calibration: Option<(Calibration, DetectorReport)>,
}

impl DomainDetector {
    /// Learns the domain from `in_domain` texts and, where there are any, from `background` texts outside it.
    ///
    /// Give questions as users ask them; pages to retrieve from may join them, a sentence per text. Background
    /// helps if it differs from the domain in subject. If it differs in style (questions against the
    /// sentences of pages, with no question among the in-domain texts), leave it out: the classifier would learn
    /// the style. Keep the texts for [`calibrate`](Self::calibrate) apart from both.
    ///
    /// # Errors
    /// When no in-domain text has a word, or the configuration is out of range.
    pub fn fit(in_domain: &[&str], background: &[&str], config: &DetectorConfig) -> Result<Self> {
        config.check()?;
        let vectorizer = Vectorizer::fit(in_domain.iter().copied(), config);
        let vectors = |texts: &[&str]| -> Vec<_> {
            texts.iter().map(|text| vectorizer.vector(text)).filter(|vector| !vector.is_empty()).collect()
        };
        let (inside, outside) = (vectors(in_domain), vectors(background));
        if inside.is_empty() {
            return Err(Error::TooFewTexts { what: "in-domain", expected: 1, got: 0 });
        }
        let classifier =
            (!outside.is_empty()).then(|| Logistic::fit(&inside, &outside, config.inverse_regularization));
        let exemplars = Exemplars::from(inside);
        Ok(Self { vectorizer, exemplars, classifier, calibration: None })
    }

    /// How much `text` looks like the domain: 0 (nothing in common) to 1. A text without a word scores 0.
    pub fn score(&self, text: &str) -> f64 {
        let vector = self.vectorizer.vector(text);
        let likeness = self.exemplars.mean_cosine(&vector, self.vectorizer.config.neighbours);
        let probability = self.classifier.as_ref().map_or(1.0, |classifier| classifier.probability(&vector));
        (likeness * probability).clamp(0.0, 1.0)
    }

    /// Sets the threshold so that a new off-domain text is accepted with a probability of at most
    /// [`max_false_accept`](Calibration::max_false_accept), and reports what that costs in refused in-domain texts.
    ///
    /// The bound is that of split conformal prediction (Vovk, Gammerman & Shafer 2005): the threshold starts
    /// from the `⌈(n + 1)(1 - max_false_accept)⌉`-th smallest of the `n` off-domain scores, and the bound holds for
    /// any `n` if the off-domain texts to come are drawn as those `n` were. The threshold is then raised half-way to
    /// the next in-domain score, which refuses none of the held-out texts and leaves room for foreign subjects.
    ///
    /// Neither side may have been seen by [`fit`](Self::fit), and the off-domain texts should not share their
    /// subjects with its background: both would look easier than new texts do. The report's rates are those
    /// on the texts given; [`evaluate`](Self::evaluate) on further ones gives an unbiased view.
    ///
    /// # Errors
    /// When there are fewer than `1 / max_false_accept - 1` off-domain texts, no in-domain text, or the rate is
    /// not between 0 and 1. The detector is then as before.
    pub fn calibrate(
        &mut self,
        in_domain: &[&str],
        off_domain: &[&str],
        calibration: &Calibration,
    ) -> Result<DetectorReport> {
        let (inside, outside) = (self.scores(in_domain), self.scores(off_domain));
        let report = calibration.fit(&inside, &outside)?;
        self.calibration = Some((*calibration, report));
        Ok(report)
    }

    /// Measures the calibrated detector on texts whose side is known.
    ///
    /// # Errors
    /// When the detector is not calibrated or a side is empty.
    pub fn evaluate(&self, in_domain: &[&str], off_domain: &[&str]) -> Result<DetectorReport> {
        let threshold = self.threshold().ok_or(Error::NotCalibrated { route: None })?;
        DetectorReport::new(&self.scores(in_domain), &self.scores(off_domain), threshold)
    }

    /// A text belongs to the domain if it scores above this; `None` before [`calibrate`](Self::calibrate).
    pub fn threshold(&self) -> Option<f32> {
        self.calibration.map(|(_, report)| report.threshold)
    }

    /// What the detector was calibrated to, and what came of it.
    pub fn calibration(&self) -> Option<(Calibration, DetectorReport)> {
        self.calibration
    }

    fn scores(&self, texts: &[&str]) -> Vec<f64> {
        texts.iter().map(|text| self.score(text)).collect()
    }
}
