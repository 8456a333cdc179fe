//! Suites from files, on models that answer by rule and on a tiny Llama.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use slm_core::{
    ChatRequest, ChatResponse, Citation, Confidence, FinishReason, LanguageModel, LocalModel, Usage,
};
use slm_eval::suite::Subject;
use slm_eval::{Error, Result, Suite, SuiteResult};

/// Says what stands after the last colon of the question, in brackets for JSON, as often right as it is told.
struct Parrot {
    name: &'static str,
    wrong: usize,
}

impl LanguageModel for Parrot {
    fn name(&self) -> &str {
        self.name
    }

    fn stream(
        &self,
        request: &ChatRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> slm_core::Result<ChatResponse> {
        let said = request.last_user().rsplit(": ").next().unwrap_or_default();
        let number: usize = said.trim_start_matches('w').parse().unwrap_or(usize::MAX);
        if said == "none" {
            return Ok(ChatResponse::abstained(self.name, "I don't know."));
        }
        let right = number >= self.wrong;
        let text = if right { said.to_owned() } else { "nonsense".to_owned() };
        let _ = on_text(&text);
        let usage = Usage { prompt_tokens: 100, completion_tokens: 10 };
        let mean_logprob = if right { -0.1 } else { -2.0 };
        let confidence = Confidence { mean_logprob, min_logprob: -3.0, mean_margin: 0.5, mean_entropy: 0.5 };
        Ok(ChatResponse {
            confidence: Some(confidence),
            citations: vec![Citation { source: "book".into(), start: 0, end: 10, text: "0123456789".into() }],
            ..ChatResponse::new(text, self.name, FinishReason::Stop, usage)
        })
    }
}

const SUITE: &str = r#"
name = "words"

[cost]
per_million_prompt_tokens = 10.0

[[task]]
name = "repeat"
rows = "words.jsonl"
kind = "answers"
system = "You repeat {{ kind }}."
prompt = "Say: {{ word }}"
answers = "accepted"
group = "{{ kind }}"
evidence = "[{'source': 'book', 'start': 5, 'end': 15}]"
metrics = ["exact_match", "rougeL"]

[[gate]]
task = "repeat"
measure = "exact_match"
min = 0.5
max_regression = 0.05

[[gate]]
task = "repeat"
measure = "cost_per_query"
max = 0.01
"#;

/// A folder with the suite and forty words, of which the last has no answer.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let row =
        |n: usize| format!("{{\"word\": \"w{n}\", \"kind\": \"words\", \"accepted\": [\"x\", \"W{n}!\"]}}\n");
    let mut rows: String = (0..39).map(row).collect();
    rows.push_str("\n{\"word\": \"none\", \"kind\": \"words\", \"accepted\": null}\n");
    fs::write(folder.path().join("words.jsonl"), rows).expect("rows");
    let path = folder.path().join("suite.toml");
    fs::write(&path, SUITE).expect("a suite");
    (folder, path)
}

fn run(path: &Path, wrong: usize, baseline: Option<&SuiteResult>) -> Result<SuiteResult> {
    let model = Parrot { name: "parrot", wrong };
    Suite::load(path)?.run(Subject::Answering(&model), baseline, &mut |_, _, _| {})
}

#[test]
fn answers_are_measured_and_gates_say_why() -> Result<()> {
    let (_folder, path) = folder();
    let baseline = run(&path, 4, None)?;
    assert!(!baseline.passed(), "there is no baseline");
    assert_eq!(baseline.verdicts[0].reasons[1], "there is no baseline to compare with");
    let task = baseline.task("repeat").expect("the task");
    let value = |name: &str| task.measures[name].value;
    assert_eq!((value("exact_match"), value("rougeL"), value("abstention_rate")), (0.9, 0.9, 1.0 / 40.0));
    // Cited 0..10, evidence 5..15, but for the answer that was withheld, which cites nothing.
    assert_eq!(
        (value("citation_precision"), value("citation_recall")),
        (0.5 * 39.0 / 40.0, 0.5 * 39.0 / 40.0)
    );
    assert!((value("cost_per_query") - 0.001 * 39.0 / 40.0).abs() < 1e-12);
    // All wrong answers are the least sure ones.
    assert!(value("excess_aurc").abs() < 1e-12 && value("aurc") > 0.0 && value("brier") < 0.05);
    let rows = task.evaluation.as_ref().map(|e| e.rows.as_slice()).unwrap_or_default();
    assert_eq!((rows.len(), rows[0].source.as_str()), (40, "words"));
    assert_eq!((rows[0].gold.as_str(), rows[0].also_right.as_slice()), ("x", &["W0!".to_owned()][..]));
    assert!(rows[39].has_no_answer() && rows[39].correct, "withheld, as it should");
    let page = baseline.report()?.to_html()?;
    assert!(page.contains("failed 1 of 2 gates") && page.contains("citation_recall"));
    assert!(page.contains("Wrong answers if only the surest are given"));

    for (wrong, passed) in [(4, true), (5, true), (20, false), (30, false)] {
        let result = run(&path, wrong, Some(&baseline))?;
        assert_eq!(result.verdicts[0].passed, passed, "{wrong} wrong: {:?}", result.verdicts[0].reasons);
        assert!(result.verdicts[1].passed && result.passed() == passed);
    }
    let worse = run(&path, 20, Some(&baseline))?;
    assert!(
        worse.verdicts[0].reasons[1].starts_with("worse than parrot by 0.4000; at most 0.05 (95 % interval")
    );
    Ok(())
}

#[test]
fn proof_of_no_loss_asks_for_enough_rows() -> Result<()> {
    let (_folder, path) = folder();
    let strict = SUITE.replace("max_regression = 0.05", "max_regression = 0.05\nproof = \"of_no_loss\"");
    fs::write(&path, strict).expect("a suite");
    let baseline = run(&path, 4, None)?;
    // One of 40 lost: not more than allowed, but it might be.
    let result = run(&path, 5, Some(&baseline))?;
    assert!(!result.verdicts[0].passed, "{:?}", result.verdicts[0].reasons);
    assert!(run(&path, 4, Some(&baseline))?.passed());
    Ok(())
}

#[test]
fn results_survive_their_file_and_other_rows_are_no_baseline() -> Result<()> {
    let (folder, path) = folder();
    let result = run(&path, 0, None)?;
    let file = folder.path().join("results/base.json");
    result.save(&file)?;
    assert_eq!(SuiteResult::load(&file)?, result);
    fs::write(&path, SUITE.replace("Say: ", "Please say: ")).expect("a suite");
    let other = run(&path, 0, Some(&result))?;
    assert!(other.verdicts[0].reasons[1].contains("asks something else"), "{:?}", other.verdicts[0]);
    fs::write(&file, "[]").expect("a file");
    assert!(matches!(SuiteResult::load(&file), Err(Error::Parse { what: "suite result", .. })));
    Ok(())
}

#[test]
fn suites_that_cannot_be_run_say_what_is_wrong() {
    let (_folder, path) = folder();
    for (from, to, expected) in [
        ("name = \"words\"", "name = 3", "suite.toml"),
        ("kind = \"answers\"", "kind = \"essays\"", "essays"),
        ("metrics = [\"exact_match\", \"rougeL\"]", "metrics = [\"elegance\"]", "elegance"),
        ("min = 0.5\nmax_regression = 0.05", "", "no min, max or max_regression"),
        ("task = \"repeat\"", "task = \"repeal\"", "`repeal`"),
        ("{{ word }}", "{{ wort }}", "words.jsonl:1: undefined value"),
        ("answers = \"accepted\"", "answers = \"accepted[\"", "words.jsonl:1"),
        ("rows = \"words.jsonl\"", "rows = \"none.jsonl\"", "none.jsonl"),
        ("rows = \"words.jsonl\"", "rows = \"words.jsonl\"\nsurprise = 1", "surprise"),
    ] {
        let text = SUITE.replacen(from, to, 1);
        assert_ne!(text, SUITE);
        fs::write(&path, text).expect("a suite");
        let error = run(&path, 0, None).expect_err(expected);
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
}

#[test]
fn likelihoods_and_instructions_are_tasks_too() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    write(
        "choices.jsonl",
        "{\"q\": \"One\", \"c\": [\"two\", \"three\"], \"a\": 1}\n{\"q\": \"A\", \"c\": [\"b\", \"z\"], \"a\": \"z\"}\n",
    );
    write(
        "ifeval.jsonl",
        "{\"prompt\": \"Hi\", \"instruction_id_list\": [\"punctuation:no_comma\"], \"kwargs\": [{}]}\n",
    );
    write("suite.json", &serde_json::json!({
        "name": "tiny",
        "generation": {"max_new_tokens": 4},
        "task": [
            {"name": "pick", "kind": "choices", "rows": "choices.jsonl", "prompt": "{{ q }}", "choices": "c", "answer": "a"},
            {"name": "read", "kind": "texts", "rows": "choices.jsonl", "text": "{{ q }} {{ c | join(' ') }}"},
            {"name": "obey", "kind": "instructions", "rows": "ifeval.jsonl"}
        ],
        "gate": [{"task": "read", "measure": "bits_per_byte", "max_regression": 0.0}]
    }).to_string());
    let suite = Suite::load(&folder.path().join("suite.json"))?;
    let llama = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens/llama");
    let model = LocalModel::load(&llama, &Device::flex())?;
    let mut seen = Vec::new();
    let result = suite.run(Subject::Local(&model), None, &mut |task, done, all| {
        seen.push(format!("{task} {done}/{all}"));
    })?;
    assert_eq!(seen, ["pick 1/2", "pick 2/2", "read 1/2", "read 2/2", "obey 1/1"]);
    let value = |task: &str, name: &str| result.task(task).map(|t| t.measures[name].value);
    assert!(value("pick", "acc").is_some_and(|acc| [0.0, 0.5, 1.0].contains(&acc)));
    let bits = value("read", "bits_per_byte").expect("a measure");
    let perplexity = value("read", "byte_perplexity").expect("a measure");
    assert!((bits - perplexity.log2()).abs() < 1e-9 && bits > 1.0, "{bits} {perplexity}");
    assert!(value("obey", "prompt_strict").is_some());
    let again = suite.run(Subject::Local(&model), Some(&result), &mut |_, _, _| {})?;
    assert!(again.passed(), "{:?}", again.verdicts);

    let error = suite.run(Subject::Answering(&model), None, &mut |_, _, _| {}).expect_err("no likelihoods");
    assert!(matches!(&error, Error::NoLikelihood { task, .. } if task == "pick"), "{error}");
    Ok(())
}
