//! Near duplicates of known strength are found, and nothing else; the pairs are those of the exact similarity.

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slm_data::{Shingle, Similarity, near_duplicate_texts};

/// Made-up sentences: syllables make words, of which the first are the most frequent.
fn text(rng: &mut ChaCha8Rng, words: usize) -> String {
    const SYLLABLES: [&str; 16] = [
        "ba", "re", "ni", "to", "lu", "ka", "mi", "so", "ter", "ven", "dor", "pal", "qui", "zen", "fra",
        "gol",
    ];
    let word = |rng: &mut ChaCha8Rng| {
        let rank = (rng.random_range(0.0_f64..8.3).exp()) as usize;
        [rank % 16, rank / 16 % 16, rank / 256 % 16].map(|at| SYLLABLES[at]).concat()
    };
    (0..words).map(|_| word(rng)).collect::<Vec<_>>().join(" ")
}

/// The text with about `share` of its characters changed, dropped or doubled.
fn edited(text: &str, share: f64, rng: &mut ChaCha8Rng) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if rng.random_range(0.0..1.0) >= share {
            out.push(c);
            continue;
        }
        match rng.random_range(0..3) {
            0 => out.push(char::from(rng.random_range(b'a'..=b'z'))),
            1 => {}
            _ => out.extend([c, c]),
        }
    }
    // White space makes no difference.
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn set(text: &str) -> BTreeSet<&str> {
    (0..text.len().saturating_sub(4)).map(|at| &text[at..at + 5]).collect()
}

fn exact_jaccard(a: &str, b: &str) -> f64 {
    let (a, b) = (set(a), set(b));
    let common = a.intersection(&b).count();
    common as f64 / (a.len() + b.len() - common) as f64
}

#[test]
fn planted_near_duplicates_are_found() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut texts: Vec<String> = (0..1500)
        .map(|_| {
            let words = rng.random_range(15..150);
            text(&mut rng, words)
        })
        .collect();
    let originals = texts.clone();
    // One in a hundred characters is a copy with typing errors; one in ten is another text.
    for (strength, copy) in [(0.01, true), (0.10, false)] {
        for original in originals.iter().take(500) {
            texts.push(edited(original, strength, &mut rng));
        }
        assert_eq!(texts.len(), if copy { 2000 } else { 2500 });
    }
    let similarity = Similarity { threshold: 0.7, ..Similarity::default() };
    let found = near_duplicate_texts(&texts, &similarity).unwrap_or_default();
    let is_copy = |at: usize| (1500..2000).contains(&at);
    let hits =
        (0..2500).filter(|&at| is_copy(at) && found[at].is_some_and(|f| f.of == at - 1500)).count() as f64;
    let all = found.iter().flatten().count() as f64;
    let (precision, recall) = (hits / all, hits / 500.0);
    let f1 = 2.0 * precision * recall / (precision + recall);
    println!("planted: precision {precision:.4}, recall {recall:.4}, F1 {f1:.4}");
    assert!(f1 >= 0.95, "precision {precision}, recall {recall}");
}

#[test]
fn candidates_are_the_pairs_of_the_exact_similarity() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    for threshold in [0.5, 0.7, 0.85] {
        // Pairs of all similarities: a text and a copy with up to 8 % edits.
        let mut texts = Vec::new();
        for _ in 0..600 {
            let original = text(&mut rng, 40);
            let strength = rng.random_range(0.0..0.08);
            texts.push(edited(&original, strength, &mut rng));
            texts.push(original);
        }
        let similarity = Similarity { threshold, template_share: 1.0, ..Similarity::default() };
        let found = near_duplicate_texts(&texts, &similarity).unwrap_or_default();
        let (mut right, mut missed) = (0, 0);
        for at in (1..texts.len()).step_by(2) {
            let exact = exact_jaccard(&texts[at], &texts[at - 1]);
            match found[at] {
                Some(f) if f.of == at - 1 => {
                    assert!((f.similarity - exact).abs() < 1e-9, "{} and {exact}", f.similarity);
                    assert!(exact >= threshold);
                    right += 1;
                }
                other => {
                    assert!(other.is_none());
                    missed += usize::from(exact >= threshold);
                }
            }
        }
        println!("threshold {threshold}: {right} pairs found, {missed} missed");
        assert!(right > 100 && missed * 100 <= right + missed, "{missed} of {}", right + missed);
    }
}

#[test]
fn the_number_of_threads_makes_no_difference() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut texts: Vec<String> = (0..400).map(|_| text(&mut rng, 30)).collect();
    for at in 0..400 {
        texts.push(edited(&texts[at].clone(), 0.02, &mut rng));
        texts.push(edited(&texts[400 + at].clone(), 0.02, &mut rng));
    }
    for shingle in [Shingle::Characters(5), Shingle::Words(3)] {
        let similarity = Similarity { threshold: 0.5, shingle, ..Similarity::default() };
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().ok();
            pool.and_then(|pool| pool.install(|| near_duplicate_texts(&texts, &similarity)).ok())
        };
        assert!(with(1).is_some_and(|found| found.iter().flatten().count() > 100));
        assert_eq!(with(1), with(4));
    }
}
