//! A JSON list, one element at a time, so that a file larger than memory passes through.

use std::io::{self, BufRead};

use serde_json::Value;

use super::{LONGEST, Raw};

/// Elements of the list that a text is; a text that is no list is one record.
pub(super) struct JsonList<R> {
    reader: R,
    state: State,
    element: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    InList,
    End,
}

/// What the scanner is inside of.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    string: bool,
    escaped: bool,
}

impl Nesting {
    /// Takes a byte in. UTF-8 needs no care: its later bytes are never quotes or brackets.
    fn step(&mut self, byte: u8) {
        if self.string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.string = true,
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

impl<R: BufRead> JsonList<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, state: State::Start, element: 0 }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.reader.fill_buf() {
                Ok(bytes) => return Ok(bytes.first().copied()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next byte that is no white space, which stays to be read.
    fn skip_space(&mut self) -> io::Result<Option<u8>> {
        while let Some(byte) = self.peek()? {
            // The byte order mark, too.
            if !byte.is_ascii_whitespace() && !matches!(byte, 0xef | 0xbb | 0xbf) {
                return Ok(Some(byte));
            }
            self.reader.consume(1);
        }
        Ok(None)
    }

    /// Reads an element, up to the comma or bracket after it.
    fn element(&mut self, whole: bool) -> io::Result<Raw> {
        let mut nesting = Nesting::default();
        let mut text = Vec::new();
        let mut long = false;
        let mut closed = false;
        while let Some(byte) = self.peek()? {
            if !whole && nesting.depth == 0 && !nesting.string && matches!(byte, b',' | b']') {
                closed = true;
                break;
            }
            nesting.step(byte);
            self.reader.consume(1);
            long |= text.len() == LONGEST;
            if !long {
                text.push(byte);
            }
        }
        self.element += 1;
        if !closed {
            self.state = State::End;
        }
        let value = if long {
            Err(format!("longer than {LONGEST} bytes"))
        } else if !closed && !whole {
            Err("the list ends too early".to_owned())
        } else {
            serde_json::from_slice(&text).map_err(|error| format!("not JSON: {error}"))
        };
        Ok(Raw { line: self.element, value })
    }

    fn advance(&mut self) -> io::Result<Option<Raw>> {
        if self.state == State::Start {
            match self.skip_space()? {
                Some(b'[') => {
                    self.reader.consume(1);
                    self.state = State::InList;
                    if self.skip_space()? == Some(b']') {
                        self.reader.consume(1);
                        self.state = State::End;
                        return self.rest();
                    }
                }
                None => self.state = State::End,
                Some(_) => return self.element(true).map(Some),
            }
        } else if self.state == State::InList {
            let close = self.peek()? == Some(b']');
            self.reader.consume(1);
            if close {
                self.state = State::End;
                return self.rest();
            }
        }
        match self.state {
            State::InList => self.element(false).map(Some),
            State::Start | State::End => Ok(None),
        }
    }

    /// What stands behind the list, which must be nothing.
    fn rest(&mut self) -> io::Result<Option<Raw>> {
        if self.skip_space()?.is_none() {
            return Ok(None);
        }
        self.element += 1;
        let value: Result<Value, String> = Err("text after the end of the list".to_owned());
        Ok(Some(Raw { line: self.element, value }))
    }
}

impl<R: BufRead> Iterator for JsonList<R> {
    type Item = io::Result<Raw>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Elements as text, `!` for a bad one.
    fn elements(text: &str) -> Vec<String> {
        let reader = io::BufReader::with_capacity(3, text.as_bytes());
        let records = JsonList::new(reader).map_while(Result::ok);
        records.map(|raw| raw.value.map_or("!".to_owned(), |value| value.to_string())).collect()
    }

    #[test]
    fn elements_come_one_by_one() {
        assert_eq!(
            elements(r#" [ {"a":"]},[\""} , [1,[2]], "x,y" ] "#),
            [r#"{"a":"]},[\""}"#, "[1,[2]]", "\"x,y\""]
        );
        assert_eq!(elements("[]"), [""; 0]);
        assert_eq!(elements("\u{feff}[1]"), ["1"]);
        assert_eq!(elements(""), [""; 0]);
        assert_eq!(elements("{\"a\":1}\n"), ["{\"a\":1}"]);
    }

    #[test]
    fn bad_elements_do_not_take_others_along() {
        assert_eq!(elements("[1, nonsense, 3]"), ["1", "!", "3"]);
        assert_eq!(elements("[1,,3]"), ["1", "!", "3"]);
        assert_eq!(elements("[1,{\"a\":2"), ["1", "!"]);
        assert_eq!(elements("[1] 2"), ["1", "!"]);
        assert_eq!(elements("[1,"), ["1", "!"]);
    }
}
