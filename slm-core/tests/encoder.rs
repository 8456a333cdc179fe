//! Parity with sentence-transformers; `tests/goldens/make_encoder.py` made the references.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::Deserialize;
use slm_core::encoder::Segment;
use slm_core::{CrossEncoder, Embedder, Result, TextEncoder};

#[derive(Deserialize)]
struct Reference {
    texts: Vec<String>,
    #[serde(default)]
    ids: Vec<Vec<u32>>,
    vectors: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Scores {
    pairs: Vec<(String, String)>,
    scores: Vec<f32>,
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> T {
    serde_json::from_slice(&std::fs::read(path).expect("the golden is in the repository")).expect("JSON")
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Each text alone and all together give the reference.
fn check(encoder: &TextEncoder, reference: &Reference) -> Result<f64> {
    let texts: Vec<&str> = reference.texts.iter().map(String::as_str).collect();
    let together = encoder.embed(&texts)?;
    let mut worst = 1.0_f64;
    for (index, (text, want)) in texts.iter().zip(&reference.vectors).enumerate() {
        let alone = encoder.embed(&[text])?.remove(0);
        assert_eq!(alone.len(), encoder.dimension());
        let length: f32 = alone.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-5, "a unit vector");
        assert!(cosine(&alone, &together[index]) > 0.999_999_9, "neighbours change nothing");
        worst = worst.min(cosine(&alone, want));
    }
    Ok(worst)
}

#[test]
fn vectors_equal_those_of_sentence_transformers() -> Result<()> {
    for name in ["encoder-mean", "encoder-cls"] {
        let reference: Reference = read(&golden(name).join("reference.json"));
        let encoder = TextEncoder::load(&golden(name), &Device::flex())?;
        assert_eq!(encoder.max_length, 48);
        assert_eq!(reference.ids.last().map(Vec::len), Some(48), "one text is cut");
        let worst = check(&encoder, &reference)?;
        assert!(worst >= 0.999_999, "{name}: {worst}");
    }
    Ok(())
}

/// The weights are not in the repository: `SLM_MINILM` names a folder that holds them.
#[test]
fn real_weights_give_the_same_vectors() -> Result<()> {
    let Some(folder) = std::env::var_os("SLM_MINILM") else {
        println!("SLM_MINILM is not set: the real weights are not compared");
        return Ok(());
    };
    let encoder = TextEncoder::load(Path::new(&folder), &Device::flex())?;
    let worst = check(&encoder, &read(&golden("minilm.json")))?;
    println!("smallest cosine {worst}");
    assert!(worst >= 0.99999, "{worst}");
    Ok(())
}

#[test]
fn pairs_score_as_in_sentence_transformers() -> Result<()> {
    let reference: Scores = read(&golden("cross-encoder").join("reference.json"));
    let encoder = CrossEncoder::load(&golden("cross-encoder"), &Device::flex())?;
    for ((query, text), want) in reference.pairs.iter().zip(&reference.scores) {
        let got = encoder.score(query, &[text, text])?;
        assert!((got[0] - want).abs() < 1e-4 && got[0] == got[1], "{got:?} instead of {want}");
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_named() -> Result<()> {
    let encoder = TextEncoder::load(&golden("encoder-mean"), &Device::flex())?;
    let segment = |ids: Vec<u32>| Segment { types: vec![0; ids.len()], ids };
    for (segment, word) in [
        (segment(vec![]), "0 tokens"),
        (segment(vec![1; 65]), "65 tokens"),
        (segment(vec![9999]), "9999"),
        (Segment { ids: vec![1], types: vec![7] }, "types"),
    ] {
        let error = encoder.encoder.hidden(&[segment]).expect_err(word).to_string();
        assert!(error.contains(word), "{error}");
    }
    let error =
        CrossEncoder::load(&golden("encoder-mean"), &Device::flex()).expect_err("no head").to_string();
    assert!(error.contains("label"), "{error}");
    let error = encoder.with_prompt("passage").expect_err("none").to_string();
    assert!(error.contains("passage") && error.contains("document"), "{error}");
    Ok(())
}
