//! Checkpoint files: what is saved comes back, and what is damaged is refused.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use slm_quant::{Bits, Error, PackedTensor, Stored, Values, load_packed, save_packed};

fn wave(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 0.731).sin()).collect()
}

fn packed(rows: usize, cols: usize, bits: Bits, group: usize) -> Stored {
    Stored::Packed(PackedTensor::quantize(&wave(rows * cols), rows, cols, bits.format(group)).unwrap())
}

fn sample() -> BTreeMap<String, Stored> {
    let half = Values::F16(wave(6).into_iter().map(f16::from_f32).collect());
    let brain = Values::Bf16(wave(5).into_iter().map(bf16::from_f32).collect());
    BTreeMap::from([
        ("a.weight".to_owned(), packed(5, 96, Bits::Int4, 32)),
        ("b.weight".to_owned(), packed(3, 128, Bits::Int8, 128)),
        ("norm".to_owned(), Stored::Dense { shape: vec![7], values: Values::F32(wave(7)) }),
        ("half".to_owned(), Stored::Dense { shape: vec![2, 3], values: half }),
        ("brain".to_owned(), Stored::Dense { shape: vec![5, 1], values: brain }),
        ("scalar".to_owned(), Stored::Dense { shape: vec![], values: Values::F32(vec![2.5]) }),
    ])
}

/// A file with codes `[2, 16]` and scales `[2, 1]` unless told otherwise.
struct Crafted {
    metadata: Option<String>,
    codes: (Dtype, Vec<usize>),
    scales: (Dtype, Vec<usize>, Vec<u8>),
    extra: Option<(&'static str, Dtype)>,
}

impl Default for Crafted {
    fn default() -> Self {
        Self {
            metadata: Some(describe(1, 4, 32)),
            codes: (Dtype::U8, vec![2, 16]),
            scales: (Dtype::F32, vec![2, 1], [1.0_f32, 0.5].iter().flat_map(|s| s.to_le_bytes()).collect()),
            extra: None,
        }
    }
}

impl Crafted {
    fn write(self, dir: &Path) -> PathBuf {
        let bytes = vec![0x18_u8; self.codes.1.iter().product::<usize>() * self.codes.0.bitsize() / 8];
        let mut tensors = vec![
            ("w.codes", TensorView::new(self.codes.0, self.codes.1, &bytes).unwrap()),
            ("w.scales", TensorView::new(self.scales.0, self.scales.1, &self.scales.2).unwrap()),
        ];
        let zeros = [0_u8; 8];
        if let Some((name, dtype)) = self.extra {
            let view = TensorView::new(dtype, vec![1], &zeros[..dtype.bitsize() / 8]).unwrap();
            tensors.push((name, view));
        }
        let metadata = self.metadata.map(|text| HashMap::from([("slm.quant".to_owned(), text)]));
        let path = dir.join("crafted.safetensors");
        fs::write(&path, safetensors::serialize(tensors, metadata).unwrap()).unwrap();
        path
    }
}

fn describe(version: u64, bits: u64, group: u64) -> String {
    format!(r#"{{"version":{version},"tensors":{{"w":{{"bits":{bits},"group_size":{group}}}}}}}"#)
}

#[test]
fn what_is_saved_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    save_packed(&path, &sample()).unwrap();
    assert_eq!(load_packed(&path).unwrap(), sample());
    let first = fs::read(&path).unwrap();
    save_packed(&path, &sample()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), first);
    // Nothing temporary stays behind.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    save_packed(&path, &BTreeMap::new()).unwrap();
    assert_eq!(load_packed(&path).unwrap(), BTreeMap::new());
}

#[test]
fn any_truncation_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    save_packed(&path, &sample()).unwrap();
    let bytes = fs::read(&path).unwrap();
    for len in 0..bytes.len() {
        let cut = dir.path().join("cut");
        fs::write(&cut, &bytes[..len]).unwrap();
        let error = load_packed(&cut).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. } | Error::Io { .. }), "{len} bytes: {error}");
    }
}

#[test]
fn a_crafted_file_with_half_precision_scales_loads() {
    let dir = tempfile::tempdir().unwrap();
    let scales = [1.0_f32, 0.5].iter().flat_map(|&s| f16::from_f32(s).to_le_bytes()).collect();
    for scales in [Crafted::default().scales, (Dtype::F16, vec![2, 1], scales)] {
        let path = Crafted { scales, ..Crafted::default() }.write(dir.path());
        let loaded = load_packed(path).unwrap();
        let Stored::Packed(w) = &loaded["w"] else { panic!("w is not packed") };
        // Byte 0x18: low nibble 8 is code 0, high nibble 1 is code -7.
        let dense = w.dequantize();
        assert_eq!((dense[0], dense[16], dense[32 + 16]), (0.0, -7.0, -3.5));
    }
}

#[test]
fn contradictions_are_named() {
    let nan = [f32::NAN, 1.0].iter().flat_map(|s| s.to_le_bytes()).collect();
    let default = Crafted::default;
    let cases = [
        (Crafted { metadata: None, ..default() }, "no such entry"),
        (Crafted { metadata: Some("{".into()), ..default() }, "metadata `slm.quant`"),
        (Crafted { metadata: Some("{}".into()), ..default() }, "`version` is missing"),
        (Crafted { metadata: Some(describe(2, 4, 32)), ..default() }, "format version 2, expected 1"),
        (Crafted { metadata: Some(describe(1, 5, 32)), ..default() }, "expected 4 or 8, got 5"),
        (Crafted { metadata: Some(describe(1, 8, 32)), ..default() }, "expected shape [2, 32], got [2, 16]"),
        (Crafted { metadata: Some(describe(1, 4, 64)), ..default() }, "expected shape [2, 32], got [2, 16]"),
        (
            Crafted { metadata: Some(describe(1, 4, 0)), codes: (Dtype::U8, vec![2, 0]), ..default() },
            "group size 0",
        ),
        (Crafted { metadata: Some(describe(1, 4, u64::MAX / 2)), ..default() }, "expected shape"),
        (
            Crafted { metadata: Some(describe(1, 4, 32).replace("\"w\"", "\"v\"")), ..default() },
            "tensor `v.codes`: missing",
        ),
        (Crafted { codes: (Dtype::I8, vec![2, 16]), ..default() }, "`w.codes`: expected U8, got I8"),
        (
            Crafted { codes: (Dtype::U8, vec![32]), ..default() },
            "`w.codes`: expected shape [2, 16], got [32]",
        ),
        (
            Crafted { scales: (Dtype::I32, vec![2, 1], vec![0; 8]), ..default() },
            "`w.scales`: expected F32 or F16, got I32",
        ),
        (
            Crafted { scales: (Dtype::F32, vec![2], vec![0; 8]), ..default() },
            "`w.scales`: expected 2 dimensions, got [2]",
        ),
        (Crafted { scales: (Dtype::F32, vec![2, 1], nan), ..default() }, "scale of row 0 is not finite"),
        (Crafted { extra: Some(("w", Dtype::F32)), ..default() }, "tensor `w`: stored both dense and packed"),
        (
            Crafted { extra: Some(("ids", Dtype::I64)), ..default() },
            "`ids`: expected F32, F16 or BF16, got I64",
        ),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (crafted, expected) in cases {
        let error = load_packed(crafted.write(dir.path())).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        assert!(error.contains("crafted.safetensors"), "{error:?} does not name the file");
    }
}

#[test]
fn what_cannot_be_stored_is_refused_and_leaves_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    save_packed(&path, &sample()).unwrap();
    let ones = |shape: Vec<usize>| Stored::Dense { shape, values: Values::F32(vec![1.0]) };

    let clash = BTreeMap::from([
        ("w".to_owned(), packed(1, 32, Bits::Int4, 32)),
        ("w.codes".to_owned(), ones(vec![1])),
    ]);
    let error = save_packed(&path, &clash).unwrap_err().to_string();
    assert!(error.contains("tensor `w.codes`: two tensors"), "{error}");

    let misshapen = BTreeMap::from([("w".to_owned(), ones(vec![2, 3]))]);
    let error = save_packed(&path, &misshapen).unwrap_err().to_string();
    assert!(error.contains("shape [2, 3] does not hold 1 values"), "{error}");

    assert_eq!(load_packed(&path).unwrap(), sample());
    let missing = dir.path().join("no/such/folder/model.safetensors");
    assert!(matches!(save_packed(&missing, &sample()), Err(Error::Io { .. })));
    assert!(matches!(load_packed(&missing), Err(Error::Io { .. })));
}
