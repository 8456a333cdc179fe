//! A circuit breaker: a server that fails again and again is left alone for a while.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// When to stop asking a server, and for how long (Nygard, "Release It!", 2007).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    /// Failures in a row that open the circuit; 0 never opens it.
    pub failures: u32,
    /// Seconds until a single request may try again.
    pub cool_down: f64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures: 5, cool_down: 30.0 }
    }
}

impl BreakerConfig {
    pub(super) fn check(&self) -> Result<()> {
        if !(0.0..=86_400.0).contains(&self.cool_down) {
            let reason = format!("expected 0 to 86400 seconds, got {}", self.cool_down);
            return Err(Error::config("breaker.cool_down", reason));
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// When the circuit opened, or when its last probe was sent.
    opened: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Breaker {
    config: BreakerConfig,
    state: Mutex<State>,
}

impl Breaker {
    pub(super) fn new(config: BreakerConfig) -> Self {
        Self { config, state: Mutex::default() }
    }

    /// Lets a request pass, or says how long to wait. Of an open circuit, one request per cool-down passes as a probe.
    pub(super) fn admit(&self, now: Duration) -> std::result::Result<(), Duration> {
        let mut state = self.state();
        let Some(opened) = state.opened else {
            return Ok(());
        };
        let until = opened + Duration::from_secs_f64(self.config.cool_down);
        if now < until {
            return Err(until - now);
        }
        state.opened = Some(now);
        Ok(())
    }

    /// Whether requests are held off at `now`.
    pub(super) fn is_open(&self, now: Duration) -> bool {
        let opened = self.state().opened;
        opened.is_some_and(|opened| now < opened + Duration::from_secs_f64(self.config.cool_down))
    }

    pub(super) fn succeeded(&self) {
        *self.state() = State::default();
    }

    pub(super) fn failed(&self, now: Duration) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        if self.config.failures > 0 && state.failures >= self.config.failures {
            state.opened = Some(now);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_lets_one_probe_through_and_closes() {
        let breaker = Breaker::new(BreakerConfig { failures: 2, cool_down: 10.0 });
        let at = Duration::from_secs;
        breaker.failed(at(0));
        breaker.succeeded();
        breaker.failed(at(1));
        assert_eq!(breaker.admit(at(1)), Ok(()), "failures count in a row");
        breaker.failed(at(2));
        assert_eq!(breaker.admit(at(5)), Err(at(7)));
        assert_eq!(breaker.admit(at(12)), Ok(()), "the probe");
        assert_eq!(breaker.admit(at(13)), Err(at(9)), "and nobody beside it");
        breaker.failed(at(14));
        assert_eq!(breaker.admit(at(20)), Err(at(4)));
        assert_eq!(breaker.admit(at(24)), Ok(()));
        breaker.succeeded();
        assert_eq!(breaker.admit(at(24)), Ok(()));
        assert_eq!(breaker.admit(at(24)), Ok(()));
    }
}
