//! Steps of a pipeline that look at more than one row: through files as in memory; and the steps that look for
//! toxicity.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use slm_data::{DropReason, Example, Pipeline, PipelineConfig, PipelineReport, write_examples};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// More rows than are read at once: families of rows that differ in a word, rows that are alone, and an empty answer.
fn rows() -> Vec<Example> {
    let words = ["amber", "basalt", "copper", "dolomite", "emerald", "feldspar", "granite", "hematite"];
    let word = |n: usize| words[n % words.len()];
    (0..9000)
        .map(|n| {
            let family = n * 7919 % 3000;
            let place = format!("{} {} {}", word(family), word(family / 8), word(family / 64));
            let question = format!("What happened to sample {family} of {place} in shaft {}?", family * 31);
            let question = if n % 4 == 0 { format!("{question} Please answer.") } else { question };
            let answer =
                if n == 4500 { String::new() } else { format!("Sample {family} is in box {}.", n % 2) };
            Example::pair(question, answer, format!("mine:{n}"))
        })
        .collect()
}

fn run(dir: &Path, memory: u64, rule: &str) -> Result<PipelineReport, Box<dyn std::error::Error>> {
    let text = format!(
        "cache = \"cache{memory}\"\nmemory_mib = {memory}\n[[input]]\npath = \"rows.jsonl\"\n[[step]]\nname = \"twins\"\n\
         near_duplicates = {{ threshold = 0.8, rule = \"{rule}\" }}\n[output]\nrows = \"kept{memory}.jsonl\"\n\
         dropped = \"dropped{memory}.jsonl\"\n"
    );
    fs::write(dir.join("pipeline.toml"), text)?;
    Ok(Pipeline::new(PipelineConfig::load(dir.join("pipeline.toml"))?)?.run()?)
}

#[test]
fn near_duplicates_are_the_same_through_files_and_in_memory() -> Outcome {
    for rule in ["similar_question", "same_meaning"] {
        let dir = tempfile::tempdir()?;
        write_examples(dir.path().join("rows.jsonl"), &rows())?;
        let in_memory = run(dir.path(), 1024, rule)?;
        let through_files = run(dir.path(), 0, rule)?;
        let step = &through_files.steps[0];
        assert_eq!(step.kept + step.dropped.values().sum::<usize>(), 9000);
        assert_eq!(step.dropped.get(&DropReason::EmptyTurn), Some(&1));
        assert!(step.dropped.get(&DropReason::NearDuplicate).is_some_and(|count| *count > 2000), "{step:?}");
        assert_eq!(*step, in_memory.steps[0]);
        let read = |name: &str| fs::read(dir.path().join(name));
        assert_eq!(read("kept0.jsonl")?, read("kept1024.jsonl")?);
        // The row with an empty answer is dropped first in memory, and in its place here.
        let dropped = |name: &str| -> Result<Vec<String>, std::io::Error> {
            let text = fs::read_to_string(dir.path().join(name))?;
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort_unstable();
            Ok(lines)
        };
        assert_eq!(dropped("dropped0.jsonl")?, dropped("dropped1024.jsonl")?);
        let folder = &through_files.folders[1];
        assert!(fs::read_dir(folder)?.all(|entry| entry.is_ok_and(|entry| entry.path().is_file())));
    }
    Ok(())
}

#[test]
fn toxicity_by_a_list_and_by_a_closure() -> Outcome {
    let dir = tempfile::tempdir()?;
    let rows = ["A fine day.", "You blockhead!", "Well, numskull.", "Rather rude, this.", "Good night."];
    let rows: Vec<Example> =
        rows.iter().map(|answer| Example::pair("What do you say?", *answer, "x")).collect();
    write_examples(dir.path().join("rows.jsonl"), &rows)?;
    fs::write(dir.path().join("words.txt"), "# a list\n\nBlockhead\n")?;
    let text = "cache = \"cache\"\n[[input]]\npath = \"rows.jsonl\"\n[[step]]\nname = \"words\"\n\
                toxicity = { words = [\"numskull\"], list = \"words.txt\" }\n[output]\nrows = \"kept.jsonl\"\n";
    fs::write(dir.path().join("pipeline.toml"), text)?;
    let run = || -> Result<PipelineReport, Box<dyn std::error::Error>> {
        let score = |rows: &[Example]| {
            Ok(rows.iter().map(|row| if row.answer().contains("rude") { 0.9 } else { 0.1 }).collect())
        };
        let pipeline = Pipeline::new(PipelineConfig::load(dir.path().join("pipeline.toml"))?)?;
        Ok(pipeline.then_toxicity("model", "v1", 0.5, score).run()?)
    };
    let dropped = |report: &PipelineReport, step: usize| report.steps[step].dropped.clone();
    let report = run()?;
    assert_eq!(dropped(&report, 0), BTreeMap::from([(DropReason::Toxic, 2)]));
    assert_eq!(dropped(&report, 1), BTreeMap::from([(DropReason::Toxic, 1)]));
    // Another list is another step: the cache does not answer for it.
    fs::write(dir.path().join("words.txt"), "fine\n")?;
    let report = run()?;
    assert_eq!(dropped(&report, 0), BTreeMap::from([(DropReason::Toxic, 2)]));
    assert!(!report.steps[0].cached);
    fs::write(dir.path().join("words.txt"), "nothing of this\n")?;
    assert_eq!(dropped(&run()?, 0), BTreeMap::from([(DropReason::Toxic, 1)]));
    Ok(())
}
