//! Texts that belong together: neighbours, or those about one subject.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::text::{Stemming, for_each_word, is_question_word, stemmed, word_count};

/// Length of the vectors of texts where there is no embedder.
const BUCKETS: usize = 512;
/// Steps of k-means; it has settled before.
const STEPS: usize = 12;

/// Neighbours that fit into `max_words` together, at least two of them, so that there is an end.
pub(super) fn neighbours(texts: &[&str], max_words: usize) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let (mut start, mut words) = (0, 0);
    for (n, text) in texts.iter().enumerate() {
        let own = word_count(text);
        if words + own > max_words && n - start >= 2 {
            groups.push(start..n);
            (start, words) = (n, 0);
        }
        words += own;
    }
    groups.push(start..texts.len());
    groups
}

/// Groups of texts with like vectors, each of at most `max_words` words where two of them fit, in the order of the texts.
///
/// Spherical k-means with full groups closed, from seeds far from each other; no chance is in it. Texts that are left alone
/// are grouped as neighbours, so that there are fewer groups than texts.
pub(super) fn subjects(texts: &[&str], vectors: &[Vec<f32>], max_words: usize) -> Vec<Vec<usize>> {
    let words: Vec<usize> = texts.iter().map(|text| word_count(text)).collect();
    let wanted = words.iter().sum::<usize>().div_ceil(max_words.max(1)).clamp(1, (texts.len() / 2).max(1));
    if wanted == 1 {
        return vec![(0..texts.len()).collect()];
    }
    let mut centres = seeds(vectors, wanted);
    let mut groups = Vec::new();
    for _ in 0..STEPS {
        let next = assigned(vectors, &centres, &words, max_words);
        if next == groups {
            break;
        }
        groups = next;
        centres = groups.iter().map(|group| mean(vectors, group)).collect();
    }
    let (mut together, alone): (Vec<Vec<usize>>, Vec<Vec<usize>>) =
        groups.into_iter().filter(|group| !group.is_empty()).partition(|group| group.len() > 1);
    let mut alone: Vec<usize> = alone.into_iter().flatten().collect();
    alone.sort_unstable();
    if !alone.is_empty() {
        let lonely: Vec<&str> = alone.iter().filter_map(|n| texts.get(*n).copied()).collect();
        let ranges = neighbours(&lonely, max_words);
        together.extend(ranges.into_iter().map(|range| alone.get(range).unwrap_or_default().to_vec()));
    }
    together.sort_unstable();
    together
}

/// The first text, then again and again the one that is least like those chosen.
fn seeds(vectors: &[Vec<f32>], count: usize) -> Vec<Vec<f32>> {
    let mut nearest = vec![f32::NEG_INFINITY; vectors.len()];
    let mut chosen = 0;
    let mut out = Vec::with_capacity(count);
    while out.len() < count {
        let Some(seed) = vectors.get(chosen) else { break };
        for (near, vector) in nearest.iter_mut().zip(vectors) {
            *near = near.max(dot(seed, vector));
        }
        out.push(seed.clone());
        let far = nearest.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1).then(a.0.cmp(&b.0)));
        chosen = far.map_or(0, |(n, _)| n);
    }
    out
}

/// The closest pairs of text and centre first, as long as the centre has room; texts without room are groups of their own.
fn assigned(
    vectors: &[Vec<f32>],
    centres: &[Vec<f32>],
    words: &[usize],
    max_words: usize,
) -> Vec<Vec<usize>> {
    let mut pairs: Vec<(f32, usize, usize)> = Vec::with_capacity(vectors.len() * centres.len());
    for (n, vector) in vectors.iter().enumerate() {
        pairs.extend(centres.iter().enumerate().map(|(c, centre)| (dot(vector, centre), n, c)));
    }
    pairs.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut groups: Vec<(usize, Vec<usize>)> = vec![(0, Vec::new()); centres.len()];
    let mut placed = vec![false; vectors.len()];
    for (_, n, c) in pairs {
        let own = words.get(n).copied().unwrap_or(0);
        if let (Some(done), Some((held, group))) = (placed.get_mut(n), groups.get_mut(c))
            && !*done
            && *held + own <= max_words
        {
            *done = true;
            *held += own;
            group.push(n);
        }
    }
    let mut groups: Vec<Vec<usize>> = groups.into_iter().map(|(_, group)| group).collect();
    groups.iter_mut().for_each(|group| group.sort_unstable());
    groups.extend(placed.iter().enumerate().filter(|(_, done)| !**done).map(|(n, _)| vec![n]));
    groups
}

fn mean(vectors: &[Vec<f32>], group: &[usize]) -> Vec<f32> {
    let mut sum = vec![0.0; vectors.first().map_or(0, Vec::len)];
    for vector in group.iter().filter_map(|n| vectors.get(*n)) {
        sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x);
    }
    unit(sum)
}

fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let norm = dot(&vector, &vector).sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|x| *x /= norm);
    }
    vector
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Unit vectors of the words of texts: their frequency by their rarity among the texts, hashed into a fixed length
/// (Weinberger et al. 2009).
pub(super) fn word_vectors(texts: &[&str]) -> Vec<Vec<f32>> {
    let mut spread: BTreeMap<String, f32> = BTreeMap::new();
    let counts: Vec<BTreeMap<String, f32>> = texts.iter().map(|text| counts(text)).collect();
    for word in counts.iter().flat_map(BTreeMap::keys) {
        *spread.entry(word.clone()).or_insert(0.0) += 1.0;
    }
    let vector = |counts: &BTreeMap<String, f32>| {
        let mut vector = vec![0.0; BUCKETS];
        for (word, count) in counts {
            let rarity = (1.0 + texts.len() as f32 / spread.get(word).copied().unwrap_or(1.0)).ln();
            let hash = crc32fast::hash(word.as_bytes()) as usize;
            let sign = if hash & (1 << 30) == 0 { 1.0 } else { -1.0 };
            if let Some(cell) = vector.get_mut(hash % BUCKETS) {
                *cell += sign * (1.0 + count.ln()) * rarity;
            }
        }
        unit(vector)
    };
    counts.iter().map(vector).collect()
}

fn counts(text: &str) -> BTreeMap<String, f32> {
    let mut counts = BTreeMap::new();
    for_each_word(text, |word| {
        if !is_question_word(word) {
            *counts.entry(stemmed(word, Stemming::English)).or_insert(0.0) += 1.0;
        }
    });
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_one_subject_comes_together_and_fits() {
        let kinds = ["apple orchard harvest cider press", "valve pump boiler steam pressure gauge"];
        let texts: Vec<String> = (0..12).map(|n| format!("{} number {n}", kinds[n % 2])).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let vectors = word_vectors(&texts);
        let groups = subjects(&texts, &vectors, 24);
        assert!(groups.len() < texts.len());
        for group in &groups {
            assert!(group.iter().all(|n| n % 2 == group[0] % 2), "{groups:?}");
            let words: usize = group.iter().map(|n| word_count(texts[*n])).sum();
            assert!(words <= 24, "{groups:?}");
        }
        let mut all: Vec<usize> = groups.into_iter().flatten().collect();
        all.sort_unstable();
        assert_eq!(all, (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn there_are_always_fewer_groups_than_texts() {
        for count in 2..9 {
            let texts: Vec<String> =
                (0..count).map(|n| format!("word{n} ").repeat(10 + 5 * (n % 3))).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            for max_words in [1, 12, 30, 1000] {
                let groups = subjects(&texts, &word_vectors(&texts), max_words);
                assert!(groups.len() < count, "{count} texts, {max_words} words: {groups:?}");
                assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), count);
            }
        }
    }
}
