//! Learning under the constraint of what is forgotten.

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use slm_core::CausalLm;
use slm_core::text::TrainingText;
use slm_lora::{
    LoraAdapter, LoraConfig, Pull, Result, Retained, Retainer, RetentionConfig, RetentionData, TrainConfig,
    Trainable,
};

fn base(family: &str) -> CausalLm {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens").join(family);
    CausalLm::load(&path, &Device::flex()).expect("the golden is in the repository")
}

fn texts(count: u32, kind: u32) -> Vec<TrainingText> {
    let text = |i: u32| {
        let length = 8 + i * 5 % 17;
        let ids: Vec<u32> = (0..length).map(|j| 1 + (i * 31 + j * (7 + kind) + 90 * kind) % 500).collect();
        TrainingText { learned: (0..length).map(|j| j >= 2).collect(), ids }
    };
    (0..count).map(text).collect()
}

fn data() -> RetentionData {
    RetentionData {
        domain: texts(12, 0),
        domain_validation: texts(5, 0),
        general: texts(9, 3),
        general_validation: texts(6, 4),
    }
}

fn retainer(train: TrainConfig, config: RetentionConfig) -> Result<Retainer> {
    let mut model = base("qwen2");
    if train.trainable == Trainable::Adapters {
        LoraAdapter::init(&model, &LoraConfig::default())?.attach(&mut model)?;
    }
    Retainer::new(model, data(), train, config)
}

fn steps(count: usize) -> TrainConfig {
    TrainConfig { steps: count, batch_size: 4, max_length: 64, warmup_steps: 0, ..TrainConfig::default() }
}

fn run(retainer: &mut Retainer) -> Result<Retained> {
    retainer.run(&mut |_, _| ControlFlow::Continue(()))
}

/// Without steering or scales, whatever is forgotten.
fn fixed(kl_weight: f32, pull: Pull) -> RetentionConfig {
    RetentionConfig {
        max_general_loss_increase: 100.0,
        kl_weight,
        steer: false,
        replay_ratio: 0.0,
        pull,
        every: 100,
        scales: Vec::new(),
        ..RetentionConfig::default()
    }
}

fn away(model: &CausalLm, from: &CausalLm) -> Result<f32> {
    let (mut model, mut from) = (model.clone(), from.clone());
    let mut sums = Vec::new();
    let mut start = Vec::new();
    from.for_each_parameter(&mut |_, p| start.push(numbers(&p)));
    let mut all = start.into_iter();
    model.for_each_parameter(&mut |_, p| {
        sums.extend(all.next().map(|start| (numbers(&p) - start).powi_scalar(2).sum()));
    });
    let sum: Vec<f32> = Tensor::cat(sums, 0).sum().try_into_vec_as().expect("a number of a host tensor");
    Ok(sum[0])
}

fn numbers(parameter: &slm_core::model::Parameter<'_>) -> Tensor<1> {
    use slm_core::model::Parameter;
    match parameter {
        Parameter::Vector(t) => (*t).clone(),
        Parameter::Matrix(t) => (*t).clone().reshape([t.dims().iter().product::<usize>()]),
    }
}

/// A fresh adapter is the base; one that learned is held the closer the more its distance costs.
#[test]
fn the_divergence_is_taken_and_held_down() -> Result<()> {
    for trainable in [Trainable::Adapters, Trainable::All] {
        let rate = if trainable == Trainable::All { 1e-3 } else { 5e-3 };
        let train = TrainConfig { trainable, learning_rate: rate, ..steps(12) };
        let mut last = Vec::new();
        for weight in [1e-3, 30.0] {
            let logs = run(&mut retainer(train.clone(), fixed(weight, Pull::None))?)?.logs;
            let all: Vec<f32> = logs.iter().filter_map(|log| log.divergence).collect();
            assert_eq!(all.len(), 12);
            assert!(all[0].abs() < 1e-5, "{all:?}");
            last.push(all[11]);
        }
        assert!(last[0] > 1e-3 && last[1] < 0.5 * last[0], "{trainable:?}: {last:?}");
    }
    Ok(())
}

/// The gradient of what a step says it lowers, in parts of the vocabulary as in one.
#[test]
fn parts_of_the_logits_change_no_step() -> Result<()> {
    let mut found = Vec::new();
    for max_logits in [1 << 20, 3000] {
        let train = TrainConfig { max_logits, ..steps(6) };
        let run = run(&mut retainer(train, fixed(2.0, Pull::None))?)?;
        found.push(run.logs.iter().filter_map(|log| log.divergence).collect::<Vec<f32>>());
    }
    for (a, b) in found[0].iter().zip(&found[1]) {
        assert!((a - b).abs() < 1e-5 * b.abs().max(1.0), "{found:?}");
    }
    Ok(())
}

#[test]
fn pulled_weights_stay_nearer_to_where_they_began() -> Result<()> {
    let train = TrainConfig { trainable: Trainable::All, learning_rate: 1e-3, ..steps(12) };
    let from = base("qwen2");
    let distance = |pull| -> Result<f32> {
        let run = run(&mut retainer(train.clone(), fixed(0.0, pull))?)?;
        assert!(run.chosen.domain_loss < run.base.domain_loss);
        away(&run.model, &from)
    };
    let free = distance(Pull::None)?;
    let held = distance(Pull::L2Sp { weight: 30.0 })?;
    let weighed = distance(Pull::Ewc { weight: 30.0, batches: 2 })?;
    assert!(held < 0.8 * free && weighed < 0.95 * free, "{free} {held} {weighed}");
    assert!(weighed > held, "what matters little is held less: {weighed} {held}");
    Ok(())
}

/// Nothing that forgot too much is chosen, and the weight of the divergence follows.
#[test]
fn the_constraint_is_kept() -> Result<()> {
    let train = TrainConfig { learning_rate: 2e-2, ..steps(20) };
    let config = RetentionConfig {
        max_general_loss_increase: 0.02,
        every: 5,
        scales: vec![0.1, 0.5],
        ..RetentionConfig::default()
    };
    let run = run(&mut retainer(train.clone(), config.clone())?)?;
    assert_eq!(run.points.len(), 1 + 4 + 2);
    assert!(run.forgetting() <= 0.02, "{:?}", run.points);
    let allowed = |p: &&slm_lora::Point| p.general_loss - run.base.general_loss <= 0.02;
    let best = run.points.iter().filter(allowed).map(|p| p.domain_loss).fold(f32::INFINITY, f32::min);
    assert_eq!(run.chosen.domain_loss, best);
    for pair in run.points[1..5].windows(2) {
        let forgotten = pair[0].general_loss - run.base.general_loss;
        assert_eq!(pair[1].kl_weight < pair[0].kl_weight, forgotten < 0.01, "{pair:?}");
    }
    // Where nothing is better, the base is what is left.
    let strict = RetentionConfig { max_general_loss_increase: 0.0, scales: vec![], ..config };
    let mut retainer = retainer(TrainConfig { learning_rate: 0.0, ..train }, strict)?;
    let run = retainer.run(&mut |_, _| ControlFlow::Continue(()))?;
    assert_eq!(run.chosen, run.base, "{:?}", run.points);
    let ids = || Tensor::from_data([[1, 2, 3]], &Device::flex());
    let logits = |m: &CausalLm| m.hidden(ids(), None).map(|hidden| m.logits(hidden).into_data());
    assert_eq!(logits(&run.model)?, logits(&base("qwen2"))?);
    Ok(())
}

#[test]
fn senseless_settings_are_refused() {
    let refused = |config: RetentionConfig| retainer(steps(2), config).is_err();
    assert!(refused(RetentionConfig { replay_ratio: 1.0, ..RetentionConfig::default() }));
    assert!(refused(RetentionConfig { kl_weight: -1.0, ..RetentionConfig::default() }));
    assert!(refused(RetentionConfig { every: 0, ..RetentionConfig::default() }));
    assert!(refused(RetentionConfig { scales: vec![1.5], ..RetentionConfig::default() }));
    let none = RetentionData { general: Vec::new(), ..data() };
    let mut model = base("qwen2");
    LoraAdapter::init(&model, &LoraConfig::default()).and_then(|a| a.attach(&mut model)).expect("fits");
    assert!(Retainer::new(model, none, steps(2), RetentionConfig::default()).is_err());
}
