//! Rows of one kind as a list.

use std::path::Path;

use super::{Layout, Loaded, RowReader, RowWriter};
use crate::{Error, Example, FromRow, Result, Row};

/// Reads the conversations of a file; [`RowReader`] says which formats and schemas there are.
///
/// An `input` follows its `instruction` after a blank line. Blank lines do not count.
///
/// # Errors
/// When the file cannot be read, or no line is an example.
pub fn read_examples(path: impl AsRef<Path>) -> Result<Loaded<Example>> {
    read_rows(path)
}

/// Reads the rows of one kind; lines of other kinds are skipped and counted.
///
/// # Errors
/// When the file cannot be read, or no line is of this kind.
pub fn read_rows<T: FromRow>(path: impl AsRef<Path>) -> Result<Loaded<T>> {
    let path = path.as_ref();
    let loaded = RowReader::open(path)?.load()?;
    if loaded.items.is_empty() {
        let first = loaded.skipped.first();
        let first = first.map_or(String::new(), |bad| format!("; line {}: {}", bad.line, bad.reason));
        return Err(Error::NoExamples { path: path.to_owned(), lines: loaded.lines, first });
    }
    Ok(loaded)
}

/// Writes examples in the `messages` schema; the name decides the format, as for [`RowWriter`].
///
/// The file appears under its name only when it is complete.
///
/// # Errors
/// When the file cannot be written.
pub fn write_examples(path: impl AsRef<Path>, examples: &[Example]) -> Result<()> {
    let mut writer = RowWriter::create(path, Layout::Messages)?;
    for example in examples {
        writer.write(&Row::Conversation(example.clone()))?;
    }
    writer.finish().map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::tempdir;

    use super::*;
    use crate::io::{Counts, Entry, convert};
    use crate::{Document, Feedback, Message, Preference, Role};

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn every_schema_is_recognised_and_bad_lines_are_counted() -> Outcome {
        let dir = tempdir()?;
        let path = dir.path().join("mixed.jsonl");
        let lines = [
            r#"{"instruction":"Add.","input":"1 and 2","output":"3","source":"sums","group":7}"#,
            r#"{"instruction":"Greet.","input":"","output":"Hello."}"#,
            r#"{"prompt":"2+2?","completion":"4"}"#,
            "",
            r#"{"question":"Who?","answer":"Nobody.","group":"g"}"#,
            r#"{"messages":[{"role":"system","content":"Be short."},{"role":"user","content":"Hi"},{"role":"assistant","content":"Hi."}]}"#,
            r#"{"prompt":"cut"#,
            r#"{"messages":[{"role":"tutor","content":"x"}]}"#,
            r#"{"text":"no schema"}"#,
            r#"{"prompt":"2+2?","completion":4}"#,
            "[1]",
        ];
        fs::write(&path, format!("\u{feff}{}\r\n", lines.join("\r\n")))?;
        let loaded = read_examples(&path)?;
        assert_eq!((loaded.items.len(), loaded.skipped.len(), loaded.lines), (5, 5, 10));
        assert_eq!(loaded.items[0].question(), "Add.\n\n1 and 2");
        assert_eq!((loaded.items[0].source.as_str(), loaded.items[0].group.as_deref()), ("sums", Some("7")));
        assert_eq!(loaded.items[1].question(), "Greet.");
        assert_eq!(loaded.items[2].source, "mixed.jsonl:3");
        assert_eq!(loaded.items[3].source, "mixed.jsonl:5");
        assert_eq!(loaded.items[4].messages.len(), 3);
        let bad: Vec<usize> = loaded.skipped.iter().map(|bad| bad.line).collect();
        assert_eq!(bad, [7, 8, 9, 10, 11]);
        assert!(loaded.skipped[1].reason.contains("`tutor`"), "{}", loaded.skipped[1].reason);
        assert!(loaded.skipped[2].reason.contains("[text]"), "{}", loaded.skipped[2].reason);
        Ok(())
    }

    #[test]
    fn a_line_in_another_encoding_is_skipped() -> Outcome {
        let dir = tempdir()?;
        let path = dir.path().join("latin1.jsonl");
        let mut bytes = b"{\"prompt\":\"caf\xe9\",\"completion\":\"x\"}\n".to_vec();
        bytes.extend(br#"{"prompt":"tea","completion":"x"}"#);
        fs::write(&path, bytes)?;
        let loaded = read_examples(&path)?;
        assert_eq!((loaded.items.len(), loaded.skipped.len()), (1, 1));
        assert!(loaded.skipped[0].reason.starts_with("not UTF-8"));
        Ok(())
    }

    #[test]
    fn written_files_read_back_equal_also_as_gzip() -> Outcome {
        let dir = tempdir()?;
        let examples = [Example::pair("a\nb", "c \"d\" é", "s").in_group("g"), Example::pair("q", "a", "t")];
        for name in ["plain.jsonl", "packed.jsonl.gz"] {
            let path = dir.path().join(name);
            write_examples(&path, &examples)?;
            assert_eq!(read_examples(&path)?.items, examples);
        }
        assert_eq!(fs::read(dir.path().join("packed.jsonl.gz"))?[..2], [0x1f, 0x8b]);
        assert_eq!(fs::read_dir(dir.path())?.count(), 2, "temporary files are left over");
        Ok(())
    }

    #[test]
    fn missing_and_useless_files_are_errors() -> Outcome {
        let dir = tempdir()?;
        let missing = dir.path().join("missing.jsonl");
        assert!(matches!(read_examples(&missing), Err(Error::Io { path, .. }) if path == missing));
        for (name, text) in [("empty.jsonl", "\n\n"), ("useless.jsonl", "{\"a\":1}\n")] {
            let path = dir.path().join(name);
            fs::write(&path, text)?;
            assert!(matches!(read_examples(&path), Err(Error::NoExamples { .. })), "{name}");
        }
        let cut = dir.path().join("cut.jsonl.gz");
        write_examples(&cut, &[Example::pair("q", "a", "s")])?;
        let bytes = fs::read(&cut)?;
        fs::write(&cut, &bytes[..bytes.len() - 10])?;
        assert!(matches!(read_examples(&cut), Err(Error::Io { .. })));
        assert!(matches!(write_examples(dir.path().join("no/such"), &[]), Err(Error::Io { .. })));
        Ok(())
    }

    fn rows() -> Vec<Row> {
        let mut example = Example::pair("a\nb, \"c\"", "{\"d\": [1]}", "s").in_group("g");
        example.licence = Some("CC-BY-4.0".to_owned());
        let prompt = vec![Message::new(Role::User, "q")];
        let (chosen, rejected) = ("good".to_owned(), "bad".to_owned());
        vec![
            example.clone().into(),
            Example::pair("[1] é", "ä", "t").into(),
            Feedback { example, label: true }.into(),
            Preference { prompt, chosen, rejected, source: "p".to_owned(), ..Preference::default() }.into(),
            Document { id: "d".to_owned(), text: "line\nline".to_owned() }.into(),
        ]
    }

    fn formats() -> Vec<&'static str> {
        let mut formats = vec!["jsonl", "jsonl.gz", "json", "csv", "tsv.gz"];
        if cfg!(feature = "zstd") {
            formats.extend(["jsonl.zst", "csv.zst"]);
        }
        if cfg!(feature = "parquet") {
            formats.push("parquet");
        }
        formats
    }

    #[test]
    fn every_kind_of_row_survives_every_format() -> Outcome {
        let dir = tempdir()?;
        for format in formats() {
            for (at, row) in rows().into_iter().enumerate() {
                let path = dir.path().join(format!("{at}.{format}"));
                let mut writer = RowWriter::create(&path, Layout::Messages)?;
                // More than a batch of columns.
                for _ in 0..1030 {
                    writer.write(&row)?;
                }
                assert_eq!(writer.finish()?, 1030);
                let read = read_rows::<Row>(&path)?;
                assert!(read.items.iter().all(|found| *found == row), "{format}: {:?}", read.items.first());
                assert_eq!((read.items.len(), read.skipped.len()), (1030, 0), "{format}");
            }
        }
        Ok(())
    }

    #[test]
    fn counts_add_up_in_every_format() -> Outcome {
        let dir = tempdir()?;
        let quarantine = dir.path().join("bad.jsonl");
        let bad = dir.path().join("in.jsonl");
        let list = dir.path().join("in.json");
        fs::write(
            &bad,
            "{\"prompt\":\"a\",\"completion\":\"b\"}\n\nnonsense\n{\"messages\":[]}\n{\"text\":\"t\"}\n",
        )?;
        fs::write(&list, r#"[{"question":"a","answer":"b"}, {"question":"a"}, 7"#)?;
        for format in formats() {
            let out = dir.path().join(format!("out.{format}"));
            let counts = convert(&[&bad, &list], &out, Layout::Alpaca, &quarantine)?;
            // Columns have no place for raw text among pairs.
            let rows = if format.starts_with("json") { 3 } else { 2 };
            assert_eq!(counts, Counts { lines: 7, rows, bad: 7 - rows }, "{format}");
            assert_eq!(read_rows::<Row>(&out)?.items.len(), rows);
            let told = fs::read_to_string(&quarantine)?;
            assert_eq!(told.lines().count(), counts.bad);
            assert!(told.contains("\"line\":3,\"reason\":\"not JSON"), "{told}");
        }
        assert_eq!(fs::read_dir(dir.path())?.count(), 3 + formats().len(), "temporary files are left over");
        Ok(())
    }

    #[test]
    fn a_writer_that_is_dropped_leaves_the_old_file() -> Outcome {
        let dir = tempdir()?;
        let path = dir.path().join("rows.jsonl");
        fs::write(&path, "old")?;
        let mut writer = RowWriter::create(&path, Layout::Messages)?;
        writer.write(&rows()[0])?;
        drop(writer);
        assert_eq!(fs::read_to_string(&path)?, "old");
        assert_eq!(fs::read_dir(dir.path())?.count(), 1);
        Ok(())
    }

    #[test]
    fn rows_of_other_kinds_are_bad_lines_of_this_one() -> Outcome {
        let dir = tempdir()?;
        let path = dir.path().join("rows.jsonl");
        let mut writer = RowWriter::create(&path, Layout::Messages)?;
        rows().iter().try_for_each(|row| writer.write(row))?;
        writer.finish()?;
        let mut reader = RowReader::<Preference>::open(&path)?;
        let found = (&mut reader).filter(|entry| matches!(entry, Ok(Entry::Row(_)))).count();
        assert_eq!((found, reader.counts()), (1, Counts { lines: 5, rows: 1, bad: 4 }));
        Ok(())
    }
}
