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
use std::time::Instant;

use rayon::prelude::*;
use slm_data::{
    C4Rules, Document, Entry, GopherRules, Layout, PiiConfig, RowReader, RowWriter, Shingle, Similarity,
    find_pii, near_duplicate_texts,
};

/// Documents in memory at a time, where each is judged alone.
const CHUNK: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, input, output] = arguments.as_slice() else {
        return Err("usage: throughput near|filters|pii DOCUMENTS.jsonl OUT.jsonl".into());
    };
    let start = Instant::now();
    let mut reader = RowReader::<Document>::open(input)?;
    let mut writer = RowWriter::create(output, Layout::Messages)?;
    let size = if mode == "near" { usize::MAX } else { CHUNK };
    let mut found = 0;
    loop {
        let documents = take(&mut reader, size)?;
        if documents.is_empty() {
            break;
        }
        let kept: Vec<Option<String>> = match mode.as_str() {
            "near" => near(&documents)?,
            "filters" => documents.par_iter().map(|document| filtered(&document.text)).collect(),
            "pii" => {
                let kinds = PiiConfig::default().kinds;
                let count = |document: &Document| find_pii(&document.text, &kinds).len();
                found += documents.par_iter().map(count).sum::<usize>();
                documents.iter().map(|document| Some(document.text.clone())).collect()
            }
            other => return Err(format!("unknown mode `{other}`").into()),
        };
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

fn take(reader: &mut RowReader<Document>, size: usize) -> Result<Vec<Document>, Box<dyn Error>> {
    let mut documents = Vec::new();
    while documents.len() < size {
        match reader.next().transpose()? {
            Some(Entry::Row(document)) => documents.push(document),
            Some(Entry::Bad(_)) => {}
            None => break,
        }
    }
    Ok(documents)
}

fn near(documents: &[Document]) -> Result<Vec<Option<String>>, Box<dyn Error>> {
    let texts: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
    let similarity = Similarity { threshold: 0.7, shingle: Shingle::Words(5), template_share: 1.0 };
    let found = near_duplicate_texts(&texts, &similarity)?;
    Ok(texts.iter().zip(found).map(|(text, found)| found.is_none().then(|| (*text).to_owned())).collect())
}

fn filtered(text: &str) -> Option<String> {
    GopherRules::default().check(text).is_none().then(|| C4Rules::default().check(text).ok()).flatten()
}
