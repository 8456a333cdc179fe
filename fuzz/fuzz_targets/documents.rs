//! A folder with one document: it is read or counted as unreadable, the same both times.

#![no_main]

use std::io::{Cursor, Write};
use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use slm_data::{Error, read_documents};

static QUIET: Once = Once::new();

fn archive(xml: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let name = "word/document.xml";
    archive.start_file(name, zip::write::SimpleFileOptions::default()).expect("a file in memory");
    archive.write_all(xml).expect("a file in memory");
    archive.finish().expect("a file in memory").into_inner()
}

fuzz_target!(|bytes: &[u8]| {
    // The PDF reader's panics are caught by slm-data; the fuzzer's hook would abort before that.
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let (name, bytes) = match first % 5 {
        0 => ("a.pdf", bytes.to_vec()),
        1 => ("a.docx", bytes.to_vec()),
        2 => ("a.docx", archive(bytes)),
        3 => ("a.html", bytes.to_vec()),
        _ => ("a.md", bytes.to_vec()),
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join(name), bytes).expect("a temporary file");
    match (read_documents(folder.path()), read_documents(folder.path())) {
        (Ok(one), Ok(two)) => {
            assert_eq!(one.items.len() + one.skipped.len(), one.lines);
            assert!(one == two && one.items.iter().all(|document| document.id == name));
        }
        (Err(Error::NoDocuments { seen: 1, .. }), Err(Error::NoDocuments { seen: 1, .. })) => {}
        (one, two) => panic!("{one:?} and {two:?}"),
    }
});
