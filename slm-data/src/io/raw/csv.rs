//! Comma- or tab-separated values with a header; RFC 4180.

use std::io;

use csv::{ByteRecord, Error, ErrorKind, Reader, ReaderBuilder};
use serde_json::{Map, Value};

use super::Raw;

/// Each record as an object of texts by the header's names. A field that is a JSON list or object (as
/// `messages` are) is read as such. A record with too few or too many fields is a bad line.
pub(super) fn records<R: io::Read>(reader: R, delimiter: u8) -> CsvRecords<R> {
    let reader = ReaderBuilder::new().delimiter(delimiter).from_reader(reader);
    CsvRecords { reader, header: None, record: ByteRecord::new() }
}

pub(super) struct CsvRecords<R> {
    reader: Reader<R>,
    header: Option<Vec<String>>,
    record: ByteRecord,
}

impl<R: io::Read> CsvRecords<R> {
    fn header(&mut self) -> io::Result<Vec<String>> {
        if let Some(header) = &self.header {
            return Ok(header.clone());
        }
        let bytes = self.reader.byte_headers().map_err(io::Error::from)?;
        let names = bytes.iter().enumerate().map(|(at, name)| {
            let name = String::from_utf8_lossy(name);
            let name = if at == 0 { name.trim_start_matches('\u{feff}') } else { &name };
            name.trim().to_owned()
        });
        let header: Vec<String> = names.collect();
        self.header = Some(header.clone());
        Ok(header)
    }

    fn read(&mut self) -> io::Result<Option<Raw>> {
        let header = self.header()?;
        let value = match self.reader.read_byte_record(&mut self.record) {
            Ok(false) => return Ok(None),
            Ok(true) => object(&header, &self.record),
            Err(error) => Err(reason(error)?),
        };
        // The position of the reader is behind a record whose number of fields is wrong, and its own is known.
        let line = self.record.position().map_or(0, csv::Position::line);
        Ok(Some(Raw { line: usize::try_from(line).unwrap_or(usize::MAX), value }))
    }
}

impl<R: io::Read> Iterator for CsvRecords<R> {
    type Item = io::Result<Raw>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

fn reason(error: Error) -> io::Result<String> {
    match error.into_kind() {
        ErrorKind::Io(error) => Err(error),
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            Ok(format!("{len} fields, the header has {expected_len}"))
        }
        other => Ok(format!("not CSV: {other:?}")),
    }
}

fn object(header: &[String], record: &ByteRecord) -> Result<Value, String> {
    let mut object = Map::new();
    for (name, field) in header.iter().zip(record) {
        let text = std::str::from_utf8(field).map_err(|error| format!("`{name}` is not UTF-8: {error}"))?;
        let nested = text.starts_with(['[', '{']).then(|| serde_json::from_str(text).ok()).flatten();
        object.insert(name.clone(), nested.unwrap_or_else(|| Value::String(text.to_owned())));
    }
    Ok(Value::Object(object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_line_breaks_and_bad_records() {
        let text = "\u{feff}instruction,output\n\"a, \"\"b\"\"\nc\",d\nonly one\n\"[1, 2]\",\"[no\"\n";
        let found: Vec<_> = records(text.as_bytes(), b',').map_while(Result::ok).collect();
        assert_eq!(found.iter().map(|raw| raw.line).collect::<Vec<_>>(), [2, 4, 5]);
        let value = |at: usize, name: &str| found[at].value.as_ref().ok().and_then(|v| v.get(name)).cloned();
        assert_eq!(value(0, "instruction"), Some(Value::from("a, \"b\"\nc")));
        assert!(found[1].value.as_ref().is_err_and(|reason| reason.contains("1 fields, the header has 2")));
        assert_eq!(value(2, "instruction"), Some(Value::from(vec![1, 2])));
        assert_eq!(value(2, "output"), Some(Value::from("[no")));
    }
}
