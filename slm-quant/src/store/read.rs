//! Reading a checkpoint, without trust in it.

use std::collections::BTreeMap;
use std::path::Path;

use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use slm_kernels::{MappedFile, PackedTensor};

use super::{Description, FORMAT_VERSION, METADATA_KEY, Packing, Stored, Values, codes_name, scales_name};
use crate::{Error, Result};

/// Reads a file of [`save_packed`](super::save_packed).
///
/// # Errors
///
/// A file that cannot be read, is truncated or no safetensors file, has no or another version of the
/// description of its packed tensors, or whose tensors contradict that description.
pub fn load_packed(path: impl AsRef<Path>) -> Result<BTreeMap<String, Stored>> {
    let path = path.as_ref();
    let file = MappedFile::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
    let corrupt = |source| Error::Corrupt { path: path.into(), source };
    let (_, metadata) = SafeTensors::read_metadata(&file).map_err(corrupt)?;
    let text = metadata.metadata().as_ref().and_then(|entries| entries.get(METADATA_KEY));
    let description = describe(path, text.map(String::as_str))?;
    let checkpoint = Checkpoint { path, tensors: SafeTensors::deserialize(&file).map_err(corrupt)? };

    let mut dense: BTreeMap<String, TensorView<'_>> = checkpoint.tensors.tensors().into_iter().collect();
    let mut loaded = BTreeMap::new();
    for (name, packing) in &description.tensors {
        loaded.insert(name.clone(), Stored::Packed(checkpoint.packed(name, packing)?));
        dense.remove(&codes_name(name));
        dense.remove(&scales_name(name));
    }
    for (name, view) in dense {
        let values = checkpoint.values(&name, &view)?;
        let stored = Stored::Dense { shape: view.shape().to_vec(), values };
        if loaded.insert(name.clone(), stored).is_some() {
            return Err(checkpoint.error(&name, "stored both dense and packed"));
        }
    }
    Ok(loaded)
}

/// Parses `slm.quant`, the version first: a later format may describe tensors in another way.
fn describe(path: &Path, text: Option<&str>) -> Result<Description> {
    let error = |reason: String| Error::Metadata { path: path.into(), reason };
    let text = text.ok_or_else(|| error("there is no such entry".into()))?;
    let json: Value = serde_json::from_str(text).map_err(|e| error(e.to_string()))?;
    let found = json.get("version").and_then(Value::as_u64);
    let found = found.ok_or_else(|| error("`version` is missing or not a number".into()))?;
    if found != FORMAT_VERSION {
        return Err(Error::Version { path: path.into(), found, supported: FORMAT_VERSION });
    }
    serde_json::from_value(json).map_err(|e| error(e.to_string()))
}

/// An open file.
struct Checkpoint<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
}

impl Checkpoint<'_> {
    fn packed(&self, name: &str, packing: &Packing) -> Result<PackedTensor> {
        let (codes_name, scales_name) = (codes_name(name), scales_name(name));
        let codes = self.view(&codes_name)?;
        if codes.dtype() != Dtype::U8 {
            return Err(self.error(&codes_name, format!("expected U8, got {:?}", codes.dtype())));
        }
        let scales = self.view(&scales_name)?;
        let values = match scales.dtype() {
            Dtype::F32 => {
                let values = bytemuck::pod_collect_to_vec::<u8, f32>(scales.data());
                values.into_iter().map(f16::from_f32).collect()
            }
            Dtype::F16 => bytemuck::pod_collect_to_vec::<u8, f16>(scales.data()),
            other => return Err(self.error(&scales_name, format!("expected F32 or F16, got {other:?}"))),
        };
        let &[rows, groups] = scales.shape() else {
            return Err(self.error(&scales_name, format!("expected 2 dimensions, got {:?}", scales.shape())));
        };
        let cols = groups.checked_mul(packing.group_size);
        let cols = cols.ok_or_else(|| self.error(&scales_name, format!("{groups} groups are too many")))?;
        let format = packing.bits.format(packing.group_size);
        let expected = [rows, format.row_bytes(cols)];
        if codes.shape() != expected {
            let got = codes.shape();
            return Err(self.error(&codes_name, format!("expected shape {expected:?}, got {got:?}")));
        }
        PackedTensor::from_parts(codes.data().to_vec(), values, None, [rows, cols], format)
            .map_err(|e| self.error(name, e.to_string()))
    }

    fn values(&self, name: &str, view: &TensorView<'_>) -> Result<Values> {
        match view.dtype() {
            Dtype::F32 => Ok(Values::F32(bytemuck::pod_collect_to_vec(view.data()))),
            Dtype::F16 => Ok(Values::F16(bytemuck::pod_collect_to_vec(view.data()))),
            Dtype::BF16 => Ok(Values::Bf16(bytemuck::pod_collect_to_vec(view.data()))),
            other => Err(self.error(name, format!("expected F32, F16 or BF16, got {other:?}"))),
        }
    }

    fn view(&self, name: &str) -> Result<TensorView<'_>> {
        self.tensors.tensor(name).map_err(|_| self.error(name, "missing from the file"))
    }

    fn error(&self, name: &str, reason: impl Into<String>) -> Error {
        Error::Tensor { path: self.path.into(), name: name.into(), reason: reason.into() }
    }
}
