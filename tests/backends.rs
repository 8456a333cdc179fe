//! The same small checks on every backend that is built in: logits equal those of `transformers`, and a packed layer equals
//! its own expansion. `cargo test --release --features ndarray --test backends` adds `ndarray`, `--features vulkan` or `wgpu`
//! the first GPU, which must be there, if only in software.

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use safetensors::SafeTensors;
use slm::core::{CausalLm, KvCache};
use slm::quant::{Format, QuantConfig, dequantize_model, quantize_model};

/// The devices of this build.
fn devices() -> Vec<(&'static str, Device)> {
    vec![
        #[cfg(feature = "flex")]
        ("flex", Device::flex()),
        #[cfg(feature = "ndarray")]
        ("ndarray", Device::ndarray()),
        #[cfg(feature = "wgpu")]
        ("wgpu", Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
    ]
}

fn load(family: &str, device: &Device) -> CausalLm {
    CausalLm::load(&golden(family), device).expect("the golden is in the repository")
}

fn golden(family: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("slm-core/tests/goldens").join(family)
}

/// `input_ids` and `logits` of a golden.
fn reference(family: &str) -> (TensorData, TensorData) {
    let bytes = std::fs::read(golden(family).join("reference.safetensors")).expect("in the repository");
    let tensors = SafeTensors::deserialize(&bytes).expect("valid");
    let (ids, logits) =
        (tensors.tensor("input_ids").expect("ids"), tensors.tensor("logits").expect("logits"));
    let id = |b: &[u8]| i64::from_le_bytes(b.try_into().expect("8 bytes")) as i32;
    let value = |b: &[u8]| f32::from_le_bytes(b.try_into().expect("4 bytes"));
    (
        TensorData::new(ids.data().chunks_exact(8).map(id).collect(), ids.shape().to_vec()),
        TensorData::new(logits.data().chunks_exact(4).map(value).collect(), logits.shape().to_vec()),
    )
}

fn logits(model: &CausalLm, ids: &TensorData, device: &Device) -> Vec<f32> {
    let ids = Tensor::<2, Int>::from_data(ids.clone(), device);
    model.forward(ids, &mut KvCache::new()).expect("fits").try_into_vec_as().expect("readable")
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Root mean square of the difference, by that of `b`.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let error: f32 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    (error / b.iter().map(|b| b * b).sum::<f32>()).sqrt()
}

#[test]
fn logits_equal_those_of_transformers() {
    assert!(!devices().is_empty(), "no backend is built in");
    for (name, device) in devices() {
        for family in
            ["llama", "qwen2", "qwen3", "phi3", "phi4", "gemma2", "gemma3", "smollm3", "olmo2", "granite"]
        {
            let (ids, want) = reference(family);
            let got = logits(&load(family, &device), &ids, &device);
            let difference = largest_difference(&got, &want.try_to_vec::<f32>().expect("f32"));
            println!("{name} {family}: {difference:e}");
            assert!(difference <= 1e-4, "{name} {family}: {difference}");
        }
    }
}

#[test]
fn packed_layers_equal_their_expansion() {
    for (name, device) in devices() {
        let mut model = load("qwen3", &device);
        let config = QuantConfig { format: Format::Int4 { group_size: 32 }, ..QuantConfig::default() };
        quantize_model(&mut model, &config).expect("packs");
        let (ids, original) = reference("qwen3");
        let packed = logits(&model, &ids, &device);
        dequantize_model(&mut model);
        let original = original.try_to_vec::<f32>().expect("f32");
        let difference = distance(&packed, &logits(&model, &ids, &device));
        println!("{name}: {difference:e} of packed products");
        // The kernels of the CPU round inputs to 8 bits, those of a GPU to `bf16` where it has that; ndarray rounds nothing.
        let bound = if name == "ndarray" { 1e-4 } else { 0.03 };
        assert!(difference < bound, "{name}: {difference}");
        let cost = distance(&packed, &original);
        assert!(cost > 0.1, "{name}: 4 bits cost nothing ({cost}), so they were not used");
    }
}
