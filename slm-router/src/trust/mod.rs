//! [`TrustModel`]: how likely is an answer right, by what it tells of itself?

mod signals;

use std::path::Path;

use serde::{Deserialize, Serialize};
pub use signals::AnswerSignals;

use crate::calibrate::{RiskLimit, SelectiveReport};
use crate::file::{self, Kind};
use crate::linear::{Head, Row, Training};
use crate::{Error, Result};

const KIND: Kind = Kind { format: "slm-trust-model", version: 1 };

/// The probability that an answer is right, learned from answers that were judged.
///
/// A logistic regression over the [signals](AnswerSignals) of an answer. [`calibrate`](Self::calibrate) adds the
/// threshold above which answers stand at a stated risk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrustModel {
    mean: Vec<f32>,
    scale: Vec<f32>,
    head: Head,
    calibration: Option<(RiskLimit, SelectiveReport)>,
}

impl TrustModel {
    /// Learns from answers of which it is known whether they were right.
    ///
    /// # Errors
    /// When there are fewer than ten of either kind.
    pub fn fit(examples: &[(AnswerSignals, bool)]) -> Result<Self> {
        let right = examples.iter().filter(|(_, right)| *right).count();
        for (what, got) in [("right", right), ("wrong", examples.len() - right)] {
            if got < 10 {
                return Err(Error::TooFewTexts { what, expected: 10, got });
            }
        }
        let features: Vec<Vec<f32>> = examples.iter().map(|(signals, _)| signals.features()).collect();
        let (mean, scale) = moments(&features);
        let scaled: Vec<Vec<f32>> = features.iter().map(|row| standardised(row, &mean, &scale)).collect();
        let rows: Vec<Row<'_>> = scaled.iter().map(|dense| Row { dense, sparse: &[] }).collect();
        let labels: Vec<usize> = examples.iter().map(|(_, right)| usize::from(*right)).collect();
        let training = Training { inverse_regularization: 1.0, steps: 200, least_rows: 1 };
        Ok(Self { head: Head::fit(&rows, &labels, 2, &training), mean, scale, calibration: None })
    }

    /// Probability that an answer with these signals is right, 0 to 1.
    pub fn probability(&self, signals: &AnswerSignals) -> f64 {
        let dense = standardised(&signals.features(), &self.mean, &self.scale);
        self.head.probability(Row { dense: &dense, sparse: &[] })
    }

    /// Sets the threshold so that at most [`max_error`](RiskLimit::max_error) of the answers that stand are wrong, with
    /// a guarantee ([`RiskLimit::fit`]). The examples must not be those of [`fit`](Self::fit).
    ///
    /// # Errors
    /// As [`RiskLimit::fit`]. The model is then as before.
    pub fn calibrate(
        &mut self,
        held_out: &[(AnswerSignals, bool)],
        limit: &RiskLimit,
    ) -> Result<SelectiveReport> {
        let scored: Vec<(f64, bool)> =
            held_out.iter().map(|(signals, right)| (self.probability(signals), *right)).collect();
        let report = limit.fit(&scored)?;
        self.calibration = Some((*limit, report));
        Ok(report)
    }

    /// What it was calibrated to, and what came of it.
    pub fn calibration(&self) -> Option<(RiskLimit, SelectiveReport)> {
        self.calibration
    }

    /// Writes the model to a JSON file, whole or not at all.
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
        let model: Self = file::read(path, KIND)?;
        let width = AnswerSignals::default().features().len();
        let fits = model.mean.len() == width && model.scale.len() == width && model.head.width() == width;
        if !fits || !model.head.is_sound() || model.head.classes() != 2 {
            return Err(file::corrupt(path, "weights of every signal"));
        }
        Ok(model)
    }
}

/// Mean and standard deviation of each column; 1 where a column is constant.
pub(crate) fn moments(rows: &[Vec<f32>]) -> (Vec<f32>, Vec<f32>) {
    let width = rows.first().map_or(0, Vec::len);
    let count = rows.len().max(1) as f64;
    let column = |n: usize| rows.iter().filter_map(move |row| row.get(n)).map(|&x| f64::from(x));
    let mean: Vec<f64> = (0..width).map(|n| column(n).sum::<f64>() / count).collect();
    let scale = mean.iter().enumerate().map(|(n, mean)| {
        let deviation = (column(n).map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
        if deviation > 1e-6 { deviation as f32 } else { 1.0 }
    });
    (mean.iter().map(|&m| m as f32).collect(), scale.collect())
}

pub(crate) fn standardised(row: &[f32], mean: &[f32], scale: &[f32]) -> Vec<f32> {
    row.iter().zip(mean).zip(scale).map(|((x, m), s)| (x - m) / s).collect()
}
