//! Near duplicates: what is found, and what must survive.

use super::*;

fn duplicates(rows: &[(&str, &str)], threshold: f64, rule: NearRule) -> Vec<Option<usize>> {
    let rows: Vec<Example> = rows.iter().map(|(q, a)| Example::pair(*q, *a, "")).collect();
    let config = NearDuplicateConfig { threshold, rule, ..NearDuplicateConfig::default() };
    let found = near_duplicates(&rows, &config).unwrap_or_default();
    found.into_iter().map(|found| found.map(|found| found.of)).collect()
}

fn line(time: &str, host: &str) -> String {
    format!("2026-03-14 {time} {host} storage[4121] ERROR E4102 disk usage 97% on /var/data of the volume")
}

#[test]
fn a_changed_digit_is_a_duplicate_where_the_answer_does_not_depend_on_it() {
    let (first, second) = (line("09:26:53", "web-03"), line("09:26:58", "web-03"));
    let third = line("09:26:53", "web-04");
    let rows = [
        (first.as_str(), r#"{"host":"web-03"}"#),
        (second.as_str(), r#"{"host":"web-03"}"#),
        (third.as_str(), r#"{"host":"web-04"}"#),
    ];
    assert_eq!(duplicates(&rows, 0.85, NearRule::SameMeaning), [None, Some(0), None]);
    assert_eq!(duplicates(&rows, 0.85, NearRule::SimilarQuestion), [None, Some(0), Some(0)]);
    assert_eq!(duplicates(&rows, 0.99, NearRule::SimilarQuestion), [None, None, None]);
}

#[test]
fn rows_are_compared_with_rows_that_stay() {
    // Each differs from the one before by one word; the last has little of the first.
    let rows = [
        ("alpha beta gamma delta epsilon zeta eta theta", "x"),
        ("alpha beta gamma delta epsilon zeta eta iotas", "x"),
        ("alpha beta gamma delta epsilon zeta mus iotas", "x"),
    ];
    assert_eq!(duplicates(&rows, 0.7, NearRule::SimilarQuestion), [None, Some(0), None]);
}

#[test]
fn a_long_instruction_in_front_does_not_make_rows_alike() {
    let instruction = "Read the review below with care, think about what its author feels, and answer with \
                       one word, positive or negative, without any explanation whatsoever. Review: ";
    let words = ["lamp", "river", "stone", "cloud", "garden", "window", "paper", "train", "cup", "boat"];
    let review =
        |n: usize| format!("{instruction}The {} was better than my {}.", words[n % 10], words[n / 10]);
    let texts: Vec<String> = (0..100).map(review).collect();
    let rows: Vec<(&str, &str)> = texts.iter().map(|text| (text.as_str(), "positive")).collect();
    let found = duplicates(&rows, 0.85, NearRule::SameMeaning);
    assert_eq!(found.iter().flatten().count(), 0);
}

#[test]
fn settings_out_of_range_are_errors() {
    let config = NearDuplicateConfig { threshold: 1.5, ..NearDuplicateConfig::default() };
    assert!(near_duplicates(&[], &config).is_err());
}

#[test]
fn the_answer_can_be_compared_too() {
    let rows = [
        Example::pair(
            "Why is the first disk full of old files?",
            "Because nobody deletes old log files.",
            "",
        ),
        Example::pair("What fills the volume?", "Because nobody deletes old log files!", ""),
    ];
    let found = |compared| {
        let rule = NearRule::SimilarQuestion;
        let config = NearDuplicateConfig { compared, rule, ..NearDuplicateConfig::default() };
        near_duplicates(&rows, &config).is_ok_and(|found| found[1].is_some())
    };
    assert_eq!([Compared::Question, Compared::Answer, Compared::Both].map(found), [false, true, false]);
}
