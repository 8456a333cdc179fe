//! A real trained model, where `SLM_DATA` points at the development data: stories260K gives the logits and
//! the text of its reference implementation (llama2.c).

use std::ops::ControlFlow;
use std::path::PathBuf;

use burn::tensor::{Device, Int, Tensor, TensorData, Tolerance};
use serde::Deserialize;
use slm_core::nn::KvCacheType;
use slm_core::{GenerationConfig, KvCache, LocalModel, Result};

#[derive(Deserialize)]
struct Golden {
    prompt: String,
    ids: Vec<u32>,
    last_logits: Vec<f32>,
    mean_nll: f32,
    greedy_ids: Vec<u32>,
    greedy_text: String,
}

/// The model's folder and its goldens; `None`, said aloud, where the data is not there.
fn stories() -> Option<(PathBuf, Vec<Golden>)> {
    let Some(data) = std::env::var_os("SLM_DATA").map(PathBuf::from) else {
        eprintln!("SLM_DATA is not set: nothing to compare with");
        return None;
    };
    let directory = data.join("models/stories260K");
    let text = std::fs::read_to_string(directory.join("golden.json")).expect("golden.json");
    Some((directory, serde_json::from_str(&text).expect("known fields")))
}

/// Perplexity of the model's own stories with keys and values in fewer bits.
#[test]
fn a_smaller_cache_costs_little_perplexity() -> Result<()> {
    let Some((directory, goldens)) = stories() else { return Ok(()) };
    let model = LocalModel::load(&directory, &Device::flex())?;
    let perplexity = |kv_cache| -> Result<f64> {
        let config = GenerationConfig { kv_cache, ..GenerationConfig::default() };
        let (mut nll, mut count) = (0.0, 0);
        for golden in &goldens {
            let scores = model.score_with(&golden.greedy_ids, &config)?;
            nll -= scores.iter().map(|s| f64::from(*s)).sum::<f64>();
            count += scores.len();
        }
        Ok((nll / count as f64).exp())
    };
    let (exact, half) = (perplexity(KvCacheType::F32)?, perplexity(KvCacheType::F16)?);
    let eighth = perplexity(KvCacheType::Int8)?;
    println!("perplexity with f32 {exact:.5}, f16 {half:.5}, int8 {eighth:.5}");
    assert!((half / exact - 1.0).abs() < 0.001 && half != exact);
    assert!((eighth / exact - 1.0).abs() < 0.01 && eighth != exact);
    Ok(())
}

#[test]
fn stories260k_reproduces_its_reference() -> Result<()> {
    let Some((directory, goldens)) = stories() else { return Ok(()) };
    assert_eq!(goldens.len(), 4);
    let device = Device::flex();
    let model = LocalModel::load(&directory, &device)?;
    for golden in goldens {
        assert_eq!(model.tokenizer.encode(&golden.prompt, true)?, golden.ids, "{}", golden.prompt);

        let ids: Vec<i32> = golden.ids.iter().map(|id| *id as i32).collect();
        let ids = Tensor::<1, Int>::from_data(TensorData::from(ids.as_slice()), &device).unsqueeze();
        let logits = model.model.next_logits(ids, &mut KvCache::new())?;
        let want = TensorData::new(golden.last_logits, [1, 512]);
        logits.into_data().assert_approx_eq(&want, Tolerance::<f32>::absolute(1e-4));

        let scores = model.score(&golden.ids)?;
        let nll = -scores.iter().sum::<f32>() / scores.len() as f32;
        assert!((nll - golden.mean_nll).abs() < 1e-4, "{nll} instead of {}", golden.mean_nll);

        let new = golden.greedy_ids.len() - golden.ids.len();
        let config = GenerationConfig { max_new_tokens: new, ..GenerationConfig::default() };
        let mut streamed = String::new();
        let made = model.generate(&golden.ids, &config, &mut |piece| {
            streamed.push_str(piece);
            ControlFlow::Continue(())
        })?;
        assert_eq!(made.ids, golden.greedy_ids[golden.ids.len()..]);
        assert_eq!(streamed, made.text);
        assert_eq!(format!("{}{}", golden.prompt, made.text), golden.greedy_text);
    }
    Ok(())
}
