//! Adapters as files that PEFT reads.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Tensor;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Map;
use slm_core::ModelConfig;
use slm_core::model::write_atomically;

use super::super::fused::{Module, modules};
use super::super::slots::EMBEDDING;
use super::super::{LoraAdapter, SavedWeight};
use super::{CONFIG, PREFIX, WEIGHTS, config};
use crate::{Error, Result};

/// Name, shape and numbers.
type Entry = (String, Vec<usize>, Vec<u8>);

impl LoraAdapter {
    /// Writes a directory that PEFT's `PeftModel.from_pretrained` reads. `base` is the path or hub name of the
    /// base model, for the reader's information. What PiSSA and OLoRA begin with is written as part of the update
    /// ([`LoraAdapter::plain`]), so that the reader need not compute it.
    ///
    /// # Errors
    /// When a tensor cannot be read back or a file cannot be written.
    pub fn save(&self, directory: &Path, model: &ModelConfig, base: &str) -> Result<()> {
        if self.layers.values().any(|l| l.start.is_none()) && self.config.init != super::super::Init::Zero {
            let reason =
                "the starting factors are not known yet\nhint: attach the adapter and detach it again";
            return Err(Error::Config { field: "init", reason: reason.into() });
        }
        let plain = self.plain();
        let all = modules(model);
        let mut tensors: Vec<Entry> = Vec::new();
        let (mut ranks, mut alphas) = (Map::new(), Map::new());
        let mut adapted = Vec::new();
        for module in &all {
            let device = plain.layers.values().next().map(|l| l.a.device());
            let Some(device) = device else { break };
            let Some(adapter) = module.join(&plain.layers, &device)? else { continue };
            let rank = adapter.a.dims()[0];
            let alpha = plain.config.alpha_of(adapter.scale, rank);
            let key = module.path.replace('.', r"\.");
            if rank != plain.config.rank {
                ranks.insert(key.clone(), rank.into());
            }
            // Within rounding of the square root of a rank.
            if (alpha - plain.config.alpha).abs() > 1e-5 * plain.config.alpha.abs() {
                alphas.insert(key, alpha.into());
            }
            adapted.push(module);
            let names = module.names(PREFIX);
            for (name, tensor) in [(names.a, adapter.a), (names.b, adapter.b)] {
                tensors.push(entry(name, &tensor)?);
            }
            if let Some(magnitude) = adapter.magnitude {
                tensors.push(entry(names.magnitude, &magnitude.weight)?);
            }
        }
        for (name, weight) in &plain.saved {
            let name = format!("{PREFIX}{name}");
            tensors.push(match weight {
                SavedWeight::Vector(t) => entry(name, t)?,
                SavedWeight::Matrix(t) => entry(name, t)?,
            });
        }
        write_tensors(&directory.join(WEIGHTS), &tensors)?;
        let text = config::write(&plain.config, base, &targets(&all, &adapted), (ranks, alphas));
        Ok(write_atomically(&directory.join(CONFIG), text.as_bytes())?)
    }
}

/// The adapted modules by the last part of their path where all modules of that name are adapted, else by their path.
fn targets(all: &[Module], adapted: &[&Module]) -> Vec<String> {
    let last = |m: &Module| m.path.rsplit('.').next().unwrap_or_default().to_owned();
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    all.iter().for_each(|m| counts.entry(last(m)).or_default().0 += 1);
    adapted.iter().for_each(|m| counts.entry(last(m)).or_default().1 += 1);
    let mut names: Vec<String> = adapted
        .iter()
        .map(|m| match counts.get(&last(m)) {
            Some((whole, own)) if whole == own || m.path == EMBEDDING => last(m),
            _ => m.path.clone(),
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

fn entry<const D: usize>(name: String, tensor: &Tensor<D>) -> Result<Entry> {
    let values: Vec<f32> = tensor
        .clone()
        .try_into_vec_as()
        .map_err(|e| slm_core::Error::Device { reason: format!("{name}: {e:?}") })?;
    Ok((name, tensor.dims().to_vec(), values.iter().flat_map(|v| v.to_le_bytes()).collect()))
}

fn write_tensors(path: &Path, tensors: &[Entry]) -> Result<()> {
    let invalid =
        |e: safetensors::SafeTensorError| Error::Adapter { path: path.into(), reason: e.to_string() };
    let views = tensors
        .iter()
        .map(|(n, s, b)| Ok((n.as_str(), TensorView::new(Dtype::F32, s.clone(), b).map_err(invalid)?)))
        .collect::<Result<Vec<_>>>()?;
    let metadata = [("format".to_owned(), "pt".to_owned())].into_iter().collect();
    let encoded = safetensors::serialize(views, Some(metadata)).map_err(invalid)?;
    Ok(write_atomically(path, &encoded)?)
}
