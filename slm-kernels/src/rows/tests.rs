//! Every instruction set against the reference.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn wave(len: usize, step: f32, height: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * step).sin() * height).collect()
}

fn assert_close(got: &[f32], want: &[f32], what: &str) {
    assert_within(2e-6, got, want, what);
}

/// Gradients are sums of more terms, some of which cancel.
fn assert_gradient(got: &[f32], want: &[f32], what: &str) {
    assert_within(3e-5, got, want, what);
}

fn assert_within(tolerance: f32, got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= tolerance * want.abs().max(1.0), "{what} {i}: {got} instead of {want}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn norms(rows in 0_usize..60, width in 1_usize..600, height in 0.01_f32..4.0) {
        let (x, weight) = (wave(rows * width, 0.37, height), wave(width, 0.73, 2.0));
        let mut want = vec![0.0; x.len()];
        scalar::rms_norm(&x, &weight, 1e-6, &mut want).unwrap();
        for level in Level::available() {
            let mut y = vec![f32::NAN; x.len()];
            rms_norm_into(level, &x, &weight, 1e-6, Output::new(&mut y));
            assert_close(&y, &want, "norm");
        }
    }

    #[test]
    fn gradients_of_norms(rows in 0_usize..60, width in 1_usize..600, height in 0.1_f32..4.0) {
        let (x, weight) = (wave(rows * width, 0.37, height), wave(width, 0.73, 2.0));
        let forward = NormForward { x: &x, weight: &weight, epsilon: 1e-3, dy: &wave(x.len(), 0.19, 1.0) };
        let want = scalar::rms_norm_backward(forward);
        for level in Level::available() {
            let mut got = want.each_ref().map(|want| vec![f32::NAN; want.len()]);
            let [dx, dweight] = got.each_mut().map(|got| Output::new(got));
            backward::rms_norm_backward_into(level, forward, dx, dweight);
            assert_gradient(&got[0], &want[0], "input");
            assert_gradient(&got[1], &want[1], "weight");
        }
    }

    #[test]
    fn gradients_of_gates(len in 0_usize..40_000, height in 0.1_f32..12.0) {
        let (gate, up, dy) = (wave(len, 0.37, height), wave(len, 0.73, 2.0), wave(len, 0.21, 1.0));
        for kind in [Gate::Silu, Gate::GeluTanh] {
            let want = scalar::gated_backward([&gate, &up], &dy, kind);
            for level in Level::available() {
                let mut got = want.each_ref().map(|want| vec![f32::NAN; want.len()]);
                let out = got.each_mut().map(|got| Output::new(got));
                backward::gated_backward_into(level, [&gate, &up, &dy], kind, out);
                assert_gradient(&got[0], &want[0], "gate");
                assert_gradient(&got[1], &want[1], "up");
            }
        }
    }

    #[test]
    fn rotations(
        batch in 1_usize..3,
        tokens in 1_usize..40,
        heads in 1_usize..5,
        half in 0_usize..40,
        rest in 0_usize..20,
    ) {
        let shape = Heads { heads, dim: 2 * half + rest + 1, rotary: 2 * half };
        let x = wave(batch * tokens * heads * shape.dim, 0.37, 1.0);
        let (cos, sin) = (wave(tokens * half, 0.5, 1.0), wave(tokens * half, 0.3, 1.0));
        // Without angles the number of tokens is unknown, and does not matter.
        let mut want = x.clone();
        scalar::rotate(&mut want, &cos, &sin, shape);
        for level in Level::available() {
            let mut y = x.clone();
            rotate_at(level, Output::new(&mut y), [&cos, &sin], shape);
            assert_close(&y, &want, "rotation");
        }
    }

    #[test]
    fn gates(len in 0_usize..40_000, height in 0.1_f32..30.0) {
        let (gate, up) = (wave(len, 0.37, height), wave(len, 0.11, 1.0));
        for kind in [Gate::Silu, Gate::GeluTanh] {
            let mut want = gate.clone();
            scalar::gated(&mut want, &up, kind).unwrap();
            for level in Level::available() {
                let mut y = gate.clone();
                gated_at(level, None, Output::new(&mut y), &up, kind);
                assert_close(&y, &want, "gate");
                let mut apart = vec![f32::NAN; len];
                gated_at(level, Some(&gate), Output::new(&mut apart), &up, kind);
                assert_eq!(apart, y);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn likelihoods(rows in 0_usize..12, width in 1_usize..9000, height in 0.1_f32..60.0) {
        let (logits, reference) = (wave(rows * width, 0.37, height), wave(rows * width, 0.11, height));
        let tokens: Vec<i32> = (0..rows).map(|row| (row * 7919 % width) as i32).collect();
        for truth in [Truth::Tokens(&tokens), Truth::Logits(&reference)] {
            let [want, slopes] = scalar::likelihood(&logits, width, truth);
            for level in Level::available() {
                let (mut got, mut normal) = (vec![f32::NAN; rows], vec![f32::NAN; 2 * rows]);
                let to = [Output::new(&mut got), Output::new(&mut normal)];
                likelihood_into(level, &logits, (width, truth), to);
                assert_within(2e-5, &got, &want, "likelihood");
                let mut gradient = logits.clone();
                let twice = vec![2.0; rows];
                let to = Output::new(&mut gradient);
                likelihood_backward_at(level, to, (width, truth), &normal, &twice);
                gradient.iter_mut().for_each(|slope| *slope /= 2.0);
                assert_within(2e-5, &gradient, &slopes, "slope");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn entropies(width in 1_usize..9000, height in 0.1_f32..60.0, masked in 0_usize..7) {
        let mut logits = wave(width, 0.37, height);
        logits.iter_mut().skip(1).step_by(7).take(masked).for_each(|x| *x = f32::NEG_INFINITY);
        let want = scalar::entropy(&logits);
        for level in Level::available() {
            let got = level.run(Entropy { logits: &logits });
            assert_within(2e-5, &got, &want, "entropy");
        }
    }
}

#[test]
fn likelihoods_of_the_public_functions() {
    let logits = [0.0, 1.0, 2.0, -1.0, 0.5, f32::NEG_INFINITY];
    let mut out = [0.0; 2];
    log_prob(&logits, 3, &[2, 1], &mut out).unwrap();
    assert_within(1e-6, &out, &scalar::likelihood(&logits, 3, Truth::Tokens(&[2, 1]))[0], "token");
    kl_divergence(&logits[..3], &logits[..3], 3, &mut out[..1]).unwrap();
    assert!(out[0].abs() < 1e-6);
    let mut slopes = logits;
    likelihood_backward(&mut slopes, 3, Truth::Tokens(&[2, 1]), &[1.0; 2]).unwrap();
    assert!(slopes.chunks_exact(3).all(|row| row.iter().sum::<f32>().abs() < 1e-6), "{slopes:?}");
    assert!(log_prob(&logits, 3, &[2, 3], &mut out).is_err());
    assert!(log_prob(&logits, 3, &[2, -1], &mut out).is_err());
    assert!(log_prob(&logits, 4, &[2, 1], &mut out).is_err());
    assert!(kl_divergence(&logits[..3], &logits, 3, &mut out).is_err());
}

#[test]
fn wrong_lengths_are_errors() {
    let mut y = [0.0; 6];
    rms_norm(&[1.0; 6], &[1.0; 3], 1e-6, &mut y).unwrap();
    assert!(rms_norm(&[1.0; 6], &[1.0; 4], 1e-6, &mut y).is_err());
    assert!(rms_norm(&[1.0; 6], &[], 1e-6, &mut y).is_err());
    assert!(gated(&mut y, &[1.0; 5], Gate::Silu).is_err());
    let heads = Heads { heads: 1, dim: 3, rotary: 2 };
    rotate(&mut y, &[1.0; 2], &[0.0; 2], heads).unwrap();
    assert!(rotate(&mut y, &[1.0; 4], &[0.0; 4], heads).is_err());
    assert!(rotate(&mut y, &[1.0; 2], &[0.0; 2], Heads { rotary: 4, ..heads }).is_err());
}
