//! Weights between those at the start and the trained ones.

use burn::tensor::Tensor;
use slm_core::CausalLm;
use slm_core::model::Parameter;

use crate::train::{Trainer, visit};
use crate::{Error, Result};

/// The trained model `scale` of the way from where it began (WiSE-FT, Wortsman et al. 2022), 0 being there: adapters are scaled,
/// weights that learned in full interpolated. `start` has those at the start, in the order of the gradients.
///
/// # Errors
/// When an adapter has magnitudes (DoRA): its way is no straight line.
pub(super) fn interpolated(
    trainer: &Trainer,
    (model, start): (&CausalLm, &[Tensor<1>]),
    scale: f32,
) -> Result<CausalLm> {
    let mut model = model.clone();
    let mut magnitudes = false;
    model.for_each_adapter(&mut |_, adapter| {
        magnitudes |= adapter.magnitude.is_some();
        adapter.scale *= scale;
    });
    if magnitudes {
        let reason = "an adapter with magnitudes (DoRA) has no fraction; leave `scales` empty";
        return Err(Error::Config { field: "scales", reason: reason.into() });
    }
    let mut start = start.iter();
    visit(&mut model, &trainer.config, &mut |name, parameter| {
        let Some(start) = start.next() else { return };
        if name.ends_with(".lora_A") || name.ends_with(".lora_B") {
            return;
        }
        let start = start.clone().mul_scalar(1.0 - scale);
        match parameter {
            Parameter::Vector(t) => *t = t.clone().mul_scalar(scale) + start,
            Parameter::Matrix(t) => *t = t.clone().mul_scalar(scale) + start.reshape(t.dims()),
        }
    });
    Ok(model)
}
