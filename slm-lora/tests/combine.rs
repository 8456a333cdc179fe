//! Sums of adapters against PEFT's `add_weighted_adapter`, recorded.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData};
use safetensors::SafeTensors;
use slm_core::{CausalLm, KvCache};
use slm_lora::{Combination, LoraAdapter, Result, combine};

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/combine").join(name)
}

fn base() -> CausalLm {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slm-core/tests/goldens/dynamic");
    CausalLm::load(&path, &Device::flex()).expect("the golden is in the repository")
}

fn adapter(name: &str) -> Result<LoraAdapter> {
    LoraAdapter::load(&here(name), &base().config, &Device::flex())
}

/// Of the last position.
fn logits(adapter: &LoraAdapter) -> Result<Tensor<2>> {
    let mut model = base();
    adapter.attach(&mut model)?;
    let ids = vec![5, 9, 200, 31, 7, 411, 1, 2, 3, 4, 5, 6];
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [2, 6]), &model.device());
    Ok(model.next_logits(ids, &mut KvCache::new())?)
}

fn recorded(name: &str) -> Tensor<2> {
    let bytes = std::fs::read(here("reference.safetensors")).expect("golden");
    let tensors = SafeTensors::deserialize(&bytes).expect("valid");
    let view = tensors.tensor(name).expect("recorded");
    let (quads, _) = view.data().as_chunks::<4>();
    let values: Vec<f32> = quads.iter().map(|b| f32::from_le_bytes(*b)).collect();
    Tensor::from_data(TensorData::new(values, view.shape().to_vec()), &Device::flex())
}

fn far(a: Tensor<2>, b: Tensor<2>) -> f32 {
    (a - b).abs().max().into_scalar::<f32>()
}

#[test]
fn sums_are_those_of_peft() -> Result<()> {
    let (a, b) = (adapter("a")?, adapter("b")?);
    let ways = [
        ("linear", Combination::Linear),
        ("cat", Combination::Cat),
        ("svd", Combination::Svd { rank: 3 }),
        ("ties", Combination::Ties { density: 0.5 }),
        ("ties_svd", Combination::TiesSvd { density: 0.4, rank: 5 }),
        // At full density nothing is left to chance.
        ("dare_linear", Combination::Dare { density: 1.0, seed: 0 }),
        ("dare_ties", Combination::DareTies { density: 1.0, seed: 0 }),
    ];
    for (name, way) in ways {
        let sum = combine(&[(&a, 0.7), (&b, 1.3)], way)?;
        let far = far(logits(&sum)?, recorded(name));
        assert!(far < 1e-4, "{name}: {far}");
    }
    let minus = combine(&[(&a, 1.0), (&b, -0.5)], Combination::Linear)?;
    let far = far(logits(&minus)?, recorded("minus"));
    assert!(far < 1e-4, "minus: {far}");
    Ok(())
}

/// What DARE leaves out is chance, but the mean over many draws is the sum itself.
#[test]
fn dare_keeps_the_mean() -> Result<()> {
    let (a, b) = (adapter("a")?, adapter("b")?);
    let sum = |seed: u64, density: f32| -> Result<Tensor<2>> {
        let all = combine(&[(&a, 0.7), (&b, 1.3)], Combination::Dare { density, seed })?;
        Ok(all.layers["model.layers.0.self_attn.q_proj"].a.clone())
    };
    let want = sum(0, 1.0)?;
    let one = sum(3, 0.5)?;
    assert_eq!(one.clone().into_data(), sum(3, 0.5)?.into_data());
    let mut mean = want.zeros_like();
    for seed in 0..400 {
        mean = mean + sum(seed, 0.5)?.div_scalar(400.0);
    }
    let size = want.clone().abs().max().into_scalar::<f32>();
    assert!(far(one, want.clone()) > 0.3 * size);
    assert!(far(mean, want) < 0.3 * size);
    Ok(())
}

#[test]
fn sums_without_meaning_are_refused() -> Result<()> {
    let a = adapter("a")?;
    assert!(combine(&[], Combination::Cat).is_err());
    assert!(combine(&[(&a, 1.0)], Combination::Ties { density: 0.0 }).is_err());
    assert!(combine(&[(&a, 1.0)], Combination::Svd { rank: 0 }).is_err());
    let mut narrow = a.clone();
    for layer in narrow.layers.values_mut() {
        layer.a = layer.a.clone().narrow(0, 0, 2);
        layer.b = layer.b.clone().narrow(1, 0, 2);
    }
    let error = combine(&[(&a, 1.0), (&narrow, 1.0)], Combination::Linear).expect_err("ranks").to_string();
    assert!(error.contains("hint: use cat or svd"), "{error}");
    assert!(combine(&[(&a, 1.0), (&narrow, 1.0)], Combination::Cat).is_ok());
    Ok(())
}
