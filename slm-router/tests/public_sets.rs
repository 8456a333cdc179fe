//! How well the detector separates on public sets. `SLM_DATA` names the folder that has them.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use slm_router::{Calibration, DetectorConfig, DomainDetector};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("SLM_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SLM_DATA is not set: nothing is measured");
    }
    folder
}

fn texts(path: &Path) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut texts = Vec::new();
    for line in BufReader::new(GzDecoder::new(file)).lines() {
        let record: serde_json::Value = serde_json::from_str(&line?)?;
        texts.push(record["text"].as_str().ok_or("a record without text")?.to_owned());
    }
    Ok(texts)
}

fn refs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// Calibrates on every other text and measures the rates on the rest; returns the area under the curve of all.
fn measure(name: &str, sets: [&[&str]; 4]) -> Result<f32, Box<dyn std::error::Error>> {
    let [domain, background, inside, outside] = sets;
    let halves = |texts: &[&str]| -> (Vec<String>, Vec<String>) {
        let half =
            |parity: usize| texts.iter().skip(parity).step_by(2).map(|&text| text.to_owned()).collect();
        (half(0), half(1))
    };
    let ((inside_a, inside_b), (outside_a, outside_b)) = (halves(inside), halves(outside));
    let mut detector = DomainDetector::fit(domain, background, &DetectorConfig::default())?;
    detector.calibrate(&refs(&inside_a), &refs(&outside_a), &Calibration { max_false_accept: 0.1 })?;
    let report = detector.evaluate(&refs(&inside_b), &refs(&outside_b))?;
    let all = detector.evaluate(inside, outside)?;
    println!(
        "{name}: AUROC {:.3}; at 10 % tolerated false accepts {:.1} %, refused {:.1} %",
        all.auroc,
        100.0 * report.false_accept_rate(),
        100.0 * report.refusal_rate()
    );
    Ok(all.auroc)
}

#[test]
fn clinc_in_scope_against_out_of_scope() -> Outcome {
    let Some(folder) = data().map(|folder| folder.join("clinc-oos")) else {
        return Ok(());
    };
    let read = |name: &str| texts(&folder.join(name));
    let (train, val) = (read("train.jsonl.gz")?, read("val.jsonl.gz")?);
    let (oos_train, oos_val) = (read("oos_train.jsonl.gz")?, read("oos_val.jsonl.gz")?);
    let [train, val, oos_train, oos_val] = [&train, &val, &oos_train, &oos_val].map(|texts| refs(texts));
    let alone = measure("clinc alone", [&train, &[], &val, &oos_val])?;
    let sharpened = measure("clinc with background", [&train, &oos_train, &val, &oos_val])?;
    assert!(alone > 0.93 && sharpened > 0.94, "{alone} {sharpened}");
    Ok(())
}

#[test]
fn banking_against_other_assistants() -> Outcome {
    let Some(folder) = data() else {
        return Ok(());
    };
    let banking = texts(&folder.join("banking77/train.jsonl.gz"))?;
    let others = texts(&folder.join("clinc-oos/val.jsonl.gz"))?;
    let background = texts(&folder.join("clinc-oos/oos_train.jsonl.gz"))?;
    let part = |held_out: bool| -> Vec<&str> {
        let chosen = banking.iter().enumerate().filter(|(n, _)| (n % 5 == 0) == held_out);
        chosen.map(|(_, text)| text.as_str()).collect()
    };
    let (domain, inside, outside) = (part(false), part(true), refs(&others));
    let alone = measure("banking77 alone", [&domain, &[], &inside, &outside])?;
    let sharpened = measure("banking77 with background", [&domain, &refs(&background), &inside, &outside])?;
    assert!(alone > 0.94 && sharpened > 0.96, "{alone} {sharpened}");
    Ok(())
}
