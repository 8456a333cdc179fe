//! BLEU (Papineni et al. 2002) as `sacrebleu` counts it: its tokenizer `13a`, case kept, exponential smoothing.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

/// Longest run of words that is compared.
const ORDER: usize = 4;

/// What texts have in common with their references: sums over sentences, from which a score is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    correct: [usize; ORDER],
    total: [usize; ORDER],
    length: usize,
    reference_length: usize,
}

/// BLEU of one text, 0 to 1, against the references together. Orders that the text is too short for are left out, as
/// `sacrebleu.sentence_bleu` does. Without references, 0.
pub fn sentence_bleu(prediction: &str, references: &[&str]) -> f64 {
    Counts::of(prediction, references).score(true)
}

/// BLEU of a whole corpus, 0 to 1: texts with the references of each (`sacrebleu.corpus_bleu`). It is not the mean over
/// sentences.
pub fn corpus_bleu(corpus: &[(&str, &[&str])]) -> f64 {
    let mut sum = Counts::default();
    for (prediction, references) in corpus {
        let one = Counts::of(prediction, references);
        for n in 0..ORDER {
            sum.correct[n] += one.correct[n];
            sum.total[n] += one.total[n];
        }
        sum.length += one.length;
        sum.reference_length += one.reference_length;
    }
    sum.score(false)
}

impl Counts {
    fn of(prediction: &str, references: &[&str]) -> Self {
        let words = tokenize(prediction);
        let references: Vec<Vec<String>> = references.iter().map(|r| tokenize(r)).collect();
        // The nearest length; of two as near, the shorter.
        let nearest = references.iter().map(Vec::len).min_by_key(|l| (l.abs_diff(words.len()), *l));
        let mut counts =
            Self { length: words.len(), reference_length: nearest.unwrap_or(0), ..Self::default() };
        for n in 1..=ORDER {
            let mut most: HashMap<&[String], usize> = HashMap::new();
            for reference in &references {
                for (run, count) in runs(reference, n) {
                    let known = most.entry(run).or_default();
                    *known = count.max(*known);
                }
            }
            counts.total[n - 1] = (words.len() + 1).saturating_sub(n);
            counts.correct[n - 1] = runs(&words, n)
                .into_iter()
                .map(|(run, count)| count.min(most.get(run).copied().unwrap_or(0)))
                .sum();
        }
        counts
    }

    fn score(&self, short_texts: bool) -> f64 {
        if self.correct.iter().all(|c| *c == 0) {
            return 0.0;
        }
        let (mut logs, mut smoothing) = (Vec::with_capacity(ORDER), 1.0);
        for (correct, total) in self.correct.iter().zip(self.total).take_while(|(_, total)| *total > 0) {
            let hits = if *correct == 0 {
                smoothing *= 2.0;
                1.0 / smoothing
            } else {
                *correct as f64
            };
            logs.push((hits / total as f64).ln());
        }
        if logs.len() < ORDER && !short_texts {
            return 0.0;
        }
        let brevity = (1.0 - self.reference_length as f64 / self.length as f64).min(0.0).exp();
        brevity * (logs.iter().sum::<f64>() / logs.len() as f64).exp()
    }
}

fn runs(words: &[String], n: usize) -> HashMap<&[String], usize> {
    let mut counts = HashMap::new();
    words.windows(n).for_each(|run| *counts.entry(run).or_default() += 1);
    counts
}

/// The tokens of `mteval-v13a`.
fn tokenize(text: &str) -> Vec<String> {
    static RULES: LazyLock<Vec<(Option<Regex>, &str)>> = LazyLock::new(|| {
        [
            (r"([\{-~\[-` -&\(-\+:-@/])", " $1 "),
            (r"([^0-9])([\.,])", "$1 $2 "),
            (r"([\.,])([^0-9])", " $1 $2"),
            (r"([0-9])(-)", "$1 $2 "),
        ]
        .map(|(rule, with)| (Regex::new(rule).ok(), with))
        .into()
    });
    let mut text = text.trim_end().replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    for (entity, character) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
        text = text.replace(entity, character);
    }
    let mut text = format!(" {text} ");
    for (rule, with) in RULES.iter() {
        if let Some(rule) = rule {
            text = rule.replace_all(&text, *with).into_owned();
        }
    }
    text.split_whitespace().map(str::to_owned).collect()
}
