//! A pipeline from a file: counts add up, what is cached is not run again, and what is killed leaves nothing.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use slm_data::{
    DropReason, Example, Pipeline, PipelineConfig, PipelineReport, read_examples, write_examples,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const CONFIG: &str = r#"
cache = "cache"

[[input]]
path = "a.jsonl"
licence = "CC-BY-4.0"

[[input]]
path = "more"

[[step]]
name = "repair"
clean = {}

[[step]]
name = "private"
pii = {}

[[step]]
name = "refusals"
refusals = {}

[[step]]
name = "same"
exact_duplicates = {}

[[step]]
name = "twins"
near_duplicates = { threshold = 0.8 }

[[step]]
name = "chosen"
select = { count = 60, seed = 3 }

[output]
rows = "out/train.jsonl"
dropped = "out/dropped.jsonl.gz"
quarantine = "out/bad.jsonl"
card = "out/card.html"
split = { validation = 0.1, test = 0.2, seed = 1 }
"#;

fn setup(dir: &Path) -> Outcome {
    let nouns = ["volume", "router", "kernel", "ledger", "battery", "compiler", "mailbox", "printer"];
    let verbs = ["fails", "grows", "stops", "restarts", "leaks", "hangs", "overflows", "slows down"];
    let mut rows: Vec<Example> = (0..64)
        .map(|n| {
            let question = format!("Why does the {} of machine {n} say it {}?", nouns[n % 8], verbs[n / 8]);
            Example::pair(
                question,
                format!("Because its {} was never checked; mail a{n}@example.org.", nouns[n / 8]),
                "",
            )
        })
        .map(|row| Example { source: format!("gen:{}", row.question().len()), ..row })
        .collect();
    rows.push(Example::pair("CafÃ© closed?", "As an AI language model I cannot say.", "x"));
    rows.push(rows[3].clone());
    let twin = rows[5].question().replace('?', "?!");
    rows.push(Example::pair(twin, rows[5].answer(), "x"));
    write_examples(dir.join("a.jsonl"), &rows)?;
    fs::create_dir_all(dir.join("more/deep"))?;
    fs::write(dir.join("more/notes.md"), "No rows.")?;
    fs::write(
        dir.join("more/deep/b.csv"),
        "question,answer\nWhy is the sky blue?,Rayleigh scattering.\nonly one field\n",
    )?;
    fs::write(dir.join("pipeline.toml"), CONFIG)?;
    Ok(())
}

fn run(dir: &Path) -> slm_data::Result<PipelineReport> {
    Pipeline::new(PipelineConfig::load(dir.join("pipeline.toml"))?)?.run()
}

#[test]
fn counts_add_up_and_the_second_run_does_nothing() -> Outcome {
    let dir = tempfile::tempdir()?;
    setup(dir.path())?;
    let first = run(dir.path())?;
    assert_eq!((first.read.lines, first.read.rows, first.read.bad), (69, 68, 1));
    let mut left = first.read.rows;
    for step in &first.steps {
        assert_eq!(step.input, left, "{}", step.name);
        assert_eq!(step.kept + step.dropped.values().sum::<usize>(), step.input, "{}", step.name);
        left = step.kept;
    }
    let dropped = |name: &str, reason| {
        first.steps.iter().find(|step| step.name == name).and_then(|step| step.dropped.get(&reason).copied())
    };
    assert_eq!(dropped("refusals", DropReason::Refusal), Some(1));
    assert_eq!(dropped("same", DropReason::ExactDuplicate), Some(1));
    assert_eq!(dropped("twins", DropReason::NearDuplicate), Some(1));
    assert_eq!(dropped("chosen", DropReason::NotSelected), Some(5));
    let out = dir.path().join("out");
    let parts = ["train", "train.validation", "train.test"]
        .map(|name| read_examples(out.join(format!("{name}.jsonl"))));
    let count: usize = parts.iter().flatten().map(|part| part.items.len()).sum();
    assert_eq!(count, left);
    assert!(
        parts.iter().flatten().flat_map(|part| &part.items).all(|row| !row.answer().contains("@example"))
    );
    for control in ["train.random.jsonl", "train.length_matched.jsonl"] {
        assert_eq!(read_examples(out.join(control))?.items.len(), 60);
    }
    let bad = fs::read_to_string(out.join("bad.jsonl"))?;
    assert!(bad.contains("b.csv\",\"line\":3") && bad.lines().count() == 1, "{bad}");
    let card = fs::read_to_string(out.join("card.html"))?;
    for part in ["CC-BY-4.0", "near duplicate", "<svg", "Because its", "68", "1 duplicates of"] {
        assert!(card.contains(part), "{part}");
    }
    assert!(!card.contains("http") && !card.contains("@example.org"), "the page needs something else");
    let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(out.join("card.json"))?)?;
    assert_eq!(json["read"]["rows"], 68);

    let second = run(dir.path())?;
    assert!(second.steps.iter().filter(|step| step.name != "split").all(|step| step.cached));
    assert_eq!(second.written, first.written);

    // A later step that changes leaves the earlier ones alone.
    let text = fs::read_to_string(dir.path().join("pipeline.toml"))?.replace("count = 60", "count = 50");
    fs::write(dir.path().join("pipeline.toml"), text)?;
    let third = run(dir.path())?;
    assert_eq!(
        third.steps.iter().map(|step| step.cached).collect::<Vec<_>>(),
        [true, true, true, true, true, false, false]
    );
    // So does a changed input: all steps run again.
    fs::write(dir.path().join("more/deep/b.csv"), "question,answer\nWhy?,So.\n")?;
    assert!(run(dir.path())?.steps.iter().all(|step| !step.cached));
    Ok(())
}

#[test]
fn the_number_of_threads_makes_no_difference() -> Outcome {
    let mut written = Vec::new();
    for threads in [1, 4] {
        let dir = tempfile::tempdir()?;
        setup(dir.path())?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        pool.install(|| run(dir.path()))?;
        let files = ["train.jsonl", "train.test.jsonl", "train.random.jsonl", "card.html"];
        written.push(files.map(|name| fs::read(dir.path().join("out").join(name)).unwrap_or_default()));
    }
    assert!(written[0] == written[1] && written[0].iter().all(|file| !file.is_empty()));
    Ok(())
}

#[test]
fn a_step_that_fails_leaves_nothing_half_and_the_next_run_goes_on() -> Outcome {
    let dir = tempfile::tempdir()?;
    setup(dir.path())?;
    let calls = Rc::new(Cell::new(0));
    let pipeline = |fails: bool| -> slm_data::Result<PipelineReport> {
        let calls = Rc::clone(&calls);
        let config = PipelineConfig::load(dir.path().join("pipeline.toml"))?;
        Pipeline::new(config)?
            .then_judge("short", "words below 4", move |rows| {
                calls.set(calls.get() + 1);
                if fails {
                    return Err(slm_data::Error::Model { what: "the judge", reason: "out of memory".into() });
                }
                let short = |row: &Example| row.answer().split(' ').count() < 4;
                Ok(rows.iter().map(|row| short(row).then(|| "fewer than 4 words".to_owned())).collect())
            })
            .run()
    };
    assert!(pipeline(true).is_err());
    let half = fs::read_dir(dir.path().join("cache"))?
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().ends_with(".tmp"));
    assert_eq!(half.count(), 0);
    assert!(!dir.path().join("out").exists());
    let report = pipeline(false)?;
    assert_eq!(
        report.steps.iter().map(|step| step.cached).collect::<Vec<_>>(),
        [true, true, true, true, true, true, false, false]
    );
    assert_eq!(report.steps[6].dropped.get(&DropReason::Custom), Some(&1));
    pipeline(true)?;
    assert_eq!(calls.get(), 2, "a cached step was run again");
    Ok(())
}

/// Only in a child process that the test below starts, and kills.
#[test]
fn child_of_the_kill_test() -> Outcome {
    if let Some(dir) = std::env::var_os("SLM_DATA_KILL_TEST") {
        run(Path::new(&dir))?;
    }
    Ok(())
}

#[test]
fn a_kill_at_any_moment_leaves_the_old_output_or_the_new_one() -> Outcome {
    let whole = tempfile::tempdir()?;
    setup(whole.path())?;
    let expected = run(whole.path())?.written;
    let new = |name: &str| fs::read(whole.path().join("out").join(name));
    let dir = tempfile::tempdir()?;
    setup(dir.path())?;
    let out = dir.path().join("out");
    fs::create_dir(&out)?;
    let files = ["train.jsonl", "train.test.jsonl", "dropped.jsonl.gz", "card.html", "card.json"];
    for name in files {
        fs::write(out.join(name), "old")?;
    }
    let (mut killed, mut finished) = (0, 0);
    for delay in 0..60 {
        let mut child = std::process::Command::new(std::env::current_exe()?)
            .args(["--exact", "child_of_the_kill_test"])
            .env("SLM_DATA_KILL_TEST", dir.path())
            .stdout(std::process::Stdio::null())
            .spawn()?;
        std::thread::sleep(std::time::Duration::from_millis(delay * 2));
        // The child may have come to its end already.
        let _ = child.kill();
        let done = child.wait()?.success();
        if done {
            finished += 1;
        } else {
            killed += 1;
        }
        for name in files {
            let found = fs::read(out.join(name))?;
            assert!(found == b"old" || found == new(name)?, "{name} after {delay}");
        }
        if finished == 3 {
            break;
        }
    }
    assert!(killed > 0);
    assert_eq!(run(dir.path())?.written.values().collect::<Vec<_>>(), expected.values().collect::<Vec<_>>());
    for name in files {
        assert_eq!(fs::read(out.join(name))?, new(name)?, "{name}");
    }
    Ok(())
}
