//! Metrics against reference packages, on goldens of `goldens/make_metrics.py`.

use std::path::Path;

use serde::Deserialize;
use slm_eval::Result;
use slm_eval::metrics::{
    Binning, Calibration, Chrf, Metric, Overlap, RiskCoverage, Rouge, Stemming, corpus_bleu, sentence_bleu,
};

#[derive(Deserialize)]
struct Goldens {
    stems: String,
    rouge: Vec<RougeCase>,
    /// Answer, accepted answers, exact match, F1.
    answers: Vec<(String, Vec<String>, f64, f64)>,
    sureness: Vec<Sureness>,
}

/// Precision, recall and F1 of ROUGE-1, 2, L and Lsum.
type Scores = [[f64; 3]; 4];

#[derive(Deserialize)]
struct RougeCase {
    prediction: String,
    references: Vec<String>,
    porter: Scores,
    none: Scores,
}

#[derive(Deserialize)]
struct Sureness {
    confidence: Vec<f64>,
    correct: Vec<bool>,
    bins: usize,
    brier: f64,
    /// Confidence and accuracy per bin.
    width: Vec<[f64; 2]>,
    mass: Vec<[f64; 2]>,
    l1: f64,
    max: f64,
    risk: Vec<f64>,
    aurc: Option<f64>,
}

fn goldens() -> Goldens {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/metrics.json");
    let text = std::fs::read_to_string(path).expect("the goldens");
    serde_json::from_str(&text).expect("goldens as the script writes them")
}

#[track_caller]
fn assert_near(got: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((got - expected).abs() <= tolerance, "{what}: {got}, expected {expected}");
}

#[test]
fn rouge_is_googles() {
    let types = [Rouge::N(1), Rouge::N(2), Rouge::L, Rouge::Lsum];
    for case in goldens().rouge {
        for (stemming, expected) in [(Stemming::Porter, case.porter), (Stemming::None, case.none)] {
            for (rouge, expected) in types.into_iter().zip(expected) {
                let Overlap { precision, recall, f1 } =
                    rouge.score(&case.prediction, &case.references, stemming);
                for (got, expected) in [precision, recall, f1].into_iter().zip(expected) {
                    assert_near(got, expected, 1e-12, &format!("{rouge:?} {stemming:?} {}", case.prediction));
                }
            }
        }
    }
    assert_eq!(Rouge::L.score::<&str>("a", &[], Stemming::None), Overlap::default());
}

#[test]
fn of_several_accepted_answers_the_best_counts_as_in_squad() -> Result<()> {
    for (answer, golds, exact, f1) in goldens().answers {
        let golds: Vec<&str> = golds.iter().map(String::as_str).collect();
        let what = format!("{answer:?} against {golds:?}");
        assert_near(Metric::ExactMatch.best(&answer, &golds)?, exact, 1e-6, &what);
        assert_near(Metric::TokenF1.best(&answer, &golds)?, f1, 1e-6, &what);
    }
    assert_eq!(Metric::ExactMatch.best("x", &[])?, 0.0);
    Ok(())
}

#[test]
fn stems_are_nltks() {
    // A word is its own reference when compared with its stem; the stem is longer than three letters or kept.
    let goldens = goldens();
    let pairs: Vec<(&str, &str)> = goldens.stems.split(' ').filter_map(|p| p.split_once(':')).collect();
    assert!(pairs.len() > 1500);
    for (word, stem) in pairs.into_iter().filter(|(word, _)| word.len() > 3) {
        assert_eq!(slm_eval::metrics::stem(word), stem, "{word}");
    }
}

#[test]
fn calibration_is_that_of_scikit_learn_and_torchmetrics() -> Result<()> {
    for case in goldens().sureness {
        let what = format!("{} answers in {} bins", case.confidence.len(), case.bins);
        for (binning, expected) in [(Binning::Width, &case.width), (Binning::Mass, &case.mass)] {
            let found = Calibration::of(&case.confidence, &case.correct, binning, case.bins)?;
            assert_near(found.brier, case.brier, 1e-12, &what);
            assert_eq!(found.bins.len(), expected.len(), "{what} {binning:?}");
            for (bin, [confidence, accuracy]) in found.bins.iter().zip(expected) {
                assert_near(bin.confidence, *confidence, 1e-12, &what);
                assert_near(bin.accuracy, *accuracy, 1e-12, &what);
            }
            assert_eq!(found.bins.iter().map(|b| b.count).sum::<usize>(), case.confidence.len());
        }
        // torchmetrics computes in single precision.
        let found = Calibration::of(&case.confidence, &case.correct, Binning::Width, case.bins)?;
        assert_near(found.expected_error, case.l1, 1e-6, &what);
        assert_near(found.max_error, case.max, 1e-6, &what);
    }
    Ok(())
}

#[test]
fn risk_over_coverage_is_that_of_torch_uncertainty() -> Result<()> {
    for case in goldens().sureness {
        let found = RiskCoverage::of(&case.confidence, &case.correct)?;
        let what = format!("{} answers", case.confidence.len());
        for (got, expected) in found.risk.iter().zip(&case.risk) {
            assert_near(*got, *expected, 1e-6, &what);
        }
        assert_eq!(found.risk.len(), case.risk.len());
        // Theirs is the trapezoid rule over coverages from 1/n to 1; ours is the mean, as Geifman's.
        if let Some(expected) = case.aurc {
            let trapezoids = found.risk.windows(2).map(|r| f64::midpoint(r[0], r[1])).sum::<f64>();
            assert_near(trapezoids / (found.risk.len() - 1) as f64, expected, 1e-6, &what);
        }
        assert!(found.excess >= -1e-12 && found.excess <= found.aurc, "{what}");
    }
    Ok(())
}

#[derive(Deserialize)]
struct Translations {
    rows: Vec<Translation>,
    corpus: TranslationScores,
}

#[derive(Deserialize)]
struct Translation {
    text: String,
    references: Vec<String>,
    #[serde(flatten)]
    scores: TranslationScores,
}

/// In percent.
#[derive(Deserialize)]
struct TranslationScores {
    bleu: f64,
    chrf: f64,
    chrf_words: f64,
}

/// `goldens/make_translation.py` made the goldens.
#[test]
fn bleu_and_chrf_are_those_of_sacrebleu() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/translation.json");
    let golden = std::fs::read(path).expect("the golden is in the repository");
    let golden: Translations = serde_json::from_slice(&golden).expect("JSON");
    let close = |got: f64, percent: f64, what: &str| {
        assert!((100.0 * got - percent).abs() < 1e-6, "{what}: {} is not {percent}", 100.0 * got);
    };
    let most = golden.rows.iter().map(|r| r.references.len()).max().unwrap_or(0);
    let mut references: Vec<Vec<&str>> = Vec::new();
    for row in &golden.rows {
        let own: Vec<&str> = row.references.iter().map(String::as_str).collect();
        close(sentence_bleu(&row.text, &own), row.scores.bleu, &row.text);
        close(Chrf::Characters.sentence(&row.text, &own), row.scores.chrf, &row.text);
        close(Chrf::WithWords.sentence(&row.text, &own), row.scores.chrf_words, &row.text);
        // The reference's corpus has as many references for each text.
        let last = own.len() - 1;
        references.push((0..most).map(|i| own[i.min(last)]).collect());
    }
    let corpus: Vec<(&str, &[&str])> =
        golden.rows.iter().zip(&references).map(|(row, own)| (row.text.as_str(), own.as_slice())).collect();
    close(corpus_bleu(&corpus), golden.corpus.bleu, "corpus");
    close(Chrf::Characters.corpus(&corpus), golden.corpus.chrf, "corpus");
    close(Chrf::WithWords.corpus(&corpus), golden.corpus.chrf_words, "corpus");
    assert_eq!([sentence_bleu("a", &[]), Chrf::Characters.sentence("a", &[]), corpus_bleu(&[])], [0.0; 3]);
    assert_eq!(
        Metric::Bleu.best("a b c", &["a b", "b c"]).ok(),
        Some(sentence_bleu("a b c", &["a b", "b c"]))
    );
}
