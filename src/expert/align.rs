//! From a tuned model's own mistakes to a better one.

use slm_core::{ChatRequest, GenerationConfig, LanguageModel, LocalModel};
use slm_data::Example;
use slm_lora::{
    AlignLog, Aligner, LoraAdapter, Preference, Preferences, TrainConfig, mean_loss, training_texts,
};

use super::tune::{template, train_config};
use super::{ExpertConfig, Tuned};
use crate::{Result, progress};

/// Pairs of a step.
const BATCH: usize = 8;
/// Share of the pairs that accuracy is measured on.
const HELD_OUT: f64 = 0.25;
/// Share of the questions that sampled answers are measured on.
const MEASURED: f64 = 0.4;

/// What came of the alignment.
#[derive(Debug, Clone)]
pub struct Aligned {
    /// Answers sampled.
    pub sampled: usize,
    /// Of them, wrong ones: as many pairs.
    pub wrong: usize,
    /// What happened where there was enough to learn from.
    pub run: Option<AlignRun>,
}

/// An alignment that ran.
#[derive(Debug, Clone)]
pub struct AlignRun {
    /// By step.
    pub logs: Vec<AlignLog>,
    /// Share of held-out pairs whose right answer has the higher reward, before and after.
    pub accuracy: [f64; 2],
    /// Share of sampled answers to other questions that are right, before and after.
    pub right: [f64; 2],
    /// Mean loss of the right answers of held-out pairs in nats, before and after.
    pub loss: [f32; 2],
    /// Mean length in tokens: of right and of wrong answers, and of the model's before and after. One that grows alone was
    /// learned instead of what is right.
    pub lengths: [f64; 4],
    /// Whether the aligned model was taken: more of what it samples must be right.
    pub taken: bool,
}

/// Samples answers to `examples`' questions, and learns to prefer the right ones to those that are wrong. The tuned model is
/// left as it is where that gains nothing.
///
/// # Errors
/// When the model fails.
pub fn align(tuned: Tuned, examples: &[Example], config: &ExpertConfig) -> Result<(Tuned, Aligned)> {
    let mut chosen: Vec<Example> = examples.iter().take(config.align.questions).cloned().collect();
    let others = chosen.split_off(chosen.len() - (chosen.len() as f64 * MEASURED) as usize);
    let wrong = mistakes(&tuned.model, &chosen, config)?;
    let mut aligned = Aligned { sampled: chosen.len(), wrong: wrong.len(), run: None };
    if wrong.len() < config.align.min_pairs {
        return Ok((tuned, aligned));
    }
    let (better, worse): (Vec<Example>, Vec<Example>) = wrong.into_iter().unzip();
    let texts = |all: &[Example]| training_texts(all, &tuned.model.tokenizer, template(&tuned.model)?);
    let pairs = texts(&better)?.into_iter().zip(texts(&worse)?);
    let mut pairs: Vec<Preference> =
        pairs.map(|(chosen, rejected)| Preference { chosen, rejected }).collect();
    let held_out = pairs.split_off(pairs.len() - (pairs.len() as f64 * HELD_OUT).ceil() as usize);
    let right = || held_out.iter().map(|pair| pair.chosen.clone()).collect();
    let train = TrainConfig {
        steps: config.align.steps,
        batch_size: BATCH,
        learning_rate: config.align.learning_rate,
        warmup_steps: config.align.steps / 10,
        ..train_config(&tuned.model, config)
    };
    let before = mean_loss(&tuned.model.model, right(), &train)?;
    let objective = config.align.objective;
    let mut aligner =
        Aligner::new(tuned.model.model.clone(), Preferences::Pairs(pairs), objective, train.clone())?;
    let first = aligner.accuracy(&held_out)?;
    let logs = progress::align("aligning", &mut aligner)?;
    let last = aligner.accuracy(&held_out)?;
    let mut model = LocalModel { model: aligner.into_model(), ..tuned.model.clone() };
    let after = mean_loss(&model.model, right(), &train)?;
    let said = [sample(&tuned.model, &others, config)?, sample(&model, &others, config)?];
    let lengths = [
        tokens(&model, better.iter().map(Example::answer))?,
        tokens(&model, worse.iter().map(Example::answer))?,
        tokens(&model, said[0].iter().map(String::as_str))?,
        tokens(&model, said[1].iter().map(String::as_str))?,
    ];
    let right = said.map(|said| share_right(&others, &said));
    let taken = right[1] > right[0] && last >= first;
    aligned.run =
        Some(AlignRun { logs, accuracy: [first, last], right, loss: [before, after], lengths, taken });
    if !taken {
        return Ok((tuned, aligned));
    }
    let adapter = LoraAdapter::detach(&mut model.model, &config.lora);
    adapter.attach(&mut model.model)?;
    Ok((Tuned { model, adapter, ..tuned }, aligned))
}

/// Questions with their right answers, and beside them what the model said instead.
fn mistakes(
    model: &LocalModel,
    examples: &[Example],
    config: &ExpertConfig,
) -> Result<Vec<(Example, Example)>> {
    let said = sample(model, examples, config)?;
    let wrong =
        examples.iter().zip(said).filter(|(example, said)| !is_right(example, said) && !said.is_empty());
    Ok(wrong.map(|(e, said)| (e.clone(), Example::pair(e.question(), said, "model"))).collect())
}

/// An answer to each question, drawn as the model says.
fn sample(model: &LocalModel, examples: &[Example], config: &ExpertConfig) -> Result<Vec<String>> {
    let bar = progress::bar("sampling its own answers", examples.len());
    let mut said = Vec::new();
    for (index, example) in examples.iter().enumerate() {
        let generation = GenerationConfig {
            max_new_tokens: config.max_new_tokens,
            temperature: config.align.temperature,
            seed: config.seed + index as u64,
            ..GenerationConfig::default()
        };
        let request = ChatRequest { generation, ..ChatRequest::question(example.question()) };
        said.push(model.chat(&request)?.text.trim().to_owned());
        bar.inc(1);
    }
    bar.finish();
    Ok(said)
}

fn is_right(example: &Example, said: &str) -> bool {
    said == example.answer().trim()
}

fn share_right(examples: &[Example], said: &[String]) -> f64 {
    let right = examples.iter().zip(said).filter(|(example, said)| is_right(example, said)).count();
    right as f64 / examples.len().max(1) as f64
}

/// Mean length of texts, in tokens.
fn tokens<'a>(model: &LocalModel, texts: impl Iterator<Item = &'a str>) -> Result<f64> {
    let (mut sum, mut count) = (0, 0);
    for text in texts {
        sum += model.tokenizer.encode(text, false)?.len();
        count += 1;
    }
    Ok(sum as f64 / f64::from(count.max(1)))
}
