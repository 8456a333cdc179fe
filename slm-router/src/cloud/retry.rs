//! When and how often to ask again.

use std::time::Duration;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// When and how often to ask again.
///
/// Before the `n`-th repetition passes a random time between 0 and `min(longest, first * 2^n)` ("full jitter":
/// clients that failed together do not come back together), and at least what the server asks for in `Retry-After`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// Tries in all, at least 1.
    pub tries: u32,
    /// Longest pause before the second try, in seconds.
    pub first: f64,
    /// Longest pause that is drawn, in seconds.
    pub longest: f64,
    /// Longest pause that a server may ask for, in seconds; beyond it, the request fails at once.
    pub longest_asked: f64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { tries: 4, first: 0.5, longest: 8.0, longest_asked: 30.0 }
    }
}

impl RetryConfig {
    pub(super) fn check(&self) -> Result<()> {
        if self.tries == 0 {
            return Err(Error::config("retry.tries", "expected at least 1, got 0"));
        }
        for (field, seconds) in [
            ("retry.first", self.first),
            ("retry.longest", self.longest),
            ("retry.longest_asked", self.longest_asked),
        ] {
            if !(0.0..=3600.0).contains(&seconds) {
                return Err(Error::config(field, format!("expected 0 to 3600 seconds, got {seconds}")));
            }
        }
        Ok(())
    }

    /// The pause after `failed` tries in vain; `None` where it is time to give up.
    pub(super) fn pause(&self, failed: u32, asked: Option<Duration>, rng: &mut impl Rng) -> Option<Duration> {
        if failed >= self.tries {
            return None;
        }
        let asked = asked.unwrap_or_default().as_secs_f64();
        if asked > self.longest_asked {
            return None;
        }
        let limit = self.longest.min(self.first * 2_f64.powi(failed.saturating_sub(1).min(60) as i32));
        let drawn = rng.random::<f64>() * limit;
        // On top of what was asked for, or all who were refused come back at the same instant.
        Some(Duration::from_secs_f64(asked + drawn))
    }
}

/// The pause that a server asks for: `Retry-After` in seconds or as a date, or `retry-after-ms`.
pub(super) fn retry_after(seconds: Option<&str>, millis: Option<&str>, now: Duration) -> Option<Duration> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| (0.0..1e9).contains(n));
    if let Some(millis) = millis.and_then(number) {
        return Some(Duration::from_secs_f64(millis / 1000.0));
    }
    let text = seconds?;
    match number(text) {
        Some(seconds) => Some(Duration::from_secs_f64(seconds)),
        None => Some(date(text)?.saturating_sub(now)),
    }
}

/// A date of HTTP, `Sun, 06 Nov 1994 08:49:37 GMT`, as time since 1970.
fn date(text: &str) -> Option<Duration> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.split_once(", ")?;
    let mut parts = rest.split_ascii_whitespace();
    let day: u64 = parts.next()?.parse().ok()?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let year: u64 = parts.next()?.parse().ok().filter(|year| (1970..10_000).contains(year))?;
    let mut clock = parts.next()?.split(':').map(str::parse::<u64>);
    let mut next = || clock.next()?.ok();
    let (hour, minute, second) = (next()?, next()?, next()?);
    // Days of the civil calendar, in years that begin in March, so that the leap day is the last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day.checked_sub(1)?;
    let days = days.checked_sub(719_468)?;
    Some(Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn pauses_are_drawn_from_the_whole_range_and_end() {
        let config = RetryConfig { tries: 4, first: 1.0, longest: 3.0, longest_asked: 10.0 };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (failed, limit) in [(1, 1.0), (2, 2.0), (3, 3.0)] {
            let mut drawn: Vec<f64> = (0..2000)
                .filter_map(|_| config.pause(failed, None, &mut rng))
                .map(|p| p.as_secs_f64())
                .collect();
            drawn.sort_by(f64::total_cmp);
            assert!(drawn[0] < 0.01 * limit && drawn[1999] <= limit && drawn[1999] > 0.99 * limit);
            assert!((drawn[1000] - limit / 2.0).abs() < 0.05 * limit, "uniform");
        }
        assert_eq!(config.pause(4, None, &mut rng), None);
        let asked = config.pause(1, Some(Duration::from_secs(5)), &mut rng).unwrap_or_default().as_secs_f64();
        assert!((5.0..=6.0).contains(&asked));
        assert_eq!(config.pause(1, Some(Duration::from_secs(11)), &mut rng), None);
    }

    #[test]
    fn what_servers_ask_for() {
        let after =
            |text| retry_after(Some(text), None, Duration::from_secs(784_111_770)).map(|d| d.as_secs_f64());
        assert_eq!(after("120"), Some(120.0));
        assert_eq!(after("1.5"), Some(1.5));
        // The example of RFC 9110: 784111777 seconds after 1970.
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7.0));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:17 GMT"), Some(0.0));
        assert_eq!(date("Thu, 29 Feb 2024 00:00:00 GMT"), Some(Duration::from_secs(1_709_164_800)));
        for text in ["", "soon", "-3", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT"] {
            assert_eq!(after(text), None, "{text}");
        }
        assert_eq!(retry_after(Some("9"), Some("250"), Duration::ZERO), Some(Duration::from_millis(250)));
    }
}
