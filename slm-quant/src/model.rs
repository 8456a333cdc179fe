//! Whole models: quantized in place, saved as a directory, loaded again.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, TensorData};
use half::f16;
use serde_json::{Value as Json, json};
use slm_core::model::{Value, write_atomically};
use slm_core::nn::Weight;
use slm_core::{CausalLm, ModelConfig};

use crate::{
    Error, Result, Stored, Values, load_packed, save_packed,
};

const METHOD: &str = "slm";

/// Expands every packed layer to full precision: the same function, at the speed and size of `f32`.
pub fn dequantize_model(model: &mut CausalLm) {
    let device = model.device();
    for_each(model, &mut |_, weight| *weight = Weight::Dense(weight.to_dense(&device)));
}

/// Writes `config.json` and `model.safetensors` with packed layers, and the rest in f16. Adapters are not
/// part of it.
///
/// # Errors
/// When a tensor cannot be read back or a file cannot be written.
pub fn save_model(model: &CausalLm, directory: &Path) -> Result<()> {
    let mut tensors = BTreeMap::new();
    let mut shapes = BTreeMap::new();
    model.clone().for_each_parameter(&mut |name, parameter| {
        let shape = match parameter {
            slm_core::model::Parameter::Vector(t) => t.dims().to_vec(),
            slm_core::model::Parameter::Matrix(t) => t.dims().to_vec(),
        };
        shapes.insert(name.to_owned(), shape);
    });
    for (name, values) in model.parameter_values()? {
        let shape = shapes.remove(&name).unwrap_or_default();
        let values = Values::F16(values.into_iter().map(f16::from_f32).collect());
        tensors.insert(name, Stored::Dense { shape, values });
    }
    for (path, linear) in model.linears() {
        if let Weight::Packed(packed) = &linear.weight {
            tensors.insert(format!("{path}.weight"), Stored::Packed(packed.clone()));
        }
    }
    std::fs::create_dir_all(directory).map_err(|source| Error::Io { path: directory.into(), source })?;
    save_packed(directory.join("model.safetensors"), &tensors)?;
    let mut config = model.config.to_value();
    config["quantization_config"] = json!({"quant_method": METHOD});
    config["torch_dtype"] = "float16".into();
    Ok(write_atomically(&directory.join("config.json"), format!("{config:#}\n").as_bytes())?)
}

/// Loads a directory of [`save_model`]; the layers stay packed.
///
/// # Errors
/// When a file is missing or corrupt, was not written by [`save_model`], or does not fit its configuration.
pub fn load_model(directory: &Path, device: &Device) -> Result<CausalLm> {
    let path = directory.join("config.json");
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
    let mut json: Json =
        serde_json::from_str(&text).map_err(|source| slm_core::Error::Json { path: path.clone(), source })?;
    let quantization = json.as_object_mut().and_then(|o| o.remove("quantization_config"));
    let method = quantization.as_ref().and_then(|q| q["quant_method"].as_str());
    if method != Some(METHOD) {
        let reason = format!("expected quant_method \"{METHOD}\", found {method:?}");
        return Err(slm_core::Error::Config { field: "quantization_config".into(), reason }.into());
    }
    let config = ModelConfig::from_value(json)?;
    let stored = load_packed(directory.join("model.safetensors"))?;
    let values = stored.into_iter().map(|(name, stored)| {
        let value = match stored {
            Stored::Dense { shape, values } => Value::Dense(TensorData::new(values.to_f32(), shape)),
            Stored::Packed(packed) => Value::Packed(packed),
        };
        (name, value)
    });
    Ok(CausalLm::from_values(config, values.collect(), directory, device)?)
}

fn for_each(model: &mut CausalLm, f: &mut dyn FnMut(&str, &mut Weight)) {
    model.for_each_linear(&mut |path, linear| f(path, &mut linear.weight));
    if let Some(head) = &mut model.lm_head {
        f("lm_head", &mut head.weight);
    }
}

