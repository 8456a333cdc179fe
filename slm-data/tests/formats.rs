//! Files that other programs wrote; `tests/goldens/make.py` made them. Without the feature of a format, the file
//! is told with a hint and never read as nothing.

use std::path::{Path, PathBuf};

use slm_data::{Error, Example, read_documents, read_examples};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/formats")
}

fn rows(name: &str) -> Result<Vec<Example>, Error> {
    read_examples(folder().join(name)).map(|loaded| {
        assert!(loaded.skipped.is_empty(), "{:?}", loaded.skipped);
        loaded.items
    })
}

#[test]
fn rows_of_pyarrow_and_zstandard_are_those_of_the_text_file() -> Result<(), Error> {
    let expected = rows("rows.jsonl")?;
    assert_eq!(expected.len(), 2);
    assert_eq!(expected[0].question(), "Größe?");
    for (name, feature) in
        [("rows.parquet", cfg!(feature = "parquet")), ("rows.jsonl.zst", cfg!(feature = "zstd"))]
    {
        match rows(name) {
            Ok(found) => assert!(feature && found == expected, "{name}: {found:?}"),
            Err(error) => assert!(!feature && matches!(error, Error::Feature { .. }), "{name}: {error}"),
        }
    }
    Ok(())
}

#[test]
fn documents_of_other_programs_become_text() -> Result<(), Error> {
    // The rows beside them have no text: they are skipped and counted, and so is what is not built in.
    if cfg!(not(feature = "documents")) {
        assert!(matches!(read_documents(folder()), Err(Error::NoDocuments { .. })));
        return Ok(());
    }
    let loaded = read_documents(folder())?;
    assert_eq!(loaded.items.len() + loaded.skipped.len(), loaded.lines);
    let text =
        |name: &str| loaded.items.iter().find(|document| document.id == name).map_or("", |d| d.text.trim());
    assert_eq!(
        text("runbook.docx"),
        "# Restart\n\nStop the service & wait for “idle”.\n\n- first\n\n| host | web-03 |"
    );
    assert_eq!(text("runbook.html"), "## Restart\n\nStop it & *wait*.\n\n1.  first\n2.  second");
    let words: Vec<&str> = text("runbook.pdf").split_whitespace().collect();
    assert_eq!(words.join(" "), "Restart the service. Then wait twelve minutes. Second page.");
    Ok(())
}
