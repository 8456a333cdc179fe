//! The vocabulary and the chat templates in the metadata of a GGUF file.
//!
//! [`crate::gguf`] reads and writes the files themselves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use slm_kernels::MappedFile;

use crate::gguf::{GgufArray, GgufHeader, GgufValue};
use crate::{Error, Result};

/// What a GGUF file says about its tokenizer (`tokenizer.*`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GgufVocab {
    /// `gpt2`, `llama` or `bert`.
    pub model: String,
    /// Name of the pre-tokenizer; empty where the file names none.
    pub pre: String,
    /// Tokens by id.
    pub tokens: Vec<String>,
    /// Score of each token; empty for models without.
    pub scores: Vec<f32>,
    /// Kind of each token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; empty where all are normal.
    pub token_types: Vec<i32>,
    /// Merges, best first, each two tokens with a space between.
    pub merges: Vec<String>,
    /// Ids by name: `bos`, `eos`, `unknown`, `seperator`, `padding`, `cls`, `mask`.
    pub ids: BTreeMap<String, u32>,
    /// Whether a text begins with the `bos` token; `None` for the model's habit.
    pub add_bos: Option<bool>,
    /// Whether a text ends with the `eos` token.
    pub add_eos: Option<bool>,
    /// Whether a space is put before a text.
    pub add_space_prefix: Option<bool>,
    /// Chat templates by name, the main one as `default`.
    pub chat_templates: BTreeMap<String, String>,
}

impl GgufVocab {
    /// Reads the metadata of a file; weights are not touched.
    ///
    /// # Errors
    /// When the file cannot be read, is not GGUF, is damaged, or has no vocabulary.
    pub fn load(path: &Path) -> Result<Self> {
        let map = MappedFile::open(path).map_err(|e| Error::io(path, e))?;
        Self::read(&map, path)
    }

    /// Reads metadata in memory.
    ///
    /// # Errors
    /// As [`GgufVocab::load`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::read(bytes, &PathBuf::from("(memory)"))
    }

    fn read(bytes: &[u8], path: &Path) -> Result<Self> {
        let metadata = GgufHeader::parse_metadata(bytes);
        metadata
            .and_then(|metadata| Self::from_metadata(&metadata))
            .map_err(|reason| Error::Tokenizer { path: path.into(), reason })
    }

    /// The vocabulary in the metadata of an open file, or what is wrong with it.
    pub(crate) fn from_metadata(metadata: &BTreeMap<String, GgufValue>) -> Result<Self, String> {
        let mut vocab = Self::default();
        for (key, value) in metadata {
            vocab.take(key, value).ok_or_else(|| format!("{key}: the value is of the wrong type"))?;
        }
        let count = vocab.tokens.len();
        for (name, length) in [("scores", vocab.scores.len()), ("token_type", vocab.token_types.len())] {
            if length != 0 && length != count {
                return Err(format!("{count} tokens, but {length} in tokenizer.ggml.{name}"));
            }
        }
        if count == 0 {
            return Err("the file has no tokenizer.ggml.tokens".into());
        }
        if let Some((name, id)) = vocab.ids.iter().find(|(_, id)| **id as usize >= count) {
            return Err(format!("{name}_token_id {id} is not one of the {count} tokens"));
        }
        Ok(vocab)
    }

    /// Takes a value that is about the tokenizer; `None` if it is of the wrong type.
    fn take(&mut self, key: &str, value: &GgufValue) -> Option<()> {
        match key.strip_prefix("tokenizer.ggml.") {
            Some("model") => self.model = value.as_str()?.into(),
            Some("pre") => self.pre = value.as_str()?.into(),
            Some("tokens") => self.tokens = value.as_strings()?.to_vec(),
            Some("merges") => self.merges = value.as_strings()?.to_vec(),
            Some("scores") => match value {
                GgufValue::Array(GgufArray::F32(scores)) => self.scores.clone_from(scores),
                _ => return None,
            },
            Some("token_type") => match value {
                GgufValue::Array(GgufArray::I32(types)) => self.token_types.clone_from(types),
                _ => return None,
            },
            Some("add_bos_token") => self.add_bos = Some(value.as_bool()?),
            Some("add_eos_token") => self.add_eos = Some(value.as_bool()?),
            Some("add_space_prefix") => self.add_space_prefix = Some(value.as_bool()?),
            Some(name) => {
                if let (Some(name), Some(id)) = (name.strip_suffix("_token_id"), value.as_u64()) {
                    self.ids.insert(name.into(), u32::try_from(id).ok()?);
                }
            }
            None => match key.strip_prefix("tokenizer.chat_template") {
                Some("") => {
                    self.chat_templates.insert("default".into(), value.as_str()?.into());
                }
                Some(name) if name.starts_with('.') => {
                    self.chat_templates.insert(name[1..].into(), value.as_str()?.into());
                }
                _ => {}
            },
        }
        Some(())
    }

    /// The metadata that says the same.
    pub(crate) fn to_metadata(&self) -> Vec<(String, GgufValue)> {
        let mut all: Vec<(String, GgufValue)> = vec![
            ("tokenizer.ggml.model".into(), self.model.as_str().into()),
            ("tokenizer.ggml.pre".into(), self.pre.as_str().into()),
            ("tokenizer.ggml.tokens".into(), self.tokens.clone().into()),
            ("tokenizer.ggml.token_type".into(), self.token_types.clone().into()),
        ];
        let mut set = |name: &str, value: Option<GgufValue>| {
            all.extend(value.map(|value| (format!("tokenizer.{name}"), value)));
        };
        set("ggml.scores", (!self.scores.is_empty()).then(|| self.scores.clone().into()));
        set("ggml.merges", (!self.merges.is_empty()).then(|| self.merges.clone().into()));
        for (name, id) in &self.ids {
            set(&format!("ggml.{name}_token_id"), Some((*id).into()));
        }
        set("ggml.add_bos_token", self.add_bos.map(GgufValue::from));
        set("ggml.add_eos_token", self.add_eos.map(GgufValue::from));
        set("ggml.add_space_prefix", self.add_space_prefix.map(GgufValue::from));
        for (name, source) in &self.chat_templates {
            let key =
                if name == "default" { "chat_template".into() } else { format!("chat_template.{name}") };
            set(&key, Some(source.as_str().into()));
        }
        let others: Vec<String> = self.chat_templates.keys().filter(|n| *n != "default").cloned().collect();
        set("chat_templates", (!others.is_empty()).then(|| others.into()));
        all
    }

    /// The content of the token that the file names so (`bos`, `eos`, ..).
    pub fn special(&self, name: &str) -> Option<&str> {
        self.tokens.get(*self.ids.get(name)? as usize).map(String::as_str)
    }
}
