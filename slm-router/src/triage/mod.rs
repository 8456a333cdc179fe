//! [`Triage`]: one decision on what to do with a request, and [`TriageModel`], which does it.

mod model;

use serde::{Deserialize, Serialize};
use slm_core::Embedder;

pub use model::TriageModel;

use crate::complexity::Complexity;
use crate::intent::{IntentDetector, Sample};
use crate::outcome::OutcomeRouter;
use crate::{Error, Result};

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Answer directly.
    Answer,
    /// Answer from documents.
    Retrieve,
    /// Answer part by part.
    Decompose,
    /// Ask the larger model.
    Escalate,
    /// Say "I don't know".
    Abstain,
}

impl Action {
    /// Its name in [`ChatResponse::route`](slm_core::ChatResponse::route).
    pub fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Retrieve => "retrieve",
            Self::Decompose => "decompose",
            Self::Escalate => "escalate",
            Self::Abstain => "abstain",
        }
    }
}

/// What was decided, why, and by which numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Triaged {
    /// What to do.
    pub action: Action,
    /// Why, one sentence per thing that was looked at; the last one decided.
    pub reasons: Vec<String>,
    /// The numbers behind it.
    pub scores: TriageScores,
}

/// The numbers behind a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TriageScores {
    /// The likeliest intent, where a domain is known.
    pub intent: Option<String>,
    /// How well the request fits the domain, and the threshold.
    pub domain: Option<(f64, f64)>,
    /// What each remedy would gain over answering directly, in right answers, and its threshold.
    pub gains: Vec<(Action, f64, f64)>,
    /// What the words alone tell.
    pub complexity: Complexity,
}

/// Decides what to do with a request, by thresholds that were fitted to a stated rate, budget or quality.
///
/// A request outside the domain is escalated or declined. Within it, each remedy (retrieval, decomposition, the larger
/// model) has a router that learned from logs what it gains over a direct answer; of those whose gain exceeds their
/// threshold, the one that exceeds it most is taken. A request for which none does is answered directly.
#[derive(Debug, Clone, PartialEq)]
pub struct Triage {
    domain: Option<(IntentDetector, Action)>,
    remedies: Vec<(Action, OutcomeRouter)>,
}

impl Default for Triage {
    fn default() -> Self {
        Self::new()
    }
}

impl Triage {
    /// One that answers everything directly.
    pub fn new() -> Self {
        Self { domain: None, remedies: Vec::new() }
    }

    /// The same with a domain; `otherwise` is what to do with a request outside it.
    ///
    /// # Errors
    /// When the detector is not calibrated.
    pub fn with_domain(mut self, detector: IntentDetector, otherwise: Action) -> Result<Self> {
        if detector.threshold().is_none() {
            return Err(Error::NotCalibrated { route: None });
        }
        self.domain = Some((detector, otherwise));
        Ok(self)
    }

    /// The same with a remedy and a router of which the "larger" model was that remedy.
    ///
    /// # Errors
    /// When the router is not calibrated.
    pub fn with_remedy(mut self, action: Action, router: OutcomeRouter) -> Result<Self> {
        if router.threshold().is_none() {
            return Err(Error::NotCalibrated { route: Some(action.name().to_owned()) });
        }
        self.remedies.push((action, router));
        Ok(self)
    }

    /// Decides on a request whose vector is known.
    ///
    /// # Errors
    /// When the vector has another length than those that were learned from.
    pub fn decide(&self, sample: Sample<'_>) -> Result<Triaged> {
        let complexity = Complexity::of(sample.text);
        let scores = TriageScores { intent: None, domain: None, gains: Vec::new(), complexity };
        let mut triaged = Triaged { action: Action::Answer, reasons: Vec::new(), scores };
        if let Some(action) = self.outside(sample, &mut triaged)? {
            triaged.action = action;
            return Ok(triaged);
        }
        let mut best: Option<(Action, f64)> = None;
        for (action, router) in &self.remedies {
            let (gain, threshold) = (router.gain(sample)?, router.threshold().unwrap_or(f64::INFINITY));
            triaged.scores.gains.push((*action, gain, threshold));
            let relation = if gain > threshold { "above" } else { "not above" };
            triaged.reasons.push(format!(
                "to {} gains {gain:.3} right answers, {relation} its threshold of {threshold:.3}",
                action.name()
            ));
            if gain > threshold && best.is_none_or(|(_, margin)| gain - threshold > margin) {
                best = Some((*action, gain - threshold));
            }
        }
        triaged.action = best.map_or(Action::Answer, |(action, _)| action);
        triaged.reasons.push(match best {
            Some((action, _)) => format!("{} gains most over its threshold", action.name()),
            None => "nothing promises more than a direct answer".to_owned(),
        });
        Ok(triaged)
    }

    /// Decides on a request.
    ///
    /// # Errors
    /// When the embedder fails, or its vectors do not fit.
    pub fn decide_text(&self, text: &str, embedder: &dyn Embedder) -> slm_core::Result<Triaged> {
        let vectors = embedder.embed(&[text])?;
        let vector = vectors.first().map_or(&[][..], Vec::as_slice);
        self.decide(Sample { vector, text }).map_err(|error| slm_core::Error::model("triage", error))
    }

    /// What to do with a request outside the domain; `None` for one within.
    fn outside(&self, sample: Sample<'_>, triaged: &mut Triaged) -> Result<Option<Action>> {
        let Some((detector, otherwise)) = &self.domain else {
            return Ok(None);
        };
        let seen = detector.assess(sample)?;
        let threshold = detector.threshold().map_or(f64::INFINITY, f64::from);
        triaged.scores.intent = Some(seen.intent.to_owned());
        triaged.scores.domain = Some((seen.score, threshold));
        let (score, intent, probability) = (seen.score, seen.intent, seen.probability);
        if score > threshold {
            triaged.reasons.push(format!(
                "in the domain: {score:.2} is above {threshold:.2}, likely {intent} ({probability:.2})"
            ));
            return Ok(None);
        }
        triaged.reasons.push(format!("outside the domain: {score:.2} is not above {threshold:.2}"));
        Ok(Some(*otherwise))
    }
}
