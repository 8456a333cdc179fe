//! Curates a file of examples and says what was dropped and why.
//!
//! ```text
//! cargo run --release -p slm-data --example curate -- train.jsonl out [config.json [evaluation.jsonl]]
//! ```
//!
//! Writes `kept.jsonl`, `dropped.jsonl` (each row with the reason) and `report.json` to the folder `out`, and
//! prints the report and the time. `config.json` holds a `CurateConfig`; what it does not name has its
//! default. With the word `infer` in its place, the form of the answers is inferred from the rows: expect a
//! `schema` step that drops answers with other keys.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use slm_data::{AnswerSchema, CurateConfig, Example, curate, read_examples, write_examples};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, out, rest @ ..] = arguments.as_slice() else {
        return Err("usage: curate INPUT.jsonl OUT [CONFIG.json|infer [EVALUATION.jsonl]]".into());
    };
    let loaded = read_examples(input)?;
    println!("{} lines: {} examples, {} skipped", loaded.lines, loaded.items.len(), loaded.skipped.len());
    for bad in loaded.skipped.iter().take(5) {
        println!("  line {}: {}", bad.line, bad.reason);
    }
    let config = config(rest.first().map(String::as_str), &loaded.items)?;
    let evaluation = match rest.get(1) {
        Some(path) => read_examples(path)?.items,
        None => Vec::new(),
    };

    let start = Instant::now();
    let curated = curate(loaded.items, &evaluation, &config)?;
    let seconds = start.elapsed().as_secs_f64();
    print!("{}", curated.report);
    println!("{seconds:.2} s");

    let out = Path::new(out);
    fs::create_dir_all(out)?;
    write_examples(out.join("kept.jsonl"), &curated.kept)?;
    let dropped: Vec<String> = curated.dropped.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    fs::write(out.join("dropped.jsonl"), dropped.join("\n") + "\n")?;
    fs::write(out.join("report.json"), serde_json::to_string_pretty(&curated.report)?)?;
    Ok(())
}

/// The configuration named on the command line.
fn config(name: Option<&str>, examples: &[Example]) -> Result<CurateConfig, Box<dyn Error>> {
    match name {
        None => Ok(CurateConfig::default()),
        Some("infer") => {
            let schema = AnswerSchema::infer(examples, 0.5).ok_or("no form that half of the answers have")?;
            println!("inferred keys {:?}, copied from the question {:?}", schema.keys, schema.grounded);
            Ok(CurateConfig { schema: Some(schema), ..CurateConfig::default() })
        }
        Some(path) => Ok(serde_json::from_str(&fs::read_to_string(path)?)?),
    }
}
