//! From a Hugging Face directory to an [`Encoder`].

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Device, Tensor};
use slm_kernels::ops;

use super::{Affine, Encoder, EncoderConfig, EncoderLayer, LayerNorm};
use crate::model::{FloatType, LoadOptions, TensorFile};
use crate::{Error, Result};

/// Takes tensors out of a file by name, and remembers what does not fit.
pub(super) struct Tensors<'a> {
    file: &'a TensorFile,
    shapes: BTreeMap<String, Vec<usize>>,
    prefix: &'static str,
    options: LoadOptions,
    device: &'a Device,
    problems: Vec<String>,
}

impl<'a> Tensors<'a> {
    pub(super) fn new(file: &'a TensorFile, options: LoadOptions, device: &'a Device) -> Result<Self> {
        let shapes = file.shapes();
        let inner = shapes.keys().any(|n| n.starts_with("bert."));
        let prefix = if inner { "bert." } else { "" };
        Ok(Self { file, shapes, prefix, options, device, problems: Vec::new() })
    }

    /// A tensor of the encoder itself.
    fn take<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>> {
        self.take_outer(&format!("{}{name}", self.prefix), shape)
    }

    /// A tensor by its full name; zeros in place of one that does not fit, until [`Tensors::finish`] says so.
    pub(super) fn take_outer<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>> {
        match self.shapes.remove(name) {
            Some(found) if found == shape => {
                let host = ops::is_host(self.device);
                let float = if D == 1 || !host { Some(FloatType::F32) } else { self.options.float };
                let data = self.file.read(name, float)?;
                let dtype = if host { data.dtype() } else { DType::F32 };
                Ok(Tensor::from_data(data, (self.device, dtype)))
            }
            found => {
                self.problems.push(match found {
                    Some(found) => format!("{name}: expected {shape:?}, found {found:?}"),
                    None => format!("missing {name} {shape:?}"),
                });
                Ok(Tensor::zeros(shape, self.device))
            }
        }
    }

    fn affine(&mut self, name: &str, outputs: usize, inputs: usize) -> Result<Affine> {
        Ok(Affine {
            weight: self.take(&format!("{name}.weight"), [outputs, inputs])?,
            bias: self.take(&format!("{name}.bias"), [outputs])?,
        })
    }

    pub(super) fn outer_affine(&mut self, name: &str, outputs: usize, inputs: usize) -> Result<Affine> {
        Ok(Affine {
            weight: self.take_outer(&format!("{name}.weight"), [outputs, inputs])?,
            bias: self.take_outer(&format!("{name}.bias"), [outputs])?,
        })
    }

    pub(super) fn prefix(&self) -> &'static str {
        self.prefix
    }

    fn norm(&mut self, name: &str, config: &EncoderConfig) -> Result<LayerNorm> {
        Ok(LayerNorm {
            weight: self.take(&format!("{name}.weight"), [config.hidden_size])?,
            bias: self.take(&format!("{name}.bias"), [config.hidden_size])?,
            epsilon: config.layer_norm_eps,
        })
    }

    pub(super) fn encoder(&mut self, config: &EncoderConfig) -> Result<Encoder> {
        let c = config;
        let layers = (0..c.num_hidden_layers).map(|i| self.layer(&format!("encoder.layer.{i}"), c));
        let layers = layers.collect::<Result<_>>()?;
        let table = |t: &mut Self, name: &str, rows| {
            t.take(&format!("embeddings.{name}_embeddings.weight"), [rows, c.hidden_size])
        };
        Ok(Encoder {
            word_embeddings: table(self, "word", c.vocab_size)?,
            position_embeddings: table(self, "position", c.max_position_embeddings)?,
            type_embeddings: table(self, "token_type", c.type_vocab_size)?,
            embedding_norm: self.norm("embeddings.LayerNorm", c)?,
            layers,
            config: config.clone(),
        })
    }

    fn layer(&mut self, prefix: &str, c: &EncoderConfig) -> Result<EncoderLayer> {
        let (h, m) = (c.hidden_size, c.intermediate_size);
        let mut qkv = Vec::new();
        for name in ["query", "key", "value"] {
            qkv.push(self.affine(&format!("{prefix}.attention.self.{name}"), h, h)?);
        }
        Ok(EncoderLayer {
            qkv: Affine {
                weight: Tensor::cat(qkv.iter().map(|part| part.weight.clone()).collect(), 0),
                bias: Tensor::cat(qkv.into_iter().map(|part| part.bias).collect(), 0),
            },
            attention_output: self.affine(&format!("{prefix}.attention.output.dense"), h, h)?,
            attention_norm: self.norm(&format!("{prefix}.attention.output.LayerNorm"), c)?,
            intermediate: self.affine(&format!("{prefix}.intermediate.dense"), m, h)?,
            output: self.affine(&format!("{prefix}.output.dense"), h, m)?,
            output_norm: self.norm(&format!("{prefix}.output.LayerNorm"), c)?,
        })
    }

    /// An error for all that was missing, misshapen or left over.
    pub(super) fn finish(mut self) -> Result<()> {
        // Heads of pretraining and of pooling, which an embedding does not use, and a buffer of old versions.
        let harmless = |n: &str| {
            n.contains("pooler.") || n.starts_with("cls.") || n.ends_with("embeddings.position_ids")
        };
        let surplus =
            self.shapes.iter().filter(|(n, _)| !harmless(n)).map(|(n, s)| format!("surplus {n} {s:?}"));
        self.problems.extend(surplus);
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(Error::Tensors { path: self.file.path().into(), problems: self.problems })
    }
}

impl Encoder {
    /// Loads `config.json` and `model.safetensors`.
    ///
    /// # Errors
    /// When a file is missing or corrupt, or the tensors are not those of the configured encoder; the error then
    /// lists every missing, surplus and misshapen one.
    pub fn load(directory: &Path, options: LoadOptions, device: &Device) -> Result<Self> {
        let config = EncoderConfig::from_file(&directory.join("config.json"))?;
        let file = TensorFile::open(&directory.join("model.safetensors"))?;
        let mut tensors = Tensors::new(&file, options, device)?;
        let encoder = tensors.encoder(&config)?;
        tensors.finish()?;
        Ok(encoder)
    }
}
