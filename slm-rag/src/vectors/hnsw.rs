//! A hierarchical navigable small world graph (Malkov & Yashunin 2018).
//!
//! Nodes are put in by batches: the neighbours of a batch are looked for in parallel, in the graph as it was before the
//! batch, and then linked in order. So the graph does not depend on the number of threads, and each batch is small
//! beside what is there already.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Neighbour, Probe, VectorConfig, Vectors, dot, quantized};

const BATCH: usize = 1024;

/// Who is near whom, in layers: the lowest has every node, each further one about a sixteenth of the one below.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Graph {
    layers: Vec<Layer>,
    /// A node of the highest layer.
    entry: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Layer {
    /// Most neighbours of a node.
    width: usize,
    /// Its nodes in order; empty in the lowest layer, which has all.
    nodes: Vec<u32>,
    /// Per node, how many neighbours it has and then room for `width`.
    lists: Vec<u32>,
}

/// Neighbours of a new node in a layer.
struct Links {
    layer: usize,
    neighbours: Vec<u32>,
}

impl Layer {
    fn new(width: usize) -> Self {
        Self { width, nodes: Vec::new(), lists: Vec::new() }
    }

    #[inline(always)]
    fn slot(&self, node: u32, lowest: bool) -> Option<usize> {
        if lowest { Some(node as usize) } else { self.nodes.binary_search(&node).ok() }
    }

    #[inline(always)]
    fn neighbours(&self, node: u32, lowest: bool) -> &[u32] {
        let list = self.slot(node, lowest).and_then(|slot| {
            let start = slot * (self.width + 1);
            let count = *self.lists.get(start)? as usize;
            self.lists.get(start + 1..start + 1 + count)
        });
        list.unwrap_or_default()
    }

    fn push(&mut self, node: u32, lowest: bool) {
        if !lowest {
            self.nodes.push(node);
        }
        self.lists.resize(self.lists.len() + self.width + 1, 0);
    }

    fn set(&mut self, node: u32, lowest: bool, neighbours: &[u32]) {
        let Some(slot) = self.slot(node, lowest) else { return };
        let start = slot * (self.width + 1);
        if let Some([count, list @ ..]) = self.lists.get_mut(start..start + 1 + self.width) {
            *count = neighbours.len().min(self.width) as u32;
            for (place, neighbour) in list.iter_mut().zip(neighbours) {
                *place = *neighbour;
            }
        }
    }
}

impl Graph {
    pub(super) fn build(vectors: &Vectors, config: &VectorConfig) -> Self {
        let count = vectors.len();
        let mut graph = Self { layers: vec![Layer::new(2 * config.neighbours)], entry: 0 };
        if count > 0 {
            graph.add_node(0, level(0, config.neighbours), config.neighbours);
        }
        let mut start = 1;
        while start < count {
            let end = count.min(start + (start / 16).clamp(1, BATCH));
            let batch: Vec<u32> = (start as u32..end as u32).collect();
            let found: Vec<Vec<Links>> =
                batch.par_iter().map(|&node| graph.links(vectors, node, config)).collect();
            for &node in &batch {
                graph.add_node(node, level(node, config.neighbours), config.neighbours);
            }
            graph.link(vectors, &batch, &found);
            start = end;
        }
        graph
    }

    /// Makes room for a node in its layers; the first of a new highest layer becomes the entry.
    fn add_node(&mut self, node: u32, level: usize, neighbours: usize) {
        while self.layers.len() <= level {
            self.layers.push(Layer::new(neighbours));
            self.entry = node;
        }
        for (depth, layer) in self.layers.iter_mut().enumerate().take(level + 1) {
            layer.push(node, depth == 0);
        }
    }

    /// Neighbours for a node that is not in the graph yet.
    fn links(&self, vectors: &Vectors, node: u32, config: &VectorConfig) -> Vec<Links> {
        let Some(probe) = vectors.row(node) else { return Vec::new() };
        let top = level(node, config.neighbours).min(self.layers.len() - 1);
        dot::wide!({
            let mut near = vec![self.descend(vectors, &probe, top)];
            let mut links = Vec::with_capacity(top + 1);
            for depth in (0..=top).rev() {
                near = self.search_layer(vectors, &probe, &near, depth, config.build_width);
                near.sort_by(|a, b| b.cmp(a));
                links.push(Links { layer: depth, neighbours: diverse(vectors, &near, config.neighbours) });
            }
            links
        })
    }

    /// Sets the neighbours of new nodes, and makes the nodes neighbours of theirs.
    fn link(&mut self, vectors: &Vectors, batch: &[u32], found: &[Vec<Links>]) {
        let mut back: Vec<(usize, u32, u32)> = Vec::new();
        for (&node, links) in batch.iter().zip(found) {
            for Links { layer, neighbours } in links {
                if let Some(own) = self.layers.get_mut(*layer) {
                    own.set(node, *layer == 0, neighbours);
                }
                back.extend(neighbours.iter().map(|&neighbour| (*layer, neighbour, node)));
            }
        }
        back.sort_unstable();
        let groups: Vec<&[(usize, u32, u32)]> = back.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).collect();
        let lists: Vec<(usize, u32, Vec<u32>)> =
            groups.par_iter().filter_map(|group| self.joined(vectors, group)).collect();
        for (layer, node, list) in lists {
            if let Some(own) = self.layers.get_mut(layer) {
                own.set(node, layer == 0, &list);
            }
        }
    }

    /// The neighbours of one node with those that came to it, the best of them where they are too many.
    fn joined(&self, vectors: &Vectors, group: &[(usize, u32, u32)]) -> Option<(usize, u32, Vec<u32>)> {
        let &(depth, node, _) = group.first()?;
        let layer = self.layers.get(depth)?;
        let mut list = layer.neighbours(node, depth == 0).to_vec();
        list.extend(group.iter().map(|&(_, _, source)| source));
        if list.len() > layer.width {
            let probe = vectors.row(node)?;
            list = dot::wide!({
                let mut near: Vec<Neighbour> =
                    list.iter().map(|&id| Neighbour { id, similarity: vectors.to_row(&probe, id) }).collect();
                near.sort_by(|a, b| b.cmp(a));
                diverse(vectors, &near, layer.width)
            });
        }
        Some((depth, node, list))
    }

    /// The node nearest to the probe that greedy steps from the entry lead to, above layer `until`.
    #[inline(always)]
    fn descend(&self, vectors: &Vectors, probe: &Probe<'_>, until: usize) -> Neighbour {
        let mut best = Neighbour { id: self.entry, similarity: vectors.to_row(probe, self.entry) };
        for depth in (until + 1..self.layers.len()).rev() {
            let Some(layer) = self.layers.get(depth) else { continue };
            loop {
                let here = best.id;
                for &id in layer.neighbours(here, depth == 0) {
                    best = best.max(Neighbour { id, similarity: vectors.to_row(probe, id) });
                }
                if best.id == here {
                    break;
                }
            }
        }
        best
    }

    /// The `width` nodes nearest to the probe that steps from `starts` lead to, in no order.
    #[inline(always)]
    fn search_layer(
        &self,
        vectors: &Vectors,
        probe: &Probe<'_>,
        starts: &[Neighbour],
        depth: usize,
        width: usize,
    ) -> Vec<Neighbour> {
        let Some(layer) = self.layers.get(depth) else { return Vec::new() };
        let mut seen = vec![0_u64; vectors.len() / 64 + 1];
        let mut is_new = |id: u32| {
            seen.get_mut(id as usize / 64).is_some_and(|word| {
                let bit = 1 << (id % 64);
                let new = *word & bit == 0;
                *word |= bit;
                new
            })
        };
        let mut open: BinaryHeap<Neighbour> = BinaryHeap::with_capacity(2 * width);
        let mut best: BinaryHeap<Reverse<Neighbour>> = BinaryHeap::with_capacity(width + 1);
        for &start in starts {
            if is_new(start.id) {
                open.push(start);
                best.push(Reverse(start));
            }
        }
        while let Some(next) = open.pop() {
            if best.len() >= width && best.peek().is_some_and(|worst| next < worst.0) {
                break;
            }
            for &id in layer.neighbours(next.id, depth == 0) {
                if !is_new(id) {
                    continue;
                }
                let candidate = Neighbour { id, similarity: vectors.to_row(probe, id) };
                if best.len() < width || best.peek().is_some_and(|worst| candidate > worst.0) {
                    open.push(candidate);
                    best.push(Reverse(candidate));
                    if best.len() > width {
                        best.pop();
                    }
                }
            }
        }
        best.into_iter().map(|reverse| reverse.0).collect()
    }

    /// The `width` vectors nearest to the query that the graph leads to.
    pub(super) fn search(&self, vectors: &Vectors, query: &[f32], width: usize) -> Vec<Neighbour> {
        if vectors.is_empty() {
            return Vec::new();
        }
        let (codes, scale) = quantized(query);
        let probe = vectors.probe(query, &codes, scale);
        dot::wide!({
            let start = self.descend(vectors, &probe, 0);
            self.search_layer(vectors, &probe, &[start], 0, width)
        })
    }

    pub(super) fn is_sound(&self, count: usize) -> bool {
        let layer_is_sound = |(depth, layer): (usize, &Layer)| {
            let nodes = if depth == 0 { count } else { layer.nodes.len() };
            layer.nodes.is_sorted()
                && layer.lists.len() == nodes * (layer.width + 1)
                && layer.lists.chunks(layer.width + 1).all(|list| {
                    let own = list.first().and_then(|n| list.get(1..1 + *n as usize));
                    own.is_some_and(|own| own.iter().all(|&id| (id as usize) < count))
                })
        };
        (count == 0 || (self.entry as usize) < count)
            && !self.layers.is_empty()
            && self.layers.iter().enumerate().all(layer_is_sound)
    }
}

/// Of candidates, nearest first, those that are nearer to the node than to one chosen before, up to `limit`; what is
/// left of room goes to the nearest others.
#[inline(always)]
fn diverse(vectors: &Vectors, near: &[Neighbour], limit: usize) -> Vec<u32> {
    let mut chosen: Vec<u32> = Vec::with_capacity(limit);
    let mut others: Vec<u32> = Vec::new();
    for candidate in near {
        if chosen.len() >= limit {
            break;
        }
        let Some(probe) = vectors.row(candidate.id) else { continue };
        if chosen.iter().all(|&other| vectors.to_row(&probe, other) < candidate.similarity) {
            chosen.push(candidate.id);
        } else {
            others.push(candidate.id);
        }
    }
    let room = limit - chosen.len();
    chosen.extend(others.into_iter().take(room));
    chosen
}

/// The highest layer of a node: each is reached by one in `neighbours` of those below. It follows from the number.
fn level(node: u32, neighbours: usize) -> usize {
    let mut z = u64::from(node).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let uniform = ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
    ((-uniform.max(f64::MIN_POSITIVE).ln() / (neighbours as f64).ln()) as usize).min(16)
}
