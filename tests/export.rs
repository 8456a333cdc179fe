//! What was trained is what is served: adapter, merged, packed, expanded, and each of the files say the same.

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use slm::core::gguf::GgufOptions;
use slm::core::model::FloatType;
use slm::core::{ChatRequest, GenerationConfig, KvCache, LanguageModel, LocalModel};
use slm::lora::{LoraAdapter, LoraConfig, TrainConfig, Trainer, training_texts};
use slm::quant::{BlockType, Format, QuantConfig, dequantize_model, quantize_model};
use slm::sandbox;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const QUESTION: &str = "Triage: 2026-03-14 09:26:53 web-03 auth[417] ERROR E4102 /var/data is 97% full";

/// The embedded base after a few steps on the log domain, its adapter attached.
fn trained() -> Outcome<LocalModel> {
    let mut base = slm::base::embedded(&Device::flex())?;
    let template = base.template.as_ref().ok_or("no template")?;
    let texts = training_texts(&sandbox::domain_examples(64, 1), &base.tokenizer, template)?;
    LoraAdapter::init(&base.model, &LoraConfig::default())?.attach(&mut base.model)?;
    let config = TrainConfig {
        steps: 8,
        batch_size: 8,
        learning_rate: 2e-3,
        warmup_steps: 2,
        ..TrainConfig::default()
    };
    let mut trainer = Trainer::new(base.model, texts, config)?;
    trainer.run(&mut |_, _| std::ops::ControlFlow::Continue(()))?;
    Ok(LocalModel { model: trainer.into_model(), ..base })
}

/// Logits of every position of a question, as the model's own template writes it.
fn logits(model: &LocalModel) -> Outcome<Vec<f32>> {
    let ids: Vec<i32> =
        model.prompt_ids(&ChatRequest::question(QUESTION))?.iter().map(|id| *id as i32).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids.clone(), [1, ids.len()]), &Device::flex());
    Ok(model.model.forward(ids, &mut KvCache::new())?.try_into_vec_as().map_err(|e| format!("{e:?}"))?)
}

fn text(model: &LocalModel) -> Outcome<String> {
    let generation = GenerationConfig { max_new_tokens: 24, ..GenerationConfig::default() };
    Ok(model.chat(&ChatRequest { generation, ..ChatRequest::question(QUESTION) })?.text)
}

/// Root mean square of the difference, by that of `b`.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let error: f32 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    (error / b.iter().map(|b| b * b).sum::<f32>()).sqrt()
}

fn reloaded(model: &LocalModel, path: &Path) -> Outcome<LocalModel> {
    if path.extension().is_some() {
        model.save_gguf(path, &GgufOptions { float: FloatType::F32, ..GgufOptions::default() })?;
    } else {
        model.save(path, FloatType::F32)?;
    }
    Ok(LocalModel::load(path, &Device::flex())?)
}

#[test]
fn trained_merged_packed_and_reloaded_say_the_same() -> Outcome {
    let folder = tempfile::tempdir()?;
    let trained = trained()?;
    let expected = logits(&trained)?;
    assert!(
        distance(&expected, &logits(&slm::base::embedded(&Device::flex())?)?) > 0.05,
        "training changed nothing"
    );

    let mut merged = trained.clone();
    LoraAdapter::detach(&mut merged.model, &LoraConfig::default()).merge(&mut merged.model)?;
    let dense = logits(&merged)?;
    assert!(distance(&dense, &expected) < 1e-5);
    assert_eq!(text(&merged)?, text(&trained)?);
    for name in ["merged", "merged.gguf"] {
        let again = reloaded(&merged, &folder.path().join(name))?;
        assert_eq!(logits(&again)?, dense, "{name}");
        assert_eq!(text(&again)?, text(&trained)?, "{name}");
    }

    for (block, bound) in [(BlockType::Q8_0, 0.02), (BlockType::Q4_0, 0.3)] {
        let mut packed = merged.clone();
        let config = QuantConfig {
            format: Format::Block(block),
            skip: vec!["*norm*".into()],
            ..QuantConfig::default()
        };
        quantize_model(&mut packed.model, &config)?;
        let small = logits(&packed)?;
        assert!(distance(&small, &dense) < bound, "{block:?}: {}", distance(&small, &dense));
        let mut expanded = packed.clone();
        dequantize_model(&mut expanded.model);
        // Packed products round their inputs to 8 bits.
        assert!(distance(&small, &logits(&expanded)?) < 0.02, "{block:?}");
        for name in [format!("{block:?}"), format!("{block:?}.gguf")] {
            let again = reloaded(&packed, &folder.path().join(&name))?;
            assert_eq!(logits(&again)?, small, "{name}");
            assert_eq!(text(&again)?, text(&packed)?, "{name}");
        }
    }
    Ok(())
}
