//! Learning from a reward: [`Grpo`].

use std::cell::Cell;
use std::time::Instant;

use burn::tensor::Tensor;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use slm_core::generate::BatchRequest;
use slm_core::text::TrainingText;
use slm_core::{CausalLm, GenerationConfig, LocalModel};

use crate::retain::base_of;
use crate::train::{Batch, Passed, StepLog, TrainConfig, Trainer, Weights, log_probabilities};
use crate::{Error, Result};

/// Keeps the division by a deviation from exploding where all rewards are alike.
const SMALLEST_DEVIATION: f64 = 1e-4;

/// How the losses of tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// The mean of each answer, and the mean of these (Shao et al. 2024): tokens of long answers count less.
    Answers,
    /// The mean of all tokens of a step (Yu et al. 2025).
    Tokens,
}

/// How a [`Grpo`] learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpoConfig {
    /// Answers sampled for each question, at least 2.
    pub group: usize,
    /// Steps taken on the same answers.
    pub updates: usize,
    /// How far below and above 1 the ratio of probabilities to those of the sampler may lead.
    pub clip: [f64; 2],
    /// Weight of the divergence from the model with its adapters off; 0 is off.
    pub beta: f64,
    /// Whether rewards are divided by their deviation within the group.
    pub scale_rewards: bool,
    /// How the losses of tokens become one.
    pub normalization: Normalization,
    /// Of the sampler, which keeps all tokens.
    pub temperature: f32,
    /// Longest answer.
    pub max_new_tokens: usize,
}

impl Default for GrpoConfig {
    fn default() -> Self {
        Self {
            group: 8,
            updates: 1,
            clip: [0.2, 0.2],
            beta: 0.0,
            scale_rewards: true,
            normalization: Normalization::Tokens,
            temperature: 1.0,
            max_new_tokens: 128,
        }
    }
}

impl GrpoConfig {
    fn check(&self) -> Result<()> {
        if self.group < 2 || self.updates == 0 || self.max_new_tokens == 0 {
            let reason = format!(
                "group {}, updates {} and max_new_tokens {}: at least 2, 1 and 1",
                self.group, self.updates, self.max_new_tokens
            );
            return Err(Error::Config { field: "group", reason });
        }
        let numbers = [
            ("clip", self.clip[0]),
            ("clip", self.clip[1]),
            ("beta", self.beta),
            ("temperature", f64::from(self.temperature)),
        ];
        for (field, value) in numbers {
            if !(value.is_finite() && value >= 0.0) || field == "temperature" && value == 0.0 {
                return Err(Error::Config { field, reason: format!("{value} is out of range") });
            }
        }
        Ok(())
    }
}

/// An answer to learn from.
#[derive(Debug, Clone)]
pub struct Rollout {
    /// Its learned tokens are the answer.
    pub text: TrainingText,
    /// How much better it is than the others of its group.
    pub advantage: f64,
    /// Log-probability of each learned token by the model that sampled it, in nats.
    pub old: Vec<f32>,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GrpoLog {
    /// Loss, rate, tokens and time.
    pub step: StepLog,
    /// Mean reward of the answers it learned from.
    pub reward: f64,
    /// Mean deviation of rewards within a group: where it is 0 there is nothing to learn.
    pub reward_deviation: f64,
    /// Mean length of the answers, in tokens.
    pub length: f64,
    /// Mean divergence from the model with its adapters off, in nats per token; 0 where it is not taken.
    pub divergence: f64,
    /// Share of tokens whose ratio was clipped.
    pub clipped: f64,
}

/// A reward: of the question with this index, for this answer.
pub type Reward<'a> = dyn FnMut(usize, &str) -> f64 + 'a;

/// Trains a [`LocalModel`] by group-relative policy optimisation (GRPO, Shao et al. 2024): answers to a question are sampled,
/// rewarded, and made likelier or less likely by how they compare with each other.
#[derive(Debug)]
pub struct Grpo {
    trainer: Trainer,
    speaker: LocalModel,
    reference: Option<CausalLm>,
    prompts: Vec<Vec<u32>>,
    config: GrpoConfig,
    held: Vec<Rollout>,
    /// Mean and deviation of the rewards of what is held.
    rewards: [f64; 2],
}

/// Sums over tokens.
#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    divergence: f64,
    clipped: f64,
    tokens: f64,
}

impl Grpo {
    /// A trainer of `model` on tokenized questions. The batch size of `train` counts questions of a step.
    ///
    /// # Errors
    /// When a setting is out of range, or there is no question or nothing to train.
    pub fn new(
        model: LocalModel,
        prompts: Vec<Vec<u32>>,
        config: GrpoConfig,
        train: TrainConfig,
    ) -> Result<Self> {
        config.check()?;
        let texts =
            prompts.iter().map(|ids| TrainingText { learned: vec![true; ids.len()], ids: ids.clone() });
        let texts: Vec<TrainingText> = texts.collect();
        let reference = (config.beta > 0.0).then(|| base_of(&model.model));
        let trainer = Trainer::new(model.model.clone(), texts, train)?;
        let max_length = trainer.descent.config.max_length;
        let prompts = prompts.into_iter().filter(|ids| ids.len() + config.max_new_tokens <= max_length);
        let prompts: Vec<Vec<u32>> = prompts.collect();
        if prompts.is_empty() {
            return Err(Error::NoData { max_length, too_long: trainer.plan().examples });
        }
        Ok(Self { trainer, speaker: model, reference, prompts, config, held: Vec::new(), rewards: [0.0; 2] })
    }

    /// Samples and rewards answers where those held were used up, and takes a step on them.
    ///
    /// # Errors
    /// When the model fails, or as [`Trainer::step`].
    pub fn step(&mut self, reward: &mut Reward<'_>) -> Result<GrpoLog> {
        if self.held.is_empty() || self.trainer.descent.step.is_multiple_of(self.config.updates) {
            self.sample(reward)?;
        }
        let held = std::mem::take(&mut self.held);
        let log = self.learn(&held);
        self.held = held;
        log
    }

    /// Takes a step on answers from elsewhere; [`GrpoLog::reward`] is that of the last ones sampled.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn learn(&mut self, rollouts: &[Rollout]) -> Result<GrpoLog> {
        let start = Instant::now();
        let (passed, figures) = self.pass(rollouts)?;
        let step = self.trainer.apply(passed, start, (0..rollouts.len()).collect())?;
        let tokens = figures.tokens.max(1.0);
        Ok(GrpoLog {
            step,
            reward: self.rewards[0],
            reward_deviation: self.rewards[1],
            length: figures.tokens / rollouts.len().max(1) as f64,
            divergence: figures.divergence / tokens,
            clipped: figures.clipped / tokens,
        })
    }

    /// The gradient of a step on these answers by name of the weight, before clipping; nothing moves.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn gradients(&mut self, rollouts: &[Rollout]) -> Result<Vec<(String, Tensor<1>)>> {
        let (passed, _) = self.pass(rollouts)?;
        Ok(self.trainer.descent.names().into_iter().zip(passed.gradients).collect())
    }

    /// The model, off the autodiff device.
    pub fn into_model(self) -> CausalLm {
        self.trainer.into_model()
    }

    /// Answers to the questions of the next step, rewarded.
    fn sample(&mut self, reward: &mut Reward<'_>) -> Result<()> {
        let chosen = self.questions();
        let speaker = LocalModel { model: self.trainer.model(), ..self.speaker.clone() };
        let requests: Vec<BatchRequest> = chosen
            .iter()
            .flat_map(|at| (0..self.config.group).map(move |answer| (*at, answer)))
            .map(|(at, answer)| self.request(at, answer))
            .collect();
        let said = speaker
            .generate_batch(&requests, requests.len(), &mut |_, _| std::ops::ControlFlow::Continue(()));
        let (mut held, mut sums) = (Vec::new(), [0.0; 2]);
        let said: Vec<_> = said.into_iter().collect::<slm_core::Result<_>>()?;
        for (at, answers) in chosen.iter().zip(said.chunks(self.config.group)) {
            let rewards: Vec<f64> = answers.iter().map(|answer| reward(*at, &answer.text)).collect();
            let (mean, deviation) = moments(&rewards);
            sums = [sums[0] + mean, sums[1] + deviation];
            for (answer, reward) in answers.iter().zip(rewards) {
                let scale = if self.config.scale_rewards { deviation + SMALLEST_DEVIATION } else { 1.0 };
                let ids = [&self.prompts[*at][..], &answer.ids].concat();
                let begin = self.prompts[*at].len();
                let text = TrainingText { learned: (0..ids.len()).map(|i| i >= begin).collect(), ids };
                held.push(Rollout { text, advantage: (reward - mean) / scale, old: Vec::new() });
            }
        }
        self.rewards = sums.map(|sum| sum / chosen.len().max(1) as f64);
        self.held = held;
        self.remember()
    }

    fn request(&self, at: usize, answer: usize) -> BatchRequest {
        let config = GenerationConfig {
            max_new_tokens: self.config.max_new_tokens,
            temperature: self.config.temperature,
            seed: self.trainer.descent.config.seed
                ^ ((self.trainer.descent.step as u64) << 32 | (at as u64) << 12 | answer as u64),
            ..GenerationConfig::default()
        };
        BatchRequest { prompt: self.prompts[at].clone(), config }
    }

    /// What the model that sampled says of its answers, by the kernels that it is trained with.
    fn remember(&mut self) -> Result<()> {
        let model = self.trainer.autodiff_model();
        let config = &self.trainer.descent.config;
        for part in self.held.chunks_mut(self.config.group) {
            let texts: Vec<&TrainingText> = part.iter().map(|rollout| &rollout.text).collect();
            let batch = Batch::new(&texts, config.batching, &model.device());
            let mut all = log_probabilities(&model, &batch, config.max_logits)?.into_iter();
            for rollout in part {
                let count = learned(&rollout.text);
                rollout.old = all.by_ref().take(count).collect();
            }
        }
        Ok(())
    }

    /// Indices of the questions of the next step: an order for each pass over them.
    fn questions(&self) -> Vec<usize> {
        let size = self.trainer.descent.config.batch_size.min(self.prompts.len());
        let round = self.trainer.descent.step / self.config.updates;
        let rounds = self.prompts.len().div_ceil(size);
        let mut rng = ChaCha8Rng::seed_from_u64(self.trainer.descent.config.seed);
        rng.set_stream((round / rounds) as u64);
        let mut order: Vec<usize> = (0..self.prompts.len()).collect();
        order.shuffle(&mut rng);
        order.into_iter().skip(round % rounds * size).take(size).collect()
    }

    fn pass(&mut self, rollouts: &[Rollout]) -> Result<(Passed, Figures)> {
        let config = self.trainer.descent.config.clone();
        let all: usize = rollouts.iter().map(|rollout| learned(&rollout.text)).sum();
        let (mut sums, mut loss, mut tokens) = (Vec::new(), 0.0, 0);
        let mut figures = Figures::default();
        for (index, part) in rollouts.chunks(self.config.group).enumerate() {
            let texts: Vec<&TrainingText> = part.iter().map(|rollout| &rollout.text).collect();
            let batch = Batch::new(&texts, config.batching, &self.trainer.device());
            let reference = match &self.reference {
                Some(reference) => log_probabilities(reference, &batch, config.max_logits)?,
                None => Vec::new(),
            };
            let found = Cell::new(Figures::default());
            let judge = |own: &[f32]| {
                let (loss, slopes, figures) = self.config.judge(part, own, &reference, [rollouts.len(), all]);
                found.set(figures);
                Ok((loss, slopes))
            };
            loss += self.trainer.backward(index, &batch, &Weights::Judged(&judge), &mut sums)?;
            let own = found.get();
            figures.divergence += own.divergence;
            figures.clipped += own.clipped;
            figures.tokens += own.tokens;
            tokens += batch.tokens;
        }
        Ok((Passed { loss, gradients: self.trainer.complete(sums), tokens }, figures))
    }
}

impl GrpoConfig {
    /// Loss of some answers, and its derivative with the other sign in each log-probability; `answers` and `tokens` are those
    /// of the whole step.
    fn judge(
        &self,
        part: &[Rollout],
        own: &[f32],
        reference: &[f32],
        [answers, tokens]: [usize; 2],
    ) -> (f32, Vec<f32>, Figures) {
        let (mut loss, mut slopes, mut figures) = (0.0, Vec::with_capacity(own.len()), Figures::default());
        let mut all = own.iter().enumerate();
        for rollout in part {
            let count = learned(&rollout.text);
            let weight = match self.normalization {
                Normalization::Answers => 1.0 / (answers * count.max(1)) as f64,
                Normalization::Tokens => 1.0 / tokens.max(1) as f64,
            };
            for (old, (at, own)) in rollout.old.iter().zip(all.by_ref().take(count)) {
                let ratio = (f64::from(*own) - f64::from(*old)).exp();
                let clipped = ratio.clamp(1.0 - self.clip[0], 1.0 + self.clip[1]);
                let free = ratio * rollout.advantage <= clipped * rollout.advantage;
                let gain = if free { ratio } else { clipped } * rollout.advantage;
                let mut slope = if free { -ratio * rollout.advantage } else { 0.0 };
                loss -= weight * gain;
                if let Some(reference) = reference.get(at) {
                    let away = f64::from(*reference) - f64::from(*own);
                    let divergence = away.exp() - away - 1.0;
                    loss += weight * self.beta * divergence;
                    slope += self.beta * (1.0 - away.exp());
                    figures.divergence += divergence;
                }
                figures.clipped += f64::from(u8::from(!free));
                figures.tokens += 1.0;
                slopes.push((-slope * weight) as f32);
            }
        }
        (loss as f32, slopes, figures)
    }
}

/// Tokens of the answer.
fn learned(text: &TrainingText) -> usize {
    text.learned.iter().skip(1).filter(|learned| **learned).count()
}

/// Mean and sample deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (values.len() - 1) as f64).sqrt())
}
