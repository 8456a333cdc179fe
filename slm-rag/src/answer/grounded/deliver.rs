//! What is left of an answer after the check, as text.

use super::check::CheckedSentence;
use super::config::Unsupported;

/// What ends a sentence or a clause.
const ENDS: [char; 8] = ['.', '!', '?', ',', ';', '。', '！', '？'];
/// What joins a clause to the one before it.
const JOINTS: [&str; 3] = ["and ", "but ", "while "];

/// The sentence with its marks before the punctuation at its end. `numbers` are the passages cited so far.
pub(super) fn with_marks(sentence: &str, passages: &[usize], numbers: &mut Vec<usize>) -> String {
    let words = sentence.trim_end_matches(ENDS);
    let end = sentence.get(words.len()..).unwrap_or("");
    let gap = if words.ends_with(['`', '~']) { '\n' } else { ' ' };
    let mut out = format!("{words}{gap}");
    for passage in passages {
        let number = numbers.iter().position(|known| known == passage).unwrap_or_else(|| {
            numbers.push(*passage);
            numbers.len() - 1
        });
        out.push_str(&format!("[{}]", number + 1));
    }
    out + end
}

/// The text of the `n`-th claim; where the clause before or after it was left out, as a sentence of its own.
pub(super) fn standing(claims: &[CheckedSentence], n: usize, unsupported: Unsupported) -> String {
    let Some(claim) = claims.get(n) else {
        return String::new();
    };
    let is_out = |claim: Option<&CheckedSentence>| {
        claim.is_some_and(|c| !c.supported && unsupported != Unsupported::Flag)
    };
    let mut text = claim.text.clone();
    if claim.continues && is_out(n.checked_sub(1).and_then(|before| claims.get(before))) {
        let bare = JOINTS.iter().find_map(|joint| text.strip_prefix(joint)).unwrap_or(&text);
        let mut letters = bare.chars();
        let first = letters.next().map(char::to_uppercase);
        text = first.into_iter().flatten().chain(letters).collect();
    }
    let next = claims.get(n + 1).filter(|next| next.continues);
    if is_out(next) {
        text = format!("{}.", text.trim_end_matches([',', ';']));
    }
    text
}
