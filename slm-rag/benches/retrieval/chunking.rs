//! chunking-eval (Smith & Troynikov 2024): how much of the marked evidence the retrieved chunks hold, and how much else.
//!
//! As in the authors' examples, all texts are searched together, and as many chunks are retrieved for a question as hold
//! some of its evidence. `fixed` is the chunker of their first example: every 1,200 characters.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use slm_data::Document;
use slm_rag::retrieve::SharedEmbedder;
use slm_rag::{
    Chunk, ChunkConfig, Chunker, Hit, Index, IndexConfig, RetrieveConfig, Retriever, SemanticChunker,
    SemanticConfig, SentenceChunker, SizedChunker,
};

use super::{Outcome, field, records, row};

/// Characters of a chunk in the authors' first example.
const LETTERS: usize = 1200;

/// Cuts after every `LETTERS` characters.
struct Fixed;

impl Chunker for Fixed {
    fn chunk(&self, document: &Document) -> slm_rag::Result<Vec<Chunk>> {
        let ends = document.text.char_indices().map(|(at, _)| at).step_by(LETTERS);
        let mut starts: Vec<usize> = ends.collect();
        starts.push(document.text.len());
        let chunk = |pair: &[usize]| Chunk {
            source: document.id.clone(),
            start: pair.first().copied().unwrap_or(0),
            end: pair.last().copied().unwrap_or(0),
            heading: Vec::new(),
            inherited: 0,
        };
        Ok(starts.windows(2).map(chunk).collect())
    }
}

/// A question, the text that answers it, and where.
struct Question {
    text: String,
    source: String,
    evidence: Vec<Range<usize>>,
}

pub(crate) fn all(data: &Path, embedder: Option<&SharedEmbedder>, only: &str) -> Outcome<Vec<Value>> {
    let mut figures = Vec::new();
    if !"chunking-eval".contains(only) {
        return Ok(figures);
    }
    let (documents, questions) = read(&data.join("chunking-eval"))?;
    let letters = |text: &str| text.chars().count();
    let sized = |max_size: usize| -> Outcome<Box<dyn Chunker>> {
        let config = ChunkConfig { max_size, overlap_sentences: 0, ..ChunkConfig::default() };
        Ok(Box::new(SizedChunker::new(config, letters)?))
    };
    let mut chunkers: Vec<(String, Box<dyn Chunker>)> = vec![("fixed, 1200 letters".into(), Box::new(Fixed))];
    for size in [LETTERS, 800, 400] {
        chunkers.push((format!("structure, up to {size} letters"), sized(size)?));
    }
    chunkers.push(("3 sentences".into(), Box::new(SentenceChunker::new(3, 0)?)));
    if let Some(embedder) = embedder {
        for max_size in [200, 100] {
            let config = SemanticConfig { max_size, ..SemanticConfig::default() };
            let chunker = SemanticChunker::new(config, Arc::clone(embedder))?;
            chunkers.push((format!("semantic, up to {max_size} words"), Box::new(chunker)));
        }
    }
    for (name, chunker) in &chunkers {
        let retriever = retriever(&documents, chunker.as_ref(), embedder, RetrieveConfig::default())?;
        measure(name, &retriever, &questions, &mut figures)?;
    }
    // Found by what is small, read in what is around it: as many as of the chunks of the same size.
    let children = sized(400)?;
    let config = RetrieveConfig { parent_words: 200, ..RetrieveConfig::default() };
    let small = retriever(&documents, children.as_ref(), embedder, config)?;
    let config = RetrieveConfig::default();
    let large = retriever(&documents, sized(LETTERS)?.as_ref(), embedder, config)?;
    compare("structure, up to 400 letters, read in 200 words", &small, &large, &questions, &mut figures)?;
    Ok(figures)
}

fn read(folder: &Path) -> Outcome<(Vec<Document>, Vec<Question>)> {
    let (mut documents, mut questions) = (Vec::new(), Vec::new());
    for corpus in ["chatlogs", "state_of_the_union", "wikitexts"] {
        let text = std::fs::read_to_string(folder.join(format!("{corpus}.md")))?;
        for record in records(&folder.join(format!("{corpus}.questions.jsonl")))? {
            let evidence = evidence(&record, &text)?;
            let (text, source) = (field(&record, "question").to_owned(), corpus.to_owned());
            questions.push(Question { text, source, evidence });
        }
        documents.push(Document { id: corpus.to_owned(), text });
    }
    Ok((documents, questions))
}

fn retriever(
    documents: &[Document],
    chunker: &dyn Chunker,
    embedder: Option<&SharedEmbedder>,
    retrieve: RetrieveConfig,
) -> Outcome<Retriever> {
    let config = IndexConfig::default();
    let plain = embedder.map(|embedder| -> &dyn slm_core::Embedder { embedder.as_ref() });
    let index = Index::build_with_chunker(documents, &config, chunker, plain)?;
    let retriever = Retriever::new(index, retrieve)?;
    Ok(match embedder {
        Some(embedder) => retriever.with_embedder(Arc::clone(embedder))?,
        None => retriever,
    })
}

fn measure(name: &str, retriever: &Retriever, questions: &[Question], figures: &mut Vec<Value>) -> Outcome {
    compare(name, retriever, retriever, questions, figures)
}

/// What a retriever finds if it gives as many chunks as another has that hold some of the evidence.
fn compare(
    name: &str,
    retriever: &Retriever,
    other: &Retriever,
    questions: &[Question],
    figures: &mut Vec<Value>,
) -> Outcome {
    let chunks: Vec<Hit> = other.index().chunks().collect::<Result<_, _>>()?;
    let mut sums = [0.0; 4];
    for question in questions {
        let holds = |hit: &&Hit| shared(question, &hit.chunk) > 0;
        let holding = chunks.iter().filter(holds).count();
        let hits = retriever.search(&question.text, holding)?;
        let ideal: Vec<Hit> = chunks.iter().filter(holds).cloned().collect();
        let [recall, precision, iou] = overlap(question, &hits);
        let [_, best_precision, _] = overlap(question, &ideal);
        sums.iter_mut().zip([recall, precision, iou, best_precision]).for_each(|(sum, value)| *sum += value);
    }
    let mean = |sum: f64| (1e4 * sum / questions.len() as f64).round() / 1e4;
    let [recall, precision, iou, best_precision] = sums.map(mean);
    let bytes: usize = chunks.iter().map(|hit| hit.chunk.end - hit.chunk.start).sum();
    let search = if retriever.index().dimension().is_some() { "hybrid by scores" } else { "words" };
    let figure = json!({ "set": "chunking-eval", "chunks": name, "search": search, "mean_bytes": bytes / chunks.len(),
        "questions": questions.len(), "recall": recall, "precision": precision, "iou": iou,
        "precision_at_best": best_precision });
    row(figures, figure);
    Ok(())
}

/// The marked characters as bytes.
fn evidence(record: &Value, text: &str) -> Outcome<Vec<Range<usize>>> {
    let references: Value = match &record["references"] {
        Value::String(inner) => serde_json::from_str(inner)?,
        other => other.clone(),
    };
    let spans = references.as_array().ok_or("a question without references")?;
    let byte = |character: u64| text.char_indices().nth(character as usize).map_or(text.len(), |(at, _)| at);
    let span = |reference: &Value| -> Option<Range<usize>> {
        Some(byte(reference["start_index"].as_u64()?)..byte(reference["end_index"].as_u64()?))
    };
    spans
        .iter()
        .map(|reference| span(reference).ok_or_else(|| "a reference without a place".into()))
        .collect()
}

/// Bytes of the evidence in a chunk.
fn shared(question: &Question, chunk: &Chunk) -> usize {
    let within = |span: &Range<usize>| span.end.min(chunk.end).saturating_sub(span.start.max(chunk.start));
    if chunk.source == question.source { question.evidence.iter().map(within).sum() } else { 0 }
}

/// Recall, precision and intersection over union of bytes. Neither chunks nor the evidence overlap themselves.
fn overlap(question: &Question, hits: &[Hit]) -> [f64; 3] {
    let wanted: usize = question.evidence.iter().map(Range::len).sum();
    let found: usize = hits.iter().map(|hit| shared(question, &hit.chunk)).sum();
    let retrieved: usize = hits.iter().map(|hit| hit.chunk.end - hit.chunk.start).sum();
    let (wanted, found, retrieved) = (wanted as f64, found as f64, retrieved as f64);
    [found / wanted, found / retrieved.max(1.0), found / (wanted + retrieved - found).max(1.0)]
}
