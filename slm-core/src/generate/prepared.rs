//! A request made ready: all that can be done before the model reads it.

use super::answer::AnswerText;
use super::constraint::Progress;
use super::local::LocalModel;
use super::sequence::Special;
use super::{GenerationConfig, thoughts};
use crate::chat::ChatRequest;
use crate::{Error, Result};

/// A request made ready to be answered: its prompt as ids, its constraint compiled, its settings checked.
///
/// Made by [`LocalModel::prepare`], on any thread, and answered by a [`Batch`](super::Batch) of the same model.
#[derive(Debug)]
pub struct Prepared {
    pub(super) ids: Vec<u32>,
    pub(super) config: GenerationConfig,
    pub(super) constraint: Option<Progress>,
    /// How a chat's answer is taken apart; `None` where the text is what is wanted.
    pub(super) answer: Option<AnswerText>,
    /// Most tokens of the answer: what is asked for, or what the context has room for.
    pub(super) limit: usize,
}

impl Prepared {
    /// Tokens of the prompt.
    pub fn prompt_tokens(&self) -> usize {
        self.ids.len()
    }

    /// Most tokens that prompt and answer together can take.
    pub fn max_tokens(&self) -> usize {
        self.ids.len() + self.limit
    }

    /// How its text is made of tokens.
    pub(super) fn special(&self) -> Special {
        match &self.answer {
            Some(answer) if answer.expects_calls() => Special::Shown,
            _ => Special::Hidden,
        }
    }
}

impl LocalModel {
    /// Makes a chat ready.
    ///
    /// # Errors
    /// When the template or the tokenizer fails, a tool has to be called that is not there or that the template cannot
    /// call, and as [`LocalModel::prepare_ids`].
    pub fn prepare(&self, request: &ChatRequest) -> Result<Prepared> {
        let prompt = self.prompt(request)?;
        let ids = self.tokenizer.encode(&prompt, self.template.is_none())?;
        let answer = AnswerText::new(self.template.as_ref(), request, &prompt);
        let constraint = thoughts::constraint(request, self, &prompt)?;
        let config = GenerationConfig { constraint, ..request.generation.clone() };
        Ok(Prepared { answer: Some(answer), ..self.prepare_ids(ids, &config)? })
    }

    /// Makes a text to be continued ready.
    ///
    /// # Errors
    /// When the prompt is empty, too long for the context or holds an unknown id, a setting is out of range, or the
    /// constraint is not understood.
    pub fn prepare_ids(&self, ids: Vec<u32>, config: &GenerationConfig) -> Result<Prepared> {
        config.check()?;
        let context = self.model.config.context_length();
        if ids.is_empty() || ids.len() > context {
            let reason = format!("a prompt of {} tokens; the context holds 1 to {context}", ids.len());
            return Err(Error::Request { reason });
        }
        let vocab = self.model.config.vocab_size;
        if let Some(id) = ids.iter().find(|id| **id as usize >= vocab) {
            return Err(Error::Request { reason: format!("token {id} is not among the model's {vocab}") });
        }
        let constraint = config.constraint.as_ref();
        let constraint = constraint.map(|c| self.grammars.start(c, &self.tokenizer, vocab, &self.eos));
        Ok(Prepared {
            limit: (context - ids.len()).min(config.max_new_tokens),
            config: config.clone(),
            constraint: constraint.transpose()?,
            answer: None,
            ids,
        })
    }
}
