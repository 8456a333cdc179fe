//! How fast: vectors compared one by one and by a graph, words looked up, a store filled.

use std::time::Instant;

use serde_json::{Value, json};
use slm_data::Document;
use slm_rag::{IndexConfig, Precision, Store, VectorConfig, Vectors};

use super::{Outcome, row};

const DIMENSION: usize = 384;
const QUERIES: usize = 500;

pub(crate) fn all(count: usize) -> Outcome<Vec<Value>> {
    let mut figures = Vec::new();
    vectors(count, &mut figures)?;
    words(count, &mut figures)?;
    Ok(figures)
}

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

/// Unit vectors in groups, as those of texts are: a centre of its group, and as much again of its own.
fn sample(count: usize, chance: &mut Chance, centres: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let unit = |row: Vec<f32>| {
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.into_iter().map(|x| x / norm).collect()
    };
    (0..count)
        .map(|_| {
            let centre = &centres[chance.next() as usize % centres.len()];
            unit(centre.iter().map(|c| c + chance.uniform()).collect())
        })
        .collect()
}

fn vectors(count: usize, figures: &mut Vec<Value>) -> Outcome {
    let mut chance = Chance(1);
    let centres: Vec<Vec<f32>> =
        (0..1000).map(|_| (0..DIMENSION).map(|_| chance.uniform()).collect()).collect();
    let rows = sample(count, &mut chance, &centres);
    let queries = sample(QUERIES, &mut chance, &centres);
    let mut exact = Vectors::new(DIMENSION, Precision::Float32)?;
    rows.iter().try_for_each(|row| exact.push(row))?;
    let mut truth = Vec::new();
    for precision in [Precision::Float32, Precision::Int8] {
        let mut vectors = Vectors::new(DIMENSION, precision)?;
        rows.iter().try_for_each(|row| vectors.push(row))?;
        let (found, rate) = search(&vectors, &queries, 0)?;
        if truth.is_empty() {
            truth.clone_from(&found);
        }
        let share = recall(&truth, &found);
        row(
            figures,
            json!({ "what": "one by one", "precision": precision, "vectors": count, "queries_s": rate,
            "recall_10": share }),
        );
        let start = Instant::now();
        vectors.build_graph(&VectorConfig { precision, ..VectorConfig::default() });
        let build = start.elapsed().as_secs_f64();
        for width in [20, 40, 60, 80, 100, 150, 200, 300] {
            let (found, rate) = search(&vectors, &queries, width)?;
            let share = recall(&truth, &found);
            row(
                figures,
                json!({ "what": "graph", "precision": precision, "vectors": count, "build_s": build,
                "width": width, "queries_s": rate, "recall_10": share }),
            );
            if share > 0.99 {
                break;
            }
        }
    }
    Ok(())
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

/// Texts of 125 words, some common and most rare, through a store.
fn words(count: usize, figures: &mut Vec<Value>) -> Outcome {
    let mut chance = Chance(2);
    // The n-th word about as often as 1/n.
    let mut word = || format!("w{}", (60_000.0_f64).powf(f64::from(chance.uniform()) + 0.5) as u32);
    let mut text = |words: usize| (0..words).map(|_| word()).collect::<Vec<_>>().join(" ");
    let queries: Vec<String> = (0..QUERIES).map(|_| text(6)).collect();
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path(), &IndexConfig::default())?;
    let mut writer = store.writer(None)?;
    let documents: Vec<Document> =
        (0..count).map(|n| Document { id: format!("d{n}"), text: text(125) + "." }).collect();
    let start = Instant::now();
    for document in documents {
        writer.put(document)?;
    }
    writer.commit()?;
    let build = count as f64 / start.elapsed().as_secs_f64();
    let index = store.index()?;
    let mut times = Vec::new();
    for query in &queries {
        let start = Instant::now();
        index.search(query, 10)?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| 1e3 * times[((times.len() - 1) as f64 * share) as usize];
    row(
        figures,
        json!({ "what": "words in a store", "texts": count, "texts_s": build,
        "queries_s": QUERIES as f64 / times.iter().sum::<f64>(), "p50_ms": at(0.5), "p99_ms": at(0.99) }),
    );
    Ok(())
}
