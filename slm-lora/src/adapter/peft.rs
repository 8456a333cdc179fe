//! PEFT's files: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use slm_core::ModelConfig;
use slm_core::model::{TensorFile, write_atomically};
use slm_core::nn::Adapter;

use super::fused::{Module, modules};
use super::{LoraAdapter, LoraConfig, ends_with};
use crate::{Error, Result};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const PREFIX: &str = "base_model.model.";

impl LoraAdapter {
    /// Writes a directory that PEFT's `PeftModel.from_pretrained` reads. `base` is the path or hub name of the
    /// base model, for the reader's information.
    ///
    /// # Errors
    /// When a tensor cannot be read back or a file cannot be written.
    pub fn save(&self, directory: &Path, model: &ModelConfig, base: &str) -> Result<()> {
        let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        let (mut ranks, mut alphas) = (BTreeMap::new(), BTreeMap::new());
        let mut targets = BTreeSet::new();
        for module in modules(model) {
            let device = model_device(&self.layers);
            let Some(adapter) = device.and_then(|device| module.join(&self.layers, &device)) else {
                continue;
            };
            let rank = adapter.a.dims()[0];
            let alpha = adapter.scale * if self.config.rslora { (rank as f32).sqrt() } else { rank as f32 };
            if rank != self.config.rank {
                ranks.insert(module.path.clone(), rank);
            }
            if alpha != self.config.alpha {
                alphas.insert(module.path.clone(), alpha);
            }
            targets.insert(module.path.rsplit('.').next().unwrap_or_default().to_owned());
            for (part, tensor) in [("A", adapter.a), ("B", adapter.b)] {
                let shape = tensor.dims().to_vec();
                let name = format!("{PREFIX}{}.lora_{part}.weight", module.path);
                tensors.push((name, shape, bytes(tensor)?));
            }
        }
        let path = directory.join(WEIGHTS);
        let invalid =
            |e: safetensors::SafeTensorError| Error::Adapter { path: path.clone(), reason: e.to_string() };
        let views = tensors
            .iter()
            .map(|(n, s, b)| Ok((n.as_str(), TensorView::new(Dtype::F32, s.clone(), b).map_err(invalid)?)))
            .collect::<Result<Vec<_>>>()?;
        let metadata = [("format".to_owned(), "pt".to_owned())].into_iter().collect();
        let encoded = safetensors::serialize(views, Some(metadata)).map_err(invalid)?;
        write_atomically(&path, &encoded)?;
        let config = json!({
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base,
            "r": self.config.rank, "lora_alpha": self.config.alpha, "use_rslora": self.config.rslora,
            "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": false, "inference_mode": true,
            "init_lora_weights": true, "modules_to_save": null, "use_dora": false,
            "target_modules": targets, "rank_pattern": ranks, "alpha_pattern": alphas,
        });
        Ok(write_atomically(&directory.join(CONFIG), format!("{config:#}\n").as_bytes())?)
    }

    /// Reads an adapter written by PEFT or by [`LoraAdapter::save`] for a model of this configuration.
    ///
    /// # Errors
    /// When a file is missing or corrupt, the adapter is of a kind that this version does not know, or its
    /// tensors are not those of the model: the error lists them.
    pub fn load(directory: &Path, model: &ModelConfig, device: &Device) -> Result<Self> {
        let path = directory.join(CONFIG);
        let text = std::fs::read_to_string(&path).map_err(|e| slm_core::Error::io(&path, e))?;
        let json: Value = serde_json::from_str(&text)
            .map_err(|source| slm_core::Error::Json { path: path.clone(), source })?;
        let (config, alphas) = read_config(&path, &json)?;
        let weights = directory.join(WEIGHTS);
        let file = TensorFile::open(&weights)?;
        let mut shapes = file.shapes();
        let (mut layers, mut problems) = (BTreeMap::new(), Vec::new());
        for module in modules(model) {
            let names = ["A", "B"].map(|part| format!("{PREFIX}{}.lora_{part}.weight", module.path));
            let [Some(a), Some(b)] = names.each_ref().map(|n| shapes.remove(n)) else { continue };
            if !fits(&module, &a, &b) {
                let (rows, input, path) = (module.rows(), module.input, &module.path);
                problems.push(format!(
                    "{path}: expected A [r, {input}] and B [{rows}, r], found {a:?} and {b:?}"
                ));
                continue;
            }
            let read = |name: &String, shape: &[usize]| -> Result<Tensor<2>> {
                Ok(Tensor::from_data(TensorData::new(file.read_f32(name)?, [shape[0], shape[1]]), device))
            };
            let alpha =
                alphas.iter().find(|(p, _)| ends_with(&module.path, p)).map_or(config.alpha, |(_, a)| *a);
            let scale = config.scale(a[0], alpha);
            layers.extend(module.split(&Adapter { a: read(&names[0], &a)?, b: read(&names[1], &b)?, scale }));
        }
        problems.extend(shapes.iter().map(|(name, shape)| format!("surplus {name} {shape:?}")));
        if layers.is_empty() && problems.is_empty() {
            problems.push("it holds no tensor".into());
        }
        if problems.is_empty() {
            Ok(Self { config, layers })
        } else {
            Err(Error::Tensors { path: weights, problems })
        }
    }
}

fn fits(module: &Module, a: &[usize], b: &[usize]) -> bool {
    matches!((a, b), ([rank, input], [rows, r]) if *rank > 0 && rank == r && *input == module.input && *rows == module.rows())
}

fn model_device(layers: &BTreeMap<String, Adapter>) -> Option<Device> {
    layers.values().next().map(|l| l.a.device())
}

fn bytes(tensor: Tensor<2>) -> Result<Vec<u8>> {
    let values: Vec<f32> =
        tensor.try_into_vec_as().map_err(|e| slm_core::Error::Device { reason: format!("{e:?}") })?;
    Ok(values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// The configuration, and alphas of single modules by the end of their path.
fn read_config(path: &Path, json: &Value) -> Result<(LoraConfig, BTreeMap<String, f32>)> {
    let error = |reason: String| Error::Adapter { path: path.into(), reason };
    let refuse = |field: &str, known: &[Value]| match &json[field] {
        Value::Null => Ok(()),
        value if known.contains(value) => Ok(()),
        value => Err(error(format!("`{field}` is {value}; this version knows {known:?}"))),
    };
    refuse("peft_type", &["LORA".into()])?;
    refuse("bias", &["none".into()])?;
    for field in ["use_dora", "fan_in_fan_out", "lora_bias"] {
        refuse(field, &[false.into()])?;
    }
    for field in ["modules_to_save", "layer_replication", "trainable_token_indices"] {
        refuse(field, &[json!([])])?;
    }
    let rank =
        json["r"].as_u64().filter(|r| *r > 0).ok_or_else(|| error("`r` is not a positive integer".into()))?;
    let alpha = json["lora_alpha"].as_f64().ok_or_else(|| error("`lora_alpha` is not a number".into()))?;
    let target_modules = match &json["target_modules"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).map(String::from).collect(),
        // A regular expression: the tensors of the file tell which layers it meant.
        Value::String(pattern) => vec![pattern.clone()],
        _ => Vec::new(),
    };
    let alphas = json["alpha_pattern"].as_object().into_iter().flatten();
    let alphas = alphas.filter_map(|(name, a)| Some((name.clone(), a.as_f64()? as f32))).collect();
    let config = LoraConfig {
        rank: rank as usize,
        alpha: alpha as f32,
        rslora: json["use_rslora"] == true,
        target_modules,
        seed: 0,
    };
    Ok((config, alphas))
}
