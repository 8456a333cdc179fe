//! Counts of what a cascade did.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{CascadeRoute, Cascaded};

/// Requests by who answered them, since the cascade was made.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct CascadeStats {
    /// Answered by the local model.
    pub local: u64,
    /// Answered by the larger model.
    pub larger: u64,
    /// Answered by the local model because the larger one failed.
    pub local_after_failure: u64,
    /// Answered by nobody.
    pub abstained: u64,
    /// Money spent.
    pub cost: f64,
}

#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<CascadeStats>);

impl Counters {
    pub(super) fn count(&self, cascaded: &Cascaded) {
        let mut stats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = match cascaded.route {
            CascadeRoute::Local => &mut stats.local,
            CascadeRoute::Larger => &mut stats.larger,
            CascadeRoute::LocalAfterFailure => &mut stats.local_after_failure,
            CascadeRoute::Abstained => &mut stats.abstained,
        };
        *counter += 1;
        stats.cost += cascaded.response.cost.unwrap_or(0.0);
    }

    pub(super) fn stats(&self) -> CascadeStats {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
