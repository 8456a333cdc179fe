//! Early stopping: a run that is measured on other texts, and keeps its best weights.

use std::ops::ControlFlow;

use serde::Serialize;
use slm_core::CausalLm;
use slm_core::text::TrainingText;

use super::{StepLog, Trainer};
use crate::{Error, Result};

/// When a run is measured and when it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Steps from one measurement to the next.
    pub every: usize,
    /// Measurements without a better one after which the run stops.
    pub measurements: usize,
}

/// A run with its measurements.
#[derive(Debug)]
pub struct Validated {
    /// The model of the best measurement, off the autodiff device; with a running mean of the weights where that is on.
    pub best: CausalLm,
    /// The step of the best measurement; 0 is before the first.
    pub best_step: usize,
    /// Steps and their validation losses, in nats per learned token, the one before the first step included.
    pub losses: Vec<Measured>,
    /// Of all steps that ran.
    pub logs: Vec<StepLog>,
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measured {
    /// Steps done.
    pub step: usize,
    /// Mean loss of the learned tokens, in nats.
    pub loss: f32,
}

impl Trainer {
    /// Runs the steps that are left as [`Trainer::run`] does, measures the weights on `validation` before the first, every
    /// few steps and after the last, and stops when they no longer improve.
    ///
    /// # Errors
    /// As [`Trainer::step`] and [`Trainer::evaluate`], and when `patience` has a zero.
    pub fn run_validated(
        &mut self,
        validation: &[TrainingText],
        patience: Patience,
        observe: &mut dyn FnMut(&Self, &StepLog) -> ControlFlow<()>,
    ) -> Result<Validated> {
        if patience.every == 0 || patience.measurements == 0 {
            return Err(Error::Config { field: "patience", reason: "must be positive".into() });
        }
        let model = self.averaged_model()?;
        let mut best = Measured { step: self.steps_done(), loss: self.loss_of(&model, validation.to_vec())? };
        let mut run =
            Validated { best: model, best_step: self.steps_done(), losses: vec![best], logs: Vec::new() };
        let mut worse = 0;
        while self.steps_done() < self.descent.config.steps && worse < patience.measurements {
            let log = self.step()?;
            let stop = observe(self, &log).is_break();
            let last = stop || log.step == log.steps;
            run.logs.push(log);
            if last || self.steps_done().is_multiple_of(patience.every) {
                let model = self.averaged_model()?;
                let now =
                    Measured { step: self.steps_done(), loss: self.loss_of(&model, validation.to_vec())? };
                run.losses.push(now);
                worse += 1;
                if now.loss < best.loss {
                    (best, run.best, run.best_step, worse) = (now, model, now.step, 0);
                }
            }
            if stop {
                break;
            }
        }
        Ok(run)
    }
}
