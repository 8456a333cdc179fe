//! Several rankings to one, and a ranking to one without repetitions.

use std::collections::{BTreeMap, BTreeSet};

use crate::index::{Hit, Index, Ranked};

/// Reciprocal rank fusion (Cormack, Clarke & Büttcher 2009): the sum of `1 / (constant + place)` over the lists, with
/// places from 1. Equal ones in order of their number.
pub(crate) fn by_places(lists: &[Vec<Ranked>], constant: f64) -> Vec<Ranked> {
    let mut sums: BTreeMap<usize, f64> = BTreeMap::new();
    for list in lists {
        for (place, (id, _)) in (1_u32..).zip(list) {
            *sums.entry(*id).or_insert(0.0) += 1.0 / (constant + f64::from(place));
        }
    }
    let mut fused: Vec<Ranked> = sums.into_iter().collect();
    fused.sort_by(|a, b| b.1.total_cmp(&a.1));
    fused
}

/// `weight · similarity + (1 - weight) · score / best score` of the first `candidates` of both lists.
pub(crate) fn by_scores(
    worded: &[Ranked],
    near: &[Ranked],
    candidates: usize,
    (weight, similarity): (f64, &dyn Fn(usize) -> f64),
) -> Vec<Ranked> {
    let best = worded.first().map_or(1.0, |(_, score)| score.max(f64::MIN_POSITIVE));
    let scores: BTreeMap<usize, f64> = worded.iter().copied().collect();
    let mut fused: BTreeMap<usize, f64> = BTreeMap::new();
    for (id, similarity) in near.iter().take(candidates) {
        let own = scores.get(id).copied().unwrap_or(0.0) / best;
        fused.insert(*id, weight * similarity + (1.0 - weight) * own);
    }
    for (id, score) in worded.iter().take(candidates) {
        fused.entry(*id).or_insert_with(|| weight * similarity(*id) + (1.0 - weight) * score / best);
    }
    let mut fused: Vec<Ranked> = fused.into_iter().collect();
    fused.sort_by(|a, b| b.1.total_cmp(&a.1));
    fused
}

/// Maximal marginal relevance (Carbonell & Goldstein 1998): takes, one by one, the hit whose relevance, less its
/// likeness to what was taken, is largest. Likeness is the cosine of vectors, or of words where there are none.
pub(super) fn spread(index: &Index, hits: Vec<Hit>, k: usize, diversity: f64) -> Vec<Hit> {
    let top = hits.iter().map(|hit| hit.score).fold(f64::MIN_POSITIVE, f64::max);
    let profiles: Vec<Profile> = hits.iter().map(|hit| Profile::of(index, hit)).collect();
    let mut rest: Vec<(Hit, Profile, f64)> =
        hits.into_iter().zip(profiles).map(|(h, p)| (h, p, 0.0)).collect();
    let mut chosen = Vec::with_capacity(k);
    while chosen.len() < k && !rest.is_empty() {
        let value = |(hit, _, likeness): &(Hit, Profile, f64)| {
            (1.0 - diversity) * hit.score / top - diversity * likeness
        };
        let mut best = 0;
        for (n, candidate) in rest.iter().enumerate() {
            if rest.get(best).is_none_or(|leader| value(candidate) > value(leader)) {
                best = n;
            }
        }
        let (hit, profile, _) = rest.remove(best);
        for (_, other, likeness) in &mut rest {
            *likeness = likeness.max(profile.likeness(other));
        }
        chosen.push(hit);
    }
    chosen
}

/// What a hit is compared by.
enum Profile {
    Vector(Vec<f32>),
    Words(BTreeSet<String>),
}

impl Profile {
    fn of(index: &Index, hit: &Hit) -> Self {
        match index.vector(hit.id) {
            Some(vector) => Self::Vector(vector),
            None => Self::Words(index.content(&hit.text).into_iter().collect()),
        }
    }

    /// From 0 to 1.
    fn likeness(&self, other: &Self) -> f64 {
        match (self, other) {
            (Self::Vector(a), Self::Vector(b)) => {
                let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                f64::from(dot).clamp(0.0, 1.0)
            }
            (Self::Words(a), Self::Words(b)) => {
                let shared = a.intersection(b).count() as f64;
                shared / ((a.len() * b.len()) as f64).sqrt().max(1.0)
            }
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use slm_data::Document;

    use super::*;
    use crate::{IndexConfig, Result};

    #[test]
    fn what_two_lists_agree_on_comes_first() {
        let fused = by_places(&[vec![(7, 9.0), (3, 5.0), (1, 1.0)], vec![(3, 0.9), (8, 0.8)]], 60.0);
        let ids: Vec<usize> = fused.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [3, 7, 8, 1]);
        assert!((fused[0].1 - (1.0 / 62.0 + 1.0 / 61.0)).abs() < 1e-12);
        assert!(by_places(&[], 60.0).is_empty());
    }

    #[test]
    fn scores_are_added_where_a_list_lacks_them() {
        let (worded, near) = ([(7, 8.0), (3, 4.0)], [(9, 0.9), (3, 0.5)]);
        let fused = by_scores(&worded, &near, 10, (0.6, &|id| if id == 7 { 0.1 } else { 0.0 }));
        let expected = [(9, 0.54), (3, 0.5), (7, 0.46)];
        for ((id, score), (wanted, value)) in fused.iter().zip(expected) {
            assert!(*id == wanted && (score - value).abs() < 1e-12, "{fused:?}");
        }
        assert_eq!(by_scores(&worded, &[], 1, (0.6, &|_| 0.0)).len(), 1);
    }

    #[test]
    fn repetitions_go_to_the_back() -> Result<()> {
        let page = |id: &str, text: &str| Document { id: id.into(), text: text.into() };
        let pages = [
            page("a", "The pump stops when the filter is full."),
            page("b", "The pump stops when the filter is full!"),
            page("c", "A pump needs oil every year, so order some in spring."),
        ];
        let index = Index::build(&pages, &IndexConfig::default())?;
        let ids = |hits: &[Hit]| hits.iter().map(|hit| hit.chunk.source.clone()).collect::<Vec<_>>();
        let hits = index.search("pump filter", 9)?;
        assert_eq!(ids(&hits), ["a", "b", "c"]);
        assert_eq!(ids(&spread(&index, hits.clone(), 3, 0.6)), ["a", "c", "b"]);
        assert_eq!(ids(&spread(&index, hits, 2, 0.0)), ["a", "b"]);
        Ok(())
    }
}
