//! Wrong labels, by confident learning (Northcutt, Jiang and Chuang 2021).

use std::collections::HashMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::text::{self, real};
use crate::{Error, Result};

/// What confident learning finds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelNoise {
    /// Mean probability of each class among the rows that have its label: what counts as confident.
    pub thresholds: Vec<f64>,
    /// Rows by given label and by the class that the model is confident of: `joint[given][confident]`.
    pub joint: Vec<Vec<usize>>,
    /// Rows whose label is most likely wrong, in order.
    pub issues: Vec<usize>,
    /// Probability of the given label of each row: the least first is where to look first.
    pub quality: Vec<f64>,
}

/// Finds rows whose label the model confidently disagrees with.
///
/// `probabilities` are `[rows][classes]` and must come from a model that did not learn from the row itself:
/// [`cross_validated`].
///
/// # Errors
/// When the lengths do not fit, or a label has no class.
pub fn confident_learning(labels: &[usize], probabilities: &[Vec<f64>]) -> Result<LabelNoise> {
    let classes = probabilities.first().map_or(0, Vec::len);
    let fits = probabilities.len() == labels.len() && probabilities.iter().all(|p| p.len() == classes);
    if !fits || labels.iter().any(|&label| label >= classes) {
        let reason =
            format!("expected {} rows of {classes} probabilities, and labels below that", labels.len());
        return Err(Error::config("noise.probabilities", reason));
    }
    let thresholds: Vec<f64> = (0..classes)
        .map(|class| {
            let own = labels.iter().zip(probabilities).filter(|(label, _)| **label == class);
            let (sum, count) = own.fold((0.0, 0), |(sum, count), (_, p)| (sum + p[class], count + 1));
            // A class that no row has can not be confidently found.
            if count == 0 { f64::INFINITY } else { sum / real(count) }
        })
        .collect();
    let mut joint = vec![vec![0; classes]; classes];
    let mut issues = Vec::new();
    for (at, (&label, p)) in labels.iter().zip(probabilities).enumerate() {
        let Some(confident) = confident_class(p, &thresholds) else { continue };
        joint[label][confident] += 1;
        // Where the model would give the label itself, nothing speaks against it.
        if confident != label && argmax(p) != label {
            issues.push(at);
        }
    }
    // Each class has at least one right row.
    (0..classes).for_each(|class| joint[class][class] = joint[class][class].max(1));
    let quality = labels.iter().zip(probabilities).map(|(&label, p)| p[label]).collect();
    Ok(LabelNoise { thresholds, joint, issues, quality })
}

/// The class whose probability reaches its threshold; the most probable one where several do.
fn confident_class(p: &[f64], thresholds: &[f64]) -> Option<usize> {
    const EPSILON: f64 = 1e-6;
    let mut above = (0..p.len()).filter(|&class| p[class] >= thresholds[class] - EPSILON);
    match (above.next(), above.next()) {
        (Some(_), Some(_)) => Some(argmax(p)),
        (one, _) => one,
    }
}

fn argmax(p: &[f64]) -> usize {
    (0..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b]).then(b.cmp(&a))).unwrap_or(0)
}

/// Probabilities of all rows, each from a model that was fitted on the other folds.
///
/// `predict` gets the indices to learn from and those to predict, and gives `[rows][classes]` for the latter.
/// The folds depend on the seed alone.
///
/// # Errors
/// When there are fewer than two folds or fewer rows than folds, or the closure fails or miscounts.
pub fn cross_validated(
    rows: usize,
    folds: usize,
    seed: u64,
    mut predict: impl FnMut(&[usize], &[usize]) -> Result<Vec<Vec<f64>>>,
) -> Result<Vec<Vec<f64>>> {
    if folds < 2 || rows < folds {
        return Err(Error::config("noise.folds", format!("expected 2 to {rows} folds, got {folds}")));
    }
    let mut order: Vec<usize> = (0..rows).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut all = vec![Vec::new(); rows];
    for fold in 0..folds {
        let (mut learn, mut ask) = (Vec::new(), Vec::new());
        order.iter().enumerate().for_each(
            |(at, &row)| {
                if at % folds == fold { ask.push(row) } else { learn.push(row) }
            },
        );
        let found = predict(&learn, &ask)?;
        if found.len() != ask.len() {
            let reason = format!("expected {} rows of probabilities, got {}", ask.len(), found.len());
            return Err(Error::Model { what: "the classifier", reason });
        }
        ask.into_iter().zip(found).for_each(|(row, p)| all[row] = p);
    }
    Ok(all)
}

/// A multinomial naive Bayes classifier of words: no rival to a model, but enough to find labels that the
/// words of a text contradict.
#[derive(Debug, Clone, Default)]
pub struct NaiveBayes {
    /// Count of each word by class.
    words: HashMap<u64, Vec<f64>>,
    /// Words and rows of each class.
    totals: Vec<(f64, f64)>,
}

impl NaiveBayes {
    /// Learns from texts and their labels, which are below `classes`.
    pub fn fit(texts: &[&str], labels: &[usize], classes: usize) -> Self {
        let mut model = Self { words: HashMap::new(), totals: vec![(0.0, 0.0); classes] };
        for (text, &label) in texts.iter().zip(labels).filter(|(_, label)| **label < classes) {
            let (words, rows) = &mut model.totals[label];
            *rows += 1.0;
            for word in features(text) {
                *words += 1.0;
                model.words.entry(word).or_insert_with(|| vec![0.0; classes])[label] += 1.0;
            }
        }
        model
    }

    /// Probabilities of the classes.
    pub fn predict(&self, text: &str) -> Vec<f64> {
        let vocabulary = real(self.words.len()) + 1.0;
        let rows: f64 = self.totals.iter().map(|(_, rows)| rows).sum();
        let mut logs: Vec<f64> = self
            .totals
            .iter()
            .map(|(_, of_class)| ((of_class + 1.0) / (rows + real(self.totals.len()))).ln())
            .collect();
        for counts in features(text).iter().filter_map(|word| self.words.get(word)) {
            for ((log, count), (words, _)) in logs.iter_mut().zip(counts).zip(&self.totals) {
                *log += ((count + 1.0) / (words + vocabulary)).ln();
            }
        }
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logs.iter().map(|log| (log - most).exp()).sum();
        logs.into_iter().map(|log| (log - most).exp() / sum).collect()
    }
}

fn features(text: &str) -> Vec<u64> {
    text::words(&text::normalize(text)).map(|word| text::hash(word.as_bytes(), 31)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_wrong_labels_are_found() -> Result<()> {
        let topics = ["disk volume full storage", "login password token user", "network cable packet route"];
        let text = |at: usize| {
            let words: Vec<&str> = topics[at % 3].split(' ').collect();
            format!("{} and {} on host {at}", words[at / 3 % 4], words[(at / 12 + 1) % 4])
        };
        let texts: Vec<String> = (0..300).map(text).collect();
        let mut labels: Vec<usize> = (0..300).map(|at| at % 3).collect();
        let wrong: Vec<usize> = (0..300).filter(|at| at % 17 == 0).collect();
        wrong.iter().for_each(|&at| labels[at] = (labels[at] + 1) % 3);
        let probabilities = cross_validated(300, 5, 1, |learn, ask| {
            let learn_texts: Vec<&str> = learn.iter().map(|&at| texts[at].as_str()).collect();
            let learn_labels: Vec<usize> = learn.iter().map(|&at| labels[at]).collect();
            let model = NaiveBayes::fit(&learn_texts, &learn_labels, 3);
            Ok(ask.iter().map(|&at| model.predict(&texts[at])).collect())
        })?;
        let found = confident_learning(&labels, &probabilities)?;
        let hits = found.issues.iter().filter(|at| wrong.contains(at)).count();
        assert!(hits * 10 >= wrong.len() * 9 && hits * 10 >= found.issues.len() * 9, "{:?}", found.issues);
        Ok(())
    }

    #[test]
    fn lengths_that_do_not_fit_are_errors() {
        assert!(confident_learning(&[0, 1], &[vec![0.5, 0.5]]).is_err());
        assert!(confident_learning(&[2], &[vec![0.5, 0.5]]).is_err());
        assert!(confident_learning(&[], &[]).is_ok_and(|found| found.issues.is_empty()));
        assert!(cross_validated(3, 1, 0, |_, _| Ok(Vec::new())).is_err());
        assert!(cross_validated(4, 2, 0, |_, _| Ok(Vec::new())).is_err());
    }
}
