//! Text out of tokens as they come.

use std::collections::HashMap;

use super::Tokenizer;
use crate::Result;

/// Tokens kept before the next one, for the spacing between them.
const CONTEXT: usize = 8;
/// Tokens decoded again with the next one, at most.
const WINDOW: usize = 32;
/// Stands for bytes that are no character, and for a character that is not complete.
const REPLACEMENT: char = '\u{FFFD}';

impl Tokenizer {
    /// Decodes token by token what follows `before`: with it, the first token keeps a space that it would
    /// lose at the beginning of a text.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn stream(&self, before: &[u32]) -> Result<TextStream<'_>> {
        self.stream_of(before, false)
    }

    /// The same with special tokens in the text, as in [`Tokenizer::decode_with_special`]: some models write the
    /// marks of a tool call so.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn stream_with_special(&self, before: &[u32]) -> Result<TextStream<'_>> {
        self.stream_of(before, true)
    }

    fn stream_of(&self, before: &[u32], special: bool) -> Result<TextStream<'_>> {
        let mut stream = TextStream {
            tokenizer: self,
            special,
            bytes: self.byte_tokens(),
            ids: Vec::new(),
            emitted: 0,
            pending: Vec::new(),
        };
        let start = stream.context_start(before)?;
        for id in &before[start..] {
            stream.push(*id)?;
        }
        Ok(stream)
    }

    /// The tokens that stand for a byte where no piece fits, as SentencePiece has them.
    fn byte_tokens(&self) -> HashMap<u32, u8> {
        let decoder = serde_json::to_string(&self.inner.get_decoder()).unwrap_or_default();
        if !decoder.contains("ByteFallback") {
            return HashMap::new();
        }
        let id = |byte: u8| Some((self.inner.token_to_id(&format!("<0x{byte:02X}>"))?, byte));
        (0..=u8::MAX).filter_map(id).collect()
    }
}

/// Decodes a growing sequence into text that is never cut inside a character.
///
/// The pieces make up [`Tokenizer::decode`] of the sequence. Only where byte tokens are no UTF-8 do they differ from
/// it: each stray byte is one U+FFFD here, while `decode` gives up the valid bytes next to it, too. A token costs the
/// same wherever it stands.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    special: bool,
    bytes: HashMap<u32, u8>,
    /// The last tokens, byte tokens only once they make a character.
    ids: Vec<u32>,
    /// Bytes of the text of `ids` that were handed out.
    emitted: usize,
    /// Byte tokens that may become a character.
    pending: Vec<u32>,
}

impl TextStream<'_> {
    /// Adds a token and returns the text that is final with it, possibly empty.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn push(&mut self, id: u32) -> Result<String> {
        if self.bytes.contains_key(&id) {
            self.pending.push(id);
            return self.take_bytes();
        }
        let mut out = String::new();
        while !self.pending.is_empty() {
            out.push_str(&self.give_up(1)?);
        }
        self.ids.push(id);
        out.push_str(&self.advance()?);
        Ok(out)
    }

    /// The text held back, once no token follows.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn finish(&mut self) -> Result<String> {
        let text = self.decode(&self.ids)?;
        let mut rest = text.get(self.emitted..).unwrap_or_default().to_owned();
        self.emitted = text.len();
        while !self.pending.is_empty() {
            rest.push_str(&self.give_up(1)?);
        }
        Ok(rest)
    }

    fn decode(&self, ids: &[u32]) -> Result<String> {
        if self.special { self.tokenizer.decode_with_special(ids) } else { self.tokenizer.decode(ids) }
    }

    /// Hands out what the pending bytes make.
    fn take_bytes(&mut self) -> Result<String> {
        let mut out = String::new();
        loop {
            let bytes: Vec<u8> = self.pending.iter().map(|id| self.bytes[id]).collect();
            match std::str::from_utf8(&bytes) {
                Ok(_) => {
                    self.ids.append(&mut self.pending);
                    out.push_str(&self.advance()?);
                    return Ok(out);
                }
                Err(e) => match e.error_len() {
                    None => return Ok(out),
                    Some(length) => out.push_str(&self.give_up(length)?),
                },
            }
        }
    }

    /// The first `count` pending bytes are no character.
    fn give_up(&mut self, count: usize) -> Result<String> {
        self.pending.drain(..count.min(self.pending.len()));
        // Something has to stand in their place, or the next word would lose its space.
        self.ids.extend(self.bytes.iter().find(|(_, byte)| **byte == b'?').map(|(id, _)| *id));
        self.emitted = self.decode(&self.ids)?.len();
        self.slide(0)?;
        Ok(String::from(REPLACEMENT).repeat(count))
    }

    /// Text that the tokens have more than was handed out, but for a character that is not complete.
    fn advance(&mut self) -> Result<String> {
        let text = self.decode(&self.ids)?;
        let certain = text.strip_suffix(REPLACEMENT).unwrap_or(&text).len();
        let new = text.get(self.emitted..certain).unwrap_or_default().to_owned();
        self.emitted = self.emitted.max(certain).min(text.len());
        self.slide(text.len() - self.emitted)?;
        Ok(new)
    }

    /// Keeps the window short, of whose text the last `held` bytes are not handed out.
    fn slide(&mut self, held: usize) -> Result<()> {
        if self.ids.len() > WINDOW {
            self.ids.drain(..self.context_start(&self.ids)?);
            self.emitted = self.decode(&self.ids)?.len().saturating_sub(held);
        }
        Ok(())
    }

    /// Where the last tokens of `ids` begin with a whole character.
    fn context_start(&self, ids: &[u32]) -> Result<usize> {
        let mut start = ids.len().saturating_sub(CONTEXT);
        // A character has four bytes at most.
        for _ in 0..3 {
            let inside = |id: u32| self.bytes.get(&id).is_some_and(|byte| byte & 0xC0 == 0x80);
            let cut = start > 0
                && (inside(ids[start]) || self.tokenizer.decode(&ids[start..])?.starts_with(REPLACEMENT));
            if !cut {
                break;
            }
            start -= 1;
        }
        Ok(start)
    }
}

#[cfg(test)]
mod tests {
    //! The cost of a token is that of the window, which stays short whatever comes.

    use std::path::Path;

    use super::*;

    #[test]
    fn the_window_stays_short() -> Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/text/tokenizers");
        for name in ["sentencepiece-bpe", "gpt2", "wordpiece"] {
            let tokenizer = Tokenizer::load_directory(&folder.join(name))?;
            let words = tokenizer.encode("the pump is closed and the valve is open ", false)?;
            // Bytes that never make a character are the worst case: each may be the beginning of one.
            let stray = tokenizer.token_id("<0xE4>").or(tokenizer.token_id("ä")).map(|id| vec![id]);
            for pattern in [Some(words), stray].into_iter().flatten() {
                let mut stream = tokenizer.stream(&[])?;
                let mut text = String::new();
                for id in pattern.iter().cycle().take(3000) {
                    text.push_str(&stream.push(*id)?);
                    assert!(stream.ids.len() <= WINDOW && stream.pending.len() < 4, "{name}");
                }
                text.push_str(&stream.finish()?);
                assert!(text.chars().count() >= 3000, "{name}: nothing is lost");
            }
        }
        Ok(())
    }
}
