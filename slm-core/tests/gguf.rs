//! GGUF files: ours and llama.cpp's, read and written; `tests/goldens/check_gguf.py` shows ours to llama.cpp.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData, Tolerance};
use slm_core::gguf::{GgufFile, GgufOptions};
use slm_core::model::FloatType;
use slm_core::{CausalLm, KvCache, LocalModel, Result};

const FAMILIES: [&str; 14] = [
    "llama", "mistral", "qwen3", "phi3", "qwen2", "gemma2", "gemma3", "phi4", "smollm3", "olmo2", "granite",
    "linear", "dynamic", "yarn",
];

fn golden(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(family)
}

fn device() -> Device {
    Device::flex()
}

fn logits(model: &CausalLm) -> TensorData {
    let ids: Vec<i32> = (0..40).map(|i| (i * 37 + 11) % 400).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, 40]), &device());
    model.forward(ids, &mut KvCache::new()).expect("a short text").into_data()
}

#[test]
fn every_family_survives_a_file() -> Result<()> {
    // With this variable, the files are left there for `check_gguf.py`.
    let kept = std::env::var_os("SLM_GGUF_OUT").map(PathBuf::from);
    let folder = tempfile::tempdir().expect("a folder");
    for family in FAMILIES {
        println!("{family}");
        let model = LocalModel::load(&golden(family), &device())?;
        let path = kept.as_deref().unwrap_or(folder.path()).join(format!("{family}.gguf"));
        let options = GgufOptions { float: FloatType::F32, name: family.into() };
        let export = model.save_gguf(&path, &options)?;
        println!("{:?}", export.differences);
        let again = LocalModel::load(&path, &device())?;
        let mut config = model.model.config.clone();
        config.multipliers.attention = again.model.config.multipliers.attention;
        assert_eq!(again.model.config, config, "{family}");
        assert_eq!(again.eos, model.eos);
        logits(&again.model).assert_approx_eq(&logits(&model.model), Tolerance::<f32>::absolute(2e-5));
        let text = "the patient's dose in 2024: 37 tokens \u{e9}\u{4f60}";
        assert_eq!(again.tokenizer.encode(text, true)?, model.tokenizer.encode(text, true)?, "{family}");
        assert_eq!(GgufFile::open(&path)?.header().version, 3);
    }
    Ok(())
}
