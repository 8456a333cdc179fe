//! [`SemanticChunker`]: cuts where the subject changes.

use std::fmt;

use serde::{Deserialize, Serialize};
use slm_data::Document;

use super::{Chunk, ChunkConfig, Chunker, chunk};
use crate::retrieve::SharedEmbedder;
use crate::text::word_count;
use crate::{Error, Result};

/// How a [`SemanticChunker`] cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SemanticConfig {
    /// Most words of a chunk.
    pub max_size: usize,
    /// Most words of the pieces that are put together.
    pub piece_size: usize,
}

impl Default for SemanticConfig {
    /// Chunks of up to 200 words out of pieces of up to 40.
    fn default() -> Self {
        Self { max_size: 200, piece_size: 40 }
    }
}

/// Puts neighbouring pieces of like meaning together: of all ways to cut, the one whose chunks hold the most similarity above the
/// average (the cluster semantic chunker of Smith & Troynikov 2024).
///
/// Pieces are cut as by [`chunk`], so that sentences stay whole where they fit. Time grows with the number of pieces
/// times the square of the pieces that fit into a chunk.
#[derive(Clone)]
pub struct SemanticChunker {
    config: SemanticConfig,
    embedder: SharedEmbedder,
}

impl SemanticChunker {
    /// A chunker that compares pieces by an embedder.
    ///
    /// # Errors
    /// When a size is 0, or a piece would be larger than a chunk.
    pub fn new(config: SemanticConfig, embedder: SharedEmbedder) -> Result<Self> {
        if config.piece_size == 0 || config.piece_size > config.max_size {
            let reason = format!("expected 1 to {}, got {}", config.max_size, config.piece_size);
            return Err(Error::config("piece_size", reason));
        }
        Ok(Self { config, embedder })
    }
}

impl fmt::Debug for SemanticChunker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemanticChunker").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Chunker for SemanticChunker {
    fn chunk(&self, document: &Document) -> Result<Vec<Chunk>> {
        let config =
            ChunkConfig { max_size: self.config.piece_size, overlap_sentences: 0, ..ChunkConfig::default() };
        let pieces = chunk(document, &config);
        let texts: Vec<&str> =
            pieces.iter().map(|piece| document.text.get(piece.range()).unwrap_or("")).collect();
        let vectors = if texts.is_empty() { Vec::new() } else { self.embedder.embed(&texts)? };
        let sizes: Vec<usize> = texts.iter().map(|text| word_count(text).max(1)).collect();
        let mut chunks = Vec::new();
        let mut rest = pieces.into_iter();
        for count in partition(&vectors, &sizes, self.config.max_size) {
            let mut run = rest.by_ref().take(count);
            if let Some(first) = run.next() {
                let end = run.last().map_or(first.end, |last| last.end);
                chunks.push(Chunk { end, ..first });
            }
        }
        Ok(chunks)
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum()
}

/// How many pieces each chunk takes, so that the similarities between the pieces of one chunk, less the average, sum to
/// the most.
fn partition(vectors: &[Vec<f32>], sizes: &[usize], max_size: usize) -> Vec<usize> {
    let reach: Vec<usize> = (0..sizes.len())
        .map(|start| {
            let mut size = 0;
            let fits = |own: &&usize| {
                size += **own;
                size <= max_size
            };
            sizes.iter().skip(start).take_while(fits).count().max(1)
        })
        .collect();
    let near = |start: usize, ahead: usize| match (vectors.get(start), vectors.get(start + ahead)) {
        (Some(a), Some(b)) => cosine(a, b),
        _ => 0.0,
    };
    // Only pieces that could share a chunk are compared, also for the average.
    let similarities: Vec<Vec<f64>> = reach
        .iter()
        .enumerate()
        .map(|(start, reach)| (1..*reach).map(|n| near(start, n)).collect())
        .collect();
    let compared: usize = similarities.iter().map(Vec::len).sum();
    let mean = similarities.iter().flatten().sum::<f64>() / compared.max(1) as f64;
    // From the end: the best that can be had from a piece on, and how many it takes.
    let mut best = vec![(0.0, 0_usize); sizes.len() + 1];
    for start in (0..sizes.len()).rev() {
        let mut held = 0.0;
        let mut choice = (best[start + 1].0, 1);
        for count in 2..=reach[start] {
            // The last of them with all before it.
            let last = start + count - 1;
            held += (start..last)
                .map(|n| similarities[n].get(last - n - 1).map_or(0.0, |s| s - mean))
                .sum::<f64>();
            let sum = held + best[start + count].0;
            if sum > choice.0 {
                choice = (sum, count);
            }
        }
        best[start] = choice;
    }
    let mut counts = Vec::new();
    let mut start = 0;
    while let Some((_, count)) = best.get(start).filter(|(_, count)| *count > 0) {
        counts.push(*count);
        start += count;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way to cut `count` pieces, as the sizes of the chunks.
    fn every(count: usize) -> Vec<Vec<usize>> {
        if count == 0 {
            return vec![Vec::new()];
        }
        (1..=count)
            .flat_map(|first| every(count - first).into_iter().map(move |rest| [vec![first], rest].concat()))
            .collect()
    }

    #[test]
    fn no_other_cut_holds_more_similarity() {
        let vectors: Vec<Vec<f32>> = (0..9_u32)
            .map(|n| {
                let angle = (n / 3) as f32 + 0.3 * ((n * 7) % 5) as f32;
                vec![angle.cos(), angle.sin()]
            })
            .collect();
        let sizes = [3, 4, 2, 5, 1, 2, 4, 3, 2];
        let max_size = 12;
        let got = partition(&vectors, &sizes, max_size);
        let size = |start: usize, count: usize| sizes[start..start + count].iter().sum::<usize>();
        let pairs = |start: usize, count: usize| {
            (start..start + count).flat_map(move |a| (a + 1..start + count).map(move |b| (a, b)))
        };
        let reachable: Vec<(usize, usize)> =
            pairs(0, 9).filter(|&(a, b)| size(a, b - a + 1) <= max_size).collect();
        let near = |&(a, b): &(usize, usize)| cosine(&vectors[a], &vectors[b]);
        let mean = reachable.iter().map(near).sum::<f64>() / reachable.len() as f64;
        let held = |counts: &[usize]| {
            let mut start = 0;
            let mut sum = 0.0;
            for &count in counts {
                if size(start, count) > max_size && count > 1 {
                    return f64::NEG_INFINITY;
                }
                sum += pairs(start, count).map(|pair| near(&pair) - mean).sum::<f64>();
                start += count;
            }
            sum
        };
        let best = every(9).iter().map(|counts| held(counts)).fold(f64::NEG_INFINITY, f64::max);
        assert!((held(&got) - best).abs() < 1e-9, "{got:?}: {} of {best}", held(&got));
        assert!(got.len() > 1 && got.iter().any(|count| *count > 1), "{got:?}");
        assert!(partition(&[], &[], 5).is_empty());
    }
}
