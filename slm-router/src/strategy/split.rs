//! Questions in parts, by rules for English.

use super::compare::compare;
use crate::complexity::words::{QUESTION_WORDS, RELATIVES};

/// Splits a question into steps, each a question or the description of a thing; `#1` in a step stands for the answer of
/// the first. One step where no rule applies.
///
/// Three rules. Questions joined by a mark or by "and" are asked one by one. A thing that is described by a relative
/// clause is found first: "the capital of the country where Ann lives" becomes "the country where Ann lives" and "the
/// capital of #1". A thing within a thing is found from the inside: "the mayor of the capital of Peru" becomes "the
/// capital of Peru" and "the mayor of #1".
///
/// Before them, four forms that compare two named things ("Who was born first, A or B?") are known, in which each thing is
/// looked up by itself.
pub fn split_question(question: &str) -> Vec<String> {
    if let Some(steps) = compare(question) {
        return steps;
    }
    let mut steps = Vec::new();
    for ask in asks(question) {
        let first = steps.len();
        let mut rest = ask;
        // Two levels are common, four are not; the limit also ends what no rule ends.
        for _ in 0..3 {
            let Some((inner, outer)) = inner_thing(&rest, steps.len() + 1) else {
                break;
            };
            steps.push(inner);
            rest = outer;
        }
        // "it" in a later question is what the one before was about.
        if first > 0 {
            rest = replace_pronoun(&rest, first);
        }
        steps.push(rest);
    }
    steps
}

/// The questions of a text.
fn asks(text: &str) -> Vec<String> {
    let mut asks: Vec<String> = Vec::new();
    for sentence in text.split_inclusive('?') {
        let words: Vec<&str> = sentence.split_whitespace().collect();
        let mut ask: Vec<&str> = Vec::new();
        for (n, word) in words.iter().enumerate() {
            let next = words.get(n + 1).map(|next| bare(next));
            let begins = next.is_some_and(|next| QUESTION_WORDS.contains(&next.as_str()));
            // "who lived and where": three words at least are a question of their own.
            if matches!(bare(word).as_str(), "and" | "then") && begins && ask.len() > 2 && words.len() > n + 3
            {
                asks.push(ask.join(" "));
                ask.clear();
            } else {
                ask.push(word);
            }
        }
        if !ask.is_empty() {
            asks.push(ask.join(" "));
        }
    }
    asks.iter()
        .map(|ask| ask.trim_end_matches([',', ' ', '.', '?']).to_owned())
        .filter(|ask| !ask.is_empty())
        .collect()
}

/// The innermost thing that must be found first, and the question with `#step` in its place.
fn inner_thing(question: &str, step: usize) -> Option<(String, String)> {
    let words: Vec<&str> = question.split_whitespace().collect();
    let lower: Vec<String> = words.iter().map(|word| bare(word)).collect();
    let is = |n: usize, list: &[&str]| lower.get(n).is_some_and(|word| list.contains(&word.as_str()));
    // The last "the" or "a" with a relative clause behind it.
    let relative = (2..words.len()).rev().find(|&n| is(n, RELATIVES) && !is(n - 1, QUESTION_WORDS))?;
    let start = (0..relative).rev().take(4).find(|&n| is(n, &["the", "a", "an"]))?;
    // A subject at the very beginning has nothing around it to ask.
    if start < 2 || words.len() - relative < 2 {
        return None;
    }
    let inner = words.get(start..)?.join(" ");
    let outer = format!("{} #{step}", words.get(..start)?.join(" "));
    Some((inner.trim_end_matches(['?', '.', ',']).to_owned(), outer))
}

fn replace_pronoun(question: &str, step: usize) -> String {
    let replaced = question.split_whitespace().map(|word| match bare(word).as_str() {
        "it" | "he" | "she" | "they" => format!("#{step}"),
        _ => word.to_owned(),
    });
    replaced.collect::<Vec<_>>().join(" ")
}

fn bare(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric() && c != '#').to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::split_question;

    #[test]
    fn questions_in_parts() {
        for (question, steps) in [
            (
                "What is the capital of the country where Ann lives?",
                &["the country where Ann lives", "What is the capital of #1"][..],
            ),
            ("Who directed Alien and when did he die?", &["Who directed Alien", "when did #1 die"]),
            ("Which pump feeds tank T-5? Is it running?", &["Which pump feeds tank T-5", "Is #1 running"]),
            ("When was pump P-204 serviced last?", &["When was pump P-204 serviced last"]),
            ("Who is it that called?", &["Who is it that called"]),
            ("Who and what?", &["Who and what"]),
        ] {
            assert_eq!(split_question(question), steps, "{question}");
        }
        assert_eq!(split_question("?"), Vec::<String>::new());
    }
}
