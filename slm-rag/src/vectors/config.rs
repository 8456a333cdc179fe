//! [`VectorConfig`]: how vectors are kept and searched.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How the numbers of a vector are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Four bytes each.
    Float32,
    /// One byte each, and one scale per vector.
    #[default]
    Int8,
}

/// How vectors are kept and searched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VectorConfig {
    /// How their numbers are kept.
    pub precision: Precision,
    /// From how many vectors of a segment on a graph is built (HNSW); fewer are compared one by one.
    pub graph_from: usize,
    /// Neighbours of a node above the lowest layer of the graph; twice as many in it. 2 to 100.
    pub neighbours: usize,
    /// Candidates looked at when a node is put into the graph.
    pub build_width: usize,
    /// Candidates looked at in a search of the graph: more find more and take longer.
    pub search_width: usize,
}

impl Default for VectorConfig {
    /// INT8; a graph of 16 neighbours from 30 000 vectors on.
    fn default() -> Self {
        Self {
            precision: Precision::Int8,
            graph_from: 30_000,
            neighbours: 16,
            build_width: 100,
            search_width: 100,
        }
    }
}

impl VectorConfig {
    pub(crate) fn check(&self) -> Result<()> {
        if !(2..=100).contains(&self.neighbours) {
            return Err(Error::config("neighbours", format!("expected 2 to 100, got {}", self.neighbours)));
        }
        for (field, value) in [("build_width", self.build_width), ("search_width", self.search_width)] {
            if !(1..=100_000).contains(&value) {
                return Err(Error::config(field, format!("expected 1 to 100000, got {value}")));
            }
        }
        Ok(())
    }
}
