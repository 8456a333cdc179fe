//! Parity with PEFT on PyTorch, recorded: an adapter's logits, five AdamW steps, merging; and our own files.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData, Tolerance};
use safetensors::SafeTensors;
use slm_core::text::TrainingText;
use slm_core::{CausalLm, KvCache};
use slm_lora::{LoraAdapter, LoraConfig, Result, Schedule, Targets, TrainConfig, Trainer};

const GOLDENS: [(&str, &str); 3] = [("llama", "lora"), ("llama", "rslora"), ("qwen3", "lora")];

fn base(family: &str) -> CausalLm {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens").join(family);
    CausalLm::load(&path, &device()).expect("the golden is in the repository")
}

fn golden(family: &str, kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(format!("{family}-{kind}"))
}

fn device() -> Device {
    Device::flex()
}

struct Reference(Vec<u8>);

impl Reference {
    fn open(family: &str, kind: &str) -> Self {
        Self(std::fs::read(golden(family, kind).join("reference.safetensors")).expect("golden"))
    }

    fn floats(&self, name: &str) -> TensorData {
        let tensors = SafeTensors::deserialize(&self.0).expect("valid");
        let view = tensors.tensor(name).expect("recorded");
        let values: Vec<f32> =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        TensorData::new(values, view.shape().to_vec())
    }

    fn rows(&self) -> Vec<Vec<u32>> {
        let tensors = SafeTensors::deserialize(&self.0).expect("valid");
        let view = tensors.tensor("input_ids").expect("recorded");
        let ids: Vec<u32> = view
            .data()
            .chunks_exact(8)
            .map(|b| i64::from_le_bytes(b.try_into().expect("8")) as u32)
            .collect();
        ids.chunks_exact(view.shape()[1]).map(<[u32]>::to_vec).collect()
    }
}

fn logits(model: &CausalLm, rows: &[Vec<u32>]) -> Tensor<3> {
    let flat: Vec<i32> = rows.iter().flatten().map(|id| *id as i32).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(flat, [rows.len(), rows[0].len()]), &device());
    model.forward(ids, &mut KvCache::new()).expect("fits")
}

fn assert_close(got: Tensor<3>, want: &TensorData) {
    got.into_data().assert_approx_eq(want, Tolerance::<f32>::absolute(1e-4));
}

/// After training: AdamW divides a gradient by its own size, so that the rounding of small ones is enlarged (2.2e-3 was seen, of logits up to 14).
fn assert_trained(got: Tensor<3>, want: &TensorData) {
    got.into_data().assert_approx_eq(want, Tolerance::<f32>::absolute(4e-3));
}

#[test]
fn an_adapter_of_peft_gives_the_same_logits() -> Result<()> {
    for (family, kind) in GOLDENS {
        let (mut model, reference) = (base(family), Reference::open(family, kind));
        let adapter = LoraAdapter::load(&golden(family, kind).join("start"), &model.config, &device())?;
        adapter.attach(&mut model)?;
        assert_close(logits(&model, &reference.rows()), &reference.floats("logits_start"));
    }
    Ok(())
}

#[test]
fn five_steps_of_adamw_follow_peft() -> Result<()> {
    for (family, kind) in GOLDENS {
        let (mut model, reference) = (base(family), Reference::open(family, kind));
        let adapter = LoraAdapter::load(&golden(family, kind).join("start"), &model.config, &device())?;
        adapter.attach(&mut model)?;
        let text = |ids: Vec<u32>| TrainingText { learned: vec![true; ids.len()], ids };
        let config = TrainConfig {
            steps: 5,
            batch_size: 1,
            gradient_accumulation: 2,
            learning_rate: 1e-2,
            warmup_steps: 0,
            schedule: Schedule::Constant,
            weight_decay: 0.01,
            max_gradient_norm: 0.0,
            max_length: 64,
            ..TrainConfig::default()
        };
        let mut trainer = Trainer::new(model, reference.rows().into_iter().map(text).collect(), config)?;
        let logs = trainer.run(&mut |_, _| std::ops::ControlFlow::Continue(()))?;
        let losses = reference.floats("losses").try_to_vec::<f32>().expect("f32");
        for (log, want) in logs.iter().zip(&losses) {
            assert!((log.loss - want).abs() < 1e-4, "{family} {kind}: {} instead of {want}", log.loss);
        }
        let mut model = trainer.into_model();
        assert_trained(logits(&model, &reference.rows()), &reference.floats("logits_after5"));

        let adapter = LoraAdapter::detach(&mut model, &adapter.config);
        let plain = logits(&model, &reference.rows());
        assert_close(plain.clone(), &logits(&base(family), &reference.rows()).into_data());
        adapter.merge(&mut model)?;
        assert_trained(logits(&model, &reference.rows()), &reference.floats("logits_merged"));
        adapter.unmerge(&mut model)?;
        assert_close(logits(&model, &reference.rows()), &plain.into_data());
    }
    Ok(())
}

/// An adapter whose `B` is not zero, on some layers only.
fn some_adapter(model: &CausalLm) -> LoraAdapter {
    let targets = Targets::names(&["q_proj", "v_proj", "up_proj", "down_proj"]);
    let config = LoraConfig { rank: 3, alpha: 7.0, target_modules: targets, ..LoraConfig::default() };
    let mut adapter = LoraAdapter::init(model, &config).expect("valid");
    for layer in adapter.layers.values_mut() {
        let [out, rank] = layer.b.dims();
        let wave: Vec<f32> = (0..out * rank).map(|i| (i as f32 * 0.7).sin() * 0.1).collect();
        layer.b = Tensor::from_data(TensorData::new(wave, [out, rank]), &device());
    }
    adapter
}

/// For Phi-3 this goes through the fused `qkv_proj` and `gate_up_proj` that PEFT would adapt.
#[test]
fn saved_adapters_come_back() -> Result<()> {
    for family in ["llama", "qwen3", "phi3"] {
        let mut model = base(family);
        let adapter = some_adapter(&model);
        let rows = vec![vec![5, 9, 200, 31, 7], vec![1, 2, 3, 4, 5]];
        let before = logits(&model, &rows);
        let folder = tempfile::tempdir().expect("temporary folder");
        adapter.save(folder.path(), &model.config, "base")?;
        adapter.attach(&mut model)?;
        let want = logits(&model, &rows).into_data();
        let moved = (logits(&model, &rows) - before).abs().max().into_scalar::<f32>();
        assert!(moved > 1e-2, "{family}: the adapter changes nothing");
        let mut again = base(family);
        LoraAdapter::load(folder.path(), &again.config, &device())?.attach(&mut again)?;
        assert_close(logits(&again, &rows), &want);
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_named() -> Result<()> {
    let llama = base("llama");
    let unknown =
        LoraConfig { target_modules: Targets::names(&["query_key_value"]), ..LoraConfig::default() };
    let error = LoraAdapter::init(&llama, &unknown).expect_err("no such layer").to_string();
    assert!(error.contains("query_key_value"), "{error}");

    let folder = tempfile::tempdir().expect("temporary folder");
    some_adapter(&llama).save(folder.path(), &llama.config, "base")?;
    let error = LoraAdapter::load(folder.path(), &base("qwen3").config, &device()).expect_err("other shapes");
    assert!(
        error.to_string().contains("q_proj: expected A [r, 64] and B [128, r], found [3, 64] and [64, 3]"),
        "{error}"
    );

    let path = folder.path().join("adapter_config.json");
    let text = std::fs::read_to_string(&path).expect("read");
    let unknown = "\"init_lora_weights\": \"corda\"";
    std::fs::write(&path, text.replace("\"init_lora_weights\": true", unknown)).expect("write");
    let error = LoraAdapter::load(folder.path(), &llama.config, &device()).expect_err("CorDA").to_string();
    assert!(error.contains("corda"), "{error}");
    Ok(())
}
