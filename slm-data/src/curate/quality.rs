//! Repetition and gibberish, by shares of words, symbols and letters.
//!
//! After the quality and repetition rules of Gopher (Rae et al. 2021, appendix A), which are made for web
//! pages. Rows here are short, and many are logs, code or JSON, so only gross cases are dropped: JSON is
//! exempt, numbers are no words, and letters are judged only where there are enough of them.

use std::collections::{HashMap, HashSet};

use serde::de::IgnoredAny;
use unicode_normalization::UnicodeNormalization;

use super::config::QualityConfig;
use super::reason::{DropReason, Verdict};
use crate::text::{self, share};
use crate::{Example, Role};

const MIN_WORDS: usize = 12;
const MIN_TRIGRAMS: usize = 18;
const MIN_VISIBLE: usize = 30;
const MIN_LETTERS: usize = 24;
/// Bytes of the longest word that is judged; beyond are encoded data and alphabets.
const LONGEST_WORD: usize = 32;
/// Consonants in a row that count as a run: `ghts` is one, `str` is none.
const RUN: usize = 4;

pub(super) fn check(example: &Example, config: &QualityConfig) -> Option<Verdict> {
    example.messages.iter().filter(|message| message.role != Role::System).find_map(|message| {
        let text = message.content.as_str();
        if is_json(text) {
            return None;
        }
        let answer = message.role == Role::Assistant;
        let side = if answer { "answer" } else { "question" };
        repetition(text, answer, config)
            .map(|detail| (DropReason::Repetition, detail))
            .or_else(|| gibberish(text, config).map(|detail| (DropReason::Gibberish, detail)))
            .map(|(reason, detail)| Verdict::new(reason, format!("{side}: {detail}")))
    })
}

/// Whether the text is a JSON object or list, perhaps cut off.
pub(super) fn is_json(text: &str) -> bool {
    let text = text.trim();
    text.starts_with(['{', '['])
        && serde_json::from_str::<IgnoredAny>(text).map_or_else(|error| error.is_eof(), |_| true)
}

/// One word too often; in answers also the same three words too often (questions may quote many alike lines).
fn repetition(text: &str, answer: bool, config: &QualityConfig) -> Option<String> {
    let normal = text::normalize(text);
    let words: Vec<&str> = text::words(&normal).collect();
    let has_letters = |word: &&str| word.chars().any(char::is_alphabetic);
    let lettered = words.iter().copied().filter(has_letters);
    // Rows of numbers repeat themselves by nature.
    if words.len() < MIN_WORDS || 2 * lettered.clone().count() < words.len() {
        return None;
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for word in lettered {
        *counts.entry(word).or_default() += 1;
    }
    let (word, count) = counts.into_iter().max_by_key(|&(word, count)| (count, word))?;
    let found = share(count, words.len());
    if found > config.max_top_word {
        return Some(format!("{:.0} % of the words are \"{}\"", found * 100.0, text::shorten(word, 20)));
    }
    if answer && words.len() >= MIN_TRIGRAMS + 2 {
        let mut seen = HashSet::new();
        let repeated = words.windows(3).filter(|trigram| !seen.insert(*trigram)).count();
        let found = share(repeated, words.len() - 2);
        if found > config.max_repeated_trigrams {
            return Some(format!("{:.0} % of the three-word sequences are repeated", found * 100.0));
        }
    }
    None
}

fn gibberish(text: &str, config: &QualityConfig) -> Option<String> {
    let visible = text.chars().filter(|c| !c.is_whitespace()).count();
    if visible >= MIN_VISIBLE {
        let found = share(text.chars().filter(|c| c.is_alphanumeric()).count(), visible);
        if found < config.min_alphanumeric {
            return Some(format!("{:.0} % letters and digits", found * 100.0));
        }
    }
    let letters = Letters::count(text);
    if letters.total >= MIN_LETTERS {
        let vowels = share(letters.vowels, letters.total);
        if vowels < config.min_vowels {
            return Some(format!("{:.0} % vowels", vowels * 100.0));
        }
        let runs = share(letters.in_runs, letters.total);
        if runs > config.max_consonant_runs {
            return Some(format!("{:.0} % of the letters in runs of consonants", runs * 100.0));
        }
    }
    None
}

/// Latin letters of words; acronyms, hexadecimal numbers, identifiers with digits and anything longer than
/// words are say nothing about language.
#[derive(Debug, Default)]
struct Letters {
    total: usize,
    vowels: usize,
    in_runs: usize,
}

impl Letters {
    fn count(text: &str) -> Self {
        let mut letters = Self::default();
        for word in text.split(|c: char| !c.is_alphanumeric()) {
            let plain = word.len() <= LONGEST_WORD
                && !word.chars().any(char::is_numeric)
                && !word.chars().all(|c| c.is_ascii_hexdigit())
                && word.chars().skip(1).any(char::is_lowercase);
            if plain {
                letters.add(word);
            }
        }
        letters
    }

    fn add(&mut self, word: &str) {
        let mut run = 0;
        // The last turn of the loop closes a run at the end of the word.
        for letter in
            word.nfd().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_lowercase()).chain([' '])
        {
            let vowel = matches!(letter, 'a' | 'e' | 'i' | 'o' | 'u' | 'y');
            if letter != ' ' {
                self.total += 1;
                self.vowels += usize::from(vowel);
            }
            if vowel || letter == ' ' {
                if run >= RUN {
                    self.in_runs += run;
                }
                run = 0;
            } else {
                run += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(question: &str, answer: &str) -> Option<DropReason> {
        check(&Example::pair(question, answer, ""), &QualityConfig::default()).map(|v| v.reason)
    }

    #[test]
    fn repetition_is_dropped() {
        assert_eq!(judge("Why?", &"pump ".repeat(24)), Some(DropReason::Repetition));
        assert_eq!(judge(&"help ".repeat(15), "With what?"), Some(DropReason::Repetition));
        let loop_of_five = "restart the auth service now ".repeat(6);
        assert_eq!(judge("Why?", &loop_of_five), Some(DropReason::Repetition));
    }

    #[test]
    fn gibberish_is_dropped() {
        for answer in [
            "qxz wvjkq #zx;%q vxj&$ kqzw xjvq~ zzkw q@jx vkzq wxj",
            "#~%&$@ ;;~~ %%&& $$@@ ##;~ %&$@ ~~## ;;%% &&$$",
            "sdfgh jklqw rtzpsd fghjkl wqrtz pxcvb nmlkjh gfdsa",
        ] {
            assert_eq!(judge("Why is it down?", answer), Some(DropReason::Gibberish), "{answer}");
        }
    }

    #[test]
    fn logs_json_and_code_stay() {
        let many_lines = (0..20)
            .map(|i| format!("2026-03-14 09:26:{i:02} web-03 auth[41{i}] WARN E2307 login failed\n"))
            .collect::<String>();
        for (question, answer) in [
            (many_lines.as_str(), "Block the address."),
            (
                "2026-03-14 09:26:53 db-1 kernel: TLS HTTP DNS TCP SSH FTP [0x7fa39bc4] 0 0 0 0 0 0 0",
                "Nothing.",
            ),
            ("As JSON", r#"{"a":"-","b":"-","c":["-","-","-","-","-","-","-","-","-"],"d":{"e":"-"}}"#),
            ("How do I list?", "find . -name '*.rs' -print0 | xargs -0 wc -l | sort -rn | head -n 5"),
            ("Loop", "for (i = 0; i < n; i++) { a[i] = b[i] + c[i]; if (a[i] > m) { m = a[i]; } }"),
            ("Copy: 7 7 7 7 7 7 7 7 7 7 7 7 7 7", "7 7 7 7 7 7 7 7 7 7 7 7 7 7"),
            ("sha256?", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
            ("Přelož", "Strč prst skrz krk"),
            ("Registers?", "fpr29=0xffffffff ffffffff ffffffff ffffffff ffffffff ffffffff"),
            ("Who has 2?", "ana has 1; ben has 2; cid has 3; dora has 4; emil has 5; fay has 6"),
            ("Count", "6 cards + 4 cards = 10 cards, 10 cards * 2 = 20 cards, so 20 cards"),
            ("As LaTeX", r"sed 's/^\([^ ]*\) *\([^ ]*\) *pts[^A-Z]*\([^(]*\).*/\2\t(\1)\t\3/'"),
        ] {
            assert_eq!(judge(question, answer), None, "{question} -> {answer}");
        }
    }
}
