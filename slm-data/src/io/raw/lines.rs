//! JSON lines, one at a time.

use std::io::{self, BufRead};

use super::{LONGEST, Raw};

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Records of a text with a JSON value on each line; blank lines do not count.
pub(super) struct JsonLines<R> {
    reader: R,
    line: usize,
    buffer: Vec<u8>,
}

impl<R: BufRead> JsonLines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, line: 0, buffer: Vec::new() }
    }
}

impl<R: BufRead> Iterator for JsonLines<R> {
    type Item = io::Result<Raw>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.buffer.clear();
            let long = match read_line(&mut self.reader, &mut self.buffer, LONGEST) {
                Ok(None) => return None,
                Ok(Some(long)) => long,
                Err(error) => return Some(Err(error)),
            };
            self.line += 1;
            let line = self.line;
            if long {
                return Some(Ok(Raw { line, value: Err(format!("longer than {LONGEST} bytes")) }));
            }
            let value = match std::str::from_utf8(&self.buffer) {
                Err(error) => Err(format!("not UTF-8: {error}")),
                Ok(text) => {
                    let text = if line == 1 { text.trim_start_matches(BYTE_ORDER_MARK) } else { text };
                    if text.trim().is_empty() {
                        continue;
                    }
                    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
                }
            };
            return Some(Ok(Raw { line, value }));
        }
    }
}

/// Reads to the end of a line and keeps at most `limit` bytes of it. `None` at the end of the file, else
/// whether the line was longer.
fn read_line(reader: &mut impl BufRead, buffer: &mut Vec<u8>, limit: usize) -> io::Result<Option<bool>> {
    let mut long = false;
    let mut any = false;
    loop {
        let available = match reader.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok(any.then_some(long));
        }
        any = true;
        let end = available.iter().position(|&byte| byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        if buffer.len() + part.len() > limit {
            long = true;
            buffer.clear();
        } else if !long {
            buffer.extend_from_slice(part);
        }
        let used = end.map_or(available.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(Some(long));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_told_and_not_kept() -> io::Result<()> {
        let text = format!("{}\nshort\n{}", "x".repeat(50), "y".repeat(9));
        let mut reader = io::BufReader::with_capacity(7, text.as_bytes());
        let mut lines = Vec::new();
        let mut buffer = Vec::new();
        while let Some(long) = read_line(&mut reader, &mut buffer, 9)? {
            lines.push((long, buffer.len()));
            buffer.clear();
        }
        assert_eq!(lines.iter().map(|(long, _)| *long).collect::<Vec<_>>(), [true, false, false]);
        assert!(lines.iter().all(|(_, kept)| *kept <= 9));
        Ok(())
    }
}
