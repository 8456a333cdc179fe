//! The files under the root.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A text file and its path from the root, with `/`.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// All text files that are, or would be, committed.
#[derive(Debug)]
pub(crate) struct Repository {
    pub(crate) root: PathBuf,
    pub(crate) files: Vec<File>,
}

impl Repository {
    /// Reads this repository: what git lists, or where there is no git (a package from a registry) every file
    /// outside the build and hidden folders.
    pub(crate) fn read() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let paths = listed(&root).unwrap_or_else(|| {
            let mut paths = Vec::new();
            walk(&root, &root, &mut paths);
            paths
        });
        let text = |path: &String| String::from_utf8(std::fs::read(root.join(path)).ok()?).ok();
        let mut files: Vec<File> =
            paths.iter().filter_map(|path| Some(File::new(path, &text(path)?))).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        assert!(
            files.iter().any(|f| f.path == "Cargo.toml"),
            "the repository was not found at {}",
            root.display()
        );
        Self { root, files }
    }

    /// The text of a file that has to exist.
    pub(crate) fn text(&self, path: &str) -> &str {
        match self.files.iter().find(|f| f.path == path) {
            Some(file) => &file.text,
            None => panic!("{path} is missing"),
        }
    }
}

fn listed(root: &Path) -> Option<Vec<String>> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").current_dir(root).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let paths: Vec<String> = text.split('\0').filter(|p| !p.is_empty()).map(str::to_owned).collect();
    (output.status.success() && !paths.is_empty()).then_some(paths)
}

fn walk(root: &Path, folder: &Path, paths: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                walk(root, &path, paths);
            }
        } else if let Ok(relative) = path.strip_prefix(root) {
            paths.push(relative.to_string_lossy().replace('\\', "/"));
        }
    }
}

/// Fails with all offenders, each of which `problem` is said of.
pub(crate) fn require(problem: &str, offenders: &[String]) {
    let list: Vec<String> = offenders.iter().map(|o| format!("  {o}")).collect();
    assert!(offenders.is_empty(), "{} {problem}:\n{}", count(offenders.len()), list.join("\n"));
}

fn count(offenders: usize) -> String {
    if offenders == 1 { "one place".into() } else { format!("each of {offenders} places") }
}
