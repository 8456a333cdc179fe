//! Writing a checkpoint.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::{Dtype, SafeTensorError, View};

use super::{Description, FORMAT_VERSION, METADATA_KEY, Packing, Stored, Values, codes_name, scales_name};
use crate::{Bits, Error, Format, PackedTensor, Result};

/// A tensor as safetensors sees it.
struct Part<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    data: &'a [u8],
}

impl View for Part<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.data)
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}

/// Writes `tensors` to `path`: to a temporary file beside it first, which then takes its place.
///
/// The same tensors give the same bytes.
///
/// # Errors
///
/// A shape that contradicts the number of values, two tensors that would get the same name in the file (a
/// packed `a` and a dense `a.codes`), or a file that cannot be written.
pub fn save_packed(path: impl AsRef<Path>, tensors: &BTreeMap<String, Stored>) -> Result<()> {
    let path = path.as_ref();
    let mut description = Description { version: FORMAT_VERSION, tensors: BTreeMap::new() };
    let mut parts = BTreeMap::new();
    for (name, stored) in tensors {
        if let Stored::Packed(packed) = stored {
            let (bits, group_size) = width(path, name, packed)?;
            let packing = Packing { bits, group_size };
            description.tensors.insert(name.clone(), packing);
        }
        for (name, part) in split(path, name, stored)? {
            if parts.contains_key(&name) {
                return Err(tensor(path, &name, "two tensors would be stored under this name".into()));
            }
            parts.insert(name, part);
        }
    }
    let json = serde_json::to_string(&description)
        .map_err(|e| Error::Metadata { path: path.into(), reason: e.to_string() })?;
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), json)]);
    safetensors::serialize_to_file(parts, Some(metadata), path).map_err(|e| match e {
        SafeTensorError::IoError(source) => Error::Io { path: path.into(), source },
        source => Error::Corrupt { path: path.into(), source },
    })
}

/// Bits and group size of a format that this version stores.
fn width(path: &Path, name: &str, packed: &PackedTensor) -> Result<(Bits, usize)> {
    match packed.format() {
        Format::Int4 { group_size } => Ok((Bits::Int4, group_size)),
        Format::Int8 { group_size } => Ok((Bits::Int8, group_size)),
        other => Err(tensor(path, name, format!("expected 4 or 8 bits in groups, got {other}"))),
    }
}

/// The tensors of the file that hold `stored`.
fn split<'a>(path: &Path, name: &str, stored: &'a Stored) -> Result<Vec<(String, Part<'a>)>> {
    let (shape, values) = match stored {
        Stored::Dense { shape, values } => (shape, values),
        Stored::Packed(packed) => {
            let (rows, cols) = (packed.rows(), packed.cols());
            let codes = Part {
                dtype: Dtype::U8,
                shape: vec![rows, packed.format().row_bytes(cols)],
                data: packed.codes(),
            };
            let scales = Part {
                dtype: Dtype::F16,
                shape: vec![rows, packed.format().row_scales(cols)],
                data: bytemuck::cast_slice(packed.scales()),
            };
            return Ok(vec![(codes_name(name), codes), (scales_name(name), scales)]);
        }
    };
    let expected = shape.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim));
    if expected != Some(values.len()) {
        return Err(tensor(path, name, format!("shape {shape:?} does not hold {} values", values.len())));
    }
    let (dtype, data) = match values {
        Values::F32(values) => (Dtype::F32, bytemuck::cast_slice(values)),
        Values::F16(values) => (Dtype::F16, bytemuck::cast_slice(values)),
        Values::Bf16(values) => (Dtype::BF16, bytemuck::cast_slice(values)),
    };
    Ok(vec![(name.to_owned(), Part { dtype, shape: shape.clone(), data })])
}

fn tensor(path: &Path, name: &str, reason: String) -> Error {
    Error::Tensor { path: path.into(), name: name.into(), reason }
}
