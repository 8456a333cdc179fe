//! Text out of tokens as they come.

use super::Tokenizer;
use crate::Result;

impl Tokenizer {
    /// Decodes token by token what follows `before`: with it, the first token keeps a space that it would
    /// lose at the beginning of a text.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn stream(&self, before: &[u32]) -> Result<TextStream<'_>> {
        let ids = before[before.len().saturating_sub(CONTEXT)..].to_vec();
        let emitted = self.decode(&ids)?.len();
        Ok(TextStream { tokenizer: self, ids, start: 0, emitted })
    }
}

/// Tokens decoded again with the next one, for their spacing.
const CONTEXT: usize = 8;

/// Decodes a growing sequence into text that is never cut inside a character.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<u32>,
    /// First token of the window that is decoded anew; one word of context keeps its spacing right.
    start: usize,
    /// Bytes of the window's text already handed out.
    emitted: usize,
}

impl TextStream<'_> {
    /// Adds a token and returns the text that is final with it, possibly empty.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.ids.push(id);
        let text = self.tokenizer.decode(&self.ids[self.start..])?;
        // An unfinished multi-byte character decodes to U+FFFD: wait for the rest of it.
        if text.ends_with('\u{FFFD}') || text.len() <= self.emitted {
            return Ok(String::new());
        }
        let new = text.get(self.emitted..).unwrap_or_default().to_owned();
        self.emitted = text.len();
        self.slide()?;
        Ok(new)
    }

    /// The text held back, once no token follows.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn finish(&mut self) -> Result<String> {
        let text = self.tokenizer.decode(&self.ids[self.start..])?;
        let rest = text.get(self.emitted..).unwrap_or_default().to_owned();
        self.emitted = text.len();
        Ok(rest)
    }

    /// Keeps the window short, so that a long answer is not decoded anew for each token.
    fn slide(&mut self) -> Result<()> {
        const WINDOW: usize = 32;
        if self.ids.len() - self.start > WINDOW {
            self.start = self.ids.len() - CONTEXT;
            self.emitted = self.tokenizer.decode(&self.ids[self.start..])?.len();
        }
        Ok(())
    }
}
