//! From a model to a GGUF file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use super::names::{Interleaved, tensor_name};
use super::tensors;
use super::{GgufType, GgufValue, GgufWriter, fold, metadata, rope};
use crate::config::{ModelConfig, NormWeight};
use crate::model::{FloatType, Held, Stored, layout};
use crate::text::gguf::GgufVocab;
use crate::{CausalLm, ChatTemplate, Error, LocalModel, Result, Tokenizer};

/// How a GGUF file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufOptions {
    /// Type of the matrices that are not packed; norms and biases are always in f32.
    pub float: FloatType,
    /// Name of the model, for its users to see.
    pub name: String,
}

impl Default for GgufOptions {
    fn default() -> Self {
        Self { float: FloatType::F16, name: "model".into() }
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GgufExport {
    /// Number of tensors by type, by its name in the format.
    pub tensors: BTreeMap<String, usize>,
    /// What llama.cpp is known to compute otherwise, in words; empty where it computes the same.
    pub differences: Vec<String>,
}

/// What of a model is text.
#[derive(Debug, Clone, Copy)]
struct Text<'a> {
    tokenizer: &'a Tokenizer,
    template: Option<&'a ChatTemplate>,
    eos: &'a [u32],
}

impl LocalModel {
    /// Writes weights, tokenizer and chat template as one GGUF file, which llama.cpp and Ollama read, and
    /// [`LocalModel::load`]. Packed weights are written as they are where the format has their type, else as
    /// floating-point numbers. Adapters are not part of it: merge them first.
    ///
    /// # Errors
    /// When the format has no name for the tokenizer, a layer has an adapter, a tensor cannot be read back, or the
    /// file cannot be written.
    pub fn save_gguf(&self, path: &Path, options: &GgufOptions) -> Result<GgufExport> {
        let text = Text { tokenizer: &self.tokenizer, template: self.template.as_ref(), eos: &self.eos };
        save(&self.model, text, path, options)
    }
}

fn save(model: &CausalLm, text: Text<'_>, path: &Path, options: &GgufOptions) -> Result<GgufExport> {
    let model = fold::for_llama_cpp(model.clone(), path)?;
    let held = model.held()?;
    let config = &model.config;
    let mut writer = GgufWriter::new();
    for (key, value) in general(options).into_iter().chain(metadata::of_config(config)) {
        writer.set(key, value);
    }
    for (key, value) in vocabulary(config, text)? {
        writer.set(key, value);
    }
    let mut counts = BTreeMap::new();
    for (name, values) in rope::tensors(config) {
        writer.tensor(name, &[values.len()], GgufType::F32, move || {
            Ok(Cow::Owned(values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        });
        *counts.entry(GgufType::F32.to_string()).or_insert(0) += 1;
    }
    for stored in layout(config) {
        let tensor = Tensor::new(config, stored, &held, options.float, path)?;
        *counts.entry(tensor.kind.to_string()).or_insert(0) += 1;
        let (name, shape, kind) = (tensor.name.clone(), tensor.stored.shape.clone(), tensor.kind);
        writer.tensor(name, &shape, kind, move || tensor.content());
    }
    writer.set("general.file_type", file_type(&counts));
    writer.write(path)?;
    let mut differences = metadata::differences(config);
    if text.tokenizer.composes() {
        let what = "llama.cpp does not compose letters and their marks (normal form C) before it cuts a text";
        differences.push(what.into());
    }
    Ok(GgufExport { tensors: counts, differences })
}

fn general(options: &GgufOptions) -> Vec<(String, GgufValue)> {
    vec![
        ("general.type".into(), "model".into()),
        ("general.name".into(), options.name.as_str().into()),
        ("general.quantization_version".into(), 2_u32.into()),
    ]
}

/// llama.cpp's number for a file whose matrices are mostly of one type.
fn file_type(tensors: &BTreeMap<String, usize>) -> u32 {
    let most = tensors.iter().filter(|(name, _)| *name != "F32").max_by_key(|(_, count)| **count);
    match most.map_or("F32", |(name, _)| name.as_str()) {
        "F16" => 1,
        "Q4_0" => 2,
        "Q4_1" => 3,
        "Q8_0" => 7,
        "Q5_0" => 8,
        "Q5_1" => 9,
        "Q4_K" => 15,
        "Q5_K" => 17,
        "Q6_K" => 18,
        "IQ4_NL" => 25,
        "BF16" => 32,
        _ => 0,
    }
}

/// Tokenizer, template and the tokens that end a text.
fn vocabulary(config: &ModelConfig, text: Text<'_>) -> Result<Vec<(String, GgufValue)>> {
    let mut vocab: GgufVocab = text.tokenizer.to_gguf(config.vocab_size)?;
    let token =
        |content: &str| Some(content).filter(|c| !c.is_empty()).and_then(|c| text.tokenizer.token_id(c));
    let begin = text.template.and_then(|t| token(t.bos_token())).or(config.bos_token_id);
    if let Some(id) = begin {
        vocab.ids.entry("bos".into()).or_insert(id);
    }
    // What ends a turn, if the template says so, is what a program that knows one end alone should know.
    let end = text.template.and_then(|t| token(t.eos_token())).filter(|id| text.eos.contains(id));
    if let Some(id) = end.or(text.eos.first().copied()) {
        vocab.ids.insert("eos".into(), id);
        let other = text.eos.iter().find(|other| **other != id);
        vocab.ids.insert("eot".into(), other.copied().unwrap_or(id));
    }
    vocab.ids.retain(|_, id| (*id as usize) < config.vocab_size);
    if let Some(template) = text.template {
        vocab.chat_templates.clone_from(template.sources());
    }
    let mut all = vocab.to_metadata();
    if !text.eos.is_empty() {
        all.push((metadata::END_IDS.into(), text.eos.to_vec().into()));
    }
    Ok(all)
}

/// A tensor of the file, and the weights that it is made of.
struct Tensor<'a> {
    name: String,
    stored: Stored,
    parts: Vec<&'a Held>,
    kind: GgufType,
    order: Option<Interleaved>,
    /// Gemma's norms are written as what they multiply with.
    plus_one: bool,
    float: FloatType,
}

impl<'a> Tensor<'a> {
    fn new(
        config: &ModelConfig,
        stored: Stored,
        held: &'a BTreeMap<String, Held>,
        float: FloatType,
        path: &Path,
    ) -> Result<Self> {
        let missing = |name: &str| Error::gguf(path, format!("{name} is missing in the model"));
        let parts = stored.parts.iter().map(|(n, _)| held.get(n).ok_or_else(|| missing(n)));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let float = if stored.shape.len() == 1 { FloatType::F32 } else { float };
        let kinds: Vec<GgufType> = parts.iter().map(|part| tensors::kind(part, float)).collect();
        let kind = if kinds.iter().all(|k| *k == kinds[0]) { kinds[0] } else { float.into() };
        let name = tensor_name(config, &stored.name).ok_or_else(|| missing(&stored.name))?;
        Ok(Self {
            name,
            kind,
            order: Interleaved::of(config, &stored.name),
            plus_one: config.norm_weight == NormWeight::OffsetFromOne && stored.name.ends_with("norm.weight"),
            parts,
            stored,
            float,
        })
    }

    /// The bytes of the tensor; those of weights that are already as the file wants them are not copied.
    fn content(&self) -> Result<Cow<'a, [u8]>> {
        let mut all = Vec::new();
        for (part, (name, _)) in self.parts.iter().zip(&self.stored.parts) {
            let mut encoded = tensors::encode(part, name, (self.kind, self.float), self.plus_one)?;
            if let Some(order) = self.order {
                let rows = self.stored.shape[0];
                let width = encoded.len() / rows.max(1);
                let row = |row: usize| &encoded[order.in_checkpoint(row) * width..][..width];
                encoded = Cow::Owned((0..rows).flat_map(row).copied().collect());
            }
            if self.parts.len() == 1 {
                return Ok(encoded);
            }
            all.extend_from_slice(&encoded);
        }
        Ok(Cow::Owned(all))
    }
}
