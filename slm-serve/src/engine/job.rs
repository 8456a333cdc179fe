//! A request on its way through an engine, and the ticket of who waits for it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use slm_core::generate::{Generated, Prepared};
use slm_core::{Delta, OnDelta, Result};

use super::LOOK;
use super::meter::Meter;

/// A request that waits or is answered.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) variant: usize,
    pub(super) request: Prepared,
    pub(super) reply: Reply,
}

/// The engine's end of a request.
#[derive(Debug)]
pub(super) struct Reply {
    events: Sender<Event>,
    cancelled: Arc<AtomicBool>,
    /// Something was handed over: somebody waits for the next.
    answering: AtomicBool,
    /// Tokens of the cache that are set aside for it.
    pub(super) reserved: usize,
    arrived: Instant,
    queued: Duration,
    busy: Duration,
}

#[derive(Debug)]
enum Event {
    /// A thought.
    Reasoning(String),
    /// Text; may be empty, as a sign of life.
    Text(String),
    Done {
        result: Result<Generated>,
        queued: Duration,
        busy: Duration,
    },
}

/// The caller's end of a request. Dropped, it cancels.
#[derive(Debug)]
pub(super) struct Ticket {
    events: Receiver<Event>,
    cancelled: Arc<AtomicBool>,
}

impl Job {
    pub(super) fn new(variant: usize, request: Prepared) -> (Self, Ticket) {
        let (sender, events) = channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let reply = Reply {
            events: sender,
            cancelled: Arc::clone(&cancelled),
            answering: AtomicBool::new(false),
            reserved: request.max_tokens(),
            arrived: Instant::now(),
            queued: Duration::ZERO,
            busy: Duration::ZERO,
        };
        (Self { variant, request, reply }, Ticket { events, cancelled })
    }
}

impl Reply {
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Hands over a piece; breaks where nobody waits for it any more.
    pub(super) fn delta(&self, delta: Delta<'_>) -> ControlFlow<()> {
        if delta != Delta::Text("") {
            self.answering.store(true, Ordering::Relaxed);
        }
        let event = match delta {
            Delta::Reasoning(text) => Event::Reasoning(text.to_owned()),
            Delta::Text(text) => Event::Text(text.to_owned()),
        };
        if self.is_cancelled() || self.events.send(event).is_err() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Whether something was handed over.
    pub(super) fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Relaxed)
    }

    /// It leaves the queue.
    pub(super) fn begin(&mut self) {
        self.queued = self.arrived.elapsed();
    }

    /// Adds its share of a pass.
    pub(super) fn charge(&mut self, share: Duration) {
        self.busy += share;
    }

    /// Its share of the passes so far.
    pub(super) fn busy(&self) -> Duration {
        self.busy
    }

    pub(super) fn done(self, result: Result<Generated>) {
        // Nobody may be there to hear it.
        let _ = self.events.send(Event::Done { result, queued: self.queued, busy: self.busy });
    }
}

impl Ticket {
    /// Waits for the answer and hands its pieces on; `None` where the engine ended before.
    pub(super) fn wait(self, on_delta: &mut OnDelta<'_>) -> Option<Result<Generated>> {
        loop {
            let flow = match self.events.recv_timeout(LOOK) {
                Ok(Event::Reasoning(text)) => on_delta(Delta::Reasoning(&text)),
                Ok(Event::Text(text)) => on_delta(Delta::Text(&text)),
                Err(RecvTimeoutError::Timeout) => on_delta(Delta::Text("")),
                Err(RecvTimeoutError::Disconnected) => return None,
                Ok(Event::Done { result, queued, busy }) => {
                    Meter::add(queued, busy);
                    return Some(result);
                }
            };
            if flow.is_break() {
                self.cancelled.store(true, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}
