//! The configuration file: what is served, to whom, and within which limits.

mod limits;
mod models;
mod remote;
mod routing;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

pub use crate::spans::OtelConfig;
pub use limits::{CorsConfig, KeyConfig, Limits, LogConfig};
pub use models::{
    AdapterConfig, DocumentsConfig, EmbedderConfig, ExtractiveEntry, GroundedEntry, LocalEntry, ModelEntry,
    RerankerConfig,
};
pub use remote::{CascadeEntry, CloudEntry};
pub use routing::{ActionEntry, DomainEntry, RouteEntry, RouterEntry, TriageEntry};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What is served, to whom, and within which limits: a TOML file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeConfig {
    /// Address and port.
    pub listen: SocketAddr,
    /// Models, in an order in which each comes after those that it is made of. The first answers requests that name
    /// the model `default`.
    pub models: Vec<ModelEntry>,
    /// Encoders for `/v1/embeddings`, and for the searches of grounded models.
    pub embedders: Vec<EmbedderConfig>,
    /// Cross-encoders for `/v1/rerank`.
    pub rerankers: Vec<RerankerConfig>,
    /// Who may ask. Empty: anybody who reaches the address, which then has to be a loopback address.
    pub keys: Vec<KeyConfig>,
    /// Limits of a request and of the server.
    pub limits: Limits,
    /// Which pages of other origins may ask.
    pub cors: CorsConfig,
    /// What is logged.
    pub log: LogConfig,
    /// Where spans are sent; none are without it.
    pub otel: Option<OtelConfig>,
    /// Serve without keys on an address that others reach.
    pub allow_anonymous: bool,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            models: Vec::new(),
            embedders: Vec::new(),
            rerankers: Vec::new(),
            keys: Vec::new(),
            limits: Limits::default(),
            cors: CorsConfig::default(),
            log: LogConfig::default(),
            otel: None,
            allow_anonymous: false,
        }
    }
}

impl ServeConfig {
    /// Reads a file; paths in it are relative to its folder.
    ///
    /// # Errors
    /// When it cannot be read, is not understood, or contradicts itself.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.into(), source })?;
        let mut config: Self =
            toml::from_str(&text).map_err(|e| Error::Toml { path: path.into(), source: Box::new(e) })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.for_each_path(&mut |p| *p = folder.join(&*p));
        config.check()?;
        Ok(config)
    }

    /// One local model with default settings.
    pub fn of_model(path: &Path) -> Self {
        let name = path.file_stem().map_or_else(|| "model".into(), |n| n.to_string_lossy().into_owned());
        Self { models: vec![ModelEntry::Local(LocalEntry::new(name, path))], ..Self::default() }
    }

    fn for_each_path(&mut self, f: &mut dyn FnMut(&mut PathBuf)) {
        self.models.iter_mut().for_each(|m| m.for_each_path(f));
        self.embedders.iter_mut().filter_map(|e| e.path.as_mut()).for_each(&mut *f);
        self.rerankers.iter_mut().for_each(|r| f(&mut r.path));
    }

    /// Checks that names are there and differ, and that strangers cannot reach an open server.
    ///
    /// # Errors
    /// Names the setting that is wrong.
    pub fn check(&self) -> Result<()> {
        if self.models.is_empty() && self.embedders.is_empty() && self.rerankers.is_empty() {
            return Err(Error::config("models", "there is nothing to serve"));
        }
        let mut names: Vec<&str> = self.models.iter().flat_map(ModelEntry::names).collect();
        names.extend(self.embedders.iter().map(|e| e.name.as_str()));
        names.extend(self.rerankers.iter().map(|r| r.name.as_str()));
        if names.iter().any(|n| n.is_empty()) {
            return Err(Error::config("name", "a name is empty"));
        }
        names.sort_unstable();
        if let Some([name, _]) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::config("name", format!("\"{name}\" is given twice")));
        }
        if self.keys.is_empty() && !self.listen.ip().is_loopback() && !self.allow_anonymous {
            let reason = format!(
                "{} is open to others and there is no key\nhint: `slm-serve key` makes one; or say `allow_anonymous = true`",
                self.listen
            );
            return Err(Error::config("keys", reason));
        }
        self.embedders.iter().try_for_each(|e| e.check(&self.models))?;
        self.keys.iter().try_for_each(KeyConfig::check)?;
        self.limits.check()
    }
}
