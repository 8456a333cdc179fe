//! Real collections, where `SLM_DATA` names a folder with them; otherwise nothing is checked.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde_json::Value;
use slm_data::{
    CurateConfig, Example, NearDuplicateConfig, NearRule, Step, Switch, curate, near_duplicates,
    read_examples,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("SLM_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SLM_DATA is not set: skipped");
    }
    folder
}

fn lines(path: &Path) -> Result<Vec<String>, std::io::Error> {
    let file = BufReader::new(MultiGzDecoder::new(std::fs::File::open(path)?));
    let text = |line: Result<Vec<u8>, _>| line.map(|line| String::from_utf8_lossy(&line).trim().to_owned());
    file.split(b'\n').map(text).collect()
}

/// Upstream dropped 1,714 of 7,673 instructions whose answers are 90 % similar to an earlier one's.
#[test]
fn near_duplicates_agree_with_published_labels() -> Outcome {
    let Some(folder) = folder() else { return Ok(()) };
    let mut rows = Vec::new();
    let mut dropped = Vec::new();
    for line in lines(&folder.join("gpteacher-toolformer-dedup/records.jsonl.gz"))? {
        let value: Value = serde_json::from_str(&line)?;
        // The labels are about answers, so these are compared here.
        rows.push(Example::pair(value["record"]["output"].as_str().unwrap_or_default(), "-", ""));
        dropped.push(value["kept_at"]["0.9"] == Value::Bool(false));
    }
    let measure = |threshold: f64| -> Result<(f64, f64), slm_data::Error> {
        let config = NearDuplicateConfig {
            threshold,
            rule: NearRule::SimilarQuestion,
            ..NearDuplicateConfig::default()
        };
        let found = near_duplicates(&rows, &config)?;
        let count = |want: fn(bool, bool) -> bool| {
            found.iter().zip(&dropped).filter(|(f, d)| want(f.is_some(), **d)).count() as f64
        };
        let hits = count(|found, dropped| found && dropped);
        Ok((hits / count(|found, _| found), hits / count(|_, dropped| dropped)))
    };
    for (threshold, least_precision, least_recall) in [(0.7, 0.8, 0.78), (0.85, 0.95, 0.48), (0.9, 0.98, 0.4)]
    {
        let (precision, recall) = measure(threshold)?;
        eprintln!("threshold {threshold}: precision {precision:.3}, recall {recall:.3}");
        assert!(precision >= least_precision && recall >= least_recall);
    }
    Ok(())
}

#[test]
fn good_collections_lose_little_to_heuristics() -> Outcome {
    let Some(folder) = folder() else { return Ok(()) };
    for name in ["medquad/qa.jsonl.gz", "dolly-3k/dolly_3k.jsonl.gz", "gsm8k/train.jsonl.gz"] {
        let loaded = read_examples(folder.join(name))?;
        assert!(loaded.skipped.is_empty());
        let n = loaded.items.len();
        let report = curate(loaded.items, &[], &CurateConfig::default())?.report;
        let heuristics = [Step::Structure, Step::Refusal, Step::Quality, Step::Language, Step::Truncation];
        let lost: usize = report
            .steps
            .iter()
            .filter(|step| heuristics.contains(&step.step))
            .map(|step| step.dropped())
            .sum();
        eprintln!("{name}: {lost} of {n} lost to heuristics\n{report}");
        assert!(lost * 1000 <= 2 * n, "{name}: {lost} of {n}");
    }
    Ok(())
}

#[test]
fn real_log_lines_are_neither_dropped_nor_redacted() -> Outcome {
    let Some(folder) = folder() else { return Ok(()) };
    for system in ["Android", "BGL", "HPC", "HealthApp", "Mac", "OpenStack", "Spark", "Windows"] {
        let lines = lines(&folder.join(format!("loghub-2k/{system}.log.gz")))?;
        let asked = lines.iter().map(|line| Example::pair(line.as_str(), "{\"ok\":true}", system));
        let told = lines.iter().map(|line| Example::pair("What does the log say?", line.as_str(), system));
        let rows: Vec<Example> =
            asked.chain(told).filter(|row| row.messages.iter().all(|m| !m.content.is_empty())).collect();
        let n = rows.len();
        let config = CurateConfig {
            contradictions: None,
            exact_duplicates: Switch::Off,
            near_duplicates: None,
            ..CurateConfig::default()
        };
        let curated = curate(rows, &[], &config)?;
        eprintln!(
            "{system}: {} of {n} kept, {} redacted: {:?}",
            curated.kept.len(),
            curated.redacted,
            curated.report.redactions
        );
        assert!(curated.kept.len() * 1000 >= 999 * n, "{}", curated.report);
        // One line of the Mac logs holds an e-mail address.
        assert!(curated.redacted <= 2, "{:?}", curated.report.redactions);
    }
    Ok(())
}
