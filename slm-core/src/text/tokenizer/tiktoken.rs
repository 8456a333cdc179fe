//! tiktoken files: a line per token, its bytes in base64 and its rank, which is its id.

use std::collections::HashMap;

use super::spec::{
    Added, BytePattern, GPT2, LLAMA3, O200K, QWEN2, Spec, Vocab, around, byte_char, byte_level,
};

/// What a tiktoken file does not say: which pattern it goes with, and the tokens that are not text.
pub(super) struct Style {
    pattern: BytePattern,
    special: Vec<(String, u32)>,
    /// Put before a text.
    bos: Option<&'static str>,
}

impl Style {
    /// The vocabularies in use differ in size, and are known by it.
    pub(super) fn of_size(ranks: usize) -> Option<Self> {
        let named = |all: &[(&str, u32)]| all.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect();
        Some(match ranks {
            128_000 => Self { pattern: LLAMA3, special: llama3_special(), bos: Some("<|begin_of_text|>") },
            100_256 => Self {
                pattern: LLAMA3,
                special: named(&[
                    ("<|endoftext|>", 100_257),
                    ("<|fim_prefix|>", 100_258),
                    ("<|fim_middle|>", 100_259),
                    ("<|fim_suffix|>", 100_260),
                    ("<|endofprompt|>", 100_276),
                ]),
                bos: None,
            },
            199_998 => Self {
                pattern: O200K,
                special: named(&[("<|endoftext|>", 199_999), ("<|endofprompt|>", 200_018)]),
                bos: None,
            },
            50_256 => Self { pattern: GPT2, special: named(&[("<|endoftext|>", 50_256)]), bos: None },
            _ => return None,
        })
    }
}

impl Style {
    /// A vocabulary of another size, of a model whose family says which pattern it has.
    fn of_family(model_type: &str) -> Option<Self> {
        let pattern = match model_type {
            kind if kind.starts_with("llama") || kind.starts_with("mllama") => LLAMA3,
            kind if kind.starts_with("qwen") => QWEN2,
            _ => return None,
        };
        Some(Self { pattern, special: Vec::new(), bos: None })
    }
}

/// As `transformers` names them for Llama 3.1 and later.
fn llama3_special() -> Vec<(String, u32)> {
    let first = [
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|reserved_special_token_0|>",
        "<|reserved_special_token_1|>",
        "<|finetune_right_pad_id|>",
        "<|reserved_special_token_2|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eom_id|>",
        "<|eot_id|>",
        "<|python_tag|>",
    ];
    let names = first.into_iter().map(str::to_owned);
    let reserved = (3..248).map(|i| format!("<|reserved_special_token_{i}|>"));
    (128_000..).zip(names.chain(reserved)).map(|(id, name)| (name, id)).collect()
}

/// Ranks by the bytes of their tokens.
pub(super) type Ranks = HashMap<Vec<u8>, u32>;

/// Whether a file begins as a tiktoken file does.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    std::str::from_utf8(line).is_ok_and(|line| parse_line(line.trim()).is_some())
}

fn parse_line(line: &str) -> Option<(Vec<u8>, u32)> {
    let (token, rank) = line.split_once(' ')?;
    Some((decode_base64(token)?, rank.parse().ok()?))
}

/// Reads the lines; the error says which is wrong.
pub(super) fn parse(text: &str) -> Result<Ranks, String> {
    let mut ranks = Ranks::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let (token, rank) = parse_line(line)
            .ok_or_else(|| format!("line {}: expected base64 and a rank, got {line:?}", number + 1))?;
        if token.is_empty() || ranks.insert(token, rank).is_some() {
            return Err(format!("line {}: the token is empty or there twice", number + 1));
        }
    }
    Ok(ranks)
}

/// The tokenizer of a tiktoken file; `added` are tokens that the directory names, else the style's own are used.
pub(super) fn spec(ranks: &Ranks, model_type: &str, added: &[Added]) -> Result<Spec, String> {
    let style = Style::of_size(ranks.len()).or_else(|| Style::of_family(model_type)).ok_or_else(|| {
        format!(
            "{} tokens are none of the known vocabularies (Llama 3, cl100k, o200k, r50k), so that the pattern is \
             unknown\nhint: save the tokenizer as tokenizer.json",
            ranks.len()
        )
    })?;
    let vocab: Vocab = ranks.iter().map(|(token, rank)| (printable(token), *rank)).collect();
    let special = style
        .special
        .iter()
        .map(|(name, id)| Added::new(name.clone(), *id, true))
        .filter(|t| !added.iter().any(|a| a.id == t.id));
    let added: Vec<Added> = added.iter().cloned().chain(special).collect();
    let bos = style.bos.and_then(|name| added.iter().find(|t| t.content == name)).cloned();
    let mut spec = byte_level(&vocab, &merges(ranks), style.pattern, added, false);
    if let Some(bos) = bos {
        spec.post_processor = around(Some(&bos), None);
    }
    Ok(spec)
}

/// Two tokens may merge where what they make is a token; the lower its rank, the sooner.
fn merges(ranks: &Ranks) -> Vec<(String, String)> {
    let mut found: Vec<(u32, u32, u32, (String, String))> = Vec::new();
    for (token, rank) in ranks {
        for at in 1..token.len() {
            let (left, right) = token.split_at(at);
            if let (Some(l), Some(r)) = (ranks.get(left), ranks.get(right)) {
                found.push((*rank, *l, *r, (printable(left), printable(right))));
            }
        }
    }
    found.sort_unstable_by_key(|(rank, l, r, _)| (*rank, *l, *r));
    found.into_iter().map(|(.., pair)| pair).collect()
}

fn printable(token: &[u8]) -> String {
    token.iter().map(|b| byte_char(*b)).collect()
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for c in text.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xFFFF;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}
