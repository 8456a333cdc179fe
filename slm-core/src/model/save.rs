//! From a [`CausalLm`] to a Hugging Face directory.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::files::write_atomically;
use super::layout::layout;
use super::writer::TensorWriter;
use super::{CausalLm, FloatType, Held, Parameter, packed};
use crate::nn::Weight;
use crate::{Error, Result};

impl CausalLm {
    /// Writes `config.json` and `model.safetensors`, which [`CausalLm::load`] reads, and `transformers` too if no weight
    /// is packed. Packed weights are written as they are. Adapters are not part of it: merge them first.
    ///
    /// # Errors
    /// When a layer has an adapter, a tensor cannot be read back, or a file cannot be written.
    pub fn save(&self, directory: &Path, float: FloatType) -> Result<()> {
        let held = self.held()?;
        let mut writer = TensorWriter::default();
        writer.set("format", "pt");
        let mut config = self.config.to_value();
        if held.values().any(|h| matches!(h, Held::Matrix(Weight::Packed(_)))) {
            packed::write(&mut writer, &held, float)?;
            config["quantization_config"] = json!({"quant_method": "slm"});
        } else {
            self.write_dense(&mut writer, &held, (directory, float))?;
        }
        config["torch_dtype"] = float.name().into();
        writer.write(&directory.join("model.safetensors"))?;
        write_atomically(&directory.join("config.json"), format!("{config:#}\n").as_bytes())
    }

    /// The tensors that `transformers` expects, fused where it fuses them.
    fn write_dense<'a>(
        &self,
        writer: &mut TensorWriter<'a>,
        held: &'a BTreeMap<String, Held>,
        (directory, float): (&Path, FloatType),
    ) -> Result<()> {
        for stored in layout(&self.config) {
            let parts = stored.parts.iter().map(|(name, _)| {
                held.get_key_value(name).ok_or_else(|| Error::Tensors {
                    path: directory.into(),
                    problems: vec![format!("missing {name}")],
                })
            });
            let parts = parts.collect::<Result<Vec<_>>>()?;
            writer.tensor(stored.name, float.into(), &stored.shape, move || {
                let mut bytes = Vec::new();
                for (name, weight) in &parts {
                    bytes.append(&mut float.encode(&weight.values(name)?));
                }
                Ok(bytes.into())
            });
        }
        Ok(())
    }

    /// All full-precision weights by name, row-major.
    ///
    /// # Errors
    /// When a tensor cannot be read back from its device.
    pub fn parameter_values(&self) -> Result<BTreeMap<String, Vec<f32>>> {
        let mut values = BTreeMap::new();
        let mut failure = None;
        self.clone().for_each_parameter(&mut |name, parameter| {
            let read = match parameter {
                Parameter::Vector(t) => t.clone().try_into_vec_as::<f32>(),
                Parameter::Matrix(t) => t.clone().try_into_vec_as::<f32>(),
            };
            match read {
                Ok(v) => {
                    values.insert(name.to_owned(), v);
                }
                Err(e) => failure = Some(Error::Device { reason: format!("{name}: {e:?}") }),
            }
        });
        failure.map_or(Ok(values), Err)
    }
}
