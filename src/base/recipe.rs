//! How the embedded base is made: tokenizer, shape, template and training settings.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slm_core::text::TrainingText;
use slm_core::{ChatTemplate, Error, ModelConfig, Result, Tokenizer};
use slm_lora::{Schedule, TrainConfig, Trainable};
use tokenizers::decoders::byte_level::ByteLevel as Decoder;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as Inner};

/// Ends a turn.
pub const END: &str = "<|end|>";
/// Tokens of the template, the first of them [`END`].
const SPECIAL: [&str; 4] = [END, "<|user|>", "<|assistant|>", "<|system|>"];
/// Number of token ids.
pub const VOCABULARY: usize = 1024;
/// The chat template.
pub const TEMPLATE: &str = "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

/// A byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) of `texts`, with the template's tokens.
///
/// # Errors
/// When training fails.
pub fn tokenizer(texts: &[String]) -> Result<Tokenizer> {
    let failed = |e: tokenizers::Error| Error::Tokenizer { path: "(memory)".into(), reason: e.to_string() };
    let mut inner = Inner::new(BPE::default());
    inner.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    inner.with_decoder(Some(Decoder::new(false, true, true)));
    let special = SPECIAL.map(|token| AddedToken::from(token, true));
    let mut trainer: TrainerWrapper = BpeTrainer::builder()
        .vocab_size(VOCABULARY)
        .special_tokens(special.to_vec())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .show_progress(false)
        .build()
        .into();
    inner.train(&mut trainer, texts.iter().map(String::as_str)).map_err(failed)?;
    Ok(Tokenizer::from_inner(inner))
}

/// The chat template, compiled.
///
/// # Errors
/// When it does not compile.
pub fn template() -> Result<ChatTemplate> {
    ChatTemplate::new(TEMPLATE, "", END)
}

/// `count` texts in which the assistant says random tokens again that the user said.
///
/// Copying is the skill that the others build on (induction heads, Olsson et al. 2022). Answers of two or three
/// tokens teach it slowly; here every token of the answer does, and each token of the vocabulary gets its turn.
pub fn copies(tokenizer: &Tokenizer, count: usize, seed: u64) -> Vec<TrainingText> {
    let special = SPECIAL.map(|token| tokenizer.token_id(token));
    let [Some(end), Some(user), Some(assistant), _] = special else { return Vec::new() };
    let ordinary = SPECIAL.len() as u32..tokenizer.vocab_size() as u32;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let text = |_| {
        let length = rng.random_range(4..=20);
        let said: Vec<u32> = (0..length).map(|_| rng.random_range(ordinary.clone())).collect();
        let ids = [&[user], said.as_slice(), &[end, assistant], said.as_slice(), &[end]].concat();
        let learned = (0..ids.len()).map(|at| at >= length + 3).collect();
        TrainingText { ids, learned }
    };
    (0..count).map(text).collect()
}

/// The shape: Qwen3's, 1.8 million weights.
///
/// # Errors
/// When the fields contradict each other.
pub fn config() -> Result<ModelConfig> {
    ModelConfig::from_value(serde_json::json!({
        "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "hidden_act": "silu",
        "vocab_size": VOCABULARY, "hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4,
        "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": true, "eos_token_id": 0,
    }))
}

/// The settings of the first phase, which learns to copy.
///
/// The learning rate matters: at 3e-3 this does not happen within 500 steps, at 1e-3 it does.
pub fn copying(steps: usize, seed: u64) -> TrainConfig {
    TrainConfig {
        steps,
        batch_size: 64,
        warmup_steps: 50,
        schedule: Schedule::Constant,
        ..skills(steps, seed)
    }
}

/// The settings of the second phase, which learns the skills.
pub fn skills(steps: usize, seed: u64) -> TrainConfig {
    TrainConfig {
        trainable: Trainable::All,
        steps,
        batch_size: 40,
        max_length: 160,
        learning_rate: 1e-3,
        warmup_steps: 100,
        schedule: Schedule::Cosine,
        weight_decay: 0.05,
        beta_2: 0.98,
        seed,
        ..TrainConfig::default()
    }
}
