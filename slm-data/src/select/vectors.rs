//! Vectors of texts without a model.

use rayon::prelude::*;

use crate::text;

/// Unit vectors of the texts' words and character 4-grams, hashed into `width` signed places (Weinberger et
/// al. 2009) with the square root of their counts: enough to tell topics apart, not meanings.
pub fn lexical_vectors(texts: &[&str], width: usize) -> Vec<Vec<f32>> {
    texts.par_iter().map(|text| vector(text, width.max(1))).collect()
}

fn vector(text: &str, width: usize) -> Vec<f32> {
    let normal = text::normalize(text);
    let mut counts = vec![0.0_f32; width];
    let mut add = |hash: u64, weight: f32| {
        let place = usize::try_from(hash >> 8).unwrap_or_default() % width;
        counts[place] += if hash & 1 == 0 { weight } else { -weight };
    };
    for word in text::words(&normal) {
        add(text::hash(word.as_bytes(), 21), 2.0);
        let marked: Vec<char> = std::iter::once('^').chain(word.chars()).chain(['$']).collect();
        for gram in marked.windows(4) {
            let gram: String = gram.iter().collect();
            add(text::hash(gram.as_bytes(), 22), 1.0);
        }
    }
    let mut norm = 0.0;
    for count in &mut counts {
        *count = count.signum() * count.abs().sqrt();
        norm += *count * *count;
    }
    if norm > 0.0 {
        counts.iter_mut().for_each(|count| *count /= norm.sqrt());
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duplicates::dot;

    #[test]
    fn like_texts_are_near() {
        let texts =
            ["restart the storage service", "restarting storage services", "a recipe for lentil soup"];
        let v = lexical_vectors(&texts, 256);
        assert!((dot(&v[0], &v[0]) - 1.0).abs() < 1e-5);
        assert!(dot(&v[0], &v[1]) > dot(&v[0], &v[2]) + 0.2);
    }
}
