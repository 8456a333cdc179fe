//! Counts of what a router did.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::decision::{RouteKind, Routed};

/// Requests by who answered them, since the router was made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RouterStats {
    /// Answered by a route: its name and how often, in the order of the routes.
    pub routes: Vec<(String, u64)>,
    /// Answered by the larger model.
    pub larger: u64,
    /// Answered by nobody.
    pub abstained: u64,
    /// Of those two, how many a route had answered first in vain.
    pub escalated: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    routes: Vec<AtomicU64>,
    larger: AtomicU64,
    abstained: AtomicU64,
    escalated: AtomicU64,
}

impl Counters {
    pub(super) fn new(routes: usize) -> Self {
        Self { routes: (0..routes).map(|_| AtomicU64::new(0)).collect(), ..Self::default() }
    }

    pub(super) fn count(&self, routed: &Routed) {
        let counter = match routed.answered_by {
            RouteKind::Route(index) => self.routes.get(index),
            RouteKind::Larger => Some(&self.larger),
            RouteKind::Abstain => Some(&self.abstained),
        };
        let escalated = routed.escalation.map(|_| &self.escalated);
        for counter in counter.into_iter().chain(escalated) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn stats<'a>(&self, names: impl Iterator<Item = &'a str>) -> RouterStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RouterStats {
            routes: names.map(str::to_owned).zip(self.routes.iter().map(read)).collect(),
            larger: read(&self.larger),
            abstained: read(&self.abstained),
            escalated: read(&self.escalated),
        }
    }
}
