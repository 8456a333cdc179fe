//! Packing: parity with gguf-py, error bounds, layouts and rejected input.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use half::f16;
use slm_kernels::{BlockType, Bytes, Error, Format, MappedFile, PackedTensor};

fn wave(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 0.731).sin() * (1.0 + (i % 7) as f32)).collect()
}

fn squared_error(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

fn int4(group_size: usize) -> Format {
    Format::Int4 { group_size }
}

fn int8(group_size: usize) -> Format {
    Format::Int8 { group_size }
}

fn golden(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)).unwrap()
}

fn floats(name: &str) -> Vec<f32> {
    golden(name).as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Bit for bit: weights of blocks, and blocks of weights where the type is rounded to.
#[test]
fn blocks_are_those_of_gguf_py() {
    const SHAPE: [usize; 2] = [3, 512];
    let weights = floats("weights.f32");
    for block in BlockType::ALL {
        let name = block.name().to_ascii_lowercase();
        let (bytes, want) = (golden(&format!("{name}.blocks")), floats(&format!("{name}.f32")));
        let packed = PackedTensor::from_blocks(bytes.clone(), SHAPE, block).unwrap();
        assert_eq!(packed.dequantize(), want, "{block}");
        let mut rows = vec![f32::NAN; 512];
        packed.dequantize_rows(1..2, &mut rows).unwrap();
        assert_eq!(rows, want[512..1024], "{block}");
        match PackedTensor::quantize(&weights, 3, 512, Format::Block(block)) {
            Ok(packed) => assert_eq!(packed.codes(), bytes, "{block}"),
            Err(error) => {
                assert_eq!(error, Error::NoEncoder { block });
                assert!(matches!(block, BlockType::Iq4Nl) || block.weights() == 256);
            }
        }
        assert_eq!(BlockType::from_ggml_type(block.ggml_type()), Some(block));
    }
}

/// What the file formats promise each other: a scale more or less aside, these are the same bytes.
#[test]
fn groups_of_32_are_the_blocks_of_32_taken_apart() {
    let (eight, four, one) = (golden("q8_0.blocks"), golden("q4_0.blocks"), golden("q4_1.blocks"));
    let half = |bytes: &[u8]| f16::from_le_bytes([bytes[0], bytes[1]]);
    let part = |blocks: &[u8], size: usize, from: usize| -> Vec<u8> {
        blocks.chunks_exact(size).flat_map(|block| block[from..].to_vec()).collect()
    };
    let halves = |blocks: &[u8], size: usize, at: usize| -> Vec<f16> {
        blocks.chunks_exact(size).map(|block| half(&block[at..])).collect()
    };
    let shape = [3, 512];
    let parts = |codes, scales, minimums, format| {
        PackedTensor::from_parts(codes, scales, minimums, shape, format).unwrap().dequantize()
    };
    assert_eq!(parts(part(&eight, 34, 2), halves(&eight, 34, 0), None, int8(32)), floats("q8_0.f32"));
    assert_eq!(parts(part(&four, 18, 2), halves(&four, 18, 0), None, int4(32)), floats("q4_0.f32"));
    let minimums = Some(halves(&one, 20, 2).into());
    let format = Format::Int4Asym { group_size: 32 };
    assert_eq!(parts(part(&one, 20, 4), halves(&one, 20, 0), minimums, format), floats("q4_1.f32"));
}

#[test]
fn names_are_read_back() {
    let mut formats =
        vec![int8(32), int4(64), Format::Int4Asym { group_size: 128 }, Format::Nf4 { group_size: 64 }];
    formats.extend(BlockType::ALL.map(Format::Block));
    for format in formats {
        assert_eq!(format.to_string().parse(), Ok(format));
        assert_eq!(format.to_string().to_uppercase().parse(), Ok(format));
    }
    for bad in ["int4", "int4-g", "int5-g32", "q4_k_m", "", "int4-g-32"] {
        assert_eq!(bad.parse::<Format>(), Err(Error::UnknownFormat { name: bad.into() }));
    }
}

#[test]
fn int8_is_within_half_a_step() {
    let weights = wave(4 * 128);
    for (cols, group) in [(128, 64), (128, 32), (128, 128), (64, 64), (32, 32), (16, 16)] {
        let rows = weights.len() / cols;
        let packed = PackedTensor::quantize(&weights, rows, cols, int8(group)).unwrap();
        let dense = packed.dequantize();
        for (i, (w, d)) in weights.iter().zip(&dense).enumerate() {
            let step = packed.scales()[i / group].to_f32();
            // The scale itself is rounded to `f16`, which moves the ends of the range.
            assert!((w - d).abs() <= step * 0.5 + w.abs() * 5e-4, "weight {i}: {d} instead of {w}");
        }
    }
}

#[test]
fn four_bits_are_no_worse_than_absmax() {
    let weights = wave(4 * 128);
    for group in [32, 64, 128] {
        let plain: Vec<f32> = weights
            .chunks(group)
            .flat_map(|g| {
                let scale = g.iter().fold(0.0_f32, |m, w| m.max(w.abs())) / 7.0;
                g.iter().map(move |w| (w / scale).round() * scale).collect::<Vec<_>>()
            })
            .collect();
        let error = |weights: &[f32], format| {
            let packed = PackedTensor::quantize(weights, 4, 128, format).unwrap();
            squared_error(weights, &packed.dequantize())
        };
        assert!(error(&weights, int4(group)) < squared_error(&weights, &plain));
        let shifted: Vec<f32> = weights.iter().map(|w| w.abs()).collect();
        assert!(error(&shifted, Format::Int4Asym { group_size: group }) < error(&shifted, int4(group)));
    }
}

#[test]
fn nf4_takes_the_nearest_quantile() {
    let mut weights: Vec<f32> = (0..64).map(|i| (i as f32 / 31.5 - 1.0) * 0.5).collect();
    weights[40] = 0.0;
    let packed = PackedTensor::quantize(&weights, 1, 64, Format::Nf4 { group_size: 64 }).unwrap();
    let table: Vec<f32> = (0..16)
        .map(|code| {
            let codes = vec![code * 17; 16];
            let format = Format::Nf4 { group_size: 32 };
            PackedTensor::from_parts(codes, [f16::ONE], None, [1, 32], format).unwrap().dequantize()[0]
        })
        .collect();
    assert!(table.is_sorted() && table[0] == -1.0 && table[7] == 0.0 && table[15] == 1.0);
    assert_eq!(packed.scales(), [f16::from_f32(0.5)]);
    for (w, got) in weights.iter().zip(packed.dequantize()) {
        let nearest = table.iter().map(|t| (t * 0.5 - w).abs()).fold(f32::INFINITY, f32::min);
        assert!(((got - w).abs() - nearest).abs() < 1e-6, "{w}: {got}");
    }
}

#[test]
fn a_nibble_holds_the_weight_the_layout_says() {
    for at in 0..64 {
        let mut weights = vec![0.0; 64];
        weights[at] = 1.0;
        let packed = PackedTensor::quantize(&weights, 1, 64, int4(32)).unwrap();
        let byte = packed.codes()[at / 32 * 16 + at % 16];
        let nibble = if at % 32 < 16 { byte & 15 } else { byte >> 4 };
        let scale = packed.scales()[at / 32].to_f32();
        assert!(((f32::from(nibble) - 8.0) * scale - 1.0).abs() < 1e-3);
        for (i, w) in packed.dequantize().into_iter().enumerate() {
            assert!((w - weights[i]).abs() < 1e-3, "weight {i} is {w}");
        }
    }
}

#[test]
fn parts_make_the_same_tensor() {
    for format in [int4(32), Format::Int4Asym { group_size: 32 }, int8(96)] {
        let packed = PackedTensor::quantize(&wave(3 * 96), 3, 96, format).unwrap();
        let minimums = packed.minimums().map(Arc::from);
        let (codes, scales) = (packed.codes().to_vec(), packed.scales());
        let again = PackedTensor::from_parts(codes, scales, minimums, [3, 96], format).unwrap();
        assert_eq!(packed, again);
        assert!((packed.bytes() as f64 * 8.0 / 288.0 - packed.bits_per_weight()).abs() < 1e-9);
        assert!(format!("{packed:?}").len() < 120);
    }
}

#[test]
fn an_input_order_gives_back_the_columns() {
    let weights = wave(3 * 64);
    let order: Vec<u32> = (0..64).map(|j| (j * 29 + 5) % 64).collect();
    let moved: Vec<f32> =
        weights.chunks_exact(64).flat_map(|row| order.iter().map(|&at| row[at as usize])).collect();
    let plain = PackedTensor::quantize(&moved, 3, 64, int8(32)).unwrap();
    let ordered = plain.clone().with_input_order(order.clone()).unwrap();
    let (plain, got) = (plain.dequantize(), ordered.dequantize());
    for row in 0..3 {
        for (j, &at) in order.iter().enumerate() {
            assert_eq!(got[row * 64 + at as usize], plain[row * 64 + j]);
        }
    }
    for bad in [vec![0; 64], (1..65).collect(), (0..63).collect()] {
        let error = ordered.clone().with_input_order(bad).unwrap_err();
        assert!(matches!(error, Error::InputOrder { cols: 64, .. }), "{error}");
    }
}

#[test]
fn blocks_stay_in_a_mapped_file() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/q4_0.blocks");
    let file = MappedFile::open(&path).unwrap();
    let bytes = Bytes::mapped(&file, 288..576).unwrap();
    let packed = PackedTensor::from_blocks(bytes, [1, 512], BlockType::Q4_0).unwrap();
    assert!(file.as_ptr_range().contains(&packed.clone().codes().as_ptr()));
    drop(file);
    assert_eq!(packed.dequantize(), floats("q4_0.f32")[512..1024]);
    let file = MappedFile::open(&path).unwrap();
    assert_eq!(
        Bytes::mapped(&file, 800..900),
        Err(Error::Length { what: "bytes of the file", expected: 900, got: 864 })
    );
}

#[test]
fn zeros_stay_zeros() {
    for format in ["int8-g32", "int4-g32", "int4a-g32", "nf4-g32", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1"] {
        let packed = PackedTensor::quantize(&[0.0; 64], 2, 32, format.parse().unwrap()).unwrap();
        assert!(packed.dequantize().iter().all(|&w| w == 0.0), "{format}");
    }
}

#[test]
fn bad_input_is_refused() {
    let quantize = |w: &[f32], rows, cols, format| PackedTensor::quantize(w, rows, cols, format).unwrap_err();
    for (format, cols) in [(int8(32), 48), (int4(48), 48), (int8(0), 48), (int4(64), 32), (int8(32), 0)] {
        let group_size = format.group_size();
        assert_eq!(quantize(&[0.0; 48], 1, cols, format), Error::GroupSize { format, group_size, cols });
    }
    assert_eq!(
        quantize(&[0.0; 33], 1, 32, int8(32)),
        Error::Length { what: "weights", expected: 32, got: 33 }
    );
    let mut weights = [0.0; 64];
    weights[40] = f32::INFINITY;
    let infinite = |what| Error::NotFinite { what, row: 1, value: f32::INFINITY };
    assert_eq!(quantize(&weights, 2, 32, int8(32)), infinite("weight"));
    // Too large for a scale in half precision.
    weights[40] = 1e9;
    assert_eq!(quantize(&weights, 2, 32, int8(32)), infinite("scale"));
    let parts = |codes: usize, scales: &[f32], minimums: Option<Arc<[f16]>>| {
        let scales: Vec<f16> = scales.iter().map(|&s| f16::from_f32(s)).collect();
        PackedTensor::from_parts(vec![0; codes], scales, minimums, [2, 32], int4(32))
    };
    let length = |what, expected, got| Err(Error::Length { what, expected, got });
    assert_eq!(parts(31, &[1.0; 2], None), length("codes", 32, 31));
    assert_eq!(parts(32, &[1.0; 3], None), length("scales", 2, 3));
    assert_eq!(parts(32, &[1.0; 2], Some([f16::ONE; 2].into())), length("minimums", 0, 2));
    assert!(parts(32, &[1.0, f32::NAN], None).is_err());
    assert!(parts(32, &[1.0; 2], None).is_ok());
    let mut blocks = golden("q6_k.blocks");
    blocks[5 * 210 + 209] = 0x7c;
    let error = PackedTensor::from_blocks(blocks, [3, 512], BlockType::Q6K).unwrap_err();
    assert!(matches!(error, Error::NotFinite { what: "scale", row: 2, .. }), "{error}");
}
