//! From a [`CausalLm`] to a Hugging Face directory.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::TensorView;

use super::files::write_atomically;
use super::layout::layout;
use super::{CausalLm, FloatType, Parameter};
use crate::{Error, Result};

impl CausalLm {
    /// Writes `config.json` and `model.safetensors`, which [`CausalLm::load`] and `transformers` read.
    /// Adapters are not part of it: merge them first.
    ///
    /// # Errors
    /// When a weight is packed, a tensor cannot be read back, or a file cannot be written.
    pub fn save(&self, directory: &Path, float: FloatType) -> Result<()> {
        let mut values = self.parameter_values()?;
        let mut encoded = Vec::new();
        for stored in layout(&self.config) {
            let mut joined = Vec::new();
            for (name, _) in &stored.parts {
                joined.append(&mut values.remove(name).ok_or_else(|| Error::Tensors {
                    path: directory.into(),
                    problems: vec![format!("{name} is packed; dequantize it or save it with slm-quant")],
                })?);
            }
            let (dtype, bytes) = float.encode(&joined);
            encoded.push((stored.name, dtype, stored.shape, bytes));
        }
        let invalid = |e: safetensors::SafeTensorError| Error::Weights {
            path: directory.into(),
            reason: e.to_string(),
        };
        let views = encoded
            .iter()
            .map(|(n, d, s, b)| Ok((n.as_str(), TensorView::new(*d, s.clone(), b).map_err(invalid)?)))
            .collect::<Result<Vec<_>>>()?;
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(invalid)?;
        write_atomically(&directory.join("model.safetensors"), &bytes)?;
        let mut config = self.config.to_value();
        config["torch_dtype"] = float.name().into();
        write_atomically(&directory.join("config.json"), format!("{config:#}\n").as_bytes())
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
