//! The engine's thread: lets requests in, passes over the weights, hands out what comes.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use slm_core::generate::Batch;
use slm_core::{Error as CoreError, LocalModel};

use super::job::{Job, Reply};
use super::pace::{Pace, Pass};
use super::{Engine, EngineConfig, Shared};

/// What others may read of the thread's work.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    pub(super) running: AtomicUsize,
    pub(super) cached_tokens: AtomicUsize,
    /// Recent speed in reserved tokens done per second, times 1000.
    milli_speed: AtomicU64,
}

impl Gauges {
    /// About how long `tokens` that wait will take, from one second to two minutes.
    pub(super) fn time_of(&self, tokens: usize) -> Duration {
        let speed = self.milli_speed.load(Ordering::Relaxed) as f64 / 1000.0;
        let seconds = if speed > 0.0 { tokens as f64 / speed } else { 1.0 };
        Duration::from_secs_f64(seconds.ceil().clamp(1.0, 120.0))
    }

    fn finished(&self, tokens: usize, busy: Duration) {
        let now = tokens as f64 / busy.as_secs_f64().max(1e-3);
        let old = self.milli_speed.load(Ordering::Relaxed) as f64 / 1000.0;
        let mean = if old > 0.0 { 0.9 * old + 0.1 * now } else { now };
        self.milli_speed.store((1000.0 * mean) as u64, Ordering::Relaxed);
    }
}

pub(super) struct Scheduler {
    shared: Arc<Shared>,
    variants: Vec<Arc<LocalModel>>,
    config: EngineConfig,
    cache_limit: usize,
}

/// What the thread holds of the requests that run.
#[derive(Default)]
struct Running {
    replies: HashMap<u64, Reply>,
    reserved: usize,
    next_id: u64,
}

impl Running {
    /// Requests that have begun to say something.
    fn answering_ids(&self) -> Vec<u64> {
        self.replies.iter().filter(|(_, reply)| reply.is_answering()).map(|(id, _)| *id).collect()
    }

    fn answering(&self) -> usize {
        self.replies.values().filter(|reply| reply.is_answering()).count()
    }
}

/// Marks the engine as ended, however the thread ends.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.dead = true;
        state.queue = super::FairQueue::default();
        self.0.gauges.running.store(0, Ordering::Relaxed);
    }
}

impl Scheduler {
    pub(super) fn new(engine: &Engine) -> Self {
        Self {
            shared: Arc::clone(&engine.shared),
            variants: engine.variants.clone(),
            config: engine.config,
            cache_limit: engine.cache_limit(),
        }
    }

    pub(super) fn run(self) {
        let _ending = Ending(Arc::clone(&self.shared));
        let mut batches: Vec<Batch<'_>> = self.variants.iter().map(|v| Batch::new(v)).collect();
        let mut running = Running::default();
        let limit = (self.config.max_pass_ms > 0).then(|| Duration::from_millis(self.config.max_pass_ms));
        let mut pace = Pace::new(self.config.prompt_part, limit);
        while self.let_in(&mut batches, &mut running) {
            let passes = batches.iter().filter(|b| !b.is_empty()).count();
            for batch in batches.iter_mut().filter(|b| !b.is_empty()) {
                batch.set_part(pace.part(running.answering(), passes));
                if let Some(pass) = self.step(batch, &mut running) {
                    pace.saw(pass);
                }
            }
            let cached = batches.iter().map(Batch::cached_tokens).sum();
            self.shared.gauges.cached_tokens.store(cached, Ordering::Relaxed);
        }
    }

    /// Takes in what fits, and waits where there is nothing to do; false at the end.
    fn let_in(&self, batches: &mut [Batch<'_>], running: &mut Running) -> bool {
        let mut state = self.shared.lock();
        loop {
            for job in state.queue.take_cancelled() {
                job.reply.done(Err(CoreError::Request { reason: "cancelled before it was begun".into() }));
            }
            let mut admitted = Vec::new();
            while running.replies.len() + admitted.len() < self.config.max_running {
                let free = self.cache_limit - running.reserved;
                let Some(job) = state.queue.pop(|job| job.reply.reserved <= free) else { break };
                running.reserved += job.reply.reserved;
                admitted.push(job);
            }
            if !admitted.is_empty() {
                drop(state);
                for job in admitted {
                    self.admit(job, batches, running);
                }
                self.shared.gauges.running.store(running.replies.len(), Ordering::Relaxed);
                return true;
            }
            if !running.replies.is_empty() {
                return true;
            }
            if state.closing {
                return false;
            }
            let woken = self.shared.wake.wait(state);
            state = woken.unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    fn admit(&self, job: Job, batches: &mut [Batch<'_>], running: &mut Running) {
        let Job { variant, request, mut reply } = job;
        reply.begin();
        let id = running.next_id;
        running.next_id += 1;
        match batches[variant].push(id, request) {
            Ok(()) => {
                running.replies.insert(id, reply);
            }
            Err(e) => {
                running.reserved -= reply.reserved;
                reply.done(Err(e));
            }
        }
    }

    /// One pass; what it did, where that is certain.
    fn step(&self, batch: &mut Batch<'_>, running: &mut Running) -> Option<Pass> {
        let (began, count) = (Instant::now(), batch.len() as u32);
        let (cached, was_answering) = (batch.cached_tokens(), running.answering_ids());
        let replies = &mut running.replies;
        let mut taken = Vec::with_capacity(batch.len());
        let done = batch.step(&mut |id, delta| {
            taken.push(id);
            replies.get(&id).map_or(ControlFlow::Break(()), |reply| reply.delta(delta))
        });
        let time = began.elapsed();
        let share = time / count;
        taken.sort_unstable();
        taken.dedup();
        for id in &taken {
            if let Some(reply) = replies.get_mut(id) {
                reply.charge(share);
            }
        }
        // An answer that is done takes its part of the cache with it.
        let answers = taken.iter().filter(|id| was_answering.contains(id)).count();
        let read = batch.cached_tokens().checked_sub(cached + answers).filter(|_| done.is_empty());
        let answered = done.into_iter().filter_map(|(id, result)| Some((replies.remove(&id)?, result)));
        let answered: Vec<_> = answered.collect();
        // Who hears that an answer is done finds its place free.
        self.shared.gauges.running.store(replies.len(), Ordering::Relaxed);
        for (reply, result) in answered {
            running.reserved -= reply.reserved;
            self.shared.gauges.finished(reply.reserved, reply.busy());
            reply.done(result.map_err(|e| self.logged(e)));
        }
        read.map(|read| Pass { answers, read, time })
    }

    fn logged(&self, error: CoreError) -> CoreError {
        if !matches!(error, CoreError::Request { .. } | CoreError::ToolCall { .. }) {
            tracing::error!(model = self.variants[0].name, %error, "a pass failed");
        }
        error
    }
}
