//! The promises of the trainer: the same bits again, also after an interruption; the base never moves.

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use slm_core::CausalLm;
use slm_core::text::TrainingText;
use slm_lora::{Error, LoraAdapter, LoraConfig, Result, TrainConfig, Trainable, Trainer};

fn base() -> CausalLm {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens/llama");
    CausalLm::load(&path, &Device::flex()).expect("the golden is in the repository")
}

/// Texts of several lengths; only their second half is learned.
fn texts(count: u32) -> Vec<TrainingText> {
    let text = |i: u32| {
        let length = 8 + i % 9;
        let ids: Vec<u32> = (0..length).map(|j| 1 + (i * 31 + j * 7) % 500).collect();
        TrainingText { learned: (0..length).map(|j| j >= length / 2).collect(), ids }
    };
    (0..count).map(text).collect()
}

fn config() -> TrainConfig {
    TrainConfig { steps: 12, batch_size: 4, max_length: 64, warmup_steps: 2, ..TrainConfig::default() }
}

fn trainer(texts: Vec<TrainingText>, config: TrainConfig) -> Result<Trainer> {
    let mut model = base();
    if config.trainable == Trainable::Adapters {
        LoraAdapter::init(&model, &LoraConfig::default())?.attach(&mut model)?;
    }
    Trainer::new(model, texts, config)
}

fn losses(trainer: &mut Trainer, until: usize) -> Result<Vec<f32>> {
    let logs = trainer.run(&mut |_, log| {
        if log.step == until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(logs.iter().map(|l| l.loss).collect())
}

#[test]
fn an_interrupted_run_continues_with_the_same_bits() -> Result<()> {
    for trainable in [Trainable::Adapters, Trainable::All] {
        let config = TrainConfig { trainable, ..config() };
        let whole = losses(&mut trainer(texts(23), config.clone())?, 12)?;
        assert_eq!(whole, losses(&mut trainer(texts(23), config.clone())?, 12)?);
        let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
        assert!(mean(&whole[8..]) < mean(&whole[..4]) - 0.5, "{whole:?}");

        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("checkpoint.safetensors");
        let mut first = trainer(texts(23), config.clone())?;
        let mut all = losses(&mut first, 7)?;
        first.save_checkpoint(&path)?;
        let mut second = trainer(texts(23), config)?;
        second.resume(&path)?;
        assert_eq!(second.steps_done(), 7);
        all.extend(losses(&mut second, 12)?);
        assert_eq!(all, whole, "{trainable:?}");
    }
    Ok(())
}

#[test]
fn checkpoints_of_another_run_and_broken_ones_are_refused() -> Result<()> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("checkpoint.safetensors");
    let mut run = trainer(texts(9), config())?;
    losses(&mut run, 2)?;
    run.save_checkpoint(&path)?;
    let refused = |mut t: Trainer| t.resume(&path).expect_err("another run").to_string();
    assert!(refused(trainer(texts(8), config())?).contains("its data"));
    let faster = TrainConfig { learning_rate: 1.0, ..config() };
    assert!(refused(trainer(texts(9), faster)?).contains("its settings"));
    let bytes = std::fs::read(&path).expect("read");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("write");
    assert!(refused(trainer(texts(9), config())?).contains("checkpoint.safetensors"));
    Ok(())
}

#[test]
fn accumulation_gives_the_gradient_of_the_whole_batch() -> Result<()> {
    let whole = TrainConfig { batch_size: 8, steps: 5, ..config() };
    let parts = TrainConfig { batch_size: 2, gradient_accumulation: 4, ..whole.clone() };
    let whole = losses(&mut trainer(texts(16), whole)?, 5)?;
    let parts = losses(&mut trainer(texts(16), parts)?, 5)?;
    for (a, b) in whole.iter().zip(&parts) {
        assert!((a - b).abs() < 1e-4, "{whole:?} {parts:?}");
    }
    Ok(())
}

#[test]
fn training_an_adapter_leaves_the_base_alone() -> Result<()> {
    let mut run = trainer(texts(9), config())?;
    losses(&mut run, 12)?;
    assert_eq!(run.into_model().parameter_values()?, base().parameter_values()?);
    Ok(())
}

#[test]
fn prompts_are_not_learned() -> Result<()> {
    let unlearned = |t: TrainingText| TrainingText { learned: vec![false; t.ids.len()], ..t };
    let none = texts(5).into_iter().map(unlearned).collect();
    assert!(matches!(trainer(none, config()), Err(Error::NoData { .. })));
    // Two texts that differ in a learned prompt token's mask alone have different losses.
    let loss = |from: usize| {
        let t = TrainingText { ids: (1..20).collect(), learned: (0..19).map(|i| i >= from).collect() };
        trainer(vec![t.clone()], config())?.evaluate(vec![t])
    };
    assert!((loss(2)? - loss(12)?).abs() > 1e-3);
    let long = TrainConfig { max_length: 10, ..config() };
    assert_eq!(trainer(texts(9), long)?.plan().too_long, 6);
    Ok(())
}

#[test]
fn a_diverging_run_stops_and_keeps_its_last_weights() -> Result<()> {
    let wild = TrainConfig { learning_rate: 1e30, warmup_steps: 0, max_gradient_norm: 0.0, ..config() };
    let mut run = trainer(texts(9), wild)?;
    let error = run.run(&mut |_, _| ControlFlow::Continue(())).expect_err("diverges");
    let Error::Diverged { step, examples, .. } = error else { panic!("{error}") };
    assert_eq!(step, run.steps_done() + 1);
    assert!(!examples.is_empty());
    Ok(())
}
