//! How gradients become updates, and what an optimizer remembers.

use burn::optim::{
    AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, AdjustLrFn, Lion, LionConfig, LionState, Muon,
    MuonConfig, Optimizer, decay::WeightDecayConfig, momentum::MomentumConfig,
};
use burn::tensor::{Device, Tensor};
use slm_core::model::Parameter;

use super::moments::Moments;
use super::parameters::{Learner, flat};
use super::{OptimizerKind, TrainConfig};

/// Muon's memory of gradients.
const MUON_MOMENTUM: f32 = 0.95;

/// What is remembered of one weight, flattened.
#[derive(Clone)]
pub(super) enum State {
    AdamW(Box<AdamWState<1>>),
    /// Both moments, in 8 bits, after so many steps.
    Rounded([Moments; 2], usize),
    Lion(LionState<1>),
    Muon(Tensor<1>),
}

impl State {
    /// Its tensors by name, for a checkpoint. Rounded moments are written as the numbers that the next step reads.
    pub(super) fn tensors(&self, device: &Device) -> Vec<(&'static str, Tensor<1>)> {
        match self {
            Self::Rounded([first, second], _) => {
                vec![("moment_1", first.tensor(device)), ("moment_2", second.tensor(device))]
            }
            Self::AdamW(s) => {
                vec![("moment_1", s.momentum.moment_1.clone()), ("moment_2", s.momentum.moment_2.clone())]
            }
            Self::Lion(s) => vec![("momentum", s.momentum.clone())],
            Self::Muon(velocity) => vec![("velocity", velocity.clone())],
        }
    }

    /// What `AdamW` remembers, in full precision.
    fn moments(self, device: &Device) -> Option<AdamWState<1>> {
        match self {
            Self::AdamW(state) => Some(*state),
            Self::Rounded([first, second], step) => {
                let momentum = AdaptiveMomentumState::new(step, first.tensor(device), second.tensor(device));
                Some(AdamWState::new(momentum))
            }
            Self::Lion(_) | Self::Muon(_) => None,
        }
    }

    /// In 8 bits; as it is where the numbers cannot be read from their device.
    fn rounded(state: AdamWState<1>) -> Self {
        let first = Moments::of(state.momentum.moment_1.clone(), true);
        match first.zip(Moments::of(state.momentum.moment_2.clone(), false)) {
            Some((first, second)) => Self::Rounded([first, second], state.momentum.time),
            None => Self::AdamW(Box::new(state)),
        }
    }

    /// The state after `step` steps from its tensors; `None` where one is missing.
    pub(super) fn of(take: &mut dyn FnMut(&str) -> Option<Tensor<1>>, step: usize) -> Option<Self> {
        if let Some(first) = take("moment_1") {
            return Some(Self::AdamW(Box::new(AdamWState::new(AdaptiveMomentumState::new(
                step,
                first,
                take("moment_2")?,
            )))));
        }
        match take("momentum") {
            Some(momentum) => Some(Self::Lion(LionState::new(momentum))),
            None => take("velocity").map(Self::Muon),
        }
    }
}

/// The optimizer, with decay on matrices only.
pub(super) struct Updater {
    matrices: AdamW,
    vectors: AdamW,
    lion: [Lion; 2],
    muon: Muon,
    kind: OptimizerKind,
    /// Of each trainable weight; empty before the first step.
    pub(super) states: Vec<Option<State>>,
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
        let lion = |decay| {
            LionConfig::new()
                .with_beta_1(config.beta_1)
                .with_beta_2(config.beta_2.min(0.99))
                .with_weight_decay(decay)
                .build()
        };
        // burn's state of Muon cannot be read back for a checkpoint: the momentum is kept here.
        let muon = MuonConfig::new()
            .with_momentum(MomentumConfig { momentum: 0.0, dampening: 0.0, nesterov: false })
            .with_adjust_lr_fn(AdjustLrFn::MatchRmsAdamW)
            .with_weight_decay(
                (config.weight_decay > 0.0).then(|| WeightDecayConfig::new(config.weight_decay)),
            );
        Self {
            matrices: adamw(config.weight_decay),
            vectors: adamw(0.0),
            lion: [lion(config.weight_decay), lion(0.0)],
            muon: muon.build(),
            kind: config.optimizer,
            states: Vec::new(),
        }
    }

    /// Bytes remembered for each trainable number; a scale for 256 of them is not counted.
    pub(super) fn bytes_per_weight(&self) -> usize {
        match self.kind {
            OptimizerKind::AdamW => 8,
            OptimizerKind::AdamW8bit => 2,
            OptimizerKind::Lion | OptimizerKind::Muon => 4,
        }
    }

    /// Moves each trainable weight by its gradient times `scale`.
    pub(super) fn update<M: Learner>(
        &mut self,
        model: &mut M,
        config: &TrainConfig,
        gradients: Vec<Tensor<1>>,
        (rate, scale): (f64, f32),
    ) {
        self.states.resize_with(gradients.len(), || None);
        let mut states = std::mem::take(&mut self.states);
        let mut slots = gradients.into_iter().zip(&mut states);
        model.visit(config, &mut |name, parameter| {
            let Some((gradient, state)) = slots.next() else { return };
            let gradient = gradient.mul_scalar(scale);
            let rate = rate * M::haste(name, matches!(parameter, Parameter::Vector(_)), config);
            match parameter {
                Parameter::Vector(t) => *t = self.moved(rate, t, gradient, state),
                Parameter::Matrix(t) => *t = self.moved(rate, t, gradient, state),
            }
        });
        self.states = states;
    }

    fn moved<const D: usize>(
        &self,
        rate: f64,
        weight: &Tensor<D>,
        gradient: Tensor<1>,
        state: &mut Option<State>,
    ) -> Tensor<D> {
        let (dims, old) = (weight.dims(), flat(weight.clone().inner()));
        let matrix = D == 2;
        let (new, after) = match (self.kind, state.take()) {
            (OptimizerKind::Lion, before) => {
                let before = before.and_then(|s| if let State::Lion(s) = s { Some(s) } else { None });
                let (new, after) = self.lion[usize::from(!matrix)].step(rate, old, gradient, before);
                (new, after.map(State::Lion))
            }
            (OptimizerKind::Muon, before) if matrix => {
                let velocity = match before {
                    Some(State::Muon(velocity)) => velocity.mul_scalar(MUON_MOMENTUM) + gradient.clone(),
                    _ => gradient.clone(),
                };
                let ahead = gradient + velocity.clone().mul_scalar(MUON_MOMENTUM);
                let shape = [dims[0], dims[D - 1]];
                let (new, _) = self.muon.step::<2>(rate, old.reshape(shape), ahead.reshape(shape), None);
                (flat(new), Some(State::Muon(velocity)))
            }
            (_, before) => {
                let before = before.and_then(|state| state.moments(&gradient.device()));
                let optimizer = if matrix { &self.matrices } else { &self.vectors };
                let (new, after) = optimizer.step(rate, old, gradient, before);
                let rounded = self.kind == OptimizerKind::AdamW8bit;
                (
                    new,
                    after.map(
                        |after| if rounded { State::rounded(after) } else { State::AdamW(Box::new(after)) },
                    ),
                )
            }
        };
        *state = after;
        new.reshape(dims).autodiff().require_grad()
    }
}
