//! How an answer is generated, as plain data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::constraint::Constraint;
use crate::nn::KvCacheType;
use crate::{Error, Result};

/// How an answer is generated. The default is greedy decoding of at most 256 tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GenerationConfig {
    /// Most tokens to generate.
    pub max_new_tokens: usize,
    /// Softmax temperature; 0 is greedy.
    pub temperature: f32,
    /// Keep the `k` most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Nucleus sampling (Holtzman et al. 2020): the smallest set with at least this mass; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens with at least this share of the top token's probability (Nguyen et al. 2024); 0 keeps all.
    pub min_p: f32,
    /// Locally typical sampling (Meister et al. 2022): the tokens whose surprise is nearest to the entropy, with
    /// at least this mass; 1 keeps all.
    pub typical_p: f32,
    /// Keep logits within this many standard deviations of the largest (Tang et al. 2024); 0 keeps all.
    pub top_n_sigma: f32,
    /// Exclude top choices: leave out the most likely tokens now and then.
    pub xtc: Option<Xtc>,
    /// Mirostat 2 instead of all other truncation.
    pub mirostat: Option<Mirostat>,
    /// Divides positive and multiplies negative logits of tokens already seen (CTRL, Keskar et al. 2019);
    /// 1 is off.
    pub repetition_penalty: f32,
    /// Taken from the logit of each token already seen; 0 is off.
    pub presence_penalty: f32,
    /// Taken from the logit of a token once for each time it was seen; 0 is off.
    pub frequency_penalty: f32,
    /// How many of the last tokens the three penalties look at; 0 looks at all, the prompt included.
    pub penalty_window: usize,
    /// Penalty on going on with a sequence that was already said.
    pub dry: Option<Dry>,
    /// Added to the logits of these tokens.
    pub logit_bias: BTreeMap<u32, f32>,
    /// The order in which the samplers act; one that is not named does not act.
    pub order: Vec<Step>,
    /// Seed of the sampler.
    pub seed: u64,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// What the answer has to match.
    pub constraint: Option<Constraint>,
    /// Report the log-probability of each generated token.
    pub logprobs: bool,
    /// With each log-probability, those of this many most likely tokens.
    pub top_logprobs: usize,
    /// Report the log-probability of each token of the prompt but the first.
    pub prompt_logprobs: bool,
    /// Guess the next tokens from what the text already holds, and read them in one pass. Does not change the
    /// output, but for the rounding of packed weights.
    pub lookup: Option<Lookup>,
    /// How keys and values are kept.
    pub kv_cache: KvCacheType,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self {
            max_new_tokens: 256,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            top_n_sigma: 0.0,
            xtc: None,
            mirostat: None,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            penalty_window: 0,
            dry: None,
            logit_bias: BTreeMap::new(),
            order: Step::ALL.to_vec(),
            seed: 0,
            stop: Vec::new(),
            constraint: None,
            logprobs: false,
            top_logprobs: 0,
            prompt_logprobs: false,
            lookup: None,
            kv_cache: KvCacheType::F32,
        }
    }
}

/// One sampler of the chain. Logit bias and a constraint act before all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// Repetition, presence and frequency penalties.
    Penalties,
    /// [`Dry`].
    Dry,
    /// Division by the temperature.
    Temperature,
    /// Top-n-sigma.
    TopNSigma,
    /// Top-k.
    TopK,
    /// Locally typical.
    Typical,
    /// Nucleus.
    TopP,
    /// Min-p.
    MinP,
    /// [`Xtc`].
    Xtc,
}

impl Step {
    /// The default order. With temperature before truncation, as in `transformers` and vLLM; llama.cpp has it
    /// last.
    pub const ALL: [Self; 9] = [
        Self::Penalties,
        Self::Dry,
        Self::Temperature,
        Self::TopNSigma,
        Self::TopK,
        Self::Typical,
        Self::TopP,
        Self::MinP,
        Self::Xtc,
    ];
}

/// Exclude top choices: with `probability`, all tokens above `threshold` go but the least likely of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Xtc {
    /// How often it acts, from 0 to 1.
    pub probability: f32,
    /// Probability above which a token counts as a top choice; above 0.5 it never acts.
    pub threshold: f32,
}

/// Mirostat 2 (Basu et al. 2021): keeps the surprise of the text near a target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mirostat {
    /// Target surprise, in bits.
    pub tau: f32,
    /// Learning rate of the threshold.
    pub eta: f32,
}

impl Default for Mirostat {
    fn default() -> Self {
        Self { tau: 5.0, eta: 0.1 }
    }
}

/// "Don't repeat yourself": a token that would go on with a sequence of `n` tokens already said loses
/// `multiplier · base^(n - allowed_length)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dry {
    /// Strength.
    pub multiplier: f32,
    /// Growth with each repeated token.
    pub base: f32,
    /// Longest sequence that may be repeated freely.
    pub allowed_length: usize,
    /// How many of the last tokens are looked at; 0 looks at all.
    pub window: usize,
    /// No repeated sequence reaches over one of these; each counts as its last token.
    pub sequence_breakers: Vec<String>,
}

impl Default for Dry {
    fn default() -> Self {
        let sequence_breakers = ["\n", ":", "\"", "*"].map(str::to_owned).to_vec();
        Self { multiplier: 0.8, base: 1.75, allowed_length: 2, window: 0, sequence_breakers }
    }
}

/// Prompt-lookup decoding (Saxena 2023): where the last tokens occur earlier in the text, what followed them there
/// is a guess at what follows now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lookup {
    /// Longest run of last tokens to look for.
    pub max_ngram: usize,
    /// Most tokens to guess at a time.
    pub max_guess: usize,
}

impl Default for Lookup {
    fn default() -> Self {
        Self { max_ngram: 3, max_guess: 8 }
    }
}

impl GenerationConfig {
    /// Checks that each setting is in its range.
    ///
    /// # Errors
    /// Names the first that is not.
    pub fn check(&self) -> Result<()> {
        let share = |v: f32| (0.0..=1.0).contains(&v);
        let xtc = self.xtc.is_none_or(|x| share(x.probability) && share(x.threshold));
        let mirostat = self.mirostat.is_none_or(|m| m.tau > 0.0 && m.eta > 0.0 && m.eta.is_finite());
        let dry = self.dry.as_ref().is_none_or(|d| d.multiplier >= 0.0 && d.base >= 1.0);
        let lookup = self.lookup.is_none_or(|l| l.max_ngram > 0 && l.max_guess > 0);
        let checks = [
            ("temperature", self.temperature >= 0.0 && self.temperature.is_finite()),
            ("top_p", self.top_p > 0.0 && self.top_p <= 1.0),
            ("min_p", share(self.min_p)),
            ("typical_p", self.typical_p > 0.0 && self.typical_p <= 1.0),
            ("top_n_sigma", self.top_n_sigma >= 0.0),
            ("xtc", xtc),
            ("mirostat", mirostat),
            ("repetition_penalty", self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite()),
            ("presence_penalty", self.presence_penalty.is_finite()),
            ("frequency_penalty", self.frequency_penalty.is_finite()),
            ("dry", dry),
            ("logit_bias", self.logit_bias.values().all(|b| !b.is_nan())),
            ("lookup", lookup),
        ];
        match checks.iter().find(|(_, ok)| !ok) {
            Some((name, _)) => Err(Error::Request { reason: format!("{name} is out of range") }),
            None => Ok(()),
        }
    }
}
