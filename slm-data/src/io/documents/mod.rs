//! Documents from a folder.

#[cfg(feature = "documents")]
mod docx;
#[cfg(feature = "documents")]
mod html;
#[cfg(feature = "documents")]
mod pdf;
#[cfg(feature = "documents")]
mod pdf_walk;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::codec::plain_name;
use super::raw::{Container, records};
use super::{BadLine, Loaded};
use crate::{Document, Error, Result};

/// Reads all documents of a folder and of the folders in it, in the order of their paths.
///
/// | file | documents |
/// |---|---|
/// | `.md`, `.txt` | one, as it is |
/// | `.html`, `.htm` | one, as Markdown without scripts, forms and navigation (feature `documents`) |
/// | `.pdf` | one, the text of all pages (feature `documents`) |
/// | `.docx` | one, headings and lists as Markdown (feature `documents`) |
/// | `.jsonl`, `.json`, `.csv`, `.parquet`, packed or not | one per row, with its name in `id` or `path` and its text in `text` |
///
/// A document of its own file is named by the path relative to `dir` with `/` between the parts. A file that
/// cannot be understood and a row without these keys are skipped and counted; files of other kinds and names
/// that start with a dot are left alone.
///
/// # Errors
/// When the folder or a file in it cannot be read, or there is no document.
pub fn read_documents(dir: impl AsRef<Path>) -> Result<Loaded<Document>> {
    let dir = dir.as_ref();
    let mut files = Vec::new();
    collect(dir, &mut files)?;
    files.sort();
    let mut loaded = Loaded { items: Vec::new(), skipped: Vec::new(), lines: 0 };
    for file in &files {
        if Container::of(file).is_some() {
            read_rows(file, &mut loaded)?;
        } else if let Some(to_text) = converter(file) {
            read_file(dir, file, to_text, &mut loaded)?;
        }
    }
    if loaded.items.is_empty() {
        return Err(Error::NoDocuments { path: dir.to_owned(), seen: files.len() });
    }
    Ok(loaded)
}

/// The files of rows in a folder and below, by their paths; a file is its own list.
pub(crate) fn row_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    collect(path, &mut files)?;
    files.retain(|file| Container::of(file).is_some());
    files.sort();
    Ok(files)
}

/// Adds the files below `dir`. Links to folders are not followed: they can form a circle.
fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(|source| Error::io(dir, source))? {
        let entry = entry.map_err(|source| Error::io(dir, source))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(|source| Error::io(&path, source))?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            collect(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// From the bytes of a file to its text, or why there is none.
type Converter = fn(Vec<u8>) -> Result<String, String>;

/// How files of this name become text; `None` for other kinds.
fn converter(file: &Path) -> Option<Converter> {
    let name = plain_name(file);
    match name.rsplit_once('.').map(|(_, ending)| ending)? {
        "md" | "markdown" | "txt" => Some(plain),
        #[cfg(feature = "documents")]
        "html" | "htm" => Some(|bytes| html::to_markdown(&plain(bytes)?)),
        #[cfg(feature = "documents")]
        "pdf" => Some(|bytes| pdf::to_text(&bytes)),
        #[cfg(feature = "documents")]
        "docx" => Some(docx::to_markdown),
        #[cfg(not(feature = "documents"))]
        "html" | "htm" | "pdf" | "docx" => {
            Some(|_| Err("not built in: enable the feature `documents` of slm-data".to_owned()))
        }
        _ => None,
    }
}

fn plain(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| format!("not UTF-8: {}", error.utf8_error()))
}

fn read_file(dir: &Path, file: &Path, to_text: Converter, loaded: &mut Loaded<Document>) -> Result<()> {
    let bytes = fs::read(file).map_err(|source| Error::io(file, source))?;
    loaded.lines += 1;
    match to_text(bytes) {
        Ok(text) => {
            let relative = file.strip_prefix(dir).unwrap_or(file);
            let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
            loaded.items.push(Document { id: parts.join("/"), text });
        }
        Err(reason) => loaded.skipped.push(BadLine { file: file.to_owned(), line: 0, reason }),
    }
    Ok(())
}

fn read_rows(file: &Path, loaded: &mut Loaded<Document>) -> Result<()> {
    let records = match records(file) {
        Err(error @ Error::Feature { .. }) => {
            loaded.lines += 1;
            loaded.skipped.push(BadLine { file: file.to_owned(), line: 0, reason: error.to_string() });
            return Ok(());
        }
        records => records?,
    };
    for raw in records {
        let raw = raw.map_err(|source| Error::io(file, source))?;
        loaded.lines += 1;
        match raw.value.and_then(|value| document(&value)) {
            Ok(document) => loaded.items.push(document),
            Err(reason) => loaded.skipped.push(BadLine { file: file.to_owned(), line: raw.line, reason }),
        }
    }
    Ok(())
}

fn document(value: &Value) -> Result<Document, String> {
    let id = ["id", "path"].into_iter().find_map(|key| match value.get(key) {
        Some(Value::String(id)) => Some(id.clone()),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    });
    let text = value.get("text").and_then(Value::as_str).ok_or("no `text`")?;
    Ok(Document { id: id.ok_or("no `id` or `path`")?, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn documents_come_sorted_and_unreadable_ones_are_counted() -> Outcome {
        let dir = tempdir()?;
        fs::create_dir(dir.path().join("b"))?;
        fs::write(dir.path().join("b/two.md"), "# Two\n")?;
        fs::write(dir.path().join("a.txt"), "one")?;
        fs::write(dir.path().join("c.txt"), b"caf\xe9")?;
        fs::write(
            dir.path().join("d.jsonl"),
            "{\"id\":\"x\",\"text\":\"three\"}\n{\"text\":\"nameless\"}\n{\"path\":\"y/z\",\"text\":\"four\"}\n",
        )?;
        fs::write(dir.path().join("e.png"), b"\x89PNG")?;
        let loaded = read_documents(dir.path())?;
        let ids: Vec<&str> = loaded.items.iter().map(|d| d.id.as_str()).collect();
        assert_eq!(ids, ["a.txt", "b/two.md", "x", "y/z"]);
        assert_eq!(loaded.items[1].text, "# Two\n");
        assert_eq!(loaded.skipped.iter().map(|bad| bad.line).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(loaded.items.len() + loaded.skipped.len(), loaded.lines);
        Ok(())
    }

    #[test]
    fn a_folder_without_documents_is_an_error_with_a_hint() -> Outcome {
        let dir = tempdir()?;
        fs::write(dir.path().join("e.png"), b"\x89PNG")?;
        let message = read_documents(dir.path()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains("no documents (1 files") && message.contains("hint: "), "{message}");
        assert!(matches!(read_documents(dir.path().join("missing")), Err(Error::Io { .. })));
        Ok(())
    }

    #[cfg(feature = "documents")]
    #[test]
    fn pages_and_office_files_become_markdown_and_broken_ones_are_told() -> Outcome {
        let dir = tempdir()?;
        let page = "<html><head><title>T</title><script>x()</script></head><body><nav><a href=/>Home</a></nav>\
                    <h1>Title</h1><p>Some <b>bold</b> text.</p></body></html>";
        fs::write(dir.path().join("a.html"), page)?;
        fs::write(dir.path().join("b.docx"), docx::tests::sample()?)?;
        fs::write(dir.path().join("c.pdf"), pdf::tests::sample())?;
        fs::write(dir.path().join("d.docx"), b"PK\x03\x04 no archive")?;
        fs::write(dir.path().join("e.pdf"), b"%PDF-1.4 no pages")?;
        let loaded = read_documents(dir.path())?;
        let texts: Vec<&str> = loaded.items.iter().map(|document| document.text.trim()).collect();
        assert_eq!(texts, ["# Title\n\nSome **bold** text.", docx::tests::MARKDOWN, "Hello page"]);
        let broken: Vec<&PathBuf> = loaded.skipped.iter().map(|bad| &bad.file).collect();
        assert_eq!(broken, [&dir.path().join("d.docx"), &dir.path().join("e.pdf")]);
        Ok(())
    }
}
