//! Preferences against TRL's trainers, recorded: losses, rewards and gradients of one batch; and what learning them does.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use safetensors::SafeTensors;
use slm_core::nn::Weight;
use slm_core::text::TrainingText;
use slm_core::{CausalLm, LocalModel, Tokenizer};
use slm_kernels::packed::{Format, PackedTensor};
use slm_lora::{
    Aligner, Batching, Checkpointing, DpoLoss, Grpo, GrpoConfig, LoraAdapter, LoraConfig, Normalization,
    Objective, Preference, Preferences, Rated, Result, Rollout, Schedule, TrainConfig,
};

const PROMPTS: [&[u32]; 3] = [&[5, 9, 200], &[31, 7], &[11, 12, 13, 14]];
const CHOSEN: [&[u32]; 3] = [&[411, 8, 77], &[300, 301, 302, 303], &[9]];
const REJECTED: [&[u32]; 3] = [&[17, 400], &[5, 6, 7], &[222, 223, 224, 225]];

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

fn model() -> Result<CausalLm> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens/qwen2");
    let mut model = CausalLm::load(&path, &Device::flex())?;
    LoraAdapter::load(&here("excluded"), &model.config, &Device::flex())?.attach(&mut model)?;
    Ok(model)
}

fn text(prompt: &[u32], answer: &[u32]) -> TrainingText {
    let ids = [prompt, answer].concat();
    TrainingText { learned: (0..ids.len()).map(|i| i >= prompt.len()).collect(), ids }
}

fn pairs() -> Vec<Preference> {
    let pair = |i: usize| Preference {
        chosen: text(PROMPTS[i], CHOSEN[i]),
        rejected: text(PROMPTS[i], REJECTED[i]),
    };
    (0..3).map(pair).collect()
}

fn config() -> TrainConfig {
    TrainConfig {
        steps: 20,
        batch_size: 6,
        max_length: 16,
        warmup_steps: 0,
        learning_rate: 5e-3,
        ..TrainConfig::default()
    }
}

fn recorded() -> BTreeMap<String, Vec<f32>> {
    let bytes = std::fs::read(here("align.safetensors")).expect("golden");
    let tensors = SafeTensors::deserialize(&bytes).expect("valid");
    let floats = |data: &[u8]| data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    tensors.iter().map(|(name, view)| (name.to_owned(), floats(view.data()))).collect()
}

fn objectives() -> [(&'static str, Objective); 8] {
    let dpo = |beta, loss| Objective::Dpo { beta, loss };
    [
        ("sigmoid", dpo(0.1, DpoLoss::Sigmoid { label_smoothing: 0.0 })),
        ("ipo", dpo(0.2, DpoLoss::Ipo)),
        ("hinge", dpo(0.3, DpoLoss::Hinge)),
        ("robust", dpo(0.5, DpoLoss::Robust { label_smoothing: 0.1 })),
        ("smoothed", dpo(0.5, DpoLoss::Sigmoid { label_smoothing: 0.1 })),
        ("orpo", Objective::Orpo { beta: 0.4 }),
        ("simpo", Objective::Simpo { beta: 2.0, gamma: 0.5, label_smoothing: 0.05 }),
        ("kto", Objective::Kto { beta: 0.3, desirable: 1.0, undesirable: 1.5 }),
    ]
}

#[test]
fn losses_rewards_and_gradients_are_those_of_trl() -> Result<()> {
    let want = recorded();
    let ways = [
        config(),
        TrainConfig {
            batching: Batching::Packed,
            checkpointing: Checkpointing::Blocks,
            max_logits: 1024,
            ..config()
        },
    ];
    for ((name, objective), config) in objectives().into_iter().flat_map(|o| ways.clone().map(|w| (o, w))) {
        let mut run = Aligner::new(model()?, Preferences::Pairs(pairs()), objective, config)?;
        let mut compared = 0;
        for (weight, gradient) in run.gradients()? {
            let Some(want) = want.get(&format!("{name}/{weight}")) else { continue };
            let got: Vec<f32> = gradient.try_into_vec_as().expect("f32");
            assert_eq!(got.len(), want.len());
            for (a, b) in got.iter().zip(want) {
                assert!((a - b).abs() < 1e-4, "{name}, {weight}: {a} instead of {b}");
            }
            assert!(want.iter().any(|v| v.abs() > 1e-3), "{name}: no gradient");
            compared += 1;
        }
        assert_eq!(compared, 3);
        let log = run.step()?;
        let got = [
            f64::from(log.step.loss),
            log.chosen_reward,
            log.rejected_reward,
            log.chosen_reward - log.rejected_reward,
        ];
        for (a, b) in got.iter().zip(&want[&format!("{name}/figures")]) {
            assert!(
                (a - f64::from(*b)).abs() < 1e-4,
                "{name}: {got:?} instead of {:?}",
                want[&format!("{name}/figures")]
            );
        }
        if name == "kto" {
            assert!((log.divergence - f64::from(want["kto/kl"][0])).abs() < 1e-4);
        }
    }
    Ok(())
}

#[test]
fn accumulation_gives_the_gradient_of_the_whole_batch() -> Result<()> {
    // KTO's divergence is that of a batch.
    for (name, objective) in objectives().into_iter().filter(|(name, _)| *name != "kto") {
        let values = |batch_size: usize| -> Result<Vec<f32>> {
            let config = TrainConfig { batch_size, gradient_accumulation: 6 / batch_size, ..config() };
            let mut run = Aligner::new(model()?, Preferences::Pairs(pairs()), objective, config)?;
            let all = run.gradients()?;
            Ok(all.into_iter().flat_map(|(_, g)| g.try_into_vec_as::<f32>().expect("f32")).collect())
        };
        for (a, b) in values(6)?.iter().zip(values(1)?) {
            assert!((a - b).abs() < 1e-5, "{name}: {a} and {b}");
        }
    }
    Ok(())
}

#[test]
fn preferences_are_learned_and_runs_resume_with_the_same_bits() -> Result<()> {
    for (name, objective) in objectives() {
        let new = || {
            Aligner::new(
                model()?,
                Preferences::Pairs(pairs()),
                objective,
                TrainConfig { batch_size: 2, ..config() },
            )
        };
        let mut whole = new()?;
        let logs = whole.run(&mut |_, _| ControlFlow::Continue(()))?;
        assert_eq!(logs.len(), 20);
        assert_eq!(whole.accuracy(&pairs())?, 1.0, "{name}");

        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("checkpoint.safetensors");
        let mut first = new()?;
        first.run(&mut |_, log| {
            if log.step.step == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        first.save_checkpoint(&path)?;
        let mut second = new()?;
        second.resume(&path)?;
        let mut other = Aligner::new(
            model()?,
            Preferences::Pairs(pairs()),
            Objective::Orpo { beta: 0.7 },
            TrainConfig { batch_size: 2, ..config() },
        )?;
        assert!(other.resume(&path).is_err(), "another objective");
        let rest = second.run(&mut |_, _| ControlFlow::Continue(()))?;
        let losses = |logs: &[slm_lora::AlignLog]| logs.iter().map(|l| l.step.loss).collect::<Vec<_>>();
        assert_eq!(losses(&rest), losses(&logs[7..]), "{name}");
    }
    Ok(())
}

/// Before the first step the model is its own reference, also where its weights are packed.
#[test]
fn a_fresh_adapter_has_no_reward() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens/qwen2");
    let mut model = CausalLm::load(&path, &Device::flex())?;
    model.for_each_linear(&mut |_, linear| {
        let [rows, cols] = linear.weight.dims();
        let dense = linear.weight.to_dense(&Device::flex());
        let values: Vec<f32> = dense.try_into_vec_as().expect("f32");
        let packed =
            PackedTensor::quantize(&values, rows, cols, Format::Nf4 { group_size: 32 }).expect("fits");
        linear.weight = Weight::Packed(packed);
    });
    LoraAdapter::init(&model, &LoraConfig::default())?.attach(&mut model)?;
    let [(_, dpo), ..] = objectives();
    let mut run = Aligner::new(model, Preferences::Pairs(pairs()), dpo, config())?;
    let log = run.step()?;
    assert!(log.chosen_reward.abs() < 1e-6 && log.rejected_reward.abs() < 1e-6, "{log:?}");
    assert!((f64::from(log.step.loss) - std::f64::consts::LN_2).abs() < 1e-6);
    Ok(())
}

#[test]
fn data_that_does_not_suit_is_refused() -> Result<()> {
    let rated = || Preferences::Rated(vec![Rated { text: text(PROMPTS[0], CHOSEN[0]), good: true }]);
    let [(_, dpo), .., (_, kto)] = objectives();
    assert!(Aligner::new(model()?, rated(), dpo, config()).expect_err("pairs").to_string().contains("kto"));
    assert!(Aligner::new(model()?, rated(), kto, config()).is_ok());
    let long = TrainConfig { max_length: 2, ..config() };
    assert!(Aligner::new(model()?, Preferences::Pairs(pairs()), dpo, long).is_err());
    assert!(Aligner::new(model()?, Preferences::Pairs(pairs()), dpo, config())?.accuracy(&[]).is_err());
    Ok(())
}

#[test]
fn what_does_not_fit_is_counted() -> Result<()> {
    let objective = Objective::Orpo { beta: 0.1 };
    let short = TrainConfig { max_length: 6, ..config() };
    // The first and the second pair have at most 6 tokens each way, the third has more.
    let aligner = Aligner::new(model()?, Preferences::Pairs(pairs()), objective, short.clone())?;
    assert_eq!(aligner.left_out(), 1);
    let kto = Objective::Kto { beta: 0.1, desirable: 1.0, undesirable: 1.0 };
    // Of the third, the better answer fits.
    let aligner = Aligner::new(model()?, Preferences::Pairs(pairs()), kto, short)?;
    assert_eq!(aligner.left_out(), 1);
    assert_eq!(Aligner::new(model()?, Preferences::Pairs(pairs()), kto, config())?.left_out(), 0);
    Ok(())
}

const ADVANTAGES: [f64; 6] = [1.2, -0.7, 0.3, -1.0, 0.5, -0.2];

fn speaker() -> Result<LocalModel> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens/qwen2");
    let tokenizer = Tokenizer::load_directory(&path)?;
    Ok(LocalModel { eos: Vec::new(), ..LocalModel::new("tiny", model()?, tokenizer) })
}

/// With ratios that are clipped on either side, and a divergence.
#[test]
fn rewarded_answers_are_learned_as_by_trl() -> Result<()> {
    let want = recorded();
    for (name, normalization, beta) in
        [("grpo", Normalization::Answers, 0.3), ("bnpo", Normalization::Tokens, 0.0)]
    {
        let mut old = want[&format!("{name}/old")].iter().copied();
        let texts = (0..6).map(|i| text(PROMPTS[i % 3], if i < 3 { CHOSEN[i] } else { REJECTED[i - 3] }));
        let rollouts: Vec<Rollout> = texts
            .zip(ADVANTAGES)
            .map(|(text, advantage)| {
                let count = text.learned.iter().filter(|l| **l).count();
                Rollout { text, advantage, old: old.by_ref().take(count).collect() }
            })
            .collect();
        // Three at a time: the parts of a step add up.
        let grpo = GrpoConfig { group: 3, clip: [0.2, 0.3], beta, normalization, ..GrpoConfig::default() };
        let prompts = PROMPTS.map(<[u32]>::to_vec).to_vec();
        let train = TrainConfig { max_length: 160, ..config() };
        let mut run = Grpo::new(speaker()?, prompts, grpo, train)?;
        for (weight, gradient) in run.gradients(&rollouts)? {
            let Some(want) = want.get(&format!("{name}/{weight}")) else { continue };
            let got: Vec<f32> = gradient.try_into_vec_as().expect("f32");
            assert!(want.iter().any(|v| v.abs() > 1e-3), "{name}: no gradient");
            for (a, b) in got.iter().zip(want) {
                assert!((a - b).abs() < 1e-4, "{name}, {weight}: {a} instead of {b}");
            }
        }
        let log = run.learn(&rollouts)?;
        let loss = want[&format!("{name}/figures")][0];
        assert!((log.step.loss - loss).abs() < 1e-4, "{name}: {} instead of {loss}", log.step.loss);
        assert!(log.clipped > 0.1 && log.clipped < 0.9);
        assert_eq!(log.divergence > 0.0, beta > 0.0);
    }
    Ok(())
}

/// An answer is worth as much as it has of one token: it becomes likelier.
#[test]
fn what_is_rewarded_is_said_more_often() -> Result<()> {
    let grpo = GrpoConfig { group: 16, updates: 2, max_new_tokens: 6, ..GrpoConfig::default() };
    let prompts = PROMPTS.map(<[u32]>::to_vec).to_vec();
    let train = TrainConfig {
        steps: 60,
        batch_size: 3,
        max_length: 32,
        learning_rate: 5e-3,
        schedule: Schedule::Constant,
        ..config()
    };
    let mut run = Grpo::new(speaker()?, prompts.clone(), grpo.clone(), train.clone())?;
    let mut vowels = |_: usize, text: &str| text.chars().filter(|c| "aeiou".contains(*c)).count() as f64;
    let logs = (0..60).map(|_| run.step(&mut vowels)).collect::<Result<Vec<_>>>()?;
    let mean = |part: &[slm_lora::GrpoLog]| part.iter().map(|l| l.reward).sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&logs[..6]), mean(&logs[54..]));
    let rewards: Vec<f64> = logs.iter().map(|log| log.reward).collect();
    assert!(last > 1.5 * first, "{first} to {last}: {rewards:?}");
    assert_eq!(logs[1].reward, logs[0].reward, "two steps on the same answers");
    let mut again = Grpo::new(speaker()?, prompts, grpo, train)?;
    assert_eq!(again.step(&mut vowels)?.step.loss, logs[0].step.loss);
    Ok(())
}
