//! [`plan`]: which tensor gets how many bits, under a target of size or of divergence.
//!
//! How much the model minds an error in one tensor is measured: the tensor alone is packed in its smallest format, and
//! the divergence from the original counts. For the other formats that figure is scaled by the errors that they leave.
//! Divergences of small errors add up, so that the tensors can be traded against each other.

mod assign;
mod sensitivity;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slm_core::CausalLm;
use slm_kernels::packed::Format;

use crate::{CalibrationData, Error, Override, Progress, QuantConfig, Result};

/// What a plan has to reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Target {
    /// At most so many bits per weight, over all weights of the model.
    BitsPerWeight(f64),
    /// At most so many bytes of weights.
    Bytes(usize),
    /// A predicted mean divergence of at most so many nats, as small as possible.
    MaxKl(f64),
}

/// Which formats a plan chooses from, and what it has to reach.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanConfig {
    /// The target.
    pub target: Target,
    /// Formats on offer; each tensor takes those that fit its rows, or stays dense, at 16 bits.
    pub formats: Vec<Format>,
    /// Names of tensors that stay dense; `*` stands for any text.
    pub skip: Vec<String>,
}

impl PlanConfig {
    /// A target with formats from 4 to 8 bits that both our own and GGUF files hold.
    pub fn new(target: Target) -> Self {
        use slm_kernels::packed::BlockType::{Q4_0, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
        let formats = [Q4_0, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0].map(Format::Block).to_vec();
        Self { target, formats, skip: vec!["*norm*".into()] }
    }
}

/// A format for each tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The tensors and what to pack them as, for [`QuantConfig::overrides`].
    pub overrides: Vec<Override>,
    /// Divergence with only that tensor packed, in its smallest format.
    pub sensitivity: BTreeMap<String, f64>,
    /// Mean divergence that the model should show, in nats, if codes are chosen by search.
    pub predicted_kl: f64,
    /// Weights of the model as stored, dense ones in 16 bits.
    pub bytes: usize,
    /// `bytes` by the number of weights.
    pub bits_per_weight: f64,
}

impl Plan {
    /// `config` with the formats of this plan.
    #[must_use]
    pub fn applied_to(&self, config: &QuantConfig) -> QuantConfig {
        QuantConfig { overrides: self.overrides.clone(), skip: vec!["*".into()], ..config.clone() }
    }
}

/// A tensor that can be packed, and what each choice would cost.
#[derive(Debug)]
struct Choices {
    name: String,
    /// From the smallest to dense.
    options: Vec<Choice>,
}

/// Format, bytes and predicted divergence.
type Choice = (Option<Format>, usize, f64);

/// Measures the tensors of a dense `model` on `data` and assigns formats. A few hundred tokens are enough; time grows
/// with them and with the number of tensors.
///
/// # Errors
/// [`Error::NoPlan`] where the target is out of reach, and as [`Reference::new`](crate::Reference::new).
pub fn plan(
    model: &CausalLm,
    data: &CalibrationData,
    config: &PlanConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<Plan> {
    let skip = QuantConfig { skip: config.skip.clone(), ..QuantConfig::default() };
    let (choices, sensitivity) = sensitivity::measure(model, data, (config, &skip), progress)?;
    let weights = model.config.num_parameters();
    let planned: usize = choices.iter().map(|c| c.options.last().map_or(0, |o| o.1)).sum();
    let fixed = 2 * weights - planned;
    let chosen = match config.target {
        Target::BitsPerWeight(bits) => {
            assign::within_bytes(&choices, fixed, (bits * weights as f64 / 8.0) as usize)?
        }
        Target::Bytes(bytes) => assign::within_bytes(&choices, fixed, bytes)?,
        Target::MaxKl(kl) => assign::within_kl(&choices, kl)?,
    };
    let options = || choices.iter().zip(&chosen).map(|(c, at)| &c.options[*at]);
    let bytes = fixed + options().map(|o| o.1).sum::<usize>();
    let overrides = choices
        .iter()
        .zip(&chosen)
        .map(|(choice, at)| Override { pattern: choice.name.clone(), format: choice.options[*at].0 });
    Ok(Plan {
        overrides: overrides.collect(),
        sensitivity,
        predicted_kl: options().map(|o| o.2).sum(),
        bytes,
        bits_per_weight: bytes as f64 * 8.0 / weights.max(1) as f64,
    })
}

fn out_of_reach(what: &str, best: f64, limit: f64) -> Error {
    Error::NoPlan { reason: format!("{what}: at best {best:.6}, limit {limit:.6}") }
}
