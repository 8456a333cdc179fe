//! What updates begin with.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use slm_core::CausalLm;
use slm_core::nn::{Adapter, Dropout, Magnitude, Weight};

use super::linalg::{Svd, orthonormal, svd};
use super::slots::{EMBEDDING, HEAD, sites, unpack_outside, untie};
use super::{Init, LoraAdapter, LoraConfig, SavedWeight, Targets, config::ends_with};
use crate::{Error, Result};

impl LoraAdapter {
    /// A fresh adapter for `model`: `A` uniform in `±1/√in` as PEFT draws it and `B` zero, or as [`LoraConfig::init`] says;
    /// the function of the model is unchanged.
    ///
    /// # Errors
    /// When a setting is out of range, a pattern is no regular expression, or a name fits no layer of the model.
    pub fn init(model: &CausalLm, config: &LoraConfig) -> Result<Self> {
        config.check()?;
        let matcher = config.matcher()?;
        let device = model.device().inner();
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let mut adapter = Self { config: config.clone(), ..Self::default() };
        let mut unused: Vec<&String> = match &config.target_modules {
            Targets::Names(names) => names.iter().filter(|name| *name != "all-linear").collect(),
            Targets::Pattern(_) => Vec::new(),
        };
        for site in sites(model) {
            let paths = site.paths();
            unused.retain(|target| !paths.iter().any(|path| ends_with(path, target)));
            if !matcher.targets(&paths) {
                continue;
            }
            let rank = matcher.rank(&paths);
            let scale = config.scale(rank, matcher.alpha(&paths));
            let weight = site.weight(&device);
            let mut layer = fresh(&site.path, &weight, (rank, scale), &mut rng, &device);
            if config.init != Init::Zero && site.path != EMBEDDING {
                let [a, b] = principal(&weight, config.init, (rank, scale), &device)?;
                layer.start = Some([a.clone(), b.clone()]);
                (layer.a, layer.b) = (a, b);
            }
            if config.dora {
                let norm = layer.measure(&weight)?;
                layer.magnitude = Some(Magnitude { weight: norm.clone(), norm });
            }
            if config.dropout > 0.0 {
                layer.dropout = Some(Dropout { rate: config.dropout, seed: None });
            }
            adapter.layers.insert(site.path.clone(), layer);
        }
        if let Some(target) = unused.first() {
            let reason = format!("no layer of the model ends with \"{target}\"");
            return Err(Error::Config { field: "target_modules", reason });
        }
        if adapter.layers.is_empty() {
            let reason = format!("no layer of the model fits {:?}", config.target_modules);
            return Err(Error::Config { field: "target_modules", reason });
        }
        adapter.saved = saved(model, &config.modules_to_save)?;
        Ok(adapter)
    }
}

fn fresh(
    path: &str,
    weight: &Weight,
    (rank, scale): (usize, f32),
    rng: &mut ChaCha8Rng,
    device: &Device,
) -> Adapter {
    let [out, input] = weight.dims();
    let mut noise = |rows: usize, cols: usize| {
        let bound = (cols as f32).sqrt().recip();
        let values: Vec<f32> = (0..rows * cols).map(|_| rng.random_range(-bound..bound)).collect();
        Tensor::from_data(TensorData::new(values, [rows, cols]), device)
    };
    if path == EMBEDDING {
        // PEFT begins embeddings the other way round: rows of tokens that are never seen stay as they are.
        return Adapter::new(Tensor::zeros([rank, input], device), noise(out, rank), scale);
    }
    Adapter::new(noise(rank, input), Tensor::zeros([out, rank], device), scale)
}

/// The factors `[rank, in]` and `[out, rank]` that PiSSA or OLoRA take out of a weight.
pub(super) fn principal(
    weight: &Weight,
    init: Init,
    (rank, scale): (usize, f32),
    device: &Device,
) -> Result<[Tensor<2>; 2]> {
    let [out, input] = weight.dims();
    if rank > out.min(input) {
        let reason = format!("{rank} is more than a weight of {out} × {input} has");
        return Err(Error::Config { field: "rank", reason });
    }
    let w = weight.range(0..out, device)?;
    if init == Init::Olora {
        let q = orthonormal(&w.clone().narrow(1, 0, rank))?; // [out, rank]
        return Ok([q.clone().transpose().matmul(w), q]);
    }
    let Svd { u, s, v } = svd(&w, rank)?;
    let roots: Vec<f32> = s.iter().map(|s| (s / scale).sqrt()).collect();
    let roots = Tensor::<1>::from_data(TensorData::from(roots.as_slice()), device);
    Ok([v * roots.clone().unsqueeze_dim::<2>(1), u * roots.unsqueeze_dim::<2>(0)])
}

/// The weights of modules that are to learn in full, as they are.
fn saved(model: &CausalLm, modules: &[String]) -> Result<BTreeMap<String, SavedWeight>> {
    let mut model = model.clone();
    if modules.iter().any(|name| HEAD.ends_with(name.as_str())) {
        untie(&mut model);
    }
    unpack_outside(&mut model, modules)?;
    let found = learned(&mut model, modules);
    let names = |end: &String| found.keys().any(|name| module_of(name).ends_with(end.as_str()));
    match modules.iter().find(|end| !names(end)) {
        Some(name) => {
            let reason = format!("no dense module of the model ends with \"{name}\"");
            Err(Error::Config { field: "modules_to_save", reason })
        }
        None => Ok(found),
    }
}

/// The dense weights of modules whose path ends with one of these names, as PEFT reads `modules_to_save`.
pub(super) fn learned(model: &mut CausalLm, modules: &[String]) -> BTreeMap<String, SavedWeight> {
    let mut found = BTreeMap::new();
    model.for_each_parameter(&mut |name, parameter| {
        if modules.iter().any(|end| module_of(name).ends_with(end.as_str())) {
            found.insert(name.to_owned(), SavedWeight::of(&parameter));
        }
    });
    found
}

/// The path of the module that a weight belongs to.
pub(crate) fn module_of(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(module, _)| module)
}
