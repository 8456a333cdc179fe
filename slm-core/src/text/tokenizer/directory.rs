//! Which tokenizer a model directory holds.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::gguf::word_piece;
use super::spec::{Added, GPT2, QWEN2, Spec, Vocab, byte_level};
use super::{Tokenizer, sentencepiece, tiktoken};
use crate::text::gguf::GgufVocab;
use crate::text::template::{read_json, read_text, special_token};
use crate::{Error, Result};

const LOOKED_FOR: &str = "tokenizer.json, vocab.json with merges.txt, encoder.json with vocab.bpe, tokenizer.model, \
                          *.tiktoken, vocab.txt, *.gguf";

pub(super) fn load(directory: &Path) -> Result<Tokenizer> {
    let file = |name: &str| Some(directory.join(name)).filter(|path| path.is_file());
    if let Some(path) = file("tokenizer.json") {
        return Tokenizer::load(&path);
    }
    let settings = Settings::read(directory)?;
    for (vocab, merges) in [("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")] {
        if let (Some(vocab), Some(merges)) = (file(vocab), file(merges)) {
            return byte_pairs(&vocab, &merges, &settings);
        }
    }
    if let Some(path) = file("tokenizer.model").or(only(directory, "tiktoken")?) {
        return pieces_or_ranks(&path, &settings);
    }
    if let Some(path) = file("vocab.txt") {
        return word_list(&path, &settings);
    }
    if let Some(path) = only(directory, "gguf")? {
        return Tokenizer::from_gguf(&GgufVocab::load(&path)?);
    }
    let reason = format!("there is no tokenizer; looked for {LOOKED_FOR}");
    Err(Error::Tokenizer { path: directory.into(), reason })
}

/// The only file of a directory with this extension.
fn only(directory: &Path, extension: &str) -> Result<Option<PathBuf>> {
    let entries = std::fs::read_dir(directory).map_err(|e| Error::io(directory, e))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    found.sort();
    Ok(if found.len() == 1 { found.pop() } else { None })
}

/// What the files beside a vocabulary say.
struct Settings {
    config: Json,
    model_type: String,
    added: Vec<Added>,
}

impl Settings {
    fn read(directory: &Path) -> Result<Self> {
        let json = |name: &str| -> Result<Json> {
            let path = directory.join(name);
            if path.is_file() { read_json(&path) } else { Ok(Json::Null) }
        };
        let config = json("tokenizer_config.json")?;
        let model_type = json("config.json")?["model_type"].as_str().unwrap_or_default().to_owned();
        let names = json("special_tokens_map.json")?;
        let mut added = Vec::new();
        for (id, token) in config["added_tokens_decoder"].as_object().into_iter().flatten() {
            let (Ok(id), Some(content)) = (id.parse(), token["content"].as_str()) else { continue };
            let mut token_added = Added::new(content, id, token["special"] == true);
            token_added.lstrip = token["lstrip"] == true;
            token_added.rstrip = token["rstrip"] == true;
            added.push(token_added);
        }
        for (content, id) in json("added_tokens.json")?.as_object().into_iter().flatten() {
            let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else { continue };
            if !added.iter().any(|t| t.id == id) {
                added.push(Added::new(content, id, is_special(content, &[&names, &config])));
            }
        }
        Ok(Self { config, model_type, added })
    }

    fn token(&self, name: &str) -> Option<String> {
        Some(special_token(&self.config[name])).filter(|token| !token.is_empty())
    }
}

fn is_special(content: &str, files: &[&Json]) -> bool {
    let holds = |value: &Json| special_token(value) == content;
    files.iter().any(|file| {
        file.as_object().into_iter().flatten().any(|(name, value)| match value {
            Json::Array(values) => name == "additional_special_tokens" && values.iter().any(holds),
            value => name.ends_with("_token") && holds(value),
        })
    })
}

fn build(path: &Path, spec: Result<Spec, String>) -> Result<Tokenizer> {
    let inner =
        spec.and_then(Spec::build).map_err(|reason| Error::Tokenizer { path: path.into(), reason })?;
    Ok(Tokenizer { inner, path: path.into(), bos: None })
}

fn byte_pairs(vocab_path: &Path, merges_path: &Path, settings: &Settings) -> Result<Tokenizer> {
    let class = settings.config["tokenizer_class"].as_str().unwrap_or_default();
    let kind = if class.is_empty() { settings.model_type.as_str() } else { class };
    let pattern = match kind.to_lowercase() {
        kind if kind.starts_with("qwen") => QWEN2,
        kind if kind.is_empty()
            || ["gpt", "phi", "opt", "roberta", "bart", "codegen", "starcoder"]
                .iter()
                .any(|k| kind.starts_with(k)) =>
        {
            GPT2
        }
        _ => {
            let reason = format!(
                "vocab.json and merges.txt of {kind:?}: which pattern cuts its texts is not known\nhint: save it as \
                 tokenizer.json"
            );
            return Err(Error::Tokenizer { path: vocab_path.into(), reason });
        }
    };
    let json = read_json(vocab_path)?;
    let broken = |path: &Path, reason: String| Error::Tokenizer { path: path.into(), reason };
    let entries = json.as_object().ok_or_else(|| broken(vocab_path, "not an object of tokens".into()))?;
    let mut vocab = Vocab::with_capacity(entries.len());
    for (token, id) in entries {
        let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
        let id = id.ok_or_else(|| broken(vocab_path, format!("the id of {token:?} is not a number")))?;
        vocab.insert(token.clone(), id);
    }
    let text = read_text(merges_path)?;
    let mut merges = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let heading = number == 0 && line.starts_with("#version");
        if heading || line.is_empty() {
            continue;
        }
        let pair = line.split_once(' ').ok_or_else(|| {
            broken(merges_path, format!("line {}: expected two tokens, got {line:?}", number + 1))
        })?;
        merges.push((pair.0.to_owned(), pair.1.to_owned()));
    }
    let prefix = settings.config["add_prefix_space"] == true;
    let mut added = settings.added.clone();
    // GPT-2 has its one special token in the vocabulary itself.
    if let Some(id) = vocab.get("<|endoftext|>").filter(|id| !added.iter().any(|t| t.id == **id)) {
        added.push(Added::new("<|endoftext|>", *id, true));
    }
    build(vocab_path, Ok(byte_level(&vocab, &merges, pattern, added, prefix)))
}

fn pieces_or_ranks(path: &Path, settings: &Settings) -> Result<Tokenizer> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let spec = if tiktoken::looks_like(&bytes) {
        String::from_utf8(bytes)
            .map_err(|e| e.to_string())
            .and_then(|text| tiktoken::parse(&text))
            .and_then(|ranks| tiktoken::spec(&ranks, &settings.model_type, &settings.added))
    } else {
        let add_bos = settings.config["add_bos_token"] != false;
        sentencepiece::Model::parse(&bytes).and_then(|model| model.spec(settings.added.clone(), add_bos))
    };
    build(path, spec)
}

fn word_list(path: &Path, settings: &Settings) -> Result<Tokenizer> {
    let text = read_text(path)?;
    let vocab: Vocab = (0..).zip(text.lines()).map(|(id, word)| (word.to_owned(), id)).collect();
    let token = |field: &str, usual: &str| {
        let name = settings.token(field).unwrap_or_else(|| usual.into());
        vocab.get(&name).map(|id| Added::new(name.clone(), *id, true)).ok_or_else(|| Error::Tokenizer {
            path: path.into(),
            reason: format!("{name} is not in the list"),
        })
    };
    let (cls, separator) = (token("cls_token", "[CLS]")?, token("sep_token", "[SEP]")?);
    let unknown = token("unk_token", "[UNK]")?;
    let lowercase = settings.config["do_lower_case"] != false;
    build(path, Ok(word_piece(&vocab, &unknown.content, &cls, &separator, lowercase)))
}
