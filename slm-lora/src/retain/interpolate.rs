//! Weights between those at the start and the trained ones.

use burn::tensor::Tensor;
use slm_core::CausalLm;
use slm_core::model::Parameter;

use crate::train::{Learner, Trainer};
use crate::{Error, Result};

/// The trained model `scale` of the way from where it began (WiSE-FT, Wortsman et al. 2022), 0 being there: the `B` of adapters
/// are scaled, weights that learned in full interpolated. `start` has those at the start, in the order of the gradients.
///
/// # Errors
/// When an adapter has magnitudes (DoRA), whose way is no straight line, or began with factors of the base (PiSSA, OLoRA), which
/// its file leaves to the reader.
pub(super) fn interpolated(
    trainer: &Trainer,
    (model, start): (&CausalLm, &[Tensor<1>]),
    scale: f32,
) -> Result<CausalLm> {
    let mut model = model.clone();
    let mut bound = false;
    model.for_each_adapter(&mut |_, adapter| {
        bound |= adapter.magnitude.is_some() || adapter.start.is_some();
        adapter.b = adapter.b.clone().mul_scalar(scale);
    });
    if bound {
        let reason = "adapters of DoRA, PiSSA and OLoRA have no fractions; leave `scales` empty";
        return Err(Error::Config { field: "scales", reason: reason.into() });
    }
    let mut start = start.iter();
    model.visit(&trainer.descent.config, &mut |name, parameter| {
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
