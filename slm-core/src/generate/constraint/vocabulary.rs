//! The bytes of each token of a Hugging Face tokenizer.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use llguidance::toktrie::{TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};
use tokenizers::DecoderWrapper;

use crate::text::Tokenizer;
use crate::{Error, Result};

struct Vocabulary {
    trie: TokTrie,
    tokenizer: Tokenizer,
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let encode = |text: &str| self.tokenizer.encode(text, false).unwrap_or_default();
        self.trie.tokenize_with_greedy_fallback(bytes, encode)
    }

    // Tokens that are forced are sampled like all others, so the tokenizer's own choice is never asked for.
    fn tokenize_is_canonical(&self) -> bool {
        false
    }
}

/// The trie over the bytes of all tokens; special tokens stand apart from text.
pub(super) fn environment(tokenizer: &Tokenizer, vocab_size: usize, eos: &[u32]) -> Result<TokEnv> {
    let Some((first, _)) = eos.split_first() else {
        let reason = "a constrained answer needs an end-of-sequence token".to_owned();
        return Err(Error::Request { reason });
    };
    if let Some(id) = eos.iter().find(|id| **id as usize >= vocab_size) {
        return Err(Error::Request {
            reason: format!("end-of-sequence token {id} is not among {vocab_size}"),
        });
    }
    let words = token_bytes(tokenizer, vocab_size, eos)?;
    let trie = TokTrie::from(&TokRxInfo::new(vocab_size as u32, *first), &words).with_eos_tokens(eos);
    Ok(Arc::new(Vocabulary { trie, tokenizer: tokenizer.clone() }))
}

/// How a vocabulary writes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    /// One printable character for each byte (GPT-2).
    ByteLevel,
    /// Text with `▁` for the space, and `<0xNN>` for bytes that are no text (SentencePiece).
    Fallback,
}

fn alphabet(decoder: &DecoderWrapper) -> Option<Alphabet> {
    match decoder {
        DecoderWrapper::ByteLevel(_) => Some(Alphabet::ByteLevel),
        DecoderWrapper::ByteFallback(_) | DecoderWrapper::Metaspace(_) => Some(Alphabet::Fallback),
        DecoderWrapper::Sequence(parts) => parts.get_decoders().iter().find_map(alphabet),
        _ => None,
    }
}

fn token_bytes(tokenizer: &Tokenizer, vocab_size: usize, eos: &[u32]) -> Result<Vec<Vec<u8>>> {
    let inner = tokenizer.as_inner();
    let alphabet = inner.get_decoder().and_then(alphabet).ok_or_else(|| Error::Tokenizer {
        path: PathBuf::from("(memory)"),
        reason: "its decoder is neither byte-level nor byte-fallback; constraints need the bytes of tokens"
            .into(),
    })?;
    let added = inner.get_added_tokens_decoder();
    let bytes = byte_alphabet();
    let special = |name: &str| [&[TokTrie::SPECIAL_TOKEN_MARKER], name.as_bytes()].concat();
    let word = |id: u32| {
        let Some(name) = inner.id_to_token(id) else { return Vec::new() };
        if let Some(token) = added.get(&id) {
            let is_special = token.special || eos.contains(&id);
            return if is_special { special(&name) } else { name.into_bytes() };
        }
        if eos.contains(&id) {
            return special(&name);
        }
        match alphabet {
            Alphabet::ByteLevel => {
                name.chars().map(|c| bytes.get(&c).copied()).collect::<Option<_>>().unwrap_or_default()
            }
            Alphabet::Fallback => match fallback_byte(&name) {
                Some(byte) => vec![byte],
                None => name.replace('▁', " ").into_bytes(),
            },
        }
    };
    Ok((0..vocab_size as u32).map(word).collect())
}

fn fallback_byte(name: &str) -> Option<u8> {
    let hex = name.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(hex, 16).ok()
}

/// GPT-2's characters for bytes: printable Latin-1 stands for itself, the rest for characters from U+0100 on.
fn byte_alphabet() -> HashMap<char, u8> {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut next = 0x100;
    let mut all = HashMap::new();
    for byte in 0..=u8::MAX {
        let mut character = char::from(byte);
        if !printable(byte) {
            character = char::from_u32(next).unwrap_or(character);
            next += 1;
        }
        all.insert(character, byte);
    }
    all
}
