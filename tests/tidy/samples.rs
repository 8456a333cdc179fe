//! Bad samples: each rule has to find what it is for, and to leave what only looks like it.

use std::collections::BTreeSet;

use crate::repository::{File, Repository, require};
use crate::{code, imports, paths, text};

fn rust(text: &str) -> Vec<File> {
    vec![File::new("x/src/a.rs", text)]
}

#[test]
fn code_without_comments_and_literals() {
    let source = "let a = \"fn { // \\\" \"; // }\nlet b = '{'; /* { /* } */ { */ let c: &'a str = r#\"}\"{\"#; // é\nlet d = '\\''; b'{'";
    let code = code::code_of(source);
    assert!(!code.contains(['{', '}', '"', 'é']), "{code}");
    assert_eq!(code.lines().count(), 3);
    for kept in ["let a =", "let b =", "let c: &'a str =", "let d ="] {
        assert!(code.contains(kept), "{kept} is lost: {code}");
    }
    assert_eq!(code::code_of("bar\"x\" 'é' z"), format!("bar{}z", " ".repeat(9)));
}

#[test]
fn functions_are_measured() {
    let source = "fn one() {\n    if x { y }\n}\ntrait T {\n    fn none(&self, a: [u8; 2]);\n    fn f(&self) -> [u8; 2] { [0; 2] }\n}\nlet f: fn (u8);\n";
    let found = code::functions(&code::code_of(source));
    assert_eq!(found, [("one".to_owned(), 1, 3), ("f".to_owned(), 6, 1)]);
    let long = format!("fn long() {{\n{}}}\n", "    x();\n".repeat(79));
    assert_eq!(code::long_functions(&rust(&long), 80), ["x/src/a.rs:1 `long`, 81 lines,"]);
    assert!(code::long_functions(&rust(&long), 81).is_empty());
}

#[test]
fn unsafe_is_found_where_it_is_code() {
    let bad = "// unsafe\n#![deny(unsafe_code)]\nlet a = \"unsafe\";\nlet b = unsafe { c };\n";
    assert_eq!(code::unsafe_outside(&rust(bad), "slm-kernels/"), ["x/src/a.rs:4"]);
    assert!(code::unsafe_outside(&rust(bad), "x/").is_empty());
}

#[test]
fn tests_that_do_not_run_are_found() {
    let bad =
        "#[test]\n#[ignore = \"slow\"]\nfn a() {}\n#[cfg_attr(miri, ignore)]\n// #[ignore]\nfn ignore() {}\n";
    assert_eq!(code::ignored_tests(&rust(bad)), ["x/src/a.rs:2", "x/src/a.rs:4"]);
    let bad = "//! ```ignore\n/// ```rust,ignore\n/// ```no_run\n/// ignore\n";
    assert_eq!(text::ignored_doctests(&rust(bad)), ["x/src/a.rs:1", "x/src/a.rs:2"]);
    assert_eq!(text::ignored_doctests(&[File::new("README.md", "\n```rust,ignore\n```\n")]), ["README.md:2"]);
}

#[test]
fn unfinished_code_is_found() {
    let bad = "fn a() { todo!() }\nfn b() { unimplemented!(\"c\") }\n// todo!\nlet todo = 1;\n";
    assert_eq!(code::unwritten(&rust(bad)), ["x/src/a.rs:1", "x/src/a.rs:2"]);
    let bad = format!("// {}: later\n// a {}s\n", concat!("FIX", "ME"), concat!("FIX", "ME"));
    assert_eq!(text::marks(&rust(&bad)), ["x/src/a.rs:1"]);
}

#[test]
fn files_are_measured_and_say_what_they_are() {
    assert_eq!(text::long_files(&rust(&"\n".repeat(3)), 2), ["x/src/a.rs (3 lines)"]);
    assert!(text::long_files(&rust(&"\n".repeat(2)), 2).is_empty());
    assert_eq!(text::undocumented(&rust("use a;\n//! Late.\n")), ["x/src/a.rs"]);
    assert!(text::undocumented(&rust("\n//! What it is.\n")).is_empty());
    assert!(text::undocumented(&rust("#![doc = include_str!(\"../README.md\")]\n")).is_empty());
    assert!(text::undocumented(&[File::new("x/build.rs", "use a;\n")]).is_empty());
}

#[test]
fn machine_paths_are_found() {
    let bad = format!("a {}b\nlet x = \"{}\";\n", concat!("/tm", "p/"), concat!("/ro", "ot/x"));
    assert_eq!(text::machine_paths(&rust(&bad)), ["x/src/a.rs:1", "x/src/a.rs:2"]);
    assert!(text::machine_paths(&rust(&format!("docs{}", concat!("/wo", "rk/x")))).is_empty());
}

/// A repository of these files, in a folder that holds them.
fn repository(files: &[(&str, &str)]) -> (tempfile::TempDir, Repository) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    let files = files.iter().map(|(path, text)| File::new(path, text)).collect();
    let root = folder.path().to_owned();
    (folder, Repository { root, files })
}

#[test]
fn uses_beside_the_table_are_found() {
    let document = "# x\n\n| crate | may use |\n|---|---|\n| `low` | nothing |\n| `high` | `low`, `burn` |\n| `gone` | `low` |\n\ntext\n";
    let allowed = imports::table(document);
    assert_eq!(allowed.len(), 3);
    let low = "[package]\nname = \"low\"\n[dependencies]\nserde = \"1\"\nburn-core = \"1\"\n[dev-dependencies]\nburn = \"1\"\nother = { package = \"high\", path = \"../high\" }\n";
    let high = "[package]\nname = \"high\"\n[dependencies]\nlow.workspace = true\nburn.workspace = true\n[target.'cfg(unix)'.dependencies]\nextra = \"1\"\n";
    let extra = "[package]\nname = \"extra\"\n";
    let (_folder, repository) =
        repository(&[("low/Cargo.toml", low), ("high/Cargo.toml", high), ("extra/Cargo.toml", extra)]);
    let expected = [
        "gone, which is no package,",
        "low (burn in [dependencies])",
        "low (high in [dev-dependencies])",
        "high (extra in [target.cfg(unix).dependencies])",
        "extra, which has no row in the table,",
    ];
    assert_eq!(imports::forbidden(&repository, &allowed), expected);
    let missing = imports::undescribed(&repository);
    assert_eq!(missing.len(), 9, "{missing:?}");
    assert_eq!(missing[0], "low (description)");
}

#[test]
fn paths_that_lead_nowhere_are_found() {
    let document = "`docs/a.md` `docs/b.md` `low/flex` `low/other` `config.json` `a::b/c` `src/x.rs` `--x/y` `none.md`\n```\n`docs/c.md`\n```\n";
    let low = "[package]\nname = \"low\"\n[features]\nflex = []\n";
    let files = [
        ("docs/a.md", document),
        ("low/Cargo.toml", low),
        ("low/README.md", "`src/x.rs` `src/y.rs`"),
        ("low/src/x.rs", ""),
    ];
    let (_folder, repository) = repository(&files);
    let expected = [
        "docs/a.md:1 `docs/b.md`",
        "docs/a.md:1 `low/other`",
        "docs/a.md:1 `src/x.rs`",
        "docs/a.md:1 `none.md`",
        "low/README.md:1 `src/y.rs`",
    ];
    assert_eq!(paths::missing(&repository), expected);
    let tops = BTreeSet::from(["docs"]);
    assert!(paths::is_path("docs/x", &tops) && !paths::is_path("burn/flex", &tops));
}

#[test]
fn offenders_are_all_named() {
    let failure = std::panic::catch_unwind(|| require("is bad", &["a.rs".into(), "b.rs".into()]));
    let message = failure.expect_err("offenders are a failure");
    let message = message.downcast_ref::<String>().expect("a message");
    assert!(message.contains("each of 2 places is bad:\n  a.rs\n  b.rs"), "{message}");
    require("is bad", &[]);
}
