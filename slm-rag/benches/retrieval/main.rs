//! How well and how fast chunks are found, on public sets. Prints a table, and writes it as JSON where `out` says.
//!
//! ```console
//! cargo bench -p slm-rag --bench retrieval -- rank DATA [minilm=DIRECTORY] [out=FILE]
//! cargo bench -p slm-rag --bench retrieval -- make FOLDER [count=100000]
//! cargo bench -p slm-rag --bench retrieval -- speed FOLDER vectors|vectors-int8|words|store|whole [minilm=DIRECTORY]
//! cargo bench -p slm-rag --bench retrieval -- load [count=1000000]
//! ```
//!
//! `rank` takes Cranfield, CACM and Vaswani (nDCG@10, relevant is a grade above 0), XQuAD and prometheus-docs (is the
//! passage of the question found) and chunking-eval (how much of the evidence is in the chunks found, and how much else).
//! Without MiniLM it searches by words alone. `make` makes up vectors of 384 numbers and texts, and `speed` measures one
//! thing on them; `tools/bench_retrieval.py` sets it against other libraries. `load` grows a store to a million texts and tells
//! what memory that takes.

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
use slm_rag::Precision;
use slm_rag::retrieve::SharedEmbedder;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let options: BTreeMap<&str, &str> = arguments.iter().filter_map(|a| a.split_once('=')).collect();
    let plain: Vec<&str> = arguments.iter().map(String::as_str).filter(|a| !a.contains('=')).collect();
    let figures = match plain.as_slice() {
        ["rank", data] => {
            let embedder = embedder(&options)?.map(|encoder| -> SharedEmbedder {
                Arc::new(Remembering { encoder, known: Mutex::default() })
            });
            let only = options.get("only").copied().unwrap_or("");
            let mut figures = ranking::all(Path::new(data), embedder.as_ref(), only)?;
            figures.extend(chunking::all(Path::new(data), embedder.as_ref(), only)?);
            figures
        }
        ["make", folder] => {
            speed::make(Path::new(folder), options.get("count").map_or(Ok(100_000), |n| n.parse())?)?;
            Vec::new()
        }
        ["load"] => {
            let figure = speed::load(options.get("count").map_or(Ok(1_000_000), |n| n.parse())?)?;
            println!("{figure}");
            vec![figure]
        }
        ["speed", folder, what] => {
            let folder = Path::new(folder);
            let figure = match *what {
                "vectors" => speed::vectors(folder, Precision::Float32)?,
                "vectors-int8" => speed::vectors(folder, Precision::Int8)?,
                "words" => speed::words(folder, false)?,
                "store" => speed::words(folder, true)?,
                "whole" => speed::whole(folder, embedder(&options)?)?,
                other => return Err(format!("expected what to measure, got {other}").into()),
            };
            println!("{figure}");
            vec![figure]
        }
        _ => {
            println!(
                "usage: cargo bench -p slm-rag --bench retrieval -- (rank DATA | make FOLDER | speed FOLDER WHAT | load) [minilm=DIR]"
            );
            return Ok(());
        }
    };
    if let Some(path) = options.get("out") {
        std::fs::write(path, serde_json::to_string_pretty(&json!({ "figures": figures }))? + "\n")?;
    }
    Ok(())
}

fn embedder(options: &BTreeMap<&str, &str>) -> Outcome<Option<SharedEmbedder>> {
    let load = |path: &&str| -> Outcome<SharedEmbedder> {
        Ok(Arc::new(TextEncoder::load(Path::new(path), &Device::flex())?))
    };
    options.get("minilm").map(load).transpose()
}

/// Embeds each text once, though several indexes are built of it.
struct Remembering {
    encoder: SharedEmbedder,
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
