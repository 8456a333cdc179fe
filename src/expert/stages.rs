//! The stages in their order.

use std::time::Instant;

use burn::tensor::Device;
use slm_core::model::FloatType;
use slm_core::{FinishReason, LocalModel};
use slm_data::{CurateConfig, Curated, Example, curate, mix_replay, write_examples};
use slm_rag::{ExtractiveConfig, ExtractiveModel, Index, IndexConfig};

use super::artifact::Files;
use super::export::export;
use super::tune::trainer;
use super::{
    Expert, ExpertConfig, Guard, Material, Outcome, Packed, Scores, Tuned, align, measure, measure_citations,
    pack, report, tune,
};
use crate::{Error, Result};

const MIN_CURATED: usize = 20;

/// Goes the whole road and leaves the expert and its report in [`ExpertConfig::out`].
///
/// # Errors
/// When a stage fails; what earlier stages wrote stays.
pub fn build(config: &ExpertConfig, device: &Device) -> Result<Outcome> {
    let start = Instant::now();
    let files = Files::new(&config.out);
    std::fs::create_dir_all(&config.out).map_err(|e| slm_core::Error::io(&config.out, e))?;
    let material = Material::gather(config, device)?;
    let curated = clean(&material)?;
    write_examples(files.curated(), &curated.kept)?;
    eprintln!("{}", curated.report);
    let training = mix_replay(&curated.kept, &material.replay, config.replay, config.seed)?;
    let raw = mix_replay(&material.raw, &material.replay, config.replay, config.seed)?;
    eprintln!("about {:.0} s to go", estimate(&material, &training, config)?);

    let base = measure("base", &material.base, &material, config)?;
    let on_raw = tune(&material.base, [&raw, &material.replay], config, "training on raw data")?;
    let raw_scores = measure("+ LoRA, raw data", &on_raw.model, &material, config)?;
    let tuned = tune(&material.base, [&training, &material.replay], config, "training on curated data")?;
    let (tuned, aligned) = align(tuned, &curated.kept, config)?;
    let tuned_scores = measure("+ LoRA", &tuned.model, &material, config)?;
    tuned.adapter.save(&files.adapter(), &material.base.model.config, &material.base.name)?;
    let packed = merge_and_pack(&tuned, &training, (&material.base, config), &files)?;
    let no_gguf = match export(&packed.model, &tuned.model, &files.gguf()) {
        Ok(()) => None,
        Err(e @ slm_core::Error::Io { .. }) => return Err(e.into()),
        // Not every tokenizer has a name there, which is no reason to lose the rest.
        Err(e) => Some(e.to_string()),
    };
    let packed_scores = measure("+ INT4", &packed.model, &material, config)?;

    let (guard, guard_report) = Guard::fit(&curated.kept, &material, config)?;
    files.save_guard(&guard)?;
    let documents = index(&material, &files)?;
    let citations = match &documents {
        Some(model) if !material.document_questions.is_empty() => {
            Some(measure_citations(model, &material.document_questions)?)
        }
        _ => None,
    };
    let Guard { domain, documents: detector } = guard;
    let expert = Expert::assemble(packed.model, domain, detector.zip(documents))?;
    let outcome = Outcome {
        columns: vec![base, raw_scores, tuned_scores, packed_scores],
        curation: curated.report,
        raw_loss: on_raw.logs,
        loss: tuned.logs,
        points: tuned.points,
        chosen: tuned.chosen,
        aligned,
        quantized: packed.trials,
        no_gguf,
        guard: guard_report,
        dont_know: dont_know(&expert, &material)?,
        citations,
        bad_lines: material.bad_lines,
        trained_on: training.len(),
        seconds: start.elapsed().as_secs_f64(),
        out: config.out.clone(),
    };
    report::write(&outcome, &files)?;
    Ok(outcome)
}

fn clean(material: &Material) -> Result<Curated> {
    let rules = CurateConfig { schema: material.schema.clone(), ..CurateConfig::default() };
    let curated = curate(material.raw.clone(), &material.test, &rules)?;
    if curated.kept.len() < MIN_CURATED {
        return Err(Error::TooLittle {
            what: "pairs left by the curation",
            found: curated.kept.len(),
            needed: MIN_CURATED,
            hint: "give more pairs, or look at what was dropped and why",
        });
    }
    Ok(curated)
}

/// Seconds that training and measuring will take: a few steps and answers of each, extrapolated. What they did
/// is thrown away.
fn estimate(material: &Material, training: &[Example], config: &ExpertConfig) -> Result<f64> {
    const STEPS: usize = 3;
    const ANSWERS: usize = 3;
    let mut trial = trainer(&material.base, training, config)?;
    trial.step()?;
    let start = Instant::now();
    for _ in 0..STEPS {
        trial.step()?;
    }
    let train = start.elapsed().as_secs_f64() / STEPS as f64 * config.train.steps as f64 * 2.0;
    let model = LocalModel { model: trial.into_model(), ..material.base.clone() };
    let start = Instant::now();
    let prompt = model.prompt_ids(&slm_core::ChatRequest::question(material.test[0].question()))?;
    // An untrained answer may be of any length: count tokens of an expected one.
    let answer = model.tokenizer.encode(material.test[0].answer(), false)?.len();
    let generation = slm_core::GenerationConfig { max_new_tokens: answer, ..Default::default() };
    let endless = LocalModel { eos: Vec::new(), ..model };
    for _ in 0..ANSWERS {
        endless.generate(&prompt, &generation, &mut |_| std::ops::ControlFlow::Continue(()))?;
    }
    let answers = 4.0 * (material.test.len() as f64 + material.suite.len() as f64 / 3.0);
    Ok(train + start.elapsed().as_secs_f64() / ANSWERS as f64 * answers)
}

/// Merges the adapter, writes the merged model, packs and writes the packed one.
fn merge_and_pack(
    tuned: &Tuned,
    training: &[Example],
    (base, config): (&LocalModel, &ExpertConfig),
    files: &Files,
) -> Result<Packed> {
    let mut merged = LocalModel { name: format!("{}-expert", base.name), ..base.clone() };
    tuned.adapter.merge(&mut merged.model)?;
    merged.save(&files.merged(), FloatType::F16)?;
    let packed = pack(&merged, training, config)?;
    packed.model.save(&files.packed(), FloatType::F16)?;
    Ok(packed)
}

fn index(material: &Material, files: &Files) -> Result<Option<ExtractiveModel>> {
    if material.documents.is_empty() {
        return Ok(None);
    }
    let index = Index::build(&material.documents, &IndexConfig::default())?;
    index.save(&files.index())?;
    Ok(Some(ExtractiveModel::new(index, ExtractiveConfig::default())?))
}

/// Share of the off-domain test questions that the expert says it does not know.
fn dont_know(expert: &Expert, material: &Material) -> Result<f64> {
    let mut abstained = 0;
    for question in &material.off_test {
        abstained += usize::from(expert.ask(question)?.response.finish_reason == FinishReason::Abstained);
    }
    Ok(abstained as f64 / material.off_test.len().max(1) as f64)
}

/// The column of an outcome with this name.
pub(super) fn column<'a>(columns: &'a [Scores], name: &str) -> Option<&'a Scores> {
    columns.iter().find(|c| c.name == name)
}
