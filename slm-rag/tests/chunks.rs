//! Chunks of arbitrary text: exact ranges, nothing lost, nothing too long.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use slm_data::Document;
use slm_rag::{ChunkConfig, Sections, chunk};
use unicode_segmentation::UnicodeSegmentation;

/// Text with Markdown, several scripts, combining marks and odd line ends.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("# Title\n".to_owned()),
        Just("## Größe 2\r\n".to_owned()),
        Just("\n\n".to_owned()),
        Just("- item one. And more\n".to_owned()),
        Just("12. twelve\n".to_owned()),
        Just("```rust\nlet a = 1;\n\nlet b;\n```\n".to_owned()),
        Just("```\nopen".to_owned()),
        Just("| a | b |\n|---|---|\n".to_owned()),
        Just("Under\n=====\n".to_owned()),
        Just("日本語の文。次の文。".to_owned()),
        Just("مرحبا بالعالم. ".to_owned()),
        Just("e\u{301}te\u{301} 👩‍👩‍👧 z".to_owned()),
        Just("e.g. this. ".to_owned()),
        "[a-zA-Z]{1,8}( [a-z0-9]{1,8}){0,30}[.!?] ".prop_map(|words| words),
        "\\PC{0,12}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..25).prop_map(|pieces| pieces.concat())
}

fn config() -> impl Strategy<Value = ChunkConfig> {
    let sections = prop_oneof![Just(Sections::Split), Just(Sections::Join)];
    (1_usize..40, 0_usize..3, sections).prop_map(|(max_words, overlap_sentences, sections)| ChunkConfig {
        max_words,
        overlap_sentences,
        sections,
    })
}

fn settings() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::with_cases(2000)
    }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn chunks_are_exact_whole_and_short(text in text(), config in config()) {
        let document = Document { id: "d".into(), text: text.clone() };
        let chunks = chunk(&document, &config);
        let mut covered = 0;
        let mut last_start = None;
        for piece in &chunks {
            let slice = text.get(piece.range());
            prop_assert!(slice.is_some(), "{:?} is not on character boundaries", piece.range());
            let slice = slice.unwrap_or("");
            prop_assert!(!slice.is_empty() && slice.trim() == slice, "{slice:?}");
            prop_assert!(slice.unicode_words().count() <= config.max_words, "{slice:?} for {config:?}");
            prop_assert!(last_start.is_none_or(|start| start < piece.start), "{chunks:?}");
            prop_assert!(piece.inherited <= piece.heading.len());
            let gap = text.get(covered..piece.start.max(covered)).unwrap_or("");
            prop_assert!(!gap.contains(char::is_alphanumeric), "lost: {gap:?}");
            prop_assert!(config.overlap_sentences > 0 || piece.start >= covered, "overlap without asking");
            prop_assert!(piece.end >= covered);
            covered = piece.end;
            last_start = Some(piece.start);
        }
        let tail = text.get(covered..).unwrap_or("");
        prop_assert!(!tail.contains(char::is_alphanumeric), "lost: {tail:?}");
    }

    #[test]
    fn a_whole_document_is_one_chunk(text in text()) {
        let document = Document { id: "d".into(), text: text.clone() };
        let chunks = chunk(&document, &ChunkConfig::whole());
        prop_assert!(chunks.len() <= 1);
        prop_assert!(chunks.len() == 1 || !text.contains(char::is_alphanumeric));
    }
}
