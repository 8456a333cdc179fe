//! Selection by quality and diversity, always beside a random and a length-matched control.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::duplicates::dot;
use crate::text::real;
use crate::{Error, Example, Result};

/// How rows are selected.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// The best scores.
    Top,
    /// The best scores, but none whose cosine with a chosen row is above the limit (DEITA, Liu et al. 2024).
    Spread(f32),
    /// Each next row has the largest distance to the chosen ones, times its score (k-centre, Gonzalez 1985).
    KCentre,
    /// Each next row adds most to how near every row has a chosen one, times its score (facility location,
    /// Wei et al. 2015).
    #[default]
    FacilityLocation,
}

/// How many rows are selected, and how.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelectConfig {
    /// Rows to select; all where there are no more.
    pub count: usize,
    /// How.
    pub method: Method,
    /// Decides ties and the controls.
    pub seed: u64,
}

/// Three selections of the same size, as indices in ascending order.
///
/// Most selectors do not beat the controls: train on all three before you believe one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// By the method.
    pub chosen: Vec<usize>,
    /// By chance.
    pub random: Vec<usize>,
    /// By chance, with answers as long as the chosen ones: many scores only measure length.
    pub length_matched: Vec<usize>,
}

/// Selects rows by their scores (more is better; 0 is the least for the two methods that multiply) and unit
/// vectors, `[rows][width]`; [`Method::Top`] looks at no vectors.
///
/// # Errors
/// When there is not one score and one vector per row, or a score is no number.
pub fn select(
    rows: &[Example],
    scores: &[f64],
    vectors: &[Vec<f32>],
    config: &SelectConfig,
) -> Result<Selection> {
    check(rows.len(), scores, vectors, config)?;
    let count = config.count.min(rows.len());
    let mut chosen = match config.method {
        Method::Top => best_first(scores).into_iter().take(count).collect(),
        Method::Spread(limit) => spread(scores, vectors, count, limit),
        Method::KCentre => k_centre(scores, vectors, count),
        Method::FacilityLocation => facility_location(scores, vectors, count),
    };
    chosen.sort_unstable();
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.shuffle(&mut rng);
    let mut random: Vec<usize> = order.iter().take(chosen.len()).copied().collect();
    random.sort_unstable();
    order.shuffle(&mut rng);
    let length_matched = length_matched(rows, &chosen, &order);
    Ok(Selection { chosen, random, length_matched })
}

fn check(rows: usize, scores: &[f64], vectors: &[Vec<f32>], config: &SelectConfig) -> Result<()> {
    if scores.len() != rows || scores.iter().any(|score| score.is_nan()) {
        return Err(Error::config("select.scores", format!("expected {rows} numbers, got {}", scores.len())));
    }
    let width = vectors.first().map_or(0, Vec::len);
    let fits = vectors.len() == rows && vectors.iter().all(|vector| vector.len() == width);
    if !fits && config.method != Method::Top {
        let reason = format!("expected {rows} vectors of one length, got {}", vectors.len());
        return Err(Error::config("select.vectors", reason));
    }
    Ok(())
}

/// Indices by falling score; equal scores in the order of the rows.
fn best_first(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    order
}

fn spread(scores: &[f64], vectors: &[Vec<f32>], count: usize, limit: f32) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::with_capacity(count);
    for at in best_first(scores) {
        if chosen.len() == count {
            break;
        }
        if chosen.par_iter().with_min_len(256).all(|&other| dot(&vectors[at], &vectors[other]) <= limit) {
            chosen.push(at);
        }
    }
    chosen
}

fn k_centre(scores: &[f64], vectors: &[Vec<f32>], count: usize) -> Vec<usize> {
    let mut distance = vec![2.0_f32; vectors.len()];
    let mut chosen = Vec::with_capacity(count);
    for _ in 0..count {
        let value = |at: &usize| f64::from(distance[*at]) * scores[*at].max(0.0);
        let next = (0..vectors.len())
            .filter(|&at| distance[at] >= 0.0)
            .max_by(|a, b| value(a).total_cmp(&value(b)).then(b.cmp(a)));
        let Some(next) = next else { break };
        chosen.push(next);
        distance.par_iter_mut().zip(vectors).for_each(|(distance, vector)| {
            *distance = distance.min(1.0 - dot(vector, &vectors[next]));
        });
        // Rounding must not bring a chosen row, or its twin, back before the others.
        distance.iter_mut().for_each(|distance| *distance = distance.max(0.0));
        chosen.iter().for_each(|&at: &usize| distance[at] = -1.0);
    }
    chosen
}

/// A row and what it would have added when that was last computed.
#[derive(Debug, PartialEq)]
struct Gain {
    value: f64,
    at: usize,
    /// Chosen rows at that time.
    round: usize,
}

impl Eq for Gain {}

impl PartialOrd for Gain {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Gain {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.total_cmp(&other.value).then(other.at.cmp(&self.at))
    }
}

/// Rows that one thread sums.
const PIECE: usize = 1024;

/// Lazy greedy (Minoux 1978): a row is computed again only where its old gain, which can but shrink, is best.
fn facility_location(scores: &[f64], vectors: &[Vec<f32>], count: usize) -> Vec<usize> {
    let mut nearest = vec![0.0_f32; vectors.len()];
    let gain = |at: usize, nearest: &[f32]| {
        let nearer =
            |(vector, best): (&Vec<f32>, &f32)| f64::from((dot(vector, &vectors[at]) - best).max(0.0));
        // Sums of fixed pieces, so that the threads make no difference.
        let pieces: Vec<f64> = vectors
            .par_chunks(PIECE)
            .zip(nearest.par_chunks(PIECE))
            .map(|(vectors, nearest)| vectors.iter().zip(nearest).map(nearer).sum())
            .collect();
        pieces.into_iter().sum::<f64>() * scores[at].max(0.0)
    };
    let mut heap: BinaryHeap<Gain> = (0..vectors.len())
        .into_par_iter()
        .map(|at| Gain { value: gain(at, &nearest), at, round: 0 })
        .collect::<Vec<_>>()
        .into();
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        let Some(best) = heap.pop() else { break };
        if best.round < chosen.len() {
            heap.push(Gain { value: gain(best.at, &nearest), at: best.at, round: chosen.len() });
            continue;
        }
        chosen.push(best.at);
        nearest
            .par_iter_mut()
            .zip(vectors)
            .for_each(|(nearest, vector)| *nearest = nearest.max(dot(vector, &vectors[best.at])));
    }
    chosen
}

/// Rows in random order whose answers have the lengths of the chosen ones, by powers of the square root of
/// two; where too few are left of a length, the nearest ones.
fn length_matched(rows: &[Example], chosen: &[usize], order: &[usize]) -> Vec<usize> {
    #[expect(clippy::cast_possible_truncation, reason = "twice a logarithm of a length is small")]
    let bucket = |at: usize| (2.0 * real(rows[at].answer().chars().count().max(1)).log2()).round() as i64;
    let mut free: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for &at in order {
        free.entry(bucket(at)).or_default().push(at);
    }
    let mut matched = Vec::with_capacity(chosen.len());
    for wanted in chosen.iter().map(|&at| bucket(at)) {
        let nearest = free.keys().copied().min_by_key(|key| ((key - wanted).abs(), *key));
        let Some(nearest) = nearest else { break };
        if let Some(list) = free.get_mut(&nearest) {
            matched.extend(list.pop());
            if list.is_empty() {
                free.remove(&nearest);
            }
        }
    }
    matched.sort_unstable();
    matched
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three topics of different size, along three axes, with a little noise.
    fn rows() -> (Vec<Example>, Vec<f64>, Vec<Vec<f32>>) {
        let topic = |at: usize| if at < 80 { 0 } else { 1 + usize::from(at >= 95) };
        let rows =
            (0..100).map(|at| Example::pair(format!("q{at}"), "word ".repeat(1 + at % 40), "")).collect();
        let scores = (0..100).map(|at| 0.5 + real(at * 37 % 100) / 200.0).collect();
        let vectors = (0..100)
            .map(|at| {
                let mut vector = vec![0.0_f32; 8];
                vector[topic(at)] = 1.0;
                vector[3 + at % 5] = 0.2;
                let norm = dot(&vector, &vector).sqrt();
                vector.into_iter().map(|x| x / norm).collect()
            })
            .collect();
        (rows, scores, vectors)
    }

    #[test]
    fn diverse_methods_cover_every_topic_and_the_best_come_first() -> Result<()> {
        let (rows, scores, vectors) = rows();
        let with = |method, count| select(&rows, &scores, &vectors, &SelectConfig { count, method, seed: 1 });
        for method in [Method::KCentre, Method::FacilityLocation, Method::Spread(0.97)] {
            let chosen = with(method, 12)?.chosen;
            assert_eq!(chosen.len(), 12, "{method:?}");
            for topic in [0..80, 80..95, 95..100] {
                assert!(chosen.iter().any(|at| topic.contains(at)), "{method:?}: {chosen:?}");
            }
        }
        let top = with(Method::Top, 10)?.chosen;
        let least = top.iter().map(|&at| scores[at]).fold(1.0, f64::min);
        assert_eq!(scores.iter().filter(|score| **score >= least).count(), 10);
        Ok(())
    }

    #[test]
    fn facility_location_is_the_greedy_choice() -> Result<()> {
        let (rows, scores, vectors) = rows();
        let config = SelectConfig { count: 7, method: Method::FacilityLocation, seed: 1 };
        // Without laziness.
        let mut nearest = [0.0_f32; 100];
        let mut expected = Vec::new();
        for _ in 0..7 {
            let value = |at: usize| -> f64 {
                let near =
                    vectors.iter().zip(&nearest).map(|(v, n)| f64::from((dot(v, &vectors[at]) - n).max(0.0)));
                near.sum::<f64>() * scores[at]
            };
            let best = (0..100).max_by(|a, b| value(*a).total_cmp(&value(*b)).then(b.cmp(a))).unwrap_or(0);
            vectors.iter().zip(&mut nearest).for_each(|(v, n)| *n = n.max(dot(v, &vectors[best])));
            expected.push(best);
        }
        expected.sort_unstable();
        assert_eq!(select(&rows, &scores, &vectors, &config)?.chosen, expected);
        Ok(())
    }

    #[test]
    fn controls_have_the_size_and_the_lengths() -> Result<()> {
        let (rows, _, vectors) = rows();
        // A score that only measures length.
        let scores: Vec<f64> = rows.iter().map(|row| real(row.answer().len())).collect();
        let found =
            select(&rows, &scores, &vectors, &SelectConfig { count: 20, method: Method::Top, seed: 3 })?;
        let mean = |at: &[usize]| at.iter().map(|&at| real(rows[at].answer().len())).sum::<f64>() / 20.0;
        assert_eq!((found.random.len(), found.length_matched.len()), (20, 20));
        assert!(mean(&found.random) < 0.8 * mean(&found.chosen));
        assert!((mean(&found.length_matched) / mean(&found.chosen) - 1.0).abs() < 0.1);
        assert!(found.length_matched.windows(2).all(|pair| pair[0] < pair[1]));
        let all =
            select(&rows, &scores, &vectors, &SelectConfig { count: 500, method: Method::KCentre, seed: 3 })?;
        assert_eq!(all.chosen, (0..100).collect::<Vec<_>>());
        assert!(select(&rows, &scores[1..], &vectors, &SelectConfig::default()).is_err());
        assert!(select(&rows, &scores, &vectors[1..], &SelectConfig::default()).is_err());
        Ok(())
    }
}
