//! Exact duplicates, in normal form.

use std::collections::HashMap;

use rayon::prelude::*;

use super::reason::{DropReason, Verdict};
use crate::{Example, Role, text};

/// What gives an exact duplicate away, before the earlier row's source.
pub(crate) const EQUALS: &str = "equals an earlier row of ";

/// What is asked: all turns but the last answer, in normal form, and the answer.
pub(super) fn row_key(example: &Example) -> (String, String) {
    let last = example.messages.iter().rposition(|message| message.role == Role::Assistant);
    let mut context = String::new();
    for (at, message) in example.messages.iter().enumerate().filter(|(at, _)| Some(*at) != last) {
        if at > 0 {
            context.push('\n');
        }
        context.push_str(match message.role {
            Role::System => "s:",
            Role::User => "u:",
            Role::Assistant => "a:",
            Role::Tool => "t:",
        });
        context.push_str(&text::normalize(&message.content));
    }
    (context, text::normalize(example.answer()))
}

/// 128 bits of a row: two different rows of a billion have the same with a probability below 1e-20.
pub(crate) fn row_hash(example: &Example) -> u128 {
    let (context, answer) = row_key(example);
    let half =
        |seed| text::mix(text::hash(context.as_bytes(), seed) ^ text::hash(answer.as_bytes(), seed + 1));
    u128::from(half(1)) << 64 | u128::from(half(3))
}

/// A verdict per row: rows that an earlier one equals.
pub(super) fn exact_duplicates(rows: &[&Example]) -> Vec<Option<Verdict>> {
    let keys: Vec<u128> = rows.par_iter().map(|row| row_hash(row)).collect();
    let mut first: HashMap<u128, usize> = HashMap::with_capacity(rows.len());
    let mut verdicts = Vec::with_capacity(rows.len());
    for (at, key) in keys.into_iter().enumerate() {
        let earlier = *first.entry(key).or_insert(at);
        verdicts.push((earlier != at).then(|| {
            let detail = format!("{EQUALS}{}", rows[earlier].source);
            Verdict::new(DropReason::ExactDuplicate, detail).of(rows[earlier])
        }));
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    #[test]
    fn case_spaces_and_unicode_form_make_no_difference() {
        let rows = [
            Example::pair("Disk  full?", "Clean it.", "a"),
            Example::pair("disk full?", "clean\nit.", "b"),
            Example::pair("disk full?", "Clean it!", "c"),
            Example::pair("\u{ff44}isk full?", "clean it.", "d"),
        ];
        let verdicts = exact_duplicates(&rows.iter().collect::<Vec<_>>());
        assert_eq!(verdicts.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false, true]);
        assert_eq!(verdicts[3].as_ref().map(|v| v.detail.as_str()), Some("equals an earlier row of a"));
    }

    #[test]
    fn instructions_and_earlier_turns_make_a_difference() {
        let with = |system: &str| {
            let mut row = Example::pair("q", "a", "");
            row.messages.insert(0, Message { role: Role::System, content: system.into() });
            row
        };
        let rows = [Example::pair("q", "a", ""), with("Be short."), with("Be kind.")];
        assert!(exact_duplicates(&rows.iter().collect::<Vec<_>>()).iter().all(Option::is_none));
    }
}
