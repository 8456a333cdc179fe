//! [`OutcomeRouter`]: which queries need the larger model, learned from how both did before.

mod curve;

use std::path::Path;

pub use curve::RoutingCurve;
use serde::{Deserialize, Serialize};

use crate::complexity::Complexity;
use crate::detector::{DetectorConfig, Sparse, Vectorizer};
use crate::file::{self, Kind};
use crate::intent::Sample;
use crate::linear::{Head, Row, Training, softmax};
use crate::trust::{moments, standardised};
use crate::{Error, Result};

const KIND: Kind = Kind { format: "slm-outcome-router", version: 1 };

/// How two models did on a query.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'a> {
    /// The query; its vector may be empty, in all samples alike.
    pub sample: Sample<'a>,
    /// Whether the local model was right.
    pub local_is_right: bool,
    /// Whether the larger model was right; `true` where it was not asked.
    pub larger_is_right: bool,
}

impl Outcome<'_> {
    /// What it would have gained to ask the larger model: 1, 0 or -1 right answers.
    pub fn gain(&self) -> f64 {
        f64::from(i8::from(self.larger_is_right) - i8::from(self.local_is_right))
    }
}

/// What an [`OutcomeRouter`] looks at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutcomeConfig {
    /// Words, pairs of words and character n-grams; `None` for none. `neighbours` and `inverse_regularization` of it are
    /// not used.
    pub words: Option<DetectorConfig>,
    /// Weight of each measure of [`Complexity`] beside a vector of length one; 0 for none.
    pub complexity_weight: f32,
    /// Texts that a word or n-gram must occur in.
    pub least_texts: usize,
    /// Inverse strength of the penalty on the weights (`C` of LIBLINEAR).
    pub inverse_regularization: f64,
}

impl Default for OutcomeConfig {
    fn default() -> Self {
        Self {
            words: Some(DetectorConfig::default()),
            complexity_weight: 0.1,
            least_texts: 2,
            inverse_regularization: 0.5,
        }
    }
}

impl OutcomeConfig {
    fn check(&self) -> Result<()> {
        if let Some(words) = &self.words {
            words.check()?;
        }
        if !(self.complexity_weight >= 0.0 && self.complexity_weight.is_finite()) {
            let reason = format!("expected 0 or more, got {}", self.complexity_weight);
            return Err(Error::config("complexity_weight", reason));
        }
        if !(self.inverse_regularization > 0.0 && self.inverse_regularization.is_finite()) {
            let reason = format!("expected above 0, got {}", self.inverse_regularization);
            return Err(Error::config("inverse_regularization", reason));
        }
        Ok(())
    }
}

/// Foresees how much better than the local model the larger one would answer a query.
///
/// A softmax regression over the query's vector, its words and its [`Complexity`] tells how likely each of the four
/// outcomes is: either model right or wrong. The gain is the probability that only the larger model is right, less the
/// probability that only the local one is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutcomeRouter {
    config: OutcomeConfig,
    width: usize,
    words: Option<Vectorizer>,
    mean: Vec<f32>,
    scale: Vec<f32>,
    head: Head,
    threshold: Option<f64>,
}

impl OutcomeRouter {
    /// Learns from outcomes.
    ///
    /// # Errors
    /// When there are fewer than ten queries that the local model answered right, or wrong, vectors differ in length, or
    /// the configuration is out of range.
    pub fn fit(outcomes: &[Outcome<'_>], config: &OutcomeConfig) -> Result<Self> {
        config.check()?;
        let right = outcomes.iter().filter(|outcome| outcome.local_is_right).count();
        for (what, got) in [("rightly answered", right), ("wrongly answered", outcomes.len() - right)] {
            if got < 10 {
                return Err(Error::TooFewTexts { what, expected: 10, got });
            }
        }
        let width = outcomes.first().map_or(0, |outcome| outcome.sample.vector.len());
        let texts = || outcomes.iter().map(|outcome| outcome.sample.text);
        let complexities: Vec<Vec<f32>> = texts().map(|text| Complexity::of(text).features()).collect();
        let (mean, scale) = moments(&complexities);
        let words = config.words.as_ref().map(|words| Vectorizer::fit(texts(), words));
        let (config, head) = (config.clone(), Head::default());
        let mut router = Self { config, width, words, mean, scale, head, threshold: None };
        let features = outcomes.iter().map(|outcome| router.features(outcome.sample));
        let features: Vec<(Vec<f32>, Sparse)> = features.collect::<Result<_>>()?;
        let rows: Vec<Row<'_>> = features.iter().map(|(dense, sparse)| Row { dense, sparse }).collect();
        let label = |outcome: &Outcome<'_>| {
            2 * usize::from(outcome.local_is_right) + usize::from(outcome.larger_is_right)
        };
        let labels: Vec<usize> = outcomes.iter().map(label).collect();
        let training = Training {
            inverse_regularization: router.config.inverse_regularization,
            steps: 200,
            least_rows: router.config.least_texts,
        };
        router.head = Head::fit(&rows, &labels, 4, &training);
        Ok(router)
    }

    /// What is to be gained in right answers by asking the larger model, -1 to 1.
    ///
    /// # Errors
    /// When the vector has another length than those fitted to.
    pub fn gain(&self, sample: Sample<'_>) -> Result<f64> {
        let [_, only_larger, only_local, _] = self.outcomes(sample)?;
        Ok(only_larger - only_local)
    }

    /// Probability that the local model is right, 0 to 1.
    ///
    /// # Errors
    /// As [`gain`](Self::gain).
    pub fn local_is_right(&self, sample: Sample<'_>) -> Result<f64> {
        let [_, _, only_local, both] = self.outcomes(sample)?;
        Ok(only_local + both)
    }

    /// Sets the threshold so that a new query goes to the larger model with a probability of at most `share`: a budget of
    /// calls. The bound is that of [`Calibration::threshold`](crate::Calibration::threshold). Returns the threshold.
    ///
    /// # Errors
    /// When there are too few queries, a vector does not fit, or the share is not between 0 and 1.
    pub fn calibrate_calls(&mut self, queries: &[Sample<'_>], share: f64) -> Result<f64> {
        let gains = queries.iter().map(|sample| self.gain(*sample)).collect::<Result<Vec<f64>>>()?;
        let calibration = crate::Calibration { max_false_accept: share };
        let threshold = f64::from(calibration.threshold(&gains)?);
        self.threshold = Some(threshold);
        Ok(threshold)
    }

    /// Sets the threshold that needs the fewest calls for `share` of the larger model's accuracy on `held_out`, which must
    /// not have been fitted to. Returns what came of it there.
    ///
    /// # Errors
    /// When there is no outcome, a vector does not fit, or the share is not above 0 and at most 1.
    pub fn calibrate_quality(&mut self, held_out: &[Outcome<'_>], share: f64) -> Result<RoutingCurve> {
        let curve = self.curve(held_out)?;
        if !(share > 0.0 && share <= 1.0) {
            return Err(Error::config("share", format!("expected above 0 and at most 1, got {share}")));
        }
        self.threshold = Some(curve.threshold_for(share));
        Ok(curve)
    }

    /// How accuracy grows with the share of calls, on outcomes.
    ///
    /// # Errors
    /// When there is no outcome, or a vector does not fit.
    pub fn curve(&self, outcomes: &[Outcome<'_>]) -> Result<RoutingCurve> {
        let gains = outcomes.iter().map(|outcome| self.gain(outcome.sample)).collect::<Result<Vec<f64>>>()?;
        RoutingCurve::new(&gains, outcomes)
    }

    /// A query goes to the larger model if its gain is above this; `None` before calibration.
    pub fn threshold(&self) -> Option<f64> {
        self.threshold
    }

    /// Writes the router to a JSON file, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        file::write(path, KIND, self)
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// When the file cannot be read, is of another kind or version, or is corrupt.
    pub fn load(path: &Path) -> Result<Self> {
        let router: Self = file::read(path, KIND)?;
        router.config.check()?;
        let measures = Complexity::of("").features().len();
        let is_sound = router.mean.len() == measures
            && router.scale.len() == measures
            && router.head.width() == router.width + measures
            && router.head.classes() == 4
            && router.head.is_sound()
            && router.words.as_ref().is_none_or(Vectorizer::is_sound);
        if is_sound { Ok(router) } else { Err(file::corrupt(path, "weights of every feature")) }
    }

    /// Probabilities of: both wrong, only the larger right, only the local right, both right.
    fn outcomes(&self, sample: Sample<'_>) -> Result<[f64; 4]> {
        let (dense, sparse) = self.features(sample)?;
        let probabilities = softmax(&self.head.logits(Row { dense: &dense, sparse: &sparse }));
        let at = |n: usize| probabilities.get(n).copied().unwrap_or(0.0);
        Ok([at(0), at(1), at(2), at(3)])
    }

    fn features(&self, sample: Sample<'_>) -> Result<(Vec<f32>, Sparse)> {
        let is_finite = sample.vector.iter().all(|x| x.is_finite());
        if sample.vector.len() != self.width || !is_finite {
            let got = format!("{} numbers", sample.vector.len());
            return Err(Error::Vector { expected: self.width, got });
        }
        let measures = standardised(&Complexity::of(sample.text).features(), &self.mean, &self.scale);
        let mut dense = sample.vector.to_vec();
        dense.extend(measures.iter().map(|x| x.clamp(-4.0, 4.0) * self.config.complexity_weight));
        Ok((dense, self.words.as_ref().map_or_else(Vec::new, |words| words.vector(sample.text))))
    }
}
