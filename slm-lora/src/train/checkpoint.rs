//! Checkpoints: one safetensors file with the trainable weights, the optimizer's moments and the step.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use slm_core::model::{Parameter, TensorFile, write_atomically};

use super::optimizer::State;
use super::parameters::{Learner, size};
use super::{Descent, TrainConfig};
use crate::{Error, Result};

const KEY: &str = "slm.train";

/// What a checkpoint says about its run.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    version: u32,
    step: usize,
    data: String,
    config: TrainConfig,
    /// What is learned, where it is not the tokens of the data.
    #[serde(default)]
    objective: Option<serde_json::Value>,
}

impl<M: Learner> Descent<M> {
    /// Writes a checkpoint: beside its place first, so that an interruption leaves the one before. `objective` says what is
    /// learned, where it is not the tokens of the data.
    ///
    /// # Errors
    /// When a tensor cannot be read back or the file cannot be written.
    pub(crate) fn save(&self, path: &Path, objective: Option<serde_json::Value>) -> Result<()> {
        let mut tensors: Vec<(String, Vec<f32>)> = Vec::new();
        let mut states = self.updater.states.iter();
        let mut means = self.ema.iter();
        let mut failure = None;
        let mut model = self.model.clone();
        model.visit(&self.config, &mut |name, parameter| {
            let weight = match parameter {
                Parameter::Vector(t) => t.clone().inner().try_into_vec_as(),
                Parameter::Matrix(t) => t.clone().inner().try_into_vec_as(),
            };
            let mut add = |kind: &str, values: std::result::Result<Vec<f32>, _>| match values {
                Ok(values) => tensors.push((format!("{kind}:{name}"), values)),
                Err(e) => failure = Some(slm_core::Error::Device { reason: format!("{name}: {e:?}") }),
            };
            add("weight", weight);
            if let Some(Some(state)) = states.next() {
                for (kind, tensor) in state.tensors(&self.model.device()) {
                    add(kind, tensor.try_into_vec_as());
                }
            }
            if let Some(mean) = means.next() {
                add("ema", mean.clone().try_into_vec_as());
            }
        });
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        let description = Description {
            version: 1,
            step: self.step,
            data: format!("{:016x}", self.fingerprint),
            config: self.config.clone(),
            objective,
        };
        let json = serde_json::to_string(&description)
            .map_err(|source| slm_core::Error::Json { path: path.into(), source })?;
        let invalid = |e: safetensors::SafeTensorError| wrong(path, e.to_string());
        let encoded: Vec<(String, usize, Vec<u8>)> = tensors
            .into_iter()
            .map(|(name, values)| (name, values.len(), values.iter().flat_map(|v| v.to_le_bytes()).collect()))
            .collect();
        let views = encoded
            .iter()
            .map(|(n, len, b)| Ok((n.as_str(), TensorView::new(Dtype::F32, vec![*len], b).map_err(invalid)?)))
            .collect::<Result<Vec<_>>>()?;
        let metadata = HashMap::from([(KEY.to_owned(), json)]);
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(invalid)?;
        Ok(write_atomically(path, &bytes)?)
    }

    /// Continues from a checkpoint of the same data, settings and objective.
    ///
    /// # Errors
    /// When the file is missing or corrupt, or belongs to another run; nothing is then changed.
    pub(crate) fn resume(&mut self, path: &Path, objective: Option<&serde_json::Value>) -> Result<()> {
        let file = TensorFile::open(path)?;
        let description = describe(path)?;
        let data = format!("{:016x}", self.fingerprint);
        for (what, same) in [
            ("its version", description.version == 1),
            ("its data", description.data == data),
            ("its settings", description.config == self.config),
            ("its objective", description.objective.as_ref() == objective),
        ] {
            if !same {
                return Err(wrong(path, format!("{what} differs from this run's")));
            }
        }
        let read = |name: &str| -> Result<Vec<f32>> { Ok(file.read_f32(name)?) };
        let shapes = file.shapes();
        let mut values = BTreeMap::new();
        let mut names = Vec::new();
        self.model.clone().visit(&self.config, &mut |name, p| {
            names.push((name.to_owned(), size(&p)));
        });
        for (name, size) in &names {
            for kind in ["weight", "moment_1", "moment_2", "momentum", "velocity", "ema"] {
                let key = format!("{kind}:{name}");
                if !shapes.contains_key(&key) && kind != "weight" {
                    continue;
                }
                let own = read(&key)?;
                if own.len() != *size {
                    return Err(wrong(path, format!("{name}: expected {size} numbers, found {}", own.len())));
                }
                values.insert(key, own);
            }
        }
        self.restore(&mut values, description.step);
        self.model.refresh()
    }

    fn restore(&mut self, values: &mut BTreeMap<String, Vec<f32>>, step: usize) {
        let device = self.model.device().inner();
        let (mut states, mut means) = (Vec::new(), Vec::new());
        self.model.visit(&self.config, &mut |name, parameter| {
            let mut take = |kind: &str| {
                let own = values.remove(&format!("{kind}:{name}"))?;
                let count = own.len();
                Some(Tensor::<1>::from_data(TensorData::new(own, [count]), &device))
            };
            if let Some(weight) = take("weight") {
                match parameter {
                    Parameter::Vector(t) => *t = weight.autodiff().require_grad(),
                    Parameter::Matrix(t) => *t = weight.reshape(t.dims()).autodiff().require_grad(),
                }
            }
            states.push(State::of(&mut take, step));
            means.extend(take("ema"));
        });
        self.updater.states = states;
        self.ema = means;
        self.step = step;
    }
}

fn describe(path: &Path) -> Result<Description> {
    let bytes = std::fs::read(path).map_err(|e| slm_core::Error::io(path, e))?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| wrong(path, e.to_string()))?;
    let text = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
    let text = text.ok_or_else(|| wrong(path, format!("it has no `{KEY}` entry")))?;
    serde_json::from_str(text).map_err(|e| wrong(path, format!("`{KEY}`: {e}")))
}

fn wrong(path: &Path, reason: String) -> Error {
    Error::Checkpoint { path: path.into(), reason }
}
