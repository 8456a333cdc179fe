//! One kind of curation over a file of documents, for timing: `tools/bench_curate.py` calls it.
//!
//! ```text
//! cargo run --release -p slm-data --example throughput -- near|filters|pii DOCUMENTS.jsonl OUT.jsonl
//! ```
//!
//! `near` drops near duplicates (sequences of five words, Jaccard 0.7), `filters` applies the rules of Gopher
//! and C4, `pii` replaces nothing but counts what is found. Prints the documents read and written and the
//! seconds. `RAYON_NUM_THREADS=1` keeps it to one core.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use rayon::prelude::*;
use slm_data::{
    C4Rules, Document, Entry, GopherRules, Layout, PiiConfig, RowReader, RowWriter, Shingle, Similarity,
    find_pii, near_duplicates_by,
};

/// Documents in memory at a time, where each is judged alone.
const CHUNK: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, input, output] = arguments.as_slice() else {
        return Err("usage: throughput near|filters|pii DOCUMENTS.jsonl OUT.jsonl".into());
    };
    let start = Instant::now();
    let repeated = if mode == "near" { near(Path::new(input))? } else { Vec::new() };
    let mut reader = RowReader::<Document>::open(input)?;
    let mut writer = RowWriter::create(output, Layout::Messages)?;
    let mut found = 0;
    let mut first = 0;
    loop {
        let documents = take(&mut reader)?;
        if documents.is_empty() {
            break;
        }
        let kept: Vec<Option<String>> = match mode.as_str() {
            "near" => {
                let kept = documents.iter().zip(&repeated[first..]);
                kept.map(|(document, repeated)| (!repeated).then(|| document.text.clone())).collect()
            }
            "filters" => documents.par_iter().map(|document| filtered(&document.text)).collect(),
            "pii" => {
                let kinds = PiiConfig::default().kinds;
                let count = |document: &Document| find_pii(&document.text, &kinds).len();
                found += documents.par_iter().map(count).sum::<usize>();
                documents.iter().map(|document| Some(document.text.clone())).collect()
            }
            other => return Err(format!("unknown mode `{other}`").into()),
        };
        first += documents.len();
        for (document, text) in documents.into_iter().zip(kept) {
            if let Some(text) = text {
                writer.write(&Document { text, ..document }.into())?;
            }
        }
    }
    let (read, written) = (reader.counts(), writer.finish()?);
    let seconds = start.elapsed().as_secs_f64();
    println!("{} read, {} bad, {written} written, {found} found, {seconds:.2} s", read.rows, read.bad);
    Ok(())
}

fn take(reader: &mut RowReader<Document>) -> Result<Vec<Document>, Box<dyn Error>> {
    let mut documents = Vec::new();
    while documents.len() < CHUNK {
        match reader.next().transpose()? {
            Some(Entry::Row(document)) => documents.push(document),
            Some(Entry::Bad(bad)) => return Err(format!("line {}: {}", bad.line, bad.reason).into()),
            None => break,
        }
    }
    Ok(documents)
}

/// Which documents repeat an earlier one. The texts stay in the file, and are read when they are compared.
fn near(path: &Path) -> Result<Vec<bool>, Box<dyn Error>> {
    let mut lines = BufReader::new(File::open(path)?);
    let mut starts = vec![0];
    while lines.skip_until(b'\n')? > 0 {
        starts.push(lines.stream_position()?);
    }
    let file = Mutex::new(File::open(path)?);
    let text = |at: usize| {
        let read = || -> std::io::Result<String> {
            let mut line = vec![0; usize::try_from(starts[at + 1] - starts[at]).unwrap_or_default()];
            let mut file = file.lock().map_err(|_| std::io::Error::other("a reader failed"))?;
            file.seek(SeekFrom::Start(starts[at]))?;
            file.read_exact(&mut line)?;
            Ok(serde_json::from_slice::<Document>(&line)?.text)
        };
        read().map_err(|source| slm_data::Error::io(path, source))
    };
    let similarity = Similarity { threshold: 0.7, shingle: Shingle::Words(5), template_share: 1.0 };
    let found = near_duplicates_by(starts.len() - 1, text, &similarity)?;
    Ok(found.iter().map(Option::is_some).collect())
}

fn filtered(text: &str) -> Option<String> {
    GopherRules::default().check(text).is_none().then(|| C4Rules::default().check(text).ok()).flatten()
}
