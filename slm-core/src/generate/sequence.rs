//! One answer in the making: what was read, what was said, and how it goes on.

use super::answer::{AnswerText, Parts, Shown};
use super::constraint::Progress;
use super::logprobs::Recorder;
use super::prepared::Prepared;
use super::stop::StopBuffer;
use super::{Generated, GenerationConfig, LocalModel, Sampler, lookup};
use crate::Result;
use crate::chat::{FinishReason, OnDelta};
use crate::nn::KvCache;
use crate::text::TextStream;

/// Whether special tokens are part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    /// They are left out.
    Hidden,
    /// They stand in it: a tool call may be marked by them.
    Shown,
}

impl Special {
    fn stream<'a>(self, model: &'a LocalModel, prompt: &[u32]) -> Result<TextStream<'a>> {
        // A turn begins a text of its own; a continuation does not.
        let before = if model.template.is_some() { &[] } else { prompt };
        match self {
            Self::Hidden => model.tokenizer.stream(before),
            Self::Shown => model.tokenizer.stream_with_special(before),
        }
    }
}

/// A request being answered.
#[derive(Debug)]
pub(super) struct Sequence<'a> {
    model: &'a LocalModel,
    config: GenerationConfig,
    sampler: Sampler,
    constraint: Option<Progress>,
    stream: TextStream<'a>,
    buffer: StopBuffer,
    answer: Option<AnswerText>,
    recorder: Option<Recorder>,
    prompt_logprobs: Vec<f32>,
    /// Prompt and answer.
    seen: Vec<u32>,
    prompt: usize,
    limit: usize,
    finish_reason: Option<FinishReason>,
    pub(super) cache: KvCache,
    /// Tokens to read: the end of `seen` that `cache` does not hold, and guesses at what follows.
    pub(super) pending: Vec<u32>,
    /// How many of `pending` are guesses.
    guessed: usize,
}

impl<'a> Sequence<'a> {
    pub(super) fn new(model: &'a LocalModel, request: Prepared) -> Result<Self> {
        let special = request.special();
        let Prepared { ids, config, constraint, answer, limit } = request;
        let mut sequence = Self {
            model,
            sampler: Sampler::new(&config)?.with_breakers(model.breakers(&config)?),
            constraint,
            stream: special.stream(model, &ids)?,
            buffer: StopBuffer::new(config.stop.clone()),
            answer,
            recorder: config.logprobs.then(|| Recorder::new(config.top_logprobs)),
            prompt_logprobs: Vec::new(),
            prompt: ids.len(),
            seen: ids,
            limit,
            finish_reason: (limit == 0).then_some(FinishReason::Length),
            cache: KvCache::with_type(config.kv_cache),
            pending: Vec::new(),
            guessed: 0,
            config,
        };
        sequence.start()?;
        Ok(sequence)
    }

    /// Finds what is known of the prompt, and what is to be read of it.
    fn start(&mut self) -> Result<()> {
        let rope = &self.model.model.config.rope;
        if self.config.prompt_logprobs {
            self.prompt_logprobs = self.model.score_into(&self.seen, &mut self.cache)?;
            self.cache.truncate(self.prompt - 1);
        } else if let Some(prefixes) = &self.model.prefixes
            && let Some(known) = prefixes.take(&self.seen, rope, &self.cache)
        {
            self.cache = known;
        }
        self.pending = self.seen[self.cache.len()..].to_vec();
        Ok(())
    }

    pub(super) fn is_running(&self) -> bool {
        self.finish_reason.is_none()
    }

    /// Whether it has its prompt to read, or must read all again.
    pub(super) fn is_reading(&self) -> bool {
        self.pending.len() > self.wanted()
    }

    /// Whether what is pending may be read in parts: all of it has to be turned alike.
    pub(super) fn is_divisible(&self) -> bool {
        self.model.model.config.rope.turns_alike(1, self.cache.len() + self.pending.len())
    }

    /// How many of the last pending positions need logits.
    pub(super) fn wanted(&self) -> usize {
        1 + self.guessed
    }

    /// Stops here, without another token.
    pub(super) fn cancel(&mut self) {
        self.finish_reason = Some(FinishReason::Cancelled);
    }

    /// Goes on by the logits of the last [`Sequence::wanted`] positions, `[wanted, vocab]`: one token, and one more
    /// for each guess that came true.
    pub(super) fn advance(&mut self, rows: &mut [f32], on_delta: &mut OnDelta<'_>) -> Result<()> {
        let vocab = rows.len() / self.wanted();
        let guesses = self.pending.split_off(self.pending.len() - self.guessed);
        for (index, logits) in rows.chunks_exact_mut(vocab).enumerate() {
            let id = self.choose(logits)?;
            self.take(id, on_delta)?;
            if !self.is_running() || guesses.get(index) != Some(&id) {
                break;
            }
        }
        // Of what was read ahead, the guesses that came true stay; the last token is yet to be read.
        self.cache.truncate(self.seen.len() - 1);
        if self.is_running() {
            self.prepare();
        }
        Ok(())
    }

    fn prepare(&mut self) {
        let rope = &self.model.model.config.rope;
        // Keys of the other side of longrope's border would not fit: read all again, as transformers does.
        if rope.is_long(self.seen.len()) != rope.is_long(self.cache.len()) {
            self.cache = KvCache::with_type(self.config.kv_cache);
        }
        self.pending = self.seen[self.cache.len()..].to_vec();
        let left = self.limit - (self.seen.len() - self.prompt);
        let guess = match &self.config.lookup {
            // A guess that crosses the border, or a base that moves with the length, would turn other keys.
            Some(l) if rope.turns_alike(self.seen.len(), self.seen.len() + l.max_guess) => {
                lookup::guess(l, &self.seen, left - 1)
            }
            _ => &[],
        };
        self.guessed = guess.len();
        self.pending.extend(guess);
    }

    fn choose(&mut self, logits: &mut [f32]) -> Result<u32> {
        let original = self.recorder.as_ref().map(|_| logits.to_vec());
        if let Some(constraint) = &mut self.constraint {
            constraint.mask(logits)?;
        }
        let id = self.sampler.sample(logits, &self.seen)?;
        if let (Some(recorder), Some(original)) = (&mut self.recorder, original) {
            recorder.push(&original, id);
        }
        Ok(id)
    }

    /// Adds a token to the answer.
    fn take(&mut self, id: u32, on_delta: &mut OnDelta<'_>) -> Result<()> {
        self.seen.push(id);
        if self.model.eos.contains(&id) {
            self.finish_reason = Some(FinishReason::Stop);
            return Ok(());
        }
        let complete = match &mut self.constraint {
            Some(constraint) => constraint.push(id)?,
            None => false,
        };
        let (ready, stopped) = self.buffer.push(&self.stream.push(id)?);
        let shown = match &mut self.answer {
            Some(answer) => answer.push(&ready),
            None => Shown::text(ready),
        };
        if shown.hand_out(on_delta).is_break() {
            self.finish_reason = Some(FinishReason::Cancelled);
        } else if stopped || complete {
            self.finish_reason = Some(FinishReason::Stop);
        } else if self.seen.len() - self.prompt >= self.limit {
            self.finish_reason = Some(FinishReason::Length);
        }
        Ok(())
    }

    /// The finished answer, with the text that was held back.
    pub(super) fn finish(mut self, on_delta: &mut OnDelta<'_>) -> Result<Generated> {
        let mut finish_reason = self.finish_reason.unwrap_or(FinishReason::Length);
        let rest = match finish_reason {
            FinishReason::Cancelled => String::new(),
            _ => self.buffer.finish(&self.stream.finish()?),
        };
        if let Some(prefixes) = &self.model.prefixes {
            prefixes.put(&self.seen, std::mem::take(&mut self.cache));
        }
        let parts = match self.answer.take() {
            Some(mut answer) => {
                let ready = answer.push(&rest);
                let mut parts = answer.finish(finish_reason == FinishReason::Stop)?;
                parts.rest.text.insert_str(0, &ready.text);
                parts.rest.reasoning.insert_str(0, &ready.reasoning);
                parts
            }
            None => Parts { rest: Shown::text(rest), text: self.buffer.into_text(), ..Parts::default() },
        };
        if !parts.tool_calls.is_empty() {
            finish_reason = FinishReason::ToolCalls;
        }
        if !parts.rest.is_empty() && parts.rest.hand_out(on_delta).is_break() {
            finish_reason = FinishReason::Cancelled;
        }
        let confidence = self.recorder.as_ref().and_then(Recorder::confidence);
        Ok(Generated {
            text: parts.text,
            reasoning: parts.reasoning,
            tool_calls: parts.tool_calls,
            prompt_tokens: self.prompt,
            ids: self.seen.split_off(self.prompt),
            logprobs: self.recorder.map(|r| r.tokens).unwrap_or_default(),
            prompt_logprobs: self.prompt_logprobs,
            confidence,
            finish_reason,
        })
    }
}
