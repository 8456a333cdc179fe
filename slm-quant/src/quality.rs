//! [`QualityReport`]: how far a quantized model is from the original, and [`Budget`], the limits that it must keep.

use std::time::Instant;

use burn::tensor::{Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use slm_core::nn::Weight;
use slm_core::{CausalLm, KvCache};

use crate::calibrate::read;
use crate::{CalibrationData, Error, Result};

/// Logits that are held at once, for each of the two models.
const LOGITS: usize = 1 << 23;

/// How well a model predicts the measured text.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// `exp` of the mean negative log-probability of a token: comparable between models of one tokenizer.
    pub perplexity: f64,
    /// Mean bits per byte of UTF-8; `None` where the bytes are not known.
    pub bits_per_byte: Option<f64>,
}

/// How far a quantized model is from the original, on text that neither was calibrated on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct QualityReport {
    /// Of the original.
    pub original: Prediction,
    /// Of the quantized model.
    pub quantized: Prediction,
    /// Kullback-Leibler divergence of the quantized model's next-token distribution from the original's, in nats:
    /// the mean over all positions.
    pub kl_mean: f64,
    /// The divergence that 99 % of the positions do not exceed.
    pub kl_p99: f64,
    /// Share of the positions at which both have the same most likely token.
    pub same_top: f64,
    /// Positions compared; each sequence is read from its beginning, without stride.
    pub positions: usize,
    /// Tokens of the longest sequence.
    pub context: usize,
    /// Weights of the quantized model as stored, dense ones in 16 bits.
    pub bytes: usize,
    /// `bytes` by the number of weights.
    pub bits_per_weight: f64,
    /// Tokens that the quantized model writes in a second, one after the other.
    pub tokens_per_second: f64,
    /// A score of the user's own before and after, such as the share of right answers; see
    /// [`with_score`](Self::with_score).
    pub score: Option<(f64, f64)>,
}

impl QualityReport {
    /// Adds a score of the domain, of the original and of the quantized model; larger is better.
    #[must_use]
    pub fn with_score(self, original: f64, quantized: f64) -> Self {
        Self { score: Some((original, quantized)), ..self }
    }
}

/// Limits of a quantized model; those that are `None` are not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Of [`QualityReport::kl_mean`].
    pub max_kl_mean: Option<f64>,
    /// Of [`QualityReport::kl_p99`].
    pub max_kl_p99: Option<f64>,
    /// Of [`QualityReport::same_top`].
    pub min_same_top: Option<f64>,
    /// Of the perplexity, by that of the original, less 1: 0.001 is 0.1 %.
    pub max_perplexity_rise: Option<f64>,
    /// Of the score, original less quantized.
    pub max_score_loss: Option<f64>,
    /// Of [`QualityReport::bytes`].
    pub max_bytes: Option<usize>,
    /// Of [`QualityReport::bits_per_weight`].
    pub max_bits_per_weight: Option<f64>,
    /// Of [`QualityReport::tokens_per_second`].
    pub min_tokens_per_second: Option<f64>,
}

impl Budget {
    /// Holds a report against the limits.
    ///
    /// # Errors
    /// [`Error::Budget`] with each broken limit and its figure; a figure that is not a number breaks its limit.
    pub fn check(&self, report: &QualityReport) -> Result<()> {
        let rise = report.quantized.perplexity / report.original.perplexity - 1.0;
        let loss = report.score.map_or(f64::NAN, |(before, after)| before - after);
        let most = [
            ("mean KL divergence", report.kl_mean, self.max_kl_mean),
            ("99th percentile of the KL divergence", report.kl_p99, self.max_kl_p99),
            ("rise of the perplexity", rise, self.max_perplexity_rise),
            ("loss of score", loss, self.max_score_loss),
            ("bytes", report.bytes as f64, self.max_bytes.map(|b| b as f64)),
            ("bits per weight", report.bits_per_weight, self.max_bits_per_weight),
        ];
        let least = [
            ("same top token", report.same_top, self.min_same_top),
            ("tokens per second", report.tokens_per_second, self.min_tokens_per_second),
        ];
        let over = most.into_iter().filter_map(|(what, got, limit)| {
            let limit = limit.filter(|limit| got.is_nan() || got > *limit)?;
            Some(format!("{what}: {got:.6}, allowed at most {limit}"))
        });
        let under = least.into_iter().filter_map(|(what, got, limit)| {
            let limit = limit.filter(|limit| got.is_nan() || got < *limit)?;
            Some(format!("{what}: {got:.6}, required at least {limit}"))
        });
        let broken: Vec<String> = over.chain(under).collect();
        if broken.is_empty() { Ok(()) } else { Err(Error::Budget { broken, report: Box::new(*report) }) }
    }
}

/// The original's view of a text, kept to compare several models with it.
#[derive(Debug)]
pub struct Reference<'a> {
    model: &'a CausalLm,
    data: &'a CalibrationData,
    /// Normalised outputs of the last block, `[1, tokens, hidden]` for each sequence.
    hidden: Vec<Tensor<3>>,
}

impl<'a> Reference<'a> {
    /// Reads `data` with `model`.
    ///
    /// # Errors
    /// When there is no position to compare, or a sequence does not fit the model's context.
    pub fn new(model: &'a CausalLm, data: &'a CalibrationData) -> Result<Self> {
        if data.sequences.iter().all(|s| s.len() < 2) {
            return Err(Error::Inputs { reason: "no sequence of two tokens to measure on".into() });
        }
        let hidden = data.sequences.iter().map(|ids| hidden(model, ids)).collect::<Result<_>>()?;
        Ok(Self { model, data, hidden })
    }

    /// Mean divergence from the original of a model with other last outputs, but its head.
    pub(crate) fn divergence(&self, hidden: &[Tensor<3>]) -> Result<f64> {
        let mut sums = Sums::default();
        for ((ids, reference), hidden) in self.data.sequences.iter().zip(&self.hidden).zip(hidden) {
            sums.add_sequence(ids, (self.model, reference), (self.model, hidden))?;
        }
        Ok(sums.mean_divergence())
    }

    /// Mean divergence of another model.
    pub(crate) fn mean_divergence(&self, model: &CausalLm) -> Result<f64> {
        Ok(self.sums(model)?.mean_divergence())
    }

    fn sums(&self, model: &CausalLm) -> Result<Sums> {
        let mut sums = Sums::default();
        for (ids, reference) in self.data.sequences.iter().zip(&self.hidden) {
            sums.add_sequence(ids, (self.model, reference), (model, &hidden(model, ids)?))?;
        }
        Ok(sums)
    }

    /// Compares `model` with the original.
    ///
    /// # Errors
    /// When a sequence does not fit the model's context, or logits are not numbers.
    pub fn compare(&self, model: &CausalLm) -> Result<QualityReport> {
        let mut sums = self.sums(model)?;
        let bytes = stored_bytes(model);
        let weights = self.model.config.num_parameters().max(1) as f64;
        let count = sums.divergences.len().max(1) as f64;
        sums.divergences.sort_by(f64::total_cmp);
        let p99 = ((count * 0.99).ceil() as usize).clamp(1, sums.divergences.len().max(1)) - 1;
        let bytes_known = (self.data.bytes > 0).then_some(self.data.bytes as f64);
        let prediction = |nats: f64| Prediction {
            perplexity: (nats / count).exp(),
            bits_per_byte: bytes_known.map(|bytes| nats / std::f64::consts::LN_2 / bytes),
        };
        Ok(QualityReport {
            original: prediction(sums.nats[0]),
            quantized: prediction(sums.nats[1]),
            kl_mean: sums.mean_divergence(),
            kl_p99: sums.divergences.get(p99).copied().unwrap_or(f64::NAN),
            same_top: sums.same_top as f64 / count,
            positions: sums.divergences.len(),
            context: self.data.sequences.iter().map(Vec::len).max().unwrap_or(0),
            bytes,
            bits_per_weight: bytes as f64 * 8.0 / weights,
            tokens_per_second: speed(model, &self.data.sequences)?,
            score: None,
        })
    }
}

/// Compares a quantized model with its original on `data`.
///
/// # Errors
/// As [`Reference::new`] and [`Reference::compare`].
pub fn measure(original: &CausalLm, quantized: &CausalLm, data: &CalibrationData) -> Result<QualityReport> {
    Reference::new(original, data)?.compare(quantized)
}

fn hidden(model: &CausalLm, ids: &[u32]) -> Result<Tensor<3>> {
    let row: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(row, [1, ids.len()]), &model.device());
    Ok(model.hidden(ids, None)?)
}

#[derive(Default)]
struct Sums {
    nats: [f64; 2],
    divergences: Vec<f64>,
    same_top: usize,
}

impl Sums {
    fn mean_divergence(&self) -> f64 {
        self.divergences.iter().sum::<f64>() / self.divergences.len().max(1) as f64
    }

    /// Adds all positions of a sequence that have a next token.
    fn add_sequence(
        &mut self,
        ids: &[u32],
        (original, p): (&CausalLm, &Tensor<3>),
        (quantized, q): (&CausalLm, &Tensor<3>),
    ) -> Result<()> {
        let vocab = original.config.vocab_size;
        let step = (LOGITS / vocab.max(1)).max(1);
        let positions = ids.len().saturating_sub(1);
        for start in (0..positions).step_by(step) {
            let count = step.min(positions - start);
            let logits = |model: &CausalLm, hidden: &Tensor<3>| {
                read(model.logits(hidden.clone().narrow(1, start, count)))
            };
            let (p, q) = (logits(original, p)?, logits(quantized, q)?);
            let rows = p.chunks_exact(vocab).zip(q.chunks_exact(vocab));
            for ((p, q), next) in rows.zip(&ids[start + 1..]) {
                self.add_position(p, q, *next as usize)?;
            }
        }
        Ok(())
    }

    fn add_position(&mut self, p: &[f32], q: &[f32], next: usize) -> Result<()> {
        let ((p_max, p_top), (q_max, q_top)) = (largest(p), largest(q));
        let total =
            |x: &[f32], max: f64| x.iter().map(|x| (f64::from(*x) - max).exp()).sum::<f64>().ln() + max;
        let (p_total, q_total) = (total(p, p_max), total(q, q_max));
        let term = |(p, q): (&f32, &f32)| {
            let (p, q) = (f64::from(*p) - p_total, f64::from(*q) - q_total);
            p.exp() * (p - q)
        };
        let divergence: f64 = p.iter().zip(q).map(term).sum();
        let nats = [p_total - f64::from(p[next]), q_total - f64::from(q[next])];
        if !divergence.is_finite() || !nats[0].is_finite() || !nats[1].is_finite() {
            let reason = format!("logits are not numbers at position {}", self.divergences.len());
            return Err(Error::Inputs { reason });
        }
        self.nats.iter_mut().zip(nats).for_each(|(sum, n)| *sum += n);
        // Rounding can make an exact zero slightly negative.
        self.divergences.push(divergence.max(0.0));
        self.same_top += usize::from(p_top == q_top);
        Ok(())
    }
}

fn largest(x: &[f32]) -> (f64, usize) {
    let mut best = (f32::NEG_INFINITY, 0);
    for (index, value) in x.iter().enumerate() {
        if *value > best.0 {
            best = (*value, index);
        }
    }
    (f64::from(best.0), best.1)
}

/// Bytes of a model's weights on file: packed ones as they are, others in 16 bits.
pub(crate) fn stored_bytes(model: &CausalLm) -> usize {
    let (mut packed, mut packed_weights) = (0, 0);
    for weight in model.linears().map(|(_, linear)| &linear.weight).chain([&model.embed_tokens]) {
        if let Weight::Packed(weight) = weight {
            packed += weight.bytes();
            packed_weights += weight.rows() * weight.cols();
        }
    }
    packed + 2 * (model.config.num_parameters() - packed_weights)
}

/// Tokens a second when they are read one by one, as in writing.
fn speed(model: &CausalLm, sequences: &[Vec<u32>]) -> Result<f64> {
    const STEPS: usize = 24;
    let Some(ids) = sequences.iter().max_by_key(|s| s.len()) else { return Ok(f64::NAN) };
    let mut cache = KvCache::new();
    let mut step = |id: u32| -> Result<Vec<f32>> {
        let id = Tensor::<2, Int>::from_data(TensorData::from([[id as i32]]), &model.device());
        read(model.next_logits(id, &mut cache)?)
    };
    step(ids[0])?;
    let rest = &ids[1..ids.len().min(STEPS + 1)];
    let start = Instant::now();
    for id in rest {
        step(*id)?;
    }
    Ok(rest.len() as f64 / start.elapsed().as_secs_f64().max(1e-9))
}
