//! Markdown (or plain text) as a list of blocks with byte ranges.

use std::ops::Range;

/// What a block is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A heading of a level from 1 to 6.
    Heading { level: usize, title: String },
    /// A paragraph.
    Prose,
    /// An item of a list.
    Item,
    /// A fenced block of code, fences included.
    Code,
    /// A row of a table.
    Row,
}

/// A stretch of lines that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) kind: Kind,
    /// From its first character to its last, trimmed of white space.
    pub(super) range: Range<usize>,
    /// Where its words begin, after the marker of an item.
    pub(super) body: usize,
}

/// The blocks of `text`, in order. Everything but white space and rules (`---`) is in one of them.
pub(super) fn blocks(text: &str) -> Vec<Block> {
    let mut parser = Parser { text, done: Vec::new(), open: None, fence: None };
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        parser.line(start, line);
        start += line.len();
    }
    parser.close();
    parser.done
}

struct Parser<'a> {
    text: &'a str,
    done: Vec<Block>,
    /// A paragraph, an item or a block of code that the next line may continue.
    open: Option<Block>,
    /// The mark that ends the open block of code.
    fence: Option<&'a str>,
}

impl<'a> Parser<'a> {
    fn line(&mut self, start: usize, line: &'a str) {
        let trimmed = line.trim();
        let first = start + (line.len() - line.trim_start().len());
        let range = first..first + trimmed.len();
        if let Some(fence) = self.fence {
            self.extend(range.end);
            if trimmed.starts_with(fence) && trimmed.trim_matches(['`', '~']).is_empty() {
                self.fence = None;
                self.close();
            }
        } else if trimmed.is_empty() {
            self.close();
        } else if let Some(fence) = fence_of(trimmed) {
            self.start(Kind::Code, range, 0);
            self.fence = Some(fence);
        } else if let Some((level, title)) = heading_of(trimmed) {
            self.start(Kind::Heading { level, title }, range, 0);
            self.close();
        } else if is_rule(trimmed) {
            self.rule(trimmed, range);
        } else if trimmed.starts_with('|') {
            self.start(Kind::Row, range, 0);
            self.close();
        } else if let Some(marker) = item_marker(trimmed) {
            self.start(Kind::Item, range, marker);
        } else if self.open.is_some() {
            self.extend(range.end);
        } else {
            self.start(Kind::Prose, range, 0);
        }
    }

    /// A rule under a paragraph of one line makes it a heading; elsewhere it separates.
    fn rule(&mut self, rule: &str, range: Range<usize>) {
        let is_underline = rule.starts_with(['=', '-']);
        let title = self.open.as_ref().filter(|block| block.kind == Kind::Prose).and_then(|block| {
            self.text.get(block.range.clone()).filter(|line| !line.contains('\n')).map(str::to_owned)
        });
        match title.filter(|_| is_underline) {
            Some(title) => {
                if let Some(block) = &mut self.open {
                    block.kind = Kind::Heading { level: if rule.starts_with('=') { 1 } else { 2 }, title };
                }
                self.extend(range.end);
                self.close();
            }
            None => self.close(),
        }
    }

    fn start(&mut self, kind: Kind, range: Range<usize>, marker: usize) {
        self.close();
        let body = range.start + marker;
        self.open = Some(Block { kind, range, body });
    }

    fn extend(&mut self, end: usize) {
        if let Some(block) = &mut self.open {
            block.range.end = block.range.end.max(end);
        }
    }

    fn close(&mut self) {
        self.done.extend(self.open.take());
    }
}

fn fence_of(line: &str) -> Option<&str> {
    ['`', '~'].into_iter().find_map(|mark| {
        let length = line.len() - line.trim_start_matches(mark).len();
        let info = line.get(length..)?;
        // "```code```" on one line is no fence.
        (length >= 3 && !info.contains(mark)).then(|| line.get(..length)).flatten()
    })
}

fn heading_of(line: &str) -> Option<(usize, String)> {
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    let is_heading = (1..=6).contains(&level) && (rest.is_empty() || rest.starts_with([' ', '\t']));
    is_heading.then(|| (level, rest.trim().trim_end_matches('#').trim_end().to_owned()))
}

/// At least three of one mark and nothing else.
fn is_rule(line: &str) -> bool {
    ['-', '*', '_', '='].into_iter().any(|mark| {
        let marks = line.matches(mark).count();
        marks >= 3 && line.chars().all(|c| c == mark || c == ' ' && mark != '=')
    })
}

/// Length of `- `, `* `, `+ `, `1. ` or `1) ` with the spaces that follow.
fn item_marker(line: &str) -> Option<usize> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let marks: &[char] = if digits == 0 { &['-', '*', '+'] } else { &['.', ')'] };
    let rest = line.get(digits..)?.strip_prefix(marks)?;
    let body = rest.trim_start();
    (digits <= 9 && !body.is_empty() && body.len() < rest.len()).then(|| line.len() - body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Vec<(&'static str, &str)> {
        let name = |kind: &Kind| match kind {
            Kind::Heading { level: 1, .. } => "h1",
            Kind::Heading { level: 2, .. } => "h2",
            Kind::Heading { .. } => "h",
            Kind::Prose => "p",
            Kind::Item => "li",
            Kind::Code => "code",
            Kind::Row => "row",
        };
        blocks(text).iter().map(|block| (name(&block.kind), &text[block.range.clone()])).collect()
    }

    #[test]
    fn markdown() {
        let text = "# Title #\r\nFirst\r\nline.\r\n\r\n1. one\n2) two\n   goes on\n- three\n\n\
                    ```sh\n# no heading\n\n- no item\n```\n| a | b |\n|---|---|\n\nUnder\n=====\nText\n---\n***\n#tag";
        assert_eq!(
            shape(text),
            [
                ("h1", "# Title #"),
                ("p", "First\r\nline."),
                ("li", "1. one"),
                ("li", "2) two\n   goes on"),
                ("li", "- three"),
                ("code", "```sh\n# no heading\n\n- no item\n```"),
                ("row", "| a | b |"),
                ("row", "|---|---|"),
                ("h1", "Under\n====="),
                ("h2", "Text\n---"),
                ("p", "#tag"),
            ]
        );
        let titles: Vec<String> = blocks(text)
            .into_iter()
            .filter_map(|block| match block.kind {
                Kind::Heading { title, .. } => Some(title),
                _ => None,
            })
            .collect();
        assert_eq!(titles, ["Title", "Under", "Text"]);
    }

    #[test]
    fn bodies_begin_after_the_marker() {
        let text = "Intro\n\n- [x] done\n12.  twelve\n1.5 litres";
        let bodies: Vec<&str> = blocks(text).iter().map(|block| &text[block.body..block.range.end]).collect();
        assert_eq!(bodies, ["Intro", "[x] done", "twelve\n1.5 litres"]);
    }

    #[test]
    fn unfinished_code_runs_to_the_end() {
        assert_eq!(shape("a\n~~~\nb\n\nc\n"), [("p", "a"), ("code", "~~~\nb\n\nc")]);
        assert_eq!(shape("```one```\ntwo"), [("p", "```one```\ntwo")]);
        assert_eq!(shape(" \n\t\n"), []);
    }
}
