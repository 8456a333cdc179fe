//! Progress bars of long work, with an estimate of the time left; silent where standard error is no terminal.

use std::ops::ControlFlow;

use indicatif::{ProgressBar, ProgressStyle};
use slm_lora::{AlignLog, Aligner, EncoderTrainer, Retained, Retainer, StepLog, Trainer};

/// A bar of `length` units of work called `what`.
pub fn bar(what: &str, length: usize) -> ProgressBar {
    let bar = ProgressBar::new(length as u64).with_message(what.to_owned());
    // The template is a constant of this function: the plain bar stands in if it were ever wrong.
    let style =
        ProgressStyle::with_template("{msg:<26} {bar:32} {pos:>6}/{len:<6} {eta_precise} left {prefix}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Runs a trainer to its end behind a bar that shows the loss and tokens per second.
///
/// # Errors
/// As [`Trainer::run`].
pub fn train(what: &str, trainer: &mut Trainer) -> slm_lora::Result<Vec<StepLog>> {
    let bar = bar(what, trainer.plan().steps);
    bar.set_position(trainer.steps_done() as u64);
    let logs = trainer.run(&mut |_, log| show(&bar, log, ""));
    bar.finish();
    logs
}

/// Runs a trainer of an encoder to its end, as [`train`].
///
/// # Errors
/// As [`EncoderTrainer::run`].
pub fn train_encoder(what: &str, trainer: &mut EncoderTrainer) -> slm_lora::Result<Vec<StepLog>> {
    let bar = bar(what, trainer.plan().steps);
    bar.set_position(trainer.steps_done() as u64);
    let logs = trainer.run(&mut |_, log| show(&bar, log, ""));
    bar.finish();
    logs
}

/// Runs a retainer to its end, as [`train`].
///
/// # Errors
/// As [`Retainer::run`].
pub fn retain(what: &str, retainer: &mut Retainer) -> slm_lora::Result<Retained> {
    let bar = bar(what, retainer.trainer().plan().steps);
    let run = retainer.run(&mut |_, log| show(&bar, &log.step, ""));
    bar.finish();
    run
}

/// Runs an aligner to its end, as [`train`].
///
/// # Errors
/// As [`Aligner::run`].
pub fn align(what: &str, aligner: &mut Aligner) -> slm_lora::Result<Vec<AlignLog>> {
    let bar = bar(what, aligner.steps());
    let run = aligner
        .run(&mut |_, log| show(&bar, &log.step, &format!(", accuracy {:.0} %", 100.0 * log.accuracy)));
    bar.finish();
    run
}

fn show(bar: &ProgressBar, log: &StepLog, more: &str) -> ControlFlow<()> {
    bar.set_position(log.step as u64);
    let speed = log.tokens as f64 / log.seconds;
    bar.set_prefix(format!("loss {:.3}, {speed:.0} tokens/s{more}", log.loss));
    ControlFlow::Continue(())
}
