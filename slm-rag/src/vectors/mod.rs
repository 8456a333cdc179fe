//! Vectors of texts, searched one by one or by a graph.

mod config;
mod dot;
mod hnsw;

use std::cmp::Ordering;
use std::collections::BinaryHeap;

pub use config::{Precision, VectorConfig};
use hnsw::Graph;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Unit vectors, numbered from 0 in the order in which they were pushed.
///
/// Similarity is the dot product. [`search`](Self::search) compares all of them, or walks a graph (HNSW, Malkov &
/// Yashunin 2018) once [`build_graph`](Self::build_graph) has made one. The graph is the same for the same vectors,
/// whatever the number of threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vectors {
    dimension: usize,
    rows: Rows,
    graph: Option<Graph>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Rows {
    Float32(Vec<f32>),
    Int8 { codes: Vec<i8>, scales: Vec<f32> },
}

/// A vector found: its number and its similarity to the query. The order is that of similarity, then of number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Number of the vector.
    pub id: u32,
    /// Dot product with the query.
    pub similarity: f32,
}

impl Eq for Neighbour {}

impl Ord for Neighbour {
    /// Greater is nearer; of two that are equally near, the one with the lower number.
    fn cmp(&self, other: &Self) -> Ordering {
        self.similarity.total_cmp(&other.similarity).then(other.id.cmp(&self.id))
    }
}

impl PartialOrd for Neighbour {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A vector to compare with, in the form of the rows.
enum Probe<'a> {
    Float32(&'a [f32]),
    Int8(&'a [i8], f32),
}

impl Vectors {
    /// No vectors yet.
    ///
    /// # Errors
    /// When `dimension` is 0 or above 100 000.
    pub fn new(dimension: usize, precision: Precision) -> Result<Self> {
        if !(1..=100_000).contains(&dimension) {
            return Err(Error::config("dimension", format!("expected 1 to 100000, got {dimension}")));
        }
        let rows = match precision {
            Precision::Float32 => Rows::Float32(Vec::new()),
            Precision::Int8 => Rows::Int8 { codes: Vec::new(), scales: Vec::new() },
        };
        Ok(Self { dimension, rows, graph: None })
    }

    /// Adds a vector. A graph that was built is dropped.
    ///
    /// # Errors
    /// When it has another length or is not finite.
    pub fn push(&mut self, vector: &[f32]) -> Result<()> {
        self.check(vector)?;
        self.graph = None;
        match &mut self.rows {
            Rows::Float32(rows) => rows.extend_from_slice(vector),
            Rows::Int8 { codes, scales } => {
                let (row, scale) = quantized(vector);
                codes.extend_from_slice(&row);
                scales.push(scale);
            }
        }
        Ok(())
    }

    /// Adds a vector of another set as it is kept there.
    ///
    /// # Errors
    /// When the sets have another dimension or precision, or there is no such vector.
    pub(crate) fn push_from(&mut self, other: &Self, id: u32) -> Result<()> {
        let unlike = || Error::config("vectors", format!("expected {} alike, got others", self.dimension));
        if self.dimension != other.dimension {
            return Err(unlike());
        }
        self.graph = None;
        let range = id as usize * self.dimension..(id as usize + 1) * self.dimension;
        match (&mut self.rows, &other.rows) {
            (Rows::Float32(rows), Rows::Float32(others)) => {
                rows.extend_from_slice(others.get(range).ok_or_else(unlike)?);
            }
            (Rows::Int8 { codes, scales }, Rows::Int8 { codes: other_codes, scales: other_scales }) => {
                codes.extend_from_slice(other_codes.get(range).ok_or_else(unlike)?);
                scales.push(*other_scales.get(id as usize).ok_or_else(unlike)?);
            }
            _ => return Err(unlike()),
        }
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.rows {
            Rows::Float32(rows) => rows.len() / self.dimension,
            Rows::Int8 { scales, .. } => scales.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Length of each.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// How their numbers are kept.
    pub fn precision(&self) -> Precision {
        match self.rows {
            Rows::Float32(_) => Precision::Float32,
            Rows::Int8 { .. } => Precision::Int8,
        }
    }

    /// Builds the graph that makes later searches fast and approximate.
    pub fn build_graph(&mut self, config: &VectorConfig) {
        self.graph = Some(Graph::build(self, config));
    }

    /// Whether [`search`](Self::search) walks a graph.
    pub fn has_graph(&self) -> bool {
        self.graph.is_some()
    }

    /// The `k` nearest vectors, nearest first: exact to the precision of the rows without a graph, approximate
    /// with one, where `width` candidates (at least `k`) are looked at.
    ///
    /// # Errors
    /// When the query has another length or is not finite.
    pub fn search(&self, query: &[f32], k: usize, width: usize) -> Result<Vec<Neighbour>> {
        self.search_among(query, k, width, None)
    }

    /// As [`search`](Self::search), among those vectors whose place in `allowed` is true.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub fn search_among(
        &self,
        query: &[f32],
        k: usize,
        width: usize,
        allowed: Option<&[bool]>,
    ) -> Result<Vec<Neighbour>> {
        self.check(query)?;
        let keep = |id: u32| allowed.is_none_or(|a| a.get(id as usize).copied().unwrap_or(false));
        let permitted = allowed.map_or(self.len(), |a| a.iter().filter(|x| **x).count());
        // Where few are allowed a graph leads astray, and comparing those few is fast.
        let graph = self.graph.as_ref().filter(|_| permitted * 10 > self.len());
        let mut found = match graph {
            Some(graph) => {
                let wanted = width.max(k) * self.len() / permitted.max(1);
                graph.search(self, query, wanted)
            }
            None => self.scan(query, k.max(1), &keep),
        };
        found.retain(|neighbour| keep(neighbour.id));
        self.rescore(query, &mut found);
        found.sort_by(|a, b| b.cmp(a));
        found.truncate(k);
        Ok(found)
    }

    /// A vector as it is kept, to the precision of the rows.
    pub fn get(&self, id: u32) -> Option<Vec<f32>> {
        Some(match self.row(id)? {
            Probe::Float32(row) => row.to_vec(),
            Probe::Int8(row, scale) => row.iter().map(|code| f32::from(*code) * scale).collect(),
        })
    }

    fn check(&self, vector: &[f32]) -> Result<()> {
        if vector.len() != self.dimension {
            let reason = format!("expected {} numbers, got {}", self.dimension, vector.len());
            return Err(Error::config("vector", reason));
        }
        match vector.iter().find(|x| !x.is_finite()) {
            Some(x) => Err(Error::config("vector", format!("expected finite numbers, got {x}"))),
            None => Ok(()),
        }
    }

    /// The best of all, by the rows' own precision.
    fn scan(&self, query: &[f32], k: usize, keep: &dyn Fn(u32) -> bool) -> Vec<Neighbour> {
        let (codes, scale) = quantized(query);
        let probe = self.probe(query, &codes, scale);
        // A rounded query may confuse neighbours: look again at more than are wanted.
        let wanted = if self.precision() == Precision::Int8 { k.saturating_mul(4).max(k + 16) } else { k };
        let mut best: BinaryHeap<std::cmp::Reverse<Neighbour>> = BinaryHeap::new();
        dot::wide!({
            for id in 0..self.len() as u32 {
                let similarity = self.to_row(&probe, id);
                let full = best.len() >= wanted;
                if (!full || best.peek().is_some_and(|worst| similarity > worst.0.similarity)) && keep(id) {
                    if full {
                        best.pop();
                    }
                    best.push(std::cmp::Reverse(Neighbour { id, similarity }));
                }
            }
        });
        best.into_iter().map(|reverse| reverse.0).collect()
    }

    /// Similarities to the query itself rather than to its rounded form.
    fn rescore(&self, query: &[f32], found: &mut [Neighbour]) {
        let Rows::Int8 { codes, scales } = &self.rows else {
            return;
        };
        dot::wide!({
            for neighbour in found {
                let start = neighbour.id as usize * self.dimension;
                let row = codes.get(start..start + self.dimension).unwrap_or_default();
                let scale = scales.get(neighbour.id as usize).copied().unwrap_or(0.0);
                neighbour.similarity = scale * dot::dot_f32(query, row);
            }
        });
    }

    fn probe<'a>(&self, query: &'a [f32], codes: &'a [i8], scale: f32) -> Probe<'a> {
        match self.rows {
            Rows::Float32(_) => Probe::Float32(query),
            Rows::Int8 { .. } => Probe::Int8(codes, scale),
        }
    }

    /// One of the vectors as a probe.
    fn row(&self, id: u32) -> Option<Probe<'_>> {
        let start = id as usize * self.dimension;
        match &self.rows {
            Rows::Float32(rows) => Some(Probe::Float32(rows.get(start..start + self.dimension)?)),
            Rows::Int8 { codes, scales } => {
                Some(Probe::Int8(codes.get(start..start + self.dimension)?, *scales.get(id as usize)?))
            }
        }
    }

    #[inline(always)]
    fn to_row(&self, probe: &Probe<'_>, id: u32) -> f32 {
        let start = id as usize * self.dimension;
        match (&self.rows, probe) {
            (Rows::Float32(rows), Probe::Float32(query)) => {
                rows.get(start..start + self.dimension).map_or(0.0, |row| dot::dot_f32(query, row))
            }
            (Rows::Int8 { codes, scales }, Probe::Int8(query, scale)) => {
                match (codes.get(start..start + self.dimension), scales.get(id as usize)) {
                    (Some(row), Some(own)) => dot::dot_i8(query, row) as f32 * (scale * own),
                    _ => 0.0,
                }
            }
            _ => 0.0,
        }
    }

    /// Whether its parts fit each other, as after reading them from a file.
    pub(crate) fn is_sound(&self) -> bool {
        let whole = match &self.rows {
            Rows::Float32(rows) => self.dimension > 0 && rows.len().is_multiple_of(self.dimension),
            Rows::Int8 { codes, scales } => {
                self.dimension > 0 && scales.len().checked_mul(self.dimension) == Some(codes.len())
            }
        };
        whole && self.graph.as_ref().is_none_or(|graph| graph.is_sound(self.len()))
    }
}

/// Codes from -127 to 127 and what they are to be multiplied by.
fn quantized(vector: &[f32]) -> (Vec<i8>, f32) {
    let largest = vector.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
    (vector.iter().map(|x| (x / scale).round() as i8).collect(), scale)
}
