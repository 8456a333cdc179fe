//! An encoder's weights by name, and a directory with changed ones.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use serde_json::json;

use super::{Affine, Encoder, EncoderConfig, LayerNorm, TextEncoder};
use crate::model::{
    Cast, FloatType, Parameter, TensorFile, TensorMap, TensorWriter, ToAutodiff, ToInner, write_atomically,
};
use crate::text::read_json;
use crate::{Error, Result};

/// Calls with a weight and its name.
type Visit<'a> = dyn FnMut(&str, Parameter<'_>) + 'a;

/// What a layer's queries, keys and values together are called: a checkpoint has three tensors in its place.
const FUSED: &str = "attention.self.qkv";

impl Encoder {
    /// Calls `f` with each weight and its Hugging Face name, without a prefix. The projections of queries, keys and values are
    /// one: `encoder.layer.0.attention.self.qkv.weight`.
    pub fn for_each_parameter(&mut self, f: &mut Visit<'_>) {
        f("embeddings.word_embeddings.weight", Parameter::Matrix(&mut self.word_embeddings));
        f("embeddings.position_embeddings.weight", Parameter::Matrix(&mut self.position_embeddings));
        f("embeddings.token_type_embeddings.weight", Parameter::Matrix(&mut self.type_embeddings));
        norm("embeddings.LayerNorm", &mut self.embedding_norm, f);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let name = |part: &str| format!("encoder.layer.{index}.{part}");
            affine(&name(FUSED), &mut layer.qkv, f);
            affine(&name("attention.output.dense"), &mut layer.attention_output, f);
            norm(&name("attention.output.LayerNorm"), &mut layer.attention_norm, f);
            affine(&name("intermediate.dense"), &mut layer.intermediate, f);
            affine(&name("output.dense"), &mut layer.output, f);
            norm(&name("output.LayerNorm"), &mut layer.output_norm, f);
        }
    }

    /// The same encoder with its matrices in another type; norms and biases stay in f32.
    #[must_use]
    pub fn cast(self, float: FloatType) -> Self {
        self.mapped(&Cast(float))
    }

    /// The same encoder with its weights on the autodiff version of its device, none of them trainable yet.
    #[must_use]
    pub fn autodiff(self) -> Self {
        self.mapped(&ToAutodiff)
    }

    /// The same encoder off the autodiff device.
    #[must_use]
    pub fn inner(self) -> Self {
        self.mapped(&ToInner)
    }

    fn mapped(mut self, map: &dyn TensorMap) -> Self {
        self.for_each_parameter(&mut |_, parameter| match parameter {
            Parameter::Vector(t) => *t = map.vector(t.clone()),
            Parameter::Matrix(t) => *t = map.matrix(t.clone()),
        });
        self
    }

    /// All weights in full precision, by the names of a checkpoint.
    fn values(&self) -> Result<BTreeMap<String, Vec<f32>>> {
        let mut values = BTreeMap::new();
        let mut failure = None;
        self.clone().for_each_parameter(&mut |name, parameter| {
            let read = match parameter {
                Parameter::Vector(t) => t.clone().try_into_vec_as::<f32>(),
                Parameter::Matrix(t) => t.clone().try_into_vec_as::<f32>(),
            };
            match (read, name.split_once(FUSED)) {
                (Ok(read), Some((layer, kind))) => {
                    let length = (read.len() / 3).max(1);
                    for (part, numbers) in ["query", "key", "value"].iter().zip(read.chunks(length)) {
                        values.insert(format!("{layer}attention.self.{part}{kind}"), numbers.to_vec());
                    }
                }
                (Ok(read), None) => {
                    values.insert(name.to_owned(), read);
                }
                (Err(e), _) => failure = Some(Error::Device { reason: format!("{name}: {e:?}") }),
            }
        });
        failure.map_or(Ok(values), Err)
    }

    /// Writes the tensors of `source`, with this encoder's in place of its own, in `f32`.
    fn write_weights(&self, source: &TensorFile, path: &Path) -> Result<()> {
        let mut values = self.values()?;
        let mut writer = TensorWriter::default();
        writer.set("format", "pt");
        for (name, shape) in source.shapes() {
            if name.ends_with("embeddings.position_ids") {
                continue;
            }
            let own = values.remove(name.strip_prefix("bert.").unwrap_or(&name));
            let numbers = own.map_or_else(|| source.read_f32(&name), Ok)?;
            let bytes = FloatType::F32.encode(&numbers);
            writer.tensor(name, FloatType::F32.into(), &shape, move || Ok(Cow::Owned(bytes.clone())));
        }
        if let Some(name) = values.keys().next() {
            let problems = vec![format!("missing {name}")];
            return Err(Error::Tensors { path: source.path().into(), problems });
        }
        writer.write(path)
    }
}

impl TextEncoder {
    /// Writes a directory like `source`, the one that this encoder was loaded from, with its weights as they are now, in
    /// `f32`. [`TextEncoder::load`] reads it, and so do `sentence-transformers` and `transformers`. Weights come last: a
    /// directory that has them is complete.
    ///
    /// # Errors
    /// When `source` holds another encoder, is `target` or is around it, or a file cannot be read or written.
    pub fn save(&self, source: &Path, target: &Path) -> Result<()> {
        std::fs::create_dir_all(target).map_err(|e| Error::io(target, e))?;
        let real = |path: &Path| path.canonicalize().map_err(|e| Error::io(path, e));
        if real(target)?.starts_with(real(source)?) {
            return Err(refused(target, "is the directory that the encoder was loaded from, or within it"));
        }
        if EncoderConfig::from_file(&source.join("config.json"))? != self.encoder.config {
            return Err(refused(source, "does not describe this encoder"));
        }
        let file = TensorFile::open(&source.join("model.safetensors"))?;
        copy_settings(source, target)?;
        self.encoder.write_weights(&file, &target.join("model.safetensors"))
    }
}

fn refused(directory: &Path, reason: &str) -> Error {
    Error::config("directory", format!("{} {reason}", directory.display()))
}

/// Copies what says how texts become tokens and tokens vectors, modules in their folders included.
fn copy_settings(source: &Path, target: &Path) -> Result<()> {
    for entry in std::fs::read_dir(source).map_err(|e| Error::io(source, e))? {
        let entry = entry.map_err(|e| Error::io(source, e))?;
        let (from, to) = (entry.path(), target.join(entry.file_name()));
        let module = entry.file_name().to_string_lossy().starts_with(|c: char| c.is_ascii_digit());
        if from.is_dir() && module {
            std::fs::create_dir_all(&to).map_err(|e| Error::io(&to, e))?;
            copy_settings(&from, &to)?;
        } else if from.file_name() == Some(OsStr::new("config.json")) {
            let mut config = read_json(&from)?;
            for key in ["dtype", "torch_dtype"] {
                config.get_mut(key).into_iter().for_each(|value| *value = json!("float32"));
            }
            write_atomically(&to, format!("{config:#}\n").as_bytes())?;
        } else if from.is_file() && matches!(from.extension().and_then(OsStr::to_str), Some("json" | "txt")) {
            write_atomically(&to, &std::fs::read(&from).map_err(|e| Error::io(&from, e))?)?;
        }
    }
    Ok(())
}

fn affine(name: &str, affine: &mut Affine, f: &mut Visit<'_>) {
    f(&format!("{name}.weight"), Parameter::Matrix(&mut affine.weight));
    f(&format!("{name}.bias"), Parameter::Vector(&mut affine.bias));
}

fn norm(name: &str, norm: &mut LayerNorm, f: &mut Visit<'_>) {
    f(&format!("{name}.weight"), Parameter::Vector(&mut norm.weight));
    f(&format!("{name}.bias"), Parameter::Vector(&mut norm.bias));
}
