//! Conversations as token ids with what the assistant says marked.
//!
//! Two ways lead there. [`ChatTemplate::training_texts`] renders each assistant turn's prompt as serving does and
//! takes what the turn adds to it; it needs nothing of the template and is exact by construction: the ids before a
//! learned token are the ids that serving has read when the model writes that token. [`ChatTemplate::assistant_mask`]
//! trusts the `{% generation %}` blocks of a template, as `transformers` does.

use serde_json::Value as Json;

use super::{ChatTemplate, Ending, TemplateInput};
use crate::chat::Message;
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

impl TrainingText {
    fn empty() -> Self {
        Self { ids: Vec::new(), learned: Vec::new() }
    }

    fn extend(&mut self, ids: &[u32], learned: bool) {
        self.ids.extend_from_slice(ids);
        self.learned.resize(self.ids.len(), learned);
    }
}

/// An assistant turn.
struct Turn {
    index: usize,
    /// What serving renders for it.
    prompt: String,
    /// The prompt and what the assistant says.
    full: String,
    /// The ids of the prompt.
    before: Vec<u32>,
    /// The ids of what the assistant says.
    answer: Vec<u32>,
}

impl ChatTemplate {
    /// Renders a conversation for training as one text. What is learned is exactly what the model would have to write
    /// after the prompt that serving renders: each assistant turn with the tokens that end it.
    ///
    /// Where a token of a later prompt reaches over the end of an earlier turn, the earlier turn keeps the tokens that
    /// the model wrote, as in a cache that is gone on with.
    ///
    /// # Errors
    /// When the template fails, or does not render a conversation as an extension of its beginning.
    pub fn training_text(&self, tokenizer: &Tokenizer, messages: &[Message]) -> Result<TrainingText> {
        let mut text = TrainingText::empty();
        let mut done = String::new();
        for turn in self.turns(tokenizer, &self.input(messages))? {
            let Some(added) = turn.prompt.strip_prefix(&done) else {
                let reason = format!(
                    "turn {} does not extend the rendering of the turns before it\nhint: training_texts gives a text \
                     for each way in which earlier turns are rendered",
                    turn.index
                );
                return Err(Error::Template { reason });
            };
            match turn.before.strip_prefix(text.ids.as_slice()) {
                Some(ids) => {
                    let ids = ids.to_vec();
                    text.extend(&ids, false);
                }
                None => text.extend(&tokenizer.encode(added, false)?, false),
            }
            text.extend(&turn.answer, true);
            done = turn.full;
        }
        Ok(text)
    }

    /// Renders a conversation for training, with tools and variables. One text usually; another begins where the
    /// template renders the turns before otherwise than it did (Qwen3 drops the thoughts of earlier turns), or where
    /// their tokens differ: in each, the ids before an assistant turn are those of the prompt that serving renders.
    ///
    /// # Errors
    /// When the template fails, or when the rendering of an assistant turn does not begin with its prompt.
    pub fn training_texts(&self, tokenizer: &Tokenizer, input: &TemplateInput) -> Result<Vec<TrainingText>> {
        let mut texts = Vec::new();
        let mut text = TrainingText::empty();
        for turn in self.turns(tokenizer, input)? {
            if !turn.before.starts_with(&text.ids) {
                texts.push(std::mem::replace(&mut text, TrainingText::empty()));
            }
            text.extend(&turn.before[text.ids.len()..], false);
            text.extend(&turn.answer, true);
        }
        if !text.ids.is_empty() {
            texts.push(text);
        }
        Ok(texts)
    }

    /// Each assistant turn as serving would come to it.
    fn turns(&self, tokenizer: &Tokenizer, input: &TemplateInput) -> Result<Vec<Turn>> {
        let turns = input.messages.iter().enumerate();
        let said = turns.filter(|(_, message)| message["role"] == "assistant");
        said.map(|(index, _)| {
            let render = |messages: &[Json], ending| {
                self.render_with(&TemplateInput { messages: messages.to_vec(), ending, ..input.clone() })
            };
            let prompt = render(&input.messages[..index], Ending::Open)?;
            let full = render(&input.messages[..=index], Ending::Closed)?;
            let Some(answer) = full.strip_prefix(&prompt) else {
                let end = prompt.char_indices().rev().nth(39).map_or(0, |(at, _)| at);
                let reason = format!(
                    "the rendering of turn {index} does not extend its prompt, which ends with {:?}",
                    &prompt[end..]
                );
                return Err(Error::Template { reason });
            };
            let before = tokenizer.encode(&prompt, false)?;
            let answer = continuation(tokenizer, &before, &full, answer)?;
            Ok(Turn { index, prompt, full, before, answer })
        })
        .collect()
    }

    /// The whole conversation, with the tokens of `{% generation %}` blocks marked: `return_assistant_tokens_mask` of
    /// `transformers`. A token that is partly in a block is marked.
    ///
    /// # Errors
    /// When the template has no such blocks, as [`ChatTemplate::render_spans`], or when the tokenizer fails.
    pub fn assistant_mask(&self, tokenizer: &Tokenizer, input: &TemplateInput) -> Result<TrainingText> {
        if !self.has_generation_blocks() {
            let reason = "the template has no {% generation %} blocks\nhint: training_texts needs none";
            return Err(Error::Template { reason: reason.into() });
        }
        let (text, spans) = self.render_spans(input)?;
        let (ids, offsets) = tokenizer.encode_with_offsets(&text)?;
        let inside = |token: &std::ops::Range<usize>| {
            spans.iter().any(|span| token.start < span.end && token.end > span.start)
        };
        let learned = offsets.iter().map(inside).collect();
        Ok(TrainingText { ids, learned })
    }
}

/// The ids of `answer`, which ends `full`, after the prompt's ids `before`.
fn continuation(tokenizer: &Tokenizer, before: &[u32], full: &str, answer: &str) -> Result<Vec<u32>> {
    let whole = tokenizer.encode(full, false)?;
    if whole.starts_with(before) {
        return Ok(whole[before.len()..].to_vec());
    }
    // A token reaches over the border. Serving has read the prompt's ids by then, so the answer stands alone; behind a
    // line end, where a tokenizer that begins texts with a space does not add one.
    const ANCHOR: &str = "\n";
    let anchor = tokenizer.encode(ANCHOR, false)?;
    let anchored = tokenizer.encode(&format!("{ANCHOR}{answer}"), false)?;
    if anchored.starts_with(&anchor) {
        return Ok(anchored[anchor.len()..].to_vec());
    }
    tokenizer.encode(answer, false)
}
