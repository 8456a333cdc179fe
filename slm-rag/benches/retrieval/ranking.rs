//! Test collections: is what is relevant found first?

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use slm_data::Document;
use slm_rag::retrieve::SharedEmbedder;
use slm_rag::{
    ChunkConfig, Fusion, Index, IndexConfig, Precision, QueryWords, RetrieveConfig, Retriever, SearchMode,
    Sections, VectorConfig, chunk,
};

use super::{Outcome, field, records, row};

/// A question and the documents that answer it.
struct Query {
    text: String,
    relevant: BTreeSet<String>,
}

pub(crate) fn all(data: &Path, embedder: Option<&SharedEmbedder>, only: &str) -> Outcome<Vec<Value>> {
    let mut figures = Vec::new();
    let sets = ["cranfield", "cacm", "vaswani", "xquad-en", "prometheus-docs"];
    for set in sets.into_iter().filter(|set| set.contains(only)) {
        let (documents, queries) = match set {
            "xquad-en" => xquad(data)?,
            "prometheus-docs" => sections(data)?,
            _ => collection(&data.join(set))?,
        };
        measure(set, &documents, &queries, embedder, &mut figures)?;
    }
    Ok(figures)
}

fn measure(
    set: &str,
    documents: &[Document],
    queries: &[Query],
    embedder: Option<&SharedEmbedder>,
    figures: &mut Vec<Value>,
) -> Outcome {
    let words = RetrieveConfig { mode: SearchMode::Words, ..RetrieveConfig::default() };
    let all_words = RetrieveConfig { words: QueryWords::All, ..words.clone() };
    let Some(embedder) = embedder else {
        let index = Arc::new(Index::build(documents, &config(Precision::Int8))?);
        for (name, change) in [("all words", all_words), ("words", words)] {
            report(set, name, &Retriever::new(Arc::clone(&index), change)?, queries, figures)?;
        }
        return Ok(());
    };
    for precision in [Precision::Float32, Precision::Int8] {
        let start = std::time::Instant::now();
        let index = Arc::new(Index::build_with_vectors(documents, &config(precision), embedder.as_ref())?);
        eprintln!("{set}: {} texts embedded in {:.0} s", documents.len(), start.elapsed().as_secs_f64());
        let mut add = |name: &str, change: RetrieveConfig| -> Outcome {
            let retriever =
                Retriever::new(Arc::clone(&index), change)?.with_embedder(Arc::clone(embedder))?;
            report(set, name, &retriever, queries, figures)
        };
        let hybrid = RetrieveConfig::default();
        let vectors = RetrieveConfig { mode: SearchMode::Vectors, ..hybrid.clone() };
        add(&format!("vectors, {precision:?}"), vectors)?;
        if precision == Precision::Float32 {
            continue;
        }
        add("all words", all_words.clone())?;
        add("words", words.clone())?;
        let fusion = Fusion::ReciprocalRank { constant: 60.0 };
        add("hybrid by places", RetrieveConfig { fusion, ..hybrid.clone() })?;
        add("hybrid by scores, all words", RetrieveConfig { words: QueryWords::All, ..hybrid.clone() })?;
        add("hybrid by scores", hybrid)?;
    }
    Ok(())
}

/// One chunk per document, as the references have it.
fn config(precision: Precision) -> IndexConfig {
    let vectors = VectorConfig { precision, ..VectorConfig::default() };
    IndexConfig { chunk: ChunkConfig::whole(), vectors, ..IndexConfig::default() }
}

fn report(
    set: &str,
    search: &str,
    retriever: &Retriever,
    queries: &[Query],
    figures: &mut Vec<Value>,
) -> Outcome {
    let (mut ndcg, mut recall, mut reciprocal) = (0.0, 0.0, 0.0);
    for query in queries {
        let hits = retriever.search(&query.text, 10)?;
        let is_relevant: Vec<bool> =
            hits.iter().map(|hit| query.relevant.contains(&hit.chunk.source)).collect();
        let gain = |place: usize| 1.0 / (place as f64 + 2.0).log2();
        let found = is_relevant.iter().enumerate().filter(|(_, relevant)| **relevant);
        let ideal: f64 = (0..query.relevant.len().min(10)).map(gain).sum();
        ndcg += found.clone().map(|(place, _)| gain(place)).sum::<f64>() / ideal;
        recall += found.clone().count() as f64 / query.relevant.len() as f64;
        reciprocal += found.map(|(place, _)| 1.0 / (place as f64 + 1.0)).next().unwrap_or(0.0);
    }
    let mean = |sum: f64| (1e4 * sum / queries.len() as f64).round() / 1e4;
    let (ndcg, recall, mrr) = (mean(ndcg), mean(recall), mean(reciprocal));
    let figure = json!({ "set": set, "search": search, "queries": queries.len(), "ndcg_10": ndcg, "recall_10": recall,
        "mrr_10": mrr });
    row(figures, figure);
    Ok(())
}

fn collection(folder: &Path) -> Outcome<(Vec<Document>, Vec<Query>)> {
    let text = |record: &Value| format!("{}\n\n{}", field(record, "title"), field(record, "text"));
    let document = |record: &Value| Document { id: field(record, "_id").to_owned(), text: text(record) };
    let documents = records(&folder.join("corpus.jsonl.gz"))?.iter().map(document).collect();
    let mut queries = Vec::new();
    for record in records(&folder.join("queries_qrels.jsonl"))? {
        let grades = record["qrels"].as_object().ok_or("a query without judgements")?;
        let relevant = grades.iter().filter(|(_, grade)| grade.as_f64().unwrap_or(0.0) > 0.0);
        let relevant: BTreeSet<String> = relevant.map(|(id, _)| id.clone()).collect();
        if !relevant.is_empty() {
            queries.push(Query { text: field(&record, "text").to_owned(), relevant });
        }
    }
    Ok((documents, queries))
}

/// Each question belongs to its paragraph.
fn xquad(data: &Path) -> Outcome<(Vec<Document>, Vec<Query>)> {
    let (mut documents, mut queries) = (Vec::new(), Vec::new());
    for (n, paragraph) in records(&data.join("xquad-en/paragraphs.jsonl.gz"))?.iter().enumerate() {
        documents.push(Document { id: n.to_string(), text: field(paragraph, "context").to_owned() });
        for record in paragraph["qas"].as_array().ok_or("a paragraph without questions")? {
            let relevant = [n.to_string()].into();
            queries.push(Query { text: field(record, "question").to_owned(), relevant });
        }
    }
    Ok((documents, queries))
}

/// Sections of pages without their headings, to be found by these: the title of the page and the headings above.
fn sections(data: &Path) -> Outcome<(Vec<Document>, Vec<Query>)> {
    let (mut documents, mut queries) = (Vec::new(), Vec::new());
    let config = ChunkConfig { sections: Sections::Split, ..ChunkConfig::whole() };
    for record in records(&data.join("prometheus-docs/docs.jsonl.gz"))? {
        let page =
            Document { id: field(&record, "path").to_owned(), text: field(&record, "text").to_owned() };
        let title = page.text.lines().find_map(|line| line.strip_prefix("title: ")).unwrap_or("").to_owned();
        for section in chunk(&page, &config) {
            let text = page.text.get(section.range()).unwrap_or("");
            let body: String =
                text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
            if section.heading.is_empty() || body.split_whitespace().count() < 30 {
                continue;
            }
            let id = format!("{}:{}", section.source, section.start);
            queries.push(Query {
                text: format!("{title} {}", section.heading.join(" ")),
                relevant: [id.clone()].into(),
            });
            documents.push(Document { id, text: body });
        }
    }
    Ok((documents, queries))
}
