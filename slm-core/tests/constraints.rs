//! Whatever a model prefers to say, a constrained answer matches.

use std::path::Path;

use burn::tensor::Device;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use slm_core::generate::{Constraint, generate_as};
use slm_core::{ChatRequest, FinishReason, GenerationConfig, LanguageModel, LocalModel, Result};

fn model() -> LocalModel {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/qwen3");
    LocalModel::load(&folder, &Device::flex()).expect("the golden loads")
}

/// Random weights at a high temperature: a model that says anything.
fn request(seed: u64, constraint: Option<Constraint>) -> ChatRequest {
    let mut request = ChatRequest::question("domain question");
    request.generation = GenerationConfig {
        temperature: 8.0,
        seed,
        max_new_tokens: 400,
        constraint,
        ..GenerationConfig::default()
    };
    request
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Incident {
    severity: Severity,
    #[schemars(range(min = 0, max = 255))]
    exit_code: Option<u8>,
    #[schemars(length(min = 1, max = 3))]
    hosts: Vec<Host>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Low,
    High,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Host {
    #[schemars(length(max = 12))]
    name: String,
    up: bool,
}

#[test]
fn an_answer_of_a_type_always_parses() -> Result<()> {
    let model = model();
    let (mut severities, mut up, mut codes) = ([0, 0], [0, 0], [0, 0]);
    for seed in 0..20 {
        let incident: Incident = generate_as(&model, &request(seed, None))?;
        assert!((1..=3).contains(&incident.hosts.len()), "{incident:?}");
        assert!(incident.hosts.iter().all(|h| h.name.chars().count() <= 12));
        up[usize::from(incident.hosts[0].up)] += 1;
        codes[usize::from(incident.exit_code.is_some())] += 1;
        severities[usize::from(matches!(incident.severity, Severity::High))] += 1;
    }
    let chosen = [severities, up, codes];
    assert!(chosen.as_flattened().iter().all(|n| *n > 0), "the model chooses within the schema: {chosen:?}");
    Ok(())
}

#[test]
fn a_regular_expression_holds_for_the_whole_answer() -> Result<()> {
    let model = model();
    for seed in 0..20 {
        let constraint = Constraint::Regex(r"(yes|no|ERR-[0-9]{3,5}): [a-z]{2,8}\.".into());
        let answer = model.chat(&request(seed, Some(constraint)))?;
        let text = &answer.text;
        assert_eq!(answer.finish_reason, FinishReason::Stop, "{text}");
        let (head, tail) = text.split_once(": ").expect("a colon");
        let code = head.strip_prefix("ERR-").is_some_and(|d| (3..=5).contains(&d.len()));
        assert!(head == "yes" || head == "no" || code, "{text}");
        let word = tail.strip_suffix('.').expect("a full stop");
        assert!((2..=8).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase()), "{text}");
    }
    Ok(())
}

#[test]
fn a_grammar_and_any_json_object() -> Result<()> {
    let model = model();
    for seed in 0..5 {
        let sum = Constraint::Grammar("start: NUM (\" + \" NUM){1,3}\nNUM: /[0-9]{1,2}/".into());
        let answer = model.chat(&request(seed, Some(sum)))?.text;
        let parts: Vec<&str> = answer.split(" + ").collect();
        assert!((2..=4).contains(&parts.len()) && parts.iter().all(|p| p.parse::<u8>().is_ok()), "{answer}");
    }
    let schema = json!({"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"],
                        "additionalProperties": false});
    let answer = model.chat(&request(1, Some(Constraint::JsonSchema(schema))))?.text;
    let value: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(value, json!({"a": 1}));
    Ok(())
}

#[test]
fn an_answer_cut_short_says_so() {
    let mut request = request(3, None);
    request.generation.max_new_tokens = 4;
    let error = generate_as::<Incident>(&model(), &request).expect_err("cut").to_string();
    assert!(error.contains("hint: raise max_new_tokens"), "{error}");
}

#[test]
fn what_cannot_be_understood_is_refused() {
    for constraint in [
        Constraint::Regex("(unclosed".into()),
        Constraint::Grammar("start: missing".into()),
        Constraint::JsonSchema(json!({"type": "no such type"})),
    ] {
        let error = model().chat(&request(0, Some(constraint.clone()))).expect_err("refused").to_string();
        assert!(error.contains("constraint"), "{constraint:?}: {error}");
    }
    let mut endless = model();
    endless.eos.clear();
    let error = endless.chat(&request(0, Some(Constraint::JsonObject))).expect_err("no end").to_string();
    assert!(error.contains("end-of-sequence"), "{error}");
}
