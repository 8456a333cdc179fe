//! From examples to batches: which examples a step sees is a function of the seed and the step alone.

use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use slm_core::text::TrainingText;
use slm_core::{ChatTemplate, Message, Tokenizer};
use slm_data::{Example, Role};

use super::{Batching, TrainConfig};
use crate::{Error, Result};

/// Steps whose examples are sorted by length together: batches of like lengths waste little on padding, and
/// the order stays random.
const WINDOW: usize = 16;

/// Renders and tokenizes examples by the same template that serves, with the assistant's tokens marked.
///
/// # Errors
/// When the template or the tokenizer fails.
pub fn training_texts(
    examples: &[Example],
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
) -> Result<Vec<TrainingText>> {
    let message = |m: &slm_data::Message| {
        let role = match m.role {
            Role::System => slm_core::Role::System,
            Role::User => slm_core::Role::User,
            Role::Assistant => slm_core::Role::Assistant,
            Role::Tool => slm_core::Role::Tool,
        };
        Message::new(role, m.content.as_str())
    };
    let text = |e: &Example| {
        let messages: Vec<Message> = e.messages.iter().map(message).collect();
        Ok(template.training_text(tokenizer, &messages)?)
    };
    examples.iter().map(text).collect()
}

/// What a run is about to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Examples that are learned from.
    pub examples: usize,
    /// Examples left out because they are longer than the limit.
    pub too_long: usize,
    /// Examples left out because they hold no assistant token.
    pub nothing_to_learn: usize,
    /// Tokens of one pass over the examples.
    pub tokens_per_epoch: usize,
    /// Optimizer steps.
    pub steps: usize,
    /// Trainable weights.
    pub trainable_parameters: usize,
}

/// The examples in the order of training.
#[derive(Debug)]
pub(super) struct Batches {
    texts: Vec<TrainingText>,
    per_step: usize,
    batch_size: usize,
    batching: Batching,
    seed: u64,
    /// Order of one epoch, kept until another is asked for.
    epoch: Option<(usize, Vec<Vec<usize>>)>,
}

impl Batches {
    pub(super) fn new(texts: Vec<TrainingText>, config: &TrainConfig) -> Result<(Self, Plan)> {
        let total = texts.len();
        let texts: Vec<_> = texts.into_iter().filter(|t| t.ids.len() <= config.max_length).collect();
        let too_long = total - texts.len();
        let useful: Vec<_> = texts.into_iter().filter(|t| t.learned.iter().skip(1).any(|l| *l)).collect();
        if useful.is_empty() {
            return Err(Error::NoData { max_length: config.max_length, too_long });
        }
        let plan = Plan {
            examples: useful.len(),
            too_long,
            nothing_to_learn: total - too_long - useful.len(),
            tokens_per_epoch: useful.iter().map(|t| t.ids.len()).sum(),
            steps: config.steps,
            trainable_parameters: 0,
        };
        let batches = Self {
            texts: useful,
            per_step: config.batch_size * config.gradient_accumulation,
            batch_size: config.batch_size,
            batching: config.batching,
            seed: config.seed,
            epoch: None,
        };
        Ok((batches, plan))
    }

    pub(super) fn steps_per_epoch(&self) -> usize {
        self.texts.len().div_ceil(self.per_step)
    }

    /// Indices of the examples of a step.
    pub(super) fn examples(&mut self, step: usize) -> Vec<usize> {
        let (epoch, within) = (step / self.steps_per_epoch(), step % self.steps_per_epoch());
        if self.epoch.as_ref().is_none_or(|(e, _)| *e != epoch) {
            self.epoch = Some((epoch, self.shuffled(epoch)));
        }
        self.epoch.as_ref().map_or(Vec::new(), |(_, steps)| steps[within].clone())
    }

    fn shuffled(&self, epoch: usize) -> Vec<Vec<usize>> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(epoch as u64);
        let mut order: Vec<usize> = (0..self.texts.len()).collect();
        order.shuffle(&mut rng);
        for window in order.chunks_mut(self.per_step * WINDOW) {
            window.sort_by_key(|i| self.texts[*i].ids.len());
        }
        let mut steps: Vec<Vec<usize>> = order.chunks(self.per_step).map(<[usize]>::to_vec).collect();
        steps.shuffle(&mut rng);
        steps
    }

    /// The batches of a step, and the number of tokens learned in all of them.
    pub(super) fn step(&mut self, step: usize, device: &Device) -> (Vec<Batch>, usize) {
        let examples = self.examples(step);
        let batches: Vec<Batch> = examples
            .chunks(self.batch_size)
            .map(|chunk| {
                let texts: Vec<&TrainingText> = chunk.iter().map(|i| &self.texts[*i]).collect();
                Batch::new(&texts, self.batching, device)
            })
            .collect();
        let learned = batches.iter().map(|b| b.targets.len()).sum();
        (batches, learned)
    }

    /// Tokens computed in a step, padding included.
    pub(super) fn computed(&mut self, step: usize) -> usize {
        let examples = self.examples(step);
        let length = |i: &usize| self.texts[*i].ids.len();
        let batch = |chunk: &[usize]| match self.batching {
            Batching::Packed => chunk.iter().map(length).sum::<usize>(),
            Batching::Padded => chunk.len() * chunk.iter().map(length).max().unwrap_or(0),
        };
        examples.chunks(self.batch_size).map(batch).sum()
    }

    /// Identifies the data: a checkpoint of other data must not be resumed.
    pub(super) fn fingerprint(&self) -> u64 {
        let text = |text: &TrainingText| {
            let tokens = text.ids.iter().zip(&text.learned);
            let numbers = tokens.map(|(id, learned)| u64::from(*id) << 1 | u64::from(*learned));
            numbers.chain([u64::MAX]).collect::<Vec<_>>()
        };
        fingerprint(self.texts.iter().flat_map(text))
    }
}

/// Identifies a sequence of numbers (FNV-1a over whole numbers), on all machines alike.
pub(crate) fn fingerprint(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0xcbf2_9ce4_8422_2325, |hash, number| (hash ^ number).wrapping_mul(0x0100_0000_01b3))
}

/// Examples of one forward pass, and the positions whose next token is learned.
#[derive(Debug)]
pub(crate) struct Batch {
    /// `[examples, length]`; padding follows the text, where the causal mask hides it. Or `[1, tokens]`, packed.
    pub(super) ids: Tensor<2, Int>,
    /// Of the sequences of one row.
    pub(super) lengths: Vec<usize>,
    /// Positions in the flattened batch that predict a learned token.
    pub(super) positions: Vec<i32>,
    /// The tokens they predict.
    pub(super) targets: Vec<i32>,
    /// Tokens that are no padding.
    pub(crate) tokens: usize,
}

impl Batch {
    /// Learned tokens.
    pub(crate) fn learned(&self) -> usize {
        self.targets.len()
    }

    pub(crate) fn new(texts: &[&TrainingText], batching: Batching, device: &Device) -> Self {
        let longest = texts.iter().map(|t| t.ids.len()).max().unwrap_or(0);
        let (mut ids, mut positions, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for text in texts {
            let start = ids.len();
            for at in 1..text.ids.len() {
                if text.learned[at] {
                    positions.push((start + at - 1) as i32);
                    targets.push(text.ids[at] as i32);
                }
            }
            ids.extend(text.ids.iter().map(|id| *id as i32));
            if batching == Batching::Padded {
                ids.resize(start + longest, 0);
            }
        }
        let (shape, lengths) = match batching {
            Batching::Padded => ([texts.len(), longest], vec![longest]),
            Batching::Packed => ([1, ids.len()], texts.iter().map(|t| t.ids.len()).collect()),
        };
        let ids = Tensor::from_data(TensorData::new(ids, shape), device);
        let tokens = texts.iter().map(|t| t.ids.len()).sum();
        Self { ids, lengths, positions, targets, tokens }
    }
}
