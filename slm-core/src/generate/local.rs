//! A model on this machine that answers: weights, tokenizer and template together.

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use serde_json::json;

use super::logprobs::log_probability;
use super::{Batch, GenerationConfig, Grammars, PrefixCache};
use crate::chat::{
    ChatRequest, ChatResponse, Confidence, FinishReason, LanguageModel, OnDelta, TokenLogprob, ToolCall,
    Usage,
};
use crate::config::ids_of;
use crate::gguf::{self, GgufFile};
use crate::model::{FloatType, LoadOptions, write_atomically};
use crate::nn::KvCache;
use crate::text::{ChatTemplate, Tokenizer, read_json};
use crate::{CausalLm, Error, Result};

/// A loaded model with its tokenizer, chat template and end-of-sequence tokens.
#[derive(Debug, Clone)]
pub struct LocalModel {
    /// For reports.
    pub name: String,
    /// The weights.
    pub model: CausalLm,
    /// Text to ids.
    pub tokenizer: Tokenizer,
    /// `None` for a base model that only continues text.
    pub template: Option<ChatTemplate>,
    /// Tokens that end an answer.
    pub eos: Vec<u32>,
    /// Keys and values of texts that later prompts may begin with; `None` reads each prompt whole.
    pub prefixes: Option<PrefixCache>,
    /// The vocabulary for constrained answers; begins empty.
    pub grammars: Grammars,
}

/// What a decode loop made.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// The text, without the stop string that ended it; of a chat without its thoughts and calls.
    pub text: String,
    /// Of a chat: what the model thought before it answered, where its template marks it.
    pub reasoning: Option<String>,
    /// Of a chat: the calls of tools that the model asks for.
    pub tool_calls: Vec<ToolCall>,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// The ids, the end-of-sequence token included where one came.
    pub ids: Vec<u32>,
    /// Per id, under the unmodified distribution; empty unless asked for.
    pub logprobs: Vec<TokenLogprob>,
    /// Log-probability of each token of the prompt but the first; empty unless asked for.
    pub prompt_logprobs: Vec<f32>,
    /// How sure the model was; where log-probabilities were asked for.
    pub confidence: Option<Confidence>,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

impl Generated {
    /// The same as the answer of the model `name`.
    pub fn into_response(self, name: &str) -> ChatResponse {
        let usage = Usage { prompt_tokens: self.prompt_tokens, completion_tokens: self.ids.len() };
        ChatResponse {
            logprobs: (!self.logprobs.is_empty()).then_some(self.logprobs),
            confidence: self.confidence,
            reasoning: self.reasoning,
            tool_calls: self.tool_calls,
            ..ChatResponse::new(self.text, name, self.finish_reason, usage)
        }
    }
}

impl LocalModel {
    /// Loads a Hugging Face directory or a GGUF file (or the directory that has nothing else). End-of-sequence tokens come from `generation_config.json` where
    /// it names them, else from `config.json`, or from the file.
    ///
    /// # Errors
    /// When a file is missing, corrupt or does not fit the others.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        Self::load_with(path, LoadOptions::default(), device)
    }

    /// Loads a directory or a file, with its weights as `options` say.
    ///
    /// # Errors
    /// As [`LocalModel::load`].
    pub fn load_with(path: &Path, options: LoadOptions, device: &Device) -> Result<Self> {
        if let Some(file) = gguf::file_at(path) {
            return Self::from_gguf(&GgufFile::open(&file)?, options, device);
        }
        Self::with_model(path, CausalLm::load_with(path, options, device)?)
    }

    /// Reads weights, tokenizer, chat template and end-of-sequence tokens of an open GGUF file. Where the format's
    /// name of the tokenizer is not known, a `tokenizer.json` beside the file takes its place.
    ///
    /// # Errors
    /// When the model or its tokenizer is of a kind that is not known, or the file contradicts itself.
    pub fn from_gguf(file: &GgufFile, options: LoadOptions, device: &Device) -> Result<Self> {
        let vocab = file.vocabulary()?;
        let model = CausalLm::from_gguf(file, options, device)?;
        let name =
            file.path().file_stem().map_or_else(|| "model".into(), |n| n.to_string_lossy().into_owned());
        let template = ChatTemplate::from_gguf(&vocab)?;
        let beside = file.path().with_file_name("tokenizer.json");
        let tokenizer = match Tokenizer::from_gguf(&vocab) {
            Err(_) if beside.exists() => Tokenizer::load(&beside)?,
            other => other?,
        };
        let eos = file.end_tokens();
        fits(&tokenizer, &model)?;
        Ok(Self { template, eos, ..Self::new(name, model, tokenizer) })
    }

    /// Reads all of a directory but the weights, which come as `model`: from a quantized checkpoint, say.
    ///
    /// # Errors
    /// When a file is missing, corrupt or does not fit the others.
    pub fn with_model(directory: &Path, model: CausalLm) -> Result<Self> {
        let tokenizer = Tokenizer::load_directory(directory)?;
        fits(&tokenizer, &model)?;
        let path = directory.join("generation_config.json");
        let named = if path.exists() { ids_of(&read_json(&path)?["eos_token_id"]) } else { None };
        let eos = named.unwrap_or_else(|| model.config.eos_token_ids.clone());
        let name = directory.file_name().map_or_else(|| "model".into(), |n| n.to_string_lossy().into_owned());
        Ok(Self { template: ChatTemplate::load(directory)?, eos, ..Self::new(name, model, tokenizer) })
    }

    /// A model that continues text, put together from its parts, with the end-of-sequence tokens of its
    /// configuration.
    pub fn new(name: impl Into<String>, model: CausalLm, tokenizer: Tokenizer) -> Self {
        Self {
            name: name.into(),
            eos: model.config.eos_token_ids.clone(),
            model,
            tokenizer,
            template: None,
            prefixes: None,
            grammars: Grammars::default(),
        }
    }

    /// Writes a directory that [`LocalModel::load`] reads, and `transformers` too if no weight is packed. Adapters are not
    /// part of it: merge them first.
    ///
    /// # Errors
    /// When a layer has an adapter, a tensor cannot be read back, or a file cannot be written.
    pub fn save(&self, directory: &Path, float: FloatType) -> Result<()> {
        self.model.save(directory, float)?;
        self.save_text(directory)
    }

    /// Writes all of the directory but the weights and `config.json`: tokenizer, template, end of sequence.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save_text(&self, directory: &Path) -> Result<()> {
        self.tokenizer.save(&directory.join("tokenizer.json"))?;
        let mut config = json!({"tokenizer_class": "PreTrainedTokenizerFast"});
        if let Some(template) = &self.template {
            template.save(directory)?;
            for (field, token) in [("bos_token", template.bos_token()), ("eos_token", template.eos_token())] {
                if !token.is_empty() {
                    config[field] = token.into();
                }
            }
        }
        if let Some(token) = self.tokenizer.added_bos() {
            config["add_bos_token"] = true.into();
            config["bos_token"] = token.into();
        }
        write_atomically(&directory.join("tokenizer_config.json"), format!("{config:#}\n").as_bytes())?;
        let generation = json!({"eos_token_id": self.eos});
        write_atomically(&directory.join("generation_config.json"), format!("{generation:#}\n").as_bytes())
    }

    /// The prompt of a request: what its chat template renders of its turns, tools and variables. Without a chat
    /// template, the turns' contents are one text to continue.
    ///
    /// # Errors
    /// When the template fails.
    pub fn prompt(&self, request: &ChatRequest) -> Result<String> {
        match &self.template {
            Some(template) => template.prompt(request),
            None => {
                let texts: Vec<&str> = request.messages.iter().map(|m| m.content.as_str()).collect();
                Ok(texts.join("\n"))
            }
        }
    }

    /// The prompt of a request as token ids.
    ///
    /// # Errors
    /// When the template or the tokenizer fails.
    pub fn prompt_ids(&self, request: &ChatRequest) -> Result<Vec<u32>> {
        // A template writes the special tokens itself.
        self.tokenizer.encode(&self.prompt(request)?, self.template.is_none())
    }

    /// Continues `prompt`: one batched prefill, then a token at a time, or several where a guess at them
    /// ([`Lookup`](super::Lookup)) comes true. `on_text` is called after each token, with an empty text where
    /// none is complete, and may cancel there; also between parts of a long prompt.
    ///
    /// # Errors
    /// When the prompt is empty or too long for the context, a setting is out of range, the constraint is not
    /// understood, or the model fails.
    pub fn generate(
        &self,
        prompt: &[u32],
        config: &GenerationConfig,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        self.answer(self.prepare_ids(prompt.to_vec(), config)?, &mut |delta| on_text(delta.text()))
    }

    /// Natural-log probability of each id but the first, given those before it.
    ///
    /// # Errors
    /// When there are fewer than two ids, too many for the context, or the model fails.
    pub fn score(&self, ids: &[u32]) -> Result<Vec<f32>> {
        self.score_with(ids, &GenerationConfig::default())
    }

    /// The same, with keys and values kept as `config` says.
    ///
    /// # Errors
    /// As [`LocalModel::score`].
    pub fn score_with(&self, ids: &[u32], config: &GenerationConfig) -> Result<Vec<f32>> {
        if ids.len() < 2 {
            return Err(Error::Request { reason: "scoring needs at least two tokens".into() });
        }
        self.score_into(ids, &mut KvCache::with_type(config.kv_cache))
    }

    /// Scores `ids` and leaves all but the last in `cache`. Logits exist for a few positions at a time.
    pub(super) fn score_into(&self, ids: &[u32], cache: &mut KvCache) -> Result<Vec<f32>> {
        const ROWS: usize = 64;
        let read = &ids[..ids.len() - 1];
        let rope = &self.model.config.rope;
        let part = if rope.turns_alike(1, read.len()) { Batch::PART } else { read.len().max(1) };
        let mut scores = Vec::with_capacity(read.len());
        for ids_of_part in read.chunks(part) {
            let hidden = self.model.hidden(ids_tensor(ids_of_part, &self.model.device()), Some(cache))?;
            let length = ids_of_part.len();
            for start in (0..length).step_by(ROWS) {
                let rows = ROWS.min(length - start);
                let logits = to_values(self.model.logits(hidden.clone().narrow(1, start, rows)))?;
                let next = &ids[scores.len() + 1..];
                let vocab = logits.len() / rows;
                let scored = logits.chunks_exact(vocab).zip(next).map(|(row, id)| log_probability(row, *id));
                scores.extend(scored.collect::<Vec<_>>());
            }
        }
        Ok(scores)
    }

    /// The last token of each text that breaks a sequence for [`Dry`](super::Dry).
    pub(super) fn breakers(&self, config: &GenerationConfig) -> Result<Vec<u32>> {
        let texts = config.dry.iter().flat_map(|d| &d.sequence_breakers);
        let last = texts.map(|text| Ok(self.tokenizer.encode(text, false)?.last().copied()));
        last.filter_map(Result::transpose).collect()
    }
}

/// Whether the model knows every id of the tokenizer.
fn fits(tokenizer: &Tokenizer, model: &CausalLm) -> Result<()> {
    let (known, needed) = (model.config.vocab_size, tokenizer.vocab_size());
    if needed <= known {
        return Ok(());
    }
    Err(Error::config("vocab_size", format!("{known} is less than the tokenizer's {needed}")))
}

/// The values of a tensor, row-major.
pub(crate) fn to_values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    tensor.try_into_vec_as().map_err(|e| Error::Device { reason: format!("{e:?}") })
}

/// Ids as a batch of one, `[1, n]`.
pub(super) fn ids_tensor(ids: &[u32], device: &Device) -> Tensor<2, Int> {
    let values: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [1, count]), device)
}

impl LanguageModel for LocalModel {
    fn name(&self) -> &str {
        &self.name
    }

    /// Streams what is said: thoughts and calls of tools are taken out of it, and are in the response.
    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<ChatResponse> {
        self.stream_deltas(request, &mut |delta| on_text(delta.text()))
    }

    fn stream_deltas(&self, request: &ChatRequest, on_delta: &mut OnDelta<'_>) -> Result<ChatResponse> {
        Ok(self.answer(self.prepare(request)?, on_delta)?.into_response(&self.name))
    }
}
