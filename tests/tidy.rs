//! Rules of the house that can be checked by reading the repository. `docs/ARCHITECTURE.md` has the import table.
//!
//! Each rule is a function from files to offenders, so that it can be shown bad samples: see `samples`.

#[path = "tidy/code.rs"]
mod code;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/repository.rs"]
mod repository;
#[path = "tidy/samples.rs"]
mod samples;
#[path = "tidy/text.rs"]
mod text;

use repository::{Repository, require};

#[test]
fn crates_import_what_the_table_allows() {
    let repository = Repository::read();
    let table = imports::table(repository.text("docs/ARCHITECTURE.md"));
    require(
        "uses a crate that docs/ARCHITECTURE.md does not allow it",
        &imports::forbidden(&repository, &table),
    );
}

#[test]
fn packages_describe_themselves() {
    require("lacks a field that a package needs", &imports::undescribed(&Repository::read()));
}

#[test]
fn modules_say_what_they_are() {
    require("does not begin with a module comment (//!)", &text::undocumented(&Repository::read().files));
}

#[test]
fn files_and_functions_are_short() {
    let files = Repository::read().files;
    require("is longer than 600 lines", &text::long_files(&files, 600));
    require("is longer than 80 lines", &code::long_functions(&files, 80));
}

#[test]
fn unsafe_code_stays_in_the_kernels() {
    require(
        "holds unsafe code outside slm-kernels",
        &code::unsafe_outside(&Repository::read().files, "slm-kernels/"),
    );
}

#[test]
fn every_test_runs() {
    let files = Repository::read().files;
    require("ignores a test", &code::ignored_tests(&files));
    require("ignores an example in its documentation", &text::ignored_doctests(&files));
}

#[test]
fn nothing_is_left_to_do() {
    let files = Repository::read().files;
    require("holds a macro for code that is not written", &code::unwritten(&files));
    require("holds a mark for later", &text::marks(&files));
}

#[test]
fn documents_name_paths_that_exist() {
    require("names a path that does not exist", &paths::missing(&Repository::read()));
}

#[test]
fn no_file_depends_on_one_machine() {
    require("names a path of one machine", &text::machine_paths(&Repository::read().files));
}
