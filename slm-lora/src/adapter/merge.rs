//! Updates put into the weights of a model, and taken out again.

use burn::tensor::FloatDType;
use slm_core::CausalLm;
use slm_core::nn::Weight;

use super::LoraAdapter;
use super::slots::{EMBEDDING, HEAD, each_linear, transposed, untie};
use crate::{Error, Result};

impl LoraAdapter {
    /// Puts the updates into the weights of `model`, which then needs no adapter. Dense weights are f32 afterwards, packed
    /// ones are rounded to the format they had.
    ///
    /// # Errors
    /// When an update does not fit, or a weight is packed in a format that is read but not written; the model is then
    /// unchanged.
    pub fn merge(&self, model: &mut CausalLm) -> Result<()> {
        self.check(model)?;
        let mut layers = self.layers.clone();
        self.begin(model, &mut layers)?;
        let mut new = model.clone();
        self.replace(&mut new)?;
        if let Some(adapter) = layers.remove(EMBEDDING) {
            untie(&mut new);
            let merged = adapter.merged(&transposed(&new.embed_tokens, &new.device()))?.transpose();
            new.embed_tokens = new.embed_tokens.with_values(merged)?;
        }
        let mut failure = Ok(());
        each_linear(&mut new, &mut |path, linear| {
            let Some(adapter) = layers.get(path) else { return };
            match adapter.merged(&linear.weight).and_then(|merged| linear.weight.with_values(merged)) {
                Ok(weight) => linear.weight = weight,
                Err(e) => failure = Err(e),
            }
        });
        failure?;
        *model = new;
        Ok(())
    }

    /// Takes the updates out of weights that they were merged into, up to rounding.
    ///
    /// # Errors
    /// When an update does not fit, or what was there cannot be told from what is: packed weights, magnitudes, saved weights;
    /// the model is then unchanged.
    pub fn unmerge(&self, model: &mut CausalLm) -> Result<()> {
        self.check(model)?;
        if !self.saved.is_empty() || self.layers.values().any(|l| l.magnitude.is_some()) {
            let reason = "magnitudes and saved weights cannot be taken out again".into();
            return Err(Error::Config { field: "unmerge", reason });
        }
        let mut new = model.clone();
        if self.layers.contains_key(HEAD) {
            untie(&mut new);
        }
        let mut packed = None;
        each_linear(&mut new, &mut |path, linear| {
            let Some(adapter) = self.layers.get(path) else { return };
            match &mut linear.weight {
                // In f32 whatever the base is kept in: rounding would lose small updates.
                Weight::Dense(weight) => *weight = weight.clone().cast(FloatDType::F32) - adapter.delta(),
                _ => drop(packed.get_or_insert_with(|| path.to_owned())),
            }
        });
        if let Some(adapter) = self.layers.get(EMBEDDING) {
            match &mut new.embed_tokens {
                Weight::Dense(weight) => *weight = weight.clone() - adapter.delta().transpose(),
                _ => drop(packed.get_or_insert_with(|| EMBEDDING.to_owned())),
            }
        }
        if let Some(layer) = packed {
            return Err(Error::Packed { layer });
        }
        *model = new;
        Ok(())
    }
}
