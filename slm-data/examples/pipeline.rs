//! Runs a curation that a TOML file describes: named steps, cached by content, with a data card.
//!
//! ```text
//! cargo run --release -p slm-data --example pipeline -- slm-data/examples/pipeline.toml
//! ```
//!
//! Prints the steps with what they dropped, and the files that were written. Run it again: all steps come out
//! of the cache. Open `card.html` in a browser for examples, plots, licences and duplicates. The file in this
//! folder names public collections that lie beside the checkout; see `docs/guides/curate.md`.

use std::error::Error;
use std::time::Instant;

use slm_data::{Pipeline, PipelineConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: pipeline PIPELINE.toml")?;
    let start = Instant::now();
    let report = Pipeline::new(PipelineConfig::load(path)?)?.run()?;
    let read = report.read;
    println!("{} lines: {} rows, {} in quarantine", read.lines, read.rows, read.bad);
    println!("{:<14} {:>9} {:>9} {:>9}", "step", "changed", "dropped", "left");
    for step in &report.steps {
        let cached = if step.cached { "  (cached)" } else { "" };
        println!(
            "{:<14} {:>9} {:>9} {:>9}{cached}",
            step.name,
            step.changed,
            step.input - step.kept,
            step.kept
        );
        for (reason, count) in &step.dropped {
            println!("  {reason:<22} {count:>9}");
        }
    }
    for (file, rows) in &report.written {
        println!("{rows:>9} rows in {}", file.display());
    }
    println!("{:.2} s", start.elapsed().as_secs_f64());
    Ok(())
}
