//! Checkpoints with packed weights: those of other libraries, and our own.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData};
use half::f16;
use safetensors::SafeTensors;
use slm_core::model::FloatType;
use slm_core::nn::Weight;
use slm_core::{CausalLm, KvCache, Result};
use slm_kernels::{Format, PackedTensor};

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

fn device() -> Device {
    Device::flex()
}

/// What was recorded.
struct Reference {
    ids: TensorData,
    logits: Vec<f32>,
    /// Those of llama.cpp, which rounds what it multiplies with.
    llama_cpp: Option<Vec<f32>>,
}

fn reference(path: &Path) -> Reference {
    let bytes = std::fs::read(path).expect("the golden is in the repository");
    let tensors = SafeTensors::deserialize(&bytes).expect("valid");
    let ids = tensors.tensor("input_ids").expect("recorded");
    let (words, _) = ids.data().as_chunks::<8>();
    let values: Vec<i32> = words.iter().map(|b| i64::from_le_bytes(*b) as i32).collect();
    let floats = |name: &str| -> Option<Vec<f32>> {
        let tensor = tensors.tensor(name).ok()?;
        Some(tensor.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    };
    Reference {
        ids: TensorData::new(values, ids.shape().to_vec()),
        logits: floats("logits").expect("recorded"),
        llama_cpp: floats("llama_cpp"),
    }
}

fn logits(model: &CausalLm, ids: &TensorData) -> Vec<f32> {
    let ids = Tensor::<2, Int>::from_data(ids.clone(), &device());
    model.forward(ids, &mut KvCache::new()).expect("a short text").try_into_vec_as().expect("on the host")
}

/// The largest and the root-mean-square difference, in deviations of `want`.
fn differences(got: &[f32], want: &[f32]) -> (f32, f32) {
    assert_eq!(got.len(), want.len());
    let count = want.len() as f32;
    let mean = want.iter().sum::<f32>() / count;
    let deviation = (want.iter().map(|w| (w - mean).powi(2)).sum::<f32>() / count).sqrt();
    let off: Vec<f32> = got.iter().zip(want).map(|(g, w)| (g - w).abs() / deviation).collect();
    (off.iter().copied().fold(0.0, f32::max), (off.iter().map(|o| o * o).sum::<f32>() / count).sqrt())
}

fn packed_layers(model: &CausalLm) -> usize {
    model.linears().filter(|(_, linear)| matches!(linear.weight, Weight::Packed(_))).count()
}

/// The same weights in f32, so that what is left of a difference is how the file was read.
fn expanded(model: &CausalLm) -> CausalLm {
    let mut model = model.clone();
    let dense = |weight: &mut Weight| *weight = Weight::Dense(weight.to_dense(&device()));
    model.for_each_linear(&mut |_, linear| dense(&mut linear.weight));
    dense(&mut model.embed_tokens);
    if let Some(head) = &mut model.lm_head {
        dense(&mut head.weight);
    }
    model
}

#[test]
fn checkpoints_of_other_libraries_compute_as_there() -> Result<()> {
    // Minimums and nested scales are rounded to half precision.
    for (name, layers, exact) in
        [("gptq", 7, 1e-2), ("gptq-8bit", 7, 1e-3), ("awq", 7, 1e-2), ("nf4", 7, 1e-2)]
    {
        let folder = goldens().join("quantized").join(name);
        let model = CausalLm::load(&folder, &device())?;
        assert_eq!(packed_layers(&model), layers, "{name}");
        let reference = reference(&folder.join("reference.safetensors"));
        let of = |model: &CausalLm| differences(&logits(model, &reference.ids), &reference.logits);
        let (file, product) = (of(&expanded(&model)).0, of(&model).1);
        println!("{name}: {file:e} by the weights, {product:e} by the products");
        assert!(file < exact, "{name}: {file}");
        assert!(product < 0.03, "{name}: {product}");
    }
    Ok(())
}

#[test]
fn files_of_llama_cpp_compute_as_there() -> Result<()> {
    let all = [
        ("llama-q4_0", 14),
        ("llama-q8_0", 14),
        ("mistral-q4_0", 15),
        ("qwen2-q4_0", 15),
        ("qwen3-q4_0", 14),
        // Fused projections are split.
        ("phi3-q4_0", 15),
        ("gemma3-q4_0", 14),
        // Q4_K, Q5_K and Q6_K, IQ4_NL, and what llama.cpp falls back to for narrow rows: Q5_0, Q5_1, Q8_0.
        ("wide-q4_k_m", 7),
        ("wide-q5_k_m", 7),
        ("wide-iq4_nl", 7),
    ];
    for (name, layers) in all {
        let path = goldens().join("gguf").join(format!("{name}.gguf"));
        let model = CausalLm::load(&path, &device())?;
        assert_eq!(packed_layers(&model), layers, "{name}");
        assert!(matches!(model.embed_tokens, Weight::Packed(_)), "{name}");
        let reference = reference(&path.with_extension("safetensors"));
        let of = |model: &CausalLm| differences(&logits(model, &reference.ids), &reference.logits);
        let (file, product) = (of(&expanded(&model)).0, of(&model).1);
        let theirs = reference.llama_cpp.as_ref().map(|l| differences(l, &reference.logits).1);
        println!("{name}: {file:e} by the weights, {product:e} by the products, {theirs:?} in llama.cpp");
        assert!(file < 1e-4, "{name}: {file}");
        assert!(product < theirs.map_or(0.05, |theirs| 1.5 * theirs), "{name}: {product}, {theirs:?}");
    }
    Ok(())
}

/// A model whose matrices are packed in every format in turn.
fn mixed(family: &str) -> Result<CausalLm> {
    let mut model = CausalLm::load(&goldens().join(family), &device())?;
    let formats = ["int4-g32", "int8-g32", "int4a-g32", "nf4-g32", "q4_0", "q5_1", "q8_0"];
    let mut next = 0;
    let mut pack = |weight: &mut Weight| {
        let format: Format = formats[next % formats.len()].parse().expect("a format");
        next += 1;
        let [rows, cols] = weight.dims();
        let values: Vec<f32> = weight.to_dense(&device()).try_into_vec_as().expect("on the host");
        *weight = Weight::Packed(PackedTensor::quantize(&values, rows, cols, format).expect("fits"));
    };
    model.for_each_linear(&mut |_, linear| pack(&mut linear.weight));
    pack(&mut model.embed_tokens);
    Ok(model)
}

#[test]
fn our_own_checkpoints_keep_every_format() -> Result<()> {
    let ids = TensorData::from([[1, 5, 9, 40, 7, 300]]);
    for family in ["llama", "phi3", "qwen2", "gemma3"] {
        let model = mixed(family)?;
        let folder = tempfile::tempdir().expect("a folder");
        model.save(folder.path(), FloatType::F32)?;
        let again = CausalLm::load(folder.path(), &device())?;
        assert_eq!(again.config, model.config);
        let pairs = model.linears().zip(again.linears());
        for ((path, a), (_, b)) in pairs {
            match (&a.weight, &b.weight) {
                (Weight::Packed(a), Weight::Packed(b)) => assert_eq!(a, b, "{family} {path}"),
                (Weight::Dense(_), Weight::Dense(_)) => {}
                other => panic!("{family} {path}: {other:?}"),
            }
        }
        assert_eq!(logits(&again, &ids), logits(&model, &ids), "{family}");
        again.save(&folder.path().join("again"), FloatType::F32)?;
        let bytes = |folder: &Path| std::fs::read(folder.join("model.safetensors")).expect("written");
        assert_eq!(bytes(folder.path()), bytes(&folder.path().join("again")), "{family}");
    }
    Ok(())
}

#[test]
fn the_layout_of_gptq_is_written_and_read() -> Result<()> {
    for (family, format) in [("llama", "int4-g32"), ("phi3", "int4-g64"), ("qwen2", "int8-g32")] {
        let mut model = CausalLm::load(&goldens().join(family), &device())?;
        model.for_each_linear(&mut |_, linear| {
            let [rows, cols] = linear.weight.dims();
            let values: Vec<f32> = linear.weight.to_dense(&device()).try_into_vec_as().expect("on the host");
            let format = format.parse().expect("a format");
            linear.weight =
                Weight::Packed(PackedTensor::quantize(&values, rows, cols, format).expect("fits"));
        });
        let folder = tempfile::tempdir().expect("a folder");
        model.save_gptq(folder.path(), FloatType::F32)?;
        let again = CausalLm::load(folder.path(), &device())?;
        for ((path, a), (_, b)) in model.linears().zip(again.linears()) {
            match (&a.weight, &b.weight) {
                (Weight::Packed(a), Weight::Packed(b)) => assert_eq!(a, b, "{family} {path}"),
                (Weight::Dense(_), Weight::Dense(_)) => assert_eq!(path, "lm_head"),
                other => panic!("{family} {path}: {other:?}"),
            }
        }
    }
    Ok(())
}

/// Zero points of 1 and more go into the first version of the layout, those of 0 into the second, and minimums between
/// codes into none.
#[test]
fn zero_points_of_gptq_are_written_and_read() -> Result<()> {
    for (zeros, version) in [([1_u8, 8, 15], "gptq"), ([0, 8, 15], "gptq_v2")] {
        let mut model = CausalLm::load(&goldens().join("llama"), &device())?;
        model.for_each_linear(&mut |_, linear| {
            let format = Format::Int4Asym { group_size: 32 };
            let [rows, cols] = linear.weight.dims();
            let groups = rows * cols / 32;
            let codes: Vec<u8> = (0..rows * cols / 2).map(|i| (i * 37 % 251) as u8).collect();
            let scales: Vec<f16> = (0..groups).map(|i| f16::from_f32(0.01 + i as f32 * 1e-5)).collect();
            let minimum = |(i, s): (usize, &f16)| f16::from_f32(-f32::from(zeros[i % 3]) * s.to_f32());
            let minimums: Vec<f16> = scales.iter().enumerate().map(minimum).collect();
            let packed = PackedTensor::from_parts(codes, scales, Some(minimums.into()), [rows, cols], format);
            linear.weight = Weight::Packed(packed.expect("lengths that fit"));
        });
        let folder = tempfile::tempdir().expect("a folder");
        model.save_gptq(folder.path(), FloatType::F32)?;
        let config = std::fs::read_to_string(folder.path().join("config.json")).expect("written");
        assert!(config.contains(&format!("\"checkpoint_format\": \"{version}\"")), "{config}");
        let again = CausalLm::load(folder.path(), &device())?;
        for ((path, a), (_, b)) in model.linears().zip(again.linears()) {
            if let (Weight::Packed(a), Weight::Packed(b)) = (&a.weight, &b.weight) {
                assert_eq!(a, b, "{path}");
            } else {
                assert_eq!(path, "lm_head");
            }
        }
    }
    let mut model = CausalLm::load(&goldens().join("llama"), &device())?;
    model.for_each_linear(&mut |_, linear| {
        let [rows, cols] = linear.weight.dims();
        let values: Vec<f32> = linear.weight.to_dense(&device()).try_into_vec_as().expect("on the host");
        let packed = PackedTensor::quantize(&values, rows, cols, Format::Int4Asym { group_size: 32 });
        linear.weight = Weight::Packed(packed.expect("fits"));
    });
    let folder = tempfile::tempdir().expect("a folder");
    let error = model.save_gptq(folder.path(), FloatType::F32).expect_err("minimums between codes");
    assert!(error.to_string().contains("hint: "), "{error}");
    Ok(())
}

#[test]
fn what_cannot_be_read_is_named() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let path = goldens().join("quantized/gptq");
        let mut config: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path.join("config.json")).expect("read")).expect("JSON");
        change(&mut config);
        std::fs::write(folder.path().join("config.json"), config.to_string()).expect("written");
        std::fs::copy(path.join("model.safetensors"), folder.path().join("model.safetensors"))
            .expect("copied");
        CausalLm::load(folder.path(), &device()).expect_err("refused").to_string()
    };
    let error = refused(&|c| c["quantization_config"]["quant_method"] = "hqq".into());
    assert!(error.contains("quant_method") && error.contains("hqq") && error.contains("awq"), "{error}");
    let error = refused(&|c| c["quantization_config"]["bits"] = 3.into());
    assert!(
        error.contains("quantization_config.bits") && error.contains("expected 4 or 8, found 3"),
        "{error}"
    );
    let error = refused(&|c| c["quantization_config"]["group_size"] = 64.into());
    assert!(error.contains("scales") && error.contains("expected"), "{error}");
    let error = refused(&|c| c["quantization_config"] = serde_json::Value::Null);
    assert!(error.contains("missing model.layers.0.self_attn.q_proj.weight"), "{error}");
    let error = refused(&|c| c["intermediate_size"] = 96.into());
    assert!(error.contains("mlp") && error.contains("expected [96, 64], found [128, 64]"), "{error}");
    Ok(())
}

#[test]
fn descriptions_that_do_not_fit_are_refused() -> Result<()> {
    let model = mixed("llama")?;
    let folder = tempfile::tempdir().expect("a folder");
    model.save(folder.path(), FloatType::F16)?;
    let path = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&path).expect("written");
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("valid");
    let whole = header.metadata().clone().expect("metadata")["slm.packed"].clone();
    let tensors = SafeTensors::deserialize(&bytes).expect("valid");
    let refused = |key: &str, text: String| {
        let metadata = Some([(key.to_owned(), text)].into());
        std::fs::write(&path, safetensors::serialize(tensors.tensors(), metadata).expect("valid"))
            .expect("written");
        CausalLm::load(folder.path(), &device()).expect_err("refused").to_string()
    };
    let error = refused("slm.quant", r#"{"version": 1, "tensors": {}}"#.into());
    assert!(error.contains("version 1") && error.contains("hint: quantize the model again"), "{error}");
    let error = refused("slm.packed", whole.replace("\"version\":2", "\"version\":3"));
    assert!(error.contains("version 3"), "{error}");
    let error = refused("slm.packed", whole.replace("int4-g32", "int3-g32"));
    assert!(error.contains("model.safetensors") && error.contains("int3-g32"), "{error}");
    let error = refused("slm.packed", whole.replace("int8-g32", "int8-g64"));
    assert!(error.contains("scales: expected"), "{error}");
    let error = refused("slm.packed", whole.replace("self_attn.q_proj", "self_attn.other"));
    assert!(error.contains("self_attn.other") && error.contains("there is no tensor"), "{error}");
    let error = refused("slm.packed", "{".into());
    assert!(error.contains("slm.packed"), "{error}");
    Ok(())
}
