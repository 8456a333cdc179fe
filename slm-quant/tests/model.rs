//! Whole models: close to the original, equal to their own expansion, and the same after a save and a load.

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use slm_core::model::FloatType;
use slm_core::nn::Weight;
use slm_core::{CausalLm, KvCache};
use slm_quant::{Error, Format, QuantConfig, Result, dequantize_model, quantize_model};

fn golden(family: &str) -> CausalLm {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens").join(family);
    CausalLm::load(&path, &Device::flex()).expect("the golden is in the repository")
}

fn logits(model: &CausalLm) -> Vec<f32> {
    let ids =
        Tensor::<2, Int>::from_data(TensorData::from([[1, 5, 9, 40, 7, 300, 2, 77, 31]]), &Device::flex());
    model.forward(ids, &mut KvCache::new()).expect("fits").try_into_vec_as().expect("readable")
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    let error: f32 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    (error / b.iter().map(|b| b * b).sum::<f32>()).sqrt()
}

#[test]
fn eight_bits_are_closer_than_four_and_packed_equals_expanded() -> Result<()> {
    for family in ["llama", "mistral", "qwen3", "phi3"] {
        let original = logits(&golden(family));
        let mut last = 0.0;
        for (format, bound) in
            [(Format::Int8 { group_size: 32 }, 0.05), (Format::Int4 { group_size: 32 }, 0.5)]
        {
            let mut model = golden(family);
            let report = quantize_model(&mut model, &QuantConfig { format, ..QuantConfig::default() })?;
            assert_eq!(report.layers.len(), 7 * model.config.num_hidden_layers, "{family}");
            let packed = logits(&model);
            let error = distance(&packed, &original);
            println!("{family} {format}: {error}");
            assert!(error > last && error < bound, "{family} {format}: {error}");
            last = error;

            dequantize_model(&mut model);
            // Packed products round their inputs to 8 bits.
            let rounding = distance(&packed, &logits(&model));
            println!("{family} {format}: {rounding} of it by inputs of 8 bits");
            assert!(rounding < 0.03, "{family} {format}: {rounding}");
        }
    }
    Ok(())
}

#[test]
fn saved_models_come_back_packed() -> Result<()> {
    for family in ["qwen3", "phi3"] {
        let mut model = golden(family);
        quantize_model(&mut model, &QuantConfig::default())?;
        let folder = tempfile::tempdir().expect("temporary folder");
        model.save(folder.path(), FloatType::F16)?;
        let again = CausalLm::load(folder.path(), &Device::flex())?;
        let parts = |model: &CausalLm| {
            let linears = model.linears().filter_map(|(path, linear)| match &linear.weight {
                Weight::Packed(w) => Some((path, w.format(), w.codes().to_vec(), w.scales().to_vec())),
                _ => None,
            });
            linears.collect::<Vec<_>>()
        };
        assert_eq!(parts(&again), parts(&model), "{family}");
        // The embedding was rounded to f16, which can move an input of 8 bits by a step.
        let rounding = distance(&logits(&again), &logits(&model));
        assert!(rounding < 0.03, "{family}: {rounding}");
        let stored = std::fs::metadata(folder.path().join("model.safetensors")).expect("written").len();
        let dense = model.config.num_parameters() as u64 * 4;
        assert!(stored * 3 < dense, "{family}: {stored} of {dense} bytes");

        // Saving what was loaded changes nothing.
        again.save(folder.path(), FloatType::F16)?;
        assert_eq!(logits(&CausalLm::load(folder.path(), &Device::flex())?), logits(&again));
    }
    Ok(())
}

#[test]
fn what_cannot_be_packed_or_loaded_is_named() {
    let config = QuantConfig {
        format: Format::Int4 { group_size: 128 },
        skip: vec!["*".into()],
        ..QuantConfig::default()
    };
    assert!(matches!(quantize_model(&mut golden("qwen3"), &config), Err(Error::NothingToPack { .. })));
}
