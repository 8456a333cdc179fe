//! Which share of a log of queries is a small model's, and what each policy would have cost.
//!
//! Run: `cargo run --release -p slm-router --example audit -- LOG.jsonl 2.0 8.0`, with the prices of a million tokens read
//! and written by the larger model. Without arguments it takes a small log of its own.
//!
//! Expect: how many queries are of which kind, and a line per policy. Each line of the log is an object with the field
//! `query`, and where known `prompt_tokens`, `completion_tokens`, `local_is_right` and `larger_is_right`.

use std::path::Path;

use slm_router::{AuditConfig, LogRecord, Prices, audit, read_log};

const OWN: &str = r#"
{"query": "Is pump P-101 running?", "local_is_right": true, "larger_is_right": true}
{"query": "Is pump P-204 running?", "local_is_right": true, "larger_is_right": true}
{"query": "Is pump P-7 running?", "local_is_right": true, "larger_is_right": true}
{"query": "Classify this alarm: pressure behind valve V-12 below 2 bar", "local_is_right": true, "larger_is_right": true}
{"query": "Which valve drains tank T-3?", "local_is_right": false, "larger_is_right": true}
{"query": "Compare last year's deliveries with the plan and explain the difference", "local_is_right": false, "larger_is_right": true}
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (log, larger) = match arguments.as_slice() {
        [path, read, written] => (read_log(Path::new(path))?, prices(read.parse()?, written.parse()?)),
        _ => {
            let lines = OWN.lines().filter(|line| !line.is_empty());
            (lines.map(serde_json::from_str).collect::<Result<Vec<LogRecord>, _>>()?, prices(2.0, 8.0))
        }
    };
    let report = audit(&log, &AuditConfig { larger, ..AuditConfig::default() }, &[])?;
    println!(
        "{} queries, {:.0} % candidates for a small model",
        report.queries,
        100.0 * report.candidate_share()
    );
    for (fit, count) in &report.fits {
        println!("  {fit:?}: {count}");
    }
    for policy in &report.policies {
        let right = policy.accuracy.map_or("unknown".to_owned(), |share| format!("{:.0} %", 100.0 * share));
        println!(
            "{}: {} larger calls, cost {:.4}, right {right}",
            policy.policy, policy.larger_calls, policy.cost
        );
    }
    Ok(())
}

fn prices(per_million_prompt_tokens: f64, per_million_completion_tokens: f64) -> Prices {
    Prices { per_million_prompt_tokens, per_million_completion_tokens }
}
