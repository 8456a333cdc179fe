//! How well and how fast questions are routed, on public sets. Prints tables.
//!
//! ```console
//! cargo bench -p slm-router --bench routing -- intents DATA MINILM [vectors=FOLDER] [only=banking] [choosing=yes] [c=10] [weight=1] [state=MODEL]
//! cargo bench -p slm-router --bench routing -- outcomes DATA MINILM [vectors=FOLDER] [only=subjects]
//! cargo bench -p slm-router --bench routing -- questions DATA MINILM [vectors=FOLDER] [only=parts]
//! ```
//!
//! MINILM is the directory of an encoder, tuned or not. `intents`: CLINC150, BANKING77 and HWU64, accuracy, and CLINC150's
//! out-of-scope questions told apart. `choosing` leaves the texts that are measured aside, to choose settings on the rest.
//! `outcomes`: RouteLLM's records of a weak and a strong model. `questions`: SelfAware, HoVer, StrategyQA and Break. `vectors`
//! names a folder in which vectors are kept from one run to the next, `state` a model whose own states (`pooling=mean` or
//! `last`) take the place of MiniLM's vectors.

mod intents;
mod outcomes;
mod questions;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use flate2::read::GzDecoder;
use serde_json::Value;
use slm_core::generate::{PrefillState, StatePooling};
use slm_core::{Embedder, LocalModel, TextEncoder};
use slm_router::IntentConfig;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let options: BTreeMap<&str, &str> = arguments.iter().filter_map(|a| a.split_once('=')).collect();
    let plain: Vec<&str> = arguments.iter().map(String::as_str).filter(|a| !a.contains('=')).collect();
    let [what, data, minilm] = plain.as_slice() else {
        println!("usage: cargo bench -p slm-router --bench routing -- WHAT DATA MINILM [vectors=FOLDER]");
        return Ok(());
    };
    let encoder: Box<dyn Embedder> = match options.get("state") {
        Some(model) => {
            let pooling =
                if options.get("pooling") == Some(&"last") { StatePooling::Last } else { StatePooling::Mean };
            Box::new(PrefillState::new(LocalModel::load(Path::new(model), &Device::flex())?, pooling))
        }
        None => Box::new(TextEncoder::load(Path::new(minilm), &Device::flex())?),
    };
    let sets =
        Sets { data: PathBuf::from(data), encoder, vectors: options.get("vectors").map(PathBuf::from) };
    let only = options.get("only").copied().unwrap_or("");
    match *what {
        "intents" => {
            let mut config = IntentConfig::default();
            if let Some(c) = options.get("c") {
                config.inverse_regularization = c.parse()?;
            }
            if let Some(weight) = options.get("weight") {
                config.word_weight = weight.parse()?;
            }
            intents::run(&sets, &config, (only, options.contains_key("choosing")))
        }
        "outcomes" => outcomes::run(&sets, only),
        "questions" => questions::run(&sets, only),
        other => Err(format!("expected what to measure, got {other}").into()),
    }
}

/// Public sets and their vectors.
struct Sets {
    data: PathBuf,
    encoder: Box<dyn Embedder>,
    vectors: Option<PathBuf>,
}

impl Sets {
    fn records(&self, file: &str) -> Outcome<Vec<Value>> {
        let path = self.data.join(file);
        let opened = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let lines = BufReader::new(GzDecoder::new(opened)).lines();
        lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect()
    }

    /// Vectors of MiniLM, kept under `name` if a folder for them is given.
    fn embed(&self, name: &str, texts: &[&str]) -> Outcome<Vec<Vec<f32>>> {
        let width = self.encoder.dimension();
        let file = self.vectors.as_ref().map(|folder| folder.join(format!("{name}.f32")));
        if let Some(bytes) = file.as_ref().and_then(|file| std::fs::read(file).ok()) {
            let numbers: Vec<f32> =
                bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            if numbers.len() != width * texts.len() {
                return Err(format!("{name}: {} numbers for {} texts", numbers.len(), texts.len()).into());
            }
            return Ok(numbers.chunks(width).map(<[f32]>::to_vec).collect());
        }
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(64) {
            vectors.extend(self.encoder.embed(batch)?);
        }
        if let Some(file) = file {
            let bytes: Vec<u8> = vectors.iter().flatten().flat_map(|x: &f32| x.to_le_bytes()).collect();
            std::fs::write(file, bytes)?;
        }
        Ok(vectors)
    }
}

/// A field of every record, as text.
fn field<'a>(records: &'a [Value], name: &str) -> Outcome<Vec<&'a str>> {
    let text =
        |record: &'a Value| record[name].as_str().ok_or_else(|| format!("a record without {name}").into());
    records.iter().map(text).collect()
}
