//! The best chunks of a segment for weighed terms, without scoring those that cannot be among them.

use super::ranking::{Ranked, best};
use super::segment::{Cursor, Segment};

/// Entries that are scored together: their scores stay in the nearest cache.
const WINDOW: u32 = 2048;
/// Bounds are sums in another order than scores are.
const SLACK: f64 = 1.0 + 1e-9;

/// A term of a query in a segment.
pub(super) struct Term<'a> {
    pub(super) cursor: Cursor<'a>,
    /// Its rarity, times how often it is asked for.
    pub(super) weight: f64,
    /// Its largest frequency.
    pub(super) most: u32,
}

/// Normalisation of a frequency by the length of an entry: `frequency / (frequency + fixed + slope · length)`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Norm {
    pub(super) fixed: f64,
    pub(super) slope: f64,
}

impl Norm {
    #[inline(always)]
    fn of(self, frequency: u32, length: u32) -> f64 {
        let frequency = f64::from(frequency);
        frequency / (frequency + self.fixed + self.slope * f64::from(length))
    }
}

/// The best `k` entries so far, of twice as many at most.
struct Top {
    k: usize,
    found: Vec<Ranked>,
    /// What a later entry must be above.
    floor: f64,
}

impl Top {
    fn push(&mut self, id: usize, score: f64) {
        if score <= self.floor {
            return;
        }
        self.found.push((id, score));
        if self.found.len() >= self.k.saturating_mul(2) {
            best(&mut self.found, self.k);
            self.floor = self.found.last().map_or(0.0, |(_, score)| *score);
        }
    }
}

/// What the terms from each on add to a score at most, and 0 behind the last.
fn bounds(terms: &[Term<'_>], norm: Norm, shortest: u32) -> Vec<f64> {
    let mut rest = 0.0;
    let mut bounds: Vec<f64> = terms
        .iter()
        .rev()
        .map(|term| {
            rest += term.weight * norm.of(term.most, shortest);
            rest
        })
        .collect();
    bounds.reverse();
    bounds.push(0.0);
    bounds
}

/// Scores of the entries from `start` on, one term after the other.
struct Window {
    start: u32,
    scores: Vec<f64>,
    /// Which have one, by bits.
    seen: Vec<u64>,
}

impl Window {
    fn new() -> Self {
        Self { start: 0, scores: vec![0.0; WINDOW as usize], seen: vec![0; WINDOW as usize / 64] }
    }

    fn add(&mut self, segment: &Segment, term: &mut Term<'_>, norm: Norm) -> Option<()> {
        let Term { cursor, weight, .. } = term;
        let end = self.start.saturating_add(WINDOW);
        while cursor.id < end {
            let slot = (cursor.id - self.start) as usize;
            *self.scores.get_mut(slot)? += *weight * norm.of(cursor.frequency, segment.length(cursor.id));
            *self.seen.get_mut(slot / 64)? |= 1 << (slot % 64);
            cursor.next()?;
        }
        Some(())
    }

    /// The next entry with a score, which is then gone.
    fn take(&mut self, from: &mut usize) -> Option<(u32, f64)> {
        loop {
            let bits = self.seen.get_mut(*from)?;
            if *bits == 0 {
                *from += 1;
                continue;
            }
            let slot = 64 * *from + bits.trailing_zeros() as usize;
            *bits &= *bits - 1;
            return Some((self.start + slot as u32, std::mem::take(self.scores.get_mut(slot)?)));
        }
    }
}

/// The best `k` of a segment: sums over the terms in their order, which is that of their weights, largest first.
///
/// MaxScore (Turtle & Flood 1995) by windows of entries: the last terms, which together cannot lift an entry above the best `k`
/// so far, are read only where the terms before them found something, and their lists left out in between. `may` says which
/// entries may be found. What is given has the scores that all terms together give. `None` where a list is none.
pub(super) fn top(
    segment: &Segment,
    terms: &mut [Term<'_>],
    norm: Norm,
    k: usize,
    may: &dyn Fn(u32) -> bool,
) -> Option<Vec<Ranked>> {
    let mut top = Top { k, found: Vec::new(), floor: 0.0 };
    let bounds = bounds(terms, norm, segment.shortest());
    let mut window = Window::new();
    if k == 0 {
        return Some(Vec::new());
    }
    loop {
        let needed = bounds.iter().position(|bound| bound * SLACK <= top.floor)?;
        let (needed, further) = terms.split_at_mut(needed);
        let first = needed.iter().map(|term| term.cursor.id).min().filter(|id| *id != u32::MAX);
        let Some(first) = first else { break };
        window.start = first;
        needed.iter_mut().try_for_each(|term| window.add(segment, term, norm))?;
        let bounds = bounds.get(needed.len()..)?;
        let mut from = 0;
        while let Some((id, mut score)) = window.take(&mut from) {
            if !may(id) {
                continue;
            }
            for (term, bound) in further.iter_mut().zip(bounds) {
                if (score + bound) * SLACK <= top.floor {
                    break;
                }
                term.cursor.seek(id)?;
                if term.cursor.id == id {
                    score += term.weight * norm.of(term.cursor.frequency, segment.length(id));
                }
            }
            top.push(id as usize, score);
        }
    }
    best(&mut top.found, k);
    Some(top.found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use slm_data::Document;

    use super::*;
    use crate::index::segment::for_each_posting;
    use crate::index::{Filter, Index, IndexConfig, Segment};
    use crate::{ChunkConfig, Result};

    /// Words of which the n-th is about as frequent as `1 / n`, in texts of 1 to 60.
    fn documents(count: usize, seed: u64) -> Vec<Document> {
        let mut state = seed;
        let mut chance = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1_u64 << 24) as f64
        };
        let mut text = || {
            let words = 1 + (60.0 * chance()) as usize;
            (0..words).map(|_| format!("w{} ", 3000_f64.powf(chance()) as u32)).collect()
        };
        (0..count).map(|n| Document { id: format!("{seed}/{n}"), text: text() }).collect()
    }

    /// All scores, added up one term after the other, and the best of them.
    fn exhaustive(index: &Index, query: &str, k: usize, filter: &Filter) -> Result<Vec<Ranked>> {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        index.terms(query).into_iter().for_each(|term| *counts.entry(term).or_insert(0) += 1);
        let mut terms: Vec<(f64, &String)> = Vec::new();
        for (term, count) in &counts {
            terms.push((index.idf(term)? * f64::from(*count), term));
        }
        terms.sort_by(|a, b| b.0.total_cmp(&a.0));
        let IndexConfig { k1, b, .. } = index.config;
        let norm = Norm { fixed: k1 * (1.0 - b), slope: k1 * b / index.mean_length() };
        let mut all = Vec::new();
        for part in &index.parts {
            let allowed = part.allowed(filter);
            let mut scores: BTreeMap<u32, f64> = BTreeMap::new();
            for (weight, term) in &terms {
                let Some((_, bytes)) = part.segment.postings(term)? else { continue };
                let add = |id, frequency| {
                    let score = weight * norm.of(frequency, part.segment.length(id));
                    *scores.entry(id).or_insert(0.0) += score;
                };
                assert_eq!(for_each_posting(&bytes, add), Some(()));
            }
            scores.retain(|id, _| allowed.as_ref().is_none_or(|allowed| allowed[*id as usize]));
            all.extend(scores.into_iter().map(|(id, score)| (part.first + id as usize, score)));
        }
        best(&mut all, k);
        Ok(all)
    }

    #[test]
    fn what_is_left_out_would_not_have_been_among_the_best() -> Result<()> {
        let config = IndexConfig {
            chunk: ChunkConfig { max_size: 30, overlap_sentences: 0, ..ChunkConfig::default() },
            ..IndexConfig::default()
        };
        let segment = |count, seed| -> Result<Arc<Segment>> {
            let index = Index::build(&documents(count, seed), &config)?;
            Ok(Arc::clone(&index.parts[0].segment))
        };
        let dead: Vec<u32> = (0..700).filter(|n| n % 3 == 0).collect();
        let parts = vec![
            (segment(9000, 1)?, Arc::default()),
            (segment(700, 2)?, Arc::new(dead)),
            (segment(40, 3)?, Arc::default()),
        ];
        let index = Index::of(config.clone(), parts);
        let few = Filter::one_of([Filter::under("1/77"), Filter::under("2/5")]);
        let mut queries: Vec<String> = documents(60, 4).into_iter().map(|document| document.text).collect();
        queries.extend(["w1", "w1 w1 w2", "w2999 w1", "w1 w2 w3 w4 w5", "unknown", ""].map(String::from));
        let mut found = 0;
        for query in &queries {
            for (k, filter) in
                [(0, &Filter::Any), (1, &Filter::Any), (10, &Filter::Any), (300, &few), (3, &few)]
            {
                let got = index.ranked(index.terms(query), k, filter)?;
                assert_eq!(got, exhaustive(&index, query, k, filter)?, "{query} {k}");
                found += got.len();
            }
        }
        assert!(found > 2000, "{found}");
        Ok(())
    }
}
