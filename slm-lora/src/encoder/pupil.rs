//! [`Pupil`]: what learns.

use std::fmt;

use burn::tensor::{Device, Tensor, TensorData};
use slm_core::TextEncoder;
use slm_core::encoder::Segment;
use slm_core::model::Parameter;

use super::data::Examples;
use super::loss::{Targets, scores, unit};
use super::{EncoderTrainConfig, LabelLoss};
use crate::Result;
use crate::train::{Learner, TrainConfig};

/// Name of the vectors of the labels among the weights.
const PROTOTYPES: &str = "prototypes";
/// How much faster than the encoder they move.
const HASTE: f64 = 10.0;
/// Texts that are embedded at a time for the first prototypes.
const TEXTS: usize = 128;

/// An encoder, and the vectors of the labels that it learns to reach.
#[derive(Clone)]
pub(super) struct Pupil {
    pub(super) encoder: TextEncoder,
    /// `[labels, hidden]`.
    prototypes: Option<Tensor<2>>,
}

impl fmt::Debug for Pupil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pupil").field("encoder", &self.encoder.encoder.config).finish_non_exhaustive()
    }
}

impl Pupil {
    /// On an autodiff device, with the labels' means as prototypes where these are learned.
    pub(super) fn new(
        mut encoder: TextEncoder,
        examples: &Examples,
        config: &EncoderTrainConfig,
    ) -> Result<Self> {
        let prototypes = match examples {
            Examples::Labelled { texts, labels, names } if config.label_loss == LabelLoss::Prototypes => {
                Some(means(&encoder, texts, (labels, names.len()))?.autodiff())
            }
            _ => None,
        };
        encoder.encoder = encoder.encoder.autodiff();
        Ok(Self { encoder, prototypes })
    }

    /// The loss of some examples, in nats.
    pub(super) fn loss(
        &self,
        examples: &Examples,
        chosen: &[usize],
        config: &EncoderTrainConfig,
    ) -> Result<Tensor<1>> {
        let pick = |from: &[Segment]| chosen.iter().map(|index| from[*index].clone()).collect::<Vec<_>>();
        match examples {
            Examples::Labelled { texts, labels, names } => {
                let vectors = self.encoder.vectors(&pick(texts))?;
                let labels: Vec<usize> = chosen.iter().map(|index| labels[*index]).collect();
                let (targets, columns) = match &self.prototypes {
                    Some(prototypes) => (
                        Targets::labels(&labels, names.len(), config.label_smoothing),
                        unit(prototypes.clone()),
                    ),
                    None => (Targets::same(&labels), vectors.clone()),
                };
                Ok(targets.loss(scores(vectors, columns, config.scale)))
            }
            Examples::Pairs { queries, passages } => {
                let (count, passages) = (chosen.len(), pick(passages));
                let both = [pick(queries), passages.clone()].concat();
                let vectors = self.encoder.vectors(&both)?;
                let (queries, found) = (vectors.clone().narrow(0, 0, count), vectors.narrow(0, count, count));
                Ok(Targets::own(&passages).loss(scores(queries, found, config.scale)))
            }
        }
    }
}

impl Learner for Pupil {
    fn visit(&mut self, _config: &TrainConfig, f: &mut dyn FnMut(&str, Parameter<'_>)) {
        self.encoder.encoder.for_each_parameter(&mut |name, parameter| {
            // Most tokens of a vocabulary occur in no text: their rows stay as pretraining left them, and so do the others.
            if !name.ends_with("_embeddings.weight") {
                f(name, parameter);
            }
        });
        if let Some(prototypes) = &mut self.prototypes {
            f(PROTOTYPES, Parameter::Matrix(prototypes));
        }
    }

    fn device(&self) -> Device {
        self.encoder.encoder.device()
    }

    fn inner(mut self) -> Self {
        self.encoder.encoder = self.encoder.encoder.inner();
        Self { prototypes: self.prototypes.map(Tensor::inner), ..self }
    }

    fn haste(name: &str, _vector: bool, _config: &TrainConfig) -> f64 {
        if name == PROTOTYPES { HASTE } else { 1.0 }
    }
}

/// The mean vector of each label, `[labels, hidden]`, of length 1.
fn means(encoder: &TextEncoder, texts: &[Segment], (labels, count): (&[usize], usize)) -> Result<Tensor<2>> {
    let device = encoder.encoder.device();
    let mut sums = Tensor::<2>::zeros([count, encoder.encoder.config.hidden_size], &device);
    for (texts, labels) in texts.chunks(TEXTS).zip(labels.chunks(TEXTS)) {
        let mut belongs = vec![0.0_f32; count * texts.len()];
        for (column, label) in labels.iter().enumerate() {
            belongs[label * texts.len() + column] = 1.0;
        }
        let belongs = Tensor::<2>::from_data(TensorData::new(belongs, [count, texts.len()]), &device);
        sums = sums + belongs.matmul(encoder.vectors(texts)?);
    }
    Ok(unit(sums))
}
