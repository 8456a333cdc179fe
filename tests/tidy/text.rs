//! Rules on text as it stands.

use crate::repository::File;

/// Rust files under a `src` folder that do not say what they are.
pub(crate) fn undocumented(files: &[File]) -> Vec<String> {
    let in_src = |f: &&File| f.is_rust() && (f.path.starts_with("src/") || f.path.contains("/src/"));
    let says = |f: &&File| {
        let first = f.text.lines().find(|l| !l.trim().is_empty()).unwrap_or_default();
        first.starts_with("//! ") || first.starts_with("#![doc = include_str!(")
    };
    files.iter().filter(in_src).filter(|f| !says(f)).map(|f| f.path.clone()).collect()
}

/// Rust files of more than `most` lines.
pub(crate) fn long_files(files: &[File], most: usize) -> Vec<String> {
    let lines = |f: &File| f.text.lines().count();
    let long = files.iter().filter(|f| f.is_rust() && lines(f) > most);
    long.map(|f| format!("{} ({} lines)", f.path, lines(f))).collect()
}

/// Examples in documentation that are not compiled.
pub(crate) fn ignored_doctests(files: &[File]) -> Vec<String> {
    let ignored = |line: &str| {
        let line = line.trim_start().trim_start_matches(['/', '!']).trim_start();
        let Some(info) = line.strip_prefix("```") else { return false };
        info.split(|c: char| !c.is_alphanumeric()).any(|word| word == "ignore")
    };
    let documents = |f: &File| f.is_rust() || f.path.ends_with(".md");
    lines_where(files, documents, ignored)
}

/// Marks that promise a later change.
pub(crate) fn marks(files: &[File]) -> Vec<String> {
    let marks = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X")];
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let marked = |line: &str| {
        marks.iter().any(|mark| {
            line.match_indices(mark).any(|(at, _)| {
                !line[..at].ends_with(is_word) && !line[at + mark.len()..].starts_with(is_word)
            })
        })
    };
    let source = |f: &File| [".rs", ".md", ".toml", ".css"].iter().any(|ending| f.path.ends_with(ending));
    lines_where(files, source, marked)
}

/// Absolute paths that exist on one machine only.
pub(crate) fn machine_paths(files: &[File]) -> Vec<String> {
    let folders = [concat!("/ro", "ot/"), concat!("/tm", "p/"), concat!("/wo", "rk/"), concat!("/ho", "me/")];
    // Within a longer path, such as `docs/work/`, the name means nothing.
    let in_path = |c: char| c.is_alphanumeric() || "._-$}~*".contains(c);
    let absolute = |line: &str| {
        folders.iter().any(|folder| line.match_indices(folder).any(|(at, _)| !line[..at].ends_with(in_path)))
    };
    lines_where(files, |_| true, absolute)
}

fn lines_where(files: &[File], of: impl Fn(&File) -> bool, bad: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|f| of(f)) {
        let lines = file.text.lines().enumerate().filter(|(_, line)| bad(line));
        found.extend(lines.map(|(index, _)| format!("{}:{}", file.path, index + 1)));
    }
    found
}
