//! Rounding to nearest, and what is said about it.
#![expect(clippy::unwrap_used, reason = "tests")]

use half::f16;
use slm_quant::{Format, PackedTensor, QuantStats, quantize_matrix};

fn wave(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 0.731).sin()).collect()
}

#[test]
fn more_bits_and_smaller_groups_lose_less() {
    let weights: Vec<f32> =
        wave(16 * 256).into_iter().enumerate().map(|(i, w)| w * (1 + i % 5) as f32).collect();
    let stats = |format| quantize_matrix(&weights, [16, 256], format).unwrap().1;
    let (small, large) = (stats(Format::Int4 { group_size: 32 }), stats(Format::Int4 { group_size: 128 }));
    let eight = stats(Format::Int8 { group_size: 128 });
    assert!(
        small.snr_db > large.snr_db && eight.snr_db > small.snr_db + 15.0,
        "{small:?} {large:?} {eight:?}"
    );
    assert_eq!(small.bits_per_weight, 4.5);
    assert_eq!(large.bits_per_weight, 4.125);
    assert_eq!(eight.bits_per_weight, 8.125);
}

#[test]
fn the_measures_of_a_known_error() {
    // Codes of 1 and scales of 1: every weight is 1 after packing.
    let packed = PackedTensor::from_parts(
        vec![1_u8; 64],
        vec![f16::ONE],
        None,
        [1, 64],
        Format::Int8 { group_size: 64 },
    )
    .unwrap();
    let mut weights = vec![1.0; 64];
    assert_eq!(QuantStats::measure(&weights, &packed).unwrap().snr_db, f64::INFINITY);
    weights[3] = 3.0;
    let stats = QuantStats::measure(&weights, &packed).unwrap();
    assert!((stats.mse - 4.0 / 64.0).abs() < 1e-12);
    assert!((stats.max_abs - 2.0).abs() < 1e-12);
    assert!((stats.snr_db - 10.0 * (72.0_f64 / 4.0).log10()).abs() < 1e-9);
    assert!(QuantStats::measure(&weights[1..], &packed).is_err());
}

#[test]
fn a_matrix_that_does_not_fit_is_refused() {
    let error = quantize_matrix(&wave(48), [1, 48], Format::Int4 { group_size: 64 }).unwrap_err().to_string();
    assert!(error.contains("group size 64 does not fit rows of 48"), "{error}");
}
