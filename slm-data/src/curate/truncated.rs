//! Answers that were cut off.

use serde::de::IgnoredAny;

use super::reason::{DropReason, Verdict};
use crate::Example;

const FENCE: &str = "```";

/// JSON that ends too early, or a code block that is not closed.
pub(super) fn check(example: &Example) -> Option<Verdict> {
    let answer = example.answer().trim();
    if answer.starts_with(['{', '[']) {
        // The parser tells text that ends too early from text that was never JSON: `[0, 1)`.
        let error = serde_json::from_str::<IgnoredAny>(answer).err().filter(serde_json::Error::is_eof);
        if let Some(error) = error {
            return Some(Verdict::new(DropReason::Truncated, format!("JSON: {error}")));
        }
    }
    let fences = answer.lines().filter(|line| line.trim_start().starts_with(FENCE)).count();
    let inline = answer.matches(FENCE).count();
    if fences % 2 == 1 && inline % 2 == 1 {
        return Some(Verdict::new(DropReason::Truncated, "a code block is not closed"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truncated(answer: &str) -> bool {
        check(&Example::pair("q", answer, "")).is_some()
    }

    #[test]
    fn any_proper_beginning_of_json_is_cut_off() {
        let whole = r#"{"a":"x \" } y","b":[1,{"c":null}]}"#;
        assert!(!truncated(whole));
        for end in 1..whole.len() {
            assert!(truncated(&whole[..end]), "{}", &whole[..end]);
        }
    }

    #[test]
    fn code_blocks_must_end() {
        assert!(truncated("Run:\n```sh\nls\n"));
        assert!(!truncated("Run:\n```sh\nls\n```\nDone."));
        assert!(!truncated("Run ```ls``` now."));
    }

    #[test]
    fn other_brackets_are_no_json() {
        for answer in ["[0, 1)", "[EMAIL_1] wrote", "{x | x > 0}", "see [1", "{} [", ""] {
            assert!(!truncated(answer), "{answer}");
        }
    }
}
