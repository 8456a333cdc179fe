//! Prompts that begin alike are read once.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::RopeConfig;
use crate::nn::KvCache;

/// Keys and values of the last texts, shared by the clones of a model. A request that begins like one of them
/// reads only what differs.
///
/// Least recently used texts go first when the tokens held exceed the budget.
#[derive(Debug, Clone)]
pub struct PrefixCache(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    budget: usize,
    /// Least recently used first.
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    ids: Vec<u32>,
    cache: KvCache,
}

impl PrefixCache {
    /// Holds at most `tokens` tokens.
    pub fn new(tokens: usize) -> Self {
        Self(Arc::new(Mutex::new(Entries { budget: tokens, entries: Vec::new() })))
    }

    /// Tokens held.
    pub fn tokens(&self) -> usize {
        self.with(|e| e.entries.iter().map(|entry| entry.ids.len()).sum())
    }

    /// A cache of as much of `prompt` as is known, but not all of it: the last token's logits are needed.
    pub(super) fn take(&self, prompt: &[u32], rope: &RopeConfig, like: &KvCache) -> Option<KvCache> {
        self.with(|e| {
            let shared = |entry: &Entry| {
                let common = entry.ids.iter().zip(prompt).take_while(|(a, b)| a == b).count();
                common.min(prompt.len().saturating_sub(1))
            };
            let usable = |entry: &Entry| {
                entry.cache.is_like(like) && rope.turns_alike(entry.cache.len(), prompt.len())
            };
            let all = e.entries.iter().enumerate().filter(|(_, entry)| usable(entry));
            let (index, length) = all.map(|(i, entry)| (i, shared(entry))).max_by_key(|(_, n)| *n)?;
            if length == 0 {
                return None;
            }
            let entry = e.entries.remove(index);
            let mut cache = entry.cache.clone();
            e.entries.push(entry);
            cache.truncate(length);
            Some(cache)
        })
    }

    /// Keeps what was read: `cache` holds the first of `ids`.
    pub(super) fn put(&self, ids: &[u32], cache: KvCache) {
        let ids = ids[..cache.len().min(ids.len())].to_vec();
        self.with(|e| {
            if ids.is_empty() || ids.len() > e.budget {
                return;
            }
            e.entries.retain(|entry| !(entry.cache.is_like(&cache) && ids.starts_with(&entry.ids)));
            e.entries.push(Entry { ids, cache });
            let mut held: usize = e.entries.iter().map(|entry| entry.ids.len()).sum();
            while held > e.budget {
                held -= e.entries.remove(0).ids.len();
            }
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut Entries) -> T) -> T {
        // A thread that panicked while holding the lock left whole entries behind.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
