//! From a tuned model to one whose samples are right more often.

use slm_core::generate::BatchRequest;
use slm_core::{ChatRequest, GenerationConfig, LocalModel};
use slm_data::Example;
use slm_lora::{Grpo, GrpoLog, LoraAdapter, TrainConfig};

use super::tune::train_config;
use super::{ExpertConfig, Tuned};
use crate::{Result, progress};

/// Requests answered at once.
const AT_ONCE: usize = 16;

/// What came of the alignment.
#[derive(Debug, Clone)]
pub struct Aligned {
    /// By step.
    pub logs: Vec<GrpoLog>,
    /// Share of sampled answers to other questions that are right, before and after.
    pub right: [f64; 2],
    /// Mean length in tokens: of right answers, and of the sampled ones before and after. One that runs away from the first
    /// was learned instead of what is right.
    pub lengths: [f64; 3],
    /// Whether the aligned model was taken: more of what it samples must be right.
    pub taken: bool,
}

/// Samples answers to `examples`' questions and learns from which of them are right, word for word (GRPO). The tuned
/// model is left as it is where its samples get no better; `None` where the stage is left out.
///
/// # Errors
/// When the model fails.
pub fn align(tuned: Tuned, examples: &[Example], config: &ExpertConfig) -> Result<(Tuned, Option<Aligned>)> {
    let measured = config.align.measured.min(examples.len() / 2);
    let (others, chosen) = examples.split_at(measured);
    if config.align.steps == 0 || others.is_empty() {
        return Ok((tuned, None));
    }
    let before = sample(&tuned.model, others, config)?;
    let (model, logs) = learn(&tuned.model, chosen, config)?;
    let mut model = LocalModel { model, ..tuned.model.clone() };
    let after = sample(&model, others, config)?;
    let answers: Vec<String> = others.iter().map(|example| example.answer().to_owned()).collect();
    let right = [&before, &after].map(|said| share_right(others, said));
    let aligned = Aligned {
        logs,
        right,
        lengths: [tokens(&model, &answers)?, tokens(&model, &before)?, tokens(&model, &after)?],
        taken: right[1] > right[0],
    };
    if !aligned.taken {
        return Ok((tuned, Some(aligned)));
    }
    let adapter = LoraAdapter::detach(&mut model.model, &config.lora);
    adapter.attach(&mut model.model)?;
    Ok((Tuned { model, adapter, ..tuned }, Some(aligned)))
}

fn learn(
    model: &LocalModel,
    chosen: &[Example],
    config: &ExpertConfig,
) -> Result<(slm_core::CausalLm, Vec<GrpoLog>)> {
    let align = &config.align;
    let prompt = |e: &Example| model.prompt_ids(&ChatRequest::question(e.question()));
    let prompts = chosen.iter().map(prompt).collect::<slm_core::Result<Vec<_>>>()?;
    let train = TrainConfig {
        steps: align.steps,
        batch_size: align.questions,
        learning_rate: align.learning_rate,
        warmup_steps: align.steps / 10,
        ..train_config(model, config)
    };
    // Questions that leave no room for an answer are not asked.
    let fits = |ids: &Vec<u32>| ids.len() + align.grpo.max_new_tokens <= train.max_length;
    let (prompts, answers): (Vec<_>, Vec<_>) =
        prompts.into_iter().zip(chosen).filter(|(ids, _)| fits(ids)).unzip();
    let mut grpo = Grpo::new(model.clone(), prompts, align.grpo.clone(), train)?;
    let bar = progress::bar("learning from its samples", align.steps);
    let mut logs = Vec::new();
    for _ in 0..align.steps {
        let log = grpo.step(&mut |question, said| f64::from(u8::from(is_right(answers[question], said))))?;
        bar.inc(1);
        bar.set_prefix(format!("{:.0} % right", 100.0 * log.reward));
        logs.push(log);
    }
    bar.finish();
    Ok((grpo.into_model(), logs))
}

/// An answer to each question, drawn as the model says.
fn sample(model: &LocalModel, examples: &[Example], config: &ExpertConfig) -> Result<Vec<String>> {
    let request = |(index, example): (usize, &Example)| {
        let generation = GenerationConfig {
            max_new_tokens: config.max_new_tokens,
            temperature: config.align.grpo.temperature,
            seed: config.seed + index as u64,
            ..GenerationConfig::default()
        };
        let prompt = model.prompt_ids(&ChatRequest::question(example.question()))?;
        Ok(BatchRequest { prompt, config: generation })
    };
    let requests = examples.iter().enumerate().map(request).collect::<slm_core::Result<Vec<_>>>()?;
    let said = model.generate_batch(&requests, AT_ONCE, &mut |_, _| std::ops::ControlFlow::Continue(()));
    let said = said.into_iter().map(|said| Ok(said?.text)).collect::<slm_core::Result<_>>()?;
    Ok(said)
}

fn is_right(example: &Example, said: &str) -> bool {
    said.trim() == example.answer().trim()
}

fn share_right(examples: &[Example], said: &[String]) -> f64 {
    let right = examples.iter().zip(said).filter(|(example, said)| is_right(example, said)).count();
    right as f64 / examples.len().max(1) as f64
}

/// Mean length of texts, in tokens.
fn tokens(model: &LocalModel, texts: &[String]) -> Result<f64> {
    let mut sum = 0;
    for text in texts {
        sum += model.tokenizer.encode(text, false)?.len();
    }
    Ok(sum as f64 / texts.len().max(1) as f64)
}
