//! Many requests at once.

use std::ops::ControlFlow;

use super::local::to_values;
use super::prepared::Prepared;
use super::sequence::Sequence;
use super::{Generated, GenerationConfig, LocalModel};
use crate::chat::{Delta, OnDelta};
use crate::model::Continuation;
use crate::{Error, Result};

/// One request of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchRequest {
    /// Token ids of the prompt.
    pub prompt: Vec<u32>,
    /// How to generate the answer.
    pub config: GenerationConfig,
}

/// Called with a request's id and each piece that it adds, as in [`LanguageModel::stream_deltas`]; cancels that request by
/// [`ControlFlow::Break`].
///
/// [`LanguageModel::stream_deltas`]: crate::LanguageModel::stream_deltas
pub type OnBatchDelta<'a> = dyn FnMut(u64, Delta<'_>) -> ControlFlow<()> + 'a;

/// Requests that are answered together, one pass over the weights at a time; they come and go between passes
/// (continuous batching, Yu et al. 2022).
///
/// A pass reads the next token of each answer, and beside them a part of the prompts that are still to be read, so
/// that a long prompt does not hold up the answers of others (Agrawal et al. 2023). Each request has its own cache,
/// sampler and seed, and its attention sees its own tokens alone: its answer does not depend on its neighbours, but
/// for the rounding of packed weights.
#[derive(Debug)]
pub struct Batch<'a> {
    model: &'a LocalModel,
    part: usize,
    /// Longest there first.
    active: Vec<Active<'a>>,
}

#[derive(Debug)]
struct Active<'a> {
    id: u64,
    sequence: Sequence<'a>,
    /// Tokens of `sequence` that this pass reads.
    now: usize,
}

impl<'a> Batch<'a> {
    /// Most tokens of prompts in a pass, where nothing else is said.
    pub const PART: usize = 512;

    /// Without a request yet.
    pub fn new(model: &'a LocalModel) -> Self {
        Self { model, part: Self::PART, active: Vec::new() }
    }

    /// Reads at most `tokens` tokens of prompts in a pass: fewer make other answers wait less, more are read faster.
    #[must_use]
    pub fn with_part(mut self, tokens: usize) -> Self {
        self.set_part(tokens);
        self
    }

    /// The same from the next pass on.
    pub fn set_part(&mut self, tokens: usize) {
        self.part = tokens.max(1);
    }

    /// Requests being answered.
    pub fn len(&self) -> usize {
        self.active.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    /// Tokens held in the caches of the requests.
    pub fn cached_tokens(&self) -> usize {
        self.active.iter().map(|a| a.sequence.cache.len()).sum()
    }

    /// Takes a request in, under an id of the caller's.
    ///
    /// # Errors
    /// When a setting of the request is out of range, or the model fails at scoring its prompt.
    pub fn push(&mut self, id: u64, request: Prepared) -> Result<()> {
        self.active.push(Active { id, sequence: Sequence::new(self.model, request)?, now: 0 });
        Ok(())
    }

    /// One pass; returns the requests that are done, with their answers.
    ///
    /// # Errors
    /// Of a request, in its place. All of those in a pass that fails get the pass's error.
    pub fn step(&mut self, on_delta: &mut OnBatchDelta<'_>) -> Vec<(u64, Result<Generated>)> {
        let failed = self.pass(on_delta);
        let mut done = Vec::new();
        let mut running = Vec::with_capacity(self.active.len());
        for active in std::mem::take(&mut self.active) {
            match failed.iter().position(|(id, _)| *id == active.id) {
                Some(_) => {}
                None if active.sequence.is_running() => running.push(active),
                None => done.push((active.id, active.sequence.finish(&mut |d| on_delta(active.id, d)))),
            }
        }
        self.active = running;
        done.extend(failed.into_iter().map(|(id, error)| (id, Err(error))));
        done
    }

    /// Shares a pass out: an answer's next token always, and prompts in their order until the part is full.
    fn plan(&mut self) {
        let mut left = self.part;
        for active in &mut self.active {
            let (pending, running) = (active.sequence.pending.len(), active.sequence.is_running());
            active.now = match active.sequence.is_reading() {
                _ if !running => 0,
                false => pending,
                true if left == 0 => 0,
                true if active.sequence.is_divisible() => pending.min(left),
                true => pending,
            };
            if active.sequence.is_reading() {
                left = left.saturating_sub(active.now);
            }
        }
    }

    fn pass(&mut self, on_delta: &mut OnBatchDelta<'_>) -> Vec<(u64, Error)> {
        self.plan();
        let mut taking: Vec<&mut Active<'a>> = self.active.iter_mut().filter(|a| a.now > 0).collect();
        if taking.is_empty() {
            return Vec::new();
        }
        let wanted: Vec<usize> = taking.iter().map(|a| a.wanted()).collect();
        let parts = taking.iter_mut().map(|a| {
            let Sequence { pending, cache, .. } = &mut a.sequence;
            Continuation { ids: &pending[..a.now], cache }
        });
        let logits = self.model.model.last_logits_of(&mut parts.collect::<Vec<_>>(), &wanted);
        let rows = logits.and_then(|logits| logits.map_or(Ok(Vec::new()), to_values));
        match rows {
            Ok(mut rows) => advance(&mut taking, &wanted, &mut rows, on_delta),
            Err(e) => {
                let again = |a: &&mut Active<'a>| (a.id, Error::Request { reason: e.to_string() });
                taking.iter().map(again).collect()
            }
        }
    }
}

impl Active<'_> {
    /// Positions of this pass whose logits are needed.
    fn wanted(&self) -> usize {
        if self.now == self.sequence.pending.len() { self.sequence.wanted() } else { 0 }
    }
}

/// Each request takes its rows of logits, or what was read of its prompt.
fn advance(
    taking: &mut [&mut Active<'_>],
    wanted: &[usize],
    mut rows: &mut [f32],
    on_delta: &mut OnBatchDelta<'_>,
) -> Vec<(u64, Error)> {
    let vocab = rows.len() / wanted.iter().sum::<usize>().max(1);
    let mut failed = Vec::new();
    for (Active { id, sequence, now }, wanted) in taking.iter_mut().zip(wanted) {
        if *wanted == 0 {
            sequence.pending.drain(..*now);
            if on_delta(*id, Delta::Text("")).is_break() {
                sequence.cancel();
            }
            continue;
        }
        let (own, after) = rows.split_at_mut(wanted * vocab);
        rows = after;
        if let Err(e) = sequence.advance(own, &mut |d| on_delta(*id, d)) {
            failed.push((*id, e));
        }
    }
    failed
}

impl LocalModel {
    /// Answers several requests, up to `at_once` of them in each pass over the weights; when one is done, the
    /// next takes its place. See [`Batch`].
    ///
    /// `on_text` gets the index of the request with each piece of text, and cancels that request by
    /// [`ControlFlow::Break`].
    ///
    /// # Errors
    /// Of a request, in its place. All of those in a pass that fails get the pass's error.
    pub fn generate_batch(
        &self,
        requests: &[BatchRequest],
        at_once: usize,
        on_text: &mut dyn FnMut(usize, &str) -> ControlFlow<()>,
    ) -> Vec<Result<Generated>> {
        let mut results: Vec<Option<Result<Generated>>> = requests.iter().map(|_| None).collect();
        let mut waiting = requests.iter().enumerate();
        let mut batch = Batch::new(self);
        loop {
            while batch.len() < at_once.max(1)
                && let Some((index, request)) = waiting.next()
            {
                let prepared = self.prepare_ids(request.prompt.clone(), &request.config);
                if let Err(e) = prepared.and_then(|p| batch.push(index as u64, p)) {
                    results[index] = Some(Err(e));
                }
            }
            if batch.is_empty() {
                break;
            }
            for (index, result) in batch.step(&mut |id, delta| on_text(id as usize, delta.text())) {
                results[index as usize] = Some(result);
            }
        }
        let lost = || Err(Error::Request { reason: "the request was not answered".into() });
        results.into_iter().map(|r| r.unwrap_or_else(lost)).collect()
    }

    /// Answers one request.
    pub(super) fn answer(&self, request: Prepared, on_delta: &mut OnDelta<'_>) -> Result<Generated> {
        let mut batch = Batch::new(self);
        batch.push(0, request)?;
        loop {
            if let Some((_, result)) = batch.step(&mut |_, delta| on_delta(delta)).pop() {
                return result;
            }
        }
    }
}
