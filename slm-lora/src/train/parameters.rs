//! The weights that learn, one after the other, with their gradients and optimizer state.

use burn::optim::{AdamW, AdamWConfig, AdamWState, Optimizer};
use burn::tensor::{Gradients, Tensor};
use slm_core::CausalLm;
use slm_core::model::Parameter;

use super::{TrainConfig, Trainable};
use crate::adapter::module_of;

/// Calls `f` with each trainable weight and its name, in an order that never changes.
pub(super) fn visit(model: &mut CausalLm, config: &TrainConfig, f: &mut dyn FnMut(&str, Parameter<'_>)) {
    if config.trainable == Trainable::All {
        return model.for_each_parameter(f);
    }
    model.for_each_adapter(&mut |path, adapter| {
        f(&format!("{path}.lora_A"), Parameter::Matrix(&mut adapter.a));
        f(&format!("{path}.lora_B"), Parameter::Matrix(&mut adapter.b));
        if let Some(magnitude) = &mut adapter.magnitude {
            f(&format!("{path}.lora_magnitude_vector"), Parameter::Vector(&mut magnitude.weight));
        }
    });
    model.for_each_parameter(&mut |name, parameter| {
        if config.modules_to_save.iter().any(|end| module_of(name).ends_with(end.as_str())) {
            f(name, parameter);
        }
    });
}

/// Number of weights.
pub(super) fn size(parameter: &Parameter<'_>) -> usize {
    match parameter {
        Parameter::Vector(t) => t.dims().iter().product(),
        Parameter::Matrix(t) => t.dims().iter().product(),
    }
}

/// Marks the trainable weights; all others stay constants.
pub(super) fn require_gradients(model: &mut CausalLm, config: &TrainConfig) {
    visit(model, config, &mut |_, parameter| match parameter {
        Parameter::Vector(t) => *t = t.clone().require_grad(),
        Parameter::Matrix(t) => *t = t.clone().require_grad(),
    });
}

/// Adds the gradients of one backward pass to `sums`, flattened, in the order of [`visit`].
pub(super) fn accumulate(
    model: &mut CausalLm,
    config: &TrainConfig,
    grads: &Gradients,
    sums: &mut Vec<Tensor<1>>,
) {
    let mut index = 0;
    visit(model, config, &mut |_, parameter| {
        let grad = match parameter {
            // A weight that the loss does not depend on has no gradient.
            Parameter::Vector(t) => t.grad(grads).unwrap_or_else(|| t.clone().inner().zeros_like()),
            Parameter::Matrix(t) => flat(t.grad(grads).unwrap_or_else(|| t.clone().inner().zeros_like())),
        };
        match sums.get_mut(index) {
            Some(sum) => *sum = sum.clone() + grad,
            None => sums.push(grad),
        }
        index += 1;
    });
}

fn flat<const D: usize>(t: Tensor<D>) -> Tensor<1> {
    let count = t.dims().iter().product::<usize>();
    t.reshape([count])
}

/// AdamW (Loshchilov and Hutter 2019) with decay on matrices only.
pub(super) struct Updater {
    matrices: AdamW,
    vectors: AdamW,
    /// Of each trainable weight, flattened; empty before the first step.
    pub(super) states: Vec<Option<AdamWState<1>>>,
}

impl std::fmt::Debug for Updater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Updater").field("states", &self.states.len()).finish_non_exhaustive()
    }
}

impl Updater {
    pub(super) fn new(config: &TrainConfig) -> Self {
        let adamw = |decay| {
            AdamWConfig::new()
                .with_beta_1(config.beta_1)
                .with_beta_2(config.beta_2)
                .with_epsilon(config.epsilon)
                .with_weight_decay(decay)
                .build()
        };
        Self { matrices: adamw(config.weight_decay), vectors: adamw(0.0), states: Vec::new() }
    }

    /// Moves each trainable weight by its gradient times `scale`.
    pub(super) fn update(
        &mut self,
        model: &mut CausalLm,
        config: &TrainConfig,
        gradients: Vec<Tensor<1>>,
        (rate, scale): (f64, f32),
    ) {
        self.states.resize(gradients.len(), None);
        let mut slots = gradients.into_iter().zip(&mut self.states);
        visit(model, config, &mut |name, parameter| {
            let Some((gradient, state)) = slots.next() else { return };
            let vector = matches!(parameter, Parameter::Vector(_));
            let faster = config.trainable == Trainable::Adapters && (vector || name.ends_with(".lora_B"));
            let rate = if faster { rate * config.lora_plus_ratio } else { rate };
            let gradient = gradient.mul_scalar(scale);
            match parameter {
                Parameter::Vector(t) => *t = moved(&self.vectors, rate, t, gradient, state),
                Parameter::Matrix(t) => *t = moved(&self.matrices, rate, t, gradient, state),
            }
        });
    }
}

fn moved<const D: usize>(
    optimizer: &AdamW,
    rate: f64,
    weight: &Tensor<D>,
    gradient: Tensor<1>,
    state: &mut Option<AdamWState<1>>,
) -> Tensor<D> {
    let (new, after) = optimizer.step(rate, flat(weight.clone().inner()), gradient, state.take());
    *state = after;
    new.reshape(weight.dims()).autodiff().require_grad()
}
