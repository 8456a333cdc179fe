//! Documents from a folder.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::lines::for_each_line;
use super::{BadLine, Loaded};
use crate::{Document, Error, Result};

/// Reads all documents of a folder and of the folders in it, in the order of their paths.
///
/// A `.md` or `.txt` file is one document, named by its path relative to `dir` with `/` between the parts.
/// In a `.jsonl` or `.jsonl.gz` file each line is one, with its name in `id` or `path` and its text in `text`. A file that is not
/// UTF-8 and a line without these keys are skipped and counted; files of other kinds and names that start
/// with a dot are left alone.
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
        let name = file.to_string_lossy().to_lowercase();
        if name.ends_with(".md") || name.ends_with(".txt") {
            read_text(dir, file, &mut loaded)?;
        } else if name.ends_with(".jsonl") || name.ends_with(".jsonl.gz") {
            read_lines(file, &mut loaded)?;
        }
    }
    if loaded.items.is_empty() {
        return Err(Error::NoDocuments { path: dir.to_owned(), seen: files.len() });
    }
    Ok(loaded)
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

fn read_text(dir: &Path, file: &Path, loaded: &mut Loaded<Document>) -> Result<()> {
    let bytes = fs::read(file).map_err(|source| Error::io(file, source))?;
    loaded.lines += 1;
    match String::from_utf8(bytes) {
        Ok(text) => {
            let relative = file.strip_prefix(dir).unwrap_or(file);
            let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
            loaded.items.push(Document { id: parts.join("/"), text });
        }
        Err(error) => {
            let reason = format!("not UTF-8: {}", error.utf8_error());
            loaded.skipped.push(BadLine { file: file.to_owned(), line: 0, reason });
        }
    }
    Ok(())
}

fn read_lines(file: &Path, loaded: &mut Loaded<Document>) -> Result<()> {
    for_each_line(file, |line, text| {
        loaded.lines += 1;
        match text.and_then(parse) {
            Ok(document) => loaded.items.push(document),
            Err(reason) => loaded.skipped.push(BadLine { file: file.to_owned(), line, reason }),
        }
    })
}

fn parse(text: &str) -> Result<Document, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
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
}
