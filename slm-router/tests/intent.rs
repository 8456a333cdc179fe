//! An intent detector over vectors whose geometry is known.

use burn::tensor::Device;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slm_core::generate::{PrefillState, PrefixCache, StatePooling};
use slm_core::{ChatRequest, Embedder, LanguageModel, LocalModel};
use slm_router::{Calibration, Error, IntentConfig, IntentDetector, Sample, Signal};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const WIDTH: usize = 12;

/// Vectors around the axis of an intent, or around none.
fn around(axis: Option<usize>, count: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<f32>> {
    let one = |rng: &mut ChaCha8Rng| -> Vec<f32> {
        (0..WIDTH).map(|n| f32::from(Some(n) == axis) + 0.4 * (rng.random::<f32>() - 0.5)).collect()
    };
    (0..count).map(|_| one(rng)).collect()
}

fn samples(vectors: &[Vec<f32>]) -> Vec<Sample<'_>> {
    vectors.iter().map(|vector| Sample { vector, text: "" }).collect()
}

const INTENTS: [&str; 3] = ["transfer", "balance", "card"];

fn fitted(each: usize, config: &IntentConfig, rng: &mut ChaCha8Rng) -> slm_router::Result<IntentDetector> {
    let vectors: Vec<Vec<f32>> = (0..3).flat_map(|axis| around(Some(axis), each, rng)).collect();
    let intents: Vec<&str> = INTENTS.iter().flat_map(|intent| std::iter::repeat_n(*intent, each)).collect();
    IntentDetector::fit(&samples(&vectors), &intents, config)
}

#[test]
fn intents_are_told_apart_and_strangers_from_them_by_every_signal() -> Outcome {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut detector = fitted(40, &IntentConfig::default(), &mut rng)?;
    assert_eq!(detector.intents(), ["balance", "card", "transfer"]);
    for (axis, intent) in INTENTS.iter().enumerate() {
        for vector in around(Some(axis), 20, &mut rng) {
            assert_eq!(detector.assess(Sample { vector: &vector, text: "" })?.intent, *intent);
        }
    }
    // Around axes that no intent has.
    let strangers: Vec<Vec<f32>> = (3..8).flat_map(|axis| around(Some(axis), 40, &mut rng)).collect();
    let own: Vec<Vec<f32>> = (0..3).flat_map(|axis| around(Some(axis), 40, &mut rng)).collect();
    for signal in
        [Signal::Energy, Signal::MaxProbability, Signal::Mahalanobis, Signal::Neighbours, Signal::Combined]
    {
        detector = detector.with_signal(signal);
        let calibration = Calibration { max_false_accept: 0.05 };
        let report = detector.calibrate(&samples(&own), &samples(&strangers), &calibration)?;
        assert!(report.auroc > 0.97 && report.false_accept_rate() <= 0.05, "{signal:?}: {report:?}");
    }
    Ok(())
}

#[test]
fn strangers_pass_no_more_often_than_stated() -> Outcome {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut detector = fitted(20, &IntentConfig { steps: 20, ..IntentConfig::default() }, &mut rng)?;
    // So near that they overlap.
    let near = |count, rng: &mut ChaCha8Rng| -> Vec<Vec<f32>> {
        let mut vectors = around(Some(0), count, rng);
        vectors.iter_mut().for_each(|vector| vector[0] -= 0.2);
        vectors
    };
    let (rounds, mut passed) = (300, 0);
    for _ in 0..rounds {
        let (own, held_out) = (around(Some(0), 30, &mut rng), near(49, &mut rng));
        detector.calibrate(&samples(&own), &samples(&held_out), &Calibration { max_false_accept: 0.2 })?;
        let report = detector.evaluate(&samples(&own), &samples(&near(20, &mut rng)))?;
        passed += report.accepted;
    }
    let rate = passed as f64 / f64::from(rounds * 20);
    assert!(rate < 0.205 && rate > 0.15, "{rate}");
    Ok(())
}

#[test]
fn words_help_where_vectors_are_alike() -> Outcome {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let vectors = around(Some(0), 40, &mut rng);
    let texts = ["send money to Ann", "send ten euros", "what is my balance", "how much is on my account"];
    let labelled: Vec<Sample<'_>> =
        vectors.iter().enumerate().map(|(n, vector)| Sample { vector, text: texts[n % 4] }).collect();
    let intents: Vec<&str> = (0..40).map(|n| if n % 4 < 2 { "transfer" } else { "balance" }).collect();
    let detector = IntentDetector::fit(&labelled, &intents, &IntentConfig::default())?;
    for (text, intent) in [("send it", "transfer"), ("my balance?", "balance")] {
        assert_eq!(detector.assess(Sample { vector: &vectors[0], text })?.intent, intent);
    }
    Ok(())
}

#[test]
fn one_kind_of_text_needs_no_labels() -> Outcome {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let (known, own, strangers) =
        (around(Some(0), 40, &mut rng), around(Some(0), 40, &mut rng), around(Some(1), 40, &mut rng));
    let mut detector = IntentDetector::fit(&samples(&known), &["mine"; 40], &IntentConfig::default())?;
    let report = detector.calibrate(&samples(&own), &samples(&strangers), &Calibration::default())?;
    assert!(report.auroc > 0.99, "{report:?}");
    Ok(())
}

#[test]
fn saved_and_loaded_it_is_the_same_and_damage_is_noticed() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("intents.json");
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let detector = fitted(10, &IntentConfig::default(), &mut rng)?;
    detector.save(&path)?;
    assert_eq!(IntentDetector::load(&path)?, detector);
    let whole = std::fs::read_to_string(&path)?;
    for (from, to) in
        [("\"classes\":3", "\"classes\":2"), ("\"width\":12", "\"width\":11"), ("balance", "\",\"")]
    {
        assert!(whole.contains(from));
        std::fs::write(&path, whole.replacen(from, to, 1))?;
        assert!(IntentDetector::load(&path).is_err(), "{from}");
    }
    Ok(())
}

#[test]
fn vectors_that_do_not_fit_are_refused() -> Outcome {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let detector = fitted(10, &IntentConfig::default(), &mut rng)?;
    for vector in [vec![1.0; WIDTH - 1], vec![0.0; WIDTH], vec![f32::NAN; WIDTH]] {
        assert!(matches!(detector.assess(Sample { vector: &vector, text: "" }), Err(Error::Vector { .. })));
    }
    let vectors = around(None, 4, &mut rng);
    assert!(IntentDetector::fit(&samples(&vectors), &["a"; 3], &IntentConfig::default()).is_err());
    assert!(IntentDetector::fit(&samples(&vectors[..1]), &["a"], &IntentConfig::default()).is_err());
    Ok(())
}

/// The embedded base's own states: no second model is needed.
#[test]
fn the_state_of_the_answering_model_is_a_vector() -> Outcome {
    let base = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/base");
    let model = LocalModel::load(&base, &Device::flex())?;
    let mean = PrefillState::new(model.clone(), StatePooling::Mean);
    let last = PrefillState::new(model.clone(), StatePooling::Last);
    let sums: Vec<String> = (0..40).map(|n| format!("What is {n} plus {}?", n * 7 % 31)).collect();
    let lines: Vec<String> =
        (0..40).map(|n| format!("Triage this log line: ERROR E{n} disk {} is full", n * 5)).collect();
    for embedder in [&mean, &last] {
        let embed = |texts: &[String]| embedder.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let (a, b) = (embed(&sums)?, embed(&lines)?);
        assert!(a.iter().all(|v| v.len() == embedder.dimension() && v.iter().all(|x| x.is_finite())));
        assert!(a.iter().all(|v| (v.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5));
        assert_eq!(embed(&sums[3..4])?[0], a[3], "neighbours change nothing");
        let (known_a, new_a) = a.split_at(30);
        let (known_b, new_b) = b.split_at(30);
        let known = [samples(known_a), samples(known_b)].concat();
        let intents = [vec!["sum"; 30], vec!["triage"; 30]].concat();
        let detector =
            IntentDetector::fit(&known, &intents, &IntentConfig { words: None, ..IntentConfig::default() })?;
        for (new, intent) in [(new_a, "sum"), (new_b, "triage")] {
            for sample in samples(new) {
                assert_eq!(detector.assess(sample)?.intent, intent);
            }
        }
    }
    assert_ne!(mean.embed(&["What is 1 plus 2?"])?, last.embed(&["What is 1 plus 2?"])?);
    // What was read for the vector is not read again for the answer, which is the same.
    let question = ChatRequest::question(lines[0].as_str());
    let expected = model.chat(&question)?;
    let keeping = LocalModel { prefixes: Some(PrefixCache::new(1000)), ..model.clone() };
    PrefillState::new(keeping.clone(), StatePooling::Last).embed(&[&lines[0]])?;
    let kept = keeping.prefixes.as_ref().map_or(0, PrefixCache::tokens);
    assert_eq!(kept, model.prompt_ids(&question)?.len());
    assert_eq!(keeping.chat(&question)?, expected);
    // Far longer than the context of 512.
    assert_eq!(mean.embed(&["long ".repeat(2000).as_str()])?[0].len(), mean.dimension());
    Ok(())
}
