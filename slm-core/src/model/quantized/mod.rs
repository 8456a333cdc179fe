//! Checkpoints that other libraries quantized: GPTQ, AWQ and bitsandbytes, read into packed weights; GPTQ written too.

mod awq;
mod bitsandbytes;
mod codes;
mod gptq;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value as Json;

use super::files::TensorFile;
use super::layout::{Stored, layout};
use super::load::Value;
use super::{FloatType, repeats_head};
use crate::config::ModelConfig;
use crate::{Error, Result};
use codes::Codes;

/// How a checkpoint was quantized, from `quantization_config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// GPTQ (Frantar et al. 2022), in the layout of AutoGPTQ and GPTQModel.
    Gptq { bits: usize, group_size: Option<usize>, zeros_less_one: bool },
    /// AWQ (Lin et al. 2023), in the layout of AutoAWQ's `gemm`.
    Awq { group_size: Option<usize> },
    /// `NormalFloat` of bitsandbytes (Dettmers et al. 2023).
    BitsAndBytes,
}

impl Method {
    /// `None` for what is no method of others: our own, or none at all.
    pub(super) fn parse(quantization: &Json) -> Result<Option<Self>> {
        let wrong =
            |field: &str, reason: String| Error::config(format!("quantization_config.{field}"), reason);
        let number = |names: [&str; 2]| names.iter().find_map(|name| quantization[*name].as_i64());
        // -1 is one group for each output.
        let group_size = number(["group_size", "q_group_size"]).and_then(|g| usize::try_from(g).ok());
        match quantization["quant_method"].as_str() {
            None if quantization.is_null() => Ok(None),
            Some("slm") => Ok(None),
            Some("gptq") => {
                let bits = number(["bits", "w_bit"]).and_then(|b| usize::try_from(b).ok()).unwrap_or(4);
                if !matches!(bits, 4 | 8) {
                    return Err(wrong("bits", format!("expected 4 or 8, found {bits}")));
                }
                let format = quantization["checkpoint_format"].as_str().unwrap_or("gptq");
                match format {
                    "gptq" | "gptq_v2" => {
                        Ok(Some(Self::Gptq { bits, group_size, zeros_less_one: format == "gptq" }))
                    }
                    other => {
                        Err(wrong("checkpoint_format", format!("expected gptq or gptq_v2, found {other}")))
                    }
                }
            }
            Some("awq") => {
                let version = quantization["version"].as_str().unwrap_or("gemm").to_lowercase();
                let bits = number(["bits", "w_bit"]).unwrap_or(4);
                if version != "gemm" || bits != 4 {
                    let found = format!("expected 4 bits in version gemm, found {bits} in {version}");
                    return Err(wrong("version", found));
                }
                Ok(Some(Self::Awq { group_size }))
            }
            Some("bitsandbytes") => Ok(Some(Self::BitsAndBytes)),
            other => {
                let known = "slm, gptq, awq and bitsandbytes";
                Err(wrong("quant_method", format!("expected one of {known}, found {other:?}")))
            }
        }
    }
}

/// The open files of a checkpoint, and which of their tensors were taken.
struct Tensors<'a> {
    files: &'a [TensorFile],
    origin: &'a Path,
    used: BTreeSet<String>,
}

impl<'a> Tensors<'a> {
    /// The file that holds a tensor, which is then no surplus.
    fn take(&mut self, name: &str) -> Option<&'a TensorFile> {
        let file = self.files.iter().find(|file| file.has(name))?;
        self.used.insert(name.into());
        Some(file)
    }

    fn need(&mut self, name: &str) -> Result<&'a TensorFile> {
        let missing =
            || Error::Tensors { path: self.origin.into(), problems: vec![format!("missing {name}")] };
        self.files.iter().find(|file| file.has(name)).ok_or_else(missing).inspect(|_| {
            self.used.insert(name.into());
        })
    }

    /// The rest, but for biases of nothing but zeros, which some exports add, and what does no harm.
    fn surplus(&self, config: &ModelConfig) -> Vec<String> {
        let mut all = Vec::new();
        for file in self.files {
            for (name, shape) in file.shapes() {
                let zeros = || {
                    name.ends_with(".bias") && file.read_f32(&name).is_ok_and(|b| b.iter().all(|v| *v == 0.0))
                };
                if !self.used.contains(&name) && !repeats_head(config, &name) && !zeros() {
                    all.push(format!("surplus {name} {shape:?}"));
                }
            }
        }
        all
    }
}

/// The parameters of a checkpoint; what is not quantized comes in `float`.
pub(super) fn read(
    config: &ModelConfig,
    method: Method,
    (files, origin): (&[TensorFile], &Path),
    float: Option<FloatType>,
) -> Result<BTreeMap<String, Value>> {
    let mut tensors = Tensors { files, origin, used: BTreeSet::new() };
    let mut values = BTreeMap::new();
    for stored in layout(config) {
        let quantized = match method {
            Method::Gptq { .. } => gptq::read(&mut tensors, &stored, method)?,
            Method::Awq { group_size } => awq::read(&mut tensors, &stored, group_size)?,
            Method::BitsAndBytes => bitsandbytes::read(&mut tensors, &stored)?,
        };
        match quantized {
            Some(codes) => packed(&codes, &stored, origin, &mut values)?,
            None => dense(&mut tensors, &stored, float, &mut values)?,
        }
    }
    let problems = tensors.surplus(config);
    if problems.is_empty() { Ok(values) } else { Err(Error::Tensors { path: origin.into(), problems }) }
}

fn packed(codes: &Codes, stored: &Stored, origin: &Path, values: &mut BTreeMap<String, Value>) -> Result<()> {
    if [codes.rows, codes.cols] != stored.shape[..] {
        let (name, got) = (&stored.name, [codes.rows, codes.cols]);
        let problems = vec![format!("{name}: expected {:?}, found {got:?}", stored.shape)];
        return Err(Error::Tensors { path: origin.into(), problems });
    }
    let mut from = 0;
    for (name, rows) in &stored.parts {
        let value = codes
            .value(from..from + rows)
            .map_err(|e| Error::Weights { path: origin.into(), reason: format!("{name}: {e}") })?;
        values.insert(name.clone(), value);
        from += rows;
    }
    Ok(())
}

fn dense(
    tensors: &mut Tensors<'_>,
    stored: &Stored,
    float: Option<FloatType>,
    values: &mut BTreeMap<String, Value>,
) -> Result<()> {
    let file = tensors.need(&stored.name)?;
    let float = if stored.shape.len() == 1 { Some(FloatType::F32) } else { float };
    let mut from = 0;
    for (name, rows) in &stored.parts {
        values.insert(
            name.clone(),
            Value::Dense(file.read_rows(&stored.name, Some(from..from + rows), float)?),
        );
        from += rows;
    }
    Ok(())
}
