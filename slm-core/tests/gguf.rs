//! GGUF files, written and read again; `tests/goldens/check_gguf.py` shows them to llama.cpp.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Distribution, Int, Tensor, TensorData, Tolerance};
use slm_core::gguf::{GgufFile, GgufHeader, GgufOptions, GgufValue};
use slm_core::model::FloatType;
use slm_core::nn::{Adapter, Weight};
use slm_core::{CausalLm, ChatTemplate, KvCache, LocalModel, Result};
use slm_kernels::PackedTensor;

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

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as().expect("on the host")
}

fn floats(file: &GgufFile, name: &str) -> (Vec<f32>, Vec<usize>) {
    let tensor = file.tensor(name).expect("written");
    let (quads, _) = file.bytes(tensor).as_chunks::<4>();
    (quads.iter().map(|b| f32::from_le_bytes(*b)).collect(), tensor.shape.clone())
}

#[test]
fn every_family_survives_a_file() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    for family in FAMILIES {
        println!("{family}");
        let model = LocalModel::load(&golden(family), &device())?;
        let path = folder.path().join(format!("{family}.gguf"));
        let options = GgufOptions { float: FloatType::F32, name: family.into() };
        let export = model.save_gguf(&path, &options)?;
        let expected = match family {
            "mistral" | "qwen2" => Some("more than 8 tokens"),
            "dynamic" => Some("more than 16 tokens"),
            "phi3" | "phi4" => Some("chooses between the factors"),
            "smollm3" => Some("every fourth layer"),
            _ => None,
        };
        assert_eq!(export.differences.len(), usize::from(expected.is_some()), "{:?}", export.differences);
        assert!(expected.is_none_or(|text| export.differences[0].contains(text)), "{:?}", export.differences);
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

/// Every matrix in a format of its own.
fn packed(family: &str, formats: &[&str]) -> Result<LocalModel> {
    let mut model = LocalModel::load(&golden(family), &device())?;
    let mut next = 0;
    let mut pack = |weight: &mut Weight| {
        let format = formats[next % formats.len()].parse().expect("a format");
        next += 1;
        let [rows, cols] = weight.dims();
        let numbers = values(weight.to_dense(&device()));
        *weight = Weight::Packed(PackedTensor::quantize(&numbers, rows, cols, format).expect("fits"));
    };
    model.model.for_each_linear(&mut |_, linear| pack(&mut linear.weight));
    pack(&mut model.model.embed_tokens);
    Ok(model)
}

#[test]
fn packed_weights_are_written_as_they_are() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.gguf");
    let formats = ["int4-g32", "int8-g64", "int4a-g64", "q4_1", "q5_0", "q8_0", "int4-g64"];
    for family in ["llama", "qwen3", "olmo2"] {
        // Half as wide: groups of 64 do not fit.
        let formats = if family == "olmo2" { &["int4-g32", "q5_1", "int8-g32"][..] } else { &formats[..] };
        let model = packed(family, formats)?;
        let export =
            model.save_gguf(&path, &GgufOptions { float: FloatType::F32, ..GgufOptions::default() })?;
        assert!(export.tensors["Q4_0"] > 0 && export.tensors["Q8_0"] > 0, "{:?}", export.tensors);
        let again = LocalModel::load(&path, &device())?;
        for ((name, a), (_, b)) in model.model.linears().zip(again.model.linears()) {
            assert_eq!(values(a.weight.to_dense(&device())), values(b.weight.to_dense(&device())), "{name}");
        }
        let embedding = |m: &LocalModel| values(m.model.embed_tokens.to_dense(&device()));
        assert_eq!(embedding(&model), embedding(&again));
    }
    // Parts of different types cannot be stacked, and NF4 is no type there: numbers, then.
    let model = packed("phi3", &["int4-g32", "int8-g32", "nf4-g32"])?;
    let export = model.save_gguf(&path, &GgufOptions::default())?;
    assert!(export.tensors["F16"] > 0, "{:?}", export.tensors);
    let again = LocalModel::load(&path, &device())?;
    for ((name, a), (_, b)) in model.model.linears().zip(again.model.linears()) {
        let (a, b) = (a.weight.to_dense(&device()), b.weight.to_dense(&device()));
        a.into_data().assert_approx_eq(&b.into_data(), Tolerance::<f32>::relative(1e-3).set_absolute(1e-4));
        println!("{name}");
    }
    Ok(())
}

/// Random adapters of two ranks on all linear layers.
fn adapted(family: &str) -> Result<CausalLm> {
    let mut model = CausalLm::load(&golden(family), &device())?;
    let mut index = 0;
    model.for_each_linear(&mut |_, linear| {
        let [rows, cols] = linear.weight.dims();
        let rank = if index % 2 == 0 { 2 } else { 4 };
        index += 1;
        let random = |shape: [usize; 2]| Tensor::random(shape, Distribution::Normal(0.0, 0.1), &device());
        linear.adapter = Some(Adapter::new(random([rank, cols]), random([rows, rank]), 0.5 * index as f32));
    });
    Ok(model)
}

/// `scale · B · A` of a file, rows in its order.
fn delta(file: &GgufFile, name: &str) -> (Vec<f32>, usize) {
    let (a, a_shape) = floats(file, &format!("{name}.lora_a"));
    let (b, b_shape) = floats(file, &format!("{name}.lora_b"));
    let (rank, cols) = (a_shape[0], a_shape[1]);
    assert_eq!(b_shape[1], rank);
    let alpha = file.value("adapter.lora.alpha").and_then(GgufValue::as_f64).expect("written") as f32;
    let product = |row: usize, col: usize| -> f32 {
        (0..rank).map(|r| b[row * rank + r] * a[r * cols + col]).sum::<f32>() * alpha / rank as f32
    };
    ((0..b_shape[0]).flat_map(|row| (0..cols).map(move |col| product(row, col))).collect(), cols)
}

#[test]
fn adapters_are_written_in_the_order_of_the_file() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    for family in ["llama", "qwen3", "phi3", "gemma3"] {
        let model = adapted(family)?;
        let path = folder.path().join(format!("{family}.gguf"));
        model.save_gguf_adapter(&path)?;
        let file = GgufFile::open(&path)?;
        assert_eq!(file.value("general.type").and_then(GgufValue::as_str), Some("adapter"));
        let update = |name: &str| {
            let (_, linear) = model.linears().find(|(path, _)| path.ends_with(name)).expect("a layer");
            values(linear.adapter.as_ref().expect("an adapter").delta())
        };
        let close = |got: &[f32], want: &[f32]| {
            assert_eq!(got.len(), want.len());
            assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-4), "{family}");
        };
        close(&delta(&file, "blk.0.ffn_down.weight").0, &update("layers.0.mlp.down_proj"));
        if family == "phi3" {
            let parts = ["q_proj", "k_proj", "v_proj"].map(|n| update(&format!("layers.1.self_attn.{n}")));
            close(&delta(&file, "blk.1.attn_qkv.weight").0, &parts.concat());
            continue;
        }
        let (got, cols) = delta(&file, "blk.0.attn_k.weight");
        let want = update("layers.0.self_attn.k_proj");
        let half = model.config.head_dim / 2;
        // Row 1 of a head there is the first row of the second half here, in Llama alone.
        let second = if family == "llama" { half } else { 1 };
        close(&got[cols..2 * cols], &want[second * cols..(second + 1) * cols]);
    }
    let plain = CausalLm::load(&golden("llama"), &device())?;
    let error = plain.save_gguf_adapter(&folder.path().join("none.gguf")).expect_err("nothing to write");
    assert!(error.to_string().contains("no layer of the model has an adapter"), "{error}");
    Ok(())
}

#[test]
fn a_modelfile_says_what_ollama_needs() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model = LocalModel::load(&golden("qwen3"), &device())?;
    let chat = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}\
                {% if add_generation_prompt %}<|assistant|>{% endif %}";
    model.template = Some(ChatTemplate::new(chat, "", "<|endoftext|>")?);
    model.save_modelfile(&folder.path().join("expert.gguf"))?;
    let text = std::fs::read_to_string(folder.path().join("Modelfile")).expect("written");
    let template = "{{ if .System }}<|system|>{{ .System }}<|end|>\n{{ end }}<|user|>{{ .Prompt }}<|end|>\n\
                    <|assistant|>{{ .Response }}<|end|>\n";
    let want = format!(
        "FROM ./expert.gguf\nTEMPLATE \"\"\"{template}\"\"\"\nPARAMETER stop \"<|endoftext|>\"\nPARAMETER num_ctx 256\n"
    );
    assert_eq!(text, want);
    Ok(())
}

#[test]
fn tokenizer_template_and_end_survive_a_file() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.gguf");
    let mut model = LocalModel::load(&golden("qwen3"), &device())?;
    model.eos = vec![3, 0, 7];
    let templates = BTreeMap::from([
        ("default".to_owned(), "{{ bos_token }}a".to_owned()),
        ("tool_use".to_owned(), "b".to_owned()),
    ]);
    model.template = Some(ChatTemplate::named(templates, "<|endoftext|>", "<|endoftext|>")?);
    model.save_gguf(&path, &GgufOptions::default())?;
    let again = LocalModel::load(&path, &device())?;
    assert_eq!(again.eos, model.eos);
    let (a, b) = (model.template.expect("set"), again.template.expect("read"));
    assert_eq!(a.sources(), b.sources());
    // The token that the template ends a turn with is the one of the file.
    assert_eq!((b.bos_token(), b.eos_token()), ("<|endoftext|>", "<|endoftext|>"));
    Ok(())
}

#[test]
fn damaged_files_are_errors_that_say_where() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/gguf/llama-q4_0.gguf");
    let whole = std::fs::read(path).expect("the golden is in the repository");
    let header = GgufHeader::parse(&whole).expect("valid");
    let first = header.tensors.values().map(|t| t.range.start).min().expect("tensors");
    let folder = tempfile::tempdir().expect("a folder");
    let spoiled = folder.path().join("spoiled.gguf");
    let refused = |bytes: &[u8]| {
        std::fs::write(&spoiled, bytes).expect("written");
        CausalLm::load(&spoiled, &device()).map(|_| ()).expect_err("damaged").to_string()
    };
    for end in (0..first).step_by(97).chain((first..whole.len()).step_by(9973)).chain([whole.len() - 1]) {
        let error = refused(&whole[..end]);
        assert!(error.contains("spoiled.gguf"), "{end}: {error}");
    }
    let error = refused(&whole[..whole.len() - 1]);
    assert!(error.contains("does not lie in the file") && error.contains("hint: "), "{error}");

    let at = |needle: &[u8]| {
        whole.windows(needle.len()).position(|w| w == needle).expect("in the file") + needle.len()
    };
    let changed = |place: usize, bytes: &[u8]| {
        let mut all = whole.clone();
        all[place..place + bytes.len()].copy_from_slice(bytes);
        refused(&all)
    };
    // Behind a tensor's name: dimensions (4 bytes), sizes (8 each), type (4), offset (8).
    let tensor = at(b"blk.0.ffn_up.weight");
    let key = at(b"llama.block_count") + 4;
    let epsilon = at(b"llama.attention.layer_norm_rms_epsilon") + 4;
    for (place, bytes, reason) in [
        (tensor, &9_u32.to_le_bytes()[..], "has 9 dimensions"),
        (tensor + 4, &u64::MAX.to_le_bytes()[..], "does not lie in the file"),
        (tensor + 4, &96_u64.to_le_bytes()[..], "expected [128, 64], found [128, 96]"),
        (tensor + 20, &77_u32.to_le_bytes()[..], "type 77"),
        (tensor + 20, &11_u32.to_le_bytes()[..], "does not lie"),
        (tensor + 24, &7_u64.to_le_bytes()[..], "at offset 7"),
        (tensor + 24, &(1_u64 << 60).to_le_bytes()[..], "does not lie in the file"),
        (key, &u32::MAX.to_le_bytes()[..], "num_hidden_layers"),
        (key, &3_u32.to_le_bytes()[..], "missing blk.2.attn_q.weight"),
        (epsilon, &f32::NAN.to_le_bytes()[..], "expected a number, got F32(NaN)"),
        (0, b"GGML", "does not begin with GGUF"),
        (4, &3_u32.to_be_bytes()[..], "big-endian"),
        (8, &u64::MAX.to_le_bytes()[..], "tensor 21 of"),
    ] {
        let error = changed(place, bytes);
        assert!(error.contains(reason), "{error}, expected: {reason}");
    }
    let error = changed(at(b"general.architecture") + 12, b"mamba");
    assert!(error.contains("\"mamba\"") && error.contains("gemma3"), "{error}");
    Ok(())
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn random_changes_do_no_harm(changes in proptest::collection::vec((0..14_000_usize, proptest::prelude::any::<u8>()), 1..8)) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/gguf/llama-q4_0.gguf");
        let mut bytes = std::fs::read(path).expect("the golden is in the repository");
        for (at, value) in changes {
            bytes[at] = value;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, bytes).expect("written");
        if let Ok(model) = LocalModel::load(&path, &device()) {
            assert_eq!(model.model.layers.len(), 2);
        }
    }
}
