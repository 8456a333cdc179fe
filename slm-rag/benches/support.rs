//! How well claims are judged by their evidence, on public sets: WiCE, BEGIN and Factcheck-GPT.
//!
//! ```console
//! cargo bench -p slm-rag --bench support -- DATA [minilm=DIRECTORY] [model=DIRECTORY] [out=FILE]
//! ```
//!
//! `minilm` adds nearness of meaning, and `model` the likelihood of the claim with and without the evidence.
//! One half of each set (every other record) is fitted to, the other judged; each set counts alike in the fit. Prints, per
//! set: AUROC (a supported claim above an unsupported one), the expected calibration error in ten bins and
//! what it would be by chance if every probability were right, the share of
//! unsupported and of supported claims that pass at a stated risk, the risk among the claims that pass where a fifth, two
//! fifths, .. all of them do, and the time per claim. Prints the weights, which
//! `SupportModel::default` holds.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use slm_core::{LocalModel, TextEncoder};
use slm_rag::verify::{LikelihoodJudge, SupportModel, Verifier, risk_coverage, threshold};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;
/// Measures of a claim and whether it is supported.
type Example = (Vec<f64>, bool);

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let option = |name: &str| arguments.iter().find_map(|a| a.strip_prefix(name)?.strip_prefix('='));
    let Some(data) = arguments.iter().find(|a| !a.contains('=')).map(Path::new) else {
        println!("usage: cargo bench -p slm-rag --bench support -- DATA [minilm=DIR] [model=DIR] [out=FILE]");
        return Ok(());
    };
    let verifier = match option("minilm") {
        Some(path) => {
            let embedder = Arc::new(TextEncoder::load(Path::new(path), &Device::flex())?);
            Verifier::with_embedder(SupportModel::default(), embedder)
        }
        None => Verifier::default(),
    };
    let verifier = match option("model") {
        Some(path) => {
            let model = LocalModel::load(Path::new(path), &Device::flex())?;
            verifier.with_judge(Arc::new(LikelihoodJudge::new(model)))
        }
        None => verifier,
    };
    let mut sets = Vec::new();
    for (name, claims) in
        [("wice", wice(data)?), ("begin", begin(data)?), ("factcheck-gpt", factcheck(data)?)]
    {
        let start = Instant::now();
        let mut examples: Vec<Example> = Vec::new();
        for (claim, evidence, supported) in &claims {
            let evidence: Vec<&str> = evidence.iter().map(String::as_str).collect();
            examples.push((verifier.measures(claim, &evidence)?, *supported));
        }
        let each = 1e3 * start.elapsed().as_secs_f64() / claims.len() as f64;
        sets.push((name, examples, each));
    }
    let figures = judge(&sets)?;
    if let Some(path) = option("out") {
        std::fs::write(path, serde_json::to_string_pretty(&json!({ "figures": figures }))? + "\n")?;
    }
    Ok(())
}

fn judge(sets: &[(&str, Vec<Example>, f64)]) -> Outcome<Vec<Value>> {
    let half = |examples: &[Example], odd: usize| -> Vec<Example> {
        examples.iter().skip(odd).step_by(2).cloned().collect()
    };
    let largest = sets.iter().map(|(_, examples, _)| examples.len()).max().unwrap_or(0);
    let mut fitted: Vec<Example> = Vec::new();
    for (_, examples, _) in sets {
        let own = half(examples, 0);
        fitted.extend(own.iter().cycle().take(largest).cloned());
    }
    let all = SupportModel::fit(&fitted)?;
    println!("weights {:?}", all.weights);
    let mut figures = Vec::new();
    for (name, examples, each) in sets {
        let own = SupportModel::fit(&half(examples, 0))?;
        for (of, model) in [("all sets", &all), ("its own half", &own)] {
            let scored = |examples: &[Example]| -> Vec<(f64, bool)> {
                examples.iter().map(|(m, supported)| (model.probability(m), *supported)).collect()
            };
            let test = scored(&half(examples, 1));
            let unsupported: Vec<f64> =
                scored(&half(examples, 0)).into_iter().filter(|(_, s)| !s).map(|(p, _)| p).collect();
            let limit = threshold(&unsupported, 0.1)?;
            let passing = |kind: bool| {
                let of_kind: Vec<f64> = test.iter().filter(|(_, s)| *s == kind).map(|(p, _)| *p).collect();
                of_kind.iter().filter(|p| **p > limit).count() as f64 / of_kind.len() as f64
            };
            let figure = json!({ "set": name, "fitted_to": of, "claims": test.len(), "auroc": round(auroc(&test)),
                "calibration_error": round(calibration_error(&test)),
                "calibration_error_by_chance": round(calibration_error_by_chance(&test)), "risk": 0.1,
                "risk_at_coverage": curve(&test), "unsupported_pass": round(passing(false)), "supported_pass": round(passing(true)),
                "ms_per_claim": round(*each) });
            println!("{figure}");
            figures.push(figure);
        }
    }
    Ok(figures)
}

/// The share of unsupported claims among those that pass, where a fifth of all passes, two fifths, and so on.
fn curve(scored: &[(f64, bool)]) -> Vec<f64> {
    let points = risk_coverage(scored);
    let risk = |fifths: u32| {
        let enough = points.iter().find(|point| point.coverage >= f64::from(fifths) / 5.0);
        enough.map_or(f64::NAN, |point| round(point.risk))
    };
    (1..=5).map(risk).collect()
}

fn round(value: f64) -> f64 {
    (1e4 * value).round() / 1e4
}

fn auroc(scored: &[(f64, bool)]) -> f64 {
    let (mut sum, mut pairs) = (0.0, 0.0);
    for (p, _) in scored.iter().filter(|(_, supported)| *supported) {
        for (q, _) in scored.iter().filter(|(_, supported)| !supported) {
            sum += if p > q {
                1.0
            } else if p == q {
                0.5
            } else {
                0.0
            };
            pairs += 1.0;
        }
    }
    sum / pairs
}

fn calibration_error(scored: &[(f64, bool)]) -> f64 {
    let mut bins = [(0.0, 0.0, 0.0); 10];
    for (p, supported) in scored {
        let bin = &mut bins[((p * 10.0) as usize).min(9)];
        *bin = (bin.0 + 1.0, bin.1 + p, bin.2 + f64::from(u8::from(*supported)));
    }
    bins.iter().map(|(_, p, s)| (p - s).abs()).sum::<f64>() / scored.len() as f64
}

/// The mean calibration error where each claim is supported with exactly its probability: what the number of claims alone
/// brings about.
fn calibration_error_by_chance(scored: &[(f64, bool)]) -> f64 {
    const DRAWS: u32 = 1000;
    let mut state = 1_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut draw = || {
        let drawn: Vec<(f64, bool)> = scored.iter().map(|(p, _)| (*p, uniform() < *p)).collect();
        calibration_error(&drawn)
    };
    (0..DRAWS).map(|_| draw()).sum::<f64>() / f64::from(DRAWS)
}

/// A claim, its evidence, whether it is supported.
type Claim = (String, Vec<String>, bool);

fn records(path: &Path) -> Outcome<Vec<Value>> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    BufReader::new(GzDecoder::new(file)).lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

fn field(record: &Value, name: &str) -> String {
    record[name].as_str().unwrap_or("").to_owned()
}

/// Partly supported claims count as unsupported.
fn wice(data: &Path) -> Outcome<Vec<Claim>> {
    let claim = |record: &Value| {
        let evidence = record["evidence"].as_array().into_iter().flatten();
        let evidence = evidence.map(|sentence| sentence.as_str().unwrap_or("").to_owned()).collect();
        (field(record, "claim"), evidence, record["label"] == "supported")
    };
    Ok(records(&data.join("wice/claim_dev.jsonl.gz"))?.iter().map(claim).collect())
}

fn begin(data: &Path) -> Outcome<Vec<Claim>> {
    let mut claims = Vec::new();
    for set in ["cmu", "tc", "wow"] {
        for record in records(&data.join(format!("begin/dev_{set}.jsonl.gz")))? {
            let supported = record["begin_label"] == "Fully attributable";
            claims.push((field(&record, "response"), vec![field(&record, "knowledge")], supported));
        }
    }
    Ok(claims)
}

fn factcheck(data: &Path) -> Outcome<Vec<Claim>> {
    let claim = |record: &Value| {
        let supported = record["stance"] == "completely-support";
        (field(record, "claim"), vec![field(record, "evidence")], supported)
    };
    Ok(records(&data.join("factcheck-gpt/claim_evidence_stance.jsonl.gz"))?.iter().map(claim).collect())
}
