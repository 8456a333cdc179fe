//! Parity with `transformers` on tiny random models of every family; `tests/goldens/make.py` made the references.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData, Tolerance};
use safetensors::SafeTensors;
use slm_core::{CausalLm, GenerationConfig, KvCache, LocalModel, Result};

const FAMILIES: [&str; 14] = [
    "llama", "mistral", "qwen3", "phi3", "qwen2", "gemma2", "gemma3", "phi4", "smollm3", "olmo2", "granite",
    "linear", "dynamic", "yarn",
];
const MAX_ABS: f32 = 1e-4;

fn golden(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(family)
}

/// `reference.safetensors` of a family.
struct Reference(Vec<u8>);

impl Reference {
    fn open(family: &str) -> Self {
        Self(
            std::fs::read(golden(family).join("reference.safetensors"))
                .expect("the golden is in the repository"),
        )
    }

    fn floats(&self, name: &str) -> TensorData {
        let tensors = SafeTensors::deserialize(&self.0).expect("valid");
        let view = tensors.tensor(name).expect("recorded");
        let values: Vec<f32> =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        TensorData::new(values, view.shape().to_vec())
    }

    fn ids(&self, name: &str) -> (Vec<i32>, [usize; 2]) {
        let tensors = SafeTensors::deserialize(&self.0).expect("valid");
        let view = tensors.tensor(name).expect("recorded");
        let ids =
            view.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("8 bytes")) as i32);
        (ids.collect(), [view.shape()[0], view.shape()[1]])
    }

    fn input(&self) -> Tensor<2, Int> {
        let (ids, shape) = self.ids("input_ids");
        Tensor::from_data(TensorData::new(ids, shape), &device())
    }
}

fn device() -> Device {
    Device::flex()
}

fn assert_close<const D: usize>(got: Tensor<D>, want: &TensorData) {
    got.into_data().assert_approx_eq(want, Tolerance::<f32>::absolute(MAX_ABS));
}

#[test]
fn logits_equal_those_of_transformers() -> Result<()> {
    for family in FAMILIES {
        let (model, reference) = (CausalLm::load(&golden(family), &device())?, Reference::open(family));
        println!("{family}");
        assert_close(model.forward(reference.input(), &mut KvCache::new())?, &reference.floats("logits"));
        let short = reference.input().narrow(1, 0, 12);
        assert_close(model.forward(short, &mut KvCache::new())?, &reference.floats("logits_12"));
        let hidden = model.hidden(reference.input(), None)?;
        assert_close(hidden, &reference.floats(&format!("hidden.{}", model.config.num_hidden_layers)));
    }
    Ok(())
}

/// For longrope on either side of the original context length (16), for dynamic scaling below it: cached keys keep
/// the rotary factors that they were made with, as in `transformers`, so no split crosses the border there.
#[test]
fn cached_decoding_equals_one_pass() -> Result<()> {
    for family in FAMILIES {
        let (model, reference) = (CausalLm::load(&golden(family), &device())?, Reference::open(family));
        let cases = [(16, [5, 1]), (40, [20, 7])];
        for (total, splits) in cases.into_iter().filter(|c| family != "dynamic" || c.0 == 16) {
            let ids = reference.input().narrow(1, 0, total);
            let want = model.forward(ids.clone(), &mut KvCache::new())?;
            let mut cache = KvCache::new();
            let mut parts = vec![model.forward(ids.clone().narrow(1, 0, splits[0]), &mut cache)?];
            parts.push(model.forward(ids.clone().narrow(1, splits[0], splits[1]), &mut cache)?);
            for at in splits[0] + splits[1]..total {
                let last = model.next_logits(ids.clone().narrow(1, at, 1), &mut cache)?;
                parts.push(last.unsqueeze_dim(1));
            }
            assert_eq!(cache.len(), total);
            let all = Tensor::cat(parts, 1);
            println!("{family} {total}");
            assert_close(all, &want.into_data());
        }
    }
    Ok(())
}

#[test]
fn greedy_ids_equal_those_of_transformers() -> Result<()> {
    for family in FAMILIES {
        let reference = Reference::open(family);
        let mut model = LocalModel::load(&golden(family), &device())?;
        model.eos.clear();
        let (input, _) = reference.ids("input_ids");
        let prompt: Vec<u32> = input[..12].iter().map(|id| *id as u32).collect();
        let config = GenerationConfig { max_new_tokens: 16, ..GenerationConfig::default() };
        let made = model.generate(&prompt, &config, &mut |_| std::ops::ControlFlow::Continue(()))?;
        let want: Vec<u32> = reference.ids("greedy_12_16").0.iter().map(|id| *id as u32).collect();
        assert_eq!(made.ids, want, "{family}");
    }
    Ok(())
}

#[test]
fn log_probabilities_average_to_the_loss() -> Result<()> {
    // `score` need not read the last token, and with dynamic scaling the length changes all logits.
    for family in FAMILIES.into_iter().filter(|f| *f != "dynamic") {
        let (model, reference) = (LocalModel::load(&golden(family), &device())?, Reference::open(family));
        let (ids, [rows, length]) = reference.ids("input_ids");
        let mut total = 0.0;
        for row in ids.chunks_exact(length) {
            let row: Vec<u32> = row.iter().map(|id| *id as u32).collect();
            total += model.score(&row)?.iter().sum::<f32>();
        }
        let loss = -total / (rows * (length - 1)) as f32;
        let want = reference.floats("loss").try_to_vec::<f32>().expect("f32")[0];
        assert!((loss - want).abs() < 1e-4, "{family}: {loss} instead of {want}");
    }
    Ok(())
}
