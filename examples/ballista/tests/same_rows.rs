//! A pipeline keeps and drops the same on this machine, by DataFusion, and on a scheduler with two executors.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use slm_data::{Example, Pipeline, PipelineConfig, write_examples};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const BINARY: &str = env!("CARGO_BIN_EXE_slm-ballista");

/// Killed when it goes out of scope.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(arguments: &[&str]) -> Outcome<Process> {
    Ok(Process(Command::new(BINARY).args(arguments).stdout(Stdio::null()).spawn()?))
}

/// Two ports in a row that nobody listens on.
fn ports() -> Outcome<u16> {
    for _ in 0..100 {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return Ok(port);
        }
    }
    Err("no two free ports".into())
}

const WORDS: [&str; 24] = [
    "archive",
    "battery",
    "cabinet",
    "diagram",
    "elevator",
    "firmware",
    "gateway",
    "harbour",
    "inverter",
    "journal",
    "keyboard",
    "ledger",
    "monitor",
    "notebook",
    "outlet",
    "printer",
    "quarry",
    "router",
    "scanner",
    "turbine",
    "umbrella",
    "valve",
    "warehouse",
    "yacht",
];

/// Rows with everything that the steps look for: repeats, near repeats, addresses, refusals, cut answers, wrong form.
fn rows() -> Vec<Example> {
    let mut rows = Vec::new();
    for number in 0..600_usize {
        let word = |factor: usize| WORDS[(number * factor + number / 24) % WORDS.len()];
        let (part, place) = (word(1), word(5));
        let question =
            format!("Ticket: how is the {part} beside the {place} repaired when the {} fails?", word(7));
        let answer = match number % 12 {
            0 => "I'm sorry, but as an AI language model I cannot help with that.".to_owned(),
            1 => format!("Write to admin{number}@example.org, who restarts the {part} and reads its log."),
            2 => format!("Stop the {part} first:\n```sh\nsystemctl stop {part}"),
            3 => String::new(),
            4 => "Yes.".to_owned(),
            5 => "Stop it. ".repeat(30),
            _ => {
                format!("Stop the service, check the {part} for errors, replace the fuse and start it again.")
            }
        };
        rows.push(Example::pair(question, answer, format!("ticket-{number}")).in_group(part));
    }
    let near = |row: &Example| Example::pair(format!("{} Thanks", row.question()), row.answer(), "again");
    let repeats = rows.iter().step_by(9).cloned();
    let repeats: Vec<Example> = repeats.chain(rows.iter().skip(6).step_by(12).map(near)).collect();
    rows.extend(repeats);
    rows
}

fn pipeline(folder: &Path, name: &str) -> Outcome<String> {
    let text = format!(
        "cache = \"cache-{name}\"\n[[input]]\npath = \"rows.jsonl\"\nlicence = \"CC0-1.0\"\n\
         [[step]]\nname = \"repair\"\nclean = {{}}\n[[step]]\nname = \"private\"\npii = {{}}\n\
         [[step]]\nname = \"size\"\nlength = {{ min_answer = 8 }}\n[[step]]\nname = \"refusals\"\nrefusals = {{}}\n\
         [[step]]\nname = \"cut\"\ntruncation = {{}}\n[[step]]\nname = \"twins\"\nexact_duplicates = {{}}\n\
         [[step]]\nname = \"near\"\nnear_duplicates = {{ threshold = 0.7 }}\n\
         [[step]]\nname = \"noise\"\nquality = {{}}\n[[step]]\nname = \"score\"\nmin_score = 0.1\n\
         [output]\nrows = \"{name}.jsonl\"\ndropped = \"{name}.dropped.jsonl\"\nquarantine = \"{name}.bad.jsonl\"\n"
    );
    let path = folder.join(format!("{name}.toml"));
    fs::write(&path, text)?;
    Ok(path.to_string_lossy().into_owned())
}

fn lines(path: &Path) -> Outcome<BTreeSet<String>> {
    Ok(fs::read_to_string(path)?.lines().map(str::to_owned).collect())
}

#[test]
fn a_cluster_keeps_the_same_rows() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    write_examples(at.join("rows.jsonl"), &rows())?;
    let bad = fs::read_to_string(at.join("rows.jsonl"))? + "{\"no row\": 1}\n";
    fs::write(at.join("rows.jsonl"), bad)?;

    let mut here = Pipeline::new(PipelineConfig::load(pipeline(at, "here")?)?)?;
    let expected = here.run()?;
    let dropped: Vec<usize> = expected.steps.iter().map(|step| step.dropped.values().sum()).collect();
    // Repair and private data change rows, and a row that scores low has been dropped before.
    assert!(dropped[2..8].iter().all(|count| *count > 0), "{dropped:?}");

    let run = |name: &str, address: Option<&str>| -> Outcome {
        let file = pipeline(at, name)?;
        let mut command = Command::new(BINARY);
        let done = command.args(["run", &file]).args(address).output()?;
        assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
        for (ending, ordered) in [("jsonl", true), ("dropped.jsonl", false), ("bad.jsonl", true)] {
            let (ours, theirs) = (at.join(format!("here.{ending}")), at.join(format!("{name}.{ending}")));
            let (expected, found) = (lines(&ours)?, lines(&theirs)?);
            let other = expected.symmetric_difference(&found).next();
            assert!(other.is_none() && !expected.is_empty(), "{name}: {ending}: {other:?}");
            assert!(!ordered || fs::read(&ours)? == fs::read(&theirs)?, "{name}: order of {ending}");
        }
        Ok(())
    };
    run("cores", None)?;

    let (scheduler, first, second) = (ports()?, ports()?, ports()?);
    let work = [at.join("first"), at.join("second")];
    let mut processes = vec![start(&["scheduler", &scheduler.to_string()])?];
    for (port, work) in [first, second].into_iter().zip(&work) {
        fs::create_dir(work)?;
        let address = format!("127.0.0.1:{scheduler}");
        processes.push(start(&["executor", &address, &port.to_string(), &work.to_string_lossy()])?);
    }
    let address = format!("http://127.0.0.1:{scheduler}");
    let took_part = |work: &Path| fs::read_dir(work).is_ok_and(|mut files| files.next().is_some());
    // The second executor may be there only when the first one has done all.
    for _ in 0..5 {
        run("cluster", Some(&address))?;
        if work.iter().all(|work| took_part(work)) {
            return Ok(());
        }
    }
    Err("an executor took no part".into())
}

#[tokio::test]
async fn pairs_of_a_query_are_rows() -> Outcome {
    let context = datafusion::prelude::SessionContext::new();
    slm_data::distributed::register(&context);
    let query = "SELECT slm_fingerprint(slm_pair('Is it on?', 'Yes.', 'export'))";
    let found = context.sql(query).await?.collect().await?;
    let text = datafusion::common::cast::as_string_array(found[0].column(0))?.value(0).to_owned();
    assert_eq!(text, Example::pair("is it  on?", "yes.", "").fingerprint());
    Ok(())
}

#[tokio::test]
async fn steps_that_need_all_rows_are_refused_before_anything_is_written() -> Outcome {
    let folder = tempfile::tempdir()?;
    write_examples(folder.path().join("rows.jsonl"), &rows()[..3])?;
    let text = "cache = \"cache\"\n[[input]]\npath = \"rows.jsonl\"\n[[step]]\nname = \"best\"\nselect = { count = 2 }\n\
                [output]\nrows = \"out.jsonl\"\n";
    let file = folder.path().join("all.toml");
    fs::write(&file, text)?;
    let context = datafusion::prelude::SessionContext::new();
    let refused = slm_data::distributed::run(&context, PipelineConfig::load(&file)?).await;
    let message = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message.contains("`best` needs all rows") && message.contains("hint: "), "{message}");
    assert!(!folder.path().join("cache").exists() && !folder.path().join("out.jsonl").exists());
    Ok(())
}
