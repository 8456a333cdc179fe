//! PEFT's files: `adapter_config.json` and `adapter_model.safetensors`.

mod config;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use serde_json::Value;
use slm_core::ModelConfig;
use slm_core::model::TensorFile;
use slm_core::nn::{Adapter, Magnitude};

use super::fused::{Module, modules};
use super::{LoraAdapter, SavedWeight};
use crate::{Error, Result};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const PREFIX: &str = "base_model.model.";
/// Copies of the base's embedding and head that PEFT adds when they have an update.
const COPY: &str = ".base_layer.weight";

impl LoraAdapter {
    /// Reads an adapter written by PEFT or by [`LoraAdapter::save`] for a model of this configuration. Copies of the base's
    /// embedding in the file are not read.
    ///
    /// # Errors
    /// When a file is missing or corrupt, the adapter is of a kind that this version does not know, or its
    /// tensors are not those of the model: the error lists them.
    pub fn load(directory: &Path, model: &ModelConfig, device: &Device) -> Result<Self> {
        let path = directory.join(CONFIG);
        let text = std::fs::read_to_string(&path).map_err(|e| slm_core::Error::io(&path, e))?;
        let json: Value = serde_json::from_str(&text)
            .map_err(|source| slm_core::Error::Json { path: path.clone(), source })?;
        let config = config::read(&path, &json)?;
        let matcher = config.matcher()?;
        let weights = directory.join(WEIGHTS);
        let mut file = Tensors {
            file: TensorFile::open(&weights)?,
            left: BTreeMap::new(),
            device,
            problems: Vec::new(),
        };
        file.left = file.file.shapes();
        file.left.retain(|name, _| !name.ends_with(COPY));
        let mut layers = BTreeMap::new();
        for module in modules(model) {
            let Some(mut whole) = file.adapter(&module)? else { continue };
            let parts: Vec<&str> = module.parts.iter().map(|(path, _)| path.as_str()).collect();
            let alpha = matcher.alpha(&[&[module.path.as_str()], &parts[..]].concat());
            whole.scale = config.scale(whole.a.dims()[0], alpha);
            layers.extend(module.split(&whole));
        }
        let saved = file.saved(&config.modules_to_save)?;
        let Tensors { left, mut problems, .. } = file;
        problems.extend(left.iter().map(|(name, shape)| format!("surplus {name} {shape:?}")));
        if layers.is_empty() && saved.is_empty() && problems.is_empty() {
            problems.push("it holds no tensor".into());
        }
        if problems.is_empty() {
            Ok(Self { config, layers, saved })
        } else {
            Err(Error::Tensors { path: weights, problems })
        }
    }
}

/// A file, the tensors of it that nobody has asked for yet, and what is wrong so far.
struct Tensors<'a> {
    file: TensorFile,
    left: BTreeMap<String, Vec<usize>>,
    device: &'a Device,
    problems: Vec<String>,
}

impl Tensors<'_> {
    /// The update of a module, with a scale of 1.
    fn adapter(&mut self, module: &Module) -> Result<Option<Adapter>> {
        let names = module.names(PREFIX);
        let [Some(a), Some(b)] = [&names.a, &names.b].map(|n| self.left.remove(n)) else { return Ok(None) };
        let (rows, input, path) = (module.rows(), module.input, &module.path);
        let fits = matches!((&a[..], &b[..]), ([rank, i], [o, r]) if *rank > 0 && rank == r && *i == input && *o == rows);
        let magnitude = [names.magnitude.clone(), format!("{}.weight", names.magnitude)]
            .into_iter()
            .find_map(|name| Some((self.left.remove(&name)?, name)));
        if !fits {
            self.problems
                .push(format!("{path}: expected A [r, {input}] and B [{rows}, r], found {a:?} and {b:?}"));
            return Ok(None);
        }
        let mut whole = Adapter::new(self.matrix(&names.a, &a)?, self.matrix(&names.b, &b)?, 1.0);
        if let Some((shape, name)) = magnitude {
            if shape.iter().product::<usize>() != rows {
                self.problems.push(format!("{name}: expected [{rows}], found {shape:?}"));
                return Ok(None);
            }
            let weight = Tensor::from_data(TensorData::new(self.file.read_f32(&name)?, [rows]), self.device);
            whole.magnitude = Some(Magnitude { norm: weight.clone(), weight });
        }
        Ok(Some(whole))
    }

    /// The weights of modules that learned in full.
    fn saved(&mut self, modules: &[String]) -> Result<BTreeMap<String, SavedWeight>> {
        let mut saved = BTreeMap::new();
        let names: Vec<(String, Vec<usize>)> = self.left.clone().into_iter().collect();
        for (name, shape) in names {
            let Some(own) = name.strip_prefix(PREFIX) else { continue };
            let module = own.rsplit_once('.').map_or(own, |(module, _)| module);
            if !modules.iter().any(|end| module.ends_with(end.as_str())) {
                continue;
            }
            let weight = match shape[..] {
                [count] => {
                    let data = TensorData::new(self.file.read_f32(&name)?, [count]);
                    SavedWeight::Vector(Tensor::from_data(data, self.device))
                }
                [_, _] => SavedWeight::Matrix(self.matrix(&name, &shape)?),
                _ => continue,
            };
            self.left.remove(&name);
            saved.insert(own.to_owned(), weight);
        }
        Ok(saved)
    }

    fn matrix(&self, name: &str, shape: &[usize]) -> Result<Tensor<2>> {
        Ok(Tensor::from_data(TensorData::new(self.file.read_f32(name)?, [shape[0], shape[1]]), self.device))
    }
}
