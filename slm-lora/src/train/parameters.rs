//! The weights that learn, one after the other, with their gradients.

use burn::tensor::{Gradients, Tensor};
use slm_core::CausalLm;
use slm_core::model::Parameter;

use super::optimizer::flat;
use super::{TrainConfig, Trainable};
use crate::adapter::module_of;

/// Calls `f` with each trainable weight and its name, in an order that never changes.
pub(crate) fn visit(model: &mut CausalLm, config: &TrainConfig, f: &mut dyn FnMut(&str, Parameter<'_>)) {
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

/// Adds the gradients of one backward pass to `sums`, flattened, in the order of [`visit`]. A weight that the pass does not
/// depend on adds nothing.
pub(super) fn accumulate(
    model: &mut CausalLm,
    config: &TrainConfig,
    grads: &Gradients,
    sums: &mut Vec<Option<Tensor<1>>>,
) {
    let mut index = 0;
    visit(model, config, &mut |_, parameter| {
        let grad = match parameter {
            Parameter::Vector(t) => t.grad(grads),
            Parameter::Matrix(t) => t.grad(grads).map(flat),
        };
        if sums.len() <= index {
            sums.push(None);
        }
        if let (Some(grad), Some(sum)) = (grad, sums.get_mut(index)) {
            *sum = Some(match sum.take() {
                Some(sum) => sum + grad,
                None => grad,
            });
        }
        index += 1;
    });
}

/// The sums, with zeros where there is none.
pub(super) fn complete(
    model: &mut CausalLm,
    config: &TrainConfig,
    sums: Vec<Option<Tensor<1>>>,
) -> Vec<Tensor<1>> {
    let device = model.device().inner();
    let mut sums = sums.into_iter();
    let mut whole = Vec::new();
    visit(model, config, &mut |_, parameter| {
        let count = size(&parameter);
        whole.push(sums.next().flatten().unwrap_or_else(|| Tensor::zeros([count], &device)));
    });
    whole
}
