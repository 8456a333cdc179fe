//! Chunks as points of Qdrant, and filters as its conditions.

use std::collections::{BTreeMap, HashMap};

use qdrant_client::Payload;
use qdrant_client::qdrant::r#match::MatchValue;
use qdrant_client::qdrant::value::Kind;
use qdrant_client::qdrant::{
    Condition, Filter as Conditions, ListValue, NamedVectors, PointStruct, Range, RetrievedPoint, Struct,
    Value as Json,
};
use sha2::{Digest, Sha256};
use slm_data::Document;

use crate::chunk::Chunk;
use crate::index::{Cut, Filter, Hit, Metadata, Sentence, Value};
use crate::{Error, Result};

/// The sparse vector of words.
pub(super) const WORDS: &str = "words";
/// The dense vector of the text and the headings above it.
pub(super) const TEXT: &str = "text";
/// The field with the identifier of the document.
pub(super) const SOURCE: &str = "source";

/// The number of a point: of a chunk of a document, or of the document itself.
///
/// The same document has the same points, so that one that is put twice is there once.
pub(super) fn number(source: &str, chunk: Option<usize>) -> u64 {
    let mut hash = Sha256::new();
    hash.update(source.as_bytes());
    hash.update(chunk.map_or(u64::MAX, |n| n as u64).to_le_bytes());
    hash.finalize().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// The dimension of a term.
pub(super) fn dimension(term: &str) -> u32 {
    crc32fast::hash(term.as_bytes())
}

/// A document as it was given; it has no vector, so no search finds it.
pub(super) fn document_point(document: &Document) -> PointStruct {
    let mut payload = Payload::new();
    payload.insert(SOURCE, document.id.as_str());
    payload.insert("whole", document.text.as_str());
    PointStruct::new(number(&document.id, None), NamedVectors::default(), payload)
}

/// The text of a document, out of its point.
pub(super) fn whole(point: &RetrievedPoint, id: &str) -> Option<String> {
    let text = |field: &str| point.payload.get(field).and_then(Json::as_str);
    (text(SOURCE)? == id).then(|| text("whole").cloned()).flatten()
}

/// A chunk with its weighed terms and its vector.
pub(super) fn chunk_point(
    n: usize,
    (document, metadata): (&Document, &Metadata),
    cut: &Cut,
    words: Vec<(u32, f32)>,
    vector: Option<Vec<f32>>,
) -> PointStruct {
    let blob = &cut.blob;
    let numbers = |s: &Sentence| [s.start as i64, s.end as i64, i64::from(s.number)];
    let mut payload = Payload::new();
    payload.insert(SOURCE, document.id.as_str());
    payload.insert("start", blob.start as i64);
    payload.insert("end", blob.end as i64);
    payload.insert("inherited", blob.inherited as i64);
    payload.insert("heading", list(blob.heading.iter().map(|heading| heading.as_str().into())));
    payload.insert("sentences", list(blob.sentences.iter().flat_map(numbers).map(Json::from)));
    payload.insert("says", document.text.get(blob.start..blob.end).unwrap_or(""));
    let fields = metadata.iter().map(|(field, value)| (quotable(field), json(value))).collect();
    payload.insert("metadata", Json { kind: Some(Kind::StructValue(Struct { fields })) });
    let mut vectors = NamedVectors::default();
    if !words.is_empty() {
        vectors = vectors.add_vector(WORDS, words);
    }
    if let Some(vector) = vector {
        vectors = vectors.add_vector(TEXT, vector);
    }
    PointStruct::new(number(&document.id, Some(n)), vectors, payload)
}

/// A chunk out of its point.
pub(super) fn hit(id: usize, payload: &HashMap<String, Json>, score: f64) -> Result<Hit> {
    let lacks = |field: &str| Error::config("collection", format!("a point has no `{field}`: {id}"));
    let text =
        |field: &'static str| payload.get(field).and_then(Json::as_str).cloned().ok_or_else(|| lacks(field));
    let place = |field: &'static str| {
        let number = payload.get(field).and_then(Json::as_integer);
        number.and_then(|n| usize::try_from(n).ok()).ok_or_else(|| lacks(field))
    };
    let values = |field: &'static str| payload.get(field).and_then(Json::as_list).ok_or_else(|| lacks(field));
    let numbers: Vec<i64> = values("sentences")?.iter().filter_map(Json::as_integer).collect();
    let sentence = |three: &[i64]| match three {
        [start, end, number] => {
            Some(Sentence { start: *start as usize, end: *end as usize, number: *number as u32 })
        }
        _ => None,
    };
    let chunk = Chunk {
        source: text(SOURCE)?,
        start: place("start")?,
        end: place("end")?,
        heading: values("heading")?.iter().filter_map(Json::as_str).cloned().collect(),
        inherited: place("inherited")?,
    };
    let sentences = numbers.chunks(3).filter_map(sentence).collect();
    Ok(Hit { id, chunk, text: text("says")?, score, sentences })
}

/// BM25 without the rarity of the terms, which the server multiplies in: `tf / (tf + k1 · (1 - b + b · length / mean))`.
pub(super) fn weights(counts: &BTreeMap<String, u32>, (k1, b, mean): (f64, f64, f64)) -> Vec<(u32, f32)> {
    let length: u32 = counts.values().sum();
    let norm = k1 * (1.0 - b + b * f64::from(length) / mean);
    let mut weights: BTreeMap<u32, f64> = BTreeMap::new();
    for (term, times) in counts {
        let times = f64::from(*times);
        *weights.entry(dimension(term)).or_insert(0.0) += times / (times + norm);
    }
    weights.into_iter().map(|(dimension, weight)| (dimension, weight as f32)).collect()
}

fn list(values: impl Iterator<Item = Json>) -> Json {
    Json { kind: Some(Kind::ListValue(ListValue { values: values.collect() })) }
}

fn json(value: &Value) -> Json {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Number(number) => (*number).into(),
        Value::Flag(flag) => (*flag).into(),
    }
}

/// A name of a field that a path can quote.
fn quotable(field: &str) -> String {
    if field.is_empty() { "%".to_owned() } else { field.replace('%', "%25").replace('"', "%22") }
}

/// The path of a field of the metadata.
fn path(field: &str) -> String {
    format!("metadata.\"{}\"", quotable(field))
}

/// The conditions of a filter; `None` where it accepts every document.
pub(super) fn conditions(filter: &Filter) -> Option<Conditions> {
    (*filter != Filter::Any).then(|| Conditions::must([condition(filter)]))
}

fn condition(filter: &Filter) -> Condition {
    match filter {
        Filter::Any => Conditions::default().into(),
        Filter::Under(folder) => Condition::matches_prefix(SOURCE, folder.as_str()),
        Filter::Equals(field, Value::Text(text)) => {
            Condition::matches(path(field), MatchValue::Keyword(text.clone()))
        }
        Filter::Equals(field, Value::Flag(flag)) => Condition::matches(path(field), *flag),
        Filter::Equals(field, Value::Number(number)) => between(field, *number, *number),
        Filter::Between(field, low, high) => between(field, *low, *high),
        Filter::All(filters) => Conditions::must(filters.iter().map(condition)).into(),
        // One that asks for one of no conditions asks for nothing.
        Filter::OneOf(filters) if filters.is_empty() => condition(&Filter::not(Filter::Any)),
        Filter::OneOf(filters) => Conditions::should(filters.iter().map(condition)).into(),
        Filter::Not(filter) => Conditions::must_not([condition(filter)]).into(),
    }
}

fn between(field: &str, low: f64, high: f64) -> Condition {
    // JSON has no infinite numbers: without a bound all are meant, and behind one none is.
    if low == f64::INFINITY || high == f64::NEG_INFINITY {
        return condition(&Filter::not(Filter::Any));
    }
    let bound = |bound: f64| bound.is_finite().then_some(bound);
    Condition::range(path(field), Range { gte: bound(low), lte: bound(high), ..Range::default() })
}
