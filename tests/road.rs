//! The whole road at small scale: what it leaves behind answers, cites and refuses, and it gives the same figures
//! again. `examples/domain_expert.rs` is the full size.

use std::path::Path;

use burn::tensor::Device;
use slm::core::{ChatRequest, FinishReason, LanguageModel, LocalModel};
use slm::expert::{DOCUMENTS, DOMAIN, Expert, ExpertConfig, Outcome, build};
use slm::lora::LoraAdapter;
use slm::{Error, Result};

fn small(out: &Path) -> ExpertConfig {
    let mut config =
        ExpertConfig { out: out.into(), test_questions: 12, suite_questions: 14, ..ExpertConfig::default() };
    config.train.steps = 12;
    config.train.warmup_steps = 2;
    (config.align.steps, config.align.measured) = (2, 12);
    config
}

fn scores(outcome: &Outcome) -> Vec<(f64, f64)> {
    outcome.columns.iter().map(|c| (c.domain.summary.score, c.general.summary.score)).collect()
}

#[test]
fn the_road_leaves_an_expert_that_answers_cites_and_refuses() -> Result<()> {
    let (first, second) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let device = Device::flex();
    let outcome = build(&small(first.path()), &device)?;
    let again = build(&small(second.path()), &device)?;
    assert_eq!(scores(&outcome), scores(&again));
    let losses = |o: &Outcome| o.loss.iter().map(|l| l.loss).collect::<Vec<_>>();
    assert_eq!(losses(&outcome), losses(&again));
    // Single steps say little: their texts are of one length, and so of one kind.
    let domain: Vec<f32> = outcome.points.iter().map(|p| p.domain_loss).collect();
    assert!(domain[1] < 0.8 * domain[0], "{domain:?}");

    let (kept, dropped) = (outcome.curation.kept, outcome.curation.dropped);
    assert_eq!(kept + dropped, outcome.curation.input);
    assert!(outcome.guard.auroc >= 0.95, "{}", outcome.guard.auroc);
    assert!(outcome.dont_know >= 0.9, "{}", outcome.dont_know);
    let citations = outcome.citations.as_ref().expect("runbook questions have known sources");
    assert_eq!(citations.exact, citations.citations);
    assert!(citations.right_document >= 30 && citations.right_sentence >= 18, "{citations:?}");
    let [routed, unseen] = outcome.guard.document_questions;
    assert!(2 * routed > unseen, "{routed} of {unseen}");

    let expert = Expert::load(first.path(), &device)?;
    let routed =
        expert.ask("Triage: 2026-03-14 09:26:53 web-03 auth[417] ERROR E4102 /var/data is 97% full")?;
    assert_eq!(routed.decision.route_name(), Some(DOMAIN));
    let routed = expert.ask("How low must disk usage be after a clean-up?")?;
    assert_eq!(routed.decision.route_name(), Some(DOCUMENTS));
    let citation = &routed.response.citations[0];
    assert_eq!((citation.source.as_str(), &citation.text), ("runbooks/E4102.md", &routed.response.text));
    let routed = expert.ask("What goes well with lentil soup?")?;
    assert_eq!(routed.response.finish_reason, FinishReason::Abstained);

    assert_eq!(outcome.no_gguf, None);
    let [packed, gguf] =
        ["int4", "gguf/expert.gguf"].map(|name| LocalModel::load(&first.path().join(name), &device));
    let request = ChatRequest::question("Reverse: one two");
    assert_eq!(packed?.chat(&request)?.text, gguf?.chat(&request)?.text);
    let merged = LocalModel::load(&first.path().join("merged"), &device)?;
    LoraAdapter::load(&first.path().join("adapter"), &merged.model.config, &device)?;
    for file in [
        "report.html",
        "report.json",
        "curated.jsonl",
        "int4/model.safetensors",
        "gguf/Modelfile",
        "gguf/adapter.gguf",
    ] {
        assert!(first.path().join(file).exists(), "{file}");
    }
    Ok(())
}

/// What the road says of `config`, which must be an error.
fn refusal(config: &ExpertConfig) -> String {
    build(config, &Device::flex()).expect_err("refused").to_string()
}

#[test]
fn bad_material_gives_one_clear_error() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    let config = || small(&at("out"));

    std::fs::create_dir(at("empty")).expect("folder");
    let error = refusal(&ExpertConfig { documents: Some(at("empty")), ..config() });
    assert!(error.contains("empty") && error.contains("hint"), "{error}");

    let error = refusal(&ExpertConfig { model: Some(at("nowhere")), ..config() });
    assert!(error.contains("nowhere"), "{error}");

    std::fs::create_dir(at("mamba")).expect("folder");
    std::fs::write(at("mamba/config.json"), r#"{"model_type": "mamba"}"#).expect("write");
    let error = refusal(&ExpertConfig { model: Some(at("mamba")), ..config() });
    assert!(error.contains("unknown architecture \"mamba\""), "{error}");

    std::fs::write(at("bad.jsonl"), "{\"question\": \n").expect("write");
    let error = refusal(&ExpertConfig { data: Some(at("bad.jsonl")), ..config() });
    assert!(error.contains("bad.jsonl"), "{error}");

    let few = "{\"question\": \"Which port does the proxy use?\", \"answer\": \"8080\"}\n";
    std::fs::write(at("few.jsonl"), few).expect("write");
    let error = refusal(&ExpertConfig { data: Some(at("few.jsonl")), ..config() });
    assert!(error.contains("hint"), "{error}");

    let missing = Expert::load(&at("out"), &Device::flex());
    assert!(matches!(missing, Err(Error::NoExpert { .. })));
}
