//! Models on other machines, and when they are asked.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use slm_data::PiiConfig;
use slm_router::{CacheConfig, CascadeConfig, CloudConfig};

/// A larger model behind an OpenAI-compatible server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudEntry {
    /// Name in requests.
    pub name: String,
    /// Where it is, how it is asked, and what it charges. Name the environment variable of the key
    /// (`api_key_variable`) rather than the key.
    pub client: CloudConfig,
    /// Most that may be spent on it per day (UTC), in the currency of its prices.
    #[serde(default)]
    pub budget_per_day: Option<f64>,
    /// File that remembers what was spent today, over restarts.
    #[serde(default)]
    pub budget_file: Option<PathBuf>,
    /// Personal data that does not leave this machine: it is replaced by its kind, `[EMAIL]`.
    #[serde(default)]
    pub redact: PiiConfig,
    /// Answers that are kept and given again.
    #[serde(default)]
    pub cache: Option<CacheConfig>,
}

/// A local model first, and a larger one where its answer cannot be trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CascadeEntry {
    /// Name in requests.
    pub name: String,
    /// Name of the model that is asked first.
    pub local: String,
    /// Name of the larger model.
    pub larger: String,
    /// A calibrated `TrustModel` of `slm-router`.
    pub trust: PathBuf,
    /// What happens where the larger model fails.
    #[serde(default)]
    pub cascade: CascadeConfig,
}
