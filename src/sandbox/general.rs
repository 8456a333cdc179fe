//! General skills for a tiny base model: seven tasks whose answer stands in the question.
//!
//! All of them can be solved by attending to an earlier occurrence and copying what follows (induction),
//! which a model of four layers learns within minutes. The records and lines resemble logs without being
//! any of the domain's, so that copying identifiers transfers to the domain while its answers stay unseen:
//! the domain's words and codes do occur, but neither its policy nor its JSON.

use std::collections::BTreeSet;

use slm_data::Example;

use super::dice::{Dice, fnv1a};
use super::logs::FAULTS;
use super::words::{CODE_LETTERS, COLORS, FRAGMENTS, NAMES, RELATIONS, ROLES, WORDS};

const SHARE: u64 = 8;

/// A general skill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GeneralTask {
    /// Say a short list again.
    Copy,
    /// Say three or four words backwards.
    Reverse,
    /// The value of one or two named keys of a record.
    Extract,
    /// The item of a described kind (address, duration, code, ...) in a line.
    Find,
    /// The name that has a given value.
    Lookup,
    /// A fact stated in the question: who lives where.
    Facts,
    /// The first or last word of a list, or the one after another.
    Select,
}

impl GeneralTask {
    /// All tasks.
    pub const ALL: [Self; 7] =
        [Self::Copy, Self::Reverse, Self::Extract, Self::Find, Self::Lookup, Self::Facts, Self::Select];

    /// The task's name, the last part of an example's source: `generator:general/copy`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Reverse => "reverse",
            Self::Extract => "extract",
            Self::Find => "find",
            Self::Lookup => "lookup",
            Self::Facts => "facts",
            Self::Select => "select",
        }
    }

    /// The task that a generated example belongs to.
    pub fn of(example: &Example) -> Option<Self> {
        let name = example.source.strip_prefix("generator:general/")?;
        Self::ALL.into_iter().find(|task| task.name() == name)
    }

    fn roll(self, dice: &mut Dice) -> (String, String) {
        match self {
            Self::Copy => copy(dice),
            Self::Reverse => reverse(dice),
            Self::Extract => extract(dice),
            Self::Find => find(dice),
            Self::Lookup => lookup(dice),
            Self::Facts => facts(dice),
            Self::Select => select(dice),
        }
    }
}

/// `n` training examples with different questions; extraction and finding are twice as frequent.
pub fn general_examples(n: usize, seed: u64) -> Vec<Example> {
    use GeneralTask::{Copy, Extract, Facts, Find, Lookup, Reverse, Select};
    let mix = [Copy, Extract, Find, Lookup, Facts, Extract, Reverse, Find, Select];
    generate(n, &mix, &mut Dice::new(seed, 10), |hash| hash % SHARE != 0)
}

/// `n` test examples, equally many of each task (to within one).
///
/// One eighth of all possible questions, told by a hash of the text, is reserved for suites: no seed of
/// [`general_examples`] can give a question of any suite.
pub fn general_suite(n: usize, seed: u64) -> Vec<Example> {
    generate(n, &GeneralTask::ALL, &mut Dice::new(seed, 11), |hash| hash % SHARE == 0)
}

fn generate(n: usize, mix: &[GeneralTask], dice: &mut Dice, owned: impl Fn(u64) -> bool) -> Vec<Example> {
    let mut seen = BTreeSet::new();
    let mut examples = Vec::with_capacity(n);
    while examples.len() < n {
        let task = mix[examples.len() % mix.len()];
        let (question, answer) = task.roll(dice);
        if owned(fnv1a(&question)) && seen.insert(question.clone()) {
            examples.push(Example::pair(question, answer, format!("generator:general/{}", task.name())));
        }
    }
    dice.shuffle(&mut examples);
    examples
}

/// A code; now and then one of the domain's, which a tokenizer may hold as one token.
fn code(dice: &mut Dice) -> String {
    if dice.one_in(5) {
        return FAULTS[dice.index(FAULTS.len())].code.to_owned();
    }
    format!("{}{:04}", dice.pick(CODE_LETTERS), dice.number(0, 9999))
}

fn any_word(dice: &mut Dice) -> String {
    if dice.one_in(3) { dice.pick(WORDS).to_owned() } else { dice.word() }
}

fn item(dice: &mut Dice) -> String {
    match dice.number(0, 10) {
        0 | 1 => dice.host(ROLES),
        2 => code(dice),
        3 => dice.hex(),
        4 => dice.number(1, 9999).to_string(),
        5 => format!("{}ms", dice.number(1, 999)),
        6 => dice.ip(),
        7 | 8 => format!("{}{}{}", any_word(dice), dice.pick(FRAGMENTS), any_word(dice)),
        _ => any_word(dice),
    }
}

/// `n` different words.
fn words(dice: &mut Dice, n: usize) -> Vec<String> {
    let mut words: Vec<String> = Vec::with_capacity(n);
    while words.len() < n {
        let word = any_word(dice);
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

fn copy(dice: &mut Dice) -> (String, String) {
    let n = dice.number(1, 5);
    let text = (0..n).map(|_| item(dice)).collect::<Vec<_>>().join(" ");
    (format!("{} {text}", dice.pick(&["Repeat:", "Copy:", "Say again:"])), text)
}

fn reverse(dice: &mut Dice) -> (String, String) {
    let n = dice.index(2) + 3;
    let mut words = words(dice, n);
    let question = format!("Reverse: {}", words.join(" "));
    words.reverse();
    (question, words.join(" "))
}

/// A key and a value of its kind.
fn field(key: &'static str, dice: &mut Dice) -> (&'static str, String) {
    let value = match key {
        "host" | "unit" => dice.host(ROLES),
        "code" => code(dice),
        "ip" => dice.ip(),
        "time" => format!("{}ms", dice.number(1, 999)),
        "size" | "port" => dice.number(1, 9999).to_string(),
        "hash" => dice.hex(),
        "color" => dice.pick(COLORS).to_owned(),
        _ => any_word(dice),
    };
    (key, value)
}

fn extract(dice: &mut Dice) -> (String, String) {
    const KEYS: &[&str] = &[
        "name", "host", "unit", "code", "ip", "time", "size", "port", "hash", "color", "service", "action",
        "kind",
    ];
    let n = dice.index(3) + 3;
    let fields: Vec<_> = dice.several(KEYS, n).into_iter().map(|key| field(key, dice)).collect();
    let (between, after) = dice.pick(&[(": ", "; "), ("=", " "), (": ", ", "), (" is ", ", "), ("=", "; ")]);
    let record =
        fields.iter().map(|(key, value)| format!("{key}{between}{value}")).collect::<Vec<_>>().join(after);
    let wanted = dice.several(&(0..n).collect::<Vec<_>>(), 2);
    let (first, second) = (&fields[wanted[0]], &fields[wanted[1]]);
    if dice.one_in(3) {
        return (
            format!("{record}. What are the {} and the {}?", first.0, second.0),
            format!("{} {}", first.1, second.1),
        );
    }
    (format!("{record}. What is the {}?", first.0), first.1.clone())
}

fn find(dice: &mut Dice) -> (String, String) {
    let mut parts = vec![
        ("id", dice.host(ROLES)),
        ("code", code(dice)),
        ("address", dice.ip()),
        ("time", dice.time()),
        ("length", format!("{}ms", dice.number(1, 999))),
        ("share", format!("{}%", dice.number(1, 99))),
        ("unit", format!("{}[{}]", any_word(dice), dice.number(100, 9999))),
    ];
    dice.shuffle(&mut parts);
    let kept = dice.index(3) + 2;
    parts.truncate(kept);
    let mut shown: Vec<String> = parts.iter().map(|(_, value)| value.clone()).collect();
    for _ in 0..dice.number(1, 3) {
        let place = dice.index(shown.len() + 1);
        shown.insert(place, any_word(dice));
    }
    let line = shown.join(dice.pick(&[" ", " ", " | "]));
    // A unit is asked for without its bracketed number, as a log's reader would.
    let plain = |(kind, value): &(&str, String)| match *kind {
        "unit" => value.split('[').next().unwrap_or_default().to_owned(),
        _ => value.clone(),
    };
    if dice.one_in(3) {
        let (first, second) = (&parts[0], &parts[1]);
        let question = format!("Find the {} and the {}: {line}", first.0, second.0);
        return (question, format!("{} {}", plain(first), plain(second)));
    }
    (format!("Find the {}: {line}", parts[0].0), plain(&parts[0]))
}

fn lookup(dice: &mut Dice) -> (String, String) {
    let n = dice.index(3) + 2;
    let holders = words(dice, n);
    let mut values: Vec<String> = Vec::with_capacity(n);
    while values.len() < n {
        let value = match dice.number(0, 2) {
            0 => dice.host(ROLES),
            1 => code(dice),
            _ => dice.number(1, 999).to_string(),
        };
        if !values.contains(&value) {
            values.push(value);
        }
    }
    let list = holders.iter().zip(&values).map(|(who, what)| format!("{who} has {what}")).collect::<Vec<_>>();
    let asked = dice.index(n);
    (format!("{}. Who has {}?", list.join("; "), values[asked]), holders[asked].clone())
}

fn facts(dice: &mut Dice) -> (String, String) {
    let n = dice.index(2) + 2;
    let (states, asks, objects) = dice.pick(RELATIONS);
    let mut who = dice.several(NAMES, n);
    // One name of half of the questions is made up, so that the answer cannot hang on known ones.
    let made_up = dice.word();
    let name = format!("{}{}", made_up[..1].to_uppercase(), &made_up[1..]);
    if dice.one_in(2) {
        who[0] = &name;
    }
    let what = dice.several(objects, n);
    let told = who.iter().zip(&what).map(|(who, what)| format!("{} {what}.", states.replace("{}", who)));
    let told = told.collect::<Vec<_>>().join(" ");
    let asked = dice.index(n);
    (format!("{told} {}", asks.replace("{}", who[asked])), what[asked].to_owned())
}

fn select(dice: &mut Dice) -> (String, String) {
    let n = dice.index(4) + 3;
    let words = words(dice, n);
    let list = words.join(" ");
    match dice.number(0, 2) {
        0 => (format!("First word of: {list}"), words[0].clone()),
        1 => (format!("Last word of: {list}"), words[n - 1].clone()),
        _ => {
            let at = dice.index(n - 1);
            (format!("Word after {} in: {list}", words[at]), words[at + 1].clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_examples() {
        assert_eq!(general_examples(300, 5), general_examples(300, 5));
        assert_ne!(general_examples(300, 5), general_examples(300, 6));
    }

    #[test]
    fn suite_and_training_share_no_question() {
        let train: BTreeSet<String> =
            (0..5).flat_map(|seed| general_examples(2000, seed)).map(|e| e.question().to_owned()).collect();
        let suite = general_suite(700, 3);
        assert!(suite.iter().all(|e| !train.contains(e.question())));
        let own: BTreeSet<&str> = suite.iter().map(Example::question).collect();
        assert_eq!(own.len(), suite.len());
    }

    #[test]
    fn every_task_is_in_the_suite_equally_often() {
        let suite = general_suite(70, 1);
        for task in GeneralTask::ALL {
            assert_eq!(suite.iter().filter(|e| GeneralTask::of(e) == Some(task)).count(), 10, "{task:?}");
        }
    }

    #[test]
    fn answers_are_made_of_the_question_and_are_no_json_objects() {
        for example in general_examples(5000, 2) {
            let (question, answer) = (example.question(), example.answer());
            assert!(!answer.is_empty());
            assert!(answer.split(' ').all(|word| question.contains(word)), "{question} -> {answer}");
            let parsed = serde_json::from_str::<serde_json::Value>(answer);
            assert!(!parsed.is_ok_and(|value| value.is_object()), "{answer}");
        }
    }

    #[test]
    fn lookups_and_facts_have_one_answer() {
        for example in general_examples(3000, 9) {
            let question = example.question();
            if GeneralTask::of(&example) == Some(GeneralTask::Lookup) {
                let value = question.rsplit("Who has ").next().unwrap_or_default().trim_end_matches('?');
                let told = question.split(". Who").next().unwrap_or_default();
                let holders: Vec<&str> = told
                    .split("; ")
                    .filter_map(|part| part.split_once(" has "))
                    .filter(|(_, what)| *what == value)
                    .map(|(who, _)| who)
                    .collect();
                assert_eq!(holders, [example.answer()], "{question}");
            }
        }
    }

    #[test]
    fn questions_are_short() {
        let examples = general_examples(3000, 4);
        let words =
            |e: &Example| e.question().split_whitespace().count() + e.answer().split_whitespace().count();
        let total: usize = examples.iter().map(words).sum();
        let longest = examples.iter().map(words).max().unwrap_or_default();
        println!("general: mean {} words, longest {longest}", total / examples.len());
        assert!(longest <= 45);
    }
}
