//! Tokenizers of GGUF vocabularies.

use serde_json::{Value as Json, json};

use super::spec::{
    Added, BytePattern, DIGITS, GPT2, LLAMA3, O200K, QWEN2, Spec, TEKKEN, Vocab, around, byte_level,
    merges_of_scores, sentence_piece_bpe, with_spaces,
};
use crate::text::gguf::GgufVocab;

pub(super) const UNKNOWN: i32 = 2;
pub(super) const CONTROL: i32 = 3;
pub(super) const USER_DEFINED: i32 = 4;
/// Cuts as Llama 3 does, but merges whatever is cut.
pub(super) const DBRX: BytePattern = BytePattern { ignore_merges: false, ..LLAMA3 };

pub(super) fn spec(vocab: &GgufVocab) -> Result<Spec, String> {
    match vocab.model.as_str() {
        "gpt2" => bytes(vocab),
        "llama" => Ok(pieces(vocab)),
        "bert" => words(vocab),
        other => Err(format!("tokenizer.ggml.model {other:?} is none of gpt2, llama and bert")),
    }
}

fn pattern(pre: &str) -> Result<BytePattern, String> {
    Ok(match pre {
        "" | "default" | "gpt-2" | "gpt2" | "phi-2" | "mpt" | "olmo" | "jina-es" | "jina-de"
        | "roberta-bpe" => GPT2,
        "llama-bpe" | "llama3" | "llama-v3" | "falcon3" => LLAMA3,
        "dbrx" | "smaug-bpe" => DBRX,
        "qwen2" | "deepseek-r1-qwen" | "stablelm2" | "megrez" => QWEN2,
        "gpt-4o" | "llama4" => O200K,
        "tekken" => TEKKEN,
        "starcoder" | "refact" | "command-r" | "smollm" | "codeshell" | "exaone" => DIGITS,
        other => {
            return Err(format!(
                "pre-tokenizer {other:?} is not known\nhint: put the model's tokenizer.json beside it"
            ));
        }
    })
}

fn vocab_of(vocab: &GgufVocab) -> Vocab {
    let mut ids = Vocab::new();
    for (id, token) in (0..).zip(&vocab.tokens) {
        ids.entry(token.clone()).or_insert(id);
    }
    ids
}

/// Control tokens are special, user-defined ones are found in a text but are part of it.
fn added(vocab: &GgufVocab) -> Vec<Added> {
    let kinds = (0..).zip(vocab.tokens.iter().zip(&vocab.token_types));
    let wanted = kinds.filter(|(_, (_, kind))| matches!(**kind, UNKNOWN | CONTROL | USER_DEFINED));
    wanted.map(|(id, (token, kind))| Added::new(token.clone(), id, *kind != USER_DEFINED)).collect()
}

fn named(vocab: &GgufVocab, name: &str) -> Option<Added> {
    Some(Added::new(vocab.special(name)?, *vocab.ids.get(name)?, true))
}

/// What is put around a text; `bos` and `eos` say what the kind of model does where the file says nothing.
fn ends(vocab: &GgufVocab, bos: bool, eos: bool) -> Option<Json> {
    let before = named(vocab, "bos").filter(|_| vocab.add_bos.unwrap_or(bos));
    let after = named(vocab, "eos").filter(|_| vocab.add_eos.unwrap_or(eos));
    (before.is_some() || after.is_some()).then(|| around(before.as_ref(), after.as_ref()))
}

fn bytes(vocab: &GgufVocab) -> Result<Spec, String> {
    let pattern = pattern(&vocab.pre)?;
    let ids = vocab_of(vocab);
    // Converters leave merges of tokens that they renamed; those could never apply.
    let merges: Vec<(String, String)> = vocab
        .merges
        .iter()
        .filter_map(|merge| merge.split_once(' '))
        .filter(|(a, b)| ids.contains_key(*a) && ids.contains_key(*b) && ids.contains_key(&format!("{a}{b}")))
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect();
    let prefix = vocab.add_space_prefix.unwrap_or(false);
    let mut spec = byte_level(&ids, &merges, pattern, added(vocab), prefix);
    // Llama 3 begins its texts with a token, whether or not a file says so.
    if let Some(post) = ends(vocab, pattern == LLAMA3, false) {
        spec.post_processor = post;
    }
    Ok(spec)
}

fn pieces(vocab: &GgufVocab) -> Spec {
    let ids = vocab_of(vocab);
    let scored: Vec<(String, f32)> = vocab.tokens.iter().cloned().zip(vocab.scores.iter().copied()).collect();
    let added = added(vocab);
    let unknown = added.iter().find(|t| vocab.token_types.get(t.id as usize) == Some(&UNKNOWN));
    let unknown = unknown.map(|t| t.content.clone());
    let merges = merges_of_scores(&scored, &ids);
    let spec = sentence_piece_bpe(&ids, &merges, unknown.as_deref(), added);
    let mut spec = with_spaces(spec, Vec::new(), vocab.add_space_prefix.unwrap_or(true));
    if let Some(post) = ends(vocab, true, false) {
        spec.post_processor = post;
    }
    spec
}

/// WordPiece. GGUF marks beginnings of words with `▁`, where WordPiece marks continuations with `##`.
fn words(vocab: &GgufVocab) -> Result<Spec, String> {
    let mut ids = Vocab::new();
    let mut cased = false;
    for (id, token) in (0..).zip(&vocab.tokens) {
        let special = token.starts_with('[') && token.ends_with(']');
        let word = match token.strip_prefix('\u{2581}') {
            Some(word) => word.to_owned(),
            None if special => token.clone(),
            None => format!("##{token}"),
        };
        cased |= !special && word.chars().any(|c| c.is_ascii_uppercase());
        ids.entry(word).or_insert(id);
    }
    let find = |names: &[&str]| names.iter().find_map(|name| named(vocab, name));
    let cls = find(&["cls", "bos"]).ok_or("no token begins a text (cls_token_id)")?;
    let separator =
        find(&["seperator", "separator", "eos"]).ok_or("no token ends a text (seperator_token_id)")?;
    let unknown = named(vocab, "unknown").map_or_else(|| "[UNK]".to_owned(), |t| t.content);
    Ok(word_piece(&ids, &unknown, &cls, &separator, !cased))
}

/// BERT's tokenizer.
pub(super) fn word_piece(
    ids: &Vocab,
    unknown: &str,
    cls: &Added,
    separator: &Added,
    lowercase: bool,
) -> Spec {
    let vocab: serde_json::Map<String, Json> = {
        let mut pairs: Vec<(&String, &u32)> = ids.iter().collect();
        pairs.sort_by_key(|(_, id)| **id);
        pairs.into_iter().map(|(word, id)| (word.clone(), (*id).into())).collect()
    };
    let special = ["[PAD]", "[MASK]", unknown];
    let mut added: Vec<Added> =
        special.iter().filter_map(|name| Some(Added::new(*name, *ids.get(*name)?, true))).collect();
    added.extend([cls.clone(), separator.clone()]);
    let mut post_processor = around(Some(cls), Some(separator));
    // The second of a pair has no token before it.
    if let Some(pair) = post_processor["pair"].as_array_mut() {
        pair.remove(3);
    }
    Spec {
        model: json!({
            "type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab,
        }),
        normalizer: json!({
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": lowercase,
        }),
        pre_tokenizer: json!({"type": "BertPreTokenizer"}),
        post_processor,
        decoder: json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
        added,
    }
}
