//! A detector fitted, calibrated, saved and loaded, on small texts about a library.

use std::path::Path;

use slm_router::{Calibration, DetectorConfig, DomainDetector, Error, Result};

const DOMAIN: &[&str] = &[
    "Is book B-204 on the shelf?",
    "Extend the loan of book B-77 by two weeks.",
    "Which loans of reader R1408 are overdue?",
    "Reserve the next free copy of book B-31.",
    "How high is the fine for a late return?",
    "Cancel the reservation of reader R2210.",
    "When does the reading room open?",
    "The reader lost her library card, what now?",
    "Move book B-9 from the stacks to the reading room.",
    "Who returned book B-400 last?",
];

const HELD_OUT: &[&str] = &[
    "Extend the loan of book B-5 once more.",
    "Which reader has reserved book B-88?",
    "How long is the loan of a book?",
    "Is the reading room open on Sunday?",
    "What is the fine of reader R9001?",
];

const OTHERS: &[&str] = &[
    "How do I bake bread?",
    "Why is the sky blue?",
    "Tell me a joke about penguins.",
    "What is the capital of Peru?",
    "How do I sort a list in Java?",
    "Write a poem about the sea.",
    "Does coffee keep me awake?",
    "Which train goes to Lyon?",
    "What is 12 times 7?",
    "How do cats see in the dark?",
];

fn fitted() -> Result<DomainDetector> {
    DomainDetector::fit(DOMAIN, &[], &DetectorConfig::default())
}

fn calibrated() -> Result<DomainDetector> {
    let mut detector = fitted()?;
    detector.calibrate(HELD_OUT, OTHERS, &Calibration { max_false_accept: 0.1 })?;
    Ok(detector)
}

#[test]
fn domain_scores_above_the_rest() -> Result<()> {
    let mut detector = fitted()?;
    let report = detector.calibrate(HELD_OUT, OTHERS, &Calibration { max_false_accept: 0.1 })?;
    assert_eq!((report.in_domain, report.off_domain), (5, 10));
    assert_eq!((report.auroc, report.accepted, report.refused), (1.0, 0, 0));
    let scores = |texts: &[&str]| texts.iter().map(|text| detector.score(text)).collect::<Vec<_>>();
    assert!(scores(HELD_OUT).iter().chain(&scores(OTHERS)).all(|score| (0.0..=1.0).contains(score)));
    for empty in ["", "?!", "\n\t"] {
        assert_eq!(detector.score(empty), 0.0);
    }
    Ok(())
}

#[test]
fn identifiers_never_seen_do_not_lower_the_score() -> Result<()> {
    let detector = fitted()?;
    let known = detector.score("Is book B-204 overdue for reader R1408?");
    let fresh = detector.score("Is book B-871 overdue for reader R5093?");
    assert!((known - fresh).abs() < 1e-6, "{known} {fresh}");
    assert!(fresh > 2.0 * detector.score("Is flight KL1234 late for gate C?"));
    Ok(())
}

#[test]
fn background_texts_push_their_like_down() -> Result<()> {
    let near_miss = "Which book should I read on a train?";
    let background =
        ["Which book should I read next?", "Recommend a novel for a train ride.", "Is the film as good?"];
    let alone = fitted()?;
    let sharpened = DomainDetector::fit(DOMAIN, &background, &DetectorConfig::default())?;
    let ratio = |detector: &DomainDetector| detector.score(near_miss) / detector.score(HELD_OUT[0]);
    assert!(ratio(&sharpened) < 0.8 * ratio(&alone), "{} {}", ratio(&sharpened), ratio(&alone));
    Ok(())
}

#[test]
fn saved_and_loaded_it_is_the_same() -> Result<()> {
    let directory = tempfile::tempdir().map_err(|source| Error::Io { path: "tempdir".into(), source })?;
    let path = directory.path().join("library.json");
    let mut detector = DomainDetector::fit(DOMAIN, OTHERS, &DetectorConfig::default())?;
    detector.calibrate(HELD_OUT, OTHERS, &Calibration::default()).expect_err("10 texts do not allow 5 %");
    detector.calibrate(HELD_OUT, OTHERS, &Calibration { max_false_accept: 0.2 })?;
    detector.save(&path)?;
    detector.save(&path)?;
    let loaded = DomainDetector::load(&path)?;
    assert_eq!(loaded, detector);
    for text in HELD_OUT.iter().chain(OTHERS) {
        assert_eq!(loaded.score(text).to_bits(), detector.score(text).to_bits());
    }
    let files = std::fs::read_dir(directory.path()).map(|entries| entries.count()).unwrap_or_default();
    assert_eq!(files, 1, "a temporary file was left behind");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(!text.contains("reader"), "the file spells out a text");
    Ok(())
}

fn message(path: &Path, contents: &str) -> String {
    assert!(std::fs::write(path, contents).is_ok());
    DomainDetector::load(path).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn a_corrupt_file_says_so() -> Result<()> {
    let directory = tempfile::tempdir().map_err(|source| Error::Io { path: "tempdir".into(), source })?;
    let path = directory.path().join("detector.json");
    assert!(matches!(DomainDetector::load(&path), Err(Error::Io { .. })));
    calibrated()?.save(&path)?;
    let whole = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(message(&path, &whole[..whole.len() / 2]).contains("detector.json"));
    assert!(message(&path, &whole.replacen("\"version\":2", "\"version\":7", 1)).contains("version 7"));
    assert!(
        message(&path, &whole.replacen("slm-domain-detector", "shopping-list", 1)).contains("shopping-list")
    );
    assert!(message(&path, &whole.replacen("\"min_gram\":3", "\"min_gram\":0", 1)).contains("min_gram"));
    let start = whole.find("\"exemplars\":[[[").unwrap_or_default();
    let end = start + whole[start..].find("]]]").unwrap_or_default() + 3;
    let none = format!("{}\"exemplars\":[]{}", &whole[..start], &whole[end..]);
    assert!(message(&path, &none).contains("at least one exemplar"));
    Ok(())
}

#[test]
fn nothing_to_learn_from_is_an_error() {
    for texts in [&[][..], &["", "??"][..]] {
        let result = DomainDetector::fit(texts, &[], &DetectorConfig::default());
        assert!(matches!(result, Err(Error::TooFewTexts { .. })));
    }
    for config in [
        DetectorConfig { min_gram: 0, ..Default::default() },
        DetectorConfig { max_gram: 2, ..Default::default() },
        DetectorConfig { word_share: 1.5, ..Default::default() },
        DetectorConfig { neighbours: 0, ..Default::default() },
        DetectorConfig { inverse_regularization: 0.0, ..Default::default() },
    ] {
        assert!(matches!(DomainDetector::fit(DOMAIN, &[], &config), Err(Error::Config { .. })), "{config:?}");
    }
}

#[test]
fn a_failed_calibration_leaves_the_detector_as_it_was() -> Result<()> {
    let mut detector = calibrated()?;
    let before = detector.clone();
    assert!(detector.calibrate(&[], OTHERS, &Calibration { max_false_accept: 0.1 }).is_err());
    assert!(detector.calibrate(HELD_OUT, &OTHERS[..3], &Calibration::default()).is_err());
    assert_eq!(detector, before);
    assert!(fitted()?.evaluate(HELD_OUT, OTHERS).is_err());
    Ok(())
}
