//! Ways to compute the same step: packed, replayed, in chunks; and what surrounds the steps.

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use slm_core::CausalLm;
use slm_core::text::TrainingText;
use slm_lora::{
    Batching, Checkpointing, JsonLog, LoraAdapter, LoraConfig, OptimizerKind, Patience, Result, StepLog,
    Targets, TrainConfig, Trainable, Trainer,
};

fn base(family: &str) -> CausalLm {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens").join(family);
    CausalLm::load(&path, &Device::flex()).expect("the golden is in the repository")
}

fn texts(count: u32) -> Vec<TrainingText> {
    let text = |i: u32| {
        let length = 8 + i * 5 % 17;
        let ids: Vec<u32> = (0..length).map(|j| 1 + (i * 31 + j * 7) % 500).collect();
        TrainingText { learned: (0..length).map(|j| j >= length / 2).collect(), ids }
    };
    (0..count).map(text).collect()
}

fn config(trainable: Trainable) -> TrainConfig {
    let learning_rate = if trainable == Trainable::All { 1e-3 } else { 5e-3 };
    let steps = 5;
    TrainConfig {
        trainable,
        steps,
        learning_rate,
        batch_size: 4,
        max_length: 64,
        warmup_steps: 0,
        ..TrainConfig::default()
    }
}

fn trainer(family: &str, config: TrainConfig) -> Result<Trainer> {
    let mut model = base(family);
    if config.trainable == Trainable::Adapters {
        let lora = LoraConfig {
            dora: true,
            dropout: 0.1,
            modules_to_save: config.modules_to_save.clone(),
            target_modules: Targets::Pattern(r".*(q_proj|down_proj|embed_tokens)".into()),
            ..LoraConfig::default()
        };
        LoraAdapter::init(&model, &lora)?.attach(&mut model)?;
    }
    Trainer::new(model, texts(11), config)
}

fn run(trainer: &mut Trainer) -> Result<Vec<f32>> {
    let logs = trainer.run(&mut |_, _| ControlFlow::Continue(()))?;
    Ok(logs.iter().map(|l| l.loss).collect())
}

fn assert_same(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len());
    for (a, b) in got.iter().zip(want) {
        assert!((a - b).abs() < 1e-5 * b.abs().max(1.0), "{what}: {got:?} instead of {want:?}");
    }
}

/// The same losses over several steps: so are the gradients.
#[test]
fn packed_replayed_and_in_chunks_are_the_same_steps() -> Result<()> {
    for family in ["dynamic", "gemma3", "qwen2"] {
        for trainable in [Trainable::All, Trainable::Adapters] {
            let plain = TrainConfig { modules_to_save: vec!["lm_head".into()], ..config(trainable) };
            // Dropout's choices depend on the shape of what is read; it is off where shapes differ.
            let want = run(&mut trainer(family, plain.clone())?)?;
            assert!(want[4] < want[0], "{family}: {want:?}");
            let replayed = TrainConfig { checkpointing: Checkpointing::Blocks, ..plain.clone() };
            assert_same(
                &run(&mut trainer(family, replayed)?)?,
                &want,
                &format!("{family} {trainable:?} replayed"),
            );
            let chunks = TrainConfig { max_logits: 3 * 512, ..plain };
            assert_same(
                &run(&mut trainer(family, chunks)?)?,
                &want,
                &format!("{family} {trainable:?} in chunks"),
            );
        }
    }
    Ok(())
}

/// With the blocks frozen there is nothing to go back through.
#[test]
fn a_head_learns_alone() -> Result<()> {
    for checkpointing in [Checkpointing::None, Checkpointing::Blocks] {
        let modules_to_save = vec!["lm_head".to_owned()];
        let settings = TrainConfig { modules_to_save, checkpointing, ..config(Trainable::Adapters) };
        let mut run = Trainer::new(base("qwen2"), texts(11), settings)?;
        let before = run.evaluate(texts(11))?;
        let logs = run.run(&mut |_, _| ControlFlow::Continue(()))?;
        assert!(logs.iter().all(|log| log.gradient_norm > 0.0));
        assert!(run.evaluate(texts(11))? < before - 0.1);
    }
    Ok(())
}

#[test]
fn packed_sequences_do_not_see_each_other() -> Result<()> {
    // Not where frequencies depend on the length of the sequence: padding changes that, packing does not.
    for family in ["llama", "gemma3", "qwen3", "yarn"] {
        let padded = config(Trainable::All);
        let packed = TrainConfig { batching: Batching::Packed, ..padded.clone() };
        let want = run(&mut trainer(family, padded)?)?;
        assert_same(&run(&mut trainer(family, packed.clone())?)?, &want, family);
        let replayed = TrainConfig { checkpointing: Checkpointing::Blocks, ..packed };
        assert_same(&run(&mut trainer(family, replayed)?)?, &want, &format!("{family}, replayed"));
    }
    Ok(())
}

#[test]
fn every_optimizer_learns_and_resumes_with_the_same_bits() -> Result<()> {
    for (optimizer, learning_rate) in [
        (OptimizerKind::AdamW, 5e-3),
        (OptimizerKind::AdamW8bit, 5e-3),
        (OptimizerKind::Lion, 3e-3),
        (OptimizerKind::Muon, 1e-2),
    ] {
        let config = TrainConfig {
            optimizer,
            learning_rate,
            steps: 12,
            neftune: 5.0,
            ema: 0.9,
            weight_decay: 0.01,
            ..config(Trainable::Adapters)
        };
        let mut whole = trainer("dynamic", config.clone())?;
        let before = whole.evaluate(texts(11))?;
        let want = run(&mut whole)?;
        let after = whole.evaluate(texts(11))?;
        assert!(after < before - 0.2, "{optimizer:?}: {before} to {after}");

        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("checkpoint.safetensors");
        let mut first = trainer("dynamic", config.clone())?;
        first.run(&mut |_, log| {
            if log.step == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        first.save_checkpoint(&path)?;
        let mut second = trainer("dynamic", config)?;
        second.resume(&path)?;
        assert_eq!(run(&mut second)?, want[5..], "{optimizer:?}");
        let values = |t: &Trainer| -> Result<Vec<f32>> {
            let mut model = t.averaged_model()?;
            let adapter = LoraAdapter::detach(&mut model, &LoraConfig::default());
            let b = adapter.layers["model.layers.0.self_attn.q_proj"].b.clone();
            Ok(b.try_into_vec_as().expect("f32"))
        };
        assert_eq!(values(&second)?, values(&whole)?);
    }
    Ok(())
}

#[test]
fn moments_in_8_bits_lead_the_same_way() -> Result<()> {
    let losses = |optimizer| -> Result<Vec<f32>> {
        let config = TrainConfig { optimizer, learning_rate: 2e-3, steps: 30, ..config(Trainable::Adapters) };
        run(&mut trainer("dynamic", config)?)
    };
    let (exact, rounded) = (losses(OptimizerKind::AdamW)?, losses(OptimizerKind::AdamW8bit)?);
    let farthest = exact.iter().zip(&rounded).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let (first, last) = (exact[0], exact[exact.len() - 1]);
    println!("{first} to {last}, at most {farthest} apart");
    assert!(exact != rounded && farthest < 0.15 * (first - last), "{farthest} apart");
    Ok(())
}

#[test]
fn means_of_weights_are_means() -> Result<()> {
    let mut run = trainer("dynamic", TrainConfig { ema: 0.75, steps: 3, ..config(Trainable::All) })?;
    let norm = |model: CausalLm| -> Vec<f32> { model.norm.weight.try_into_vec_as().expect("f32") };
    let mut want: Vec<f32> = Vec::new();
    for step in 0..3 {
        run.step()?;
        let now = norm(run.model());
        let mean = |(m, n): (&f32, &f32)| 0.75 * m + 0.25 * n;
        want = if step == 0 { now } else { want.iter().zip(&now).map(mean).collect() };
    }
    for (got, want) in norm(run.averaged_model()?).iter().zip(&want) {
        assert!((got - want).abs() < 1e-6);
    }
    assert_ne!(norm(run.averaged_model()?), norm(run.model()));
    Ok(())
}

#[test]
fn noise_is_for_training_alone() -> Result<()> {
    let noisy = || trainer("dynamic", TrainConfig { neftune: 15.0, ..config(Trainable::All) });
    let (a, b) = (run(&mut noisy()?)?, run(&mut noisy()?)?);
    assert_eq!(a, b);
    let without = run(&mut trainer("dynamic", config(Trainable::All))?)?;
    assert!((a[0] - without[0]).abs() > 1e-4);
    let (noisy, plain) = (noisy()?, trainer("dynamic", config(Trainable::All))?);
    assert_eq!(noisy.evaluate(texts(5))?, plain.evaluate(texts(5))?);
    Ok(())
}

/// A run that learns its own texts by heart forgets what it knew of others: the best weights are those from before.
#[test]
fn a_run_stops_when_it_no_longer_improves() -> Result<()> {
    let settings = TrainConfig { steps: 400, learning_rate: 2e-2, ..config(Trainable::All) };
    let mut run = trainer("dynamic", settings)?;
    let others: Vec<TrainingText> = texts(40).split_off(30);
    let patience = Patience { every: 2, measurements: 3 };
    let done = run.run_validated(&others, patience, &mut |_, _| ControlFlow::Continue(()))?;
    assert!(done.logs.len() < 400, "it never stops");
    let best = done.losses.iter().min_by(|a, b| a.loss.total_cmp(&b.loss)).expect("measured");
    assert_eq!(best.step, done.best_step);
    assert_eq!(done.losses.last().expect("measured").step, best.step + 6);
    let again = Trainer::new(done.best, texts(11), config(Trainable::All))?.evaluate(others)?;
    assert_eq!(again, best.loss);
    Ok(())
}

#[test]
fn an_estimate_moves_nothing_and_counts_what_is_computed() -> Result<()> {
    let mut run = trainer(
        "dynamic",
        TrainConfig { batching: Batching::Packed, steps: 3, ..config(Trainable::Adapters) },
    )?;
    let estimate = run.estimate()?;
    assert_eq!(run.steps_done(), 0);
    // Three steps of four, four and three examples: an epoch.
    assert_eq!(estimate.tokens, texts(11).iter().map(|t| t.ids.len()).sum::<usize>());
    assert!(estimate.time > std::time::Duration::ZERO);
    let mut other = trainer(
        "dynamic",
        TrainConfig { batching: Batching::Packed, steps: 3, ..config(Trainable::Adapters) },
    )?;
    let logs = |t: &mut Trainer| t.run(&mut |_, _| ControlFlow::Continue(()));
    let losses = |logs: Vec<StepLog>| logs.iter().map(|l| l.loss).collect::<Vec<_>>();
    assert_eq!(losses(logs(&mut run)?), losses(logs(&mut other)?));
    Ok(())
}

#[test]
fn logs_are_lines_of_json() -> Result<()> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("log.jsonl");
    let mut run = trainer("dynamic", config(Trainable::Adapters))?;
    for _ in 0..2 {
        let mut log = JsonLog::open(&path)?;
        log.write(&run.step()?)?;
    }
    let text = std::fs::read_to_string(&path).expect("written");
    let steps: Vec<serde_json::Value> =
        text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(steps.iter().map(|s| s["step"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(2)]);
    assert!(steps[0]["loss"].as_f64().is_some_and(|loss| loss > 1.0));
    Ok(())
}
