//! Which chunks fit a query: by its words (BM25), by its vector.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::bm25::{Norm, Term, top};
use super::metadata::Filter;
use super::segment::{Cursor, TermRow, for_each_posting};
use super::{Hit, Index, IndexConfig, Part};
use crate::text::{content_terms, for_each_word, term_of};
use crate::vectors::Neighbour;
use crate::{Error, Result};

/// A chunk and its score, best first.
pub(crate) type Ranked = (usize, f64);

/// The postings of one term in one segment.
struct List<'a> {
    part: usize,
    bytes: Cow<'a, [u8]>,
    /// The largest frequency.
    most: u32,
}

impl Index {
    /// The best `k` chunks for the words of a query; fewer where fewer have one of them. Equal scores are in the
    /// order of the documents.
    ///
    /// The score is Lucene's BM25: the sum over the query's terms of `idf · tf / (tf + k1 · (1 - b + b · length / mean
    /// length))` with `idf = ln(1 + (N - n + 0.5) / (n + 0.5))`, where `n` of `N` chunks have the term (Robertson &
    /// Zaragoza 2009; Kamphuis et al. 2020 compare the variants). A chunk is read together with the headings above it.
    ///
    /// # Errors
    /// When the index cannot be read or is damaged.
    pub fn search(&self, query: &str, k: usize) -> Result<Vec<Hit>> {
        self.hits(self.ranked(self.terms(query), k, &Filter::Any)?)
    }

    /// As [`search`](Self::search), but without the words of asking (`what`, `how`, `should I`), which say
    /// nothing about the subject and are rare in documents. English only.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub fn search_question(&self, question: &str, k: usize) -> Result<Vec<Hit>> {
        self.hits(self.ranked(self.content(question), k, &Filter::Any)?)
    }

    /// The `k` chunks whose vectors are nearest to `vector`, by their dot product.
    ///
    /// # Errors
    /// When the index has no vectors or others, cannot be read, or is damaged.
    pub fn nearest(&self, vector: &[f32], k: usize) -> Result<Vec<Hit>> {
        self.hits(self.ranked_by_vector(vector, k, &Filter::Any)?)
    }

    pub(crate) fn hits(&self, ranked: Vec<Ranked>) -> Result<Vec<Hit>> {
        ranked.into_iter().map(|(id, score)| self.hit(id, score)).collect()
    }

    pub(crate) fn ranked(&self, terms: Vec<String>, k: usize, filter: &Filter) -> Result<Vec<Ranked>> {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for term in terms {
            *counts.entry(term).or_insert(0) += 1;
        }
        let mut weighed = Vec::with_capacity(counts.len());
        for (term, count) in &counts {
            let (n, lists) = self.lists(term)?;
            weighed.push((self.idf_of(n) * f64::from(*count), lists));
        }
        // One order for all segments; a term that weighs much is looked at first. Equal ones stay in their order.
        weighed.sort_by(|a, b| b.0.total_cmp(&a.0));
        let IndexConfig { k1, b, .. } = self.config;
        let norm = Norm { fixed: k1 * (1.0 - b), slope: k1 * b / self.mean_length() };
        let mut found: Vec<Ranked> = Vec::new();
        for (number, part) in self.parts.iter().enumerate() {
            let allowed = part.allowed(filter);
            let may =
                |id: u32| allowed.as_ref().is_none_or(|allowed| allowed.get(id as usize) == Some(&true));
            let broken = || part.segment.damaged("a list of postings is cut off");
            let mut terms = Vec::with_capacity(weighed.len());
            for (weight, lists) in &weighed {
                for List { bytes, most, .. } in lists.iter().filter(|list| list.part == number) {
                    let cursor = Cursor::new(bytes).ok_or_else(broken)?;
                    terms.push(Term { cursor, weight: *weight, most: *most });
                }
            }
            let best_here = top(&part.segment, &mut terms, norm, k, &may).ok_or_else(broken)?;
            found.extend(best_here.into_iter().map(|(id, score)| (part.first + id, score)));
            best(&mut found, k);
        }
        Ok(found)
    }

    /// In how many chunks a term is, and its postings.
    fn lists(&self, term: &str) -> Result<(usize, Vec<List<'_>>)> {
        let (mut n, mut lists) = (0, Vec::new());
        for (number, part) in self.parts.iter().enumerate() {
            let Some((TermRow { count, most, .. }, bytes)) = part.segment.postings(term)? else { continue };
            match &part.alive {
                None => n += count as usize,
                // Deleted chunks are still in the list, and must not make the term look common.
                Some(alive) => {
                    let counted = for_each_posting(&bytes, |id, _| {
                        n += usize::from(alive.get(id as usize) == Some(&true));
                    });
                    counted.ok_or_else(|| part.segment.damaged("a list of postings is cut off"))?;
                }
            }
            lists.push(List { part: number, bytes, most });
        }
        Ok((n, lists))
    }

    /// Rarity of a term; a term that no chunk has is the rarest.
    pub(crate) fn idf(&self, term: &str) -> Result<f64> {
        Ok(self.idf_of(self.lists(term)?.0))
    }

    fn idf_of(&self, n: usize) -> f64 {
        (1.0 + (self.chunks as f64 - n as f64 + 0.5) / (n as f64 + 0.5)).ln()
    }

    pub(crate) fn ranked_by_vector(&self, vector: &[f32], k: usize, filter: &Filter) -> Result<Vec<Ranked>> {
        let mut found = Vec::new();
        for part in &self.parts {
            let Some(vectors) = &part.segment.vectors else {
                return Err(Error::NoVectors);
            };
            let allowed = part.allowed(filter);
            let width = self.config.vectors.search_width;
            for Neighbour { id, similarity } in vectors.search_among(vector, k, width, allowed.as_deref())? {
                found.push((part.first + id as usize, f64::from(similarity)));
            }
            best(&mut found, k);
        }
        Ok(found)
    }

    /// The vector of a chunk, where it has one.
    pub(crate) fn vector(&self, id: usize) -> Option<Vec<f32>> {
        let part = self.parts.get(self.parts.partition_point(|part| part.first <= id).checked_sub(1)?)?;
        part.segment.vectors.as_ref()?.get((id - part.first) as u32)
    }

    /// Dot product with the vector of a chunk; 0 where it has none.
    pub(crate) fn similarity(&self, vector: &[f32], id: usize) -> f64 {
        let own = self.vector(id).unwrap_or_default();
        own.iter().zip(vector).map(|(a, b)| f64::from(a * b)).sum()
    }

    /// The terms of a text, in the form of the index.
    pub(crate) fn terms(&self, text: &str) -> Vec<String> {
        let IndexConfig { stemming, stop_words, .. } = self.config;
        let mut terms = Vec::new();
        for_each_word(text, |word| terms.extend(term_of(word, stemming, stop_words)));
        terms
    }

    /// The terms of a text that say what it is about.
    pub(crate) fn content(&self, text: &str) -> Vec<String> {
        content_terms(text, self.config.stemming)
    }
}

impl Part {
    /// Which chunks may be found, where not all may.
    pub(super) fn allowed(&self, filter: &Filter) -> Option<Cow<'_, [bool]>> {
        if *filter == Filter::Any {
            return self.alive.as_deref().map(Cow::Borrowed);
        }
        let mut allowed = self.alive.clone().unwrap_or_else(|| vec![true; self.segment.len()]);
        for row in &self.segment.documents {
            if !filter.accepts(&row.id, &row.metadata) {
                let entries = row.first_entry as usize..(row.first_entry + row.entries) as usize;
                allowed.get_mut(entries).into_iter().flatten().for_each(|allowed| *allowed = false);
            }
        }
        Some(Cow::Owned(allowed))
    }
}

/// Keeps the best `k`, best first; of equal ones those that come first.
pub(crate) fn best(ranked: &mut Vec<Ranked>, k: usize) {
    let order = |a: &Ranked, b: &Ranked| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if k > 0 && ranked.len() > k {
        ranked.select_nth_unstable_by(k - 1, order);
    }
    ranked.truncate(k);
    ranked.sort_unstable_by(order);
}

#[cfg(test)]
mod tests {
    use slm_data::Document;

    use super::*;

    #[test]
    fn scores_are_those_of_the_formula() -> Result<()> {
        let texts = ["disk full disk", "network slow", "disk"];
        let documents: Vec<Document> =
            (0..).zip(texts).map(|(n, text)| Document { id: format!("{n}"), text: text.into() }).collect();
        let index = Index::build(&documents, &IndexConfig::default())?;
        let idf = (1.0_f64 + (3.0 - 2.0 + 0.5) / 2.5).ln();
        let expected = |tf: f64, length: f64| idf * tf / (tf + 1.2 * (0.25 + 0.75 * length / 2.0));
        let hits = index.search("disks", 9)?;
        let got: Vec<(usize, f64)> = hits.iter().map(|hit| (hit.id, hit.score)).collect();
        let wanted = [(2, expected(1.0, 1.0)), (0, expected(2.0, 3.0))];
        for ((id, score), (wanted_id, wanted_score)) in got.iter().zip(wanted) {
            assert_eq!(*id, wanted_id);
            assert!((score - wanted_score).abs() < 1e-12, "{score} {wanted_score}");
        }
        assert_eq!(got.len(), 2);
        let twice: Vec<f64> = index.search("disk disk", 9)?.iter().map(|hit| hit.score).collect();
        assert!((twice[0] - 2.0 * got[0].1).abs() < 1e-12, "a repeated term counts twice");
        Ok(())
    }
}
