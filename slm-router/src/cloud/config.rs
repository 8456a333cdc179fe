//! [`CloudConfig`]: where a remote model is and how it is asked.

use serde::{Deserialize, Serialize};

use super::breaker::BreakerConfig;
use super::retry::RetryConfig;
use crate::{Error, Prices, Result};

/// Where a remote model is and how it is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudConfig {
    /// Address of the server, up to and including the version: `https://api.openai.com/v1`.
    pub base_url: String,
    /// Name of the model on the server.
    pub model: String,
    /// The key. It is never written out again; better keep it in the environment.
    #[serde(default, skip_serializing)]
    pub api_key: Option<ApiKey>,
    /// Environment variable that holds the key, where `api_key` is `None`.
    #[serde(default)]
    pub api_key_variable: Option<String>,
    /// Allows sending a key without encryption to another machine.
    #[serde(default)]
    pub allow_plain_http: bool,
    /// How long to wait for what.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// When and how often to ask again.
    #[serde(default)]
    pub retry: RetryConfig,
    /// When to stop asking for a while.
    #[serde(default)]
    pub breaker: BreakerConfig,
    /// What tokens cost.
    #[serde(default)]
    pub prices: Prices,
    /// Field of the request that limits the tokens to write.
    #[serde(default)]
    pub token_limit: TokenLimit,
    /// Ask for log-probabilities with every request, so that every answer has a confidence.
    #[serde(default)]
    pub confidence: bool,
    /// Further fields of every request, such as `reasoning_effort`; they replace fields of the same name.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub extra: serde_json::Map<String, serde_json::Value>,
    /// Fields that are left out of every request, such as `temperature` where a server refuses it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omit: Vec<String>,
}

impl CloudConfig {
    /// A server without a key, with default settings.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            model: model.into(),
            api_key: None,
            api_key_variable: None,
            allow_plain_http: false,
            timeouts: Timeouts::default(),
            retry: RetryConfig::default(),
            breaker: BreakerConfig::default(),
            prices: Prices::default(),
            token_limit: TokenLimit::default(),
            confidence: false,
            extra: serde_json::Map::new(),
            omit: Vec::new(),
        }
    }

    /// The key, from the configuration or the environment.
    pub(super) fn key(&self) -> Result<Option<ApiKey>> {
        let key = match (&self.api_key, &self.api_key_variable) {
            (Some(key), _) => key.clone(),
            (None, None) => return Ok(None),
            (None, Some(variable)) => {
                let reason =
                    || format!("the environment variable {variable} is not set\nhint: put the key there");
                ApiKey(std::env::var(variable).map_err(|_| Error::config("api_key_variable", reason()))?)
            }
        };
        let key = ApiKey(key.0.trim().to_owned());
        if key.0.is_empty() || !key.0.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::config("api_key", "expected printable ASCII without spaces"));
        }
        Ok(Some(key))
    }

    pub(super) fn check(&self, has_key: bool) -> Result<()> {
        let url = self.base_url.as_str();
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        if !matches!(scheme, "http" | "https") || rest.is_empty() {
            return Err(Error::config("base_url", format!("expected http:// or https://, got {url}")));
        }
        if scheme == "http" && has_key && !self.allow_plain_http && !is_local(rest) {
            let reason = "a key would be sent without encryption\nhint: use https, or set `allow_plain_http`";
            return Err(Error::config("base_url", reason));
        }
        self.timeouts.check()?;
        self.retry.check()?;
        self.breaker.check()?;
        self.prices.check()
    }
}

/// Whether the host of an address without scheme is this machine.
fn is_local(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return false;
    }
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let is_loopback = |address: std::net::IpAddr| address.is_loopback();
    host == "localhost" || host.parse().is_ok_and(is_loopback)
}

/// A key of an API. It shows itself to nobody but the server.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct ApiKey(pub(super) String);

impl ApiKey {
    /// A key.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// `text` without the key, should a server repeat it.
    pub(super) fn scrub(&self, text: &str) -> String {
        text.replace(&self.0, "[key]")
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey([hidden])")
    }
}

/// How long to wait, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// For the connection, with its encryption.
    pub connect: f64,
    /// Longest silence, before an answer begins or within it.
    pub idle: f64,
    /// For all of one try.
    pub total: f64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: 10.0, idle: 60.0, total: 600.0 }
    }
}

impl Timeouts {
    fn check(&self) -> Result<()> {
        for (field, seconds) in
            [("timeouts.connect", self.connect), ("timeouts.idle", self.idle), ("timeouts.total", self.total)]
        {
            if !(seconds > 0.0 && seconds <= 86_400.0) {
                return Err(Error::config(field, format!("expected up to 86400 seconds, got {seconds}")));
            }
        }
        Ok(())
    }
}

/// Name of the field that limits the tokens to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenLimit {
    /// The field that all servers know.
    #[default]
    MaxTokens,
    /// The field that OpenAI's newer models ask for.
    MaxCompletionTokens,
}

impl TokenLimit {
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}
