//! Fine-tuning of encoders: parity with PyTorch (`tests/goldens/make_encoder.py` made the references), and what a run promises.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::Deserialize;
use slm_core::model::{FloatType, LoadOptions};
use slm_core::{Embedder, TextEncoder};
use slm_lora::{
    EncoderData, EncoderTrainConfig, EncoderTrainer, Error, LabelLoss, LabelledText, Result, StepLog,
    TextPair,
};

#[derive(Deserialize)]
struct Golden {
    scale: f32,
    smoothing: f32,
    labelled: Vec<(String, String)>,
    paired: Vec<(String, String)>,
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    loss: f32,
    /// Length, product with sin(0.1 i), first numbers.
    gradients: BTreeMap<String, Vec<f64>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("goldens/encoder.json")).expect("JSON")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens/encoder-mean")
}

fn encoder() -> TextEncoder {
    TextEncoder::load(&folder(), &Device::flex()).expect("the golden is in the repository")
}

fn labelled(texts: &[(String, String)]) -> EncoderData {
    let item = |(text, label): &(String, String)| LabelledText { text: text.clone(), label: label.clone() };
    EncoderData::Labelled(texts.iter().map(item).collect())
}

fn pairs(texts: &[(String, String)]) -> EncoderData {
    let item =
        |(query, passage): &(String, String)| TextPair { query: query.clone(), passage: passage.clone() };
    EncoderData::Pairs(texts.iter().map(item).collect())
}

#[test]
fn losses_and_gradients_equal_those_of_pytorch() -> Result<()> {
    let golden = golden();
    for (name, case) in &golden.cases {
        let (data, label_loss) = match name.as_str() {
            "prototypes" => (labelled(&golden.labelled), LabelLoss::Prototypes),
            "supervised_contrastive" => (labelled(&golden.labelled), LabelLoss::SupervisedContrastive),
            _ => (pairs(&golden.paired), LabelLoss::Prototypes),
        };
        let config = EncoderTrainConfig {
            label_loss,
            scale: golden.scale,
            label_smoothing: golden.smoothing,
            ..EncoderTrainConfig::default()
        };
        let mut trainer = EncoderTrainer::new(encoder(), data, config)?;
        let gradients = trainer.gradients()?;
        assert_eq!(gradients.len(), case.gradients.len(), "{name}: every weight has a gradient");
        for (weight, gradient) in gradients {
            let values: Vec<f32> = gradient.try_into_vec_as().expect("numbers");
            let want = &case.gradients[&weight];
            let length = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let wave: f64 =
                values.iter().enumerate().map(|(i, x)| f64::from(*x) * (0.1 * i as f64).sin()).sum();
            let got = [length, wave].into_iter().chain(values.iter().map(|x| f64::from(*x)));
            for (got, want_one) in got.zip(want) {
                assert!(
                    (got - want_one).abs() < 2e-5 + 1e-4 * want[0],
                    "{name}, {weight}: {got} for {want:?}"
                );
            }
        }
        let log = trainer.step()?;
        assert!(
            (log.loss - case.loss).abs() < 1e-5 * case.loss.max(1.0),
            "{name}: {} for {}",
            log.loss,
            case.loss
        );
    }
    Ok(())
}

/// Mean cosine of texts of the same label, and of texts of different ones.
fn closeness(encoder: &TextEncoder, texts: &[(String, String)]) -> Result<[f32; 2]> {
    let only: Vec<&str> = texts.iter().map(|(text, _)| text.as_str()).collect();
    let vectors = encoder.embed(&only)?;
    let (mut sums, mut counts) = ([0.0; 2], [0.0; 2]);
    for (i, a) in vectors.iter().enumerate() {
        for (j, b) in vectors.iter().enumerate().take(i) {
            let kind = usize::from(texts[i].1 != texts[j].1);
            sums[kind] += a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            counts[kind] += 1.0;
        }
    }
    Ok([sums[0] / counts[0], sums[1] / counts[1]])
}

fn short(label_loss: LabelLoss) -> EncoderTrainConfig {
    EncoderTrainConfig {
        label_loss,
        epochs: 8,
        batch_size: 4,
        learning_rate: 2e-3,
        ..EncoderTrainConfig::default()
    }
}

fn all_steps(trainer: &mut EncoderTrainer) -> Result<Vec<StepLog>> {
    trainer.run(&mut |_, _| ControlFlow::Continue(()))
}

#[test]
fn texts_of_a_label_come_together() -> Result<()> {
    let texts = golden().labelled;
    for label_loss in [LabelLoss::Prototypes, LabelLoss::SupervisedContrastive] {
        let before = closeness(&encoder(), &texts)?;
        let mut trainer = EncoderTrainer::new(encoder(), labelled(&texts), short(label_loss))?;
        let plan = *trainer.plan();
        assert_eq!([plan.examples, plan.labels, plan.steps, plan.cut], [8, 4, 16, 0]);
        assert!(trainer.estimate()?.tokens >= plan.tokens_per_epoch);
        let logs = all_steps(&mut trainer)?;
        let mean = |part: &[StepLog]| part.iter().map(|log| log.loss).sum::<f32>() / part.len() as f32;
        assert!(mean(&logs[12..]) < 0.5 * mean(&logs[..4]), "{label_loss:?}: {logs:?}");
        let after = closeness(&trainer.encoder(), &texts)?;
        assert!(after[0] - after[1] > before[0] - before[1] + 0.2, "{label_loss:?}: {before:?}, {after:?}");
    }
    Ok(())
}

#[test]
fn queries_come_to_their_passages() -> Result<()> {
    let texts = golden().paired;
    let mut trainer = EncoderTrainer::new(encoder(), pairs(&texts), short(LabelLoss::Prototypes))?;
    let logs = all_steps(&mut trainer)?;
    assert!(logs[7].loss < 0.5 * logs[0].loss, "{logs:?}");
    // A passage that stands twice is not pushed away from the query that it answers.
    let twice = [&texts[..1], &texts[..1]].concat();
    let mut trainer = EncoderTrainer::new(encoder(), pairs(&twice), short(LabelLoss::Prototypes))?;
    assert!(trainer.step()?.loss.abs() < 1e-6);
    Ok(())
}

#[test]
fn runs_repeat_and_continue() -> Result<()> {
    let directory = tempfile::tempdir().expect("a folder");
    let checkpoint = directory.path().join("checkpoint.slm");
    let texts = golden().labelled;
    let new = |seed| {
        let config = EncoderTrainConfig { seed, ..short(LabelLoss::Prototypes) };
        EncoderTrainer::new(encoder(), labelled(&texts), config)
    };
    let weights = |trainer: &EncoderTrainer| trainer.encoder().embed(&["the court", "exit code"]);
    let mut whole = new(1)?;
    all_steps(&mut whole)?;
    let mut first = new(1)?;
    first
        .run(&mut |_, log| if log.step == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })?;
    first.save_checkpoint(&checkpoint)?;
    let mut rest = new(1)?;
    rest.resume(&checkpoint)?;
    assert_eq!(rest.steps_done(), 5);
    all_steps(&mut rest)?;
    assert_eq!(weights(&whole)?, weights(&rest)?, "the same bits");
    let mut other = new(2)?;
    let error = other.resume(&checkpoint).expect_err("another run").to_string();
    assert!(error.contains("settings"), "{error}");
    all_steps(&mut other)?;
    assert_ne!(weights(&whole)?, weights(&other)?);
    // The tables of the embedding are in no checkpoint, and have to be the same.
    let mut stranger = encoder();
    stranger.encoder.word_embeddings = stranger.encoder.word_embeddings.clone() + 1e-3;
    let mut stranger = EncoderTrainer::new(
        stranger,
        labelled(&texts),
        EncoderTrainConfig { seed: 1, ..short(LabelLoss::Prototypes) },
    )?;
    assert!(stranger.resume(&checkpoint).is_err());
    Ok(())
}

#[test]
fn a_saved_encoder_is_the_trained_one() -> Result<()> {
    let directory = tempfile::tempdir().expect("a folder");
    let target = directory.path().join("tuned");
    let half = LoadOptions { float: Some(FloatType::F16) };
    let half = TextEncoder::load_with(&folder(), half, &Device::flex())?;
    let mut trainer = EncoderTrainer::new(half, labelled(&golden().labelled), short(LabelLoss::Prototypes))?;
    all_steps(&mut trainer)?;
    let tuned = trainer.encoder();
    tuned.save(&folder(), &target)?;
    let loaded = TextEncoder::load(&target, &Device::flex())?;
    let texts = ["the court read the contract", "Dose, revenue & report"];
    assert_eq!(loaded.embed(&texts)?, tuned.embed(&texts)?);
    assert_ne!(loaded.embed(&texts)?, encoder().embed(&texts)?);
    assert_eq!([loaded.max_length, loaded.dimension()], [tuned.max_length, tuned.dimension()]);
    let error = loaded.save(&target, &target).expect_err("its own directory").to_string();
    assert!(error.contains("loaded from"), "{error}");
    let error = loaded.save(&target, &target.join("0_within")).expect_err("within its own").to_string();
    assert!(error.contains("within"), "{error}");
    let other = folder().with_file_name("cross-encoder");
    let error = loaded.save(&other, &target).expect_err("another encoder").to_string();
    assert!(error.contains("cross-encoder"), "{error}");
    Ok(())
}

#[test]
fn what_cannot_be_learned_is_refused() {
    let text = |text: &str, label: &str| (text.to_owned(), label.to_owned());
    let alike = [text("a", "x"), text("b", "x")];
    let apart = [text("a", "x"), text("b", "y")];
    let config = EncoderTrainConfig::default;
    let contrastive = EncoderTrainConfig { label_loss: LabelLoss::SupervisedContrastive, ..config() };
    for (data, config, words) in [
        (labelled(&alike), config(), "1 labels"),
        (labelled(&[]), config(), "0 labels"),
        (labelled(&[text("a", "x"), text(" ", "y")]), config(), "text 1 is empty"),
        (labelled(&apart), contrastive, "no label has two texts"),
        (pairs(&alike[..1]), config(), "1 pairs"),
        (pairs(&[text("a", "x"), text("b", "")]), config(), "empty"),
        (labelled(&apart), EncoderTrainConfig { batch_size: 1, ..config() }, "batch_size"),
        (labelled(&apart), EncoderTrainConfig { epochs: 0, ..config() }, "epochs"),
        (labelled(&apart), EncoderTrainConfig { scale: f32::NAN, ..config() }, "scale"),
        (labelled(&apart), EncoderTrainConfig { warmup: 1.0, ..config() }, "warmup"),
        (labelled(&apart), EncoderTrainConfig { learning_rate: -1.0, ..config() }, "learning_rate"),
    ] {
        let error = EncoderTrainer::new(encoder(), data, config).map(drop).expect_err(words);
        assert!(matches!(error, Error::Config { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}
