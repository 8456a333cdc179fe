//! Vectors: exact where they are compared one by one, near enough with a graph, the same on any number of threads.

use slm_rag::{Error, Precision, VectorConfig, Vectors};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const DIMENSION: usize = 64;

/// Unit vectors around a few centres, as those of texts are.
fn sample(count: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
    };
    let centres: Vec<Vec<f32>> = (0..50).map(|_| (0..DIMENSION).map(|_| uniform()).collect()).collect();
    (0..count)
        .map(|n| {
            let row: Vec<f32> = centres[n * 7919 % 50].iter().map(|c| c + 0.8 * uniform()).collect();
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            row.iter().map(|x| x / norm).collect()
        })
        .collect()
}

fn vectors(rows: &[Vec<f32>], precision: Precision) -> Outcome<Vectors> {
    let mut vectors = Vectors::new(DIMENSION, precision)?;
    rows.iter().try_for_each(|row| vectors.push(row))?;
    Ok(vectors)
}

/// The nearest by definition.
fn truth(rows: &[Vec<f32>], query: &[f32], k: usize) -> Vec<u32> {
    let dot = |row: &Vec<f32>| row.iter().zip(query).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let mut all: Vec<(f64, u32)> = rows.iter().map(dot).zip(0..).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    all.into_iter().take(k).map(|(_, id)| id).collect()
}

fn recall(vectors: &Vectors, rows: &[Vec<f32>], queries: &[Vec<f32>], width: usize) -> Outcome<f64> {
    let mut found = 0;
    for query in queries {
        let near = vectors.search(query, 10, width)?;
        assert!(near.is_sorted_by(|a, b| a.similarity >= b.similarity) && near.len() == 10);
        let expected = truth(rows, query, 10);
        found += near.iter().filter(|n| expected.contains(&n.id)).count();
    }
    Ok(found as f64 / (10 * queries.len()) as f64)
}

#[test]
fn floats_are_exact_codes_nearly_and_a_graph_near_enough() -> Outcome {
    let rows = sample(4000, 1);
    let queries = sample(60, 99);
    for (precision, expected) in [(Precision::Float32, 1.0), (Precision::Int8, 0.97)] {
        let mut vectors = vectors(&rows, precision)?;
        assert!(recall(&vectors, &rows, &queries, 0)? >= expected, "{precision:?}");
        vectors.build_graph(&VectorConfig::default());
        assert!(vectors.has_graph());
        let of_graph = recall(&vectors, &rows, &queries, 100)?;
        assert!(of_graph >= expected - 0.03, "{precision:?}: {of_graph}");
        assert!(recall(&vectors, &rows, &queries, 10)? < of_graph, "the width makes no difference");
    }
    Ok(())
}

#[test]
fn a_filter_is_kept_whether_it_lets_many_pass_or_few() -> Outcome {
    let rows = sample(3000, 2);
    let mut vectors = vectors(&rows, Precision::Int8)?;
    vectors.build_graph(&VectorConfig::default());
    for step in [2, 100] {
        let allowed: Vec<bool> = (0..rows.len()).map(|n| n % step == 0).collect();
        let query = &sample(1, 5)[0];
        let near = vectors.search_among(query, 10, 100, Some(&allowed))?;
        assert_eq!(near.len(), 10, "every {step}th");
        assert!(near.iter().all(|n| allowed[n.id as usize]));
        let few: Vec<Vec<f32>> = rows.iter().step_by(step).cloned().collect();
        let expected: Vec<u32> = truth(&few, query, 10).iter().map(|id| id * step as u32).collect();
        let right = near.iter().filter(|n| expected.contains(&n.id)).count();
        assert!(right >= 9, "every {step}th: {right}");
    }
    Ok(())
}

#[test]
fn a_graph_does_not_depend_on_threads() -> Outcome {
    let rows = sample(2500, 3);
    let build = |threads: usize| -> Outcome<Vectors> {
        let mut vectors = vectors(&rows, Precision::Int8)?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        pool.install(|| vectors.build_graph(&VectorConfig::default()));
        Ok(vectors)
    };
    assert!(build(1)? == build(3)?);
    Ok(())
}

#[test]
fn small_sets_and_odd_vectors() -> Outcome {
    let mut vectors = Vectors::new(3, Precision::Int8)?;
    vectors.build_graph(&VectorConfig::default());
    assert!(vectors.search(&[1.0, 0.0, 0.0], 5, 10)?.is_empty());
    for row in [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]] {
        vectors.push(&row)?;
    }
    for _ in 0..2 {
        let near = vectors.search(&[1.0, 0.0, 0.0], 9, 10)?;
        assert_eq!(near.iter().map(|n| n.id).collect::<Vec<_>>(), [1, 2, 0, 3], "equal ones in order");
        vectors.build_graph(&VectorConfig::default());
    }
    for bad in [&[1.0, 0.0][..], &[f32::NAN, 0.0, 0.0]] {
        assert!(matches!(vectors.push(bad), Err(Error::Config { .. })));
        assert!(matches!(vectors.search(bad, 1, 1), Err(Error::Config { .. })));
    }
    assert!(matches!(Vectors::new(0, Precision::Int8), Err(Error::Config { .. })));
    Ok(())
}
