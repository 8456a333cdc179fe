//! The language of a row.

use std::collections::BTreeSet;
use std::fmt;

use unicode_normalization::char::is_combining_mark;
use whatlang::{Detector, Lang};

use super::config::LanguageConfig;
use super::quality::is_json;
use super::reason::{DropReason, Verdict};
use crate::text::share;
use crate::{Example, Result, Role};

/// The detector is unsure of short English with foreign names; these words are not. Some of them are words of
/// other languages too, so that several must be there.
const FUNCTION_WORDS: &[&str] = &[
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "do", "does", "for", "from", "has", "have",
    "how", "i", "if", "in", "is", "it", "its", "my", "not", "of", "on", "or", "that", "the", "their",
    "there", "this", "to", "was", "what", "when", "where", "which", "who", "why", "will", "with", "would",
    "you", "your",
];
/// Share of function words from which on a text is English. In German, French and Spanish it is below 0.1.
const ENGLISH_SHARE: f64 = 0.2;

/// Tells rows in languages that are not allowed.
pub(super) struct Languages {
    allowed: Vec<Lang>,
    min_letters: usize,
}

impl fmt::Debug for Languages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Languages").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl Languages {
    pub(super) fn new(config: &LanguageConfig) -> Result<Self> {
        Ok(Self { allowed: config.languages()?, min_letters: config.min_letters })
    }

    /// Question and answer together: a question in English that asks for a French sentence stays.
    pub(super) fn check(&self, example: &Example) -> Option<Verdict> {
        let mut words: Vec<&str> = Vec::new();
        for message in example.messages.iter().filter(|message| message.role != Role::System) {
            if !is_json(&message.content) {
                words.extend(message.content.split(is_border).filter_map(plain_word));
            }
        }
        let english = words.iter().filter(|word| FUNCTION_WORDS.contains(word)).count();
        if self.allowed.contains(&Lang::Eng) && share(english, words.len()) >= ENGLISH_SHARE {
            return None;
        }
        // A word that comes again says no more about the language.
        let mut seen = BTreeSet::new();
        words.retain(|word| seen.insert(*word));
        let prose = words.join(" ");
        if prose.chars().map(weight).sum::<usize>() < self.min_letters {
            return None;
        }
        let found = whatlang::detect_lang(&prose).filter(|found| !self.allowed.contains(found))?;
        // Close relatives make the detector unsure which of them it is; the question is whether it is one of
        // the allowed languages or not.
        let mut choice = self.allowed.clone();
        choice.push(found);
        let info = Detector::with_allowlist(choice).detect(&prose)?;
        if info.lang() != found || !info.is_reliable() {
            return None;
        }
        Some(Verdict::new(DropReason::Language, format!("{} ({})", found.eng_name(), found.code())))
    }
}

/// What a character says, in letters of the Latin alphabet: a Chinese character is about half a word.
fn weight(c: char) -> usize {
    match c {
        '\u{2e80}'..='\u{d7ff}' | '\u{20000}'..='\u{3ffff}' => 3,
        c => usize::from(c.is_alphabetic()),
    }
}

/// Where words end, also in scripts without spaces.
fn is_border(c: char) -> bool {
    c.is_whitespace() || matches!(c, '。' | '、' | '，' | '？' | '！' | '；' | '：' | '「' | '」')
}

/// A word of a sentence without its punctuation. Identifiers, paths and numbers are none, and names (words
/// with a capital, also at the beginning of a sentence) belong to no language.
fn plain_word(token: &str) -> Option<&str> {
    let word = token.trim_matches(|c: char| !c.is_alphanumeric());
    let inner = |c: char| matches!(c, '\'' | '\u{2019}' | '-') || is_combining_mark(c);
    let plain = word.chars().all(|c| (c.is_alphabetic() && !c.is_uppercase()) || inner(c));
    (plain && !word.is_empty()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(question: &str, answer: &str) -> Result<Option<String>> {
        let verdict = Languages::new(&LanguageConfig::default())?.check(&Example::pair(question, answer, ""));
        Ok(verdict.map(|verdict| verdict.detail))
    }

    #[test]
    fn other_languages_are_named() -> Result<()> {
        for (question, answer, expected) in [
            (
                "Warum ist der Speicher auf diesem Rechner heute schon wieder voll?",
                "Weil niemand die alten Dateien gelöscht hat.",
                "deu",
            ),
            (
                "Pourquoi le disque de cette machine est-il encore plein ce matin ?",
                "Parce que personne n'a supprimé les vieux fichiers.",
                "fra",
            ),
            (
                "¿Por qué está lleno otra vez el disco de esta máquina?",
                "Porque nadie ha borrado los archivos viejos.",
                "spa",
            ),
            (
                "为什么这台机器的磁盘今天早上又满了？",
                "因为没有人删除旧文件，我们需要尽快清理磁盘空间。",
                "cmn",
            ),
            (
                "Почему диск на этой машине снова полон сегодня утром?",
                "Потому что никто не удалил старые файлы.",
                "rus",
            ),
        ] {
            let found = language(question, answer)?.unwrap_or_default();
            assert!(found.ends_with(&format!("({expected})")), "{question}: {found}");
        }
        Ok(())
    }

    #[test]
    fn english_logs_json_and_short_texts_stay() -> Result<()> {
        for (question, answer) in [
            (
                "Why is the disk of this machine full again this morning?",
                "Because nobody deleted the old files.",
            ),
            (
                "2026-03-14 09:26:53 web-03 auth[412] ERROR E2307 bad password for user zanoli, 12 tries",
                r#"{"service":"auth"}"#,
            ),
            ("kernel: usb 1-1: new high-speed USB device number 4 using xhci_hcd", "INFO"),
            (
                r#"{"nachricht":"der Dienst antwortet seit einer Stunde nicht mehr und muss neu gestartet werden"}"#,
                "{}",
            ),
            ("Danke schön", "Bitte"),
            (
                "Is it safe for dogs to eat avocado?",
                "No, avocado is considered dangerous for dogs to consume.",
            ),
            (
                "Classify by continent: Ethiopia, Nigeria, Angola, India, China",
                "Africa - Ethiopia, Nigeria, Angola; Asia - India, China",
            ),
        ] {
            assert_eq!(language(question, answer)?, None, "{question}");
        }
        Ok(())
    }
}
