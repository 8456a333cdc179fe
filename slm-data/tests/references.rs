//! Agreement with programs that we did not write; `tests/goldens/make.py` recorded what they say.

use std::path::Path;

use serde_json::Value;
use slm_data::{C4Rules, GopherRules, WebReason, confident_learning, repair_mojibake};

fn golden(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn mojibake_is_repaired_as_ftfy_does() {
    let cases = golden("mojibake.json");
    for case in &cases {
        let text = case["text"].as_str().unwrap_or_default();
        assert_eq!(repair_mojibake(text), case["fixed"].as_str().unwrap_or_default(), "{text}");
    }
    assert_eq!(cases.len(), 45);
}

/// datatrove's name of a reason in ours.
fn gopher(name: &str) -> Option<WebReason> {
    Some(match name {
        "gopher_short_doc" => WebReason::FewWords,
        "gopher_below_avg_threshold" | "gopher_above_avg_threshold" => WebReason::WordLength,
        "gopher_too_many_hashes" | "gopher_too_many_ellipsis" => WebReason::Symbols,
        "gopher_too_many_bullets" => WebReason::Bullets,
        "gopher_too_many_end_ellipsis" => WebReason::Ellipses,
        "gopher_below_alpha_threshold" => WebReason::Letters,
        "gopher_enough_stop_words" => WebReason::StopWords,
        "dup_para_frac" | "dup_para_char_frac" => WebReason::RepeatedParagraphs,
        "dup_line_frac" | "dup_line_char_frac" => WebReason::RepeatedLines,
        name if name.starts_with("top_") => WebReason::TopNgram,
        name if name.starts_with("duplicated_") => WebReason::RepeatedNgrams,
        _ => return None,
    })
}

#[test]
fn pages_are_judged_as_datatrove_does() {
    let cases = golden("web.json");
    let (mut reasons, mut different) = (std::collections::BTreeSet::new(), 0);
    for case in &cases {
        let text = case["text"].as_str().unwrap_or_default();
        let theirs = case["quality"].as_str().or(case["repetition"].as_str());
        let ours = GopherRules::default().check(text);
        if theirs.map(gopher) == ours.map(Some) {
            reasons.extend(ours);
        } else {
            eprintln!("Gopher: {theirs:?} and {ours:?}: {:.60}", text);
            different += 1;
        }
        match (C4Rules::default().check(text), case["c4"].as_str()) {
            (Ok(kept), None) => assert_eq!(Some(kept.as_str()), case["kept"].as_str()),
            (Err(WebReason::CurlyBracket), Some("curly_bracket"))
            | (Err(WebReason::FewSentences), Some("too_few_sentences")) => {}
            (ours, theirs) => {
                eprintln!("C4: {theirs:?} and {ours:?}: {text:.60}");
                different += 1;
            }
        }
    }
    println!("{different} of {} judgements differ; reasons agreed on: {reasons:?}", 2 * cases.len());
    assert!(different * 50 <= cases.len() && reasons.len() >= 6, "{different}");
}

#[test]
fn label_noise_is_what_cleanlab_finds() {
    let cases = golden("noise.json");
    for case in &cases {
        let read = |name: &str| case[name].clone();
        let labels: Vec<usize> = serde_json::from_value(read("labels")).unwrap_or_default();
        let probabilities: Vec<Vec<f64>> = serde_json::from_value(read("probabilities")).unwrap_or_default();
        let found = confident_learning(&labels, &probabilities).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(serde_json::json!(found.joint), read("joint"));
        assert_eq!(serde_json::json!(found.issues), read("confident_learning"));
        let close = |ours: &[f64], name: &str| {
            let theirs: Vec<f64> = serde_json::from_value(read(name)).unwrap_or_default();
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-9)
        };
        assert!(close(&found.thresholds, "thresholds") && close(&found.quality, "quality"));
        assert!(!found.issues.is_empty());
    }
    assert_eq!(cases.len(), 3);
}
