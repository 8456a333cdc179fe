//! [`Estimate`]: what a run will take, measured before it.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::parameters::Learner;
use super::{Descent, Trainer};
use crate::Result;

/// Steps looked at for the length of the run; beyond that, epochs repeat.
const LOOKED_AT: usize = 10_000;

/// What a run will take on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Of the steps that are left.
    pub time: Duration,
    /// Tokens computed in them, padding included.
    pub tokens: usize,
    /// Largest memory of the process, in bytes; `None` where the system does not tell.
    pub peak_memory: Option<u64>,
}

impl Trainer {
    /// Runs the largest and the smallest of the steps that are left, forward and backward, without moving a weight, and
    /// counts what the run computes. The peak memory is that of the largest step, and of an optimizer's state that is not
    /// there yet.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn estimate(&mut self) -> Result<Estimate> {
        estimate(
            self,
            |trainer| &mut trainer.descent,
            |trainer, step| trainer.batches.computed(step),
            |trainer| trainer.pass().map(drop),
        )
    }
}

/// The same of whatever `trainer` has a [`Descent`]: `size` counts the tokens of a step, `pass` computes the current one.
pub(crate) fn estimate<T, M: Learner>(
    trainer: &mut T,
    descent: impl Fn(&mut T) -> &mut Descent<M>,
    size: impl Fn(&mut T, usize) -> usize,
    pass: impl Fn(&mut T) -> Result<()>,
) -> Result<Estimate> {
    let (begin, steps) = (descent(trainer).step, descent(trainer).config.steps);
    let left = steps.saturating_sub(begin);
    let looked = left.min(LOOKED_AT);
    let sizes: Vec<usize> = (begin..begin + looked).map(|step| size(trainer, step)).collect();
    let sum: usize = sizes.iter().sum();
    let tokens = (sum * left).checked_div(looked).unwrap_or(0);
    let at = |size: Option<&usize>| sizes.iter().position(|s| Some(s) == size);
    let (largest, smallest) = (at(sizes.iter().max()), at(sizes.iter().min()));
    let (Some(largest), Some(smallest)) = (largest, smallest) else {
        return Ok(Estimate { time: Duration::ZERO, tokens: 0, peak_memory: peak_memory() });
    };
    // The first pass touches what later ones find in place.
    let mut seconds = [0.0; 3];
    for (index, step) in [largest, smallest, largest].into_iter().enumerate() {
        let start = Instant::now();
        descent(trainer).step = begin + step;
        let passed = pass(trainer);
        descent(trainer).step = begin;
        passed?;
        seconds[index] = start.elapsed().as_secs_f64();
    }
    let probed = (sizes[smallest] + sizes[largest]) as f64;
    let time = Duration::from_secs_f64((seconds[1] + seconds[2]) / probed * tokens as f64);
    let state = descent(trainer).missing_state() as u64;
    Ok(Estimate { time, tokens, peak_memory: peak_memory().map(|peak| peak + state) })
}

/// Largest resident memory of this process so far, in bytes.
pub(super) fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
