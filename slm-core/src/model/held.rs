//! The weights of a model by name, as they are held.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::CausalLm;
use crate::nn::{Linear, RmsNorm, Weight};
use crate::{Error, Result};

/// A weight as a model holds it; cloning shares it.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    /// A norm's weight or a bias.
    Vector(Tensor<1>),
    /// A projection, the embedding or the head.
    Matrix(Weight),
}

impl Held {
    /// The numbers in `f32`, row-major.
    pub(crate) fn values(&self, name: &str) -> Result<Vec<f32>> {
        let read = match self {
            Self::Vector(t) => t.clone().try_into_vec_as::<f32>(),
            Self::Matrix(Weight::Dense(t)) => t.clone().try_into_vec_as::<f32>(),
            Self::Matrix(Weight::Packed(packed)) => return Ok(packed.dequantize()),
        };
        read.map_err(|e| Error::Device { reason: format!("{name}: {e:?}") })
    }
}

impl CausalLm {
    /// All weights by their separate Hugging Face names.
    ///
    /// # Errors
    /// When a layer has an adapter, which no file of a model holds.
    pub(crate) fn held(&self) -> Result<BTreeMap<String, Held>> {
        if self.embed_adapter.is_some() {
            return Err(adapted("model.embed_tokens"));
        }
        let mut all = BTreeMap::new();
        all.insert("model.embed_tokens.weight".to_owned(), Held::Matrix(self.embed_tokens.clone()));
        for (index, block) in self.layers.iter().enumerate() {
            let prefix = format!("model.layers.{index}");
            for (name, linear) in block.linears() {
                hold(&format!("{prefix}.{name}"), linear, &mut all)?;
            }
            for (name, norm) in block.clone().norms_mut() {
                all.insert(format!("{prefix}.{name}.weight"), vector(norm));
            }
        }
        all.insert("model.norm.weight".into(), vector(&self.norm));
        if let Some(head) = &self.lm_head {
            hold("lm_head", head, &mut all)?;
        }
        Ok(all)
    }
}

fn vector(norm: &RmsNorm) -> Held {
    Held::Vector(norm.weight.clone())
}

fn hold(path: &str, linear: &Linear, all: &mut BTreeMap<String, Held>) -> Result<()> {
    if linear.adapter.is_some() {
        return Err(adapted(path));
    }
    all.insert(format!("{path}.weight"), Held::Matrix(linear.weight.clone()));
    if let Some(bias) = &linear.bias {
        all.insert(format!("{path}.bias"), Held::Vector(bias.clone()));
    }
    Ok(())
}

fn adapted(path: &str) -> Error {
    let reason =
        format!("{path} has an adapter, which the file of a model cannot hold\nhint: merge it first");
    Error::Request { reason }
}
