//! [`IntentDetector`]: which intent has a text, and has it any?

mod config;
mod exemplars;
mod gaussians;
mod store;

pub use config::{IntentConfig, Signal};
use exemplars::Exemplars;
use gaussians::Gaussians;
use serde::{Deserialize, Serialize};

use crate::calibrate::{Calibration, DetectorReport};
use crate::detector::{Sparse, Vectorizer};
use crate::linear::{Head, Row, Training, softmax};
use crate::{Error, Result};

/// A text's vector, and the text, of which the words count where [`IntentConfig::words`] says so.
///
/// The vector is whatever stands for the text: of any [`Embedder`](slm_core::Embedder), or the state of the model that
/// will answer, so that no second model is needed.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// The vector.
    pub vector: &'a [f32],
    /// The text; may be empty.
    pub text: &'a str,
}

/// What a detector sees in a text. All but `intent` and `probability` are larger for a text that belongs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Assessment<'a> {
    /// The likeliest intent.
    pub intent: &'a str,
    /// Its probability among the intents, 0 to 1.
    pub probability: f64,
    /// See [`Signal::Energy`].
    pub energy: f64,
    /// See [`Signal::Mahalanobis`].
    pub mahalanobis: f64,
    /// See [`Signal::Neighbours`].
    pub neighbours: f64,
    /// The configured [`Signal`], which the threshold is for.
    pub score: f64,
}

/// Tells intents apart and texts without any of them from the rest, by vectors of any model.
///
/// A softmax regression over the vector and, beside it, TF-IDF features of words and character n-grams says which intent
/// a text has; energy, Mahalanobis distance and nearest neighbours say whether it has any. Give all texts the same label
/// where there is only one kind; the classifier is then idle and the other signals decide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IntentDetector {
    config: IntentConfig,
    intents: Vec<String>,
    words: Option<Vectorizer>,
    head: Head,
    gaussians: Gaussians,
    exemplars: Exemplars,
    /// Spread of energy, Mahalanobis and neighbours over the texts fitted to.
    spreads: [f64; 3],
    calibration: Option<(Calibration, DetectorReport)>,
}

impl IntentDetector {
    /// Learns from samples with the name of an intent each.
    ///
    /// # Errors
    /// When there are fewer than two samples, a vector has another length than the first or none, the lists differ in
    /// length, or the configuration is out of range.
    pub fn fit(samples: &[Sample<'_>], intents: &[&str], config: &IntentConfig) -> Result<Self> {
        config.check()?;
        check_vectors(samples, intents.len())?;
        let mut names: Vec<&str> = intents.to_vec();
        names.sort_unstable();
        names.dedup();
        let labels: Vec<usize> =
            intents.iter().map(|intent| names.binary_search(intent).unwrap_or(0)).collect();
        let words = config
            .words
            .as_ref()
            .map(|words| Vectorizer::fit(samples.iter().map(|sample| sample.text), words));
        let sparse: Vec<Sparse> =
            samples.iter().map(|sample| sparse(words.as_ref(), sample.text, config.word_weight)).collect();
        let rows: Vec<Row<'_>> = samples
            .iter()
            .zip(&sparse)
            .map(|(sample, sparse)| Row { dense: sample.vector, sparse })
            .collect();
        let training = Training {
            inverse_regularization: config.inverse_regularization,
            steps: config.steps,
            least_rows: config.least_texts,
        };
        let vectors: Vec<&[f32]> = samples.iter().map(|sample| sample.vector).collect();
        let mut detector = Self {
            head: Head::fit(&rows, &labels, names.len(), &training),
            gaussians: Gaussians::fit(&vectors, &labels, names.len()),
            exemplars: Exemplars::choose(&vectors, &labels, names.len(), config.exemplars),
            intents: names.into_iter().map(str::to_owned).collect(),
            words,
            config: config.clone(),
            spreads: [1.0; 3],
            calibration: None,
        };
        detector.spreads = detector.spreads_over(&rows);
        Ok(detector)
    }

    /// What it sees in a text.
    ///
    /// # Errors
    /// When the vector has another length than those fitted to, or none.
    pub fn assess(&self, sample: Sample<'_>) -> Result<Assessment<'_>> {
        check_vector(sample.vector, self.head.width())?;
        let sparse = sparse(self.words.as_ref(), sample.text, self.config.word_weight);
        let row = Row { dense: sample.vector, sparse: &sparse };
        let logits = self.head.logits(row);
        let probabilities = softmax(&logits);
        let likeliest = probabilities.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        let (intent, probability) = likeliest.unwrap_or((0, 0.0));
        let [energy, mahalanobis, neighbours] = self.signals(&logits, sample.vector, false);
        let score = match self.config.signal {
            Signal::Energy => energy,
            Signal::MaxProbability => probability,
            Signal::Mahalanobis => mahalanobis,
            Signal::Neighbours => neighbours,
            Signal::Combined => {
                let [a, b, c] = self.spreads;
                (energy / a + mahalanobis / b + neighbours / c) / 3.0
            }
        };
        let intent = self.intents.get(intent).map_or("", String::as_str);
        Ok(Assessment { intent, probability, energy, mahalanobis, neighbours, score })
    }

    /// Sets the threshold so that a new text without any of the intents is accepted with a probability of at most
    /// [`max_false_accept`](Calibration::max_false_accept); [`DomainDetector::calibrate`](crate::DomainDetector::calibrate) says how.
    ///
    /// # Errors
    /// When there are too few samples, the rate is not between 0 and 1, or a vector does not fit. The detector is then as
    /// before.
    pub fn calibrate(
        &mut self,
        in_domain: &[Sample<'_>],
        off_domain: &[Sample<'_>],
        calibration: &Calibration,
    ) -> Result<DetectorReport> {
        let (inside, outside) = (self.scores(in_domain)?, self.scores(off_domain)?);
        let report = calibration.fit(&inside, &outside)?;
        self.calibration = Some((*calibration, report));
        Ok(report)
    }

    /// Measures the calibrated detector on samples whose side is known.
    ///
    /// # Errors
    /// When the detector is not calibrated, a side is empty, or a vector does not fit.
    pub fn evaluate(&self, in_domain: &[Sample<'_>], off_domain: &[Sample<'_>]) -> Result<DetectorReport> {
        let threshold = self.threshold().ok_or(Error::NotCalibrated { route: None })?;
        DetectorReport::new(&self.scores(in_domain)?, &self.scores(off_domain)?, threshold)
    }

    /// The scores of samples, such as for [`auroc`](crate::auroc) or a [`DriftWatch`](crate::DriftWatch).
    ///
    /// # Errors
    /// When a vector does not fit.
    pub fn scores(&self, samples: &[Sample<'_>]) -> Result<Vec<f64>> {
        samples.iter().map(|sample| self.assess(*sample).map(|assessment| assessment.score)).collect()
    }

    /// A text has one of the intents if it scores above this; `None` before [`calibrate`](Self::calibrate).
    pub fn threshold(&self) -> Option<f32> {
        self.calibration.map(|(_, report)| report.threshold)
    }

    /// What the detector was calibrated to, and what came of it.
    pub fn calibration(&self) -> Option<(Calibration, DetectorReport)> {
        self.calibration
    }

    /// Spread of the configured signal over the texts fitted to: what a difference of scores compares to.
    pub fn spread(&self) -> f64 {
        let [energy, mahalanobis, neighbours] = self.spreads;
        match self.config.signal {
            Signal::Energy => energy,
            Signal::Mahalanobis => mahalanobis,
            Signal::Neighbours => neighbours,
            // One is a probability, the other in spreads already.
            Signal::MaxProbability | Signal::Combined => 1.0,
        }
    }

    /// The intents, sorted by name.
    pub fn intents(&self) -> &[String] {
        &self.intents
    }

    /// The same detector, with another signal and without the threshold, which was for the signal before.
    #[must_use]
    pub fn with_signal(mut self, signal: Signal) -> Self {
        self.config.signal = signal;
        self.calibration = None;
        self
    }

    fn signals(&self, logits: &[f32], vector: &[f32], but_itself: bool) -> [f64; 3] {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|z| f64::from(z - largest).exp()).sum();
        let neighbours = self.exemplars.similarity(vector, self.config.neighbours, but_itself);
        [f64::from(largest) + sum.ln(), -self.gaussians.distance(vector), neighbours]
    }

    fn spreads_over(&self, rows: &[Row<'_>]) -> [f64; 3] {
        let signals: Vec<[f64; 3]> =
            rows.iter().map(|row| self.signals(&self.head.logits(*row), row.dense, true)).collect();
        let count = signals.len().max(1) as f64;
        [0, 1, 2].map(|n| {
            let values = || signals.iter().filter_map(|signals| signals.get(n));
            let mean = values().sum::<f64>() / count;
            let spread = (values().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
            if spread > 1e-9 { spread } else { 1.0 }
        })
    }
}

/// Features of the words, as long as `weight`.
fn sparse(words: Option<&Vectorizer>, text: &str, weight: f32) -> Sparse {
    let mut vector = words.map_or_else(Vec::new, |words| words.vector(text));
    vector.iter_mut().for_each(|(_, x)| *x *= weight);
    vector
}

fn check_vectors(samples: &[Sample<'_>], labels: usize) -> Result<()> {
    if samples.len() < 2 {
        return Err(Error::TooFewTexts { what: "labelled", expected: 2, got: samples.len() });
    }
    if samples.len() != labels {
        let reason = format!("expected one per sample, {}, got {labels}", samples.len());
        return Err(Error::config("intents", reason));
    }
    let width = samples.first().map_or(0, |sample| sample.vector.len());
    samples.iter().try_for_each(|sample| check_vector(sample.vector, width))
}

fn check_vector(vector: &[f32], width: usize) -> Result<()> {
    let bad = |got: String| Err(Error::Vector { expected: width, got });
    if vector.len() != width || vector.is_empty() {
        return bad(format!("{} numbers", vector.len()));
    }
    match vector.iter().map(|x| x * x).sum::<f32>() {
        length if length > 0.0 && length.is_finite() => Ok(()),
        length => bad(format!("a squared length of {length}")),
    }
}
