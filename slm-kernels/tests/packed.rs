//! Packing: error bounds, layout and rejected input.
#![expect(clippy::unwrap_used, reason = "tests")]

use slm_kernels::{Bits, Error, PackedTensor};

fn wave(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 0.731).sin() * (1.0 + (i % 7) as f32)).collect()
}

fn squared_error(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

#[test]
fn int8_is_within_half_a_step() {
    let weights = wave(4 * 128);
    let packed = PackedTensor::quantize(&weights, 4, 128, Bits::Int8, 64).unwrap();
    let dense = packed.dequantize();
    for (i, (w, d)) in weights.iter().zip(&dense).enumerate() {
        assert!((w - d).abs() <= packed.scales()[i / 64] * 0.5001, "weight {i}: {d} instead of {w}");
    }
}

#[test]
fn int4_is_no_worse_than_absmax() {
    let weights = wave(4 * 128);
    for group in [32, 64, 128] {
        let packed = PackedTensor::quantize(&weights, 4, 128, Bits::Int4, group).unwrap();
        let plain: Vec<f32> = weights
            .chunks(group)
            .flat_map(|g| {
                let scale = g.iter().fold(0.0_f32, |m, w| m.max(w.abs())) / 7.0;
                g.iter().map(move |w| (w / scale).round() * scale).collect::<Vec<_>>()
            })
            .collect();
        assert!(squared_error(&weights, &packed.dequantize()) < squared_error(&weights, &plain));
    }
}

#[test]
fn a_nibble_holds_the_weight_the_layout_says() {
    for at in 0..64 {
        let mut weights = vec![0.0; 64];
        weights[at] = 1.0;
        let packed = PackedTensor::quantize(&weights, 1, 64, Bits::Int4, 32).unwrap();
        let byte = packed.codes()[at / 32 * 16 + at % 16];
        let nibble = if at % 32 < 16 { byte & 15 } else { byte >> 4 };
        let scale = packed.scales()[at / 32];
        assert!((f32::from(nibble) - 8.0).mul_add(scale, -1.0).abs() < 1e-6);
        for (i, w) in packed.dequantize().into_iter().enumerate() {
            assert!((w - weights[i]).abs() < 1e-6, "weight {i} is {w}");
        }
    }
}

#[test]
fn parts_make_the_same_tensor() {
    let packed = PackedTensor::quantize(&wave(3 * 96), 3, 96, Bits::Int4, 32).unwrap();
    let again = PackedTensor::from_parts(
        packed.codes(),
        packed.scales(),
        [3, 96],
        packed.bits(),
        packed.group_size(),
    )
    .unwrap();
    assert_eq!(packed, again);
    assert_eq!(packed.bytes(), 3 * 48 + 9 * 4);
    assert!(format!("{packed:?}").len() < 100);
}

#[test]
fn zeros_stay_zeros() {
    for bits in [Bits::Int4, Bits::Int8] {
        let packed = PackedTensor::quantize(&[0.0; 64], 2, 32, bits, 32).unwrap();
        assert!(packed.dequantize().iter().all(|&w| w == 0.0));
    }
}

#[test]
fn bad_input_is_refused() {
    let quantize = |w: &[f32], rows, cols, group| PackedTensor::quantize(w, rows, cols, Bits::Int8, group);
    assert_eq!(quantize(&[0.0; 48], 1, 48, 32), Err(Error::GroupSize { group_size: 32, cols: 48 }));
    assert_eq!(quantize(&[0.0; 48], 1, 48, 48), Err(Error::GroupSize { group_size: 48, cols: 48 }));
    assert_eq!(
        quantize(&[0.0; 33], 1, 32, 32),
        Err(Error::Length { what: "weights", expected: 32, got: 33 })
    );
    let mut weights = [0.0; 64];
    weights[40] = f32::INFINITY;
    assert_eq!(
        quantize(&weights, 2, 32, 32),
        Err(Error::NotFinite { what: "weight", row: 1, value: f32::INFINITY })
    );
    let parts = |codes: usize, scales: Vec<f32>| {
        PackedTensor::from_parts(vec![0; codes], scales, [2, 32], Bits::Int4, 32)
    };
    assert_eq!(parts(31, vec![1.0; 2]), Err(Error::Length { what: "codes", expected: 32, got: 31 }));
    assert_eq!(parts(32, vec![1.0; 3]), Err(Error::Length { what: "scales", expected: 2, got: 3 }));
    assert!(parts(32, vec![1.0, f32::NAN]).is_err());
    assert!(parts(32, vec![1.0; 2]).is_ok());
}
