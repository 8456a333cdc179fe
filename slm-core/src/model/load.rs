//! From a Hugging Face directory to a [`CausalLm`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::Deserialize;
use slm_kernels::{PackedTensor, ops};

use super::files::TensorFile;
use super::layout::{Stored, layout};
use super::quantized::{self, Method};
use super::{CausalLm, FloatType, packed};
use crate::config::ModelConfig;
use crate::gguf::{self, GgufFile};
use crate::nn::{Attention, Block, Linear, Mlp, RmsNorm, Weight};
use crate::text::read_json;
use crate::{Error, Result};

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

/// How weights are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadOptions {
    /// Type of the matrices; `None` keeps what the file has on the `flex` device, whose products read f16 and bf16
    /// as they are, and widens to f32 elsewhere. Norms and biases are always in f32, and so is what is computed.
    pub float: Option<FloatType>,
}

impl LoadOptions {
    pub(crate) fn float(self, device: &Device) -> Option<FloatType> {
        if ops::is_host(device) { self.float } else { Some(self.float.unwrap_or(FloatType::F32)) }
    }
}

impl CausalLm {
    /// Loads `config.json` with `model.safetensors`, or with the shards of `model.safetensors.index.json`, with
    /// default [`LoadOptions`]; or a GGUF file.
    ///
    /// Weights that slm, GPTQ, AWQ or bitsandbytes (NF4) packed stay packed.
    ///
    /// # Errors
    /// When a file is missing or corrupt, or the tensors are not those of the configured model: the error
    /// then lists every missing, surplus and misshapen tensor.
    pub fn load(directory: &Path, device: &Device) -> Result<Self> {
        Self::load_with(directory, LoadOptions::default(), device)
    }

    /// Loads a directory as `options` say.
    ///
    /// # Errors
    /// As [`CausalLm::load`].
    pub fn load_with(directory: &Path, options: LoadOptions, device: &Device) -> Result<Self> {
        if let Some(file) = gguf::file_at(directory) {
            return Self::from_gguf(&GgufFile::open(&file)?, options, device);
        }
        let (config, method) = read_config(directory)?;
        let files = open_files(directory)?;
        match method {
            None => Self::assemble(config, &files, directory, (options, device)),
            Some(method) => {
                let float = options.float(device);
                let values = quantized::read(&config, method, (&files, directory), float)?;
                Self::from_values(config, values, directory, device)
            }
        }
    }

    /// Puts a model together from open files, in f32; `origin` names them in errors.
    ///
    /// # Errors
    /// When the tensors are not those of the configured model.
    pub fn from_files(
        config: ModelConfig,
        files: &[TensorFile],
        origin: &Path,
        device: &Device,
    ) -> Result<Self> {
        let options = LoadOptions { float: Some(FloatType::F32) };
        Self::assemble(config, files, origin, (options, device))
    }

    fn assemble(
        config: ModelConfig,
        files: &[TensorFile],
        origin: &Path,
        (options, device): (LoadOptions, &Device),
    ) -> Result<Self> {
        let float = options.float(device);
        if let Some(values) = packed::read(files, float)? {
            return Self::from_values(config, values, origin, device);
        }
        let layout = layout(&config);
        let place = check(origin, &config, &layout, files)?;
        let mut source = Source { values: BTreeMap::new() };
        for stored in layout {
            let float = if stored.shape.len() == 1 { Some(FloatType::F32) } else { float };
            let file = &files[place[&stored.name]];
            let mut from = 0;
            for (name, rows) in &stored.parts {
                let data = file.read_rows(&stored.name, Some(from..from + rows), float)?;
                source.values.insert(name.clone(), Value::Dense(data));
                from += rows;
            }
        }
        source.model(config, device)
    }
}

/// `config.json`, and how its weights were quantized, if by others.
fn read_config(directory: &Path) -> Result<(ModelConfig, Option<Method>)> {
    let mut json = read_json(&directory.join("config.json"))?;
    let own = json.as_object_mut().and_then(|o| o.remove("quantization_config"));
    let beside = directory.join("quantize_config.json");
    let quantization = match own {
        Some(own) => own,
        // Where the first version of AutoGPTQ put it.
        None if beside.exists() => {
            let mut json = read_json(&beside)?;
            json["quant_method"] = "gptq".into();
            json
        }
        None => serde_json::Value::Null,
    };
    Ok((ModelConfig::from_value(json)?, Method::parse(&quantization)?))
}

/// Some exports repeat a tied head or carry the rotary buffer of old transformers versions.
pub(super) fn repeats_head(config: &ModelConfig, name: &str) -> bool {
    name.ends_with("rotary_emb.inv_freq") || (name == "lm_head.weight" && config.tie_word_embeddings)
}

fn open_files(directory: &Path) -> Result<Vec<TensorFile>> {
    let index = directory.join("model.safetensors.index.json");
    if !index.exists() {
        return Ok(vec![TensorFile::open(&directory.join("model.safetensors"))?]);
    }
    let text = std::fs::read_to_string(&index).map_err(|e| Error::io(&index, e))?;
    let parsed: ShardIndex =
        serde_json::from_str(&text).map_err(|source| Error::Json { path: index, source })?;
    let names: BTreeSet<PathBuf> = parsed.weight_map.into_values().map(PathBuf::from).collect();
    names.iter().map(|n| TensorFile::open(&directory.join(n))).collect()
}

/// Finds the file of each tensor, or says all that does not fit.
fn check(
    directory: &Path,
    config: &ModelConfig,
    layout: &[Stored],
    files: &[TensorFile],
) -> Result<BTreeMap<String, usize>> {
    let mut found = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        found.extend(file.shapes().into_iter().map(|(name, shape)| (name, (index, shape))));
    }
    let mut problems = Vec::new();
    let mut place = BTreeMap::new();
    for stored in layout {
        match found.remove(&stored.name) {
            None => problems.push(format!("missing {} {:?}", stored.name, stored.shape)),
            Some((_, shape)) if shape != stored.shape => {
                problems.push(format!("{}: expected {:?}, found {shape:?}", stored.name, stored.shape));
            }
            Some((file, _)) => {
                place.insert(stored.name.clone(), file);
            }
        }
    }
    let harmless = |n: &str| repeats_head(config, n);
    problems
        .extend(found.iter().filter(|(n, _)| !harmless(n)).map(|(n, (_, s))| format!("surplus {n} {s:?}")));
    if problems.is_empty() { Ok(place) } else { Err(Error::Tensors { path: directory.into(), problems }) }
}

/// A parameter on its way into a model.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Value {
    /// Row-major numbers in f32, f16 or bf16.
    Dense(TensorData),
    /// A packed matrix: a linear layer's, the head or the embedding.
    Packed(PackedTensor),
}

impl Value {
    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Dense(data) => data.shape().to_vec(),
            Self::Packed(packed) => vec![packed.rows(), packed.cols()],
        }
    }
}

impl CausalLm {
    /// Puts a model together from its parameters by their separate Hugging Face names (`q_proj`, not
    /// `qkv_proj`, whatever the family); `origin` names them in errors.
    ///
    /// # Errors
    /// When a parameter is missing, surplus or misshapen; the error lists all of them.
    pub fn from_values(
        config: ModelConfig,
        values: BTreeMap<String, Value>,
        origin: &Path,
        device: &Device,
    ) -> Result<Self> {
        let mut surplus: BTreeSet<&String> = values.keys().collect();
        let mut problems = Vec::new();
        for stored in layout(&config) {
            for (name, rows) in &stored.parts {
                surplus.remove(name);
                let mut expected = stored.shape.clone();
                expected[0] = *rows;
                match values.get(name).map(Value::shape) {
                    None => problems.push(format!("missing {name} {expected:?}")),
                    Some(found) if found != expected => {
                        problems.push(format!("{name}: expected {expected:?}, found {found:?}"));
                    }
                    Some(_) => {}
                }
            }
        }
        problems.extend(surplus.iter().map(|name| format!("surplus {name}")));
        if !problems.is_empty() {
            return Err(Error::Tensors { path: origin.into(), problems });
        }
        Source { values }.model(config, device)
    }
}

/// Parameters by their separate names, taken out as the model is assembled.
pub(super) struct Source {
    pub(super) values: BTreeMap<String, Value>,
}

impl Source {
    pub(super) fn model(mut self, config: ModelConfig, device: &Device) -> Result<CausalLm> {
        let embed_tokens = self.weight("model.embed_tokens", device)?;
        let layers = (0..config.num_hidden_layers)
            .map(|i| self.block(&config, &format!("model.layers.{i}"), device))
            .collect::<Result<_>>()?;
        let norm = self.norm(&config, "model.norm", device)?;
        let lm_head = if config.tie_word_embeddings { None } else { Some(self.linear("lm_head", device)?) };
        Ok(CausalLm { config, embed_tokens, embed_adapter: None, layers, norm, lm_head })
    }

    fn block(&mut self, config: &ModelConfig, prefix: &str, device: &Device) -> Result<Block> {
        let name = |n: &str| format!("{prefix}.{n}");
        let mut norm = |n: &str| {
            let path = name(n);
            let exists = self.values.contains_key(&format!("{path}.weight"));
            exists.then(|| self.norm(config, &path, device)).transpose()
        };
        let (q_norm, k_norm) = (norm("self_attn.q_norm")?, norm("self_attn.k_norm")?);
        let input_layernorm = norm("input_layernorm")?;
        let pre_feedforward_layernorm = norm("pre_feedforward_layernorm")?;
        let post_feedforward_layernorm = norm("post_feedforward_layernorm")?;
        Ok(Block {
            input_layernorm,
            self_attn: Attention {
                q_proj: self.linear(&name("self_attn.q_proj"), device)?,
                k_proj: self.linear(&name("self_attn.k_proj"), device)?,
                v_proj: self.linear(&name("self_attn.v_proj"), device)?,
                o_proj: self.linear(&name("self_attn.o_proj"), device)?,
                q_norm,
                k_norm,
            },
            post_attention_layernorm: self.norm(config, &name("post_attention_layernorm"), device)?,
            pre_feedforward_layernorm,
            mlp: Mlp {
                gate_proj: self.linear(&name("mlp.gate_proj"), device)?,
                up_proj: self.linear(&name("mlp.up_proj"), device)?,
                down_proj: self.linear(&name("mlp.down_proj"), device)?,
                activation: config.activation,
            },
            post_feedforward_layernorm,
        })
    }

    fn linear(&mut self, path: &str, device: &Device) -> Result<Linear> {
        let mut linear = Linear { weight: self.weight(path, device)?, bias: None, adapter: None };
        let bias = format!("{path}.bias");
        if self.values.contains_key(&bias) {
            linear.bias = Some(self.take(&bias, device)?);
        }
        Ok(linear)
    }

    fn weight(&mut self, path: &str, device: &Device) -> Result<Weight> {
        let name = format!("{path}.weight");
        match self.values.get(&name) {
            Some(Value::Packed(packed)) => Ok(Weight::Packed(packed.clone())),
            _ => Ok(Weight::Dense(self.take(&name, device)?)),
        }
    }

    fn norm(&mut self, config: &ModelConfig, path: &str, device: &Device) -> Result<RmsNorm> {
        let weight = self.take(&format!("{path}.weight"), device)?;
        Ok(RmsNorm { weight, epsilon: config.rms_norm_eps, kind: config.norm_weight })
    }

    fn take<const D: usize>(&mut self, name: &str, device: &Device) -> Result<Tensor<D>> {
        let problem = match self.values.remove(name) {
            Some(Value::Dense(data)) => {
                let dtype = if ops::is_host(device) { data.dtype() } else { DType::F32 };
                return Ok(Tensor::from_data(data, (device, dtype)));
            }
            Some(Value::Packed(_)) => format!("{name} is packed; only matrices can be"),
            None => format!("missing {name}"),
        };
        Err(Error::Tensors { path: PathBuf::from("(memory)"), problems: vec![problem] })
    }
}
