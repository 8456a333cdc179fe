//! Chunks of arbitrary text: exact ranges, nothing lost, nothing too long.

mod common;

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use slm_data::Document;
use slm_rag::{
    Chunk, ChunkConfig, Chunker, Index, IndexConfig, Sections, SemanticChunker, SemanticConfig,
    SentenceChunker, SizedChunker, chunk,
};
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
    (1_usize..40, 0_usize..3, sections).prop_map(|(max_size, overlap_sentences, sections)| ChunkConfig {
        max_size,
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

/// Tokens as a model of bytes and short words has them: not as many in a whole as in its parts.
fn tokens(text: &str) -> usize {
    text.split(' ').map(|word| word.len().div_ceil(4).max(1)).sum()
}

/// Exact ranges in order, and no letter lost or, where `overlap` is off, twice.
fn sound(text: &str, chunks: &[Chunk], overlap: bool) -> Result<(), TestCaseError> {
    let mut covered = 0;
    let mut last_start = None;
    for piece in chunks {
        let slice = text.get(piece.range());
        prop_assert!(slice.is_some(), "{:?} is not on character boundaries", piece.range());
        let slice = slice.unwrap_or("");
        prop_assert!(!slice.is_empty() && slice.trim() == slice, "{slice:?}");
        prop_assert!(last_start.is_none_or(|start| start < piece.start), "{chunks:?}");
        prop_assert!(piece.inherited <= piece.heading.len());
        let gap = text.get(covered..piece.start.max(covered)).unwrap_or("");
        prop_assert!(!gap.contains(char::is_alphanumeric), "lost: {gap:?}");
        prop_assert!(overlap || piece.start >= covered, "overlap without asking");
        prop_assert!(piece.end >= covered);
        covered = piece.end;
        last_start = Some(piece.start);
    }
    let tail = text.get(covered..).unwrap_or("");
    prop_assert!(!tail.contains(char::is_alphanumeric), "lost: {tail:?}");
    Ok(())
}

fn cut(chunker: &dyn Chunker, text: &str) -> Result<Vec<Chunk>, TestCaseError> {
    let document = Document { id: "d".into(), text: text.to_owned() };
    chunker.chunk(&document).map_err(|error| TestCaseError::fail(error.to_string()))
}

fn made<C>(chunker: slm_rag::Result<C>) -> Result<C, TestCaseError> {
    chunker.map_err(|error| TestCaseError::fail(error.to_string()))
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn chunks_are_exact_whole_and_short(text in text(), config in config()) {
        let chunks = cut(&config, &text)?;
        sound(&text, &chunks, config.overlap_sentences > 0)?;
        for piece in &chunks {
            prop_assert!(text[piece.range()].unicode_words().count() <= config.max_size, "{piece:?} for {config:?}");
        }
    }

    #[test]
    fn counted_chunks_hold_no_more_than_the_counter_says(text in text(), config in config()) {
        // A letter of four bytes is a token.
        let chunks = cut(&made(SizedChunker::new(config.clone(), tokens))?, &text)?;
        sound(&text, &chunks, config.overlap_sentences > 0)?;
        for piece in &chunks {
            let piece = &text[piece.range()];
            let is_letter = piece.graphemes(true).count() == 1;
            prop_assert!(is_letter || tokens(piece) <= config.max_size, "{piece:?} for {config:?}");
        }
    }

    #[test]
    fn windows_of_sentences_are_exact(text in text(), sentences in 1_usize..5, overlap in 0_usize..4) {
        let overlap = overlap.min(sentences - 1);
        let chunks = cut(&made(SentenceChunker::new(sentences, overlap))?, &text)?;
        sound(&text, &chunks, overlap > 0)?;
    }

    #[test]
    fn semantic_chunks_are_exact_and_short(text in text(), piece_size in 1_usize..8, more in 0_usize..30) {
        let config = SemanticConfig { max_size: piece_size + more, piece_size };
        let chunks = cut(&made(SemanticChunker::new(config, Arc::new(common::Bag)))?, &text)?;
        sound(&text, &chunks, false)?;
        for piece in &chunks {
            prop_assert!(text[piece.range()].unicode_words().count() <= config.max_size, "{piece:?} for {config:?}");
        }
    }

    #[test]
    fn a_whole_document_is_one_chunk(text in text()) {
        let document = Document { id: "d".into(), text: text.clone() };
        let chunks = chunk(&document, &ChunkConfig::whole());
        prop_assert!(chunks.len() <= 1);
        prop_assert!(chunks.len() == 1 || !text.contains(char::is_alphanumeric));
    }
}

#[test]
fn sentences_come_in_windows_with_their_heading() -> slm_rag::Result<()> {
    let text = "# A\n\nOne. Two. Three. Four.\n\n## B\n\nFive.\n";
    let document = Document { id: "d".into(), text: text.into() };
    let chunks = SentenceChunker::new(2, 1)?.chunk(&document)?;
    let got: Vec<&str> = chunks.iter().map(|chunk| &text[chunk.range()]).collect();
    assert_eq!(got, ["# A\n\nOne. Two.", "Two. Three.", "Three. Four.", "## B\n\nFive."]);
    assert_eq!(chunks.iter().map(|chunk| chunk.inherited).collect::<Vec<_>>(), [0, 1, 1, 1]);
    assert!(SentenceChunker::new(2, 2).is_err() && SizedChunker::new(ChunkConfig::whole(), tokens).is_ok());
    Ok(())
}

#[test]
fn semantic_chunks_end_where_the_subject_does() -> slm_rag::Result<()> {
    let brake = "The brake of the dome is stuck. Release the brake with the lever of the dome.";
    let soup = "Soup needs salt and leek. Cook the leek, then add salt to the soup.";
    let text = format!("{brake} {soup}");
    let document = Document { id: "d".into(), text: text.clone() };
    let config = SemanticConfig { max_size: 60, piece_size: 9 };
    let chunks = SemanticChunker::new(config, Arc::new(common::Bag))?.chunk(&document)?;
    assert_eq!(chunks.iter().map(|chunk| &text[chunk.range()]).collect::<Vec<_>>(), [brake, soup]);
    let wrong = SemanticConfig { max_size: 5, piece_size: 9 };
    assert!(SemanticChunker::new(wrong, Arc::new(common::Bag)).is_err());
    Ok(())
}

#[test]
fn an_index_and_a_store_cut_as_they_are_told() -> Result<(), Box<dyn std::error::Error>> {
    let config = IndexConfig::default();
    let single = SentenceChunker::new(1, 0)?;
    let index = Index::build_with_chunker(&common::pages(), &config, &single, Some(&common::Bag))?;
    let hits = index.search("red lever", 1)?;
    assert_eq!(hits[0].text, "Release it with the red lever, then wait 90 seconds.");
    let folder = tempfile::tempdir()?;
    let store = slm_rag::Store::open(folder.path(), &config)?;
    let mut writer = store.writer(Some(&common::Bag))?.with_chunker(&single);
    common::pages().into_iter().try_for_each(|page| writer.put(page))?;
    writer.commit()?;
    let texts = |index: &Index| -> slm_rag::Result<Vec<String>> {
        index.chunks().map(|hit| hit.map(|hit| hit.text)).collect()
    };
    assert_eq!(texts(store.index()?.as_ref())?, texts(&index)?);
    Ok(())
}

#[cfg(feature = "code")]
#[test]
fn code_is_cut_between_items() -> slm_rag::Result<()> {
    use slm_rag::CodeChunker;

    let text = include_str!("../src/folder.rs");
    let document = Document { id: "folder.rs".into(), text: text.into() };
    let config = ChunkConfig { max_size: 40, ..ChunkConfig::default() };
    let words = CodeChunker::rust(&config)?.chunk(&document)?;
    assert!(words.iter().any(|chunk| text[chunk.range()].ends_with("Ok(documents)\n}")), "{words:?}");
    let counted = SizedChunker::new(ChunkConfig { max_size: 100, ..config }, tokens)?;
    for chunks in [words, CodeChunker::sized(tree_sitter_rust::LANGUAGE, &counted)?.chunk(&document)?] {
        sound(text, &chunks, false)
            .map_err(|error| slm_rag::Error::Config { field: "code", reason: error.to_string() })?;
        assert!(chunks.len() > 3);
    }
    Ok(())
}
