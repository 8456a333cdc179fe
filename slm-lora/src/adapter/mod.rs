//! [`LoraAdapter`]: low-rank updates of chosen layers, apart from the model they belong to.

mod combine;
mod config;
mod fused;
mod init;
mod linalg;
mod merge;
mod peft;
mod set;
mod slots;

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use slm_core::CausalLm;
use slm_core::model::Parameter;
use slm_core::nn::{Adapter, Dropout};

pub use combine::{Combination, combine};
pub use config::{Init, LoraConfig, Targets};
pub use set::AdapterSet;

pub(crate) use init::module_of;
pub(crate) use slots::measure;

use crate::{Error, Result};
use slots::{EMBEDDING, HEAD, each_linear, sites, untie};

/// Low-rank updates `ΔW = s·B·A` (LoRA, Hu et al. 2021) by the path of their layer. Cloning shares tensors.
#[derive(Debug, Clone, Default)]
pub struct LoraAdapter {
    /// How it was made.
    pub config: LoraConfig,
    /// Update of each layer, by path: `model.layers.0.self_attn.q_proj`. That of `model.embed_tokens` is of the transposed
    /// embedding.
    pub layers: BTreeMap<String, Adapter>,
    /// Weights that take the place of the model's, by name: `model.norm.weight`.
    pub saved: BTreeMap<String, SavedWeight>,
}

/// A weight of a module that learned in full.
#[derive(Debug, Clone)]
pub enum SavedWeight {
    /// A norm's weight or a bias.
    Vector(Tensor<1>),
    /// A projection, the embedding or the head.
    Matrix(Tensor<2>),
}

impl SavedWeight {
    pub(crate) fn of(parameter: &Parameter<'_>) -> Self {
        match parameter {
            Parameter::Vector(t) => Self::Vector((*t).clone()),
            Parameter::Matrix(t) => Self::Matrix((*t).clone()),
        }
    }

    fn dims(&self) -> Vec<usize> {
        match self {
            Self::Vector(t) => t.dims().to_vec(),
            Self::Matrix(t) => t.dims().to_vec(),
        }
    }
}

impl LoraAdapter {
    /// Puts the updates into the adapter slots of `model`, in place of those that are there, and the saved weights in place
    /// of its own. The head of a model that shares it with the embedding becomes its own where one of the two changes.
    ///
    /// # Errors
    /// When an update or a saved weight names no layer of the model or does not fit it; the model is then unchanged.
    pub fn attach(&self, model: &mut CausalLm) -> Result<()> {
        self.check(model)?;
        let mut layers = self.layers.clone();
        self.begin(model, &mut layers)?;
        let dropout = Dropout { rate: self.config.dropout, seed: None };
        layers.values_mut().for_each(|a| a.dropout = (dropout.rate > 0.0).then_some(dropout));
        let mut new = model.clone();
        self.replace(&mut new)?;
        new.embed_adapter = layers.remove(EMBEDDING);
        each_linear(&mut new, &mut |path, linear| linear.adapter = layers.remove(path));
        measure(&mut new)?;
        *model = new;
        Ok(())
    }

    /// Takes the updates out of the adapter slots of `model`. Modules that learned in full
    /// ([`LoraConfig::modules_to_save`]) are copied, and stay in the model as they are.
    pub fn detach(model: &mut CausalLm, config: &LoraConfig) -> Self {
        let mut layers = BTreeMap::new();
        if let Some(adapter) = model.embed_adapter.take() {
            layers.insert(EMBEDDING.to_owned(), adapter);
        }
        each_linear(model, &mut |path, linear| {
            if let Some(adapter) = linear.adapter.take() {
                layers.insert(path.to_owned(), adapter);
            }
        });
        let saved = init::learned(model, &config.modules_to_save);
        Self { config: config.clone(), layers, saved }
    }

    /// Number of weights that learn.
    pub fn num_parameters(&self) -> usize {
        let count = |dims: &[usize]| dims.iter().product::<usize>();
        let layer = |l: &Adapter| {
            let magnitude = l.magnitude.as_ref().map_or(0, |m| count(&m.weight.dims()));
            count(&l.a.dims()) + count(&l.b.dims()) + magnitude
        };
        let layers: usize = self.layers.values().map(layer).sum();
        layers + self.saved.values().map(|w| count(&w.dims())).sum::<usize>()
    }

    /// The same updates with the starting factors of PiSSA and OLoRA as part of them, at twice the rank: what other
    /// libraries read on the base as it is.
    #[must_use]
    pub fn plain(&self) -> Self {
        let mut all = self.clone();
        for layer in all.layers.values_mut() {
            if let Some([a, b]) = layer.start.take() {
                layer.a = Tensor::cat(vec![layer.a.clone(), a], 0);
                layer.b = Tensor::cat(vec![layer.b.clone(), b.neg()], 1);
            }
        }
        if all.config.init != Init::Zero {
            all.config.init = Init::Zero;
            let scale = all.config.scale(all.config.rank, all.config.alpha);
            all.config.rank *= 2;
            all.config.alpha = all.config.alpha_of(scale, all.config.rank);
            all.config.rank_pattern.iter_mut().for_each(|(_, rank)| *rank *= 2);
        }
        all
    }

    /// Computes the starting factors that a file of PEFT's leaves to its reader.
    fn begin(&self, model: &CausalLm, layers: &mut BTreeMap<String, Adapter>) -> Result<()> {
        if self.config.init == Init::Zero || layers.values().all(|l| l.start.is_some()) {
            return Ok(());
        }
        for site in sites(model) {
            let Some(layer) = layers.get_mut(&site.path) else { continue };
            if layer.start.is_none() && site.path != EMBEDDING {
                let device = layer.a.device();
                let own = (layer.a.dims()[0], layer.scale);
                layer.start = Some(init::principal(&site.weight(&device), self.config.init, own, &device)?);
            }
        }
        Ok(())
    }

    /// Puts the saved weights in the place of the model's.
    fn replace(&self, model: &mut CausalLm) -> Result<()> {
        let outside = [EMBEDDING, HEAD].map(|path| format!("{path}.weight"));
        if self.layers.contains_key(HEAD) || outside.iter().any(|name| self.saved.contains_key(name)) {
            untie(model);
        }
        let names: Vec<String> =
            self.saved.keys().filter_map(|n| Some(n.rsplit_once('.')?.0.to_owned())).collect();
        slots::unpack_outside(model, &names)?;
        model.for_each_parameter(&mut |name, parameter| match (self.saved.get(name), parameter) {
            (Some(SavedWeight::Vector(new)), Parameter::Vector(t)) => *t = new.clone(),
            (Some(SavedWeight::Matrix(new)), Parameter::Matrix(t)) => *t = new.clone(),
            _ => {}
        });
        Ok(())
    }

    fn check(&self, model: &CausalLm) -> Result<()> {
        let mut left: BTreeMap<&str, &Adapter> = self.layers.iter().map(|(p, a)| (p.as_str(), a)).collect();
        let mut problems = Vec::new();
        for site in sites(model) {
            let Some(adapter) = left.remove(site.path.as_str()) else { continue };
            let ([out, input], a, b) = (site.dims(), adapter.a.dims(), adapter.b.dims());
            if a[1] != input || b[0] != out || a[0] != b[1] {
                let path = &site.path;
                problems
                    .push(format!("{path}: expected A [r, {input}] and B [{out}, r], found {a:?} and {b:?}"));
            }
        }
        problems.extend(left.keys().map(|path| format!("surplus {path}")));
        let mut saved = self.saved.clone();
        let mut whole = model.clone();
        untie(&mut whole);
        slots::unpack_outside(&mut whole, &[EMBEDDING.into(), HEAD.into()])?;
        whole.for_each_parameter(&mut |name, parameter| {
            let Some(new) = saved.remove(name) else { return };
            let (expected, found) = (SavedWeight::of(&parameter).dims(), new.dims());
            if expected != found {
                problems.push(format!("{name}: expected {expected:?}, found {found:?}"));
            }
        });
        problems.extend(saved.keys().map(|name| format!("surplus {name}")));
        if problems.is_empty() { Ok(()) } else { Err(Error::Tensors { path: "(memory)".into(), problems }) }
    }
}

/// Takes out all updates: a model on adapters becomes its base.
pub(crate) fn switch_off(model: &mut CausalLm) {
    model.embed_adapter = None;
    each_linear(model, &mut |_, linear| linear.adapter = None);
}

/// The numbers of a matrix in f32, row-major.
fn values(t: &Tensor<2>) -> Result<Vec<f32>> {
    let read = t.clone().try_into_vec_as();
    Ok(read.map_err(|e| slm_core::Error::Device { reason: format!("{e:?}") })?)
}
