//! Who of several models is asked.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use slm_router::Action;

/// Several models and who of them is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterEntry {
    /// Name in requests.
    pub name: String,
    /// The routes.
    pub routes: Vec<RouteEntry>,
    /// Name of the model that is asked where no route is sure; without one the answer is withheld.
    #[serde(default)]
    pub larger: Option<String>,
    /// What is said where the answer is withheld.
    #[serde(default)]
    pub abstain_text: Option<String>,
}

/// A model and the questions it is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteEntry {
    /// Name of the model.
    pub model: String,
    /// A calibrated `DomainDetector` of `slm-router`; with `embedder`, an `IntentDetector`.
    pub detector: PathBuf,
    /// Name of the embedder that the detector was fitted with, where it judges by vectors.
    #[serde(default)]
    pub embedder: Option<String>,
    /// Of a detector by vectors: the intents that are this model's; all where none is named.
    #[serde(default)]
    pub intents: Vec<String>,
    /// Lowest mean log-probability per token with which its answer stands.
    #[serde(default)]
    pub min_mean_logprob: Option<f32>,
}

/// One decision on each question: answer, retrieve, decompose, escalate or "I don't know".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriageEntry {
    /// Name in requests.
    pub name: String,
    /// Name of the model that answers directly.
    pub model: String,
    /// Name of the embedder that the detector and the routers were fitted with.
    pub embedder: String,
    /// What is within the domain.
    #[serde(default)]
    pub domain: Option<DomainEntry>,
    /// What else can be done with a question.
    #[serde(default)]
    pub actions: Vec<ActionEntry>,
    /// What is said where the answer is withheld.
    #[serde(default)]
    pub abstain_text: Option<String>,
}

/// What is within the domain, and what is done with the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainEntry {
    /// A calibrated `IntentDetector` of `slm-router`.
    pub detector: PathBuf,
    /// What is done with a question outside: `abstain`, or an action below.
    pub otherwise: Action,
}

/// An action other than a direct answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionEntry {
    /// What is done.
    pub action: Action,
    /// Name of the model that does it.
    pub model: String,
    /// A calibrated `OutcomeRouter` of `slm-router` that foresees what it gains; without one it is done with questions
    /// outside the domain alone.
    #[serde(default)]
    pub router: Option<PathBuf>,
}

impl TriageEntry {
    pub(super) fn for_each_path(&mut self, f: &mut dyn FnMut(&mut PathBuf)) {
        self.domain.iter_mut().for_each(|d| f(&mut d.detector));
        self.actions.iter_mut().filter_map(|a| a.router.as_mut()).for_each(f);
    }
}
