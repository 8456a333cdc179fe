//! The weights that learn, one after the other, with their gradients.

use burn::tensor::{Device, Gradients, Tensor};
use slm_core::CausalLm;
use slm_core::model::Parameter;

use super::{TrainConfig, Trainable};
use crate::Result;
use crate::adapter::{measure, module_of};

/// A model some of whose weights learn.
pub(crate) trait Learner: Clone {
    /// Calls `f` with each trainable weight and its name, in an order that never changes.
    fn visit(&mut self, config: &TrainConfig, f: &mut dyn FnMut(&str, Parameter<'_>));

    /// Where it is.
    fn device(&self) -> Device;

    /// The same off the autodiff device.
    fn inner(self) -> Self;

    /// By how much the rate of a weight exceeds the learning rate.
    fn haste(_name: &str, _vector: bool, _config: &TrainConfig) -> f64 {
        1.0
    }

    /// Computes anew what follows from the weights, after they moved.
    ///
    /// # Errors
    /// When a weight cannot be read.
    fn refresh(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Learner for CausalLm {
    fn visit(&mut self, config: &TrainConfig, f: &mut dyn FnMut(&str, Parameter<'_>)) {
        if config.trainable == Trainable::All {
            return self.for_each_parameter(f);
        }
        self.for_each_adapter(&mut |path, adapter| {
            f(&format!("{path}.lora_A"), Parameter::Matrix(&mut adapter.a));
            f(&format!("{path}.lora_B"), Parameter::Matrix(&mut adapter.b));
            if let Some(magnitude) = &mut adapter.magnitude {
                f(&format!("{path}.lora_magnitude_vector"), Parameter::Vector(&mut magnitude.weight));
            }
        });
        self.for_each_parameter(&mut |name, parameter| {
            if config.modules_to_save.iter().any(|end| module_of(name).ends_with(end.as_str())) {
                f(name, parameter);
            }
        });
    }

    fn device(&self) -> Device {
        Self::device(self)
    }

    fn inner(self) -> Self {
        Self::inner(self)
    }

    fn haste(name: &str, vector: bool, config: &TrainConfig) -> f64 {
        let faster = config.trainable == Trainable::Adapters && (vector || name.ends_with(".lora_B"));
        if faster { config.lora_plus_ratio } else { 1.0 }
    }

    fn refresh(&mut self) -> Result<()> {
        measure(self)
    }
}

/// Number of weights.
pub(super) fn size(parameter: &Parameter<'_>) -> usize {
    match parameter {
        Parameter::Vector(t) => t.dims().iter().product(),
        Parameter::Matrix(t) => t.dims().iter().product(),
    }
}

/// The numbers of a weight off the autodiff device, in one row.
pub(super) fn numbers(parameter: &Parameter<'_>) -> Tensor<1> {
    match parameter {
        Parameter::Vector(t) => (*t).clone().inner(),
        Parameter::Matrix(t) => flat((*t).clone().inner()),
    }
}

pub(super) fn flat<const D: usize>(t: Tensor<D>) -> Tensor<1> {
    let count = t.dims().iter().product::<usize>();
    t.reshape([count])
}

/// Marks the trainable weights; all others stay constants. Gives their number.
pub(super) fn require_gradients<M: Learner>(model: &mut M, config: &TrainConfig) -> usize {
    let mut count = 0;
    model.visit(config, &mut |_, parameter| {
        count += size(&parameter);
        match parameter {
            Parameter::Vector(t) => *t = t.clone().require_grad(),
            Parameter::Matrix(t) => *t = t.clone().require_grad(),
        }
    });
    count
}

/// Adds the gradients of one backward pass to `sums`, flattened, in the order of [`Learner::visit`]. A weight that the pass
/// does not depend on adds nothing.
pub(super) fn accumulate<M: Learner>(
    model: &mut M,
    config: &TrainConfig,
    grads: &Gradients,
    sums: &mut Vec<Option<Tensor<1>>>,
) {
    let mut index = 0;
    model.visit(config, &mut |_, parameter| {
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
pub(super) fn complete<M: Learner>(
    model: &mut M,
    config: &TrainConfig,
    sums: Vec<Option<Tensor<1>>>,
) -> Vec<Tensor<1>> {
    let device = model.device().inner();
    let mut sums = sums.into_iter();
    let mut whole = Vec::new();
    model.visit(config, &mut |_, parameter| {
        let count = size(&parameter);
        whole.push(sums.next().flatten().unwrap_or_else(|| Tensor::zeros([count], &device)));
    });
    whole
}
