//! Every kind of dirt is planted among clean rows, and must be dropped for its own reason.

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slm_data::{
    AnswerSchema, CurateConfig, Curated, Determined, DropReason, Example, PiiAction, PiiConfig, PiiKind,
    curate,
};

const SERVICES: [&str; 5] = ["ledger", "indexer", "relay", "vault", "printer"];
const FAULTS: [(&str, &str, &str); 5] = [
    ("E101", "high", "volume {} is nearly full"),
    ("E202", "low", "certificate {} expires soon"),
    ("E303", "medium", "peer {} did not reply in time"),
    ("E404", "high", "table {} is locked by another writer"),
    ("E505", "low", "quota of tenant {} was exceeded"),
];

/// A made-up log line and its right answer: date time host service[pid] LEVEL CODE message.
fn row(rng: &mut ChaCha8Rng) -> Example {
    let mut number = |low: u32, high: u32| rng.random_range(low..=high);
    let date = format!("2025-{:02}-{:02}", number(1, 12), number(1, 28));
    let time = format!("{:02}:{:02}:{:02}", number(0, 23), number(0, 59), number(0, 59));
    let host = format!("rack{}-{:02}", number(1, 9), number(1, 99));
    let service = SERVICES[number(0, 4) as usize];
    let (code, severity, message) = FAULTS[number(0, 4) as usize];
    let message = message.replace("{}", &format!("x{:05}", number(0, 99_999)));
    let level = ["ERROR", "WARN"][number(0, 1) as usize];
    let line = format!("{date} {time} {host} {service}[{}] {level} {code} {message}", number(100, 9999));
    let answer = answer(&host, service, code, severity);
    Example::pair(format!("Classify: {line}"), answer, "clean")
}

fn answer(host: &str, service: &str, code: &str, severity: &str) -> String {
    format!(r#"{{"host":"{host}","service":"{service}","code":"{code}","severity":"{severity}"}}"#)
}

fn clean(n: usize, seed: u64) -> Vec<Example> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut seen = BTreeSet::new();
    std::iter::repeat_with(|| row(&mut rng))
        .filter(|e| seen.insert(e.question().to_owned()))
        .take(n)
        .collect()
}

fn config() -> CurateConfig {
    let strings = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
    let schema = AnswerSchema {
        keys: strings(&["host", "service", "code", "severity"]),
        grounded: strings(&["host", "service", "code"]),
        allowed: BTreeMap::from([("severity".to_owned(), strings(&["low", "medium", "high"]))]),
        determined: vec![Determined { by: "code".into(), key: "severity".into() }],
        ..AnswerSchema::default()
    };
    CurateConfig { schema: Some(schema), ..CurateConfig::default() }
}

/// A row with another question, answer or both, whose source says why it must be dropped.
fn spoiled(of: &Example, reason: DropReason) -> Example {
    let (question, right) = (of.question(), of.answer());
    let host = question.split(' ').nth(3).unwrap_or_default();
    let (question, answer) = match reason {
        DropReason::EmptyTurn => (question.to_owned(), "  ".to_owned()),
        DropReason::TooShort => ("?".to_owned(), right.to_owned()),
        DropReason::TooLong => (question.to_owned(), "log line after log line. ".repeat(1000)),
        DropReason::Refusal => (question.to_owned(), "I'm sorry, but I can't help with that.".to_owned()),
        DropReason::Repetition => (question.to_owned(), "check ".repeat(30)),
        DropReason::Gibberish => {
            (question.to_owned(), "zxqw kjvb xcvq wqrt zzkp qxjv bnmk xzqw vkjq".to_owned())
        }
        DropReason::Language => (
            format!("Was hat der Rechner {host} heute morgen gemeldet und wer muss sich darum kümmern?"),
            "Der Speicher ist fast voll, bitte löschen Sie alte Dateien so bald wie möglich.".to_owned(),
        ),
        DropReason::Truncated => (question.to_owned(), right[..right.len() / 2].to_owned()),
        DropReason::NotJson => (question.to_owned(), format!("Host {host} has a problem.")),
        DropReason::WrongKeys => (question.to_owned(), format!(r#"{{"node":"{host}","prio":2}}"#)),
        DropReason::Ungrounded => (question.to_owned(), right.replace(host, "rack0-00")),
        DropReason::NotAllowed => (question.to_owned(), answer_with(right, "urgent")),
        DropReason::LabelNoise => {
            let other = if right.contains("\"medium\"") { "high" } else { "medium" };
            (question.to_owned(), answer_with(right, other))
        }
        _ => (question.to_owned(), right.to_owned()),
    };
    Example::pair(question, answer, format!("{reason:?}"))
}

fn answer_with(right: &str, severity: &str) -> String {
    let start = right.split("\"severity\"").next().unwrap_or_default();
    format!("{start}\"severity\":\"{severity}\"}}")
}

const SINGLE: [DropReason; 13] = [
    DropReason::EmptyTurn,
    DropReason::TooShort,
    DropReason::TooLong,
    DropReason::Refusal,
    DropReason::Repetition,
    DropReason::Gibberish,
    DropReason::Language,
    DropReason::Truncated,
    DropReason::NotJson,
    DropReason::WrongKeys,
    DropReason::Ungrounded,
    DropReason::NotAllowed,
    DropReason::LabelNoise,
];

/// Clean rows, with 20 rows planted for each reason, and the evaluation set that some of them leak.
fn planted() -> (Vec<Example>, Vec<Example>) {
    let mut rows = clean(2000, 1);
    let mut fresh = clean(3000, 2).into_iter();
    let held: Vec<Example> = fresh.by_ref().take(20).collect();
    for reason in SINGLE {
        rows.extend(fresh.by_ref().take(20).map(|row| spoiled(&row, reason)));
    }
    rows.extend(held.iter().map(|row| spoiled(row, DropReason::Contaminated)));
    let originals = rows[..20].to_vec();
    rows.extend(originals.iter().map(|row| {
        Example::pair(
            row.question().replace(' ', "  ").replace("Classify", "CLASSIFY"),
            row.answer(),
            "ExactDuplicate",
        )
    }));
    rows.extend(rows[20..40].to_vec().iter().map(|row| {
        let question = row.question().replacen("Classify", "Classify it", 1);
        Example::pair(question, row.answer(), "NearDuplicate")
    }));
    // A source that contradicts another, on a value that no other rule looks at.
    for row in fresh.by_ref().take(20) {
        let twice = row.question().replace("Classify: ", "Classify: rack0-01 ");
        let host = row.question().split(' ').nth(3).unwrap_or_default().to_owned();
        rows.push(Example::pair(twice.as_str(), row.answer(), "Contradiction"));
        rows.push(Example::pair(
            twice.as_str(),
            row.answer().replace(&host, "rack0-01"),
            "Contradiction too",
        ));
    }
    (rows, held)
}

fn run() -> Curated {
    let (rows, held) = planted();
    curate(rows, &held, &config()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn each_kind_of_dirt_is_dropped_for_its_own_reason() {
    let curated = run();
    let mut kinds: Vec<DropReason> = SINGLE.to_vec();
    kinds.extend([
        DropReason::Contaminated,
        DropReason::ExactDuplicate,
        DropReason::NearDuplicate,
        DropReason::Contradiction,
    ]);
    for reason in kinds {
        let name = format!("{reason:?}");
        let right = curated.dropped.iter().filter(|row| row.example.source == name && row.reason == reason);
        let left: Vec<_> = curated.kept.iter().filter(|row| row.source == name).take(2).collect();
        let other: Vec<_> = curated
            .dropped
            .iter()
            .filter(|row| row.example.source == name && row.reason != reason)
            .take(2)
            .collect();
        assert_eq!(right.count(), 20, "{name}: kept {left:?}, dropped otherwise {other:?}");
    }
}

#[test]
fn clean_rows_survive() {
    let curated = run();
    let kept = curated.kept.iter().filter(|row| row.source == "clean").count();
    let lost: Vec<_> = curated.dropped.iter().filter(|row| row.example.source == "clean").take(3).collect();
    assert!(kept >= 1960, "{kept} of 2000: {lost:?}");
    assert_eq!(curated.redacted, 0, "numbers of the logs were taken for personal data");
}

#[test]
fn the_schema_is_found_among_the_dirt() {
    let (rows, _) = planted();
    let schema = AnswerSchema::infer(&rows, 0.5).unwrap_or_default();
    assert_eq!(schema.keys, ["host", "service", "code", "severity"]);
    assert_eq!(schema.grounded, ["host", "service", "code"]);
}

#[test]
fn personal_data_is_replaced_before_the_schema_is_checked() -> slm_data::Result<()> {
    let ask = |data: &str| format!("Classify: rack1-01 vault[7] ERROR E101 seen by {data}");
    let rows: Vec<Example> = ["ann@example.org", "+44 20 7946 0958", "4111 1111 1111 1111"]
        .iter()
        .map(|data| Example::pair(ask(data), format!(r#"{{"by":"{data}"}}"#), "personal"))
        .collect();
    let schema =
        AnswerSchema { keys: vec!["by".into()], grounded: vec!["by".into()], ..AnswerSchema::default() };
    let config = CurateConfig { schema: Some(schema), near_duplicates: None, ..CurateConfig::default() };
    let curated = curate(rows.clone(), &[], &config)?;
    let answers: Vec<&str> = curated.kept.iter().map(Example::answer).collect();
    assert_eq!(answers, [r#"{"by":"[EMAIL_1]"}"#, r#"{"by":"[PHONE_1]"}"#, r#"{"by":"[CARD_1]"}"#]);
    assert_eq!(curated.redacted, 3);
    assert_eq!(curated.report.redactions[&PiiKind::Email], 2);

    let pii = PiiConfig { action: PiiAction::Drop, ..PiiConfig::default() };
    let dropped = curate(rows.clone(), &[], &CurateConfig { pii, ..config.clone() })?;
    assert_eq!(dropped.report.count(DropReason::PersonalData), 3);
    let json = serde_json::to_string(&dropped.report).unwrap_or_default();
    assert!(!json.contains("ann@example.org") && json.contains("[EMAIL_1]"), "{json}");

    let pii = PiiConfig { action: PiiAction::Keep, ..PiiConfig::default() };
    assert_eq!(curate(rows.clone(), &[], &CurateConfig { pii, ..config })?.kept, rows);
    Ok(())
}

#[test]
fn leaks_are_found_although_both_sides_are_redacted() -> slm_data::Result<()> {
    let leak = Example::pair("Who is ann@example.org?", "A colleague in the office next door.", "train");
    let held = [Example::pair("who is  ann@example.org", "Nobody.", "test")];
    let curated = curate(vec![leak], &held, &CurateConfig::default())?;
    assert_eq!(curated.report.count(DropReason::Contaminated), 1);
    Ok(())
}
