//! chunking-eval (Smith & Troynikov 2024): how much of the marked evidence five retrieved chunks hold, and how much else.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use slm_data::Document;
use slm_rag::retrieve::SharedEmbedder;
use slm_rag::{ChunkConfig, Hit, Index, IndexConfig, RetrieveConfig, Retriever};

use super::{Outcome, field, records, row};

/// Chunks retrieved for a question, as in the paper.
const RETRIEVED: usize = 5;

pub(crate) fn all(data: &Path, embedder: Option<&SharedEmbedder>, only: &str) -> Outcome<Vec<Value>> {
    let mut figures = Vec::new();
    if !"chunking-eval".contains(only) {
        return Ok(figures);
    }
    for max_size in [50, 100, 200] {
        let mut sums = [0.0; 3];
        let mut questions = 0;
        for corpus in ["chatlogs", "state_of_the_union", "wikitexts"] {
            let folder = data.join("chunking-eval");
            let text = std::fs::read_to_string(folder.join(format!("{corpus}.md")))?;
            let document = Document { id: corpus.to_owned(), text };
            let chunk = ChunkConfig { max_size, overlap_sentences: 0, ..ChunkConfig::default() };
            let retriever = retriever(&document, chunk, embedder)?;
            for record in records(&folder.join(format!("{corpus}.questions.jsonl")))? {
                let evidence = evidence(&record, &document.text)?;
                let hits = retriever.search(field(&record, "question"), RETRIEVED)?;
                let got = overlap(&evidence, &hits, document.text.len());
                sums.iter_mut().zip(got).for_each(|(sum, value)| *sum += value);
                questions += 1;
            }
        }
        let [recall, precision, iou] = sums.map(|sum| (1e4 * sum / f64::from(questions)).round() / 1e4);
        let search = if embedder.is_some() { "hybrid by scores" } else { "words" };
        let figure = json!({ "set": "chunking-eval", "search": search, "max_size": max_size, "questions": questions,
            "recall": recall, "precision": precision, "iou": iou });
        row(&mut figures, figure);
    }
    Ok(figures)
}

fn retriever(
    document: &Document,
    chunk: ChunkConfig,
    embedder: Option<&SharedEmbedder>,
) -> Outcome<Retriever> {
    let config = IndexConfig { chunk, ..IndexConfig::default() };
    let documents = std::slice::from_ref(document);
    Ok(match embedder {
        Some(embedder) => {
            let index = Index::build_with_vectors(documents, &config, embedder.as_ref())?;
            Retriever::new(index, RetrieveConfig::default())?.with_embedder(Arc::clone(embedder))?
        }
        None => Index::build(documents, &config)?.into(),
    })
}

/// The marked characters as bytes.
fn evidence(record: &Value, text: &str) -> Outcome<Vec<(usize, usize)>> {
    let references: Value = match &record["references"] {
        Value::String(inner) => serde_json::from_str(inner)?,
        other => other.clone(),
    };
    let spans = references.as_array().ok_or("a question without references")?;
    let byte = |character: u64| text.char_indices().nth(character as usize).map_or(text.len(), |(at, _)| at);
    let span = |reference: &Value| -> Option<(usize, usize)> {
        Some((byte(reference["start_index"].as_u64()?), byte(reference["end_index"].as_u64()?)))
    };
    spans
        .iter()
        .map(|reference| span(reference).ok_or_else(|| "a reference without a place".into()))
        .collect()
}

/// Recall, precision and intersection over union of bytes, each chunk counted as often as it is retrieved.
fn overlap(evidence: &[(usize, usize)], hits: &[Hit], length: usize) -> [f64; 3] {
    let mut marked = vec![false; length];
    for &(start, end) in evidence {
        marked.get_mut(start..end).into_iter().flatten().for_each(|byte| *byte = true);
    }
    let wanted = marked.iter().filter(|byte| **byte).count() as f64;
    let retrieved: usize = hits.iter().map(|hit| hit.chunk.end - hit.chunk.start).sum();
    for hit in hits {
        marked.get_mut(hit.chunk.range()).into_iter().flatten().for_each(|byte| *byte = false);
    }
    let found = wanted - marked.iter().filter(|byte| **byte).count() as f64;
    let retrieved = retrieved as f64;
    [found / wanted, found / retrieved.max(1.0), found / (wanted + retrieved - found)]
}
