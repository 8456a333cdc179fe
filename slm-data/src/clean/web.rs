//! Rules for pages of text: Gopher and C4.
//!
//! Gopher: Rae et al. 2021, appendix A1.1 (quality and repetition, table A1). C4: Raffel et al. 2020, section
//! 2.2, with the additions of its published code. They are made for documents; for short rows they are off.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::duplicates::AsIs;
use crate::text::{hash, mix, share};

/// Why a document does not pass, in the words of the papers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WebReason {
    /// Fewer words than asked for.
    FewWords,
    /// More words than allowed.
    ManyWords,
    /// The mean word is shorter or longer than words are.
    WordLength,
    /// Hash signs or ellipses for more than a tenth of the words.
    Symbols,
    /// Nearly all lines begin with a bullet.
    Bullets,
    /// Many lines end with an ellipsis.
    Ellipses,
    /// Too few words with a letter.
    Letters,
    /// Fewer than two of the most common English words.
    StopWords,
    /// Paragraphs that occurred before.
    RepeatedParagraphs,
    /// Lines that occurred before.
    RepeatedLines,
    /// One sequence of two to four words is a large part of the text.
    TopNgram,
    /// Sequences of five to ten words that occurred before are a large part of the text.
    RepeatedNgrams,
    /// "Lorem ipsum".
    LoremIpsum,
    /// A curly bracket, as in code.
    CurlyBracket,
    /// Fewer than five sentences after lines were dropped.
    FewSentences,
}

/// Gopher's rules with the paper's limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GopherRules {
    /// Fewest words that are not all punctuation.
    pub min_words: usize,
    /// Most words.
    pub max_words: usize,
    /// Whether the eight most common English words are asked for.
    pub stop_words: bool,
}

impl Default for GopherRules {
    fn default() -> Self {
        Self { min_words: 50, max_words: 100_000, stop_words: true }
    }
}

/// C4's rules with the paper's limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct C4Rules {
    /// Fewest sentences that must be left.
    pub min_sentences: usize,
    /// Fewest words of a line.
    pub min_words_per_line: usize,
}

impl Default for C4Rules {
    fn default() -> Self {
        Self { min_sentences: 5, min_words_per_line: 3 }
    }
}

impl GopherRules {
    /// Why the text does not pass, if it does not.
    pub fn check(&self, text: &str) -> Option<WebReason> {
        let words = words(text);
        self.quality(text, &words).or_else(|| repetition(text, &words))
    }

    fn quality(&self, text: &str, words: &[&str]) -> Option<WebReason> {
        let (mut plain, mut length, mut lettered) = (0, 0, 0);
        for word in words {
            if word.bytes().any(|byte| byte.is_ascii_alphanumeric() || byte >= 0x80) {
                plain += 1;
                length += word.chars().count();
                lettered += usize::from(word.chars().any(char::is_alphabetic));
            }
        }
        if plain < self.min_words {
            return Some(WebReason::FewWords);
        }
        if plain > self.max_words {
            return Some(WebReason::ManyWords);
        }
        if !(3.0..=10.0).contains(&share(length, plain)) {
            return Some(WebReason::WordLength);
        }
        let ellipses = text.matches("...").count() + text.matches('…').count();
        if text.bytes().filter(|&byte| byte == b'#').count().max(ellipses) * 10 > words.len() {
            return Some(WebReason::Symbols);
        }
        let (mut lines, mut bullets, mut open) = (0, 0, 0);
        for line in text.lines() {
            lines += 1;
            bullets += usize::from(line.trim_start().starts_with(['•', '-']));
            let end = line.trim_end();
            open += usize::from(end.ends_with("...") || end.ends_with('…'));
        }
        if share(bullets, lines) > 0.9 {
            return Some(WebReason::Bullets);
        }
        if share(open, lines) > 0.3 {
            return Some(WebReason::Ellipses);
        }
        if share(lettered, words.len()) < 0.8 {
            return Some(WebReason::Letters);
        }
        const STOP_WORDS: [&str; 8] = ["the", "be", "to", "of", "and", "that", "have", "with"];
        let common = || STOP_WORDS.iter().filter(|stop| words.contains(stop)).count();
        (self.stop_words && common() < 2).then_some(WebReason::StopWords)
    }
}

type Hashes = HashSet<u64, BuildHasherDefault<AsIs>>;

/// Counts and characters of elements that occurred before.
fn repeated<'a>(elements: impl Iterator<Item = &'a str>) -> (usize, usize, usize) {
    let mut seen = Hashes::default();
    let (mut all, mut again, mut length) = (0, 0, 0);
    for element in elements {
        all += 1;
        if !seen.insert(hash(element.as_bytes(), 11)) {
            again += 1;
            length += element.chars().count();
        }
    }
    (all, again, length)
}

fn repetition(text: &str, words: &[&str]) -> Option<WebReason> {
    static BREAK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\n{2,}").expect("a constant pattern"));
    let total = text.chars().count();
    let (all, again, length) = repeated(BREAK.split(text.trim()));
    if share(again, all) > 0.3 || share(length, total) > 0.2 {
        return Some(WebReason::RepeatedParagraphs);
    }
    let (all, again, length) = repeated(text.split('\n').filter(|line| !line.is_empty()));
    if share(again, all) > 0.3 || share(length, total) > 0.2 {
        return Some(WebReason::RepeatedLines);
    }
    let items: Vec<(u64, usize)> =
        words.iter().map(|word| (hash(word.as_bytes(), 12), word.chars().count())).collect();
    for (n, limit) in [(2, 0.2), (3, 0.18), (4, 0.16)] {
        if share(top_ngram(&items, n), total) > limit {
            return Some(WebReason::TopNgram);
        }
    }
    for (n, limit) in [(5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)] {
        if share(repeated_ngrams(&items, n), total) > limit {
            return Some(WebReason::RepeatedNgrams);
        }
    }
    None
}

fn ngram(items: &[(u64, usize)]) -> u64 {
    items.iter().fold(0, |key, (word, _)| mix(key ^ word))
}

/// Characters of the most frequent sequence of `n` words, with the spaces within, as often as it occurs.
fn top_ngram(items: &[(u64, usize)], n: usize) -> usize {
    let mut counts: HashMap<u64, (usize, usize), BuildHasherDefault<AsIs>> = HashMap::default();
    let mut top = (0, 0);
    for (at, window) in items.windows(n).enumerate() {
        // The first of the most frequent ones counts, as the order of a counter has it.
        let entry = counts.entry(ngram(window)).or_insert((0, at));
        entry.0 += 1;
        if entry.0 > top.0 || (entry.0 == top.0 && entry.1 < top.1) {
            top = *entry;
        }
    }
    let length: usize = items.iter().skip(top.1).take(n).map(|(_, length)| length).sum();
    if top.0 == 0 { 0 } else { (length + n - 1) * top.0 }
}

/// Characters of the sequences of `n` words that occurred before, none counted twice.
fn repeated_ngrams(items: &[(u64, usize)], n: usize) -> usize {
    let mut seen = Hashes::default();
    let (mut at, mut length) = (0, 0);
    while at + n <= items.len() {
        let window = &items[at..at + n];
        if seen.insert(ngram(window)) {
            at += 1;
        } else {
            length += window.iter().map(|(_, length)| length).sum::<usize>();
            at += n;
        }
    }
    length
}

/// Words with the punctuation around them as words of its own, in the way of a treebank: `(don't)` is `(`,
/// `do`, `n't`, `)`.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::with_capacity(text.len() / 5);
    for token in text.split_whitespace() {
        let core_start = token.find(char::is_alphanumeric).unwrap_or(token.len());
        let core_end = token
            .rfind(char::is_alphanumeric)
            .map_or(core_start, |at| at + token[at..].chars().next().map_or(1, char::len_utf8));
        punctuation(&token[..core_start], &mut words);
        compound(&token[core_start..core_end], &mut words);
        punctuation(&token[core_end..], &mut words);
    }
    words
}

/// Each mark on its own, dots and dashes in a row together.
fn punctuation<'a>(mut text: &'a str, words: &mut Vec<&'a str>) {
    while let Some(first) = text.chars().next() {
        let run = if matches!(first, '.' | '-') {
            text.len() - text.trim_start_matches(first).len()
        } else {
            first.len_utf8()
        };
        words.push(&text[..run]);
        text = &text[run..];
    }
}

/// Parts at dashes and slashes between letters: `left-handed` is three words, `2026-03-14` one.
fn compound<'a>(mut word: &'a str, words: &mut Vec<&'a str>) {
    let letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
    let mut from = 0;
    while let Some(at) = word[from..].find(['-', '–', '—', '/', ':', '=']).map(|at| at + from) {
        let mark = word[at..].chars().next().map_or(1, char::len_utf8);
        if letter(word[..at].chars().next_back()) && letter(word[at + mark..].chars().next()) {
            contraction(&word[..at], words);
            words.push(&word[at..at + mark]);
            word = &word[at + mark..];
            from = 0;
        } else {
            from = at + mark;
        }
    }
    contraction(word, words);
}

fn contraction<'a>(word: &'a str, words: &mut Vec<&'a str>) {
    let at = ["n't", "n’t", "'s", "’s", "'re", "’re", "'ll", "’ll", "'ve", "’ve", "'d", "’d", "'m", "’m"]
        .iter()
        .find_map(|ending| word.strip_suffix(ending).map(str::len))
        .filter(|&at| at > 0)
        .unwrap_or(word.len());
    for part in [&word[..at], &word[at..]] {
        if !part.is_empty() {
            words.push(part);
        }
    }
}

impl C4Rules {
    /// The lines that pass, or why the text does not: whole sentences of three words or more, without notices.
    ///
    /// # Errors
    /// The reason, where the whole document does not pass.
    pub fn check(&self, text: &str) -> Result<String, WebReason> {
        static CITATION: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"\[\d*\]|\[edit\]|\[citation needed\]").expect("a constant pattern")
        });
        const POLICY: [&str; 6] = [
            "terms of use",
            "privacy policy",
            "cookie policy",
            "uses cookies",
            "use of cookies",
            "use cookies",
        ];
        let mut kept = String::new();
        let mut sentences = 0;
        for line in text.lines() {
            let line = line.trim();
            let (mut count, mut long) = (0, false);
            for word in line.split_whitespace() {
                count += 1;
                long |= word.len() > 1000 && word.chars().count() > 1000;
            }
            if long {
                continue;
            }
            let line = if line.contains('[') { CITATION.replace_all(line, "") } else { line.into() };
            let ended = line.ends_with(['.', '?', '!', '"', '\'']) && !line.ends_with("...");
            if !ended || count < self.min_words_per_line {
                continue;
            }
            let lower = line.to_lowercase();
            if lower.contains("lorem ipsum") {
                return Err(WebReason::LoremIpsum);
            }
            if lower.contains("javascript") {
                continue;
            }
            if line.contains('{') {
                return Err(WebReason::CurlyBracket);
            }
            if POLICY.iter().any(|phrase| lower.contains(phrase)) {
                continue;
            }
            sentences += count_sentences(&line);
            if !kept.is_empty() {
                kept.push('\n');
            }
            kept.push_str(&line);
        }
        if sentences < self.min_sentences { Err(WebReason::FewSentences) } else { Ok(kept) }
    }
}

/// Ends of sentences: marks with white space after them, but for abbreviations.
fn count_sentences(line: &str) -> usize {
    let bytes = line.as_bytes();
    let ends = line.match_indices(['.', '!', '?']).filter(|(at, _)| {
        let mut next = at + 1;
        while matches!(bytes.get(next), Some(b'"' | b'\'' | b')')) {
            next += 1;
        }
        bytes.get(next).is_none_or(u8::is_ascii_whitespace) && !abbreviated(&line[..*at])
    });
    ends.count().max(1)
}

/// Whether a full stop here belongs to a title or an initial.
fn abbreviated(before: &str) -> bool {
    let word = before.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
    matches!(
        word,
        "Mr" | "Mrs" | "Ms" | "Dr" | "St" | "Prof" | "vs" | "No" | "e.g" | "i.e" | "U.S" | "Jr" | "Sr"
    ) || (word.len() == 1 && word.chars().all(char::is_uppercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_sentences() {
        assert_eq!(
            words("Hello, (world)! It's... don't"),
            ["Hello", ",", "(", "world", ")", "!", "It", "'s", "...", "do", "n't"]
        );
        assert_eq!(words("left-handed 2026-03-14"), ["left", "-", "handed", "2026-03-14"]);
        assert_eq!(count_sentences("Dr. A. Smith came. He said \"no.\" Then it was 3.5, e.g. this."), 3);
    }

    #[test]
    fn each_rule_has_its_reason() {
        let gopher = |text: &str| GopherRules::default().check(text);
        // Words that come again, in ever other order.
        let words =
            ["the", "number", "of", "river", "that", "stone", "have", "garden", "window", "to", "paper"];
        let prose = |words: &[&str]| -> String {
            let step = |n: usize| n * n * 7 + n / 3;
            (0..90).map(|n| format!("{} {n}th ", words[step(n) % words.len()])).collect()
        };
        let plain = prose(&words);
        assert_eq!(gopher(&plain), None);
        assert_eq!(gopher("Too short."), Some(WebReason::FewWords));
        assert_eq!(gopher(&"a I o ".repeat(40)), Some(WebReason::WordLength));
        assert_eq!(gopher(&plain.replace("th ", "th # ")), Some(WebReason::Symbols));
        assert_eq!(
            gopher(&plain.replace("th ", "th\n- ").replacen("the", "- the", 1)),
            Some(WebReason::Bullets)
        );
        assert_eq!(gopher(&plain.replace("9th ", "9th ...\n")), Some(WebReason::Ellipses));
        assert_eq!(gopher(&plain.replace("th ", " ")), Some(WebReason::Letters));
        assert_eq!(gopher(&prose(&["river", "stone", "garden", "window"])), Some(WebReason::StopWords));
        assert_eq!(gopher(&format!("{plain}\n\n").repeat(3)), Some(WebReason::RepeatedParagraphs));
        assert_eq!(gopher(&format!("{plain}\n").repeat(3)), Some(WebReason::RepeatedLines));
        assert_eq!(gopher(&plain.replace("th ", "th the long phrase ")), Some(WebReason::TopNgram));
        assert_eq!(gopher(&format!("{plain}{plain}")), Some(WebReason::RepeatedNgrams));
        let c4 = |text: &str| C4Rules::default().check(text);
        let five = "This is one sentence. ".repeat(5);
        assert_eq!(c4(&format!("Menu\n{five}\nWe use cookies for this.\n")), Ok(five.trim().to_owned()));
        assert_eq!(c4("One sentence is here."), Err(WebReason::FewSentences));
        assert_eq!(c4(&format!("{five}\nfn main() {{ }}.")), Err(WebReason::CurlyBracket));
        assert_eq!(c4(&format!("{five}\nLorem ipsum dolor sit.")), Err(WebReason::LoremIpsum));
    }
}
