//! A tokenizer put together as the content of a `tokenizer.json`, which the `tokenizers` crate checks and builds.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value as Json, json};

/// A token that is found in a text before anything else is done to it.
#[derive(Debug, Clone)]
pub(super) struct Added {
    pub(super) content: String,
    pub(super) id: u32,
    pub(super) special: bool,
    /// Takes white space before it along.
    pub(super) lstrip: bool,
    /// Takes white space after it along.
    pub(super) rstrip: bool,
}

impl Added {
    pub(super) fn new(content: impl Into<String>, id: u32, special: bool) -> Self {
        Self { content: content.into(), id, special, lstrip: false, rstrip: false }
    }
}

/// What a tokenizer consists of.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) model: Json,
    pub(super) normalizer: Json,
    pub(super) pre_tokenizer: Json,
    pub(super) post_processor: Json,
    pub(super) decoder: Json,
    pub(super) added: Vec<Added>,
}

/// Token to id.
pub(super) type Vocab = HashMap<String, u32>;
/// Two tokens that become one.
pub(super) type Merge = (String, String);

impl Spec {
    /// The content of a `tokenizer.json`, or why there is none.
    pub(super) fn build(mut self) -> Result<tokenizers::Tokenizer, String> {
        self.added.sort_by_key(|t| t.id);
        self.added.dedup_by_key(|t| t.id);
        self.place_added();
        let added: Vec<Json> = self.added.iter().map(|t| {
            json!({"id": t.id, "content": t.content, "single_word": false, "lstrip": t.lstrip, "rstrip": t.rstrip,
                   "normalized": false, "special": t.special})
        }).collect();
        let all = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": self.normalizer, "pre_tokenizer": self.pre_tokenizer,
            "post_processor": self.post_processor, "decoder": self.decoder, "model": self.model,
        });
        let tokenizer = tokenizers::Tokenizer::from_bytes(all.to_string()).map_err(|e| e.to_string())?;
        for token in &self.added {
            let got = tokenizer.token_to_id(&token.content);
            if got != Some(token.id) {
                return Err(format!("added token {:?} has id {}, got {got:?}", token.content, token.id));
            }
        }
        Ok(tokenizer)
    }

    /// Added tokens get the ids that follow the model's; where theirs are others, the model has to name them.
    fn place_added(&mut self) {
        let Some(vocab) = self.model["vocab"].as_object_mut() else { return };
        let missing: Vec<&Added> = self.added.iter().filter(|t| !vocab.contains_key(&t.content)).collect();
        let follows = missing.iter().enumerate().all(|(i, t)| t.id as usize == vocab.len() + i);
        if !follows {
            for token in missing {
                vocab.insert(token.content.clone(), token.id.into());
            }
        }
    }
}

/// How a byte-level BPE cuts a text before it merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BytePattern {
    /// Patterns that cut one after the other, each inside what the one before left.
    pub(super) splits: &'static [&'static str],
    /// Whether a piece that is a token is not merged at all.
    pub(super) ignore_merges: bool,
    /// Whether the text is brought into Unicode's normal form C first.
    pub(super) nfc: bool,
}

const GPT2_PATTERN: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const QWEN2_PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA3_PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const O200K_PATTERN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN_PATTERN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

pub(super) const GPT2: BytePattern =
    BytePattern { splits: &[GPT2_PATTERN], ignore_merges: false, nfc: false };
pub(super) const QWEN2: BytePattern =
    BytePattern { splits: &[QWEN2_PATTERN], ignore_merges: false, nfc: true };
pub(super) const LLAMA3: BytePattern =
    BytePattern { splits: &[LLAMA3_PATTERN], ignore_merges: true, nfc: false };
pub(super) const O200K: BytePattern =
    BytePattern { splits: &[O200K_PATTERN], ignore_merges: true, nfc: false };
pub(super) const TEKKEN: BytePattern =
    BytePattern { splits: &[TEKKEN_PATTERN], ignore_merges: true, nfc: false };
/// Each digit alone: StarCoder, SmolLM, Command-R.
pub(super) const DIGITS: BytePattern =
    BytePattern { splits: &[r"\p{N}", GPT2_PATTERN], ignore_merges: false, nfc: false };

/// A byte-level BPE; `add_prefix_space` puts a space before the text.
pub(super) fn byte_level(
    vocab: &Vocab,
    merges: &[Merge],
    pattern: BytePattern,
    added: Vec<Added>,
    add_prefix_space: bool,
) -> Spec {
    let level = |prefix: bool| json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": false, "use_regex": false});
    let mut steps: Vec<Json> = pattern
        .splits
        .iter()
        .map(|p| json!({"type": "Split", "pattern": {"Regex": p}, "behavior": "Isolated", "invert": false}))
        .collect();
    steps.push(level(false));
    let prepend = json!({"type": "Prepend", "prepend": " "});
    let normalizer = match (pattern.nfc, add_prefix_space) {
        (false, false) => Json::Null,
        (true, false) => json!({"type": "NFC"}),
        (false, true) => prepend,
        (true, true) => json!({"type": "Sequence", "normalizers": [{"type": "NFC"}, prepend]}),
    };
    let gpt2 = json!({"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": false, "use_regex": true});
    let (normalizer, pre_tokenizer) = if pattern == GPT2 {
        // Its own step knows the pattern, and adds no space where there is one.
        (Json::Null, gpt2)
    } else {
        (normalizer, json!({"type": "Sequence", "pretokenizers": steps}))
    };
    Spec {
        model: json!({
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": pattern.ignore_merges, "vocab": vocab_json(vocab), "merges": merges_json(merges),
        }),
        normalizer,
        pre_tokenizer,
        post_processor: level(false),
        decoder: json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}),
        added,
    }
}

/// A SentencePiece BPE: text with `▁` for spaces, bytes as `<0xNN>` where no piece fits.
pub(super) fn sentence_piece_bpe(
    vocab: &Vocab,
    merges: &[Merge],
    unknown: Option<&str>,
    added: Vec<Added>,
) -> Spec {
    Spec {
        model: json!({
            "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": vocab.contains_key("<0x0A>"),
            "ignore_merges": false, "vocab": vocab_json(vocab), "merges": merges_json(merges),
        }),
        normalizer: Json::Null,
        pre_tokenizer: Json::Null,
        post_processor: Json::Null,
        decoder: Json::Null,
        added,
    }
}

/// Gives a SentencePiece model its treatment of spaces. `prefix` puts one before the text and after each special token.
pub(super) fn with_spaces(mut spec: Spec, before: Vec<Json>, prefix: bool) -> Spec {
    let mut steps = before;
    if prefix {
        steps.push(json!({"type": "Prepend", "prepend": "\u{2581}"}));
    }
    steps.push(json!({"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"}));
    spec.normalizer = json!({"type": "Sequence", "normalizers": steps});
    let mut undo = vec![
        json!({"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefix {
        undo.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    spec.decoder = json!({"type": "Sequence", "decoders": undo});
    spec
}

/// The merges that a SentencePiece BPE means: all ways to split a piece into two others, best piece first.
pub(super) fn merges_of_scores(pieces: &[(String, f32)], vocab: &Vocab) -> Vec<Merge> {
    let mut merges: Vec<(f32, Merge)> = Vec::new();
    for (piece, score) in pieces {
        let mut splits: Vec<((u32, u32), Merge)> = piece
            .char_indices()
            .skip(1)
            .filter_map(|(at, _)| {
                let (left, right) = piece.split_at(at);
                Some(((*vocab.get(left)?, *vocab.get(right)?), (left.to_owned(), right.to_owned())))
            })
            .collect();
        splits.sort_by_key(|(ids, _)| *ids);
        merges.extend(splits.into_iter().map(|(_, pair)| (*score, pair)));
    }
    // Stable: pieces of one score stay in the order of their ids.
    merges.sort_by(|a, b| b.0.total_cmp(&a.0));
    merges.into_iter().map(|(_, pair)| pair).collect()
}

/// A post-processor that puts tokens around each text.
pub(super) fn around(before: Option<&Added>, after: Option<&Added>) -> Json {
    let token = |t: &Added, kind: u32| json!({"SpecialToken": {"id": t.content, "type_id": kind}});
    let text = |name: &str, kind: u32| json!({"Sequence": {"id": name, "type_id": kind}});
    let one = |name: &str, kind: u32| -> Vec<Json> {
        let before = before.map(|t| token(t, kind));
        before.into_iter().chain([text(name, kind)]).chain(after.map(|t| token(t, kind))).collect()
    };
    let special: Map<String, Json> = [before, after]
        .into_iter()
        .flatten()
        .map(|t| (t.content.clone(), json!({"id": t.content, "ids": [t.id], "tokens": [t.content]})))
        .collect();
    let pair: Vec<Json> = one("A", 0).into_iter().chain(one("B", 1)).collect();
    json!({"type": "TemplateProcessing", "single": one("A", 0), "pair": pair, "special_tokens": special})
}

/// In the order of ids, so that a saved tokenizer is the same each time.
fn vocab_json(vocab: &Vocab) -> Json {
    let ordered: BTreeMap<u32, &String> = vocab.iter().map(|(token, id)| (*id, token)).collect();
    Json::Object(ordered.into_iter().map(|(id, token)| (token.clone(), id.into())).collect())
}

fn merges_json(merges: &[Merge]) -> Json {
    merges.iter().map(|(a, b)| json!([a, b])).collect()
}

/// GPT-2's printable stand-in for a byte.
pub(super) fn byte_char(byte: u8) -> char {
    match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
        0..=0x20 => char::from_u32(256 + u32::from(byte)).unwrap_or('\u{100}'),
        0x7F..=0xA0 => char::from_u32(289 + u32::from(byte) - 0x7F).unwrap_or('\u{121}'),
        0xAD => '\u{143}',
    }
}
