//! From documents to pairs: a model asks and answers, and what its passage does not support goes.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::curate::{DropReason, Dropped};
use crate::text::{self, share};
use crate::{Document, Error, Example, Result};

/// Gives questions with answers about a passage: a language model, as a closure.
pub type AskAbout<'a> = dyn FnMut(&str) -> std::result::Result<Vec<(String, String)>, String> + 'a;

/// How documents are cut, and what counts as supported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PairsConfig {
    /// Bytes of a passage, at most, where paragraphs allow; longer paragraphs are passages of their own.
    pub passage: usize,
    /// Smallest share of the answer's content words that must stand in three sentences of the passage.
    pub support: f64,
}

impl Default for PairsConfig {
    fn default() -> Self {
        Self { passage: 1500, support: 0.7 }
    }
}

/// A pair and where its answer stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroundedPair {
    /// The pair; its source is the document's name with the byte range, its group the document.
    pub example: Example,
    /// Bytes of the document's text that support the answer.
    pub span: Range<usize>,
    /// Share of the answer's content words in them.
    pub support: f64,
}

/// What was made of documents.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GroundedPairs {
    /// Pairs that their passage supports.
    pub kept: Vec<GroundedPair>,
    /// The others.
    pub dropped: Vec<Dropped>,
}

/// Asks about each passage of each document, and keeps the pairs that the passage supports.
///
/// # Errors
/// When a setting is out of range, or the model fails.
pub fn pairs_from_documents(
    documents: &[Document],
    ask: &mut AskAbout<'_>,
    config: &PairsConfig,
) -> Result<GroundedPairs> {
    if !(0.0..=1.0).contains(&config.support) {
        return Err(Error::config("pairs.support", format!("expected 0 to 1, got {}", config.support)));
    }
    let mut pairs = GroundedPairs::default();
    for document in documents {
        for passage in passages(&document.text, config.passage) {
            let text = &document.text[passage.clone()];
            let found = ask(text).map_err(|reason| Error::Model { what: "the model that asks", reason })?;
            for (question, answer) in found {
                let best = support(&answer, text);
                let place = |range: &Range<usize>| passage.start + range.start..passage.start + range.end;
                let span = best.as_ref().map_or(passage.clone(), |(_, range)| place(range));
                let source = format!("{}#{}-{}", document.id, span.start, span.end);
                let example = Example::pair(question, answer, source).in_group(document.id.as_str());
                match best {
                    Some((support, _)) if support >= config.support => {
                        pairs.kept.push(GroundedPair { example, span, support });
                    }
                    Some((support, _)) => {
                        let detail = format!("{:.0} % of the answer stands in the passage", 100.0 * support);
                        pairs.dropped.push(unsupported(example, detail));
                    }
                    None => {
                        let detail = "a number or name of the answer is not in the passage".to_owned();
                        pairs.dropped.push(unsupported(example, detail));
                    }
                }
            }
        }
    }
    Ok(pairs)
}

fn unsupported(example: Example, detail: String) -> Dropped {
    Dropped { example, reason: DropReason::Unsupported, detail, of: None }
}

/// Paragraphs together, up to `limit` bytes.
fn passages(text: &str, limit: usize) -> Vec<Range<usize>> {
    let mut passages: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    for paragraph in text.split_inclusive("\n\n") {
        let range = at..at + paragraph.len();
        at = range.end;
        if paragraph.trim().is_empty() {
            continue;
        }
        match passages.last_mut() {
            Some(last) if range.end - last.start <= limit => last.end = range.end,
            _ => passages.push(range),
        }
    }
    passages
}

/// How much of an answer stands in a passage: the largest share of its content words within three sentences in
/// a row, with their bytes. `None` where a number or a name of the answer is nowhere in the passage, or the
/// answer has no content.
///
/// Words are compared by their first six letters, so that endings make no difference. This finds answers that
/// were made up; one that turns the passage's words around passes.
pub fn support(answer: &str, passage: &str) -> Option<(f64, Range<usize>)> {
    let all = stems(passage);
    let wanted = stems(answer);
    let named = answer.split_whitespace().skip(1).map(trimmed).filter(|word| {
        word.chars().any(char::is_numeric) || word.chars().next().is_some_and(char::is_uppercase)
    });
    let first_is_number =
        answer.split_whitespace().next().map(trimmed).filter(|w| w.chars().any(char::is_numeric));
    if wanted.is_empty() || named.chain(first_is_number).any(|word| !all.contains(&stem(word))) {
        return None;
    }
    let sentences = sentences(passage);
    let sets: Vec<BTreeSet<String>> = sentences.iter().map(|range| stems(&passage[range.clone()])).collect();
    let windows = (0..sentences.len()).flat_map(|first| (1..=3).map(move |length| (first, length)));
    let mut best: Option<(f64, Range<usize>)> = None;
    for (first, length) in windows.filter(|(first, length)| first + length <= sentences.len()) {
        let inside = |word: &&String| sets[first..first + length].iter().any(|set| set.contains(*word));
        let found = share(wanted.iter().filter(inside).count(), wanted.len());
        let range = sentences[first].start..sentences[first + length - 1].end;
        // Of equal shares the shortest range.
        let better = best
            .as_ref()
            .is_none_or(|(most, old)| found > *most || (found >= *most && range.len() < old.len()));
        if better {
            best = Some((found, range));
        }
    }
    best
}

fn trimmed(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

fn stem(word: &str) -> String {
    text::normalize(trimmed(word).trim_end_matches("'s")).chars().take(6).collect()
}

/// Content words: those of four letters or more, and numbers.
fn stems(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, '-' | '/' | '–' | '—')).map(trimmed);
    let content =
        |word: &&str| word.chars().count() > 3 || word.chars().any(|c| c.is_numeric() || c.is_uppercase());
    words.filter(content).map(stem).collect()
}

/// Byte ranges of sentences: up to a mark with white space after it, or a line's end.
fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let end = at + c.len_utf8();
        let space = chars.peek().is_none_or(|(_, next)| next.is_whitespace());
        if (matches!(c, '.' | '!' | '?') && space) || c == '\n' {
            if !text[start..end].trim().is_empty() {
                ranges.push(start..end);
            }
            start = end;
        }
    }
    if !text[start..].trim().is_empty() {
        ranges.push(start..text.len());
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "The storage service keeps its index in /var/index. It was rewritten in 2019 by Ada Holm.\n\n\
                        Restart it with care: the index is read again, which takes twelve minutes.\n\n\nUnrelated end.";

    fn run(answers: &[(&str, &str)]) -> Result<GroundedPairs> {
        let document = Document { id: "ops.md".to_owned(), text: TEXT.to_owned() };
        let mut first = true;
        let mut ask = |_: &str| {
            let found = if first { answers } else { &[] };
            first = false;
            Ok(found.iter().map(|(q, a)| ((*q).to_owned(), (*a).to_owned())).collect())
        };
        pairs_from_documents(&[document], &mut ask, &PairsConfig::default())
    }

    #[test]
    fn supported_answers_stay_with_their_span() -> Result<()> {
        let pairs = run(&[
            ("When was it rewritten?", "The service was rewritten in 2019."),
            ("How long does a restart take?", "Reading the index again takes twelve minutes."),
            ("Who rewrote it?", "It was Ben Holm."),
            ("When?", "2020"),
            ("What does it cost?", "Nobody pays anything because everything belongs to everybody."),
        ])?;
        assert_eq!((pairs.kept.len(), pairs.dropped.len()), (2, 3));
        let span = |at: usize| TEXT[pairs.kept[at].span.clone()].trim();
        assert_eq!(
            span(0),
            "The storage service keeps its index in /var/index. It was rewritten in 2019 by Ada Holm."
        );
        assert!(span(1).starts_with("Restart it with care"));
        assert_eq!(pairs.kept[0].example.group.as_deref(), Some("ops.md"));
        assert!(pairs.kept[1].example.source.starts_with("ops.md#"));
        assert!(pairs.dropped.iter().all(|row| row.reason == DropReason::Unsupported));
        Ok(())
    }

    #[test]
    fn passages_are_whole_paragraphs() {
        let ranges = passages(TEXT, 120);
        assert_eq!(ranges.len(), 2);
        assert!(TEXT[ranges[1].clone()].starts_with("Restart"));
        assert!(passages("", 10).is_empty());
        let failed = pairs_from_documents(
            &[Document { id: String::new(), text: "a".to_owned() }],
            &mut |_| Err("no model".to_owned()),
            &PairsConfig::default(),
        );
        assert!(matches!(failed, Err(Error::Model { .. })));
    }
}
