//! Limits, keys, origins and logs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Limits of a request and of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// Most tokens of an answer; also where the request does not say.
    pub max_tokens: usize,
    /// Most seconds from a request to the end of its answer.
    pub request_seconds: u64,
    /// Most seconds that a client may take for the head of a request, and for its body.
    pub read_seconds: u64,
    /// Most requests under way, of all models and kinds.
    pub max_requests: usize,
    /// Most connections.
    pub max_connections: usize,
    /// Seconds that requests under way are given at shutdown.
    pub drain_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 4 << 20,
            max_tokens: 1024,
            request_seconds: 300,
            read_seconds: 20,
            max_requests: 512,
            max_connections: 2048,
            drain_seconds: 30,
        }
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<()> {
        let counts = [
            ("limits.max_body_bytes", self.max_body_bytes),
            ("limits.max_tokens", self.max_tokens),
            ("limits.request_seconds", self.request_seconds as usize),
            ("limits.read_seconds", self.read_seconds as usize),
            ("limits.max_requests", self.max_requests),
            ("limits.max_connections", self.max_connections),
        ];
        match counts.iter().find(|(_, count)| *count == 0) {
            Some((name, _)) => Err(Error::config(*name, "expected at least 1, got 0")),
            None => Ok(()),
        }
    }

    pub(crate) fn request_time(&self) -> Duration {
        Duration::from_secs(self.request_seconds)
    }

    pub(crate) fn read_time(&self) -> Duration {
        Duration::from_secs(self.read_seconds)
    }
}

/// Somebody who may ask. The file holds the key's SHA-256, never the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// Who it is, for logs and metrics.
    pub name: String,
    /// SHA-256 of the key, 64 hexadecimal digits.
    pub sha256: String,
    /// Most requests per minute.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    /// Most tokens, read and written, per minute.
    #[serde(default)]
    pub tokens_per_minute: Option<u32>,
    /// Most that may be spent per day (UTC), in the currency of the prices.
    #[serde(default)]
    pub budget_per_day: Option<f64>,
    /// May reload the server.
    #[serde(default)]
    pub admin: bool,
}

impl KeyConfig {
    pub(super) fn check(&self) -> Result<()> {
        if self.sha256.len() != 64 || !self.sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Error::config(
                format!("keys.{}.sha256", self.name),
                "expected 64 hexadecimal digits\nhint: `slm-serve key` makes a key and prints its digest",
            ));
        }
        match self.budget_per_day {
            Some(budget) if !(budget.is_finite() && budget >= 0.0) => Err(Error::config(
                format!("keys.{}.budget_per_day", self.name),
                format!("expected a sum of 0 or more, got {budget}"),
            )),
            _ => Ok(()),
        }
    }
}

/// Which pages of other origins may ask: none, by default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorsConfig {
    /// Origins, such as `https://chat.example.org`.
    pub origins: Vec<String>,
}

/// What is logged. Each request is a line of JSON on standard error: who, what model, how long, how many tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Also what was asked and answered.
    pub texts: bool,
}
