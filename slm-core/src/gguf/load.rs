//! From a GGUF file to a [`CausalLm`].

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use burn::tensor::{Device, TensorData};
use slm_kernels::{BlockType, Bytes, PackedTensor};

use super::config::CONFIG_TENSORS;
use super::names::{Interleaved, tensor_name};
use super::{GgufFile, GgufTensor};
use crate::config::{ModelConfig, NormWeight};
use crate::model::{FloatType, LoadOptions, Stored, Value, layout, widen};
use crate::{CausalLm, Error, Result};

impl CausalLm {
    /// Loads a GGUF file with default [`LoadOptions`]. Weights in blocks stay as they are, in the memory map.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged, its architecture or a type of its tensors is not known, or its
    /// tensors are not those of its metadata.
    pub fn load_gguf(path: &Path, device: &Device) -> Result<Self> {
        Self::from_gguf(&GgufFile::open(path)?, LoadOptions::default(), device)
    }

    /// Puts a model together from an open file. `options` are about its floating-point tensors; blocks stay blocks.
    ///
    /// # Errors
    /// As [`CausalLm::load_gguf`].
    pub fn from_gguf(file: &GgufFile, options: LoadOptions, device: &Device) -> Result<Self> {
        let config = file.model_config()?;
        let layout = layout(&config);
        check(file, &config, &layout)?;
        let float = options.float(device);
        let mut values = BTreeMap::new();
        for stored in layout {
            let tensor = file.tensor(&file_name(&config, &stored.name))?;
            let order = Interleaved::of(&config, &stored.name);
            let mut from = 0;
            for (name, rows) in stored.parts {
                let part = Part { file, tensor, rows: from..from + rows, order };
                from += rows;
                let float = if tensor.shape.len() == 1 { Some(FloatType::F32) } else { float };
                let value = part.value(&stored.name, float)?;
                let offset = config.norm_weight == NormWeight::OffsetFromOne && name.ends_with("norm.weight");
                values.insert(name, if offset { minus_one(value) } else { value });
            }
        }
        Self::from_values(config, values, file.path(), device)
    }
}

fn file_name(config: &ModelConfig, name: &str) -> String {
    tensor_name(config, name).unwrap_or_else(|| name.into())
}

/// All that is missing, surplus or misshapen.
fn check(file: &GgufFile, config: &ModelConfig, layout: &[Stored]) -> Result<()> {
    let mut surplus: BTreeSet<&str> = file.header().tensors.keys().map(String::as_str).collect();
    let mut problems = Vec::new();
    for stored in layout {
        let name = file_name(config, &stored.name);
        surplus.remove(name.as_str());
        match file.header().tensors.get(&name) {
            None => problems.push(format!("missing {name} {:?}", stored.shape)),
            Some(tensor) if tensor.shape != stored.shape => {
                problems.push(format!("{name}: expected {:?}, found {:?}", stored.shape, tensor.shape));
            }
            Some(_) => {}
        }
    }
    let surplus = surplus.into_iter().filter(|name| !CONFIG_TENSORS.contains(name));
    problems.extend(surplus.map(|name| format!("surplus {name} {:?}", file.header().tensors[name].shape)));
    if problems.is_empty() { Ok(()) } else { Err(Error::Tensors { path: file.path().into(), problems }) }
}

/// Gemma's files hold what norms multiply with; its checkpoints, the distance from one. The sum is the same number.
fn minus_one(value: Value) -> Value {
    match value {
        Value::Dense(data) => {
            let shape = data.shape().to_vec();
            let values: Vec<f32> = data.iter::<f32>().map(|v| v - 1.0).collect();
            Value::Dense(TensorData::new(values, shape))
        }
        other => other,
    }
}

/// Some rows of a tensor, in the order of the checkpoint.
struct Part<'a> {
    file: &'a GgufFile,
    tensor: &'a GgufTensor,
    rows: Range<usize>,
    order: Option<Interleaved>,
}

impl Part<'_> {
    fn value(&self, name: &str, float: Option<FloatType>) -> Result<Value> {
        let mut shape = self.tensor.shape.clone();
        shape[0] = self.rows.len();
        let Some(stored) = self.tensor.kind.float() else {
            return self.blocks(name);
        };
        if self.order.is_none()
            && float.is_none_or(|float| float == stored)
            && let Ok(data) = self.file.map().tensor_data(self.range(), shape.clone(), stored.into())
        {
            return Ok(Value::Dense(data));
        }
        let values = widen(stored, &self.bytes());
        Ok(Value::Dense(float.unwrap_or(stored).data(values, shape)))
    }

    /// Bytes of a row.
    fn width(&self) -> usize {
        self.tensor.range.len() / self.tensor.shape[0].max(1)
    }

    /// Where the rows are in the file, if they are in order.
    fn range(&self) -> Range<usize> {
        let start = self.tensor.range.start;
        start + self.rows.start * self.width()..start + self.rows.end * self.width()
    }

    fn bytes(&self) -> Cow<'_, [u8]> {
        let (all, width) = (self.file.bytes(self.tensor), self.width());
        match self.order {
            None => Cow::Borrowed(&all[self.rows.start * width..self.rows.end * width]),
            Some(order) => {
                let rows = self.rows.clone().map(|row| order.in_file(row));
                Cow::Owned(rows.flat_map(|row| &all[row * width..(row + 1) * width]).copied().collect())
            }
        }
    }

    fn blocks(&self, name: &str) -> Result<Value> {
        let kind = self.tensor.kind;
        let (Some(block), &[_, cols]) = (BlockType::from_ggml_type(kind.number()), &self.tensor.shape[..])
        else {
            let known: Vec<String> = BlockType::ALL.iter().map(|b| b.name().to_uppercase()).collect();
            return Err(self.file.error(format!(
                "{name} is {kind} of {:?}, which is not read\nhint: take a file in F32, F16, BF16, {}",
                self.tensor.shape,
                known.join(", ")
            )));
        };
        let bytes = match self.order {
            None => Bytes::mapped(self.file.map(), self.range()),
            Some(_) => Ok(self.bytes().into_owned().into()),
        };
        let packed = bytes.and_then(|bytes| PackedTensor::from_blocks(bytes, [self.rows.len(), cols], block));
        packed.map(Value::Packed).map_err(|e| self.file.error(format!("{name}: {e}")))
    }
}
