//! Who is next: fair shares among those who ask.

use std::collections::{BTreeMap, VecDeque};

use super::job::Job;

/// Requests that wait, by who asks. The next is of whoever was given the fewest tokens so far (virtual token counter,
/// Sheng et al. 2024); whoever comes back after a pause begins level with the others.
#[derive(Debug, Default)]
pub(super) struct FairQueue {
    tenants: BTreeMap<String, Tenant>,
    length: usize,
    tokens: usize,
}

#[derive(Debug, Default)]
struct Tenant {
    waiting: VecDeque<Job>,
    /// Tokens that were reserved for requests which left the queue.
    given: u64,
}

/// Tenants with nothing waiting that are remembered.
const REMEMBERED: usize = 4096;

impl FairQueue {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Most tokens that all who wait may come to.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    pub(super) fn push(&mut self, tenant: &str, job: Job) {
        self.length += 1;
        self.tokens += job.reply.reserved;
        let level = self.tenants.values().filter(|t| !t.waiting.is_empty()).map(|t| t.given).min();
        let entry = self.tenants.entry(tenant.to_owned()).or_default();
        if entry.waiting.is_empty() {
            entry.given = entry.given.max(level.unwrap_or(0));
        }
        entry.waiting.push_back(job);
        if self.tenants.len() > REMEMBERED {
            self.tenants.retain(|_, t| !t.waiting.is_empty());
        }
    }

    /// The next request, if `fits` lets it in; those behind it wait with it, so that a large one is not passed over
    /// for ever.
    pub(super) fn pop(&mut self, fits: impl FnOnce(&Job) -> bool) -> Option<Job> {
        let waiting = self.tenants.values_mut().filter(|t| !t.waiting.is_empty());
        let next = waiting.min_by_key(|t| t.given)?;
        if !next.waiting.front().is_some_and(fits) {
            return None;
        }
        let job = next.waiting.pop_front()?;
        next.given += job.reply.reserved as u64;
        self.length -= 1;
        self.tokens -= job.reply.reserved;
        Some(job)
    }

    /// Takes out the requests whose callers have left.
    pub(super) fn take_cancelled(&mut self) -> Vec<Job> {
        let mut gone = Vec::new();
        for tenant in self.tenants.values_mut() {
            let all = std::mem::take(&mut tenant.waiting);
            let (left, stayed) = all.into_iter().partition(|job: &Job| job.reply.is_cancelled());
            tenant.waiting = stayed;
            gone.extend::<VecDeque<Job>>(left);
        }
        self.length -= gone.len();
        self.tokens -= gone.iter().map(|job| job.reply.reserved).sum::<usize>();
        gone
    }
}
