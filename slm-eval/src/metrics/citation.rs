//! Citations against the spans that hold the evidence.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use slm_core::Citation;

use super::rouge::Overlap;

/// How well citations point at the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CitationScore {
    /// By spans: the share of the citations that touch evidence, and of the spans of evidence that are touched.
    pub spans: Overlap,
    /// By bytes: the share of the cited bytes that are evidence, and of the evidence that is cited. A byte cited
    /// twice counts once.
    pub bytes: Overlap,
}

/// Compares what was cited with the evidence, by document and byte range; the cited text is not looked at.
///
/// No citation where none is due is right (1 throughout); none where one is due, or one where none is due, is
/// wrong (0 throughout).
pub fn citation_score(cited: &[Citation], evidence: &[Citation]) -> CitationScore {
    if cited.is_empty() && evidence.is_empty() {
        let right = Overlap { precision: 1.0, recall: 1.0, f1: 1.0 };
        return CitationScore { spans: right, bytes: right };
    }
    let (c, e) = (united(cited), united(evidence));
    let touching = |spans: &[Citation], others: &[Citation]| {
        let touches =
            |a: &Citation| others.iter().any(|b| a.source == b.source && a.start < b.end && b.start < a.end);
        spans.iter().filter(|span| touches(span)).count() as f64 / spans.len().max(1) as f64
    };
    let common = c.iter().map(|(source, ranges)| common(ranges, e.get(source).map_or(&[][..], |r| r))).sum();
    CitationScore {
        spans: harmonic(touching(cited, evidence), touching(evidence, cited)),
        bytes: Overlap::of(common, length(&c), length(&e)),
    }
}

fn harmonic(precision: f64, recall: f64) -> Overlap {
    let sum = precision + recall;
    Overlap { precision, recall, f1: if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 } }
}

/// The ranges of each document, in order and without overlap.
fn united(spans: &[Citation]) -> BTreeMap<&str, Vec<Range<usize>>> {
    let mut sources: BTreeMap<&str, Vec<Range<usize>>> = BTreeMap::new();
    let mut sorted: Vec<&Citation> = spans.iter().filter(|s| s.start < s.end).collect();
    sorted.sort_by_key(|s| s.start);
    for span in sorted {
        let ranges = sources.entry(&span.source).or_default();
        match ranges.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => ranges.push(span.start..span.end),
        }
    }
    sources
}

fn length(sources: &BTreeMap<&str, Vec<Range<usize>>>) -> usize {
    sources.values().flatten().map(Range::len).sum()
}

fn common(a: &[Range<usize>], b: &[Range<usize>]) -> usize {
    let both = |a: &Range<usize>, b: &Range<usize>| a.end.min(b.end).saturating_sub(a.start.max(b.start));
    a.iter().map(|a| b.iter().map(|b| both(a, b)).sum::<usize>()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cite(source: &str, range: Range<usize>) -> Citation {
        Citation { source: source.into(), start: range.start, end: range.end, text: String::new() }
    }

    #[test]
    fn spans_and_bytes_by_hand() {
        let evidence = [cite("a", 100..200), cite("a", 300..340), cite("b", 0..60)];
        // Half of the first span and 50 bytes before it, twice the same; and another document.
        let cited = [cite("a", 50..150), cite("a", 50..150), cite("c", 0..100)];
        let score = citation_score(&cited, &evidence);
        assert_eq!((score.spans.precision, score.spans.recall), (2.0 / 3.0, 1.0 / 3.0));
        assert_eq!((score.bytes.precision, score.bytes.recall), (50.0 / 200.0, 50.0 / 200.0));
        assert_eq!(score.bytes.f1, 0.25);
        let same = citation_score(&evidence, &evidence);
        assert_eq!((same.spans.f1, same.bytes.f1), (1.0, 1.0));
    }

    #[test]
    fn nothing_is_right_only_where_nothing_is_due() {
        let some = [cite("a", 0..10)];
        assert_eq!(citation_score(&[], &[]).bytes.f1, 1.0);
        for (cited, evidence) in [(&some[..], &[][..]), (&[], &some), (&[cite("a", 10..20)], &some)] {
            let score = citation_score(cited, evidence);
            assert_eq!((score.spans, score.bytes), (Overlap::default(), Overlap::default()));
        }
        // A range of no bytes cites nothing.
        assert_eq!(citation_score(&[cite("a", 5..5)], &some).bytes, Overlap::default());
    }
}
