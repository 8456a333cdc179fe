//! Runs a suite on a model of this machine, and fails where a gate closes: what a CI job calls.
//!
//! ```text
//! cargo run --release -p slm-eval --example evaluate -- suite.toml MODEL results.json [baseline.json]
//! ```
//!
//! `MODEL` is a Hugging Face directory or a GGUF file. Writes `results.json`, which a later run can take as its
//! baseline, and `results.html` beside it. The exit code is 0 where all gates were passed, 1 where one closed, 2 where
//! the suite could not be run. A suite is explained in `docs/guides/evaluate.md`.

use std::path::Path;
use std::process::ExitCode;

use burn::tensor::Device;
use slm_core::LocalModel;
use slm_eval::report::number;
use slm_eval::suite::Subject;
use slm_eval::{Suite, SuiteResult};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether all gates were passed.
fn run(arguments: &[String]) -> Outcome<bool> {
    let (suite, model, results, baseline) = match arguments {
        [suite, model, results] => (suite, model, results, None),
        [suite, model, results, baseline] => (suite, model, results, Some(baseline)),
        _ => return Err("usage: evaluate SUITE MODEL RESULTS [BASELINE]".into()),
    };
    let suite = Suite::load(Path::new(suite))?;
    let baseline = baseline.map(|path| SuiteResult::load(Path::new(path))).transpose()?;
    let model = LocalModel::load(Path::new(model), &Device::flex())?;
    let mut progress = |task: &str, done: usize, all: usize| {
        if done == all || done.is_multiple_of(50) {
            eprintln!("{task}: {done} of {all}");
        }
    };
    let result = suite.run(Subject::Local(&model), baseline.as_ref(), &mut progress)?;
    let path = Path::new(results);
    result.save(path)?;
    result.report()?.write_html(&path.with_extension("html"))?;
    for task in &result.tasks {
        for (name, measure) in &task.measures {
            let interval = measure
                .interval
                .map_or_else(String::new, |i| format!("  [{}, {}]", number(i.low), number(i.high)));
            println!("{:<16} {name:<24} {:>12}{interval}", task.name, number(measure.value));
        }
    }
    for verdict in &result.verdicts {
        let word = if verdict.passed { "passed" } else { "FAILED" };
        println!("{word}: {}", verdict.reasons.join("; "));
    }
    Ok(result.passed())
}
