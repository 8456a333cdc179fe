//! From pairs to a tuned model.

use slm_core::{ChatTemplate, LocalModel};
use slm_data::Example;
use slm_lora::{LoraAdapter, StepLog, Trainer, training_texts};

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
}

/// Trains an adapter for `base` on `examples`; the base itself does not change.
///
/// # Errors
/// When the examples cannot be rendered or learned from.
pub fn tune(base: &LocalModel, examples: &[Example], config: &ExpertConfig, what: &str) -> Result<Tuned> {
    let mut trainer = trainer(base, examples, config)?;
    let logs = progress::train(what, &mut trainer)?;
    let mut model = LocalModel { model: trainer.into_model(), ..base.clone() };
    let adapter = LoraAdapter::detach(&mut model.model, &config.lora);
    adapter.attach(&mut model.model)?;
    Ok(Tuned { model, adapter, logs })
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
    let mut model = base.model.clone();
    LoraAdapter::init(&model, &config.lora)?.attach(&mut model)?;
    let context = model.config.context_length();
    let train =
        slm_lora::TrainConfig { max_length: config.train.max_length.min(context), ..config.train.clone() };
    Ok(Trainer::new(model, texts, train)?)
}
