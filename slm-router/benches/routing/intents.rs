//! Accuracy over intents, and questions without any told apart.

use std::time::Instant;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use slm_router::{Calibration, IntentConfig, IntentDetector, Sample, Signal, auroc, false_positive_rate_at};

use super::{Outcome, Sets, field};

/// Halvings that realised rates are averaged over.
const HALVINGS: usize = 500;

/// A set of texts with their vectors and, where they have one, their intents.
struct Texts<'a> {
    texts: Vec<&'a str>,
    vectors: Vec<Vec<f32>>,
    intents: Vec<&'a str>,
}

impl Texts<'_> {
    fn samples(&self) -> Vec<Sample<'_>> {
        self.vectors.iter().zip(&self.texts).map(|(vector, text)| Sample { vector, text }).collect()
    }

    fn part(&self, keep: impl Fn(usize) -> bool) -> Self {
        let chosen = |n: &usize| keep(*n);
        let all = || (0..self.texts.len()).filter(chosen);
        Self {
            texts: all().map(|n| self.texts[n]).collect(),
            vectors: all().map(|n| self.vectors[n].clone()).collect(),
            intents: all().map(|n| self.intents[n]).collect(),
        }
    }
}

/// A set's name, its records, and the field that has the intent.
type Loaded = (&'static str, Vec<serde_json::Value>, &'static str);

/// Of BANKING77 and HWU64 every fifth text is measured on. With `choosing` these are left aside, and every fifth of the rest
/// stands in for them: settings are chosen there.
pub(super) fn run(sets: &Sets, config: &IntentConfig, (only, choosing): (&str, bool)) -> Outcome {
    let variants = [
        ("words alone", config.clone(), false),
        ("vectors alone", IntentConfig { words: None, ..config.clone() }, true),
        ("both", config.clone(), true),
    ];
    if "clinc".contains(only) {
        clinc(sets, &variants)?;
    }
    for (name, file, key) in [
        ("banking", "banking77/train.jsonl.gz", "category"),
        ("hwu", "hwu64/kfold1_trainset.jsonl.gz", "intent"),
    ] {
        if !name.contains(only) {
            continue;
        }
        let loaded = (name, sets.records(file)?, key);
        let mut all = texts(sets, &loaded)?;
        if choosing {
            all = all.part(|n| n % 5 != 0);
        }
        let (train, test) = (all.part(|n| n % 5 != 0), all.part(|n| n % 5 == 0));
        for (variant, config, vectors) in &variants {
            fit(
                &format!("{name}, {variant}"),
                &constant(&train, *vectors),
                &constant(&test, *vectors),
                config,
            )?;
        }
    }
    Ok(())
}

fn clinc(sets: &Sets, variants: &[(&str, IntentConfig, bool)]) -> Outcome {
    let train: Loaded = ("clinc_train", sets.records("clinc-oos/train.jsonl.gz")?, "intent");
    let inside: Loaded = ("clinc_val", sets.records("clinc-oos/val.jsonl.gz")?, "intent");
    let outside: Loaded = ("oos_val", sets.records("clinc-oos/oos_val.jsonl.gz")?, "intent");
    let [train, inside, outside] = [texts(sets, &train)?, texts(sets, &inside)?, texts(sets, &outside)?];
    for (name, config, vectors) in variants {
        let [train, inside, outside] = [&train, &inside, &outside].map(|texts| constant(texts, *vectors));
        let detector = fit(&format!("clinc, {name}"), &train, &inside, config)?;
        strangers(&detector, &inside, &outside)?;
    }
    Ok(())
}

fn texts<'a>(sets: &Sets, loaded: &'a Loaded) -> Outcome<Texts<'a>> {
    let (name, records, key) = loaded;
    let texts = field(records, "text")?;
    Ok(Texts { vectors: sets.embed(name, &texts)?, intents: field(records, key)?, texts })
}

/// The same with vectors that say nothing, where they are not to count.
fn constant<'a>(texts: &Texts<'a>, keep: bool) -> Texts<'a> {
    let mut texts = texts.part(|_| true);
    if !keep {
        texts.vectors.iter_mut().for_each(|vector| *vector = vec![1.0]);
    }
    texts
}

fn fit(name: &str, train: &Texts<'_>, test: &Texts<'_>, config: &IntentConfig) -> Outcome<IntentDetector> {
    let start = Instant::now();
    let detector = IntentDetector::fit(&train.samples(), &train.intents, config)?;
    let (fitted, start) = (start.elapsed(), Instant::now());
    let mut right = 0;
    for (sample, intent) in test.samples().into_iter().zip(&test.intents) {
        right += usize::from(detector.assess(sample)?.intent == *intent);
    }
    println!(
        "{name}: accuracy {:.2} % of {}; fitted to {} in {:.0} s; {:.0} µs a decision",
        100.0 * right as f64 / test.texts.len() as f64,
        test.texts.len(),
        train.texts.len(),
        fitted.as_secs_f64(),
        1e6 * start.elapsed().as_secs_f64() / test.texts.len() as f64,
    );
    Ok(detector)
}

fn strangers(detector: &IntentDetector, inside: &Texts<'_>, outside: &Texts<'_>) -> Outcome {
    for signal in
        [Signal::Energy, Signal::MaxProbability, Signal::Mahalanobis, Signal::Neighbours, Signal::Combined]
    {
        let detector = detector.clone().with_signal(signal);
        let (own, strange) = (detector.scores(&inside.samples())?, detector.scores(&outside.samples())?);
        print!(
            "  {signal:?}: AUROC {:.4}, FPR95 {:.1} %;",
            auroc(&own, &strange)?,
            100.0 * false_positive_rate_at(0.95, &own, &strange)?
        );
        for rate in [0.05, 0.1] {
            let (accepted, refused) = realised(&own, &strange, rate)?;
            print!(
                " at {:.0} %: accepts {:.1} %, refuses {:.1} %;",
                100.0 * rate,
                100.0 * accepted,
                100.0 * refused
            );
        }
        println!();
    }
    Ok(())
}

/// Rates on one half with the threshold of the other, over random halvings.
fn realised(own: &[f64], strange: &[f64], rate: f64) -> Outcome<(f64, f64)> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (mut own, mut strange) = (own.to_vec(), strange.to_vec());
    let (mut accepted, mut refused) = (0.0, 0.0);
    for _ in 0..HALVINGS {
        own.shuffle(&mut rng);
        strange.shuffle(&mut rng);
        let ((own_a, own_b), (strange_a, strange_b)) =
            (own.split_at(own.len() / 2), strange.split_at(strange.len() / 2));
        let threshold = Calibration { max_false_accept: rate }.fit(own_a, strange_a)?.threshold;
        let share = |scores: &[f64]| {
            scores.iter().filter(|score| **score > f64::from(threshold)).count() as f64 / scores.len() as f64
        };
        accepted += share(strange_b) / HALVINGS as f64;
        refused += (1.0 - share(own_b)) / HALVINGS as f64;
    }
    Ok((accepted, refused))
}
