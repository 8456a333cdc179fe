//! Our own checkpoints with packed weights: a Hugging Face directory whose packed matrices are several tensors each.
//!
//! A packed matrix `NAME` is `NAME.codes` (U8, `[rows, bytes per row]`), and unless its codes are blocks `NAME.scales`
//! (F16, `[rows, groups]`), with `NAME.minimums` of the same shape for asymmetric formats and `NAME.input_order` (U32,
//! `[cols]`) where columns are in another order; the layouts are those of [`slm_kernels::PackedTensor`]. Names are the
//! separate ones (`q_proj`, not `qkv_proj`) in all families. The file's metadata entry `slm.packed` is JSON:
//! `{"version": 2, "formats": {NAME: "int4-g32"}}`, and `config.json` says `"quant_method": "slm"`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use half::f16;
use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};
use slm_kernels::{Format, PackedTensor};

use super::files::TensorFile;
use super::load::Value;
use super::writer::{Kind, TensorWriter};
use super::{FloatType, Held};
use crate::nn::Weight;
use crate::{Error, Result};

/// Key of the description in the file's metadata.
const DESCRIPTION: &str = "slm.packed";
/// The same of the first version, whose scales were wider.
const FIRST_VERSION: &str = "slm.quant";
const VERSION: u32 = 2;
const PARTS: [&str; 4] = ["codes", "scales", "minimums", "input_order"];

#[derive(Serialize, Deserialize)]
struct Description {
    version: u32,
    formats: BTreeMap<String, String>,
}

/// Adds all of `held` to a file, packed matrices as they are and the rest in `float`; vectors stay in f32.
pub(super) fn write<'a>(
    writer: &mut TensorWriter<'a>,
    held: &'a BTreeMap<String, Held>,
    float: FloatType,
) -> Result<()> {
    let mut description = Description { version: VERSION, formats: BTreeMap::new() };
    for (name, weight) in held {
        match weight {
            Held::Matrix(Weight::Packed(packed)) => {
                description.formats.insert(name.clone(), packed.format().to_string());
                parts(writer, name, packed);
            }
            Held::Matrix(Weight::Dense(w)) => {
                let shape = w.dims();
                writer.tensor(name, float.into(), &shape, move || {
                    Ok(float.encode(&weight.values(name)?).into())
                });
            }
            Held::Vector(v) => {
                let exact = FloatType::F32;
                let shape = v.dims();
                writer.tensor(name, exact.into(), &shape, move || {
                    Ok(exact.encode(&weight.values(name)?).into())
                });
            }
        }
    }
    let json = serde_json::to_string(&description).map_err(|e| Error::config(DESCRIPTION, e.to_string()))?;
    writer.set(DESCRIPTION, json);
    Ok(())
}

fn parts<'a>(writer: &mut TensorWriter<'a>, name: &str, packed: &'a PackedTensor) {
    let (rows, cols, format) = (packed.rows(), packed.cols(), packed.format());
    let codes = [rows, format.row_bytes(cols)];
    writer.tensor(format!("{name}.codes"), Kind::U8, &codes, || Ok(Cow::Borrowed(packed.codes())));
    let groups = [rows, format.row_scales(cols)];
    if groups[1] > 0 {
        let scales = || Ok(Cow::Borrowed(bytemuck::cast_slice(packed.scales())));
        writer.tensor(format!("{name}.scales"), Kind::F16, &groups, scales);
    }
    if let Some(minimums) = packed.minimums() {
        let content = || Ok(Cow::Borrowed(bytemuck::cast_slice(minimums)));
        writer.tensor(format!("{name}.minimums"), Kind::F16, &groups, content);
    }
    if let Some(order) = packed.input_order() {
        let content = || Ok(Cow::Borrowed(bytemuck::cast_slice(order)));
        writer.tensor(format!("{name}.input_order"), Kind::U32, &[cols], content);
    }
}

/// The parameters of a checkpoint with packed weights; `None` for files that are none.
pub(super) fn read(
    files: &[TensorFile],
    float: Option<FloatType>,
) -> Result<Option<BTreeMap<String, Value>>> {
    let mut values = BTreeMap::new();
    let mut found = false;
    for file in files {
        if file.metadata(FIRST_VERSION).is_some() {
            let reason = "its packed tensors are of version 1, which this version does not read\nhint: quantize the \
                          model again";
            return Err(file.invalid(&reason));
        }
        let Some(text) = file.metadata(DESCRIPTION) else { continue };
        found = true;
        let description: Description = serde_json::from_str(text)
            .map_err(|e| file.invalid(&format!("metadata entry {DESCRIPTION}: {e}")))?;
        if description.version != VERSION {
            let got = description.version;
            return Err(
                file.invalid(&format!("packed tensors of version {got}; this version reads {VERSION}"))
            );
        }
        for (name, format) in &description.formats {
            values.insert(name.clone(), Value::Packed(packed(file, name, format)?));
        }
        for (name, shape) in file.shapes() {
            let part = name.rsplit_once('.').filter(|(_, part)| PARTS.contains(part));
            if part.is_some_and(|(whole, _)| description.formats.contains_key(whole)) {
                continue;
            }
            let float = if shape.len() == 1 { Some(FloatType::F32) } else { float };
            values.insert(name.clone(), Value::Dense(file.read(&name, float)?));
        }
    }
    Ok(found.then_some(values))
}

/// A packed matrix from its parts; the codes stay in the map.
fn packed(file: &TensorFile, name: &str, format: &str) -> Result<PackedTensor> {
    let wrong = |e: slm_kernels::Error| file.invalid(&format!("{name}: {e}"));
    let format: Format = format.parse().map_err(wrong)?;
    let part = |part: &str, dtype: Dtype| file.raw(&format!("{name}.{part}"), dtype);
    let codes = part("codes", Dtype::U8)?;
    let shape = || file.invalid(&format!("{name}.codes: expected 2 dimensions, got {:?}", codes.shape));
    let [rows, width] = codes.shape[..] else { return Err(shape()) };
    let cols = match format {
        Format::Block(block) => (width / block.bytes()).saturating_mul(block.weights()),
        Format::Int8 { .. } => width,
        _ => width.saturating_mul(2),
    };
    let halves = |name: &str| -> Result<Arc<[f16]>> {
        let (pairs, _) = part(name, Dtype::F16)?.bytes.as_chunks::<2>();
        Ok(pairs.iter().map(|b| f16::from_le_bytes(*b)).collect())
    };
    let scales = if matches!(format, Format::Block(_)) { Arc::default() } else { halves("scales")? };
    let minimums = format.has_minimums().then(|| halves("minimums")).transpose()?;
    let tensor =
        PackedTensor::from_parts(codes.shared, scales, minimums, [rows, cols], format).map_err(wrong)?;
    if !file.has(&format!("{name}.input_order")) {
        return Ok(tensor);
    }
    let (quads, _) = part("input_order", Dtype::U32)?.bytes.as_chunks::<4>();
    let order: Vec<u32> = quads.iter().map(|b| u32::from_le_bytes(*b)).collect();
    tensor.with_input_order(order).map_err(wrong)
}
