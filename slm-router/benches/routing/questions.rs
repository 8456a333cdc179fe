//! Questions by what they ask for: answerable or not (SelfAware), in how many hops (HoVer), in which parts (Break,
//! StrategyQA).

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use slm_router::{
    DetectorConfig, Outcome as Record, OutcomeConfig, OutcomeRouter, Sample, auroc, split_question,
};

use super::{Outcome, Sets, field};

pub(super) fn run(sets: &Sets, only: &str) -> Outcome {
    if only != "parts" {
        selfaware(sets)?;
        hops(sets)?;
    }
    for (name, file) in [
        ("Break, high level", "break-qdmr/qdmr_high_level_dev.jsonl.gz"),
        ("Break", "break-qdmr/qdmr_dev.jsonl.gz"),
    ] {
        let records = sets.records(file)?;
        let steps = |text: &str| -> Vec<String> {
            text.split(';').map(|step| clean(step.trim().trim_start_matches("return"))).collect()
        };
        let gold: Vec<Vec<String>> = field(&records, "decomposition")?.into_iter().map(steps).collect();
        parts(name, &field(&records, "question_text")?, &gold);
    }
    let records = sets.records("strategyqa/train.jsonl.gz")?;
    let step = |step: &serde_json::Value| step.as_str().map(clean).unwrap_or_default();
    let gold: Vec<Vec<String>> = records
        .iter()
        .map(|record| record["decomposition"].as_array().into_iter().flatten().map(step).collect())
        .collect();
    parts("StrategyQA", &field(&records, "question")?, &gold);
    Ok(())
}

/// Can a question be answered at all? Five folds, each scored by what was learned from the others.
fn selfaware(sets: &Sets) -> Outcome {
    let records = sets.records("selfaware/questions.jsonl.gz")?;
    let texts = field(&records, "question")?;
    let vectors = sets.embed("selfaware", &texts)?;
    let labels: Vec<bool> = records.iter().map(|record| record["answerable"] == true).collect();
    separate("SelfAware, answerable", &texts, &vectors, &labels)
}

/// Two hops against more.
fn hops(sets: &Sets) -> Outcome {
    let records = sets.records("hover/claims.jsonl.gz")?;
    let texts = field(&records, "claim")?;
    let vectors = sets.embed("hover", &texts)?;
    let labels: Vec<bool> = records.iter().map(|record| record["num_hops"] == 2).collect();
    separate("HoVer, two hops", &texts, &vectors, &labels)
}

fn separate(name: &str, texts: &[&str], vectors: &[Vec<f32>], labels: &[bool]) -> Outcome {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
    let words = Some(DetectorConfig::default());
    let plain = OutcomeConfig { words: None, complexity_weight: 0.0, ..OutcomeConfig::default() };
    for (variant, with_vectors, config) in [
        ("complexity alone", false, OutcomeConfig { complexity_weight: 0.3, ..plain.clone() }),
        ("words alone", false, OutcomeConfig { words: words.clone(), ..plain.clone() }),
        ("vectors alone", true, plain),
        ("all", true, OutcomeConfig { words, ..OutcomeConfig::default() }),
    ] {
        let record = |n: usize| Record {
            sample: Sample { vector: if with_vectors { &vectors[n] } else { &[] }, text: texts[n] },
            local_is_right: labels[n],
            larger_is_right: true,
        };
        let (mut positive, mut negative) = (Vec::new(), Vec::new());
        for fold in 0..5 {
            let others: Vec<Record<'_>> =
                order.iter().enumerate().filter(|(at, _)| at % 5 != fold).map(|(_, &n)| record(n)).collect();
            let router = OutcomeRouter::fit(&others, &config)?;
            for (_, &n) in order.iter().enumerate().filter(|(at, _)| at % 5 == fold) {
                let score = router.local_is_right(record(n).sample)?;
                if labels[n] { positive.push(score) } else { negative.push(score) }
            }
        }
        println!(
            "{name}, {variant}: AUROC {:.3} ({} against {})",
            auroc(&positive, &negative)?,
            positive.len(),
            negative.len()
        );
    }
    Ok(())
}

/// The steps of a question.
type Plan<'a> = &'a dyn Fn(&str) -> Vec<String>;

/// How near the rules come to people's decompositions, and how near the question itself does.
fn parts(name: &str, questions: &[&str], gold: &[Vec<String>]) {
    let whole = |question: &str| vec![clean(question)];
    let rules = |question: &str| split_question(question).iter().map(|step| clean(step)).collect();
    // Rules were written with the rows of even numbers in view: the others measure.
    let odd = |n: &usize| n % 2 == 1;
    let questions: Vec<&str> = (0..questions.len()).filter(odd).map(|n| questions[n]).collect();
    let gold: Vec<Vec<String>> = (0..gold.len()).filter(odd).map(|n| gold[n].clone()).collect();
    for (planner, plan) in [("whole question", &whole as Plan<'_>), ("rules", &rules)] {
        let (mut score, mut exact, mut same_count, mut split) = (0.0, 0, 0, 0);
        for (question, gold) in questions.iter().zip(&gold) {
            let steps = plan(question);
            score += sari(&clean(question), &steps.join(" ; "), &gold.join(" ; "));
            exact += usize::from(steps == *gold);
            same_count += usize::from(steps.len() == gold.len());
            split += usize::from(steps.len() > 1);
        }
        let share = |count: usize| 100.0 * count as f64 / questions.len() as f64;
        println!(
            "{name}, {planner}: SARI {:.1}, exact {:.1} %, as many steps {:.1} %, split {:.1} % of {}",
            100.0 * score / questions.len() as f64,
            share(exact),
            share(same_count),
            share(split),
            questions.len()
        );
    }
}

/// Lower case, without marks, single spaces.
fn clean(text: &str) -> String {
    let words = text
        .split_whitespace()
        .map(|word| word.to_lowercase().trim_matches(|c: char| !c.is_alphanumeric() && c != '#').to_owned());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// SARI (Xu et al. 2016) with one reference: mean over n-grams of one to four words of the F1 of what was kept, the F1 of
/// what was added, and the precision of what was deleted.
fn sari(source: &str, candidate: &str, reference: &str) -> f64 {
    let mut sum = 0.0;
    for n in 1..=4 {
        let [source, candidate, reference] = [source, candidate, reference].map(|text| grams(text, n));
        let both = |a: &BTreeMap<_, f64>, b: &BTreeMap<_, f64>| -> BTreeMap<Vec<String>, f64> {
            let least = |(gram, count): (&Vec<String>, &f64)| Some((gram.clone(), count.min(*b.get(gram)?)));
            a.iter().filter_map(least).collect()
        };
        let without =
            |a: &BTreeMap<Vec<String>, f64>, b: &BTreeMap<Vec<String>, f64>| -> BTreeMap<Vec<String>, f64> {
                let rest = |(gram, count): (&Vec<String>, &f64)| {
                    let rest = count - b.get(gram).unwrap_or(&0.0);
                    (rest > 0.0).then(|| (gram.clone(), rest))
                };
                a.iter().filter_map(rest).collect()
            };
        let total = |grams: &BTreeMap<Vec<String>, f64>| grams.values().sum::<f64>();
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 1.0 };
        let f1 = |p: f64, r: f64| if p + r > 0.0 { 2.0 * p * r / (p + r) } else { 0.0 };
        let (kept, keep) = (both(&source, &candidate), both(&source, &reference));
        let good = total(&both(&kept, &keep));
        let keep_score = f1(share(good, total(&kept)), share(good, total(&keep)));
        let (added, add) = (without(&candidate, &source), without(&reference, &source));
        let good = total(&both(&added, &add));
        let add_score = f1(share(good, total(&added)), share(good, total(&add)));
        let (deleted, delete) = (without(&source, &candidate), without(&source, &reference));
        let delete_score = share(total(&both(&deleted, &delete)), total(&deleted));
        sum += (keep_score + add_score + delete_score) / 3.0;
    }
    sum / 4.0
}

fn grams(text: &str, n: usize) -> BTreeMap<Vec<String>, f64> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    let mut grams = BTreeMap::new();
    for gram in words.windows(n) {
        *grams.entry(gram.to_vec()).or_insert(0.0) += 1.0;
    }
    grams
}
