//! What loading accepts, what it refuses, and how it says so.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use slm_core::model::{FloatType, LoadOptions};
use slm_core::nn::Weight;
use slm_core::{CausalLm, Error, KvCache, ModelConfig, Result};

fn golden(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(family)
}

/// A copy of a golden directory that a test may spoil.
fn copy(family: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("temporary folder");
    for file in ["config.json", "model.safetensors"] {
        fs::copy(golden(family).join(file), folder.path().join(file)).expect("copy");
    }
    folder
}

fn load(folder: &Path) -> Result<CausalLm> {
    CausalLm::load(folder, &Device::flex())
}

fn change_config(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
    change(&mut config);
    fs::write(path, config.to_string()).expect("write");
}

fn logits(model: &CausalLm) -> Vec<f32> {
    let ids = Tensor::<2, Int>::from_data(TensorData::from([[1, 5, 9, 40, 7, 300]]), &Device::flex());
    model.forward(ids, &mut KvCache::new()).expect("fits").try_into_vec_as().expect("readable")
}

/// Splits `model.safetensors` into two shards with an index.
fn shard(folder: &Path) {
    let path = folder.join("model.safetensors");
    let bytes = fs::read(&path).expect("read");
    let tensors = SafeTensors::deserialize(&bytes).expect("valid");
    let mut all = tensors.tensors();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let second = all.split_off(all.len() / 2);
    let mut index = json!({"weight_map": {}});
    for (part, name) in
        [(all, "model-00001-of-00002.safetensors"), (second, "model-00002-of-00002.safetensors")]
    {
        for (tensor, _) in &part {
            index["weight_map"][tensor] = name.into();
        }
        fs::write(folder.join(name), safetensors::serialize(part, None).expect("valid")).expect("write");
    }
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).expect("write");
    fs::remove_file(path).expect("remove");
}

#[test]
fn shards_load_like_one_file_and_a_truncated_one_is_named() -> Result<()> {
    let folder = copy("llama");
    let whole = logits(&load(folder.path())?);
    shard(folder.path());
    assert_eq!(logits(&load(folder.path())?), whole);

    let path = folder.path().join("model-00002-of-00002.safetensors");
    let bytes = fs::read(&path).expect("read");
    fs::write(&path, &bytes[..bytes.len() - 100]).expect("write");
    let error = load(folder.path()).expect_err("truncated").to_string();
    assert!(error.contains("model-00002-of-00002") && error.contains("hint"), "{error}");

    fs::remove_file(&path).expect("remove");
    assert!(matches!(load(folder.path()), Err(Error::Io { path: p, .. }) if p == path));
    Ok(())
}

#[test]
fn saving_gives_the_same_model_back() -> Result<()> {
    for family in ["llama", "mistral", "qwen3", "phi3", "qwen2", "gemma3", "olmo2", "granite", "smollm3"] {
        let model = load(&golden(family))?;
        let folder = tempfile::tempdir().expect("temporary folder");
        model.save(folder.path(), FloatType::F32)?;
        let again = load(folder.path())?;
        assert_eq!(again.config, model.config, "{family}");
        assert_eq!(logits(&again), logits(&model), "{family}");

        let names = |path: &Path| {
            let bytes = fs::read(path.join("model.safetensors")).expect("read");
            let tensors = SafeTensors::deserialize(&bytes).expect("valid");
            let mut names: Vec<String> = tensors.names().into_iter().map(String::from).collect();
            names.sort();
            names
        };
        assert_eq!(names(folder.path()), names(&golden(family)), "{family}");

        for (float, bound) in [(FloatType::F16, 0.05), (FloatType::Bf16, 0.8)] {
            model.save(folder.path(), float)?;
            let rounded = logits(&load(folder.path())?);
            let worst = rounded.iter().zip(logits(&model)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst > 0.0 && worst < bound, "{family} {float:?}: {worst}");
        }
    }
    Ok(())
}

#[test]
fn every_misfit_is_named_with_both_shapes() {
    let folder = copy("qwen3");
    change_config(folder.path(), |c| {
        c["intermediate_size"] = json!(96);
        c["num_hidden_layers"] = json!(1);
    });
    let error = load(folder.path()).expect_err("misfit").to_string();
    for part in ["mlp.up_proj.weight: expected [96, 64], found [128, 64]", "surplus model.layers.1."] {
        assert!(error.contains(part), "{error}");
    }
    change_config(folder.path(), |c| {
        c["intermediate_size"] = json!(128);
        c["num_hidden_layers"] = json!(3);
    });
    let error = load(folder.path()).expect_err("misfit").to_string();
    assert!(error.contains("missing model.layers.2.self_attn.q_proj.weight [128, 64]"), "{error}");
}

#[test]
fn fields_that_are_unknown_or_contradict_are_named() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change, &str); 9] = [
        ("llama", |c| c["model_type"] = json!("mamba"), "unknown architecture \"mamba\""),
        ("llama", |c| c["attention_multiplier"] = json!(0.5), "`attention_multiplier`: unknown"),
        ("llama", |c| c["num_key_value_heads"] = json!(3), "`num_key_value_heads`: 3 does not divide"),
        ("llama", |c| c["hidden_act"] = json!("gelu"), "`hidden_act`"),
        ("llama", |c| c["rope_scaling"]["rope_type"] = json!("ntk"), "unknown kind \"ntk\""),
        ("llama", |c| c["rope_scaling"]["beta_fast"] = json!(32), "`rope_scaling.beta_fast`: unknown"),
        ("llama", |c| c["vocab_size"] = json!("many"), "`vocab_size`: expected a non-negative integer"),
        ("phi3", |c| c["rope_scaling"]["long_factor"] = json!([1.0, 2.0]), "expected 8 numbers, found 2"),
        (
            "qwen3",
            |c| drop(c.as_object_mut().expect("object").remove("hidden_size")),
            "`hidden_size`: is missing",
        ),
    ];
    for (family, change, expected) in cases {
        let folder = copy(family);
        change_config(folder.path(), change);
        let error = load(folder.path()).expect_err(expected).to_string();
        assert!(error.contains(expected), "expected {expected:?} in {error:?}");
    }
}

#[test]
fn corrupt_files_give_an_error() {
    let folder = copy("llama");
    let path = folder.path().join("model.safetensors");
    let good = fs::read(&path).expect("read");
    let mut huge = good.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let spoiled = [Vec::new(), good[..7].to_vec(), good[..good.len() / 2].to_vec(), huge, vec![0xff; 4096]];
    for bytes in spoiled {
        fs::write(&path, bytes).expect("write");
        let error = load(folder.path()).expect_err("corrupt");
        assert!(matches!(error, Error::Weights { .. } | Error::Io { .. }), "{error}");
    }
    fs::write(folder.path().join("config.json"), "{\"hidden_size\": ").expect("write");
    assert!(matches!(load(folder.path()), Err(Error::Json { .. })));
}

#[test]
fn every_family_is_written_as_it_was_read() -> Result<()> {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let mut families = 0;
    for entry in fs::read_dir(goldens).expect("the goldens").flatten() {
        let path = entry.path().join("config.json");
        if !entry.path().join("reference.safetensors").exists() {
            continue;
        }
        let config = ModelConfig::from_file(&path)?;
        assert_eq!(ModelConfig::from_value(config.to_value())?, config, "{}", path.display());
        families += 1;
    }
    assert!(families >= 14, "{families}");
    Ok(())
}

#[test]
fn weights_keep_the_type_of_the_file_and_compute_alike() -> Result<()> {
    for family in ["llama", "phi3", "gemma2"] {
        let (exact, folder) = (load(&golden(family))?, copy(family));
        let want = logits(&exact);
        // Inputs are rounded as weights in bf16 are: what these are worth in f32 is as far off.
        for (float, tolerance, rounding) in [(FloatType::F16, 0.06, 1e-4), (FloatType::Bf16, 0.8, 0.8)] {
            exact.save(folder.path(), float)?;
            let stored = load(folder.path())?;
            let Weight::Dense(embedding) = &stored.embed_tokens else { panic!("nothing is packed") };
            assert_eq!(embedding.dtype(), float.into());
            assert_eq!(stored.norm.weight.dtype(), FloatType::F32.into());
            let got = logits(&stored);
            let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < tolerance && worst > 0.0, "{family} {float:?}: {worst}");
            let wide = LoadOptions { float: Some(FloatType::F32) };
            let widened = logits(&CausalLm::load_with(folder.path(), wide, &Device::flex())?);
            let apart = got.iter().zip(&widened).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < rounding, "{family} {float:?}: the same weights, widened: {apart}");
        }
    }
    Ok(())
}

/// Found by fuzzing: `tokenizers` alone panics on it.
#[test]
fn a_tokenizer_that_is_no_json_is_an_error() {
    let broken = r#"{"decoder": [["e ,"x"it"]]}"#;
    assert!(matches!(slm_core::Tokenizer::from_json(broken), Err(Error::Tokenizer { .. })));
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("tokenizer.json");
    fs::write(&path, broken).expect("write");
    assert!(matches!(slm_core::Tokenizer::load(&path), Err(Error::Tokenizer { .. })));
}
