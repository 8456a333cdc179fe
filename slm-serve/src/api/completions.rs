//! `POST /v1/completions`: a text continued, with the log-probabilities of all of it on request.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use slm_core::{Delta, GenerationConfig, LanguageModel, TokenLogprob};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::App;
use super::chat::{Head, collect, first_piece};
use super::error::ApiError;
use super::logprobs::text_of;
use super::parameters::{Parameters, UsageBody, or_default};
use super::request::Incoming;
use super::run::{Answer, Outcome, Piece, Task, wire_reason};
use super::stream::{Frames, event_stream};
use crate::engine::EngineModel;
use crate::registry::now;

#[derive(Debug, Deserialize)]
struct CompletionBody {
    #[serde(flatten)]
    parameters: Parameters,
    prompt: Prompt,
    #[serde(default, deserialize_with = "or_default")]
    echo: bool,
    logprobs: Option<usize>,
    best_of: Option<usize>,
    suffix: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Prompt {
    Text(String),
    Ids(Vec<u32>),
    Texts(Vec<String>),
    ManyIds(Vec<Vec<u32>>),
}

impl Prompt {
    fn into_ids(self, model: &EngineModel) -> Result<Vec<Vec<u32>>, ApiError> {
        let encode = |text: &String| Ok(model.local().tokenizer.encode(text, true)?);
        match self {
            Self::Text(text) => Ok(vec![encode(&text)?]),
            Self::Texts(texts) => texts.iter().map(encode).collect(),
            Self::Ids(ids) => Ok(vec![ids]),
            Self::ManyIds(many) => Ok(many),
        }
    }
}

pub(super) async fn completions(
    State(app): State<Arc<App>>,
    incoming: Incoming,
) -> Result<Response, ApiError> {
    let body: CompletionBody = incoming.json()?;
    let entry = app.entry(body.parameters.model())?;
    let Some(engine) = entry.engine.clone() else {
        let message = format!("`{}` answers chats alone: it is no single local model", entry.name);
        return Err(ApiError::parameter("model", message));
    };
    if body.logprobs.is_some_and(|n| n > 20) {
        return Err(ApiError::parameter("logprobs", "expected at most 20"));
    }
    if body.best_of.is_some_and(|best| Some(best) != body.parameters.n.or(Some(1))) {
        return Err(ApiError::parameter(
            "best_of",
            "answers are not ranked: leave it out, or make it equal to `n`",
        ));
    }
    if body.suffix.is_some_and(|suffix| !suffix.is_empty()) {
        return Err(ApiError::parameter("suffix", "texts are continued, not filled in"));
    }
    let generation = GenerationConfig {
        logprobs: entry.confidence || body.logprobs.is_some(),
        top_logprobs: body.logprobs.unwrap_or(0),
        prompt_logprobs: body.echo && body.logprobs.is_some(),
        ..body.parameters.generation(&entry, &app.limits)?
    };
    let prompts = body.prompt.into_ids(&engine)?;
    let each = body.parameters.answers()?;
    let answers = prompts.len() * each;
    if answers == 0 || answers > MOST {
        return Err(ApiError::parameter("prompt", format!("{answers} answers; expected 1 to {MOST}")));
    }
    let head = Head {
        id: app.new_id("cmpl"),
        created: now(),
        entry,
        logprobs: body.logprobs.is_some(),
        include_usage: body.parameters.include_usage(),
    };
    let user = incoming.tenant(body.parameters.user.as_deref());
    let frames = TextFrames { head, answers, each, echo: body.echo, prompts };
    let (sender, mut pieces) = unbounded_channel();
    for index in 0..answers {
        let work = Work { engine: engine.clone(), generation: generation.clone(), user: user.clone() };
        frames.start(&app, &incoming, index, work, sender.clone())?;
    }
    drop(sender);
    if body.parameters.stream {
        let first = first_piece(&mut pieces).await?;
        return Ok(event_stream(pieces, first, Box::new(frames)));
    }
    let outcomes = collect(&mut pieces, answers).await?;
    Ok(axum::Json(frames.whole(&outcomes)).into_response())
}

/// Most answers to one request.
const MOST: usize = 128;

struct Work {
    engine: EngineModel,
    generation: GenerationConfig,
    user: String,
}

/// The shape of text completions.
struct TextFrames {
    head: Head,
    answers: usize,
    /// Answers to each prompt.
    each: usize,
    echo: bool,
    prompts: Vec<Vec<u32>>,
}

impl TextFrames {
    fn start(
        &self,
        app: &Arc<App>,
        incoming: &Incoming,
        index: usize,
        work: Work,
        pieces: UnboundedSender<Piece>,
    ) -> Result<(), ApiError> {
        let task = Task {
            app: Arc::clone(app),
            entry: self.head.entry.clone(),
            caller: incoming.caller.clone(),
            operation: "text_completion",
            traceparent: incoming.traceparent.clone(),
            id: self.head.id.clone(),
            index,
            pieces,
            _permit: app.permit()?,
        };
        let ids = self.prompts[index / self.each].clone();
        let Work { engine, mut generation, user } = work;
        generation.seed = generation.seed.wrapping_add(index as u64);
        task.start(move |on_delta| {
            let mut on_text = |text: &str| on_delta(Delta::Text(text));
            let made = engine.generate(ids, &generation, Some(&user), &mut on_text)?;
            let prompt_logprobs = made.prompt_logprobs.clone();
            Ok(Answer { response: made.into_response(engine.name()), prompt_logprobs })
        });
        Ok(())
    }

    fn prompt_text(&self, index: usize) -> String {
        let ids = &self.prompts[index / self.each];
        let decode = |engine: &EngineModel| engine.local().tokenizer.decode(ids).ok();
        self.head.entry.engine.as_ref().and_then(decode).unwrap_or_default()
    }

    fn choice(&self, index: usize, text: &str, outcome: Option<&Outcome>) -> Value {
        json!({
            "index": index,
            "text": text,
            "logprobs": outcome.and_then(|o| self.logprobs(index, o)),
            "finish_reason": outcome.map(|o| wire_reason(o.response.finish_reason)),
        })
    }

    /// Tokens, their log-probabilities, the most likely at each place, and where each begins in the text.
    fn logprobs(&self, index: usize, outcome: &Outcome) -> Option<Value> {
        if !self.head.logprobs {
            return None;
        }
        let mut columns = Columns::default();
        if self.echo {
            let ids = &self.prompts[index / self.each];
            let logprobs = std::iter::once(None).chain(outcome.prompt_logprobs.iter().copied().map(Some));
            for (id, logprob) in ids.iter().zip(logprobs) {
                columns.push(self, *id, logprob, Value::Null);
            }
        }
        for token in outcome.response.logprobs.iter().flatten() {
            columns.push(self, token.id, Some(token.logprob), self.top(token));
        }
        let Columns { tokens, logprobs, top, offsets, .. } = columns;
        Some(
            json!({"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": top, "text_offset": offsets}),
        )
    }

    fn top(&self, token: &TokenLogprob) -> Value {
        let pair = |t: &slm_core::TopLogprob| (text_of(&self.head.entry, t.id), json!(t.logprob));
        Value::Object(token.top.iter().map(pair).collect())
    }

    fn body(&self, choices: &[Value]) -> Value {
        json!({
            "id": self.head.id,
            "object": "text_completion",
            "created": self.head.created,
            "model": self.head.entry.name,
            "choices": choices,
        })
    }

    fn whole(&self, outcomes: &[Outcome]) -> Value {
        let choices = outcomes.iter().enumerate().map(|(index, outcome)| {
            let prompt = if self.echo { self.prompt_text(index) } else { String::new() };
            self.choice(index, &(prompt + &outcome.response.text), Some(outcome))
        });
        let mut body = self.body(&choices.collect::<Vec<_>>());
        body["usage"] = json!(self.usage(outcomes.iter().map(|o| o.response.usage)));
        body["slm"] = json!(outcomes.first().map(|o| &o.info));
        body
    }

    fn usage(&self, usages: impl Iterator<Item = slm_core::Usage>) -> UsageBody {
        let mut total = slm_core::Usage::default();
        for usage in usages {
            total.completion_tokens += usage.completion_tokens;
        }
        total.prompt_tokens = self.prompts.iter().map(Vec::len).sum();
        UsageBody::of(&[total])
    }
}

#[derive(Default)]
struct Columns {
    tokens: Vec<String>,
    logprobs: Vec<Option<f32>>,
    top: Vec<Value>,
    offsets: Vec<usize>,
    length: usize,
}

impl Columns {
    fn push(&mut self, frames: &TextFrames, id: u32, logprob: Option<f32>, top: Value) {
        let text = text_of(&frames.head.entry, id);
        self.offsets.push(self.length);
        self.length += text.chars().count();
        self.tokens.push(text);
        self.logprobs.push(logprob);
        self.top.push(top);
    }
}

impl Frames for TextFrames {
    fn begin(&self) -> Vec<Value> {
        if !self.echo {
            return Vec::new();
        }
        (0..self.answers).map(|i| self.body(&[self.choice(i, &self.prompt_text(i), None)])).collect()
    }

    fn text(&self, index: usize, text: &str) -> Value {
        self.body(&[self.choice(index, text, None)])
    }

    fn reasoning(&self, index: usize, text: &str) -> Value {
        self.text(index, text)
    }

    fn done(&self, index: usize, outcome: &Outcome) -> Vec<Value> {
        let mut last = self.body(&[self.choice(index, "", Some(outcome))]);
        last["slm"] = outcome.info.clone();
        vec![last]
    }

    fn end(&self, usages: &[slm_core::Usage]) -> Vec<Value> {
        if !self.head.include_usage {
            return Vec::new();
        }
        let mut body = self.body(&[]);
        body["usage"] = json!(self.usage(usages.iter().copied()));
        vec![body]
    }

    fn answers(&self) -> usize {
        self.answers
    }
}
