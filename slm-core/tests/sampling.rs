//! Each sampler leaves the tokens that llama.cpp's leaves; `tests/goldens/make_samplers.py` recorded them.

use std::collections::BTreeMap;

use serde::Deserialize;
use slm_core::GenerationConfig;
use slm_core::generate::Sampler;

#[derive(Deserialize)]
struct Goldens {
    logits: BTreeMap<String, Vec<f32>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    settings: serde_json::Value,
    seen: Vec<u32>,
    logits: String,
    left: Vec<(u32, f32)>,
}

#[test]
fn every_sampler_leaves_what_llama_cpp_leaves() {
    let goldens: Goldens = serde_json::from_str(include_str!("goldens/samplers.json")).expect("valid");
    assert!(goldens.cases.len() >= 39);
    for case in goldens.cases {
        let what = format!("{} on {}", case.settings, case.logits);
        let config: GenerationConfig = serde_json::from_value(case.settings).expect("settings");
        let config = GenerationConfig { temperature: 1.0, ..config };
        let mut sampler = Sampler::new(&config).expect("valid");
        let left = sampler.distribution(&mut goldens.logits[&case.logits].clone(), &case.seen);
        let total: f32 = case.left.iter().map(|(_, l)| l.exp()).sum();
        let ids = |all: &[(u32, f32)]| all.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        assert_eq!(ids(&left), ids(&case.left), "{what}");
        for ((_, got), (id, logit)) in left.iter().zip(&case.left) {
            assert!((got - logit.exp() / total).abs() < 1e-5, "{what}: token {id}");
        }
    }
}

#[test]
fn settings_survive_json_and_bad_ones_are_named() {
    let config = GenerationConfig {
        xtc: Some(slm_core::generate::Xtc { probability: 0.5, threshold: 0.1 }),
        dry: Some(slm_core::generate::Dry::default()),
        logit_bias: [(3, -1.5)].into(),
        ..GenerationConfig::default()
    };
    let json = serde_json::to_string(&config).expect("plain data");
    assert_eq!(serde_json::from_str::<GenerationConfig>(&json).expect("round trip"), config);
    for (field, json) in [
        ("typical_p", r#"{"typical_p": 0.0}"#),
        ("xtc", r#"{"xtc": {"probability": 2.0, "threshold": 0.1}}"#),
        ("mirostat", r#"{"mirostat": {"tau": -1.0}}"#),
        ("dry", r#"{"dry": {"base": 0.5}}"#),
        ("lookup", r#"{"lookup": {"max_ngram": 0}}"#),
    ] {
        let config: GenerationConfig = serde_json::from_str(json).expect("parses");
        let error = config.check().expect_err(field).to_string();
        assert!(error.contains(field), "{error}");
    }
}
