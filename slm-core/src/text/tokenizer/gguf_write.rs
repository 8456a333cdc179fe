//! From a tokenizer to the vocabulary of a GGUF file.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::spec::{BytePattern, DIGITS, GPT2, LLAMA3, O200K, QWEN2, TEKKEN};
use super::{Tokenizer, gguf};
use crate::Result;
use crate::text::gguf::GgufVocab;

const NORMAL: i32 = 1;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// What llama.cpp calls the ways to cut a text, best known name first.
const NAMES: [(BytePattern, &str); 7] = [
    (GPT2, "gpt-2"),
    (QWEN2, "qwen2"),
    (LLAMA3, "llama-bpe"),
    (gguf::DBRX, "dbrx"),
    (O200K, "gpt-4o"),
    (TEKKEN, "tekken"),
    (DIGITS, "smollm"),
];

impl Tokenizer {
    /// The vocabulary for a GGUF file of a model of `vocab_size` ids, without chat templates.
    ///
    /// # Errors
    /// When the format has no name for this tokenizer: only byte-level BPE whose pattern llama.cpp knows, and
    /// SentencePiece's BPE can be written.
    pub fn to_gguf(&self, vocab_size: usize) -> Result<GgufVocab> {
        let json = self.inner.to_string(false).map_err(|e| self.error(&e))?;
        let json: Json = serde_json::from_str(&json).map_err(|e| self.error(&e))?;
        let mut vocab = vocab(&json, vocab_size).map_err(|reason| self.error(&reason))?;
        let (plain, whole) = (self.encode("a", false)?, self.encode("a", true)?);
        let at = whole.windows(plain.len().max(1)).position(|part| part == plain).unwrap_or(0);
        vocab.add_bos = Some(at > 0);
        vocab.add_eos = Some(at + plain.len() < whole.len());
        if at > 0 {
            vocab.ids.insert("bos".into(), whole[0]);
        }
        if let Some(last) = whole.last().filter(|_| vocab.add_eos == Some(true)) {
            vocab.ids.insert("eos".into(), *last);
        }
        Ok(vocab)
    }
}

impl Tokenizer {
    /// Whether texts are brought into Unicode's normal form C first, which GGUF files cannot say.
    pub(crate) fn composes(&self) -> bool {
        let steps = self.inner.get_normalizer().and_then(|n| serde_json::to_string(n).ok());
        steps.is_some_and(|steps| steps.contains("\"NFC\""))
    }
}

fn vocab(json: &Json, vocab_size: usize) -> Result<GgufVocab, String> {
    let model = &json["model"];
    let kind = model["type"].as_str().unwrap_or("BPE");
    if kind != "BPE" {
        return Err(format!("a {kind} tokenizer cannot be written to a GGUF file; expected BPE"));
    }
    let mut vocab = GgufVocab::default();
    let pieces = model["byte_fallback"] == true;
    let merges = merges(model)?;
    if pieces {
        vocab.model = "llama".into();
        vocab.pre = "default".into();
        vocab.add_space_prefix = Some(has_prefix(json));
    } else {
        vocab.model = "gpt2".into();
        vocab.pre = pattern_name(json)?.into();
        vocab.merges = merges.iter().map(|(a, b)| format!("{a} {b}")).collect();
    }
    let own = tokens(json, vocab_size, pieces)?;
    vocab.tokens = own.iter().map(|t| t.0.clone()).collect();
    vocab.token_types = own.iter().map(|t| t.1).collect();
    if let Some(id) = model["unk_token"].as_str().and_then(|t| own.iter().position(|(o, _)| o == t)) {
        vocab.ids.insert("unknown".into(), u32::try_from(id).unwrap_or(0));
        if pieces {
            vocab.token_types[id] = gguf::UNKNOWN;
        }
    }
    if pieces {
        vocab.scores = scores(&vocab, &merges);
    }
    Ok(vocab)
}

/// Content and type of each id; ids that the tokenizer does not use get names of their own.
fn tokens(json: &Json, vocab_size: usize, pieces: bool) -> Result<Vec<(String, i32)>, String> {
    let mut all = vec![None; vocab_size];
    let mut set = |content: &str, id: &Json, kind: i32| -> Result<(), String> {
        let id = id.as_u64().and_then(|id| usize::try_from(id).ok());
        let slot = id
            .and_then(|id| all.get_mut(id))
            .ok_or_else(|| format!("token {content:?} has id {id:?}, but the model has {vocab_size} ids"))?;
        *slot = Some((content.to_owned(), kind));
        Ok(())
    };
    for (content, id) in json["model"]["vocab"].as_object().into_iter().flatten() {
        let byte = pieces && content.len() == 6 && content.starts_with("<0x") && content.ends_with('>');
        set(content, id, if byte { BYTE } else { NORMAL })?;
    }
    for token in json["added_tokens"].as_array().into_iter().flatten() {
        let content = token["content"].as_str().unwrap_or_default();
        let kind = if token["special"] == true { gguf::CONTROL } else { gguf::USER_DEFINED };
        set(content, &token["id"], kind)?;
    }
    let named =
        |(id, token): (usize, Option<(String, i32)>)| token.unwrap_or_else(|| (format!("[PAD{id}]"), UNUSED));
    Ok(all.into_iter().enumerate().map(named).collect())
}

/// Merges as pairs, in either of their spellings.
fn merges(model: &Json) -> Result<Vec<(String, String)>, String> {
    let pair = |merge: &Json| match merge {
        Json::String(text) => text.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())),
        merge => Some((merge[0].as_str()?.to_owned(), merge[1].as_str()?.to_owned())),
    };
    let all = model["merges"].as_array().into_iter().flatten();
    all.map(|merge| pair(merge).ok_or_else(|| format!("{merge} is not a merge"))).collect()
}

/// Scores that give the merges their order: SentencePiece takes the best piece first.
fn scores(vocab: &GgufVocab, merges: &[(String, String)]) -> Vec<f32> {
    let mut ranks: HashMap<String, usize> = HashMap::new();
    for (rank, (a, b)) in merges.iter().enumerate() {
        ranks.entry(format!("{a}{b}")).or_insert(rank);
    }
    // What no merge makes stays behind all that one makes.
    let last = merges.len();
    let score = |token: &String| -(ranks.get(token).copied().unwrap_or(last) as f32);
    let tokens = vocab.tokens.iter().zip(&vocab.token_types);
    tokens.map(|(token, kind)| if *kind == NORMAL { score(token) } else { 0.0 }).collect()
}

/// Whether a space is put before a text.
fn has_prefix(json: &Json) -> bool {
    let steps = |value: &Json, list: &str| -> Vec<Json> {
        value[list].as_array().cloned().unwrap_or_else(|| vec![value.clone()])
    };
    let normalizers = steps(&json["normalizer"], "normalizers");
    let cutters = steps(&json["pre_tokenizer"], "pretokenizers");
    let meta = |step: &Json| {
        step["type"] == "Metaspace" && step["prepend_scheme"] != "never" && step["add_prefix_space"] != false
    };
    normalizers.iter().any(|step| step["type"] == "Prepend") || cutters.iter().any(meta)
}

/// The name of the way in which a byte-level tokenizer cuts texts.
fn pattern_name(json: &Json) -> Result<&'static str, String> {
    let cutter = &json["pre_tokenizer"];
    let steps = cutter["pretokenizers"].as_array().cloned().unwrap_or_else(|| vec![cutter.clone()]);
    let mut splits: Vec<&str> = Vec::new();
    for step in &steps {
        match step["type"].as_str() {
            Some("Split") => splits.extend(step["pattern"]["Regex"].as_str()),
            Some("Digits") if step["individual_digits"] == true => splits.push(DIGITS.splits[0]),
            // On unless it is said to be off.
            Some("ByteLevel") if step["use_regex"] != false => splits.push(GPT2.splits[0]),
            _ => {}
        }
    }
    let ignores = json["model"]["ignore_merges"] == true;
    let same = |p: &&(BytePattern, &str)| p.0.splits == splits;
    let exact = NAMES.iter().filter(same).find(|p| p.0.ignore_merges == ignores);
    exact.or_else(|| NAMES.iter().find(same)).map(|p| p.1).ok_or_else(|| {
        format!(
            "the pattern that cuts texts has no name in GGUF files: {splits:?}\nhint: convert the model with llama.cpp's \
             own script, or use one of the tokenizers of Qwen, Llama, Mistral, GPT-2, SmolLM and Phi"
        )
    })
}
