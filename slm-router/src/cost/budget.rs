//! [`Budget`]: money per day, over all models that share it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::file::{self, Kind};
use crate::{Clock, Error, Result, SystemClock};

const KIND: Kind = Kind { format: "slm-spending", version: 1 };
const DAY: u64 = 24 * 60 * 60;

/// What was spent on a day.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Spending {
    /// Days since the beginning of 1970, UTC.
    pub day: u64,
    /// Money spent on that day.
    pub spent: f64,
}

#[derive(Debug, Default)]
struct State {
    spending: Spending,
    /// Held back for requests under way.
    reserved: f64,
}

/// Money that may be spent per day, UTC, by all models that share it.
///
/// The most that a request may cost is held back before it is sent, and replaced by what it did cost afterwards, so
/// that requests at the same time cannot overdraw together.
pub struct Budget {
    per_day: f64,
    clock: Arc<dyn Clock>,
    file: Option<PathBuf>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget")
            .field("per_day", &self.per_day)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Budget {
    /// A budget of `per_day`, in the currency of the prices, of which nothing is spent yet.
    ///
    /// # Errors
    /// When it is not a number of 0 or more.
    pub fn new(per_day: f64) -> Result<Self> {
        if !(per_day >= 0.0 && per_day.is_finite()) {
            return Err(Error::config("per_day", format!("expected 0 or more, got {per_day}")));
        }
        Ok(Self { per_day, clock: Arc::new(SystemClock), file: None, state: Mutex::default() })
    }

    /// The same on another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The same, which goes on from what `path` says was spent, and keeps it up to date. A file that is not there
    /// means that nothing was spent.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn with_file(self, path: &Path) -> Result<Self> {
        if path.exists() {
            let spending: Spending = file::read(path, KIND)?;
            if spending.spent.is_nan() || spending.spent < 0.0 {
                return Err(file::corrupt(path, "money of 0 or more"));
            }
            self.state().spending = spending;
        }
        Ok(Self { file: Some(path.to_owned()), ..self })
    }

    /// What was spent today, without what is held back.
    pub fn spent_today(&self) -> f64 {
        self.today().spending.spent
    }

    /// Holds back `estimate` for a request that is about to be sent, so that several at once do not overspend.
    ///
    /// # Errors
    /// When less than that is left today.
    pub fn reserve(&self, estimate: f64) -> Result<Reservation<'_>> {
        let mut state = self.today();
        let left = self.per_day - state.spending.spent - state.reserved;
        if estimate > left {
            let wait = Duration::from_secs(DAY - self.clock.now().as_secs() % DAY);
            return Err(Error::BudgetSpent {
                per_day: self.per_day,
                left: left.max(0.0),
                needed: estimate,
                wait,
            });
        }
        state.reserved += estimate;
        Ok(Reservation { budget: self, estimate })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Numbers are set in one step: a thread that panicked left none half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn today(&self) -> MutexGuard<'_, State> {
        let day = self.clock.now().as_secs() / DAY;
        let mut state = self.state();
        if state.spending.day != day {
            state.spending = Spending { day, spent: 0.0 };
        }
        state
    }
}

/// Money held back for one request; given back when dropped.
#[derive(Debug)]
pub struct Reservation<'a> {
    budget: &'a Budget,
    estimate: f64,
}

impl Reservation<'_> {
    /// Books what was spent.
    ///
    /// # Errors
    /// When the budget has a file and it cannot be written; the sum is booked in memory all the same.
    pub fn charge(&self, cost: f64) -> Result<()> {
        let mut state = self.budget.today();
        state.spending.spent += cost;
        let spending = state.spending;
        // Written under the lock: a later sum must not be overwritten by an earlier one.
        let written = self.budget.file.as_ref().map_or(Ok(()), |path| file::write(path, KIND, &spending));
        drop(state);
        written
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        state.reserved = (state.reserved - self.estimate).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct At(AtomicU64);

    impl Clock for At {
        fn now(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }

        fn sleep(&self, _: Duration) {}
    }

    #[test]
    fn what_is_held_back_cannot_be_spent_twice_and_a_new_day_starts_at_nothing() -> Result<()> {
        let clock = Arc::new(At(AtomicU64::new(DAY - 10)));
        let budget = Budget::new(1.0)?.with_clock(clock.clone());
        let first = budget.reserve(0.6)?;
        assert!(matches!(
            budget.reserve(0.6).err(),
            Some(Error::BudgetSpent { wait, .. }) if wait == Duration::from_secs(10)
        ));
        first.charge(0.1)?;
        drop(first);
        assert_eq!(budget.spent_today(), 0.1);
        drop(budget.reserve(0.9)?);
        budget.reserve(0.9)?.charge(0.9)?;
        assert!(budget.reserve(0.01).is_err());
        clock.0.store(DAY, Ordering::Relaxed);
        assert_eq!(budget.spent_today(), 0.0);
        budget.reserve(1.0)?;
        Ok(())
    }

    #[test]
    fn spending_outlives_the_process() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("spent.json");
        let clock = Arc::new(At(AtomicU64::new(5 * DAY)));
        let open = || Budget::new(1.0)?.with_clock(clock.clone()).with_file(&path);
        open()?.reserve(0.5)?.charge(0.25)?;
        assert_eq!(open()?.spent_today(), 0.25);
        std::fs::write(&path, "{}")?;
        assert!(open().is_err(), "a damaged file is no empty one");
        Ok(())
    }
}
