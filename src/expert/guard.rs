//! Who may answer what: detectors of the domain and of the documents, calibrated on questions of neither.

use serde::Serialize;
use slm_data::{Document, Example};
use slm_router::{Calibration, DetectorConfig, DetectorReport, DomainDetector, auroc};

use super::{ExpertConfig, Material};
use crate::{Error, Result};

/// One in this many domain questions is held out of a detector to set its threshold with.
const HELD_OUT: usize = 5;
const MIN_QUESTIONS: usize = 20;

/// The detectors, with their thresholds.
#[derive(Debug, Clone)]
pub struct Guard {
    /// Of questions that the tuned model answers.
    pub domain: DomainDetector,
    /// Of questions about the documents, where there are any.
    pub documents: Option<DomainDetector>,
}

/// How the guard does on questions that it has not seen.
#[derive(Debug, Clone, Serialize)]
pub struct GuardReport {
    /// Off-domain questions that were to pass at most, as a share.
    pub max_false_accept: f64,
    /// The domain's detector when its threshold was set.
    pub calibrated: DetectorReport,
    /// The domain's detector on the test questions.
    pub tested: DetectorReport,
    /// Unseen questions about the documents: how many go to the documents, and of how many.
    pub document_questions: [usize; 2],
    /// Both detectors together, domain and document questions against off-domain ones.
    pub auroc: f64,
    /// Margin of each in-domain question above the nearest threshold.
    pub in_domain: Vec<f64>,
    /// The same of each off-domain question.
    pub off_domain: Vec<f64>,
}

impl Guard {
    /// Fits the detectors on curated questions and on the documents, and sets their thresholds.
    ///
    /// # Errors
    /// When there are too few questions, or too few off-domain ones for the rate asked for.
    pub fn fit(
        curated: &[Example],
        material: &Material,
        config: &ExpertConfig,
    ) -> Result<(Self, GuardReport)> {
        if curated.len() < MIN_QUESTIONS {
            return Err(Error::TooLittle {
                what: "curated questions for the domain detector",
                found: curated.len(),
                needed: MIN_QUESTIONS,
                hint: "see the curation report for what was dropped and why",
            });
        }
        let calibration = Calibration { max_false_accept: config.max_false_accept };
        let off: Vec<&str> = material.off_calibration.iter().map(String::as_str).collect();
        let questions: Vec<&str> = curated.iter().map(Example::question).collect();
        // For the tuned model, a question about the documents is somebody else's.
        let elsewhere = [off.clone(), third(material, 0), third(material, 1)].concat();
        let (domain, calibrated) = fit(&questions, &[], &elsewhere, &calibration)?;
        let documents = if material.documents.is_empty() {
            None
        } else {
            // Where questions about the documents are known, a third helps to fit and a third to set the threshold.
            let sentences = sentences(&material.documents);
            let mut texts: Vec<&str> = sentences.iter().map(String::as_str).collect();
            texts.extend(third(material, 0));
            Some(fit(&texts, &third(material, 1), &off, &calibration)?.0)
        };
        let guard = Self { domain, documents };
        let report = guard.report(material, calibrated, config.max_false_accept)?;
        Ok((guard, report))
    }

    /// Distance above the nearest threshold as a share of the room above it; negative: off-domain.
    pub fn margin(&self, text: &str) -> f64 {
        self.documents.iter().map(|d| margin(d, text)).fold(margin(&self.domain, text), f64::max)
    }

    /// Whether a question would go to the documents.
    fn to_documents(&self, text: &str) -> bool {
        self.documents.as_ref().is_some_and(|d| margin(d, text) > margin(&self.domain, text).max(0.0))
    }

    fn report(
        &self,
        material: &Material,
        calibrated: DetectorReport,
        max_false_accept: f64,
    ) -> Result<GuardReport> {
        let inside: Vec<&str> = material.test.iter().map(Example::question).collect();
        let outside: Vec<&str> = material.off_test.iter().map(String::as_str).collect();
        let unseen = third(material, 2);
        let routed = unseen.iter().filter(|q| self.to_documents(q)).count();
        let margins = |texts: &[&str]| texts.iter().map(|t| self.margin(t)).collect::<Vec<f64>>();
        let in_domain = margins(&inside.iter().copied().chain(unseen.iter().copied()).collect::<Vec<_>>());
        let off_domain = margins(&outside);
        Ok(GuardReport {
            max_false_accept,
            document_questions: [routed, unseen.len()],
            calibrated,
            tested: self.domain.evaluate(&inside, &outside)?,
            auroc: auroc(&in_domain, &off_domain)?,
            in_domain,
            off_domain,
        })
    }
}

fn margin(detector: &DomainDetector, text: &str) -> f64 {
    let threshold = detector.threshold().map_or(1.0, f64::from);
    (detector.score(text) - threshold) / (1.0 - threshold).max(f64::EPSILON)
}

/// Every third of the questions about the documents.
fn third(material: &Material, first: usize) -> Vec<&str> {
    material.document_questions.iter().skip(first).step_by(3).map(|q| q.question.as_str()).collect()
}

/// Fits a detector on `texts`, less those held out for its threshold where `held_out` is empty.
fn fit(
    texts: &[&str],
    held_out: &[&str],
    off: &[&str],
    calibration: &Calibration,
) -> Result<(DomainDetector, DetectorReport)> {
    let mut fitted = Vec::new();
    let mut own = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let apart = held_out.is_empty() && index % HELD_OUT == 0;
        if apart { own.push(*text) } else { fitted.push(*text) }
    }
    let mut detector = DomainDetector::fit(&fitted, &[], &DetectorConfig::default())?;
    let report = detector.calibrate(if held_out.is_empty() { &own } else { held_out }, off, calibration)?;
    Ok((detector, report))
}

/// The sentences and headings of documents, as texts about their subject.
fn sentences(documents: &[Document]) -> Vec<String> {
    let lines = documents.iter().flat_map(|d| d.text.lines());
    let clean = lines.map(|l| l.trim_start_matches(|c: char| c == '#' || c == '.' || c.is_numeric()).trim());
    clean.flat_map(|l| l.split_inclusive(". ")).map(|s| s.trim().to_owned()).filter(|s| s.len() > 3).collect()
}
