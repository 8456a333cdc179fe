//! Which examples a step sees: a function of the seed and the step alone.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::data::Examples;
use super::{EncoderTrainConfig, LabelLoss};

/// The examples in the order of training.
#[derive(Debug)]
pub(super) struct Order {
    examples: usize,
    batch_size: usize,
    seed: u64,
    /// The label of each, and how many of one label come together; where they do.
    groups: Option<(Vec<usize>, usize)>,
    /// Order of one epoch, kept until another is asked for.
    epoch: Option<(usize, Vec<Vec<usize>>)>,
}

impl Order {
    pub(super) fn new(examples: &Examples, config: &EncoderTrainConfig) -> Self {
        let groups = match examples {
            Examples::Labelled { labels, .. } if config.label_loss == LabelLoss::SupervisedContrastive => {
                Some((labels.clone(), config.texts_per_label))
            }
            _ => None,
        };
        let examples = examples.len();
        Self { examples, batch_size: config.batch_size, seed: config.seed, groups, epoch: None }
    }

    /// A last batch of one example, which has nothing to be compared with, joins the one before.
    pub(super) fn steps_per_epoch(&self) -> usize {
        let lonely = self.examples % self.batch_size == 1 && self.examples > self.batch_size;
        self.examples.div_ceil(self.batch_size) - usize::from(lonely)
    }

    /// Indices of the examples of a step.
    pub(super) fn examples(&mut self, step: usize) -> Vec<usize> {
        let (epoch, within) = (step / self.steps_per_epoch(), step % self.steps_per_epoch());
        if self.epoch.as_ref().is_none_or(|(e, _)| *e != epoch) {
            self.epoch = Some((epoch, self.shuffled(epoch)));
        }
        self.epoch.as_ref().map_or(Vec::new(), |(_, steps)| steps[within].clone())
    }

    fn shuffled(&self, epoch: usize) -> Vec<Vec<usize>> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(epoch as u64);
        let mut order: Vec<usize> = (0..self.examples).collect();
        order.shuffle(&mut rng);
        if let Some((labels, count)) = &self.groups {
            let mut of_label: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for index in order {
                of_label.entry(labels[index]).or_default().push(index);
            }
            let mut groups: Vec<&[usize]> = of_label.values().flat_map(|own| own.chunks(*count)).collect();
            groups.shuffle(&mut rng);
            order = groups.concat();
        }
        let mut steps: Vec<Vec<usize>> = order.chunks(self.batch_size).map(<[usize]>::to_vec).collect();
        if let Some(last) = steps.pop_if(|last| last.len() == 1) {
            match steps.last_mut() {
                Some(before) => before.extend(last),
                None => steps.push(last),
            }
        }
        steps
    }
}
