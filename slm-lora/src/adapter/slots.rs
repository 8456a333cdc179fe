//! Where a model can be updated: the linear layers of its blocks, the embedding and the head.

use std::collections::BTreeMap;

use burn::tensor::Device;
use slm_core::CausalLm;
use slm_core::nn::{Adapter, Linear, Weight};

use super::fused::modules;
use crate::Result;

/// Path of the embedding.
pub(crate) const EMBEDDING: &str = "model.embed_tokens";
/// Path of the head.
pub(crate) const HEAD: &str = "lm_head";

/// A weight that can be updated.
pub(super) struct Site {
    pub(super) path: String,
    /// Of the fused projection that it belongs to.
    pub(super) fused: Option<String>,
    /// As the model holds it.
    held: Weight,
}

impl Site {
    /// `[out, in]`; the embedding is transposed, as PEFT's update of it is.
    pub(super) fn weight(&self, device: &Device) -> Weight {
        if self.path == EMBEDDING { transposed(&self.held, device) } else { self.held.clone() }
    }

    /// `[out, in]`.
    pub(super) fn dims(&self) -> [usize; 2] {
        let [rows, cols] = self.held.dims();
        if self.path == EMBEDDING { [cols, rows] } else { [rows, cols] }
    }

    /// The paths by which it is known.
    pub(super) fn paths(&self) -> Vec<&str> {
        [Some(self.path.as_str()), self.fused.as_deref()].into_iter().flatten().collect()
    }
}

/// All of them, the blocks first.
pub(super) fn sites(model: &CausalLm) -> Vec<Site> {
    let mut fused: BTreeMap<String, String> = BTreeMap::new();
    for module in modules(&model.config) {
        for (part, _) in &module.parts {
            if *part != module.path {
                fused.insert(part.clone(), module.path.clone());
            }
        }
    }
    let site = |path: String, held: Weight| Site { fused: fused.get(&path).cloned(), path, held };
    let mut all: Vec<Site> =
        model.linears().map(|(path, linear)| site(path, linear.weight.clone())).collect();
    if model.lm_head.is_none() {
        all.push(site(HEAD.into(), model.embed_tokens.clone()));
    }
    all.push(site(EMBEDDING.into(), model.embed_tokens.clone()));
    all
}

/// The embedding as PEFT's update sees it, `[hidden, vocab]`.
pub(super) fn transposed(embedding: &Weight, device: &Device) -> Weight {
    Weight::Dense(embedding.to_dense(device).transpose())
}

/// Calls `f` with each linear layer, the head included.
pub(super) fn each_linear(model: &mut CausalLm, f: &mut dyn FnMut(&str, &mut Linear)) {
    model.for_each_linear(f);
    if let Some(head) = &mut model.lm_head {
        f(HEAD, head);
    }
}

/// Gives a model whose embedding is its head a head of its own; both share their numbers until one changes.
pub(super) fn untie(model: &mut CausalLm) {
    if model.lm_head.is_none() {
        let weight = model.embed_tokens.clone();
        model.lm_head = Some(Linear { weight, bias: None, adapter: None });
        model.config.tie_word_embeddings = false;
    }
}

/// Expands a packed embedding or head that is about to learn in full.
pub(super) fn unpack_outside(model: &mut CausalLm, modules: &[String]) -> Result<()> {
    let device = model.device();
    let chosen = |path: &str| modules.iter().any(|end| path.ends_with(end.as_str()));
    let expand = |weight: &mut Weight| -> Result<()> {
        if matches!(weight, Weight::Packed(_)) {
            *weight = Weight::Dense(weight.range(0..weight.dims()[0], &device)?);
        }
        Ok(())
    };
    if chosen(EMBEDDING) {
        expand(&mut model.embed_tokens)?;
    }
    match &mut model.lm_head {
        Some(head) if chosen(HEAD) => expand(&mut head.weight),
        _ => Ok(()),
    }
}

/// Measures anew what DoRA updates divide by.
///
/// # Errors
/// When a packed weight cannot be expanded.
pub(crate) fn measure(model: &mut CausalLm) -> Result<()> {
    let mut failure = Ok(());
    each_linear(model, &mut |_, linear| {
        if failure.is_ok() {
            failure = linear.measure();
        }
    });
    failure?;
    let has = |a: &Adapter| a.magnitude.is_some();
    if model.embed_adapter.as_ref().is_some_and(has) {
        let weight = transposed(&model.embed_tokens, &model.device());
        if let Some(adapter) = &mut model.embed_adapter {
            let norm = adapter.measure(&weight)?;
            adapter.magnitude.iter_mut().for_each(|m| m.norm = norm.clone());
        }
    }
    Ok(())
}
