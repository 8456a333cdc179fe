//! Writing the layout of GPTQ, which `transformers`, vLLM and others read.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::codes::{Codes, Meaning};
use crate::model::layout::{Stored, layout};
use crate::model::writer::{Kind, TensorWriter};
use crate::model::{FloatType, Held, write_atomically};
use crate::nn::Weight;
use crate::{CausalLm, Error, Result};

/// What all quantized matrices of a checkpoint share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scheme {
    bits: usize,
    symmetric: bool,
    group_size: usize,
}

impl CausalLm {
    /// Writes a directory in the layout of GPTQ (`quant_method` `gptq`, without act-order): the packed layers of the
    /// blocks as they are, the rest in `float`. It is the first version of the layout, which everybody reads, but where a
    /// zero point is 0: that takes `gptq_v2`.
    ///
    /// # Errors
    /// When a layer of the blocks is not packed, formats or group sizes differ between them, a format is none of `Int4`,
    /// `Int4Asym` and `Int8`, a minimum is no multiple of its scale, or a file cannot be written.
    pub fn save_gptq(&self, directory: &Path, float: FloatType) -> Result<()> {
        let held = self.held()?;
        let refuse = |reason: String| Error::Tensors { path: directory.into(), problems: vec![reason] };
        let mut writer = TensorWriter::default();
        writer.set("format", "pt");
        let (mut scheme, mut points) = (None, Vec::new());
        for stored in layout(&self.config) {
            let linear = stored.shape.len() == 2 && stored.name.starts_with("model.layers.");
            if !linear {
                dense(&mut writer, stored, &held, float);
                continue;
            }
            let codes = joined(&stored, &held).map_err(refuse)?;
            let own = Scheme {
                bits: if codes.meaning == Meaning::Int8 { 8 } else { 4 },
                symmetric: codes.minimums.is_empty(),
                group_size: codes.group_size,
            };
            if *scheme.get_or_insert(own) != own {
                let first = scheme.unwrap_or(own);
                return Err(refuse(format!("{} is {own:?}, where others are {first:?}", stored.name)));
            }
            points.push(quantized(&mut writer, &stored.name, &codes).map_err(refuse)?);
        }
        let scheme = scheme.ok_or_else(|| refuse("no layer is packed".into()))?;
        let less_one = u8::from(points.iter().all(|points| !points.zeros.contains(&0)));
        points.into_iter().for_each(|points| points.write(&mut writer, scheme.bits, less_one));
        let mut config = self.config.to_value();
        config["torch_dtype"] = float.name().into();
        config["quantization_config"] = json!({
            "quant_method": "gptq", "bits": scheme.bits, "group_size": scheme.group_size, "sym": scheme.symmetric,
            "desc_act": false, "lm_head": false, "true_sequential": true, "damp_percent": 0.01,
            "checkpoint_format": if less_one == 1 { "gptq" } else { "gptq_v2" },
        });
        writer.write(&directory.join("model.safetensors"))?;
        write_atomically(&directory.join("config.json"), format!("{config:#}\n").as_bytes())
    }
}

fn dense<'a>(
    writer: &mut TensorWriter<'a>,
    stored: Stored,
    held: &'a BTreeMap<String, Held>,
    float: FloatType,
) {
    // Heads and embeddings have one part; norms and biases too, or their parts are dense alike.
    let (name, shape) = (stored.name, stored.shape);
    writer.tensor(name, Kind::from(float), &shape, move || {
        let mut bytes = Vec::new();
        for (name, _) in &stored.parts {
            if let Some(weight) = held.get(name) {
                bytes.append(&mut float.encode(&weight.values(name)?));
            }
        }
        Ok(bytes.into())
    });
}

/// The codes of a tensor, its parts one below the other.
fn joined(stored: &Stored, held: &BTreeMap<String, Held>) -> Result<Codes, String> {
    let mut all: Option<Codes> = None;
    for (name, _) in &stored.parts {
        let codes = match held.get(name) {
            Some(Held::Matrix(Weight::Packed(packed))) => Codes::of(packed),
            _ => None,
        };
        let codes = codes.filter(|c| c.order.is_none() && c.meaning != Meaning::Nf4).ok_or_else(|| {
            format!("{name} is not packed as int4, int4a or int8 in the order of its inputs\nhint: quantize all layers so")
        })?;
        match &mut all {
            None => all = Some(codes),
            Some(all) if (all.meaning, all.group_size) == (codes.meaning, codes.group_size) => {
                all.rows += codes.rows;
                all.codes.extend(codes.codes);
                all.scales.extend(codes.scales);
                all.minimums.extend(codes.minimums);
            }
            Some(_) => return Err(format!("{name} is packed otherwise than what is fused with it")),
        }
    }
    all.ok_or_else(|| format!("{} has no parts", stored.name))
}

/// The zero point of each scale.
fn zeros(codes: &Codes) -> Result<Vec<u8>, String> {
    let middle = if codes.meaning == Meaning::Int8 { 128 } else { 8 };
    if codes.minimums.is_empty() {
        return Ok(vec![middle; codes.scales.len()]);
    }
    let zero = |(minimum, scale): (&half::f16, &half::f16)| {
        let (minimum, scale) = (minimum.to_f32(), scale.to_f32());
        // A group of zeros has them wherever its zero point is.
        let exact = if (minimum, scale) == (0.0, 0.0) { 1.0 } else { -minimum / scale };
        let rounded = exact.round();
        // Half precision keeps a multiple of a scale to one part in two thousand.
        let whole =
            (exact - rounded).abs() <= 2e-3 * rounded.abs().max(1.0) && (0.0..=15.0).contains(&rounded);
        whole.then_some(rounded as u8)
    };
    let all: Option<Vec<u8>> = codes.minimums.iter().zip(&codes.scales).map(zero).collect();
    all.ok_or_else(|| {
        "a minimum is no multiple of its scale, as the layout wants it\nhint: quantize symmetrically, or with whole zero \
         points"
            .into()
    })
}

/// The zero points of a matrix, `[rows, groups]`.
struct Points {
    base: String,
    zeros: Vec<u8>,
    rows: usize,
    groups: usize,
}

impl Points {
    /// Adds them, each `less_one`.
    fn write(self, writer: &mut TensorWriter<'_>, bits: usize, less_one: u8) {
        let Self { base, zeros, rows, groups } = self;
        let shape = [groups, rows / (32 / bits)];
        writer.tensor(format!("{base}.qzeros"), Kind::I32, &shape, move || {
            let point = |group: usize, row: usize| zeros[row * groups + group] - less_one;
            let words =
                (0..groups).flat_map(|group| (0..rows).step_by(32 / bits).map(move |row| (group, row)));
            Ok(words
                .flat_map(|(group, first)| word(bits, &|place| point(group, first + place)).to_le_bytes())
                .collect())
        });
    }
}

/// As many codes as fit 32 bits, the first lowest.
fn word(bits: usize, code: &dyn Fn(usize) -> u8) -> u32 {
    (0..32 / bits).fold(0, |word, place| word | u32::from(code(place)) << (place * bits))
}

/// Adds the tensors of a matrix, but for its zero points, which it returns.
fn quantized(writer: &mut TensorWriter<'_>, name: &str, codes: &Codes) -> Result<Points, String> {
    let bits = if codes.meaning == Meaning::Int8 { 8 } else { 4 };
    let (rows, cols, per_word) = (codes.rows, codes.cols, 32 / bits);
    if !cols.is_multiple_of(per_word) || !rows.is_multiple_of(per_word) {
        return Err(format!("{name} is [{rows}, {cols}]; the layout wants multiples of {per_word}"));
    }
    let groups = cols / codes.group_size;
    let zeros = zeros(codes)?;
    let mut weights = Vec::with_capacity(rows * cols / per_word * 4);
    for first in (0..cols).step_by(per_word) {
        for row in 0..rows {
            weights.extend(word(bits, &|place| codes.codes[row * cols + first + place]).to_le_bytes());
        }
    }
    let scales = (0..groups).flat_map(|group| (0..rows).map(move |row| row * groups + group));
    let scales: Vec<u8> = scales.flat_map(|at| codes.scales[at].to_le_bytes()).collect();
    let index: Vec<u8> = (0..cols).flat_map(|i| ((i / codes.group_size) as u32).to_le_bytes()).collect();
    let base = name.strip_suffix(".weight").unwrap_or(name);
    for (part, kind, shape, bytes) in [
        ("qweight", Kind::I32, vec![cols / per_word, rows], weights),
        ("scales", Kind::F16, vec![groups, rows], scales),
        ("g_idx", Kind::I32, vec![cols], index),
    ] {
        writer.tensor(format!("{base}.{part}"), kind, &shape, move || Ok(bytes.clone().into()));
    }
    Ok(Points { base: base.into(), zeros, rows, groups })
}
