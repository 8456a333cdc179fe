//! Many requests at once.

use std::ops::ControlFlow;

use super::sequence::{Sequence, Special};
use super::{Generated, GenerationConfig, LocalModel};
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

impl LocalModel {
    /// Answers several requests, up to `at_once` of them in each pass over the weights; when one is done, the
    /// next takes its place. Each request has its own cache, sampler and seed, and its attention sees its own
    /// tokens alone, so its answer does not depend on its neighbours, but for the rounding of packed weights.
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
        let mut active: Vec<(usize, Sequence<'_>)> = Vec::new();
        loop {
            while active.len() < at_once.max(1)
                && let Some((index, request)) = waiting.next()
            {
                let begun = Sequence::new(self, &request.prompt, &request.config, Special::Hidden)
                    .and_then(|mut s| self.read_prompt(&mut s, &mut |t| on_text(index, t)).map(|()| s));
                match begun {
                    Ok(sequence) => active.push((index, sequence)),
                    Err(e) => results[index] = Some(Err(e)),
                }
            }
            let mut running = Vec::with_capacity(active.len());
            for (index, sequence) in active {
                if sequence.is_running() {
                    running.push((index, sequence));
                } else {
                    results[index] = Some(sequence.finish(&mut |t| on_text(index, t)));
                }
            }
            active = running;
            if active.is_empty() {
                if waiting.len() == 0 {
                    break;
                }
                continue;
            }
            for (index, error) in self.step_all(&mut active, on_text) {
                results[index] = Some(Err(error));
                active.retain(|(i, _)| *i != index);
            }
        }
        let lost = || Err(Error::Request { reason: "the request was not answered".into() });
        results.into_iter().map(|r| r.unwrap_or_else(lost)).collect()
    }

    /// A pass for all active requests; returns those that failed.
    fn step_all(
        &self,
        active: &mut [(usize, Sequence<'_>)],
        on_text: &mut dyn FnMut(usize, &str) -> ControlFlow<()>,
    ) -> Vec<(usize, Error)> {
        let wanted: Vec<usize> = active.iter().map(|(_, s)| s.wanted()).collect();
        let mut parts: Vec<Continuation<'_>> =
            active.iter_mut().map(|(_, s)| Continuation { ids: &s.pending, cache: &mut s.cache }).collect();
        let rows = self.model.last_logits_of(&mut parts, &wanted).and_then(super::local::to_values);
        let mut rows = match rows {
            Ok(rows) => rows,
            Err(e) => {
                let reason = e.to_string();
                let again = |index: usize| (index, Error::Request { reason: reason.clone() });
                return active.iter().map(|(index, _)| again(*index)).collect();
            }
        };
        let vocab = rows.len() / wanted.iter().sum::<usize>();
        let mut failed = Vec::new();
        let mut rest = rows.as_mut_slice();
        for ((index, sequence), wanted) in active.iter_mut().zip(wanted) {
            let (own, after) = rest.split_at_mut(wanted * vocab);
            rest = after;
            if let Err(e) = sequence.advance(own, &mut |t| on_text(*index, t)) {
                failed.push((*index, e));
            }
        }
        failed
    }
}
