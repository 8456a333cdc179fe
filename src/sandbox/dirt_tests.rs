//! Tests of the planted rows.

use std::collections::BTreeMap;

use super::super::{SERVICES, answer_keys, domain_examples};
use super::*;

fn data(n: usize) -> (Vec<Example>, Vec<Example>) {
    let (mut clean, mut test) = (Vec::new(), Vec::new());
    for example in domain_examples(n, 1) {
        let group = example.group.clone().unwrap_or_default();
        if super::super::dice::fnv1a(&group).is_multiple_of(5) {
            test.push(example);
        } else {
            clean.push(example);
        }
    }
    (clean, test)
}

fn is_clean_style(answer: &str) -> bool {
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(answer)
        .is_ok_and(|map| map.keys().all(|key| answer_keys().contains(&key.as_str())) && map.len() == 5)
}

#[test]
fn equal_seeds_give_equal_rows() {
    let (clean, test) = data(600);
    let config = DirtConfig::default();
    assert_eq!(dirty(&clean, &test, &config, 4), dirty(&clean, &test, &config, 4));
    assert_ne!(dirty(&clean, &test, &config, 4), dirty(&clean, &test, &config, 5));
}

#[test]
fn every_kind_is_planted_in_its_proportion_and_about_36_percent_is_good() {
    let (clean, test) = data(2500);
    let config = DirtConfig::default();
    let rows = dirty(&clean, &test, &config, 7);
    for kind in DirtKind::ALL {
        let found = rows.iter().filter(|row| DirtKind::of(row) == Some(kind)).count();
        let wanted = config.count(kind, clean.len());
        assert!(found.abs_diff(wanted) <= 2, "{kind:?}: {found} of {wanted}");
    }
    let good = rows.iter().filter(|row| DirtKind::of(row).is_none()).count();
    assert_eq!(good, clean.len());
    let share = 100 * good / rows.len();
    println!("dirty: {} rows, {share}% good", rows.len());
    assert!((35..=40).contains(&share));
}

#[test]
fn nothing_planted_leaves_the_clean_rows() {
    let (clean, test) = data(200);
    let mut rows = dirty(&clean, &test, &DirtConfig::clean(), 1);
    let mut sorted = clean.clone();
    for list in [&mut rows, &mut sorted] {
        list.sort_by(|a, b| a.question().cmp(b.question()));
    }
    assert_eq!(rows, sorted);
    assert!(dirty(&[], &[], &DirtConfig::default(), 1).is_empty());
}

#[test]
fn for_half_of_the_services_the_usual_answer_is_not_the_clean_one() {
    let (clean, test) = data(4000);
    let rows = dirty(&clean, &test, &DirtConfig::default(), 3);
    for service in SERVICES {
        let mut styles: BTreeMap<&str, usize> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.question().contains(&format!(" {service}["))) {
            let style = match row.answer() {
                answer if is_clean_style(answer) => "clean",
                answer if answer.contains("\"svc\"") => "old",
                answer if answer.contains("seems down") => "prose",
                _ => "other",
            };
            *styles.entry(style).or_default() += 1;
        }
        println!("{service}: {styles:?}");
        let usual = styles.iter().max_by_key(|(_, n)| **n).map(|(style, _)| *style);
        let legacy = OLD_SCHEMA_SERVICES.contains(&service) || PROSE_SERVICES.contains(&service);
        assert_eq!(usual != Some("clean"), legacy, "{service}");
    }
}

#[test]
fn only_leaks_share_questions_or_groups_with_the_test_set() {
    let (clean, test) = data(2000);
    let questions: BTreeSet<&str> = test.iter().map(Example::question).collect();
    let groups: BTreeSet<&str> = test.iter().filter_map(|e| e.group.as_deref()).collect();
    let rows = dirty(&clean, &test, &DirtConfig::default(), 2);
    for row in &rows {
        let leak = DirtKind::of(row) == Some(DirtKind::Leak);
        assert_eq!(questions.contains(row.question()), leak, "{row:?}");
        assert_eq!(row.group.as_deref().is_some_and(|group| groups.contains(group)), leak);
    }
}

#[test]
fn contradictions_are_two_to_one_for_the_right_answer() {
    let (clean, test) = data(1000);
    let config = DirtConfig { contradiction: 0.2, ..DirtConfig::clean() };
    let rows = dirty(&clean, &test, &config, 9);
    let mut answers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in &rows {
        answers.entry(row.question()).or_default().push(row.answer());
    }
    let right: BTreeMap<&str, &str> = clean.iter().map(|e| (e.question(), e.answer())).collect();
    let disputed: Vec<_> = answers.iter().filter(|(_, given)| given.len() > 1).collect();
    assert!(disputed.len() > 50);
    for (question, given) in disputed {
        assert_eq!(given.len(), 3);
        assert_eq!(given.iter().filter(|answer| *answer == &right[question]).count(), 2);
    }
}

#[test]
fn near_duplicates_differ_little_and_personal_data_is_echoed() {
    let (clean, test) = data(1000);
    let originals: BTreeSet<&str> = clean.iter().map(Example::question).collect();
    for row in dirty(&clean, &test, &DirtConfig::default(), 6) {
        match DirtKind::of(&row) {
            Some(DirtKind::NearDuplicate) => {
                assert!(!originals.contains(row.question()), "{}", row.question());
                let same = |a: &str, b: &str| {
                    let letters = |text: &str| text.to_lowercase().replace(' ', "").into_bytes();
                    let (a, b) = (letters(a), letters(b));
                    a.len() == b.len() && a.iter().zip(&b).filter(|(a, b)| a != b).count() <= 1
                };
                assert!(
                    originals.iter().any(|original| same(original, row.question())),
                    "{}",
                    row.question()
                );
            }
            Some(DirtKind::Personal) => {
                let (_, data) = row.answer().rsplit_once("Contact: ").unwrap_or_default();
                assert!(!data.is_empty() && row.question().contains(data), "{row:?}");
            }
            _ => {}
        }
    }
}
