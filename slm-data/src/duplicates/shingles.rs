//! What texts are compared by: sets of short sequences.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use serde::{Deserialize, Serialize};

use crate::text::{self, mix, real};

/// The sequences that make a text's set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shingle {
    /// So many characters in a row: sees small edits, and needs no words.
    Characters(usize),
    /// So many words in a row, without the punctuation at their ends: for pages of text.
    Words(usize),
}

impl Default for Shingle {
    fn default() -> Self {
        Self::Characters(5)
    }
}

/// Any odd number with well-mixed bits serves as base of the polynomial.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

impl Shingle {
    /// Length of a sequence.
    pub(crate) fn length(self) -> usize {
        match self {
            Self::Characters(n) | Self::Words(n) => n,
        }
    }

    /// Hashes of the sequences of a normalised text, in order and as often as they occur, into `out`. A text
    /// that is shorter than one sequence is one itself.
    pub(crate) fn hashes(self, normal: &str, out: &mut Vec<u32>) {
        out.clear();
        match self {
            Self::Characters(n) if normal.is_ascii() => {
                windows(normal.bytes().map(u64::from), normal.bytes().map(u64::from), n, out);
            }
            Self::Characters(n) => {
                windows(normal.chars().map(u64::from), normal.chars().map(u64::from), n, out);
            }
            Self::Words(n) => {
                let words: Vec<u64> =
                    text::words(normal).map(|word| text::hash(word.as_bytes(), 2)).collect();
                windows(words.iter().copied(), words.iter().copied(), n, out);
            }
        }
    }

    /// The sorted set of hashes.
    pub(crate) fn set(self, normal: &str) -> Vec<u32> {
        let mut set = Vec::new();
        self.hashes(normal, &mut set);
        set.sort_unstable();
        set.dedup();
        set
    }
}

/// Rolling polynomial hashes (Karp and Rabin 1987) of all windows of `n`; `behind` is the same sequence again.
fn windows(
    items: impl Iterator<Item = u64>,
    mut behind: impl Iterator<Item = u64>,
    n: usize,
    out: &mut Vec<u32>,
) {
    let leaving = (0..n).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    let mut hash = 0_u64;
    let mut seen = 0;
    for item in items {
        hash = hash.wrapping_mul(BASE).wrapping_add(item + 1);
        seen += 1;
        if seen > n {
            let gone = behind.next().unwrap_or_default() + 1;
            hash = hash.wrapping_sub(gone.wrapping_mul(leaving));
        }
        if seen >= n {
            out.push(half(hash));
        }
    }
    if seen > 0 && seen < n {
        out.push(half(hash));
    }
}

fn half(hash: u64) -> u32 {
    (mix(hash) >> 32) as u32
}

/// The Jaccard similarity of two sorted sets, if it is at least `threshold`. Two empty sets have none.
pub(crate) fn jaccard(a: &[u32], b: &[u32], threshold: f64) -> Option<f64> {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if short.is_empty() || real(short.len()) < threshold * real(long.len()) {
        return None;
    }
    let (mut i, mut j, mut common) = (0, 0, 0);
    while i < short.len() && j < long.len() {
        common += usize::from(short[i] == long[j]);
        let (left, right) = (short[i], long[j]);
        i += usize::from(left <= right);
        j += usize::from(right <= left);
    }
    let similarity = real(common) / real(a.len() + b.len() - common);
    (similarity >= threshold).then_some(similarity)
}

/// Hashes as their own hashes.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = text::hash(bytes, self.0);
    }

    fn write_u32(&mut self, hash: u32) {
        self.0 = u64::from(hash).wrapping_mul(BASE);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// A set of hashes.
pub(crate) type HashesSet = HashSet<u32, BuildHasherDefault<AsIs>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Vec<u32> {
        Shingle::default().set(text)
    }

    #[test]
    fn similarity_is_that_of_the_sets() {
        assert_eq!(jaccard(&set("abcdefghij"), &set("abcdefghij"), 0.5), Some(1.0));
        // Five 5-grams each, four of them common.
        assert_eq!(jaccard(&set("abcdefghi"), &set("bcdefghij"), 0.5), Some(4.0 / 6.0));
        assert_eq!(jaccard(&set("abcdefghi"), &set("bcdefghij"), 0.7), None);
        assert_eq!(jaccard(&[], &[], 0.5), None);
        assert_eq!(set("äöüß").len(), 1);
        assert_eq!(set("äöüßéàè").len(), 3);
        assert!(set("").is_empty());
    }

    #[test]
    fn sequences_are_the_same_wherever_they_stand() {
        let (plain, other) = (set("abcde"), set("äabcdeé and more"));
        assert!(other.contains(&plain[0]));
        let words = |text: &str| Shingle::Words(2).set(text);
        assert_eq!(words("the big, old cat").len(), 3);
        assert!(
            words("a big old dog").iter().filter(|hash| words("the big, old cat").contains(hash)).count()
                == 1
        );
        assert_eq!(words("one").len(), 1);
    }
}
