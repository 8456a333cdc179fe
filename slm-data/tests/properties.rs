//! What must hold for any rows.

use std::collections::BTreeSet;

use proptest::prelude::*;
use slm_data::{
    AnswerSchema, CurateConfig, Curated, Example, LengthBucket, Message, PiiConfig, Role, SplitConfig,
    curate, mix_replay, split,
};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        // Few words, so that rows collide in every way.
        prop::collection::vec(
            prop::sample::select(vec![
                "disk",
                "full",
                "on",
                "web-03",
                "Web-03",
                "ann@example.org",
                "+49 30 5550 1234",
                "{\"a\":1}",
                "{\"a\":",
                "4111 1111 1111 1111",
                "```",
                "sorry, but I can't",
                "der Dienst antwortet nicht mehr",
                "zxqwv",
                "\u{fb01}le",
            ]),
            0..14,
        )
        .prop_map(|words| words.join(" ")),
        "\\PC{0,60}",
        any::<String>(),
    ]
}

fn example() -> impl Strategy<Value = Example> {
    let role = prop::sample::select(vec![Role::System, Role::User, Role::Assistant]);
    let odd =
        prop::collection::vec((role, text()).prop_map(|(role, content)| Message { role, content }), 0..4);
    let pair = (text(), text()).prop_map(|(question, answer)| Example::pair(question, answer, "").messages);
    (
        prop_oneof![4 => pair, 1 => odd],
        prop::sample::select(vec!["a.jsonl:1", "a.jsonl:2", "b", ""]),
        prop::option::of(prop::sample::select(vec!["g1", "g2", "g3"])),
    )
        .prop_map(|(messages, source, group)| Example {
            messages,
            source: source.to_owned(),
            group: group.map(str::to_owned),
            ..Example::default()
        })
}

fn examples() -> impl Strategy<Value = Vec<Example>> {
    prop::collection::vec(example(), 0..60)
}

fn run(rows: Vec<Example>, held: &[Example], threads: usize) -> Curated {
    let schema = AnswerSchema { keys: vec!["a".into()], ..AnswerSchema::default() };
    let config =
        CurateConfig { schema: rows.len().is_multiple_of(2).then_some(schema), ..CurateConfig::default() };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.unwrap_or_else(|error| panic!("{error}"));
    pool.install(|| curate(rows, held, &config)).unwrap_or_else(|error| panic!("{error}"))
}

fn total(buckets: &[LengthBucket]) -> usize {
    buckets.iter().map(|bucket| bucket.count).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reports_add_up(rows in examples(), held in prop::collection::vec(example(), 0..5)) {
        let n = rows.len();
        let Curated { kept, dropped, redacted, report } = run(rows, &held, 2);
        prop_assert_eq!(kept.len() + dropped.len(), n);
        prop_assert_eq!((report.input, report.kept, report.dropped), (n, kept.len(), dropped.len()));
        let mut left = n;
        for step in &report.steps {
            prop_assert_eq!(step.input, left);
            prop_assert_eq!(step.kept + step.dropped(), step.input);
            for reason in &step.reasons {
                prop_assert_eq!(reason.reason.step(), step.step);
                prop_assert_eq!(reason.samples.len(), reason.count.min(3));
                prop_assert_eq!(dropped.iter().filter(|row| row.reason == reason.reason).count(), reason.count);
            }
            left = step.kept;
        }
        prop_assert_eq!(left, kept.len());
        prop_assert!(report.steps.windows(2).all(|pair| pair[0].step < pair[1].step));
        prop_assert_eq!(total(&report.lengths.question_before), n);
        prop_assert_eq!(total(&report.lengths.answer_after), kept.len());
        prop_assert_eq!(report.sources.values().map(|source| source.input).sum::<usize>(), n);
        prop_assert_eq!(report.sources.values().map(|source| source.kept).sum::<usize>(), kept.len());
        prop_assert_eq!(report.redacted_rows, redacted);
        prop_assert!(report.redactions.values().sum::<usize>() >= redacted);
        let table = report.to_string();
        prop_assert!(table.starts_with(&format!("{} of {n} rows kept", kept.len())), "{}", table);
    }

    #[test]
    fn the_number_of_threads_makes_no_difference(rows in examples()) {
        prop_assert_eq!(run(rows.clone(), &[], 1), run(rows, &[], 4));
    }

    #[test]
    fn kept_rows_hold_no_personal_data_and_no_duplicates(rows in examples()) {
        let kept = run(rows, &[], 2).kept;
        let mut seen = BTreeSet::new();
        for row in &kept {
            prop_assert!(seen.insert(row.messages.iter().map(|m| m.content.as_str()).collect::<Vec<_>>()));
            for message in &row.messages {
                prop_assert!(!message.content.contains("ann@example.org"), "{}", message.content);
            }
        }
        // Nothing is left to redact.
        let only_pii = CurateConfig {
            pii: PiiConfig::default(),
            length: None,
            refusals: None,
            quality: None,
            language: None,
            ..CurateConfig::default()
        };
        let again = curate(kept.clone(), &[], &only_pii).unwrap_or_else(|error| panic!("{error}"));
        let changed: Vec<_> = kept.iter().zip(&again.kept).filter(|(before, after)| before != after).collect();
        prop_assert!(again.redacted == 0, "{:?}", changed);
    }

    #[test]
    fn parts_share_nothing(rows in examples(), seed in any::<u64>(), share in 0.05..0.45) {
        let n = rows.len();
        let Ok(parts) = split(rows, &SplitConfig { validation: share, test: share, seed }) else {
            // Too few groups: at most two can be told apart.
            return Ok(());
        };
        let parts = [parts.train, parts.validation, parts.test];
        prop_assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), n);
        let keys = |part: &[Example]| -> BTreeSet<String> {
            let question = |row: &Example| row.question().split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
            part.iter().map(question).chain(part.iter().filter_map(|row| row.group.clone())).collect()
        };
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            prop_assert!(!parts[a].is_empty());
            prop_assert!(keys(&parts[a]).is_disjoint(&keys(&parts[b])));
        }
    }

    #[test]
    fn mixes_have_their_ratio(domain in 0_usize..80, general in 1_usize..40, ratio in 0.0..0.9) {
        let rows = |name: &str, n: usize| (0..n).map(|i| Example::pair(format!("{name}{i}"), "a", name)).collect::<Vec<_>>();
        let mixed = mix_replay(&rows("d", domain), &rows("g", general), ratio, 1).unwrap_or_default();
        let found = mixed.iter().filter(|row| row.source == "g").count();
        prop_assert_eq!(mixed.len() - found, domain);
        let wanted = domain as f64 * ratio / (1.0 - ratio);
        prop_assert!((found as f64 - wanted).abs() <= 0.5 + 1e-9, "{} of {}", found, wanted);
    }
}
