//! The text of a DOCX file (ECMA-376, WordprocessingML).

use std::io::{Cursor, Read};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use zip::ZipArchive;

/// Bytes of the unpacked document, at the most: a small file can unpack to anything.
const LARGEST: u64 = 256 << 20;

/// Paragraphs, with headings and list items as in Markdown, and the cells of a table between bars.
pub(super) fn to_markdown(bytes: Vec<u8>) -> Result<String, String> {
    let mut archive =
        ZipArchive::new(Cursor::new(bytes)).map_err(|error| format!("not a DOCX file: {error}"))?;
    let part = archive.by_name("word/document.xml").map_err(|error| format!("not a DOCX file: {error}"))?;
    let mut xml = String::new();
    part.take(LARGEST).read_to_string(&mut xml).map_err(|error| format!("word/document.xml: {error}"))?;
    Walk::default().text(&xml)
}

#[derive(Debug, Default)]
struct Walk {
    out: String,
    paragraph: String,
    prefix: String,
    in_text: bool,
    /// Depth of tables.
    tables: usize,
}

impl Walk {
    fn text(mut self, xml: &str) -> Result<String, String> {
        let mut reader = Reader::from_str(xml);
        loop {
            match reader.read_event().map_err(|error| format!("word/document.xml: {error}"))? {
                Event::Start(element) => self.start(&element),
                Event::Empty(element) => {
                    self.start(&element);
                    self.end(element.local_name().as_ref());
                }
                Event::End(element) => self.end(element.local_name().as_ref()),
                Event::Text(text) if self.in_text => {
                    self.paragraph += &text;
                }
                Event::GeneralRef(reference) if self.in_text => {
                    let text = format!("&{};", &*reference);
                    self.paragraph +=
                        &quick_xml::escape::unescape(&text).map_err(|error| error.to_string())?;
                }
                Event::Eof => return Ok(self.out),
                _ => {}
            }
        }
    }

    fn start(&mut self, element: &BytesStart<'_>) {
        let value = || {
            let found = element.attributes().flatten().find(|a| a.key.local_name().as_ref() == "val")?;
            Some(found.value.into_owned())
        };
        match element.local_name().as_ref() {
            "t" => self.in_text = true,
            "tab" => self.paragraph.push('\t'),
            "br" | "cr" => self.paragraph.push('\n'),
            "tbl" => self.tables += 1,
            "tr" => self.out.push('|'),
            "pStyle" => {
                let style = value().unwrap_or_default();
                if let Some(level) =
                    style.strip_prefix("Heading").and_then(|n| n.trim().parse::<usize>().ok())
                {
                    self.prefix = format!("{} ", "#".repeat(level.clamp(1, 6)));
                } else if style.starts_with("ListNumber") {
                    self.prefix = "1. ".to_owned();
                } else if style.starts_with("List") {
                    self.prefix = "- ".to_owned();
                } else if style == "Title" {
                    self.prefix = "# ".to_owned();
                }
            }
            "ilvl" => {
                let level = value().and_then(|level| level.parse::<usize>().ok()).unwrap_or(0);
                self.prefix = format!("{}- ", "  ".repeat(level.min(8)));
            }
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        match name {
            "t" => self.in_text = false,
            "p" => {
                let text = std::mem::take(&mut self.paragraph);
                let prefix = std::mem::take(&mut self.prefix);
                if self.tables > 0 {
                    self.out += &format!(" {}", text.trim().replace(['\n', '|'], " "));
                } else if !text.trim().is_empty() {
                    self.out += &format!("{prefix}{}\n\n", text.trim_end());
                }
            }
            "tc" => self.out += " |",
            "tr" => self.out.push('\n'),
            "tbl" => {
                self.tables = self.tables.saturating_sub(1);
                self.out.push('\n');
            }
            _ => {}
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    pub(in crate::io::documents) const MARKDOWN: &str =
        "## Setup\n\nA < B & \"C\"\tend\n\n- first\n\n| a | b |\n| c | d |";

    /// A heading, a paragraph, a list item and a table.
    pub(in crate::io::documents) fn sample() -> std::io::Result<Vec<u8>> {
        let cell = |text: &str| format!("<w:tc><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>");
        let table = format!(
            "<w:tbl><w:tr>{}{}</w:tr><w:tr>{}{}</w:tr></w:tbl>",
            cell("a"),
            cell("b"),
            cell("c"),
            cell("d")
        );
        let body = format!(
            "<w:p><w:pPr><w:pStyle w:val=\"Heading2\"/></w:pPr><w:r><w:t>Setup</w:t></w:r></w:p>\
             <w:p><w:r><w:t>A &lt; B &amp; </w:t></w:r><w:r><w:t>\"C\"</w:t><w:tab/><w:t>end</w:t></w:r></w:p>\
             <w:p><w:pPr><w:numPr><w:ilvl w:val=\"0\"/></w:numPr></w:pPr><w:r><w:t>first</w:t></w:r></w:p>{table}"
        );
        let xml =
            format!("<?xml version=\"1.0\"?><w:document xmlns:w=\"w\"><w:body>{body}</w:body></w:document>");
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        archive
            .start_file("word/document.xml", SimpleFileOptions::default())
            .map_err(std::io::Error::other)?;
        archive.write_all(xml.as_bytes())?;
        Ok(archive.finish().map_err(std::io::Error::other)?.into_inner())
    }

    #[test]
    fn cut_files_are_errors_and_no_panics() -> std::io::Result<()> {
        let whole = sample()?;
        for end in (0..whole.len()).step_by(5) {
            assert!(to_markdown(whole[..end].to_vec()).is_err());
        }
        assert_eq!(to_markdown(whole).as_deref().map(str::trim), Ok(MARKDOWN));
        Ok(())
    }
}
