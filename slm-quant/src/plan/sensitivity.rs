//! What the model minds: the divergence that each tensor causes when it alone is packed.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};
use slm_core::CausalLm;
use slm_core::nn::{Block, Linear, Weight};

use slm_kernels::packed::Format;

use super::{Choice, Choices, PlanConfig};
use crate::calibrate::{Site, pass, read};
use crate::round::{Search, encode};
use crate::{CalibrationData, Error, Progress, QuantConfig, Reference, Result};

/// A tensor's options and how the smallest of them looks when it is expanded.
struct Trial {
    choices: Choices,
    /// `None` where no format fits.
    smallest: Option<Tensor<2>>,
    /// The weighted error of each option.
    errors: Vec<f64>,
}

/// The options of all tensors, and the measured divergences.
pub(super) fn measure(
    model: &CausalLm,
    data: &CalibrationData,
    (config, skip): (&PlanConfig, &QuantConfig),
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<Choices>, BTreeMap<String, f64>)> {
    let reference = Reference::new(model, data)?;
    let (mut all, mut measured) = (Vec::new(), BTreeMap::new());
    let total = model.layers.len() + 1;
    let mut hidden = pass::embed(model, data)?;
    for index in 0..model.layers.len() {
        let inputs = hidden.clone();
        let mut importance = Vec::new();
        pass::run(&model.config, index, &mut model.layers[index].clone(), &mut hidden, &mut |site, x, _| {
            importance.push((site, mean_square(x)?));
            Ok(())
        })?;
        for (name, linear) in model.layers[index].linears() {
            let path = format!("model.layers.{index}.{name}.weight");
            let found = importance.iter().find(|(site, _)| site.linears().contains(&name));
            let importance = found.map(|(_, i)| i.as_slice());
            let mut trial = trial(&path, linear, importance, (config, skip))?;
            let kl = match trial.smallest.take() {
                Some(dense) => {
                    let mut block = model.layers[index].clone();
                    replace(&mut block, name, &dense);
                    reference.divergence(&rest(model, (index, block), inputs.clone())?)?
                }
                None => 0.0,
            };
            finish(trial, kl, &mut all, &mut measured);
        }
        progress(Progress { done: index + 1, total });
    }
    let last: Vec<_> = hidden.into_iter().map(|x| model.norm.forward(x)).collect();
    outside(model, (config, skip), (&reference, &last), &mut |trial, kl| {
        finish(trial, kl, &mut all, &mut measured);
    })?;
    progress(Progress { done: total, total });
    Ok((all, measured))
}

/// The embedding and the head.
fn outside(
    model: &CausalLm,
    settings: (&PlanConfig, &QuantConfig),
    (reference, last): (&Reference<'_>, &[Tensor<3>]),
    add: &mut dyn FnMut(Trial, f64),
) -> Result<()> {
    let inputs = mean_square(last)?;
    let embedding = Linear { weight: model.embed_tokens.clone(), bias: None, adapter: None };
    let importance = model.lm_head.is_none().then_some(inputs.as_slice());
    let mut tried = trial("model.embed_tokens.weight", &embedding, importance, settings)?;
    let mut kl = 0.0;
    if let Some(dense) = tried.smallest.take() {
        let mut changed = model.clone();
        changed.embed_tokens = Weight::Dense(dense);
        kl = reference.mean_divergence(&changed)?;
    }
    add(tried, kl);
    if let Some(head) = &model.lm_head {
        let mut tried = trial("lm_head.weight", head, Some(&inputs), settings)?;
        let mut kl = 0.0;
        if let (Some(dense), Some(_)) = (tried.smallest.take(), &model.lm_head) {
            let mut changed = model.clone();
            if let Some(head) = &mut changed.lm_head {
                head.weight = Weight::Dense(dense);
            }
            kl = reference.mean_divergence(&changed)?;
        }
        add(tried, kl);
    }
    Ok(())
}

/// Turns errors into divergences by what the smallest option caused.
fn finish(trial: Trial, kl: f64, all: &mut Vec<Choices>, measured: &mut BTreeMap<String, f64>) {
    let Trial { mut choices, errors, .. } = trial;
    if choices.options.len() > 1 {
        measured.insert(choices.name.clone(), kl);
        for (option, error) in choices.options.iter_mut().zip(&errors) {
            option.2 = if errors[0] > 0.0 { kl * error / errors[0] } else { 0.0 };
        }
    }
    all.push(choices);
}

/// Packs a tensor in every format that fits.
fn trial(
    name: &str,
    linear: &Linear,
    importance: Option<&[f32]>,
    (config, skip): (&PlanConfig, &QuantConfig),
) -> Result<Trial> {
    let Weight::Dense(weight) = &linear.weight else {
        return Err(Error::Inputs { reason: format!("{name} is packed already") });
    };
    let shape = weight.dims();
    let weights = read(weight.clone())?;
    let dense = (None, 2 * weights.len(), 0.0);
    let fitting = |format: &&Format| {
        let config = QuantConfig { format: **format, ..skip.clone() };
        config.applies_to(name, &shape)
    };
    let mut tried: Vec<(Choice, f64, Vec<f32>)> = Vec::new();
    for format in config.formats.iter().filter(fitting) {
        let packed = encode(&weights, shape, *format, &Search { importance, ..Search::default() })?;
        let values = packed.dequantize();
        let error = squared_error(&weights, &values, importance);
        tried.push(((Some(*format), packed.bytes(), 0.0), error, values));
    }
    tried.sort_by_key(|t| t.0.1);
    let device = weight.device();
    let smallest = tried.first().map(|t| Tensor::from_data(TensorData::new(t.2.clone(), shape), &device));
    let errors = tried.iter().map(|t| t.1).chain([0.0]).collect();
    let options = tried.into_iter().map(|t| t.0).chain([dense]).collect();
    Ok(Trial { choices: Choices { name: name.to_owned(), options }, smallest, errors })
}

fn squared_error(weights: &[f32], values: &[f32], importance: Option<&[f32]>) -> f64 {
    let cols = importance.map_or(weights.len(), <[f32]>::len).max(1);
    let term = |(at, (w, v)): (usize, (&f32, &f32))| {
        let e = f64::from(w - v);
        e * e * importance.map_or(1.0, |i| f64::from(i[at % cols]))
    };
    weights.iter().zip(values).enumerate().map(term).sum()
}

/// Mean of the squares of each input.
fn mean_square(inputs: &[Tensor<3>]) -> Result<Vec<f32>> {
    let (mut sums, mut tokens) = (Vec::<f32>::new(), 0);
    for x in inputs {
        let [_, count, width] = x.dims();
        sums.resize(width, 0.0);
        tokens += count;
        let squares = read(x.clone().powf_scalar(2.0).sum_dim(1))?;
        sums.iter_mut().zip(squares).for_each(|(sum, s)| *sum += s);
    }
    Ok(sums.into_iter().map(|s| s / tokens.max(1) as f32).collect())
}

fn replace(block: &mut Block, name: &str, weight: &Tensor<2>) {
    for (other, linear) in block.linears_mut() {
        if other == name {
            linear.weight = Weight::Dense(weight.clone());
        }
    }
}

/// The normalised last outputs of a model with another block, from that block's inputs on.
fn rest(
    model: &CausalLm,
    (index, mut block): (usize, Block),
    mut hidden: Vec<Tensor<3>>,
) -> Result<Vec<Tensor<3>>> {
    let nothing = &mut |_: Site, _: &[Tensor<3>], _: &mut Block| Ok(());
    pass::run(&model.config, index, &mut block, &mut hidden, nothing)?;
    for later in index + 1..model.layers.len() {
        pass::run(&model.config, later, &mut model.layers[later].clone(), &mut hidden, nothing)?;
    }
    Ok(hidden.into_iter().map(|x| model.norm.forward(x)).collect())
}
