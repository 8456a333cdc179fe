//! Every kind of adapter against PEFT, recorded: logits of its files, losses of five optimizer steps, merging, and our own
//! files.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData, Tolerance};
use safetensors::SafeTensors;
use slm_core::nn::Weight;
use slm_core::text::TrainingText;
use slm_core::{CausalLm, KvCache};
use slm_kernels::packed::{Format, PackedTensor};
use slm_lora::{
    AdapterSet, Checkpointing, Init, LoraAdapter, LoraConfig, Result, Schedule, Targets, TrainConfig, Trainer,
};

/// Folder and model.
const KINDS: [(&str, &str); 12] = [
    ("dora", "qwen2"),
    ("dora-phi3", "phi3"),
    ("pissa", "dynamic"),
    ("olora", "dynamic"),
    ("patterns", "qwen2"),
    ("excluded", "qwen2"),
    ("embedding", "qwen2"),
    ("embedding-tied", "dynamic"),
    ("embedding-dora", "qwen2"),
    ("saved", "qwen2"),
    ("saved-tied", "dynamic"),
    ("loraplus", "dynamic"),
];
const ROWS: [[u32; 6]; 2] = [[5, 9, 200, 31, 7, 411], [1, 2, 3, 4, 5, 6]];

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

fn base(family: &str) -> CausalLm {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens").join(family);
    CausalLm::load(&path, &Device::flex()).expect("the golden is in the repository")
}

fn recorded(kind: &str, name: &str) -> TensorData {
    let bytes = std::fs::read(here(kind).join("reference.safetensors")).expect("golden");
    let tensors = SafeTensors::deserialize(&bytes).expect("valid");
    let view = tensors.tensor(name).expect("recorded");
    let (quads, _) = view.data().as_chunks::<4>();
    let values: Vec<f32> = quads.iter().map(|b| f32::from_le_bytes(*b)).collect();
    TensorData::new(values, view.shape().to_vec())
}

fn logits(model: &CausalLm) -> Tensor<3> {
    let flat: Vec<i32> = ROWS.iter().flatten().map(|id| *id as i32).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(flat, [2, 6]), &model.device());
    model.forward(ids, &mut KvCache::new()).expect("fits")
}

fn assert_close(got: &CausalLm, want: &TensorData, tolerance: f32, what: &str) {
    let want: Tensor<3> = Tensor::from_data(want.clone(), &Device::flex());
    let far = (logits(got) - want).abs().max().into_scalar::<f32>();
    assert!(far <= tolerance, "{what}: {far}");
}

fn texts() -> Vec<TrainingText> {
    ROWS.iter().map(|row| TrainingText { ids: row.to_vec(), learned: vec![true; 6] }).collect()
}

#[test]
fn adapters_of_peft_give_the_same_logits_attached_merged_and_saved_again() -> Result<()> {
    for (kind, family) in KINDS {
        let (device, want) = (Device::flex(), recorded(kind, "logits"));
        let model = base(family);
        let adapter = LoraAdapter::load(&here(kind), &model.config, &device)?;
        let mut attached = model.clone();
        adapter.attach(&mut attached)?;
        assert_close(&attached, &want, 1e-4, kind);
        let moved = (logits(&attached) - logits(&model)).abs().max().into_scalar::<f32>();
        assert!(moved > 1e-2, "{kind} changes nothing");

        let mut merged = model.clone();
        adapter.merge(&mut merged)?;
        assert_close(&merged, &want, 1e-4, &format!("{kind}, merged"));

        let folder = tempfile::tempdir().expect("temporary folder");
        let detached = LoraAdapter::detach(&mut attached, &adapter.config);
        detached.save(folder.path(), &model.config, "base")?;
        let mut again = model.clone();
        LoraAdapter::load(folder.path(), &model.config, &device)?.attach(&mut again)?;
        assert_close(&again, &want, 1e-4, &format!("{kind}, saved"));
    }
    Ok(())
}

#[test]
fn five_steps_follow_peft() -> Result<()> {
    // The parts of a fused projection, which share one `A` in PEFT, learn one each here.
    for (kind, family) in KINDS.into_iter().filter(|(_, family)| *family != "phi3") {
        let mut model = base(family);
        let adapter = LoraAdapter::load(&here(kind), &model.config, &Device::flex())?;
        adapter.attach(&mut model)?;
        let plus = kind == "loraplus";
        let config = TrainConfig {
            steps: 5,
            batch_size: 2,
            learning_rate: if plus { 2e-3 } else { 5e-3 },
            lora_plus_ratio: if plus { 8.0 } else { 1.0 },
            modules_to_save: adapter.config.modules_to_save.clone(),
            warmup_steps: 0,
            schedule: Schedule::Constant,
            max_gradient_norm: 0.0,
            max_length: 16,
            ..TrainConfig::default()
        };
        let mut trainer = Trainer::new(model, texts(), config)?;
        let logs = trainer.run(&mut |_, _| std::ops::ControlFlow::Continue(()))?;
        let got: Vec<f32> = logs.iter().map(|l| l.loss).collect();
        let want = recorded(kind, "losses").try_to_vec::<f32>().expect("f32");
        for (a, b) in got.iter().zip(&want) {
            assert!((a - b).abs() < 1e-4, "{kind}: {got:?} instead of {want:?}");
        }
        assert!(want[4] < want[0] - 0.01, "{kind} learns nothing: {want:?}");
    }
    Ok(())
}

/// What a fresh adapter of any kind does: nothing, before the first step.
#[test]
fn fresh_adapters_change_nothing() -> Result<()> {
    for family in ["dynamic", "phi3"] {
        let model = base(family);
        let want = logits(&model).into_data();
        for (dora, init) in
            [(true, Init::Zero), (false, Init::Pissa), (true, Init::Pissa), (false, Init::Olora)]
        {
            let config = LoraConfig { rank: 3, dora, init, dropout: 0.5, ..LoraConfig::default() };
            let mut own = model.clone();
            LoraAdapter::init(&own, &config)?.attach(&mut own)?;
            assert_close(&own, &want, 1e-4, &format!("{family} {config:?}"));
        }
    }
    let wide = LoraConfig { rank: 1000, init: Init::Pissa, ..LoraConfig::default() };
    assert!(LoraAdapter::init(&base("dynamic"), &wide).is_err());
    Ok(())
}

/// The base stays packed; its adapters are in f32, and equal those on the expanded weights.
#[test]
fn packed_bases_train_and_merge() -> Result<()> {
    let formats =
        [Format::Nf4 { group_size: 32 }, Format::Int4 { group_size: 32 }, Format::Int8 { group_size: 32 }];
    for (format, dora) in formats.into_iter().flat_map(|f| [(f, false), (f, true)]) {
        let (mut packed, mut dense) = (base("dynamic"), base("dynamic"));
        packed.for_each_linear(&mut |_, linear| {
            let [rows, cols] = linear.weight.dims();
            let Weight::Dense(w) = &linear.weight else { return };
            let values: Vec<f32> = w.clone().try_into_vec_as().expect("f32");
            let own = PackedTensor::quantize(&values, rows, cols, format).expect("fits");
            linear.weight = Weight::Packed(own);
        });
        let expanded: Vec<Weight> = packed.linears().map(|(_, l)| l.weight.clone()).collect();
        let mut next = expanded.iter();
        dense.for_each_linear(&mut |_, linear| {
            let device = Device::flex();
            linear.weight = Weight::Dense(next.next().expect("as many").to_dense(&device));
        });
        let config = LoraConfig { rank: 3, dora, ..LoraConfig::default() };
        let adapter = LoraAdapter::init(&packed, &config)?;
        let train = |mut model: CausalLm, checkpointing| -> Result<(Vec<f32>, CausalLm)> {
            adapter.attach(&mut model)?;
            let settings = TrainConfig {
                steps: 6,
                learning_rate: 1e-2,
                max_length: 16,
                checkpointing,
                ..TrainConfig::default()
            };
            let mut trainer = Trainer::new(model, texts(), settings)?;
            let logs = trainer.run(&mut |_, _| std::ops::ControlFlow::Continue(()))?;
            Ok((logs.iter().map(|l| l.loss).collect(), trainer.into_model()))
        };
        let (got, mut trained) = train(packed.clone(), Checkpointing::None)?;
        let (want, _) = train(dense, Checkpointing::None)?;
        let (replayed, _) = train(packed.clone(), Checkpointing::Blocks)?;
        for (a, b) in replayed.iter().zip(&got) {
            assert!((a - b).abs() < 1e-5, "{format} {dora}, replayed: {replayed:?} instead of {got:?}");
        }
        for (a, b) in got.iter().zip(&want) {
            assert!((a - b).abs() < 1e-3, "{format} {dora}: {got:?} instead of {want:?}");
        }
        assert!(got[5] < got[0] - 0.05, "{format}: {got:?}");

        let before = logits(&trained);
        let tuned = LoraAdapter::detach(&mut trained, &config);
        tuned.merge(&mut trained)?;
        assert!(
            trained.linears().all(|(_, l)| matches!(&l.weight, Weight::Packed(p) if p.format() == format))
        );
        let plain = (before.clone() - logits(&packed)).abs().mean().into_scalar::<f32>();
        let merged = (before - logits(&trained)).abs().mean().into_scalar::<f32>();
        assert!(merged < plain, "{format}: merging loses {merged} of {plain}");
    }
    Ok(())
}

#[test]
fn adapters_of_one_base_are_chosen_by_name() -> Result<()> {
    let model = base("qwen2");
    let mut set = AdapterSet::new(model.clone());
    for kind in ["dora", "saved", "embedding"] {
        set.insert(kind, &LoraAdapter::load(&here(kind), &model.config, &Device::flex())?)?;
    }
    for kind in ["embedding", "dora", "saved", "dora"] {
        assert_close(set.model(kind)?, &recorded(kind, "logits"), 1e-4, kind);
    }
    assert_close(set.base(), &logits(&model).into_data(), 0.0, "the base");
    assert!(set.remove("dora"));
    assert!(set.model("dora").expect_err("gone").to_string().contains("saved"));
    Ok(())
}

#[test]
fn dropout_trains_the_same_bits_and_is_off_afterwards() -> Result<()> {
    let config = LoraConfig { rank: 4, dropout: 0.3, dora: true, ..LoraConfig::default() };
    let run = |dropout: f32| -> Result<(Vec<f32>, CausalLm)> {
        let mut model = base("dynamic");
        LoraAdapter::init(&model, &LoraConfig { dropout, ..config.clone() })?.attach(&mut model)?;
        let settings =
            TrainConfig { steps: 4, learning_rate: 1e-2, max_length: 16, ..TrainConfig::default() };
        let mut trainer = Trainer::new(model, texts(), settings)?;
        let logs = trainer.run(&mut |_, _| std::ops::ControlFlow::Continue(()))?;
        Ok((logs.iter().map(|l| l.loss).collect(), trainer.into_model()))
    };
    let ((a, model), (b, _), (without, _)) = (run(0.3)?, run(0.3)?, run(0.0)?);
    assert_eq!(a, b);
    assert_ne!(a[1..], without[1..]);
    assert_eq!(logits(&model).into_data(), logits(&model).into_data());
    let mut copy = model.clone();
    LoraAdapter::detach(&mut copy, &config).merge(&mut copy)?;
    logits(&copy).into_data().assert_approx_eq(&logits(&model).into_data(), Tolerance::<f32>::absolute(1e-4));
    Ok(())
}

#[test]
fn names_that_fit_nothing_are_refused() {
    let model = base("dynamic");
    let refused = |config: LoraConfig| LoraAdapter::init(&model, &config).expect_err("wrong").to_string();
    let targets = |target_modules| LoraConfig { target_modules, ..LoraConfig::default() };
    assert!(refused(targets(Targets::Pattern("q_proj".into()))).contains("q_proj"));
    assert!(refused(targets(Targets::Pattern("(".into()))).contains("target_modules"));
    let saved = LoraConfig { modules_to_save: vec!["classifier".into()], ..LoraConfig::default() };
    assert!(refused(saved).contains("classifier"));
    assert!(refused(LoraConfig { dropout: 1.0, ..LoraConfig::default() }).contains("dropout"));
}
