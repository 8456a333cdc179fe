//! What a request used of the machine, whatever models it went through.

use std::cell::Cell;
use std::time::Duration;

/// Adds up what the engines did for the calls of this thread, since models nest and a response tells of the
/// innermost only.
#[derive(Debug)]
pub struct Meter(());

/// What the engines did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metered {
    /// Time in queues.
    pub queued: Duration,
    /// Share of the passes over the weights: the time of each, divided by the requests in it.
    pub busy: Duration,
}

thread_local! {
    static METER: Cell<Metered> = const { Cell::new(Metered { queued: Duration::ZERO, busy: Duration::ZERO }) };
}

impl Meter {
    /// Begins anew on this thread.
    pub fn reset() {
        METER.set(Metered::default());
    }

    /// What was added on this thread since.
    pub fn read() -> Metered {
        METER.get()
    }

    pub(super) fn add(queued: Duration, busy: Duration) {
        let old = METER.get();
        METER.set(Metered { queued: old.queued + queued, busy: old.busy + busy });
    }
}
