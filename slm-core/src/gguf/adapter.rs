//! Low-rank adapters as GGUF files, which llama.cpp applies to a model at run time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use super::names::{Interleaved, architecture, tensor_name};
use super::{GgufType, GgufWriter};
use crate::config::ModelConfig;
use crate::generate::to_values;
use crate::model::layout;
use crate::nn::Adapter;
use crate::{CausalLm, Error, Result};

/// One update `s·B·A` in the file's order.
struct Pair {
    /// `[rank, in]`.
    a: Vec<f32>,
    /// `[out, rank]`.
    b: Vec<f32>,
    rank: usize,
    scale: f32,
}

impl CausalLm {
    /// Writes the adapters of the model as a GGUF file (`general.type` is `adapter`), for llama.cpp's `--lora` and
    /// Ollama's `ADAPTER` on the base model that [`LocalModel::save_gguf`](crate::LocalModel::save_gguf) writes.
    ///
    /// # Errors
    /// When no layer has an adapter, the scores of a Gemma are scaled in a way that an adapter cannot carry, a tensor
    /// cannot be read back, or the file cannot be written.
    pub fn save_gguf_adapter(&self, path: &Path) -> Result<()> {
        let adapters: BTreeMap<String, &Adapter> =
            self.linears().filter_map(|(p, l)| Some((format!("{p}.weight"), l.adapter.as_ref()?))).collect();
        if adapters.is_empty() {
            let reason = "no layer of the model has an adapter\nhint: apply one before exporting it";
            return Err(Error::gguf(path, reason));
        }
        let plain = |a: &&Adapter| a.magnitude.is_none() && a.start.is_none();
        if self.embed_adapter.is_some() || !adapters.values().all(plain) {
            let reason = "the file holds no magnitudes, starting factors or updates of the embedding\nhint: merge the \
                          adapter, and export the model";
            return Err(Error::gguf(path, reason));
        }
        let factor = super::fold::query_factor(&self.config);
        if factor.is_some()
            && adapters.keys().any(|name| name.contains("q_proj"))
            && !super::fold::in_norm(self)
        {
            return Err(Error::gguf(path, "an adapter cannot carry the scale of these queries"));
        }
        let mut pairs = Vec::new();
        for stored in layout(&self.config) {
            if let Some(pair) = pair(&self.config, &stored.parts, &adapters)? {
                let name = tensor_name(&self.config, &stored.name)
                    .ok_or_else(|| Error::gguf(path, format!("{} has no name there", stored.name)))?;
                pairs.push((name, pair));
            }
        }
        write(&self.config, pairs, path)
    }
}

/// The update of a tensor, stacked where the tensor is: the factors of its parts side by side.
fn pair(
    config: &ModelConfig,
    parts: &[(String, usize)],
    adapters: &BTreeMap<String, &Adapter>,
) -> Result<Option<Pair>> {
    let present: Vec<&Adapter> = parts.iter().filter_map(|(n, _)| adapters.get(n).copied()).collect();
    let Some(first) = present.first() else { return Ok(None) };
    let scale = first.scale;
    let rank: usize = present.iter().map(|a| a.a.dims()[0]).sum();
    let rows: usize = parts.iter().map(|p| p.1).sum();
    let (mut a, mut b) = (Vec::new(), vec![0.0; rows * rank]);
    let (mut row, mut column) = (0, 0);
    for (name, count) in parts {
        if let Some(adapter) = adapters.get(name) {
            let own = adapter.a.dims()[0];
            a.extend(to_values(adapter.a.clone())?);
            let values = to_values(adapter.b.clone())?;
            let order = Interleaved::of(config, name);
            for (index, factors) in values.chunks_exact(own).enumerate() {
                let at = (row + order.map_or(index, |o| o.in_file(index))) * rank + column;
                for (to, from) in b[at..at + own].iter_mut().zip(factors) {
                    *to = from * (adapter.scale / scale);
                }
            }
            column += own;
        }
        row += count;
    }
    Ok(Some(Pair { a, b, rank, scale }))
}

/// The file has one `alpha`, and divides it by the rank of each pair: what is left of a scale goes into `B`.
fn write(config: &ModelConfig, pairs: Vec<(String, Pair)>, path: &Path) -> Result<()> {
    let alpha = pairs.first().map_or(1.0, |(_, p)| p.scale * p.rank as f32);
    let mut writer = GgufWriter::new();
    writer.set("general.type", "adapter");
    writer.set("general.architecture", architecture(config.family));
    writer.set("adapter.type", "lora");
    writer.set("adapter.lora.alpha", alpha);
    for (name, mut pair) in pairs {
        let factor = pair.scale / (alpha / pair.rank as f32);
        pair.b.iter_mut().for_each(|v| *v *= factor);
        let (rows, cols) = (pair.b.len() / pair.rank, pair.a.len() / pair.rank);
        let bytes = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
        let (a, b) = (pair.a, pair.b);
        let (a_name, b_name) = (format!("{name}.lora_a"), format!("{name}.lora_b"));
        writer.tensor(a_name, &[pair.rank, cols], GgufType::F32, move || Ok(Cow::Owned(bytes(&a))));
        writer.tensor(b_name, &[rows, pair.rank], GgufType::F32, move || Ok(Cow::Owned(bytes(&b))));
    }
    writer.write(path)
}
