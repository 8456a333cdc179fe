//! Finds clauses in commercial contracts, with the bytes at which they stand, and compares them with what lawyers marked.
//!
//! Run: `cargo run --release -p slm-rag --example contract_clauses -- DATA/cuad/contracts.jsonl.gz [--encoder DIRECTORY]
//! [--contracts N]`, with CUAD as in the file's readme (`file`, `text`, `clauses`).
//!
//! Expect: the clauses of one contract, each with its bytes, then how often what the lawyers marked is in the first, the
//! first three and the first ten passages of about a hundred words. Words alone index 250 contracts in seconds; an encoder such as
//! MiniLM finds more and reads some thirty passages a second.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use flate2::read::GzDecoder;
use serde_json::Value;
use slm_core::{Citation, TextEncoder};
use slm_data::Document;
use slm_rag::{ChunkConfig, Filter, Hit, Index, IndexConfig, RetrieveConfig, Retriever};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// What is looked for: CUAD's name of the clause, and the question.
const CLAUSES: [(&str, &str); 8] = [
    ("Governing Law", "Which state's law governs the interpretation of this agreement?"),
    ("Expiration Date", "When does the initial term of this agreement expire?"),
    ("Renewal Term", "Is the term renewed automatically for successive periods?"),
    ("Anti-Assignment", "May this agreement be assigned without prior written consent?"),
    ("Audit Rights", "Who may audit the books and records?"),
    ("Insurance", "Which insurance must be maintained, with what coverage?"),
    ("Cap On Liability", "What is the limit of liability, and which damages are excluded?"),
    ("Termination For Convenience", "May a party terminate without cause by giving notice?"),
];
const DEPTHS: [usize; 3] = [1, 3, 10];

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    let Some(path) = arguments.first().filter(|path| !path.starts_with("--")) else {
        println!("usage: contract_clauses CONTRACTS.jsonl.gz [--encoder DIRECTORY] [--contracts N]");
        return Ok(());
    };
    let count = option("--contracts").map_or(Ok(usize::MAX), |n| n.parse())?;

    // 1. Read the contracts. The text is kept as it is, so that bytes stay bytes of the original.
    let lines = BufReader::new(GzDecoder::new(File::open(path)?)).lines().take(count);
    let records: Vec<Value> = lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect::<Outcome<_>>()?;
    let field = |record: &Value, name: &str| record[name].as_str().unwrap_or("").to_owned();
    let document = |record: &Value| Document { id: field(record, "file"), text: field(record, "text") };
    let documents: Vec<Document> = records.iter().map(document).collect();

    // 2. Index passages of about a hundred words, by words and, where there is an encoder, by meaning.
    let chunk = ChunkConfig { max_size: 100, ..ChunkConfig::default() };
    let config = IndexConfig { chunk, ..IndexConfig::default() };
    let retriever = match option("--encoder") {
        Some(folder) => {
            let encoder = Arc::new(TextEncoder::load(Path::new(folder), &Device::flex())?);
            let index = Index::build_with_vectors(&documents, &config, encoder.as_ref())?;
            Retriever::new(index, RetrieveConfig::default())?.with_embedder(encoder)?
        }
        None => Retriever::from(Index::build(&documents, &config)?),
    };
    println!("{} contracts, {} passages\n", documents.len(), retriever.index().chunk_count());
    show(&retriever, documents.first().ok_or("no contract in the file")?)?;
    compare(&retriever, &records, &documents)
}

/// 3. The clauses of one contract: in the passages found, the sentence that speaks to the question.
fn show(retriever: &Retriever, contract: &Document) -> Outcome {
    println!("{}", contract.id);
    for (clause, question) in CLAUSES {
        let hits = retriever.search_among(question, 3, &Filter::under(contract.id.as_str()))?;
        if let Some(best) = retriever.index().best_sentences(&hits, question, 1)?.first() {
            let Citation { start, end, text, .. } = &best.citation;
            assert_eq!(contract.text.get(*start..*end), Some(text.as_str()), "the bytes are the text");
            let short: String =
                text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(90).collect();
            println!("  {clause}, bytes {start} to {end}: {short}");
        }
    }
    Ok(())
}

/// 4. Against the lawyers: a mark counts as found where the first passages hold half of its bytes or more.
fn compare(retriever: &Retriever, records: &[Value], documents: &[Document]) -> Outcome {
    println!("\n{:28} marks, and the share in the first {DEPTHS:?} passages", "clause");
    for (clause, question) in CLAUSES {
        let mut counts = [0; DEPTHS.len() + 1];
        for (record, document) in records.iter().zip(documents) {
            let marked = marks(record["clauses"][clause].as_str().unwrap_or(""));
            let place = |mark: &String| Some((document.text.find(mark.as_str())?, mark.len()));
            let hits = retriever.search_among(question, 10, &Filter::under(document.id.as_str()))?;
            for (start, length) in marked.iter().filter_map(place) {
                let end = start + length;
                let held = |hit: &Hit| end.min(hit.chunk.end).saturating_sub(start.max(hit.chunk.start));
                counts[0] += 1;
                for (count, depth) in counts.iter_mut().skip(1).zip(DEPTHS) {
                    *count += usize::from(2 * hits.iter().take(depth).map(held).sum::<usize>() >= length);
                }
            }
        }
        let [marks, found @ ..] = counts;
        let shares = found.map(|found| format!("{:6.1} %", 100.0 * found as f64 / marks.max(1) as f64));
        println!("{clause:28} {marks:5}  {}", shares.join(" "));
    }
    Ok(())
}

/// The strings of a list as Python writes it: `['one', "two"]`.
fn marks(list: &str) -> Vec<String> {
    let (mut marks, mut mark, mut quote) = (Vec::new(), String::new(), None);
    let mut letters = list.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (Some(end), letter) if letter == end => {
                marks.push(std::mem::take(&mut mark));
                quote = None;
            }
            (Some(_), '\\') => match letters.next() {
                Some('n') => mark.push('\n'),
                Some(other) => mark.push(other),
                None => {}
            },
            (Some(_), letter) => mark.push(letter),
            (None, _) => {}
        }
    }
    marks
}
