//! From a merged model to a packed one: methods of quantization compete on the expert's own texts.

use slm_core::LocalModel;
use slm_core::text::TrainingText;
use slm_data::Example;
use slm_lora::training_texts;
use slm_quant::{
    CalibrationData, Method, QualityReport, QuantConfig, QuantReport, Reference, quantize_calibrated,
    quantize_model,
};

use super::ExpertConfig;
use super::tune::template;
use crate::{Error, Result, progress};

/// Texts that a method may calibrate on, and those that it is then judged by.
const CALIBRATE: usize = 256;
const JUDGE: usize = 64;

/// What one method made of the model.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The method.
    pub method: Method,
    /// Distance from the merged model, on texts that it was not calibrated on.
    pub quality: QualityReport,
    /// Loss of each layer.
    pub layers: QuantReport,
}

/// A packed model, and how it was chosen.
#[derive(Debug)]
pub struct Packed {
    /// The model of the best trial.
    pub model: LocalModel,
    /// All trials, the best first.
    pub trials: Vec<Trial>,
}

/// Packs `merged` by each of [`ExpertConfig::quant_methods`] and keeps what diverges least on texts of `examples` that no
/// method has seen.
///
/// # Errors
/// When there is no method, the examples cannot be rendered, or no layer can be packed.
pub fn pack(merged: &LocalModel, examples: &[Example], config: &ExpertConfig) -> Result<Packed> {
    let examples = &examples[..examples.len().min(CALIBRATE + JUDGE)];
    let texts = training_texts(examples, &merged.tokenizer, template(merged)?)?;
    let judged = texts.len().min(JUDGE).min(texts.len().div_ceil(2));
    let (calibration, test) = texts.split_at(texts.len() - judged);
    let (calibration, test) = (data(calibration, merged), data(test, merged));
    let reference = Reference::new(&merged.model, &test)?;
    let mut trials = Vec::new();
    for method in &config.quant_methods {
        let quant = QuantConfig { method: *method, ..config.quant.clone() };
        let mut model = merged.model.clone();
        let layers = if method.calibrates() {
            let bar = progress::bar("packing", 0);
            let layers = quantize_calibrated(&mut model, &quant, &calibration, &mut |at| {
                bar.set_length(at.total as u64);
                bar.set_position(at.done as u64);
            })?;
            bar.finish();
            layers
        } else {
            quantize_model(&mut model, &quant)?
        };
        let quality = reference.compare(&model)?;
        trials.push((model, Trial { method: *method, quality, layers }));
    }
    trials.sort_by(|(_, a), (_, b)| a.quality.kl_mean.total_cmp(&b.quality.kl_mean));
    let (models, trials): (Vec<_>, Vec<_>) = trials.into_iter().unzip();
    let model = models.into_iter().next().ok_or(Error::TooLittle {
        what: "methods of quantization",
        found: 0,
        needed: 1,
        hint: "name one in `quant_methods`",
    })?;
    Ok(Packed { model: LocalModel { model, ..merged.clone() }, trials })
}

/// Texts as the model reads them, cut to its context.
fn data(texts: &[TrainingText], model: &LocalModel) -> CalibrationData {
    let context = model.model.config.context_length();
    let cut = |text: &TrainingText| text.ids[..text.ids.len().min(context)].to_vec();
    CalibrationData { sequences: texts.iter().map(cut).collect(), bytes: 0 }
}
