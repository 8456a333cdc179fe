//! How fast: vectors near a vector, words looked up, and both together. One measurement a process, so that a script can
//! set it against other libraries on the same data; `make` writes the data.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use slm_core::Embedder;
use slm_data::Document;
use slm_rag::retrieve::SharedEmbedder;
use slm_rag::{
    Index, IndexConfig, Precision, RetrieveConfig, Retriever, SearchMode, Store, VectorConfig, Vectors,
};

use super::Outcome;

const DIMENSION: usize = 384;
const QUERIES: usize = 500;
/// Found at least, for rates of the graph.
const RECALL: f64 = 0.98;

/// A generator with a fixed start.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn uniform(&mut self) -> f32 {
        (self.next() >> 7) as f32 / (1 << 24) as f32 - 0.5
    }
}

/// Writes `count` unit vectors and texts, and queries of both kinds.
///
/// Vectors come in groups, as those of texts do: a centre of a group, and as much again of their own. Texts have 125
/// words, of which the n-th is about as frequent as `1 / n`.
pub(crate) fn make(folder: &Path, count: usize) -> Outcome {
    fs::create_dir_all(folder)?;
    let mut chance = Chance(1);
    let centres: Vec<Vec<f32>> =
        (0..1000).map(|_| (0..DIMENSION).map(|_| chance.uniform()).collect()).collect();
    for (name, rows) in [("rows.f32", count), ("queries.f32", QUERIES)] {
        let mut out = BufWriter::new(fs::File::create(folder.join(name))?);
        for _ in 0..rows {
            let centre = &centres[chance.next() as usize % centres.len()];
            let row: Vec<f32> = centre.iter().map(|c| c + chance.uniform()).collect();
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            for x in row {
                out.write_all(&(x / norm).to_le_bytes())?;
            }
        }
        out.flush()?;
    }
    for (name, lines, words) in [("texts.txt", count, 125), ("queries.txt", QUERIES, 6)] {
        let mut out = BufWriter::new(fs::File::create(folder.join(name))?);
        for _ in 0..lines {
            writeln!(out, "{}", made_up(&mut chance, words))?;
        }
        out.flush()?;
    }
    Ok(())
}

fn vectors_of(path: &Path) -> Outcome<Vec<Vec<f32>>> {
    let bytes = fs::read(path)?;
    let (numbers, _) = bytes.as_chunks::<4>();
    let numbers: Vec<f32> = numbers.iter().map(|four| f32::from_le_bytes(*four)).collect();
    Ok(numbers.chunks_exact(DIMENSION).map(<[f32]>::to_vec).collect())
}

fn lines_of(path: &Path) -> Outcome<Vec<String>> {
    Ok(fs::read_to_string(path)?.lines().map(str::to_owned).collect())
}

/// Memory of this process that is not in a file, in bytes; 0 where the system does not say.
fn memory() -> u64 {
    status("RssAnon")
}

/// A line of the state of this process in bytes; 0 where the system does not say.
fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).map_or(0, |kb: u64| 1024 * kb)
}

/// The graph: its build, and queries per second at the least width that finds enough.
pub(crate) fn vectors(folder: &Path, precision: Precision) -> Outcome<Value> {
    let queries = vectors_of(&folder.join("queries.f32"))?;
    let before = memory();
    let mut vectors = filled(folder, precision)?;
    let (found, scan_rate) = search(&vectors, &queries, 0)?;
    let start = Instant::now();
    vectors.build_graph(&VectorConfig { precision, ..VectorConfig::default() });
    let build = start.elapsed().as_secs_f64();
    let bytes = memory().saturating_sub(before);
    let truth = search(&filled(folder, Precision::Float32)?, &queries, 0)?.0;
    for width in (20..=400).step_by(20) {
        let (near, rate) = search(&vectors, &queries, width)?;
        let share = recall(&truth, &near);
        if share >= RECALL {
            return Ok(
                json!({ "engine": "slm", "precision": precision, "vectors": vectors.len(), "build_s": build,
                "bytes": bytes, "width": width, "recall_10": share, "queries_s": rate, "scan_queries_s": scan_rate,
                "scan_recall_10": recall(&truth, &found) }),
            );
        }
    }
    Err(format!("no width finds {RECALL} of the nearest").into())
}

/// The rows as vectors, read one by one, so that memory holds nothing else.
fn filled(folder: &Path, precision: Precision) -> Outcome<Vectors> {
    let mut vectors = Vectors::new(DIMENSION, precision)?;
    let mut file = BufReader::new(fs::File::open(folder.join("rows.f32"))?);
    let mut bytes = [0; 4 * DIMENSION];
    let mut row = vec![0.0; DIMENSION];
    while !file.fill_buf()?.is_empty() {
        file.read_exact(&mut bytes)?;
        for (x, four) in row.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *x = f32::from_le_bytes(*four);
        }
        vectors.push(&row)?;
    }
    Ok(vectors)
}

fn search(vectors: &Vectors, queries: &[Vec<f32>], width: usize) -> Outcome<(Vec<Vec<u32>>, f64)> {
    let start = Instant::now();
    let mut found = Vec::new();
    for query in queries {
        found.push(vectors.search(query, 10, width)?.iter().map(|neighbour| neighbour.id).collect());
    }
    Ok((found, queries.len() as f64 / start.elapsed().as_secs_f64()))
}

fn recall(truth: &[Vec<u32>], found: &[Vec<u32>]) -> f64 {
    let hits: usize =
        truth.iter().zip(found).map(|(t, f)| f.iter().filter(|id| t.contains(id)).count()).sum();
    hits as f64 / (10 * truth.len()) as f64
}

/// Words: an index in memory, or a store on disk with a commit, and queries by BM25.
pub(crate) fn words(folder: &Path, on_disk: bool) -> Outcome<Value> {
    let queries = lines_of(&folder.join("queries.txt"))?;
    let texts = lines_of(&folder.join("texts.txt"))?;
    let count = texts.len();
    let documents: Vec<Document> =
        texts.into_iter().enumerate().map(|(n, text)| Document { id: n.to_string(), text }).collect();
    let config = IndexConfig::default();
    let place = tempfile::tempdir()?;
    let before = memory();
    let start = Instant::now();
    let index = if on_disk {
        let store = Store::open(place.path(), &config)?;
        let mut writer = store.writer(None)?;
        documents.into_iter().try_for_each(|document| writer.put(document))?;
        writer.commit()?;
        store.index()?
    } else {
        Arc::new(Index::build(&documents, &config)?)
    };
    let build = start.elapsed().as_secs_f64();
    let bytes = memory().saturating_sub(before);
    let retriever = Retriever::from(index);
    let mut figure = timed(&retriever, &queries)?;
    figure["build_s"] = json!(build);
    figure["texts_s"] = json!(count as f64 / build);
    figure["bytes"] = json!(bytes);
    Ok(figure)
}

/// A store that grows to `count` texts of one chunk each, by commits of a tenth of them: how much memory that takes in all,
/// and how fast the whole is searched.
pub(crate) fn load(count: usize) -> Outcome<Value> {
    let place = tempfile::tempdir()?;
    let store = Store::open(place.path(), &IndexConfig::default())?;
    let mut writer = store.writer(None)?;
    let mut chance = Chance(1);
    let start = Instant::now();
    for n in 0..count {
        writer.put(Document { id: n.to_string(), text: made_up(&mut chance, 125) })?;
        if (n + 1).is_multiple_of(count.div_ceil(10)) || n + 1 == count {
            writer.commit()?;
        }
    }
    let build = start.elapsed().as_secs_f64();
    // What the writer's store holds open is not counted again.
    drop((writer, store));
    let peak = status("VmHWM");
    let start = Instant::now();
    let index = Store::open_existing(place.path())?.index()?;
    let open = start.elapsed().as_secs_f64();
    let queries: Vec<String> = (0..QUERIES).map(|_| made_up(&mut chance, 6)).collect();
    let mut figure = timed(&Retriever::from(index), &queries)?;
    let files = fs::read_dir(place.path())?.map(|entry| Ok(entry?.metadata()?.len()));
    figure["build_s"] = json!(build);
    figure["open_s"] = json!(open);
    figure["disk_bytes"] = json!(files.sum::<Outcome<u64>>()?);
    figure["peak_bytes"] = json!(peak);
    figure["open_bytes"] = json!(status("RssAnon"));
    Ok(figure)
}

/// Words of which the n-th is about as frequent as `1 / n`.
fn made_up(chance: &mut Chance, words: usize) -> String {
    let mut word = || format!("w{}", (60_000.0_f64).powf(f64::from(chance.uniform()) + 0.5) as u32);
    (0..words).map(|_| word()).collect::<Vec<_>>().join(" ")
}

/// Words and vectors out of a store on disk, fused, with the embedder of queries.
pub(crate) fn whole(folder: &Path, minilm: Option<SharedEmbedder>) -> Outcome<Value> {
    let queries = lines_of(&folder.join("queries.txt"))?;
    let texts = lines_of(&folder.join("texts.txt"))?;
    let known = |texts: &[String], vectors: &str| -> Outcome<HashMap<String, Vec<f32>>> {
        Ok(texts.iter().cloned().zip(vectors_of(&folder.join(vectors))?).collect())
    };
    let mut table = known(&texts, "rows.f32")?;
    table.extend(known(&queries, "queries.f32")?);
    let embedder: SharedEmbedder = Arc::new(Table { table, minilm });
    let place = tempfile::tempdir()?;
    let store = Store::open(place.path(), &IndexConfig::default())?;
    let start = Instant::now();
    let mut writer = store.writer(Some(embedder.as_ref()))?;
    let documents = texts.into_iter().enumerate().map(|(n, text)| Document { id: n.to_string(), text });
    documents.into_iter().try_for_each(|document| writer.put(document))?;
    writer.commit()?;
    let build = start.elapsed().as_secs_f64();
    let config = RetrieveConfig { mode: SearchMode::Best, ..RetrieveConfig::default() };
    let retriever = Retriever::new(store.index()?, config)?.with_embedder(embedder)?;
    let mut figure = timed(&retriever, &queries)?;
    figure["build_s"] = json!(build);
    Ok(figure)
}

/// Vectors of known texts. Where there is MiniLM it reads each query, for the time that it takes.
struct Table {
    table: HashMap<String, Vec<f32>>,
    minilm: Option<SharedEmbedder>,
}

impl Embedder for Table {
    fn dimension(&self) -> usize {
        DIMENSION
    }

    fn embed(&self, texts: &[&str]) -> slm_core::Result<Vec<Vec<f32>>> {
        if let (Some(minilm), [_]) = (&self.minilm, texts) {
            minilm.embed(texts)?;
        }
        texts
            .iter()
            .map(|text| self.table.get(*text).cloned())
            .collect::<Option<_>>()
            .ok_or_else(|| slm_core::Error::model("table", "a text without a vector"))
    }
}

/// Ten chunks for each query, one query after the other.
fn timed(retriever: &Retriever, queries: &[String]) -> Outcome<Value> {
    for query in queries.iter().take(20) {
        retriever.search(query, 10)?;
    }
    let mut times = Vec::new();
    for query in queries {
        let start = Instant::now();
        retriever.search(query, 10)?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| 1e3 * times[((times.len() - 1) as f64 * share) as usize];
    Ok(json!({ "engine": "slm", "texts": retriever.index().chunk_count(),
        "queries_s": times.len() as f64 / times.iter().sum::<f64>(), "p50_ms": at(0.5), "p99_ms": at(0.99) }))
}
