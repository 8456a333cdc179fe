//! Refusals, and what assistants say about themselves.

use std::sync::LazyLock;

use regex::Regex;

use super::config::RefusalConfig;
use super::reason::{DropReason, Verdict};
use crate::{Example, text};

/// An answer longer than this that opens with an apology is taken to give an answer after it.
const SHORT: usize = 400;

/// Phrases that give an assistant away wherever they stand.
static ANYWHERE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"\bas an? (ai|artificial intelligence|large language model|language model)\b",
        r"|\bi('m| am) (just |only )?an? (ai|artificial intelligence|large language model|language model)\b",
        r"|\bmy (knowledge cutoff|training data (only goes|cuts off|does not include))\b",
        r"|\bagainst my (programming|guidelines)\b",
    ))
    .expect("a constant pattern")
});

/// Openings of a short answer that declines.
static OPENING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^(i('m| am) (very |really |so |terribly )?(sorry|afraid)|(very )?sorry|apologies|my apologies|i apologi[sz]e|unfortunately)",
        r"[ ,.;:!-]*(but |that )?(i|we) (can('t|not| not)|could not|couldn't|won't|will not|am (unable|not able)|'m (unable|not able)|do not have|don't have|have no)\b",
        r"|^(i|we) (can('t|not| not)|won't|will not) (help|assist|answer|provide|comply|fulfil|fulfill|do that|support|engage|discuss|generate|create)\b",
        r"|^(i('m| am)|we('re| are)) (unable|not able|not allowed|not permitted) to (help|assist|answer|provide|comply|fulfil|fulfill|access|browse|open|generate|discuss)\b",
    ))
    .expect("a constant pattern")
});

/// Recognises refusals.
#[derive(Debug)]
pub(super) struct Refusals {
    phrases: Vec<String>,
}

impl Refusals {
    pub(super) fn new(config: &RefusalConfig) -> Self {
        let phrases = config.phrases.iter().map(|phrase| plain(phrase)).filter(|p| !p.is_empty()).collect();
        Self { phrases }
    }

    pub(super) fn check(&self, example: &Example) -> Option<Verdict> {
        let answer = plain(example.answer());
        let found = ANYWHERE
            .find(&answer)
            .or_else(|| OPENING.find(&answer).filter(|_| answer.len() <= SHORT))
            .map(|found| found.as_str())
            .or_else(|| self.phrases.iter().map(String::as_str).find(|phrase| answer.contains(phrase)))?;
        Some(Verdict::new(DropReason::Refusal, format!("answer says \"{found}\"")))
    }
}

/// The normal form with straight apostrophes.
fn plain(text: &str) -> String {
    text::normalize(text).replace('\u{2019}', "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(answer: &str) -> bool {
        let config = RefusalConfig { phrases: vec!["Please contact  SUPPORT".into()] };
        Refusals::new(&config).check(&Example::pair("Restart the disk.", answer, "")).is_some()
    }

    #[test]
    fn refusals_are_found() {
        for answer in [
            "As an AI language model, I have no opinion.",
            "That depends. As a large language model I cannot tell.",
            "I’m sorry, but I can’t do this.",
            "I am sorry, I cannot open your files.",
            "Unfortunately, I don't have access to it.",
            "I am unable to access your disks.",
            "I can't help with that.",
            "For this, please contact support today.",
        ] {
            assert!(refused(answer), "{answer}");
        }
    }

    #[test]
    fn answers_that_resemble_refusals_stay() {
        for answer in [
            "Sorry to hear that; restart the service.",
            "The service is unable to access the disk because it is full.",
            "I can restart it with `systemctl restart auth`.",
            "The user cannot log in: reset the password.",
            "As an air filter ages, the pressure falls.",
            r#"{"status":"sorry","action":"retry_later"}"#,
        ] {
            assert!(!refused(answer), "{answer}");
        }
        let long =
            format!("I'm sorry, but I can't name one cause. {}", "Check the disk, then the log. ".repeat(20));
        assert!(!refused(&long));
    }
}
