//! Paths that documents name in backticks.

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};

use crate::repository::{File, Repository};

/// Paths named in READMEs and in `docs` that do not exist, from the root or from beside the document.
pub(crate) fn missing(repository: &Repository) -> Vec<String> {
    let tops: BTreeSet<&str> = repository.files.iter().filter_map(|f| f.path.split('/').next()).collect();
    let features = features(repository);
    let mut found = Vec::new();
    for file in repository.files.iter().filter(is_document) {
        let beside = Path::new(&file.path).parent().unwrap_or(Path::new(""));
        for (line, span) in spans(&file.text) {
            let exists = |folder: &Path| repository.root.join(folder).join(span).exists();
            if is_path(span, &tops) && !features.contains(span) && !exists(Path::new("")) && !exists(beside) {
                found.push(format!("{}:{line} `{span}`", file.path));
            }
        }
    }
    found
}

fn is_document(file: &&File) -> bool {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    name == "README.md" || file.path.starts_with("docs/") && name.ends_with(".md")
}

/// Inline code with its line, outside code blocks.
pub(crate) fn spans(document: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_block = false;
    for (index, line) in document.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            found.extend(line.split('`').skip(1).step_by(2).map(|span| (index + 1, span)));
        }
    }
    found
}

/// Whether a span is meant as a path of this repository: it has a folder that the root has, or a folder and
/// the ending of a source file, or is a source document by itself.
pub(crate) fn is_path(span: &str, tops: &BTreeSet<&str>) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    if span.is_empty() || span.starts_with('/') || span.starts_with('.') || !span.chars().all(allowed) {
        return false;
    }
    let source = |endings: &[&str]| endings.iter().any(|ending| span.ends_with(ending));
    match span.split_once('/') {
        Some((top, _)) => tops.contains(top) || source(&[".rs", ".md", ".toml", ".py"]),
        None => source(&[".md", ".toml"]),
    }
}

/// The features of packages as cargo writes them, `slm-kernels/flex`: they look like paths.
fn features(repository: &Repository) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in repository.files.iter().filter(|f| f.path.ends_with("Cargo.toml")) {
        let manifest: Table = file.text.parse().unwrap_or_default();
        let name = manifest.get("package").and_then(|p| p.get("name")).and_then(Value::as_str);
        let features = manifest.get("features").and_then(Value::as_table);
        for (name, (feature, _)) in
            name.into_iter().flat_map(|n| features.into_iter().flatten().map(move |f| (n, f)))
        {
            found.insert(format!("{name}/{feature}"));
        }
    }
    found
}
