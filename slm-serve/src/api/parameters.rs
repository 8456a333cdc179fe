//! From the parameters of a request to how an answer is generated.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use slm_core::GenerationConfig;
use slm_core::generate::Constraint;

use super::error::ApiError;
use crate::config::Limits;
use crate::registry::Entry;

/// What chat and text completions have in common. Fields that are not known are ignored, as OpenAI does.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Parameters {
    pub(super) model: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) stream: bool,
    pub(super) stream_options: Option<StreamOptions>,
    pub(super) n: Option<usize>,
    pub(super) user: Option<String>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    seed: Option<i64>,
    stop: Option<OneOrMany>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    logit_bias: Option<BTreeMap<String, f32>>,
    // Beyond OpenAI's, by vLLM's names.
    top_k: Option<i64>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    #[serde(default, deserialize_with = "or_default")]
    ignore_eos: bool,
    response_format: Option<ResponseFormat>,
    guided_json: Option<Value>,
    guided_regex: Option<String>,
    guided_grammar: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct StreamOptions {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) include_usage: bool,
}

/// Reads a field for which clients may send `null` when they mean nothing.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ResponseFormat {
    Text,
    JsonObject,
    JsonSchema { json_schema: NamedSchema },
}

#[derive(Debug, Clone, Deserialize)]
struct NamedSchema {
    schema: Option<Value>,
}

/// Most answers to one request.
const MOST: usize = 8;

impl Parameters {
    pub(super) fn model(&self) -> &str {
        self.model.as_deref().unwrap_or("default")
    }

    pub(super) fn answers(&self) -> Result<usize, ApiError> {
        match self.n.unwrap_or(1) {
            n @ 1..=MOST => Ok(n),
            n => Err(ApiError::parameter("n", format!("expected 1 to {MOST}, got {n}"))),
        }
    }

    pub(super) fn include_usage(&self) -> bool {
        self.stream_options.unwrap_or_default().include_usage
    }

    /// How `entry` generates the answer.
    pub(super) fn generation(&self, entry: &Entry, limits: &Limits) -> Result<GenerationConfig, ApiError> {
        let asked = self.max_completion_tokens.or(self.max_tokens);
        let temperature = self.temperature.unwrap_or(entry.temperature);
        let mut logit_bias = self.logit_bias(entry)?;
        if self.ignore_eos {
            let ends = entry.engine.iter().flat_map(|e| &e.local().eos);
            logit_bias.extend(ends.map(|id| (*id, f32::NEG_INFINITY)));
        }
        let config = GenerationConfig {
            max_new_tokens: asked.unwrap_or(limits.max_tokens).min(limits.max_tokens),
            temperature,
            top_p: self.top_p.unwrap_or(1.0),
            top_k: self.top_k.map_or(0, |k| usize::try_from(k).unwrap_or(0)),
            min_p: self.min_p.unwrap_or(0.0),
            repetition_penalty: self.repetition_penalty.unwrap_or(1.0),
            presence_penalty: self.presence_penalty.unwrap_or(0.0),
            frequency_penalty: self.frequency_penalty.unwrap_or(0.0),
            logit_bias,
            seed: self.seed.map_or_else(rand::random, i64::cast_unsigned),
            stop: self.stop.clone().map(OneOrMany::into_vec).unwrap_or_default(),
            constraint: self.constraint()?,
            logprobs: entry.confidence,
            ..GenerationConfig::default()
        };
        config.check()?;
        Ok(config)
    }

    /// What is added to the logits of which tokens: OpenAI's ids are texts, and its range is ±100.
    fn logit_bias(&self, entry: &Entry) -> Result<BTreeMap<u32, f32>, ApiError> {
        let known = entry.engine.as_ref().map(|e| e.local().model.config.vocab_size);
        let refused = |message: String| ApiError::parameter("logit_bias", message);
        let pair = |(id, bias): (&String, &f32)| {
            if !(-100.0..=100.0).contains(bias) {
                return Err(refused(format!("expected -100 to 100, got {bias}")));
            }
            match id.parse::<u32>() {
                Ok(id) if known.is_none_or(|known| (id as usize) < known) => Ok((id, *bias)),
                _ => Err(refused(format!("\"{id}\" is no token of `{}`", entry.name))),
            }
        };
        self.logit_bias.iter().flatten().map(pair).collect()
    }

    fn constraint(&self) -> Result<Option<Constraint>, ApiError> {
        let format = match &self.response_format {
            None | Some(ResponseFormat::Text) => None,
            Some(ResponseFormat::JsonObject) => Some(Constraint::JsonObject),
            Some(ResponseFormat::JsonSchema { json_schema: NamedSchema { schema: Some(schema) } }) => {
                Some(Constraint::JsonSchema(schema.clone()))
            }
            Some(ResponseFormat::JsonSchema { .. }) => {
                return Err(ApiError::parameter("response_format", "`json_schema` needs a `schema`"));
            }
        };
        let all = [
            format,
            self.guided_json.clone().map(Constraint::JsonSchema),
            self.guided_regex.clone().map(Constraint::Regex),
            self.guided_grammar.clone().map(Constraint::Grammar),
        ];
        let mut given = all.into_iter().flatten();
        match (given.next(), given.next()) {
            (first, None) => Ok(first),
            _ => {
                Err(ApiError::parameter("response_format", "an answer can match one constraint, not several"))
            }
        }
    }
}

/// Tokens read and written, in OpenAI's shape.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct UsageBody {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
}

impl UsageBody {
    /// The same prompt for all answers, and the tokens of each.
    pub(super) fn of(all: &[slm_core::Usage]) -> Self {
        let prompt_tokens = all.first().map_or(0, |u| u.prompt_tokens);
        let completion_tokens = all.iter().map(|u| u.completion_tokens).sum();
        Self { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }
}
