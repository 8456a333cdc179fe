//! A model on this machine that answers: weights, tokenizer and template together.

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use serde_json::json;

use super::sampler::log_probability;
use super::stop::StopBuffer;
use super::{GenerationConfig, Sampler};
use crate::chat::{ChatRequest, ChatResponse, FinishReason, LanguageModel, TokenLogprob, Usage};
use crate::config::ids_of;
use crate::model::{FloatType, write_atomically};
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
}

/// What a decode loop made.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// The text, without the stop string that ended it.
    pub text: String,
    /// The ids, the end-of-sequence token included where one came.
    pub ids: Vec<u32>,
    /// Per id, under the unmodified distribution; empty unless asked for.
    pub logprobs: Vec<TokenLogprob>,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

impl LocalModel {
    /// Loads a Hugging Face directory. End-of-sequence tokens come from `generation_config.json` where it
    /// names them, else from `config.json`.
    ///
    /// # Errors
    /// When a file is missing, corrupt or does not fit the others.
    pub fn load(directory: &Path, device: &Device) -> Result<Self> {
        Self::with_model(directory, CausalLm::load(directory, device)?)
    }

    /// Reads all of a directory but the weights, which come as `model`: from a quantized checkpoint, say.
    ///
    /// # Errors
    /// When a file is missing, corrupt or does not fit the others.
    pub fn with_model(directory: &Path, model: CausalLm) -> Result<Self> {
        let tokenizer = Tokenizer::load_directory(directory)?;
        if tokenizer.vocab_size() > model.config.vocab_size {
            let reason = format!(
                "{} is less than the tokenizer's {}",
                model.config.vocab_size,
                tokenizer.vocab_size()
            );
            return Err(Error::config("vocab_size", reason));
        }
        let path = directory.join("generation_config.json");
        let named = if path.exists() { ids_of(&read_json(&path)?["eos_token_id"]) } else { None };
        let eos = named.unwrap_or_else(|| model.config.eos_token_ids.clone());
        let name = directory.file_name().map_or_else(|| "model".into(), |n| n.to_string_lossy().into_owned());
        Ok(Self { name, model, tokenizer, template: ChatTemplate::load(directory)?, eos })
    }

    /// Writes a directory that [`LocalModel::load`] and `transformers` read. Adapters are not part of it: merge
    /// them first.
    ///
    /// # Errors
    /// When a weight is packed, a tensor cannot be read back, or a file cannot be written.
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
            write_atomically(&directory.join("chat_template.jinja"), template.source().as_bytes())?;
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

    /// The prompt of a request as token ids. Without a chat template, the turns' contents are one text to
    /// continue.
    ///
    /// # Errors
    /// When the template or the tokenizer fails.
    pub fn prompt_ids(&self, request: &ChatRequest) -> Result<Vec<u32>> {
        match &self.template {
            Some(template) => self.tokenizer.encode(&template.render(&request.messages, true)?, false),
            None => {
                let texts: Vec<&str> = request.messages.iter().map(|m| m.content.as_str()).collect();
                self.tokenizer.encode(&texts.join("\n"), true)
            }
        }
    }

    /// Continues `prompt`: one batched prefill, then a token at a time.
    ///
    /// # Errors
    /// When the prompt is empty or leaves no room in the context, a setting is out of range, or the model
    /// fails.
    pub fn generate(
        &self,
        prompt: &[u32],
        config: &GenerationConfig,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        let mut sampler = Sampler::new(config)?;
        let mut cache = KvCache::new();
        let mut seen = prompt.to_vec();
        // A turn begins a text of its own; a continuation does not.
        let mut stream = self.tokenizer.stream(if self.template.is_some() { &[] } else { prompt })?;
        let mut buffer = StopBuffer::new(&config.stop);
        let mut logprobs = Vec::new();
        let mut pending = prompt.to_vec();
        let limit =
            self.model.config.max_position_embeddings.saturating_sub(prompt.len()).min(config.max_new_tokens);
        let mut finish_reason = FinishReason::Length;
        let rope = &self.model.config.rope;
        for _ in 0..limit {
            // Keys of the other side of longrope's border would not fit: read all again, as transformers does.
            if !cache.is_empty() && rope.is_long(seen.len()) != rope.is_long(cache.len()) {
                cache = KvCache::new();
                pending.clone_from(&seen);
            }
            let mut logits = self.next_logits(&pending, &mut cache)?;
            let original = if config.logprobs { logits.clone() } else { Vec::new() };
            let id = sampler.sample(&mut logits, &seen)?;
            if config.logprobs {
                logprobs.push(TokenLogprob { id, logprob: log_probability(&original, id) });
            }
            seen.push(id);
            if self.eos.contains(&id) {
                finish_reason = FinishReason::Stop;
                break;
            }
            let (ready, stopped) = buffer.push(&stream.push(id)?);
            if !ready.is_empty() && on_text(&ready).is_break() {
                finish_reason = FinishReason::Cancelled;
                break;
            }
            if stopped {
                finish_reason = FinishReason::Stop;
                break;
            }
            pending = vec![id];
        }
        if finish_reason != FinishReason::Cancelled {
            let rest = buffer.finish(&stream.finish()?);
            if !rest.is_empty() && on_text(&rest).is_break() {
                finish_reason = FinishReason::Cancelled;
            }
        }
        Ok(Generated { text: buffer.into_text(), ids: seen.split_off(prompt.len()), logprobs, finish_reason })
    }

    fn next_logits(&self, ids: &[u32], cache: &mut KvCache) -> Result<Vec<f32>> {
        let logits = self.model.next_logits(ids_tensor(ids, &self.model.device()), cache)?;
        logits.try_into_vec_as::<f32>().map_err(|e| Error::Device { reason: format!("{e:?}") })
    }

    /// Log-probability of each token of `ids` after the first, given those before it.
    ///
    /// # Errors
    /// When there are fewer than two ids, too many for the context, or the model fails.
    pub fn score(&self, ids: &[u32]) -> Result<Vec<f32>> {
        if ids.len() < 2 {
            return Err(Error::Request { reason: "scoring needs at least two tokens".into() });
        }
        let hidden = self.model.hidden(ids_tensor(&ids[..ids.len() - 1], &self.model.device()), None)?;
        let logits = self.model.logits(hidden);
        let vocab = logits.dims()[2];
        let values: Vec<f32> =
            logits.try_into_vec_as().map_err(|e| Error::Device { reason: format!("{e:?}") })?;
        Ok(values.chunks_exact(vocab).zip(&ids[1..]).map(|(row, id)| log_probability(row, *id)).collect())
    }
}

/// Ids as a batch of one, `[1, n]`.
fn ids_tensor(ids: &[u32], device: &Device) -> Tensor<2, Int> {
    let values: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [1, count]), device)
}

impl LanguageModel for LocalModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<ChatResponse> {
        let prompt = self.prompt_ids(request)?;
        let made = self.generate(&prompt, &request.generation, on_text)?;
        let usage = Usage { prompt_tokens: prompt.len(), completion_tokens: made.ids.len() };
        Ok(ChatResponse {
            logprobs: request.generation.logprobs.then_some(made.logprobs),
            ..ChatResponse::new(made.text, &self.name, made.finish_reason, usage)
        })
    }
}
