//! What a server is made of.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use slm_core::generate::StatePooling;
use slm_eval::CostModel;
use slm_rag::{ExtractiveConfig, GroundedConfig};

use super::{CascadeEntry, CloudEntry, RouterEntry, TriageEntry};
use crate::engine::EngineConfig;
use crate::{Error, Result};

/// Something that answers under a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[non_exhaustive]
pub enum ModelEntry {
    /// A model on this machine.
    Local(LocalEntry),
    /// Sentences of documents, word for word.
    Extractive(ExtractiveEntry),
    /// A model that answers from documents and is checked against them.
    Grounded(GroundedEntry),
    /// Several models and who of them is asked.
    Router(RouterEntry),
    /// One decision on each question.
    Triage(TriageEntry),
    /// A larger model on another machine.
    Cloud(CloudEntry),
    /// A local model first, and a larger one where its answer cannot be trusted.
    Cascade(CascadeEntry),
}

impl ModelEntry {
    /// The names under which it answers.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Local(local) => {
                let adapters = local.adapters.iter().map(|a| a.name.as_str());
                std::iter::once(local.name.as_str()).chain(adapters).collect()
            }
            Self::Extractive(e) => vec![&e.name],
            Self::Grounded(g) => vec![&g.name],
            Self::Router(r) => vec![&r.name],
            Self::Triage(t) => vec![&t.name],
            Self::Cloud(c) => vec![&c.name],
            Self::Cascade(c) => vec![&c.name],
        }
    }

    pub(super) fn for_each_path(&mut self, f: &mut dyn FnMut(&mut PathBuf)) {
        match self {
            Self::Local(local) => {
                f(&mut local.path);
                local.adapters.iter_mut().for_each(|a| f(&mut a.path));
            }
            Self::Extractive(extractive) => f(&mut extractive.documents.index),
            Self::Grounded(grounded) => f(&mut grounded.documents.index),
            Self::Router(router) => router.routes.iter_mut().for_each(|r| f(&mut r.detector)),
            Self::Triage(triage) => triage.for_each_path(f),
            Self::Cloud(cloud) => cloud.budget_file.iter_mut().for_each(f),
            Self::Cascade(cascade) => f(&mut cascade.trust),
        }
    }
}

/// A model on this machine, with adapters that are chosen per request by their names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalEntry {
    /// Name in requests.
    pub name: String,
    /// A Hugging Face directory, packed or not, or a GGUF file.
    pub path: PathBuf,
    /// Adapters in PEFT's layout.
    #[serde(default)]
    pub adapters: Vec<AdapterConfig>,
    /// Requests at once, and memory.
    #[serde(default)]
    pub engine: EngineConfig,
    /// What an hour of the machine costs.
    #[serde(default)]
    pub prices: CostModel,
    /// Where a request says nothing: the temperature. 0 is greedy.
    #[serde(default)]
    pub temperature: f32,
    /// Report with each answer how sure the model was, at a small cost per token.
    #[serde(default = "yes")]
    pub confidence: bool,
}

fn yes() -> bool {
    true
}

impl LocalEntry {
    /// The model at `path`, greedy, free of charge.
    pub fn new(name: impl Into<String>, path: &Path) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            adapters: Vec::new(),
            engine: EngineConfig::default(),
            prices: CostModel::default(),
            temperature: 0.0,
            confidence: true,
        }
    }
}

/// An adapter of a local model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterConfig {
    /// Name in requests.
    pub name: String,
    /// A directory in PEFT's layout.
    pub path: PathBuf,
}

/// Documents, and how they are searched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentsConfig {
    /// A store's folder or an index file of `slm-rag`.
    pub index: PathBuf,
    /// Name of the embedder that the index was made with, to search by meaning too.
    #[serde(default)]
    pub embedder: Option<String>,
    /// Name of the cross-encoder that orders what was found.
    #[serde(default)]
    pub reranker: Option<String>,
}

/// Sentences of documents, word for word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtractiveEntry {
    /// Name in requests.
    pub name: String,
    /// What is searched.
    pub documents: DocumentsConfig,
    /// How sentences are chosen.
    #[serde(default)]
    pub extraction: ExtractiveConfig,
}

/// A model that answers from documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroundedEntry {
    /// Name in requests.
    pub name: String,
    /// Name of the model that writes the answer.
    pub model: String,
    /// What is searched.
    pub documents: DocumentsConfig,
    /// How the model is asked and checked.
    #[serde(default)]
    pub grounding: GroundedConfig,
}

/// What makes embeddings: an encoder of its own, or a model that answers anyway. One of `path` and `model` is there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbedderConfig {
    /// Name in requests.
    pub name: String,
    /// A sentence-transformers directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Name of a local model: its state after it has read a question is the question's vector, and the answer goes on from
    /// it. The embedder stands for those who come below that model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How the states of the model become a vector; the mean where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooling: Option<StatePooling>,
}

impl EmbedderConfig {
    pub(super) fn check(&self, models: &[ModelEntry]) -> Result<()> {
        let is_local =
            |name: &str| models.iter().any(|m| matches!(m, ModelEntry::Local(l) if l.name == name));
        let reason = match (&self.path, &self.model) {
            (Some(_), None) if self.pooling.is_none() => return Ok(()),
            (Some(_), None) => "`pooling` is for the states of a model; an encoder has its own".to_owned(),
            (None, Some(model)) if is_local(model) => return Ok(()),
            (None, Some(model)) => format!("there is no local model \"{model}\""),
            _ => "expected one of `path` and `model`".to_owned(),
        };
        Err(Error::config(format!("embedders.{}", self.name), reason))
    }
}

/// A cross-encoder for reranking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RerankerConfig {
    /// Name in requests.
    pub name: String,
    /// A directory of a sequence classifier with one label.
    pub path: PathBuf,
}
