//! From pairs to a tuned model.

use slm_core::text::TrainingText;
use slm_core::{CausalLm, ChatTemplate, LocalModel};
use slm_data::Example;
use slm_lora::{LoraAdapter, Point, Retainer, RetentionData, StepLog, TrainConfig, Trainer, training_texts};

use super::ExpertConfig;
use crate::{Result, progress};

/// A tuned model and how it came about.
#[derive(Debug)]
pub struct Tuned {
    /// The base with the adapter in its slots.
    pub model: LocalModel,
    /// The adapter alone.
    pub adapter: LoraAdapter,
    /// Loss by step.
    pub logs: Vec<StepLog>,
    /// Losses of the domain and of general texts during the run, the base first.
    pub points: Vec<Point>,
    /// The one that was taken.
    pub chosen: Point,
}

/// Share of the examples, and of general ones, that losses are measured on.
const MEASURED: f64 = 0.06;

/// Trains an adapter for `base` on `examples`, held to what the base says of the `general` ones; the base itself does not
/// change.
///
/// # Errors
/// When the examples cannot be rendered or learned from.
pub fn tune(
    base: &LocalModel,
    [examples, general]: [&[Example]; 2],
    config: &ExpertConfig,
    what: &str,
) -> Result<Tuned> {
    let [(domain, domain_validation), (general, general_validation)] =
        [parts(base, examples)?, parts(base, general)?];
    let data = RetentionData { domain, domain_validation, general, general_validation };
    let train = train_config(base, config);
    let mut retainer = Retainer::new(adapted(base, config)?, data, train, config.retention.clone())?;
    let run = progress::retain(what, &mut retainer)?;
    let mut model = LocalModel { model: run.model, ..base.clone() };
    let adapter = LoraAdapter::detach(&mut model.model, &config.lora);
    adapter.attach(&mut model.model)?;
    let logs = run.logs.into_iter().map(|log| log.step).collect();
    Ok(Tuned { model, adapter, logs, points: run.points, chosen: run.chosen })
}

/// Trains an adapter for `base` on `examples` and on nothing else, with nothing against forgetting: the tuned model, and what each
/// step did.
///
/// # Errors
/// As [`tune`].
pub fn tune_alone(
    base: &LocalModel,
    examples: &[Example],
    config: &ExpertConfig,
    what: &str,
) -> Result<(LocalModel, Vec<StepLog>)> {
    let mut trainer = trainer(base, examples, config)?;
    let logs = progress::train(what, &mut trainer)?;
    Ok((LocalModel { model: trainer.into_model(), ..base.clone() }, logs))
}

/// Texts to learn from, and some to measure on.
fn parts(base: &LocalModel, examples: &[Example]) -> Result<(Vec<TrainingText>, Vec<TrainingText>)> {
    let mut texts = training_texts(examples, &base.tokenizer, template(base)?)?;
    let measured = (texts.len() as f64 * MEASURED).ceil() as usize;
    let rest = texts.split_off(measured);
    Ok((rest, texts))
}

/// The base with fresh adapters.
fn adapted(base: &LocalModel, config: &ExpertConfig) -> Result<CausalLm> {
    let mut model = base.model.clone();
    LoraAdapter::init(&model, &config.lora)?.attach(&mut model)?;
    Ok(model)
}

/// Training within the base's context.
pub(super) fn train_config(base: &LocalModel, config: &ExpertConfig) -> TrainConfig {
    let context = base.model.config.context_length();
    TrainConfig { max_length: config.train.max_length.min(context), ..config.train.clone() }
}

/// The template of a model.
pub(super) fn template(model: &LocalModel) -> slm_core::Result<&ChatTemplate> {
    model.template.as_ref().ok_or_else(|| slm_core::Error::Template {
        reason: "the model has no chat template\nhint: set one, or use ChatTemplate::plain".into(),
    })
}

/// A trainer that has not started.
pub(super) fn trainer(base: &LocalModel, examples: &[Example], config: &ExpertConfig) -> Result<Trainer> {
    let texts = training_texts(examples, &base.tokenizer, template(base)?)?;
    Ok(Trainer::new(adapted(base, config)?, texts, train_config(base, config))?)
}
