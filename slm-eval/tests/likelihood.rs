//! Likelihoods and what is computed from them, against lm-evaluation-harness, on goldens of
//! `goldens/make_likelihood.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::Deserialize;
use slm_core::LocalModel;
use slm_eval::likelihood::{
    ChoiceRow, Choices, LikelihoodConfig, TextLikelihood, choose, log_likelihood, text_likelihood,
};
use slm_eval::{Error, Result};

#[derive(Deserialize)]
struct Goldens {
    choices: Vec<Question>,
    texts: Vec<Text>,
    models: BTreeMap<String, Measured>,
}

#[derive(Deserialize)]
struct Question {
    question: String,
    choices: Vec<String>,
    gold: usize,
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
struct Measured {
    choices: Vec<Vec<f64>>,
    texts: Vec<f64>,
    acc: f64,
    acc_norm: f64,
    acc_bytes: f64,
    word_perplexity: f64,
    byte_perplexity: f64,
    bits_per_byte: f64,
}

fn goldens() -> Goldens {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/likelihood.json");
    let text = std::fs::read_to_string(path).expect("the goldens");
    serde_json::from_str(&text).expect("goldens as the script writes them")
}

/// The tiny Llama of slm-core's goldens.
fn llama() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens/llama")
}

/// As the goldens were made.
fn config() -> LikelihoodConfig {
    LikelihoodConfig { window: Some(256), ..LikelihoodConfig::default() }
}

#[track_caller]
fn assert_close(got: f64, expected: f64, what: &str) {
    let tolerance = 1e-3_f64.max(1e-6 * expected.abs());
    assert!((got - expected).abs() < tolerance, "{what}: {got}, expected {expected}");
}

fn compare(directory: &Path, name: &str) -> Result<()> {
    let goldens = goldens();
    let expected = &goldens.models[name];
    let model = LocalModel::load(directory, &Device::flex())?;
    let mut rows = Vec::new();
    for (question, likelihoods) in goldens.choices.into_iter().zip(&expected.choices) {
        let Question { question, choices, gold } = question;
        let row =
            choose(&model, &Choices { context: question, choices, gold, source: name.into() }, &config())?;
        assert_eq!(row.likelihoods.len(), likelihoods.len());
        row.likelihoods.iter().zip(likelihoods).for_each(|(got, e)| assert_close(*got, *e, name));
        rows.push(row);
    }
    let share = |picked: fn(&ChoiceRow) -> usize| {
        rows.iter().filter(|row| picked(row) == row.gold).count() as f64 / rows.len() as f64
    };
    assert_eq!(share(|row| row.picked), expected.acc);
    assert_eq!(share(|row| row.picked_per_character), expected.acc_norm);
    assert_eq!(share(|row| row.picked_per_byte), expected.acc_bytes);

    let measure = |text: &Text| text_likelihood(&model, &text.text, &config());
    let texts = goldens.texts.iter().map(measure).collect::<Result<Vec<_>>>()?;
    for (text, likelihood) in texts.iter().zip(&expected.texts) {
        assert_close(text.likelihood, *likelihood, name);
    }
    for (got, expected) in [
        (TextLikelihood::word_perplexity(&texts), expected.word_perplexity),
        (TextLikelihood::byte_perplexity(&texts), expected.byte_perplexity),
        (TextLikelihood::bits_per_byte(&texts), expected.bits_per_byte),
    ] {
        assert!((got / expected - 1.0).abs() < 1e-4, "{name}: {got}, expected {expected}");
    }
    Ok(())
}

#[test]
fn a_tiny_llama_finds_likely_what_it_does_in_the_harness() -> Result<()> {
    compare(&llama(), "llama")
}

#[test]
fn stories260k_finds_likely_what_it_does_in_the_harness() -> Result<()> {
    match std::env::var_os("SLM_DATA") {
        Some(data) => compare(&PathBuf::from(data).join("models/stories260K"), "stories260K"),
        None => {
            eprintln!("SLM_DATA is not set: nothing to compare with");
            Ok(())
        }
    }
}

#[test]
fn what_cannot_be_read_is_refused() -> Result<()> {
    let model = LocalModel::load(&llama(), &Device::flex())?;
    let refused = |found: Result<f64>| matches!(found, Err(Error::Setting { name: "continuation", .. }));
    assert!(refused(log_likelihood(&model, "a context", "", &config())));
    let narrow = LikelihoodConfig { window: Some(2), ..config() };
    assert!(refused(log_likelihood(&model, "", "one two three four", &narrow)));
    let mut question =
        Choices { context: "a".into(), choices: vec!["b".into()], gold: 1, source: String::new() };
    assert!(matches!(choose(&model, &question, &config()), Err(Error::Setting { name: "gold", .. })));
    question.gold = 0;
    assert_eq!(choose(&model, &question, &config())?.picked, 0);
    assert!(matches!(text_likelihood(&model, "", &config()), Err(Error::Empty { .. })));
    Ok(())
}
