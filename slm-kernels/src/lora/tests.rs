//! Every instruction set against the reference.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::linear::TOLERANCE;

fn wave(len: usize, step: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * step).sin()).collect()
}

fn assert_close(got: &[f32], want: &[f32], terms: usize, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let bound = TOLERANCE * terms as f32;
        assert!((got - want).abs() <= bound, "{what} element {i}: {got} instead of {want}");
    }
}

fn check(m: usize, [rows, cols, rank]: [usize; 3]) {
    let (x, numbers, dy) = (wave(m * cols, 0.37), wave(rows * cols, 0.73), wave(m * rows, 0.19));
    let (a, b) = (wave(rank * cols, 0.53), wave(rows * rank, 0.29));
    let update = Update { a: &a, b: &b, scale: 0.7 };
    let w = Matrix::new(Numbers::F32(&numbers), rows, cols).unwrap();
    let [z, y] = scalar::lora_linear(&x, m, (&w, update)).unwrap();
    let forward = Forward { x: &x, z: &z, dy: &dy };
    let want = scalar::lora_linear_backward(forward, m, (&w, update)).unwrap();
    for level in Level::available() {
        let mut got = [&z, &y].map(|want| vec![f32::NAN; want.len()]);
        let out = got.each_mut().map(|got| Output::new(got));
        linear_into(level, &x, m, (weights(&w, &numbers), update), out);
        assert_close(&got[0], &z, cols, "z");
        // A sum over the rank of sums over the columns.
        assert_close(&got[1], &y, cols * (1 + rank), "y");
        let mut got = want.each_ref().map(|want| vec![f32::NAN; want.len()]);
        let [dx, da, db] = got.each_mut().map(|got| Output::new(got));
        backward_into(level, forward, (m, update), weights(&w, &numbers), (Some(dx), [da, db]));
        assert_close(&got[0], &want[0], rows * (1 + rank), "dx");
        assert_close(&got[1], &want[1], m * rows, "da");
        assert_close(&got[2], &want[2], m * cols, "db");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn kernels_match_the_reference(
        m in 1_usize..40,
        rows in 1_usize..140,
        cols in 1_usize..200,
        rank in 1_usize..20,
    ) {
        check(m, [rows, cols, rank]);
    }
}

#[test]
fn kernels_match_across_blocks_and_threads() {
    for (m, dims) in [(1, [70, 1100, 16]), (600, [9, 65, 8]), (33, [64, 513, 70]), (3, [1030, 40, 1])] {
        check(m, dims);
    }
}

#[test]
fn half_precision_weights_are_read_as_they_are() {
    let (m, rows, cols) = (7, 20, 70);
    let half: Vec<burn::tensor::f16> =
        wave(rows * cols, 0.73).into_iter().map(burn::tensor::f16::from_f32).collect();
    let wide: Vec<f32> = half.iter().map(|v| v.to_f32()).collect();
    let (x, a, b) = (wave(m * cols, 0.37), wave(2 * cols, 0.53), wave(2 * rows, 0.29));
    let update = Update { a: &a, b: &b, scale: 2.0 };
    let run = |numbers: Numbers<'_>| {
        let w = Matrix::new(numbers, rows, cols).unwrap();
        let (mut z, mut y) = (vec![0.0; m * 2], vec![0.0; m * rows]);
        lora_linear(&x, m, (&w, update), &mut z, &mut y).unwrap();
        let (mut dx, mut da, mut db) = (vec![0.0; x.len()], vec![0.0; a.len()], vec![0.0; b.len()]);
        let out = Gradients { dx: Some(&mut dx), da: &mut da, db: &mut db };
        lora_linear_backward(Forward { x: &x, z: &z, dy: &y }, m, (&w, update), out).unwrap();
        [z, y, dx, da, db]
    };
    assert_eq!(run(Numbers::F16(&half)), run(Numbers::F32(&wide)));
}

#[test]
fn empty_and_wrong_buffers() {
    let w = Matrix::new(Numbers::F32(&[1.0; 6]), 2, 3).unwrap();
    let update = Update { a: &[1.0; 3], b: &[1.0; 2], scale: 1.0 };
    lora_linear(&[], 0, (&w, update), &mut [], &mut []).unwrap();
    let (mut da, mut db) = ([f32::NAN; 3], [f32::NAN; 2]);
    let nothing = Forward { x: &[], z: &[], dy: &[] };
    lora_linear_backward(nothing, 0, (&w, update), Gradients { dx: None, da: &mut da, db: &mut db }).unwrap();
    assert_eq!((da, db), ([0.0; 3], [0.0; 2]));
    let uneven = Update { a: &[1.0; 4], ..update };
    assert!(lora_linear(&[0.0; 3], 1, (&w, uneven), &mut [0.0], &mut [0.0; 2]).is_err());
    let short = Update { b: &[1.0; 1], ..update };
    assert!(lora_linear(&[0.0; 3], 1, (&w, short), &mut [0.0], &mut [0.0; 2]).is_err());
    assert!(lora_linear(&[0.0; 3], 1, (&w, update), &mut [0.0; 2], &mut [0.0; 2]).is_err());
}
