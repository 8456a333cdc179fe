//! Rules on the turns of a row and on their length.

use super::config::LengthConfig;
use super::reason::{DropReason, Verdict};
use crate::{Example, Role};

/// A user and an assistant turn, and no turn without text.
pub(super) fn check_turns(example: &Example) -> Option<Verdict> {
    for (role, name) in [(Role::User, "user"), (Role::Assistant, "assistant")] {
        if !example.messages.iter().any(|message| message.role == role) {
            return Some(Verdict::new(DropReason::Structure, format!("no {name} turn")));
        }
    }
    let empty = example.messages.iter().position(|message| message.content.trim().is_empty())?;
    Some(Verdict::new(DropReason::EmptyTurn, format!("turn {} is empty", empty + 1)))
}

/// The number of characters of question and answer.
pub(super) fn check_length(example: &Example, config: &LengthConfig) -> Option<Verdict> {
    let sides = [
        ("question", example.question(), config.min_question, config.max_question),
        ("answer", example.answer(), config.min_answer, config.max_answer),
    ];
    for (name, text, min, max) in sides {
        let length = text.chars().count();
        if length < min {
            let detail = format!("{name} has {length} characters, fewer than {min}");
            return Some(Verdict::new(DropReason::TooShort, detail));
        }
        if length > max {
            let detail = format!("{name} has {length} characters, more than {max}");
            return Some(Verdict::new(DropReason::TooLong, detail));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    fn reason(verdict: Option<Verdict>) -> Option<DropReason> {
        verdict.map(|verdict| verdict.reason)
    }

    #[test]
    fn turns() {
        let only_user = Example {
            messages: vec![Message { role: Role::User, content: "hi".into() }],
            ..Example::default()
        };
        assert_eq!(reason(check_turns(&only_user)), Some(DropReason::Structure));
        assert_eq!(reason(check_turns(&Example::pair("hi", " \n", ""))), Some(DropReason::EmptyTurn));
        assert_eq!(check_turns(&Example::pair("hi", "ho", "")), None);
    }

    #[test]
    fn lengths_count_characters_not_bytes() {
        let config = LengthConfig { min_question: 2, max_question: 4, min_answer: 1, max_answer: 3 };
        let check = |q: &str, a: &str| reason(check_length(&Example::pair(q, a, ""), &config));
        assert_eq!(check("éééé", "a"), None);
        assert_eq!(check("é", "a"), Some(DropReason::TooShort));
        assert_eq!(check("ééééé", "a"), Some(DropReason::TooLong));
        assert_eq!(check("ab", "abcd"), Some(DropReason::TooLong));
    }
}
