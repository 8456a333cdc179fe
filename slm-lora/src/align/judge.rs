//! From preferences to batches, and from log-probabilities of tokens to those of answers.

use slm_core::CausalLm;
use slm_core::text::TrainingText;

use super::Objective;
use super::aligner::{Preference, Preferences, Rated};
use super::objective::Answer;
use crate::train::{Batch, TrainConfig, log_probabilities};
use crate::{Error, Result};

/// A unit of the data: a pair or a rated answer.
#[derive(Debug)]
pub(super) enum Item {
    Pair(Preference),
    /// With its prompt before the answer of another item, from which the divergence is estimated.
    Rated(Rated, TrainingText),
}

/// Sums over the answers of a step.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Figures {
    /// Of better and of worse answers.
    pub(super) rewards: [f64; 2],
    /// Better and worse answers.
    pub(super) counts: [f64; 2],
    /// Pairs, or rated answers, that the rewards have the right way round.
    pub(super) right: f64,
    /// Of pairs, or of batches of rated answers.
    pub(super) divergence: f64,
    /// Batches.
    pub(super) groups: f64,
}

impl Figures {
    pub(super) fn add(&mut self, other: Self) {
        for i in 0..2 {
            self.rewards[i] += other.rewards[i];
            self.counts[i] += other.counts[i];
        }
        self.right += other.right;
        self.divergence += other.divergence;
        self.groups += other.groups;
    }
}

/// Items and what they are held against.
pub(super) struct Data<'a> {
    pub(super) items: &'a [Item],
    pub(super) reference: &'a CausalLm,
    pub(super) objective: Objective,
}

/// What a step's sums are divided by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Total {
    items: f64,
    /// Tokens of the chosen conversations, prompts included.
    tokens: f64,
}

/// A batch, and which of its learned tokens belong to which answer.
pub(super) struct Judged {
    pub(super) batch: Batch,
    objective: Objective,
    /// Of each learned token, its text.
    owner: Vec<usize>,
    /// Whether it is part of the answer.
    answer: Vec<bool>,
    /// By text: the log-probability of the answer by the reference; 0 where there is none.
    reference: Vec<f64>,
    /// Of rated answers; pairs have none.
    good: Vec<bool>,
    divergence: f64,
    total: Total,
}

/// The data as items; those with a text that does not fit are left out.
pub(super) fn items(data: Preferences, objective: Objective, max_length: usize) -> Result<Vec<Item>> {
    let fits = |t: &TrainingText| t.ids.len() <= max_length && t.learned.iter().skip(1).any(|l| *l);
    let kto = matches!(objective, Objective::Kto { .. });
    let rated = match data {
        Preferences::Pairs(pairs) if !kto => {
            let fitting = |p: &Preference| fits(&p.chosen) && fits(&p.rejected);
            return Ok(pairs.into_iter().filter(fitting).map(Item::Pair).collect());
        }
        Preferences::Rated(_) if !kto => {
            let reason = "rated answers are for kto; this objective needs pairs".into();
            return Err(Error::Config { field: "objective", reason });
        }
        Preferences::Pairs(pairs) => {
            let (better, worse): (Vec<_>, Vec<_>) = pairs.into_iter().map(|p| (p.chosen, p.rejected)).unzip();
            let rate =
                |texts: Vec<TrainingText>, good| texts.into_iter().map(move |text| Rated { text, good });
            rate(better, true).chain(rate(worse, false)).collect()
        }
        Preferences::Rated(rated) => rated,
    };
    let rated: Vec<Rated> = rated.into_iter().filter(|r| fits(&r.text)).collect();
    // Each prompt with the answer before its own, the first with the last.
    let before = rated.iter().cycle().skip(rated.len().saturating_sub(1));
    let mixed: Vec<TrainingText> =
        rated.iter().zip(before).map(|(r, b)| mixed(&r.text, &b.text, max_length)).collect();
    Ok(rated.into_iter().zip(mixed).map(|(r, m)| Item::Rated(r, m)).collect())
}

/// A prompt before another one's answer, as much of it as fits.
fn mixed(prompt: &TrainingText, answer: &TrainingText, max_length: usize) -> TrainingText {
    let begins = |t: &TrainingText| t.learned.iter().position(|l| *l).unwrap_or(t.ids.len());
    let (own, other) = (begins(prompt), begins(answer));
    let mut text = TrainingText { ids: prompt.ids[..own].to_vec(), learned: prompt.learned[..own].to_vec() };
    text.ids.extend(&answer.ids[other..]);
    text.learned.extend(&answer.learned[other..]);
    text.ids.truncate(max_length);
    text.learned.truncate(max_length);
    text
}

impl Data<'_> {
    /// What the sums of a step of these items are divided by.
    pub(super) fn total(&self, chosen: &[usize]) -> Total {
        let length = |i: &usize| match &self.items[*i] {
            Item::Pair(p) => p.chosen.ids.len() - 1,
            Item::Rated(..) => 0,
        };
        let tokens = chosen.iter().map(length).sum::<usize>();
        Total { items: chosen.len() as f64, tokens: tokens as f64 }
    }

    /// A batch of these items: all better answers, then all worse ones; rated answers in their order.
    pub(super) fn judge(
        &self,
        part: &[usize],
        model: &CausalLm,
        config: &TrainConfig,
        total: Total,
    ) -> Result<Judged> {
        let (mut texts, mut worse, mut mixed, mut good) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for index in part {
            match &self.items[*index] {
                Item::Pair(pair) => {
                    texts.push(&pair.chosen);
                    worse.push(&pair.rejected);
                }
                Item::Rated(rated, other) => {
                    texts.push(&rated.text);
                    mixed.push(other);
                    good.push(rated.good);
                }
            }
        }
        let pairs = worse.len();
        texts.extend(worse);
        let whole = matches!(self.objective, Objective::Orpo { .. });
        let (mut owner, mut answer, mut learned) = (Vec::new(), Vec::new(), Vec::new());
        for (index, text) in texts.iter().enumerate() {
            // ORPO learns chosen conversations from the first token on.
            let all = whole && index < pairs;
            let kept: Vec<bool> = text.learned.iter().map(|l| *l || all).collect();
            for at in (1..text.ids.len()).filter(|at| kept[*at]) {
                owner.push(index);
                answer.push(text.learned[at]);
            }
            learned.push(TrainingText { ids: text.ids.clone(), learned: kept });
        }
        let device = model.device();
        let batch = Batch::new(&learned.iter().collect::<Vec<_>>(), config.batching, &device);
        let mut judged = Judged {
            batch,
            objective: self.objective,
            owner,
            answer,
            reference: vec![0.0; texts.len()],
            good,
            divergence: 0.0,
            total,
        };
        if self.objective.has_reference() {
            let own = log_probabilities(self.reference, &judged.batch, config.max_logits)?;
            judged.reference = judged.answers(&own).iter().map(|a| a.own + a.reference).collect();
        }
        if !mixed.is_empty() {
            let batch = Batch::new(&mixed, config.batching, &device);
            let sum = |model: &CausalLm| -> Result<f64> {
                let own = log_probabilities(model, &batch, config.max_logits)?;
                Ok(own.iter().map(|v| f64::from(*v)).sum())
            };
            judged.divergence = ((sum(model)? - sum(self.reference)?) / mixed.len() as f64).max(0.0);
        }
        Ok(judged)
    }

    /// Figures of items, without training.
    pub(super) fn measure(&self, part: &[usize], model: &CausalLm, config: &TrainConfig) -> Result<Figures> {
        let judged = self.judge(part, model, config, self.total(part))?;
        let own = log_probabilities(model, &judged.batch, config.max_logits)?;
        Ok(judged.weigh(&own).2)
    }
}

impl Judged {
    fn answers(&self, own: &[f32]) -> Vec<Answer> {
        let mut answers: Vec<Answer> =
            self.reference.iter().map(|r| Answer { reference: *r, ..Answer::default() }).collect();
        for ((owner, part), value) in self.owner.iter().zip(&self.answer).zip(own) {
            if *part {
                answers[*owner].own += f64::from(*value);
                answers[*owner].tokens += 1.0;
            }
        }
        answers
    }

    /// The loss, what each learned token's negative log-probability counts in it, and figures.
    pub(super) fn weigh(&self, own: &[f32]) -> (f32, Vec<f32>, Figures) {
        let answers = self.answers(own);
        let mut slopes = vec![0.0; answers.len()];
        let mut figures = Figures { groups: 1.0, ..Figures::default() };
        let mut loss = if self.good.is_empty() {
            self.pairs(&answers, &mut slopes, &mut figures)
        } else {
            self.rated(&answers, &mut slopes, &mut figures)
        } / self.total.items;
        // A chosen conversation's own loss, ORPO's.
        let pairs = if matches!(self.objective, Objective::Orpo { .. }) { answers.len() / 2 } else { 0 };
        let mut weights = Vec::with_capacity(own.len());
        for ((owner, part), value) in self.owner.iter().zip(&self.answer).zip(own) {
            let mut weight = if *part { -slopes[*owner] / self.total.items } else { 0.0 };
            if *owner < pairs {
                weight += self.total.tokens.recip();
                loss -= f64::from(*value) / self.total.tokens;
            }
            weights.push(weight as f32);
        }
        (loss as f32, weights, figures)
    }

    fn pairs(&self, answers: &[Answer], slopes: &mut [f64], figures: &mut Figures) -> f64 {
        let (better, worse) = answers.split_at(answers.len() / 2);
        let (up, down) = slopes.split_at_mut(better.len());
        let mut loss = 0.0;
        for (i, (a, b)) in better.iter().zip(worse).enumerate() {
            let judged = self.objective.pair(*a, *b);
            loss += judged.loss;
            [up[i], down[i]] = judged.derivatives;
            let [reward, other] = judged.rewards;
            let divergence = if self.objective.has_reference() { a.own - a.reference } else { 0.0 };
            figures.add(Figures {
                rewards: judged.rewards,
                counts: [1.0; 2],
                right: f64::from(u8::from(reward > other)),
                divergence,
                groups: 0.0,
            });
        }
        loss
    }

    fn rated(&self, answers: &[Answer], slopes: &mut [f64], figures: &mut Figures) -> f64 {
        figures.divergence = self.divergence;
        let mut loss = 0.0;
        for ((answer, good), slope) in answers.iter().zip(&self.good).zip(slopes) {
            let (own, derivative, reward) = self.objective.single(*answer, *good, self.divergence);
            (loss, *slope) = (loss + own, derivative);
            let side = usize::from(!good);
            figures.rewards[side] += reward;
            figures.counts[side] += 1.0;
            figures.right += f64::from(u8::from((reward > 0.0) == *good));
        }
        loss
    }
}
