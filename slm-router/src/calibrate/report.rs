//! [`DetectorReport`]: how a detector with a threshold treats texts whose side is known.

use serde::{Deserialize, Serialize};

use super::curve::auroc;
use crate::Result;

/// How a detector with a threshold treats texts whose side is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DetectorReport {
    /// A text is accepted as in-domain if it scores above this.
    pub threshold: f32,
    /// In-domain texts.
    pub in_domain: usize,
    /// In-domain texts refused.
    pub refused: usize,
    /// Off-domain texts.
    pub off_domain: usize,
    /// Off-domain texts accepted.
    pub accepted: usize,
    /// Area under the ROC curve: [`auroc`] of the scores.
    pub auroc: f32,
}

impl DetectorReport {
    /// Share of in-domain texts that were refused, 0 to 1.
    pub fn refusal_rate(&self) -> f64 {
        self.refused as f64 / self.in_domain.max(1) as f64
    }

    /// Share of off-domain texts that were accepted, 0 to 1.
    pub fn false_accept_rate(&self) -> f64 {
        self.accepted as f64 / self.off_domain.max(1) as f64
    }

    pub(crate) fn new(in_domain: &[f64], off_domain: &[f64], threshold: f32) -> Result<Self> {
        let above = |scores: &[f64]| scores.iter().filter(|&&s| s > f64::from(threshold)).count();
        Ok(Self {
            threshold,
            in_domain: in_domain.len(),
            refused: in_domain.len() - above(in_domain),
            off_domain: off_domain.len(),
            accepted: above(off_domain),
            auroc: auroc(in_domain, off_domain)? as f32,
        })
    }
}
