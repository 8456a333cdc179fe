//! What is served: everything of a configuration, loaded.

mod encoder;
mod fingerprint;
mod load;
mod routes;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub use encoder::{Encoder, SharedEmbedder};
pub use fingerprint::fingerprint;
pub(crate) use fingerprint::hex;
use slm_core::{CrossEncoder, LanguageModel};
use slm_eval::CostModel;

use crate::Result;
use crate::config::ServeConfig;
use crate::engine::{Engine, EngineModel};

/// A model that answers from any thread.
pub type SharedModel = Arc<dyn LanguageModel + Send + Sync>;

/// Something that answers under a name.
#[derive(Clone)]
pub struct Entry {
    /// Name in requests.
    pub name: String,
    /// `local`, `adapter`, `extractive`, `grounded`, `router`, `triage`, `cloud`, `cascade` or what the embedding program calls it.
    pub kind: &'static str,
    /// What answers.
    pub model: SharedModel,
    /// Where it is a local model: the handle on its engine.
    pub engine: Option<EngineModel>,
    /// Of an adapter: name of the model it belongs to.
    pub parent: Option<String>,
    /// SHA-256 of the model's files.
    pub model_hash: Option<String>,
    /// SHA-256 of the adapter's files.
    pub adapter_hash: Option<String>,
    /// Where a request says nothing: the temperature.
    pub temperature: f32,
    /// Ask the model how sure it is with each request.
    pub confidence: bool,
    /// What the machine costs.
    pub prices: CostModel,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Entry {
    /// A model of the embedding program.
    pub fn new(name: impl Into<String>, kind: &'static str, model: SharedModel) -> Self {
        Self {
            name: name.into(),
            kind,
            model,
            engine: None,
            parent: None,
            model_hash: None,
            adapter_hash: None,
            temperature: 0.0,
            confidence: false,
            prices: CostModel::default(),
        }
    }
}

/// Everything of a configuration, loaded.
#[derive(Clone, Default)]
pub struct Registry {
    /// Models, the default first.
    pub models: Vec<Entry>,
    /// Embedders by name.
    pub embedders: Vec<(String, Encoder)>,
    /// Cross-encoders by name.
    pub rerankers: Vec<(String, Arc<CrossEncoder>)>,
    /// Engines, by the name of their model.
    pub engines: Vec<(String, Arc<Engine>)>,
    /// When it was loaded, in seconds since 1970.
    pub loaded: u64,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = |all: &[Entry]| all.iter().map(|e| e.name.clone()).collect::<Vec<_>>();
        f.debug_struct("Registry").field("models", &names(&self.models)).finish_non_exhaustive()
    }
}

impl Registry {
    /// Loads all of `config`.
    ///
    /// # Errors
    /// When a file is missing or corrupt, or a name is not known.
    pub fn load(config: &ServeConfig) -> Result<Self> {
        load::load(config)
    }

    /// The models of an embedding program.
    pub fn of(models: Vec<Entry>) -> Self {
        Self { models, loaded: now(), ..Self::default() }
    }

    /// The model of a name; `default` is the first.
    pub fn model(&self, name: &str) -> Option<&Entry> {
        let named = self.models.iter().find(|e| e.name == name);
        named.or_else(|| self.models.first().filter(|_| name == "default"))
    }

    /// The embedder of a name; `default` is the first.
    pub fn embedder(&self, name: &str) -> Option<&Encoder> {
        named(&self.embedders, name)
    }

    /// The cross-encoder of a name; `default` is the first.
    pub fn reranker(&self, name: &str) -> Option<&Arc<CrossEncoder>> {
        named(&self.rerankers, name)
    }

    /// Whether every engine still answers.
    pub fn is_alive(&self) -> bool {
        self.engines.iter().all(|(_, engine)| engine.status().alive)
    }
}

fn named<'a, T>(all: &'a [(String, T)], name: &str) -> Option<&'a T> {
    let found = all.iter().find(|(n, _)| n == name);
    found.or_else(|| all.first().filter(|_| name == "default")).map(|(_, value)| value)
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
