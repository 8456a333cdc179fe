//! Who may ask, how often, and for how much.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::KeyConfig;
use crate::registry::now;

const DAY: u64 = 86_400;

/// Who may ask, how often, and for how much. Without keys, anybody.
#[derive(Debug)]
pub struct Access {
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    config: KeyConfig,
    digest: Vec<u8>,
    account: Mutex<Account>,
}

#[derive(Debug)]
struct Account {
    requests: Bucket,
    tokens: Bucket,
    /// Days since 1970.
    day: u64,
    spent: f64,
}

/// Tokens that run in at an even rate up to those of a minute. May go below nothing: an answer's length is known
/// only when it ends.
#[derive(Debug)]
struct Bucket {
    per_second: f64,
    level: f64,
    seen: Instant,
}

impl Bucket {
    fn per_minute(limit: Option<u32>, now: Instant) -> Self {
        let limit = limit.map_or(f64::INFINITY, f64::from);
        Self { per_second: limit / 60.0, level: limit, seen: now }
    }

    fn refill(&mut self, now: Instant) {
        let run_in = now.saturating_duration_since(self.seen).as_secs_f64() * self.per_second;
        self.level = (self.level + run_in).min(60.0 * self.per_second);
        self.seen = now;
    }

    /// Time until `count` are there.
    fn time_to(&self, count: f64) -> Option<Duration> {
        if self.per_second.is_infinite() || self.level >= count {
            return None;
        }
        let seconds = if self.per_second > 0.0 { (count - self.level) / self.per_second } else { 3600.0 };
        Some(Duration::from_secs_f64(seconds.clamp(1.0, 3600.0)))
    }
}

/// Somebody who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    key: Option<usize>,
    /// Name of the key; empty without keys.
    pub name: String,
    /// May reload the server.
    pub admin: bool,
}

/// Why a request is not taken.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// Too many requests or tokens in this minute.
    Rate(Duration),
    /// The day's budget is spent.
    Budget(Duration),
}

impl Access {
    /// For these keys.
    pub fn new(keys: &[KeyConfig]) -> Self {
        let now = Instant::now();
        let key = |config: &KeyConfig| Key {
            digest: unhex(&config.sha256),
            account: Mutex::new(Account {
                requests: Bucket::per_minute(config.requests_per_minute, now),
                tokens: Bucket::per_minute(config.tokens_per_minute, now),
                day: 0,
                spent: 0.0,
            }),
            config: config.clone(),
        };
        Self { keys: keys.iter().map(key).collect() }
    }

    /// Who sent this `Authorization` header; `None` where a key is needed and this is none. Takes the same time
    /// whichever key it is like.
    pub fn identify(&self, authorization: Option<&str>) -> Option<Caller> {
        if self.keys.is_empty() {
            return Some(Caller { key: None, name: String::new(), admin: true });
        }
        let secret = authorization?.strip_prefix("Bearer ")?.trim();
        let digest = Sha256::digest(secret.as_bytes());
        let mut found = None;
        for (index, key) in self.keys.iter().enumerate() {
            if bool::from(key.digest.ct_eq(digest.as_slice())) {
                found = Some(index);
            }
        }
        let config = &self.keys[found?].config;
        Some(Caller { key: found, name: config.name.clone(), admin: config.admin })
    }

    /// Counts a request, if there is room for it.
    ///
    /// # Errors
    /// Says what is used up, and when to come again.
    pub fn admit(&self, caller: &Caller) -> Result<(), Refusal> {
        let Some(key) = caller.key.and_then(|index| self.keys.get(index)) else { return Ok(()) };
        let mut account = key.lock();
        account.refresh();
        if key.config.budget_per_day.is_some_and(|budget| account.spent >= budget) {
            return Err(Refusal::Budget(Duration::from_secs(DAY - now() % DAY)));
        }
        let waits = [account.requests.time_to(1.0), account.tokens.time_to(1.0)];
        if let Some(wait) = waits.into_iter().flatten().max() {
            return Err(Refusal::Rate(wait));
        }
        account.requests.level -= 1.0;
        Ok(())
    }

    /// Charges what an answer came to.
    pub fn settle(&self, caller: &Caller, tokens: usize, cost: f64) {
        if let Some(key) = caller.key.and_then(|index| self.keys.get(index)) {
            let mut account = key.lock();
            account.refresh();
            account.tokens.level -= tokens as f64;
            account.spent += cost;
        }
    }
}

impl Key {
    fn lock(&self) -> std::sync::MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn refresh(&mut self) {
        let instant = Instant::now();
        self.requests.refill(instant);
        self.tokens.refill(instant);
        let today = now() / DAY;
        if self.day != today {
            (self.day, self.spent) = (today, 0.0);
        }
    }
}

/// A new key and its digest for the configuration.
///
/// The key is `sk-slm-` and 48 hexadecimal digits of the system's randomness.
pub fn new_key() -> (String, String) {
    let key = format!("sk-slm-{}", crate::registry::hex(&rand::random::<[u8; 24]>()));
    let digest = digest(&key);
    (key, digest)
}

/// The digest of a key, as in [`KeyConfig::sha256`].
pub fn digest(key: &str) -> String {
    crate::registry::hex(&Sha256::digest(key.as_bytes()))
}

fn unhex(digits: &str) -> Vec<u8> {
    let pair = |at: usize| digits.get(at..at + 2).and_then(|d| u8::from_str_radix(d, 16).ok());
    (0..digits.len() / 2).filter_map(|i| pair(2 * i)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, secret: &str) -> KeyConfig {
        KeyConfig {
            name: name.into(),
            sha256: digest(secret),
            requests_per_minute: None,
            tokens_per_minute: None,
            budget_per_day: None,
            admin: false,
        }
    }

    #[test]
    fn only_whole_keys_open() {
        let access = Access::new(&[key("a", "sk-one"), key("b", "sk-two")]);
        let name = |header: Option<&str>| access.identify(header).map(|c| c.name);
        assert_eq!(name(Some("Bearer sk-two")).as_deref(), Some("b"));
        for wrong in [None, Some("Bearer sk-tw"), Some("sk-two"), Some("Bearer "), Some("Bearer sk-two2")] {
            assert_eq!(name(wrong), None, "{wrong:?}");
        }
        assert!(Access::new(&[]).identify(None).is_some());
    }

    #[test]
    fn requests_tokens_and_money_run_out() {
        let limited = KeyConfig { requests_per_minute: Some(2), ..key("a", "k") };
        let access = Access::new(&[limited]);
        let caller = access.identify(Some("Bearer k")).expect("the key");
        assert_eq!(access.admit(&caller), Ok(()));
        assert_eq!(access.admit(&caller), Ok(()));
        let Err(Refusal::Rate(wait)) = access.admit(&caller) else { panic!("a third request in a minute") };
        assert!((1.0..=31.0).contains(&wait.as_secs_f64()), "{wait:?}");

        let access = Access::new(&[KeyConfig { tokens_per_minute: Some(100), ..key("a", "k") }]);
        access.settle(&caller, 400, 0.0);
        let Err(Refusal::Rate(wait)) = access.admit(&caller) else { panic!("300 tokens of debt") };
        assert!((170.0..=182.0).contains(&wait.as_secs_f64()), "{wait:?}");

        let access = Access::new(&[KeyConfig { budget_per_day: Some(1.0), ..key("a", "k") }]);
        access.settle(&caller, 1, 0.7);
        assert_eq!(access.admit(&caller), Ok(()));
        access.settle(&caller, 1, 0.4);
        assert!(matches!(access.admit(&caller), Err(Refusal::Budget(_))));
    }
}
