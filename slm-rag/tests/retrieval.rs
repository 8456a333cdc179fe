//! Searching, saving and reading small pages.

mod common;

use std::fs;

use common::pages;
use slm_data::Document;
use slm_rag::{
    ChunkConfig, Error, Hit, Index, IndexConfig, RetrieveConfig, Retriever, Sections, SentenceChunker,
    StopWords, read_folder,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn split() -> IndexConfig {
    let chunk = ChunkConfig { sections: Sections::Split, ..ChunkConfig::default() };
    IndexConfig { chunk, ..IndexConfig::default() }
}

#[test]
fn the_right_section_comes_first() -> Outcome {
    let pages = pages();
    let index = Index::build(&pages, &split())?;
    for (question, source, heading) in [
        ("How fast may I cool the sensor?", "camera.md", "Cooling"),
        ("what does error D403 mean", "dome.md", "Faults"),
        ("How long are pictures kept?", "camera.md", "Storage"),
        ("Do children pay?", "visits.md", "Visits"),
        ("opening of D-12", "dome.md", "Opening"),
    ] {
        let hits = index.search_question(question, 3)?;
        let hit = hits.first().ok_or("nothing found")?;
        assert_eq!(hit.chunk.source, source, "{question}");
        assert_eq!(hit.chunk.heading.last().map(String::as_str), Some(heading), "{question}");
        let page = pages.iter().find(|page| page.id == source).ok_or("no such page")?;
        assert_eq!(page.text.get(hit.chunk.range()), Some(hit.text.as_str()));
        assert!(hits.is_sorted_by(|a, b| a.score >= b.score));
    }
    assert!(index.search("zebra", 3)?.is_empty() && index.search("", 3)?.is_empty());
    assert!(index.search_question("What is it?", 3)?.is_empty());
    assert_eq!(index.search("the telescope", 1)?.len(), 1);
    Ok(())
}

#[test]
fn headings_above_a_chunk_count() -> Outcome {
    let index = Index::build(&pages(), &split())?;
    let hits = index.search("camera storage", 1)?;
    assert_eq!(hits[0].chunk.heading, ["Camera (C-7)", "Storage"]);
    assert!(!hits[0].text.contains("C-7"));
    assert!(index.search("C-7 archive", 9)?[0].text.contains("archive"));
    Ok(())
}

#[test]
fn equal_scores_are_in_document_order() -> Outcome {
    let document = |id: &str| Document { id: id.into(), text: "the same words".into() };
    let index = Index::build(&["b", "a", "c"].map(document), &IndexConfig::default())?;
    let hits = index.search("words", 2)?;
    let sources: Vec<&str> = hits.iter().map(|hit| hit.chunk.source.as_str()).collect();
    assert_eq!(sources, ["b", "a"]);
    Ok(())
}

#[test]
fn stop_words_are_an_option() -> Outcome {
    let config = IndexConfig { stop_words: StopWords::Off, ..IndexConfig::default() };
    assert!(Index::build(&pages(), &IndexConfig::default())?.search("the", 3)?.is_empty());
    assert_eq!(Index::build(&pages(), &config)?.search("the", 9)?.len(), 2);
    Ok(())
}

#[test]
fn best_sentences_are_exact_and_ranked() -> Outcome {
    let pages = pages();
    let index = Index::build(&pages, &IndexConfig::default())?;
    for (question, expected) in [
        ("How much does a tour cost?", "A guided tour costs 5 euros and lasts one hour."),
        ("What cracks the window of the camera?", "Faster cooling cracks the window."),
        ("What is the third step of opening the dome?", "Lock both brakes before the telescope moves."),
    ] {
        let hits = index.search_question(question, 3)?;
        let evidence = index.best_sentences(&hits, question, 3)?;
        let best = evidence.first().ok_or("no evidence")?;
        assert_eq!(best.citation.text, expected, "{question}");
        assert!(best.coverage > 0.5 && best.coverage <= 1.0, "{question}: {}", best.coverage);
        assert!(evidence.is_sorted_by(|a, b| a.score >= b.score));
        for found in &evidence {
            let page = pages.iter().find(|page| page.id == found.citation.source).ok_or("no such page")?;
            assert_eq!(
                page.text.get(found.citation.start..found.citation.end),
                Some(found.citation.text.as_str())
            );
        }
    }
    Ok(())
}

#[test]
fn saved_and_loaded_it_answers_the_same() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("pages.idx");
    let index = Index::build(&pages(), &split())?;
    index.save(&path)?;
    index.save(&path)?;
    let loaded = Index::load(&path)?;
    let all = |index: &Index| index.chunks().collect::<Result<Vec<_>, _>>();
    assert_eq!(all(&loaded)?, all(&index)?);
    assert_eq!(loaded.search("brake error", 5)?, index.search("brake error", 5)?);
    for page in pages() {
        assert_eq!(loaded.document(&page.id)?, Some(page));
    }
    assert_eq!(loaded.document("none")?, None);
    assert_eq!(fs::read_dir(folder.path())?.count(), 1, "a temporary file was left behind");
    Ok(())
}

#[test]
fn every_damaged_byte_is_noticed() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("pages.idx");
    Index::build(&pages()[2..], &IndexConfig::default())?.save(&path)?;
    let whole = fs::read(&path)?;
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        fs::write(&path, &damaged)?;
        assert!(matches!(Index::load(&path), Err(Error::Format { .. })), "byte {at}");
    }
    for length in [0, 7, 20, whole.len() - 1] {
        fs::write(&path, &whole[..length])?;
        let message = Index::load(&path).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains("pages.idx") && message.contains("hint: "), "{length}: {message}");
    }
    assert!(matches!(Index::load(&folder.path().join("none")), Err(Error::Io { .. })));
    Ok(())
}

#[test]
fn what_cannot_be_indexed_is_refused() {
    let empty = |text: &str| Document { id: "a".into(), text: text.into() };
    let build = |documents: &[Document]| Index::build(documents, &IndexConfig::default());
    assert!(matches!(build(&[]), Err(Error::NoText { documents: 0, .. })));
    assert!(matches!(build(&[empty("")]), Err(Error::NoText { documents: 1, .. })));
    assert!(matches!(build(&[empty("one"), empty("two")]), Err(Error::DuplicateDocument { .. })));
    for config in [
        IndexConfig { k1: -1.0, ..Default::default() },
        IndexConfig { b: 1.5, ..Default::default() },
        IndexConfig { heading_weight: 0, ..Default::default() },
        IndexConfig { chunk: ChunkConfig { max_size: 0, ..Default::default() }, ..Default::default() },
    ] {
        assert!(matches!(Index::build(&pages(), &config), Err(Error::Config { .. })), "{config:?}");
    }
}

#[test]
fn a_folder_is_read_in_order() -> Outcome {
    let folder = tempfile::tempdir()?;
    fs::create_dir_all(folder.path().join("b/.git"))?;
    for (name, text) in
        [("z.TXT", "last"), ("b/a.md", "first"), ("b/.git/x.md", "no"), ("b/x.png", "no"), (".y.md", "no")]
    {
        fs::write(folder.path().join(name), text)?;
    }
    let documents = read_folder(folder.path())?;
    let got: Vec<(&str, &str)> = documents.iter().map(|d| (d.id.as_str(), d.text.as_str())).collect();
    assert_eq!(got, [("b/a.md", "first"), ("z.TXT", "last")]);
    fs::write(folder.path().join("bad.txt"), [0xff, 0xfe])?;
    let message = read_folder(folder.path()).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message.contains("bad.txt"), "{message}");
    assert!(matches!(read_folder(&folder.path().join("b/.git/none")), Err(Error::Io { .. })));
    Ok(())
}

#[test]
fn what_is_found_grows_by_what_is_around_it() -> Result<(), Box<dyn std::error::Error>> {
    let pages = common::pages();
    let single = SentenceChunker::new(1, 0)?;
    let index =
        std::sync::Arc::new(Index::build_with_chunker(&pages, &IndexConfig::default(), &single, None)?);
    let search = |parent_words: usize| -> slm_rag::Result<Vec<Hit>> {
        let config = RetrieveConfig { parent_words, ..RetrieveConfig::default() };
        Retriever::new(std::sync::Arc::clone(&index), config)?.search("the red lever and the brake", 4)
    };
    let small = search(0)?;
    assert_eq!(small[0].text, "Release it with the red lever, then wait 90 seconds.");
    for parent_words in [5, 20, 40, 1000] {
        let hits = search(parent_words)?;
        assert!(!hits.is_empty() && hits.len() <= 4);
        for (n, hit) in hits.iter().enumerate() {
            let page = pages.iter().find(|page| page.id == hit.chunk.source).ok_or("no such page")?;
            assert_eq!(page.text.get(hit.chunk.range()), Some(hit.text.as_str()));
            let is_apart = |other: &Hit| {
                other.chunk.source != hit.chunk.source
                    || other.chunk.end <= hit.chunk.start
                    || hit.chunk.end <= other.chunk.start
            };
            assert!(hits.iter().skip(n + 1).all(is_apart), "{parent_words}: {hits:?}");
        }
        assert!(hits[0].text.contains(&small[0].text));
    }
    let section = search(20)?;
    let expected = "## Faults\n\nError D403 means that a brake is stuck. Release it with the red lever, then wait 90 seconds.";
    assert_eq!(section[0].text, expected, "the section first");
    assert_eq!(search(1000)?[0].text, pages[0].text.trim_end(), "then all of the page");
    Ok(())
}
