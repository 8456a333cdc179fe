//! How well and how fast chunks are found, on public sets. Prints a table, and writes it as JSON where `out` says.
//!
//! ```console
//! cargo bench -p slm-rag --bench retrieval -- rank DATA [minilm=DIRECTORY] [out=FILE]
//! cargo bench -p slm-rag --bench retrieval -- speed [count=100000] [out=FILE]
//! ```
//!
//! `rank` takes Cranfield, CACM and Vaswani (nDCG@10, relevant is a grade above 0), XQuAD (is the paragraph of the question
//! found) and chunking-eval (how much of the evidence is in five chunks, and how much else). Without MiniLM it
//! searches by words alone. `speed` takes made-up vectors of 384 numbers and made-up texts.

mod chunking;
mod ranking;
mod speed;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Device;
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use slm_core::{Embedder, TextEncoder};
use slm_rag::retrieve::SharedEmbedder;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let options: BTreeMap<&str, &str> = arguments.iter().filter_map(|a| a.split_once('=')).collect();
    let plain: Vec<&str> = arguments.iter().map(String::as_str).filter(|a| !a.contains('=')).collect();
    let figures = match plain.as_slice() {
        ["rank", data] => {
            let load = |path: &&str| -> Outcome<SharedEmbedder> {
                let encoder = TextEncoder::load(Path::new(path), &Device::flex())?;
                Ok(Arc::new(Remembering { encoder, known: Mutex::default() }))
            };
            let embedder = options.get("minilm").map(load).transpose()?;
            let only = options.get("only").copied().unwrap_or("");
            let mut figures = ranking::all(Path::new(data), embedder.as_ref(), only)?;
            figures.extend(chunking::all(Path::new(data), embedder.as_ref(), only)?);
            figures
        }
        ["speed"] => speed::all(options.get("count").map_or(Ok(100_000), |n| n.parse())?)?,
        _ => {
            println!(
                "usage: cargo bench -p slm-rag --bench retrieval -- (rank DATA [minilm=DIR] | speed [count=N])"
            );
            return Ok(());
        }
    };
    if let Some(path) = options.get("out") {
        std::fs::write(path, serde_json::to_string_pretty(&json!({ "figures": figures }))? + "\n")?;
    }
    Ok(())
}

/// Embeds each text once, though several indexes are built of it.
struct Remembering {
    encoder: TextEncoder,
    known: Mutex<HashMap<String, Vec<f32>>>,
}

impl Embedder for Remembering {
    fn dimension(&self) -> usize {
        self.encoder.dimension()
    }

    fn embed(&self, texts: &[&str]) -> slm_core::Result<Vec<Vec<f32>>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<&str> = texts.iter().copied().filter(|text| !known.contains_key(*text)).collect();
        let vectors = self.encoder.embed(&new)?;
        known.extend(new.iter().map(|text| (*text).to_owned()).zip(vectors));
        Ok(texts.iter().filter_map(|text| known.get(*text).cloned()).collect())
    }
}

/// Prints a row and keeps it.
fn row(figures: &mut Vec<Value>, figure: Value) {
    println!("{figure}");
    figures.push(figure);
}

/// The lines of a JSON Lines file, zipped or not.
fn records(path: &Path) -> Outcome<Vec<Value>> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let zipped = path.extension().is_some_and(|extension| extension == "gz");
    let reader: Box<dyn Read> = if zipped { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    BufReader::new(reader).lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

fn field<'a>(record: &'a Value, name: &str) -> &'a str {
    record[name].as_str().unwrap_or("")
}
