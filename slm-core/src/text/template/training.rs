//! Conversations as token ids with what the assistant says marked.

use super::ChatTemplate;
use crate::chat::{Message, Role};
use crate::text::Tokenizer;
use crate::{Error, Result};

/// A rendered conversation as token ids, with the tokens to learn marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingText {
    /// All token ids.
    pub ids: Vec<u32>,
    /// For each token, whether the assistant says it.
    pub learned: Vec<bool>,
}

impl ChatTemplate {
    /// Renders a conversation for training. What is learned is exactly what the model would have to write
    /// after the prompt that serving renders: each assistant turn with the tokens that end it.
    ///
    /// # Errors
    /// When the template fails, or does not render a conversation as an extension of its beginning.
    pub fn training_text(&self, tokenizer: &Tokenizer, messages: &[Message]) -> Result<TrainingText> {
        let mut text = TrainingText { ids: Vec::new(), learned: Vec::new() };
        let mut done = String::new();
        for (turn, _) in messages.iter().enumerate().filter(|(_, m)| m.role == Role::Assistant) {
            let prompt = self.render(&messages[..turn], true)?;
            let full = self.render(&messages[..=turn], false)?;
            let extends = |longer: &str, shorter: &str| longer.strip_prefix(shorter).map(str::to_owned);
            let (Some(before), Some(answer)) = (extends(&prompt, &done), extends(&full, &prompt)) else {
                let reason = format!("turn {turn} does not extend the rendering of the turns before it");
                return Err(Error::Template { reason });
            };
            for (part, learned) in [(before, false), (answer, true)] {
                let ids = tokenizer.encode(&part, false)?;
                text.learned.extend(std::iter::repeat_n(learned, ids.len()));
                text.ids.extend(ids);
            }
            done = full;
        }
        Ok(text)
    }
}
