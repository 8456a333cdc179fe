//! A fresh model, for pretraining.

use std::collections::BTreeMap;

use burn::tensor::{Device, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use super::CausalLm;
use super::layout::layout;
use super::load::{Source, Value};
use crate::config::{ModelConfig, NormWeight};
use crate::{Error, Result};

impl CausalLm {
    /// A model with weights drawn from `seed`: normal with deviation 0.02, narrower by `√(2·layers)` for the
    /// projections that write to the residual stream (GPT-2, Radford et al. 2019); norms are one, biases zero.
    ///
    /// # Errors
    /// When the configuration has no valid deviation.
    pub fn init(config: ModelConfig, seed: u64, device: &Device) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let residual = 0.02 / (2.0 * config.num_hidden_layers as f32).sqrt();
        let mut source = Source { values: BTreeMap::new() };
        for stored in layout(&config) {
            let count: usize = stored.shape.iter().product();
            let name = &stored.name;
            let norm_is_offset = config.norm_weight == NormWeight::OffsetFromOne;
            let values = if name.ends_with(".bias") || (stored.shape.len() == 1 && norm_is_offset) {
                vec![0.0; count]
            } else if stored.shape.len() == 1 {
                vec![1.0; count]
            } else {
                let writes = name.contains("o_proj") || name.contains("down_proj");
                let normal = Normal::new(0.0, if writes { residual } else { 0.02 })
                    .map_err(|e| Error::config("num_hidden_layers", e.to_string()))?;
                (0..count).map(|_| normal.sample(&mut rng)).collect()
            };
            let width = count / stored.shape[0];
            let mut rest = values.as_slice();
            for (name, rows) in &stored.parts {
                let (own, after) = rest.split_at(rows * width);
                rest = after;
                let mut shape = stored.shape.clone();
                shape[0] = *rows;
                source.values.insert(name.clone(), Value::Dense(TensorData::new(own.to_vec(), shape)));
            }
        }
        source.model(config, device)
    }
}
