//! Questions that compare two named things: each is looked up by itself.

/// Steps of a question that compares two named things, where it has a form that is known:
///
/// - "Who was born first, A or B?", "Which is older, A or B?": when each, and which is lower.
/// - "Are A and B both directors?": each, and whether both are true.
/// - "Are A and B from the same country?": the country of each, and whether they are the same.
/// - "How many more goals did A score than B?": how many each, and the difference.
pub(super) fn compare(question: &str) -> Option<Vec<String>> {
    let question = question.trim().trim_end_matches(['?', '.', ' ']);
    let words: Vec<&str> = question.split_whitespace().collect();
    alternatives(question).or_else(|| both(&words)).or_else(|| difference(&words))
}

fn alternatives(question: &str) -> Option<Vec<String>> {
    let (asked, names) = question.rsplit_once(", ")?;
    let (a, b) = names.strip_prefix("either ").unwrap_or(names).split_once(" or ")?;
    if !(is_name(a) && is_name(b)) {
        return None;
    }
    let asked = asked.to_lowercase();
    let has = |all: &[&str]| all.iter().any(|word| asked.split(' ').any(|other| other == *word));
    let least = has(&["first", "earlier", "older", "oldest"]);
    if !least && !has(&["last", "later", "younger", "youngest", "newer"]) {
        return None;
    }
    // What happened to them: "was born", "died", "formed".
    let ask = |name: &str| match () {
        () if has(&["born", "older", "younger", "oldest", "youngest"]) => format!("when was {name} born"),
        () if has(&["died", "die"]) => format!("when did {name} die"),
        () => match asked
            .split(' ')
            .rev()
            .find(|w| w.ends_with("ed") || matches!(*w, "made" | "built" | "founded"))
        {
            Some(verb) => format!("when was {name} {verb}"),
            None => format!("when was {name}"),
        },
    };
    let which = if least { "lowest" } else { "highest" };
    Some(vec![ask(a), ask(b), format!("which is the {which} of #1, #2")])
}

const BEGINNINGS: [&str; 12] =
    ["is", "are", "was", "were", "do", "does", "did", "have", "has", "had", "can", "could"];

/// "Are A and B both P", "Are both A and B P", "Are A and B in the same P".
fn both(words: &[&str]) -> Option<Vec<String>> {
    let (begin, rest) = words.split_first()?;
    if !BEGINNINGS.contains(&begin.to_lowercase().as_str()) {
        return None;
    }
    let (rest, first_both) = match rest.split_first() {
        Some((word, rest)) if word.eq_ignore_ascii_case("both") => (rest, true),
        _ => (rest, false),
    };
    let and = rest.iter().position(|word| *word == "and")?;
    let a = rest.get(..and)?.join(" ");
    let after = rest.get(and + 1..)?;
    // The second name ends with its last capital before the rest; short words may stand in it.
    let end = name_end(after)?;
    let (b, said) = (after.get(..end)?.join(" "), after.get(end..)?);
    if !(is_name(&a) && is_name(&b)) || said.is_empty() {
        return None;
    }
    if let Some(same) = said.windows(2).position(|pair| pair == ["the", "same"]) {
        let what = said.get(same + 2..).filter(|what| !what.is_empty())?.join(" ");
        return Some(vec![
            format!("the {what} of {a}"),
            format!("the {what} of {b}"),
            "is #1 the same as #2".to_owned(),
        ]);
    }
    let second_both = said.iter().position(|word| *word == "both");
    if !first_both && second_both.is_none() {
        return None;
    }
    let said: Vec<&str> = said.iter().copied().filter(|word| *word != "both").collect();
    let begin = match begin.to_lowercase().as_str() {
        "are" => "is".to_owned(),
        "were" => "was".to_owned(),
        "do" => "does".to_owned(),
        other => other.to_owned(),
    };
    let ask = |name: &str| format!("{begin} {name} {}", said.join(" "));
    Some(vec![ask(&a), ask(&b), "are both #1 and #2 true".to_owned()])
}

/// "How many more P did A V than B".
fn difference(words: &[&str]) -> Option<Vec<String>> {
    let lower: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    let starts = ["how", "many", "more"].iter().zip(&lower).all(|(a, b)| a == b);
    let than = lower.iter().position(|word| word == "than")?;
    let verb =
        lower.iter().position(|word| matches!(word.as_str(), "did" | "do" | "does" | "were" | "was"))?;
    if !starts || verb < 4 || than < verb + 3 || than + 1 >= words.len() {
        return None;
    }
    let (counted, b) = (words.get(3..verb)?.join(" "), words.get(than + 1..)?.join(" "));
    let clause = words.get(verb + 1..than)?;
    let end = name_end(clause).unwrap_or(1);
    let (a, said) = (clause.get(..end)?.join(" "), clause.get(end..)?.join(" "));
    let b = b.strip_prefix("did ").or_else(|| b.strip_prefix("the ")).unwrap_or(&b).to_owned();
    let ask = |name: &str| {
        format!("how many {counted} {} {name} {said}", words.get(verb).unwrap_or(&"did"))
            .trim_end()
            .to_owned()
    };
    Some(vec![ask(&a), ask(&b), "the difference of #1 and #2".to_owned()])
}

fn is_capital(word: &str) -> bool {
    word.chars().next().is_some_and(|c| c.is_uppercase() || c.is_numeric())
}

/// Whether a text begins with a capital and is no sentence.
fn is_name(text: &str) -> bool {
    let mut words = text.split_whitespace().filter(|word| !matches!(*word, "the" | "The" | "a"));
    words.next().is_some_and(is_capital) && text.split_whitespace().count() <= 8
}

/// Where the name at the beginning ends: behind its last capital, over small words such as "of".
fn name_end(words: &[&str]) -> Option<usize> {
    let mut end = None;
    for (n, word) in words.iter().enumerate() {
        match word.to_lowercase().as_str() {
            _ if is_capital(word) => end = Some(n + 1),
            "the" | "of" | "de" | "van" | "von" | "la" | "du" | "del" | "&" => {}
            _ => break,
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::compare;

    #[test]
    fn two_named_things_are_looked_up_by_themselves() {
        for (question, steps) in [
            (
                "Who was born first, Ann Lee or Bo van Dam?",
                ["when was Ann Lee born", "when was Bo van Dam born", "which is the lowest of #1, #2"],
            ),
            (
                "Which band formed later, Red Tide or The Pumps?",
                ["when was Red Tide formed", "when was The Pumps formed", "which is the highest of #1, #2"],
            ),
            (
                "Are Ann Lee and Bo Dam both engineers?",
                ["is Ann Lee engineers", "is Bo Dam engineers", "are both #1 and #2 true"],
            ),
            (
                "Are both Lima and Quito capital cities?",
                ["is Lima capital cities", "is Quito capital cities", "are both #1 and #2 true"],
            ),
            (
                "Were Ann Lee and Bo Dam from the same country?",
                ["the country of Ann Lee", "the country of Bo Dam", "is #1 the same as #2"],
            ),
            (
                "How many more pumps did Kiel order than Bremen?",
                [
                    "how many pumps did Kiel order",
                    "how many pumps did Bremen order",
                    "the difference of #1 and #2",
                ],
            ),
        ] {
            assert_eq!(compare(question), Some(steps.map(str::to_owned).to_vec()), "{question}");
        }
        for question in [
            "Who was born first?",
            "Which is better, red or blue?",
            "Are pumps and valves both parts?",
            "How many more pumps are needed?",
            "Is Lima in Peru and is it large?",
            "",
        ] {
            assert_eq!(compare(question), None, "{question}");
        }
    }
}
