//! Server-sent events, as far as OpenAI's protocol uses them.

use std::io::{self, BufRead, BufReader, Read};

/// Longest line that is read, in bytes: one of a server that means well is far shorter.
const MAX_LINE: u64 = 4 << 20;

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The data of an event.
    Data(String),
    /// A sign of life without data.
    Alive,
}

/// Reads events one by one.
#[derive(Debug)]
pub(super) struct Events<R: Read> {
    lines: BufReader<R>,
}

impl<R: Read> Events<R> {
    pub(super) fn new(source: R) -> Self {
        Self { lines: BufReader::new(source) }
    }

    /// The next event; `None` at the end of the stream. An event that the stream breaks off in is dropped, as the
    /// standard asks.
    pub(super) fn next(&mut self) -> io::Result<Option<Event>> {
        let mut data: Option<String> = None;
        loop {
            let mut line = Vec::new();
            let read = (&mut self.lines).take(MAX_LINE).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 == MAX_LINE && !line.ends_with(b"\n") {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line of more than 4 MiB"));
            }
            let line = String::from_utf8(line)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))?;
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                match data {
                    Some(data) => return Ok(Some(Event::Data(data))),
                    None => continue,
                }
            }
            if line.starts_with(':') && data.is_none() {
                return Ok(Some(Event::Alive));
            }
            if let Some(value) = line.strip_prefix("data:") {
                let value = value.strip_prefix(' ').unwrap_or(value);
                match &mut data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => data = Some(value.to_owned()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_comments_and_broken_ends() -> io::Result<()> {
        let text =
            "\u{3a} hello\r\n\r\ndata: {\"a\":1}\r\n\r\nevent: x\ndata:b\ndata: c\nid: 7\n\ndata: lost";
        let mut events = Events::new(text.as_bytes());
        let data = |text: &str| Some(Event::Data(text.into()));
        assert_eq!(events.next()?, Some(Event::Alive));
        assert_eq!(events.next()?, data("{\"a\":1}"));
        assert_eq!(events.next()?, data("b\nc"));
        assert_eq!(events.next()?, None);
        assert!(Events::new(&b"data: \xff\n\n"[..]).next().is_err());
        Ok(())
    }
}
