//! A file of rows: counts add up, and what was read is written and read again the same.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use slm_data::{Entry, Layout, Row, RowReader, RowWriter};

const FORMATS: [&str; 5] = ["jsonl", "json", "csv", "tsv", "jsonl.gz"];

fn read(path: &Path) -> Option<Vec<Row>> {
    let mut reader = RowReader::<Row>::open(path).ok()?;
    let mut rows = Vec::new();
    let mut bad = 0;
    for entry in &mut reader {
        // A cut stream ends the rows with an error.
        match entry.ok()? {
            Entry::Row(row) => rows.push(row),
            Entry::Bad(_) => bad += 1,
        }
    }
    let counts = reader.counts();
    assert_eq!((counts.lines, counts.rows, counts.bad), (rows.len() + bad, rows.len(), bad));
    Some(rows)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(format!("in.{}", FORMATS[usize::from(first) % FORMATS.len()]));
    std::fs::write(&path, bytes).expect("a temporary file");
    let Some(rows) = read(&path) else { return };
    let again = folder.path().join("out.jsonl");
    let mut writer = RowWriter::create(&again, Layout::Messages).expect("a temporary file");
    rows.iter().for_each(|row| writer.write(row).expect("a row that was read"));
    assert_eq!(writer.finish().expect("a temporary file"), rows.len());
    assert_eq!(read(&again), Some(rows));
});
