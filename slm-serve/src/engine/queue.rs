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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::tensor::Device;
    use slm_core::{GenerationConfig, LocalModel};

    use super::*;
    use crate::engine::job::Ticket;

    fn model() -> LocalModel {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/base");
        LocalModel::load(&base, &Device::default()).expect("the base loads")
    }

    /// A request that takes `tokens` in all, told apart by its variant.
    fn job(model: &LocalModel, name: usize, tokens: usize) -> (Job, Ticket) {
        let config = GenerationConfig { max_new_tokens: tokens - 1, ..GenerationConfig::default() };
        Job::new(name, model.prepare_ids(vec![1], &config).expect("it is ready"))
    }

    fn order(queue: &mut FairQueue) -> Vec<usize> {
        std::iter::from_fn(|| queue.pop(|_| true)).map(|job| job.variant).collect()
    }

    #[test]
    fn who_asks_much_does_not_keep_others_waiting() {
        let model = model();
        let mut queue = FairQueue::default();
        let mut tickets = Vec::new();
        for (tenant, name, tokens) in
            [("many", 1, 50), ("many", 2, 50), ("many", 3, 50), ("few", 4, 40), ("few", 5, 40)]
        {
            let (job, ticket) = job(&model, name, tokens);
            queue.push(tenant, job);
            tickets.push(ticket);
        }
        assert_eq!((queue.len(), queue.tokens()), (5, 230));
        assert_eq!(order(&mut queue), [4, 1, 5, 2, 3]);
        // Back after a pause, nobody has saved up what was not asked for.
        for (tenant, name) in [("many", 6), ("many", 7), ("new", 8), ("new", 9)] {
            let (job, ticket) = job(&model, name, 50);
            queue.push(tenant, job);
            tickets.push(ticket);
        }
        let order = order(&mut queue);
        assert_eq!(order.iter().filter(|n| **n >= 8).count(), 2);
        assert_ne!(order[..2], [8, 9], "{order:?}");
        assert_eq!((queue.len(), queue.tokens()), (0, 0));
    }

    #[test]
    fn a_large_request_is_waited_for_and_one_without_a_caller_goes() {
        let model = model();
        let mut queue = FairQueue::default();
        let (large, left) = job(&model, 1, 100);
        let (small, _stays) = job(&model, 2, 10);
        queue.push("a", large);
        queue.push("a", small);
        assert!(queue.pop(|job| job.reply.reserved <= 20).is_none(), "the small one does not pass");
        drop(left);
        assert_eq!(queue.take_cancelled().len(), 1);
        assert_eq!((queue.len(), queue.tokens()), (1, 10));
        assert_eq!(queue.pop(|_| true).map(|job| job.variant), Some(2));
    }
}
