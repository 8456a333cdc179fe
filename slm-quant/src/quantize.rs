//! Whole models, quantized in place: [`quantize_model`] without data, [`quantize_calibrated`] with it.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Tensor;
use serde::Serialize;
use slm_core::CausalLm;
use slm_core::nn::{Block, Linear, Weight};
use slm_kernels::packed::{Format, PackedTensor};

use crate::calibrate::{CalibrationData, InputStatistics, Site, pass, read};
use crate::round::{Search, encode};
use crate::{Error, Gptq, Method, QuantConfig, QuantStats, Result, awq, quantize_matrix};

/// What quantizing a model did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuantReport {
    /// Loss of each packed layer, by its path.
    pub layers: BTreeMap<String, QuantStats>,
    /// Layers left as they were: a skip pattern, or a width that the group size does not divide.
    pub left: Vec<String>,
}

/// How far [`quantize_calibrated`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Steps done: four for each block, and the head.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
}

/// Packs the weights of `model` that `config` applies to, by a method that needs no data. Adapters stay on top.
///
/// # Errors
/// When no layer can be packed, the method calibrates, or a weight is not finite or cannot be read back; the model is
/// then unchanged.
pub fn quantize_model(model: &mut CausalLm, config: &QuantConfig) -> Result<QuantReport> {
    if config.method.calibrates() {
        return Err(Error::NoCalibration { method: config.method });
    }
    let mut work = Work::new(model, config)?;
    let mut copy = model.clone();
    for (index, block) in copy.layers.iter_mut().enumerate() {
        for site in Site::ALL {
            work.pack_site(index, site, block, None)?;
        }
    }
    work.pack_outside(&mut copy, None)?;
    *model = copy;
    Ok(work.report)
}

/// Packs the weights of `model` that `config` applies to, block by block: `data` is read through the blocks packed so
/// far, so that each layer is fitted to the inputs that it will have. Adapters stay on top.
///
/// Memory: the original and the packed weights, one vector of the hidden and one of the widest layer's size for each
/// token, and `[in, in]` numbers of the widest layer a few times.
///
/// # Errors
/// When no layer can be packed, a sequence does not fit the model's context, or a weight or an input is not finite or
/// cannot be read back; the model is then unchanged.
pub fn quantize_calibrated(
    model: &mut CausalLm,
    config: &QuantConfig,
    data: &CalibrationData,
    progress: &mut dyn FnMut(Progress),
) -> Result<QuantReport> {
    let mut work = Work::new(model, config)?;
    let mut copy = model.clone();
    let mut hidden = pass::embed(&copy, data)?;
    let total = 4 * copy.layers.len() + 1;
    for index in 0..copy.layers.len() {
        let block = &mut copy.layers[index];
        if config.method.scales_inputs() {
            work.scale_block(index, block, &model.config, &hidden)?;
        }
        let mut done = 4 * index;
        pass::run(&model.config, index, block, &mut hidden, &mut |site, inputs, block| {
            let applies = work.applies_at(index, site, block);
            let inputs = applies.then(|| statistics(inputs)).transpose()?;
            work.pack_site(index, site, block, inputs.as_ref())?;
            done += 1;
            progress(Progress { done, total });
            Ok(())
        })?;
    }
    let last: Vec<_> = hidden.into_iter().map(|x| copy.norm.forward(x)).collect();
    work.pack_outside(&mut copy, Some(&last))?;
    progress(Progress { done: total, total });
    *model = copy;
    Ok(work.report)
}

/// The statistics of some inputs `[1, tokens, width]`.
fn statistics(inputs: &[Tensor<3>]) -> Result<InputStatistics> {
    let mut statistics = InputStatistics::new(inputs.first().map_or(0, |x| x.dims()[2]));
    for x in inputs {
        statistics.add(&x.clone().squeeze_dim(0))?;
    }
    Ok(statistics)
}

/// What is to be done, and what was.
struct Work<'a> {
    config: &'a QuantConfig,
    report: QuantReport,
}

impl<'a> Work<'a> {
    /// # Errors
    /// When nothing can be packed.
    fn new(model: &CausalLm, config: &'a QuantConfig) -> Result<Self> {
        let mut widths = BTreeSet::new();
        let mut any = matches!(model.embed_tokens, Weight::Dense(_))
            && config.applies_to("model.embed_tokens.weight", &model.embed_tokens.dims());
        for (path, linear) in model.linears() {
            let shape = linear.weight.dims();
            widths.insert(shape[1]);
            any |= matches!(linear.weight, Weight::Dense(_))
                && config.applies_to(&format!("{path}.weight"), &shape);
        }
        if !any {
            return Err(Error::NothingToPack { format: config.format, widths: widths.into_iter().collect() });
        }
        Ok(Self { config, report: QuantReport { layers: BTreeMap::new(), left: Vec::new() } })
    }

    /// What a dense layer is to be packed as.
    fn format_of(&self, path: &str, linear: &Linear) -> Option<Format> {
        match &linear.weight {
            Weight::Dense(w) => self.config.format_of(&format!("{path}.weight"), &w.dims()),
            _ => None,
        }
    }

    /// Whether a layer that reads at `site` is to be packed.
    fn applies_at(&self, index: usize, site: Site, block: &Block) -> bool {
        block.linears().into_iter().any(|(name, linear)| {
            site.linears().contains(&name)
                && self.format_of(&format!("model.layers.{index}.{name}"), linear).is_some()
        })
    }

    /// Scales the inputs of a block's layers, as they are without packing this block.
    fn scale_block(
        &self,
        index: usize,
        block: &mut Block,
        config: &slm_core::ModelConfig,
        hidden: &[Tensor<3>],
    ) -> Result<()> {
        let mut found = Vec::new();
        let mut original = block.clone();
        pass::run(config, index, &mut original, &mut hidden.to_vec(), &mut |site, inputs, _| {
            found.push((site, statistics(inputs)?));
            Ok(())
        })?;
        for (site, statistics) in found {
            awq::scale(config, block, site, &statistics, &|name, shape| {
                self.config.format_of(&format!("model.layers.{index}.{name}.weight"), &shape)
            })?;
        }
        Ok(())
    }

    /// Packs the layers of a block that read at `site`.
    fn pack_site(
        &mut self,
        index: usize,
        site: Site,
        block: &mut Block,
        inputs: Option<&InputStatistics>,
    ) -> Result<()> {
        let mut chooser = Chooser::new(self.config, inputs);
        for (name, linear) in block.linears_mut() {
            if site.linears().contains(&name) {
                self.pack_linear(&format!("model.layers.{index}.{name}"), linear, &mut chooser)?;
            }
        }
        Ok(())
    }

    fn pack_linear(&mut self, path: &str, linear: &mut Linear, chooser: &mut Chooser<'_>) -> Result<()> {
        let Weight::Dense(weight) = &linear.weight else { return Ok(()) };
        match self.format_of(path, linear) {
            None => self.report.left.push(path.to_owned()),
            Some(format) => {
                let packed = self.pack(path, weight, format, chooser)?;
                linear.weight = Weight::Packed(packed);
            }
        }
        Ok(())
    }

    fn pack(
        &mut self,
        path: &str,
        weight: &Tensor<2>,
        format: Format,
        chooser: &mut Chooser<'_>,
    ) -> Result<PackedTensor> {
        let values = read(weight.clone())?;
        let packed = chooser.choose(&values, weight.dims(), format)?;
        self.report.layers.insert(path.to_owned(), QuantStats::measure(&values, &packed)?);
        Ok(packed)
    }

    /// Packs the head and the embedding; `last` are the inputs of the head.
    fn pack_outside(&mut self, model: &mut CausalLm, last: Option<&[Tensor<3>]>) -> Result<()> {
        let embedding = "model.embed_tokens";
        let shape = model.embed_tokens.dims();
        let dense = matches!(model.embed_tokens, Weight::Dense(_));
        let format = self.config.format_of(&format!("{embedding}.weight"), &shape);
        let embedding_format = format.filter(|_| dense);
        let head = match &model.lm_head {
            Some(head) => self.format_of("lm_head", head).is_some(),
            None => embedding_format.is_some(),
        };
        let inputs = last.filter(|_| head).map(statistics).transpose()?;
        if let Some(head) = &mut model.lm_head {
            let mut chooser = Chooser::new(self.config, inputs.as_ref());
            self.pack_linear("lm_head", head, &mut chooser)?;
        }
        if let Some(format) = embedding_format {
            // Looked up, each weight counts the same; as a head too, as its input does.
            let inputs = inputs.as_ref().filter(|_| model.lm_head.is_none());
            let mut chooser = Chooser::new(self.config, inputs);
            chooser.lookup = true;
            let weight = model.embed_tokens.to_dense(&model.device());
            model.embed_tokens = Weight::Packed(self.pack(embedding, &weight, format, &mut chooser)?);
        }
        Ok(())
    }
}

/// Chooses the codes of layers that read the same inputs.
struct Chooser<'a> {
    config: &'a QuantConfig,
    inputs: Option<&'a InputStatistics>,
    /// Made when it is first needed.
    gptq: Option<Gptq>,
    /// Whether rows are looked up too, so that errors must not be traded between columns.
    lookup: bool,
}

impl<'a> Chooser<'a> {
    fn new(config: &'a QuantConfig, inputs: Option<&'a InputStatistics>) -> Self {
        Self { config, inputs, gptq: None, lookup: false }
    }

    fn choose(&mut self, weights: &[f32], shape: [usize; 2], format: Format) -> Result<PackedTensor> {
        let method = self.config.method;
        if let (Method::Gptq | Method::AwqGptq, Some(inputs), false) = (method, self.inputs, self.lookup) {
            let gptq = match self.gptq.take() {
                Some(gptq) => gptq,
                None => Gptq::new(inputs, self.config.gptq)?.with_whole_zeros(self.config.whole_zeros),
            };
            return self.gptq.insert(gptq).encode(weights, shape, format);
        }
        let whole_zeros = self.config.whole_zeros && format.has_minimums();
        if method == Method::Nearest && !whole_zeros {
            return Ok(quantize_matrix(weights, shape, format)?.0);
        }
        let importance = self.inputs.filter(|_| method.calibrates()).map(InputStatistics::mean_square);
        let half_quadratic = method == Method::Hqq;
        let search = Search { importance: importance.as_deref(), half_quadratic, whole_zeros };
        encode(weights, shape, format, &search)
    }
}
