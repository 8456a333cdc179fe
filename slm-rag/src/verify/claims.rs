//! An answer as claims: the smallest stretches that say something on their own.

use std::ops::Range;

use crate::text::{sentences, word_count};

/// The claims of a text, as byte ranges in order: its sentences, cut further where two clauses stand side by side
/// (at a semicolon, or at a comma before `and`, `but` or `while`), as long as both have at least four words.
///
/// ```
/// use slm_rag::verify::claims;
///
/// let text = "The pump has two valves; the left one is blue. It runs at night, but nobody hears it then.";
/// let got: Vec<&str> = claims(text).into_iter().map(|range| &text[range]).collect();
/// assert_eq!(got[..2], ["The pump has two valves;", "the left one is blue."]);
/// assert_eq!(got[2..], ["It runs at night,", "but nobody hears it then."]);
/// ```
pub fn claims(text: &str) -> Vec<Range<usize>> {
    sentences(text, 0..text.len()).into_iter().flat_map(|range| clauses(text, range)).collect()
}

/// Fewest words of a claim.
const SHORTEST: usize = 4;

/// The clauses of one sentence that can stand on their own.
pub(crate) fn clauses(text: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let sentence = text.get(range.clone()).unwrap_or("");
    let mut cuts: Vec<usize> = Vec::new();
    for (at, _) in sentence.match_indices("; ") {
        cuts.push(at + 2);
    }
    for joint in [", and ", ", but ", ", while "] {
        cuts.extend(sentence.match_indices(joint).map(|(at, _)| at + 2));
    }
    cuts.sort_unstable();
    let mut out = Vec::new();
    let mut start = 0;
    for cut in cuts {
        let long = |from: usize, to: usize| sentence.get(from..to).map_or(0, word_count) >= SHORTEST;
        if long(start, cut) && long(cut, sentence.len()) {
            out.push(range.start + start..range.start + cut - 1);
            start = cut;
        }
    }
    out.push(range.start + start..range.end);
    out
}
