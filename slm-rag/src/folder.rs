//! A folder of text files as documents.

use std::fs;
use std::path::Path;

use slm_data::Document;

use crate::{Error, Result};

/// Extensions of the files that are read.
const EXTENSIONS: [&str; 5] = ["markdown", "md", "mdx", "rst", "txt"];

/// Reads the text files of a folder and its subfolders (`.md`, `.markdown`, `.mdx`, `.rst`, `.txt`), sorted by
/// path. Hidden files and symbolic links are left out. Identifiers are paths relative to the folder, with `/`.
///
/// # Errors
/// When the folder or a file cannot be read, a file is not UTF-8, or there is no such file.
pub fn read_folder(folder: &Path) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    collect(folder, "", &mut documents)?;
    documents.sort_by(|a, b| a.id.cmp(&b.id));
    if documents.is_empty() {
        return Err(Error::NoText {
            documents: 0,
            hint: "the folder must hold files named .md, .rst or .txt",
        });
    }
    Ok(documents)
}

fn collect(folder: &Path, prefix: &str, documents: &mut Vec<Document>) -> Result<()> {
    let fail = |source| Error::io(folder, source);
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type().map_err(|source| Error::io(&path, source))?;
        let id = format!("{prefix}{name}");
        if kind.is_dir() {
            collect(&path, &format!("{id}/"), documents)?;
        } else if kind.is_file() && is_text(&path) {
            let text = fs::read_to_string(&path).map_err(|source| Error::io(&path, source))?;
            documents.push(Document { id, text });
        }
    }
    Ok(())
}

fn is_text(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}
