//! Exact match and token F1 as the SQuAD evaluation script computes them (Rajpurkar et al. 2016, 2018).

use std::collections::BTreeMap;

/// `text` as SQuAD compares it: lower case, without ASCII punctuation, without the articles *a*, *an* and
/// *the*, with single spaces.
pub fn normalize(text: &str) -> String {
    let kept: String = text.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let mut out = String::with_capacity(kept.len());
    let mut rest = kept.as_str();
    // An article is a whole run of word characters: the `a` of `a–b` goes, that of `data` stays.
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| c.is_alphanumeric() != first.is_alphanumeric()).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        out.push_str(if matches!(run, "a" | "an" | "the") { " " } else { run });
        rest = after;
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether both texts are equal once [normalised](normalize).
pub fn exact_match(prediction: &str, gold: &str) -> bool {
    normalize(prediction) == normalize(gold)
}

/// Harmonic mean of precision and recall over the bag of [normalised](normalize) words, 0 to 1. Where a
/// side has no words, 1 if neither has, else 0 (SQuAD 2.0).
pub fn token_f1(prediction: &str, gold: &str) -> f64 {
    let (prediction, gold) = (normalize(prediction), normalize(gold));
    let (p, g) = (counts(&prediction), counts(&gold));
    let (p_len, g_len) = (p.values().sum::<usize>(), g.values().sum::<usize>());
    if p_len == 0 || g_len == 0 {
        return if p_len == g_len { 1.0 } else { 0.0 };
    }
    let same: usize = p.iter().map(|(word, n)| (*n).min(g.get(word).copied().unwrap_or(0))).sum();
    2.0 * same as f64 / (p_len + g_len) as f64
}

fn counts(text: &str) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for word in text.split_whitespace() {
        *counts.entry(word).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalization_is_squads() {
        for (text, expected) in [
            ("The  Cat's\tHat.", "cats hat"),
            ("an apple, a day", "apple day"),
            ("theatre and data", "theatre and data"),
            ("(a)", ""),
            // Punctuation goes first, so the two letters become one word; a dash outside ASCII stays.
            ("a-b", "ab"),
            ("a–b", "–b"),
            ("U.S.A.", "usa"),
            ("ÉTÉ the Été", "été été"),
            ("", ""),
        ] {
            assert_eq!(normalize(text), expected, "{text:?}");
        }
    }

    #[test]
    fn exact_match_ignores_case_articles_and_punctuation() {
        assert!(exact_match("The Eiffel Tower!", "eiffel tower"));
        assert!(!exact_match("Eiffel Towers", "eiffel tower"));
        assert!(exact_match("the", ""));
    }

    #[test]
    fn token_f1_by_hand() {
        for (prediction, gold, expected) in [
            ("cat sat", "the cat sat", 1.0),
            // 2 shared words, 3 predicted, 4 expected: P = 2/3, R = 1/2.
            ("cat sat down", "cat sat on mat", 4.0 / 7.0),
            // A repeated word counts as often as both have it.
            ("cat cat cat", "cat cat dog", 2.0 / 3.0),
            ("dog", "cat", 0.0),
            ("", "", 1.0),
            ("the", "", 1.0),
            ("cat", "", 0.0),
            ("", "cat", 0.0),
        ] {
            let f1 = token_f1(prediction, gold);
            assert!((f1 - expected).abs() < 1e-12, "{prediction:?} {gold:?}: {f1}");
        }
    }
}
