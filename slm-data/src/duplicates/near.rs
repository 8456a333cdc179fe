//! Near duplicates: sketches find candidates, the exact similarity decides.
//!
//! Texts are compared by the Jaccard similarity of their sets of short sequences (Broder 1997), found by
//! locality-sensitive hashing (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3). One
//! pass over the texts makes the keys of each, in parallel; texts that share a key, directly or through
//! others, are then settled together. Which threads did it makes no difference.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::OnceLock;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::banding::Banding;
use super::shingles::{AsIs, HashesSet, Shingle, jaccard};
use crate::sets::DisjointSets;
use crate::text::{self, real};
use crate::{Error, Result};

/// Texts that a sequence must be in, at the least, to be part of a template.
const MIN_TEMPLATE: usize = 50;
/// Texts that the template is looked for in, at most.
const TEMPLATE_SAMPLE: usize = 10_000;
/// Earlier texts that one is compared with, at most. Only where thousands are similar and none is a duplicate
/// can this let one through; it bounds the time then.
const MAX_CANDIDATES: usize = 1000;

/// When two texts are near duplicates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Similarity {
    /// Smallest Jaccard similarity, above 0 and at most 1. Bands and rows of the sketches follow from it:
    /// 99 % of the pairs at the threshold are found, more above it, and no pair below it is taken.
    pub threshold: f64,
    /// What is compared.
    pub shingle: Shingle,
    /// Sequences in a larger share of the texts than this are those of a template and do not count (with 50
    /// texts or more; judged on 10,000 of them at the most).
    pub template_share: f64,
}

impl Default for Similarity {
    fn default() -> Self {
        Self { threshold: 0.85, shingle: Shingle::default(), template_share: 0.5 }
    }
}

impl Similarity {
    pub(crate) fn check(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.template_share) {
            let reason = format!("expected 0 to 1, got {}", self.template_share);
            return Err(Error::config("similarity.template_share", reason));
        }
        if self.shingle.length() == 0 {
            return Err(Error::config("similarity.shingle", "expected at least 1, got 0"));
        }
        if self.threshold > 0.0 && self.threshold <= 1.0 {
            return Ok(());
        }
        let reason = format!("expected above 0 and at most 1, got {}", self.threshold);
        Err(Error::config("similarity.threshold", reason))
    }
}

/// An earlier text that a text almost equals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct NearDuplicate {
    /// Index of the earlier text, which is no duplicate itself.
    pub of: usize,
    /// Jaccard similarity of the sets, without the sequences of the template.
    pub similarity: f64,
}

/// For each text the earlier one that it almost equals, if any.
///
/// A text is a duplicate only of one that stays, never of one that was dropped itself: chains of small
/// differences do not swallow a family of templates. Case, white space and Unicode form do not matter.
///
/// # Errors
/// When a setting is out of range.
pub fn near_duplicate_texts<T: AsRef<str> + Sync>(
    texts: &[T],
    similarity: &Similarity,
) -> Result<Vec<Option<NearDuplicate>>> {
    similarity.check()?;
    Ok(search(texts.len(), &|at| text::normalize(texts[at].as_ref()), similarity, &Rules::default()))
}

/// [`near_duplicate_texts`] for texts that need not lie in memory: `text` gives each when it is asked for, once, and
/// again where it shares a key with another. What is held is the keys, some tens of eight bytes for each text, and the
/// sequences of the texts that share keys.
///
/// # Errors
/// When a setting is out of range, or the first error of `text`.
pub fn near_duplicates_by(
    count: usize,
    text: impl Fn(usize) -> Result<String> + Sync,
    similarity: &Similarity,
) -> Result<Vec<Option<NearDuplicate>>> {
    similarity.check()?;
    let failed = OnceLock::new();
    let normal = |at: usize| match text(at) {
        Ok(text) => text::normalize(&text),
        Err(error) => {
            let _ = failed.set(error);
            String::new()
        }
    };
    let found = search(count, &normal, similarity, &Rules::default());
    failed.into_inner().map_or(Ok(found), Err)
}

/// What else decides, besides the similarity.
pub(crate) struct Rules<'a> {
    /// Whether a row may be a duplicate of an earlier one (`at`, `earlier`).
    pub(crate) may_equal: &'a (dyn Fn(usize, usize) -> bool + Sync),
    /// Whether rows that are duplicates are compared with later ones, too.
    pub(crate) duplicates_count: bool,
}

impl Default for Rules<'_> {
    fn default() -> Self {
        Self { may_equal: &|_, _| true, duplicates_count: false }
    }
}

/// Searches `count` texts, which `normal` gives in normal form. It is asked once for each, and again for
/// those that share a key with another, so that sets need not be kept.
pub(crate) fn search(
    count: usize,
    normal: &(dyn Fn(usize) -> String + Sync),
    similarity: &Similarity,
    rules: &Rules<'_>,
) -> Vec<Option<NearDuplicate>> {
    let sample = sample(count, similarity);
    let sets = sample.par_iter().map(|&at| similarity.shingle.set(&normal(at))).collect();
    let sketcher = Sketcher::new(similarity, sets);
    let bands = sketcher.bands();
    let mut keys = vec![0; count * bands];
    keys.par_chunks_mut(bands).enumerate().for_each_init(Buffers::default, |buffers, (at, out)| {
        sketcher.keys(at, &normal(at), buffers, out);
    });
    let mut found = vec![None; count];
    let settled: Vec<(usize, NearDuplicate)> = components(count, &keys, bands)
        .into_par_iter()
        .flat_map_iter(|members| sketcher.settle(&members, &keys, rules, |at| sketcher.set(&normal(at))))
        .collect();
    for (at, duplicate) in settled {
        found[at] = Some(duplicate);
    }
    found
}

/// The texts, evenly spread, by which [`Sketcher::new`] judges what belongs to a template.
pub(crate) fn sample(count: usize, similarity: &Similarity) -> Vec<usize> {
    if count <= MIN_TEMPLATE || similarity.template_share >= 1.0 {
        return Vec::new();
    }
    let sample = count.min(TEMPLATE_SAMPLE);
    (0..sample).map(|i| i * count / sample).collect()
}

/// Makes the keys of texts, and decides on those that share some.
pub(crate) struct Sketcher<'a> {
    similarity: &'a Similarity,
    banding: Banding,
    /// Sequences that more than the given share of the texts have.
    template: HashesSet,
}

/// Memory that is used again from text to text.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    hashes: Vec<u32>,
    sketch: Vec<u64>,
    keys: Vec<u64>,
}

impl<'a> Sketcher<'a> {
    /// `sets` are those of the [`sample`].
    pub(crate) fn new(similarity: &'a Similarity, sets: Vec<Vec<u32>>) -> Self {
        Self::without(similarity, template(similarity, sets))
    }

    /// Leaves out the sequences of a template that is known.
    pub(crate) fn without(similarity: &'a Similarity, template: HashesSet) -> Self {
        Self { similarity, banding: Banding::for_threshold(similarity.threshold), template }
    }

    /// Keys of a text.
    pub(crate) fn bands(&self) -> usize {
        self.banding.bands
    }

    /// The keys of a text in normal form into `out`; those of a text without sequences are its own.
    pub(crate) fn keys(&self, at: usize, normal: &str, buffers: &mut Buffers, out: &mut [u64]) {
        let keys = self.known_keys(normal, buffers);
        // A text without sequences equals none: each gets keys that no other has.
        let none = |band: usize| text::mix((at as u64) << 8 | band as u64);
        let own = |band: usize| keys.get(band).copied().unwrap_or(none(band));
        out.iter_mut().enumerate().for_each(|(band, key)| *key = own(band));
    }

    /// The keys of a text in normal form; a text without sequences has none.
    pub(crate) fn known_keys<'b>(&self, normal: &str, buffers: &'b mut Buffers) -> &'b [u64] {
        let Buffers { hashes, sketch, keys } = buffers;
        self.similarity.shingle.hashes(normal, hashes);
        if !self.template.is_empty() {
            hashes.retain(|hash| !self.template.contains(hash));
        }
        keys.clear();
        self.banding.keys(hashes, sketch, keys);
        keys
    }

    /// The sorted set of a text in normal form, without the template.
    pub(crate) fn set(&self, normal: &str) -> Vec<u32> {
        let mut set = self.similarity.shingle.set(normal);
        set.retain(|hash| !self.template.contains(hash));
        set
    }

    /// Which of the texts that share keys, directly or through others, almost equal an earlier one. `keys` are those of
    /// all texts.
    pub(crate) fn settle(
        &self,
        members: &[usize],
        keys: &[u64],
        rules: &Rules<'_>,
        set: impl Fn(usize) -> Vec<u32>,
    ) -> Vec<(usize, NearDuplicate)> {
        let sets: Vec<Vec<u32>> = members.iter().map(|&at| set(at)).collect();
        let mut table: HashMap<u64, Vec<usize>, BuildHasherDefault<AsIs>> = HashMap::default();
        let mut last_seen = vec![usize::MAX; members.len()];
        let mut found = Vec::new();
        let mut candidates = Vec::new();
        for (own, &at) in members.iter().enumerate() {
            candidates.clear();
            let keys = banded(&keys[at * self.bands()..(at + 1) * self.bands()]);
            for key in keys.clone() {
                for &other in table.get(&key).into_iter().flatten() {
                    if candidates.len() < MAX_CANDIDATES && last_seen[other] != own {
                        last_seen[other] = own;
                        candidates.push(other);
                    }
                }
            }
            candidates.sort_unstable();
            let duplicate = candidates.iter().find_map(|&other| {
                let similarity = jaccard(&sets[own], &sets[other], self.similarity.threshold)?;
                let of = members[other];
                (rules.may_equal)(at, of).then_some(NearDuplicate { of, similarity })
            });
            if duplicate.is_none() || rules.duplicates_count {
                keys.for_each(|key| table.entry(key).or_default().push(own));
            }
            found.extend(duplicate.map(|duplicate| (at, duplicate)));
        }
        found
    }
}

/// The sequences of the template, by the sets of the [`sample`].
pub(crate) fn template(similarity: &Similarity, sets: Vec<Vec<u32>>) -> HashesSet {
    let limit = (similarity.template_share * real(sets.len())).max(real(MIN_TEMPLATE));
    let mut counts: HashMap<u32, usize, BuildHasherDefault<AsIs>> = HashMap::default();
    for hash in sets.into_iter().flatten() {
        *counts.entry(hash).or_default() += 1;
    }
    counts.into_iter().filter(|(_, count)| real(*count) > limit).map(|(hash, _)| hash).collect()
}

/// Keys with their band in them: equal keys of different bands say nothing.
pub(crate) fn banded(keys: &[u64]) -> impl Iterator<Item = u64> + Clone {
    keys.iter().enumerate().map(|(band, key)| text::mix(key ^ band as u64))
}

/// Texts that share keys, directly or through others; each list in order, the lists by their first text.
fn components(count: usize, keys: &[u64], bands: usize) -> Vec<Vec<usize>> {
    let mut sets = DisjointSets::new(count);
    for band in 0..bands {
        let mut order: Vec<(u64, usize)> = (0..count).map(|at| (keys[at * bands + band], at)).collect();
        order.par_sort_unstable();
        for pair in order.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            sets.join(pair[0].1, pair[1].1);
        }
    }
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in 0..count {
        let root = sets.root(at);
        if root != at {
            members.entry(root).or_insert_with(|| vec![root]).push(at);
        }
    }
    members.into_values().collect()
}
