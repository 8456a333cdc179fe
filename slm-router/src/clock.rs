//! [`Clock`]: the time, and a pause; so that tests need not wait.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What time it is.
pub trait Clock: Send + Sync {
    /// Time since the beginning of 1970, UTC.
    fn now(&self) -> Duration;

    /// Returns after `pause`.
    fn sleep(&self, pause: Duration);
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn sleep(&self, pause: Duration) {
        std::thread::sleep(pause);
    }
}
