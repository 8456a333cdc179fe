//! Duplicates in meaning, by the cosine of vectors that somebody else makes.

use rayon::prelude::*;

use super::NearDuplicate;
use crate::{Error, Result};

/// Texts that are given to the embedder at a time.
const BATCH: usize = 64;

/// Turns texts into vectors of one length, in their order: `Embedder` of slm-core, as a closure.
pub type Embed<'a> = dyn FnMut(&[&str]) -> std::result::Result<Vec<Vec<f32>>, String> + 'a;

/// Unit vectors of the texts, `[texts][width]`.
///
/// # Errors
/// When the embedder fails, or gives another number of vectors or different lengths.
pub fn embed(texts: &[&str], embedder: &mut Embed<'_>) -> Result<Vec<Vec<f32>>> {
    let mut vectors: Vec<Vec<f32>> = Vec::with_capacity(texts.len());
    for batch in texts.chunks(BATCH) {
        let found = embedder(batch).map_err(|reason| Error::Model { what: "the embedder", reason })?;
        let width = vectors.first().or(found.first()).map_or(0, Vec::len);
        if found.len() != batch.len() || found.iter().any(|vector| vector.len() != width) {
            let reason = format!("expected {} vectors of length {width}", batch.len());
            return Err(Error::Model { what: "the embedder", reason });
        }
        vectors.extend(found.into_iter().map(unit));
    }
    Ok(vectors)
}

fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|x| *x /= norm);
    }
    vector
}

/// Inner product.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Eight sums that do not wait for each other.
    let mut sums = [0.0_f32; 8];
    let (a_whole, b_whole) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a_whole.remainder().iter().zip(b_whole.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_whole.zip(b_whole) {
        sums.iter_mut().zip(x.iter().zip(y)).for_each(|(sum, (x, y))| *sum += x * y);
    }
    sums.iter().sum::<f32>() + rest
}

/// For each vector (of length 1) the first earlier one that stays and whose cosine with it is at least
/// `threshold`. `similarity` of the result is the cosine.
///
/// Every pair is looked at: 20,000 vectors of 384 numbers take about 10 s on two cores.
///
/// # Errors
/// When the threshold is not above -1 and at most 1.
pub fn semantic_duplicates(vectors: &[Vec<f32>], threshold: f32) -> Result<Vec<Option<NearDuplicate>>> {
    if !(threshold > -1.0 && threshold <= 1.0) {
        let reason = format!("expected above -1 and at most 1, got {threshold}");
        return Err(Error::config("semantic.threshold", reason));
    }
    let mut kept: Vec<usize> = Vec::new();
    let mut found = Vec::with_capacity(vectors.len());
    for vector in vectors {
        let near = |of: &usize| {
            let cosine = dot(vector, &vectors[*of]);
            (cosine >= threshold).then_some(NearDuplicate { of: *of, similarity: f64::from(cosine) })
        };
        // A thread for less than this is not worth waking.
        let duplicate = kept.par_iter().with_min_len(256).find_map_first(near);
        if duplicate.is_none() {
            kept.push(found.len());
        }
        found.push(duplicate);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters counted: a very small embedder.
    fn letters(texts: &[&str]) -> std::result::Result<Vec<Vec<f32>>, String> {
        let count = |text: &&str| {
            let mut counts = vec![0.0; 26];
            for byte in text.bytes().filter(u8::is_ascii_lowercase) {
                counts[usize::from(byte - b'a')] += 1.0;
            }
            counts
        };
        Ok(texts.iter().map(count).collect())
    }

    #[test]
    fn rows_are_compared_with_rows_that_stay() -> Result<()> {
        let texts = ["listen", "banana", "silent", "bananas", "cab"];
        let vectors = embed(&texts, &mut letters)?;
        let found = semantic_duplicates(&vectors, 0.95)?;
        let of: Vec<Option<usize>> = found.iter().map(|found| found.map(|found| found.of)).collect();
        assert_eq!(of, [None, None, Some(0), Some(1), None]);
        assert!(found[2].is_some_and(|found| (found.similarity - 1.0).abs() < 1e-6));
        assert!(semantic_duplicates(&vectors, 1.5).is_err());
        Ok(())
    }

    #[test]
    fn an_embedder_that_miscounts_is_an_error() {
        assert!(embed(&["a", "b"], &mut |_| Ok(vec![vec![1.0]])).is_err());
        assert!(embed(&["a", "b"], &mut |_| Ok(vec![vec![1.0], vec![1.0, 2.0]])).is_err());
        let failed = embed(&["a"], &mut |_| Err("no model".to_owned()));
        assert!(failed.is_err_and(|error| error.to_string().contains("no model")));
        assert_eq!(dot(&[1.0; 19], &[2.0; 19]), 38.0);
    }
}
