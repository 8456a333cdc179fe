//! Sentences per second of an encoder, for texts of a given number of tokens. `tools/bench_encoder.py` makes it take
//! turns with onnxruntime on the same token ids.
//!
//! ```console
//! cargo bench -p slm-core --bench encoder -- speed MINILM tokens=128 batch=32
//! ```
//!
//! Tasks: `speed`, and `parts`, which times the pieces of a block alone.

mod support;

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use serde_json::{Value, json};
use slm_core::encoder::{Encoder, LayerNorm, Segment};
use slm_core::model::LoadOptions;
use slm_kernels::ops::{self, Activation, AttentionOptions};
use support::{Arguments, Outcome, memory, prompt, seconds};

fn main() -> Outcome<()> {
    let Some(arguments) = Arguments::read()? else {
        println!("usage: cargo bench -p slm-core --bench encoder -- TASK DIRECTORY [name=value ..]");
        return Ok(());
    };
    let figures = match arguments.task.as_str() {
        "speed" => speed(&arguments)?,
        "parts" => parts(&arguments)?,
        other => return Err(format!("unknown task {other}").into()),
    };
    println!("{figures}");
    Ok(())
}

/// All of the encoder, the mean over the tokens of each text included.
fn speed(arguments: &Arguments) -> Outcome<Value> {
    let (tokens, batch) = (arguments.get("tokens", 128)?, arguments.get("batch", 32)?);
    let encoder = Encoder::load(&arguments.directory, LoadOptions::default(), &Device::flex())?;
    let segments: Vec<Segment> = (0..batch).map(|i| segment(i, tokens)).collect();
    let pass = || -> Outcome<Vec<f32>> {
        let hidden = encoder.hidden(&segments)?;
        let pooled = hidden.reshape([batch as i32, tokens as i32, -1]).mean_dim(1);
        pooled.try_into_vec_as().map_err(|e| format!("{e:?}").into())
    };
    let first = pass()?;
    let rate = batch as f64 / median_time(arguments, &mut || pass().map(drop))?;
    Ok(json!({
        "engine": "slm", "tokens": tokens, "batch": batch, "texts_s": rate, "peak_bytes": memory("VmHWM")?,
        "check": first[..16],
    }))
}

/// Texts of one batch differ; the same ids in `tools/bench_encoder.py`.
fn segment(index: usize, tokens: usize) -> Segment {
    let ids = prompt(tokens + index, 29_000).split_off(index).into_iter().map(|id| id + 1000).collect();
    Segment { ids, types: vec![0; tokens] }
}

/// Milliseconds of the pieces of one block.
fn parts(arguments: &Arguments) -> Outcome<Value> {
    let (tokens, batch) = (arguments.get("tokens", 128)?, arguments.get("batch", 32)?);
    let device = Device::flex();
    let encoder = Encoder::load(&arguments.directory, LoadOptions::default(), &device)?;
    let c = &encoder.config;
    let block = encoder.layers.first().ok_or("an encoder without layers")?;
    let random = |shape: [usize; 3]| Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device);
    let x = random([1, batch * tokens, c.hidden_size]);
    let wide = random([1, batch * tokens, c.intermediate_size]);
    let scale = (c.head_dim() as f32).sqrt().recip();
    let options = AttentionOptions { scale, causal: false, window: None, softcap: None };
    let qkv = random([1, batch * tokens, 3 * c.hidden_size]);
    let attended = || {
        let heads = c.num_attention_heads;
        let qkv = qkv.clone().reshape([1, batch * tokens, 3 * heads, c.head_dim()]);
        let qkv = [0, 1, 2].map(|part| qkv.clone().narrow(2, part * heads, heads));
        ops::attention_varlen(qkv, &vec![tokens; batch], &options).reshape(x.dims())
    };
    let norm: &LayerNorm = &block.output_norm;
    let pieces: [(&str, &dyn Fn() -> Tensor<3>); 6] = [
        ("qkv", &|| block.qkv.forward(x.clone(), Activation::Identity)),
        ("attention", &attended),
        ("attention_output", &|| block.attention_output.forward(x.clone(), Activation::Identity)),
        ("norm", &|| norm.forward_sum(x.clone() * 1.0, x.clone())),
        ("intermediate", &|| block.intermediate.forward(x.clone(), Activation::Gelu)),
        ("output", &|| block.output.forward(wide.clone(), Activation::Identity)),
    ];
    let mut figures = json!({"tokens": tokens, "batch": batch, "layers": encoder.layers.len()});
    for (name, piece) in pieces {
        piece().sync_check()?;
        let time = median_time(arguments, &mut || piece().sync_check())?;
        figures[format!("{name}_ms")] = (time * 1e3).into();
    }
    Ok(figures)
}

/// Waits for a result without reading all of it.
trait SyncCheck {
    fn sync_check(self) -> Outcome<()>;
}

impl SyncCheck for Tensor<3> {
    fn sync_check(self) -> Outcome<()> {
        let one = self.slice([0..1, 0..1, 0..1]).try_into_vec_as::<f32>().map_err(|e| format!("{e:?}"))?;
        if one[0].is_nan() { Err("not a number".into()) } else { Ok(()) }
    }
}

/// Median seconds of a pass, over `seconds` of passes and at least five.
fn median_time(arguments: &Arguments, pass: &mut dyn FnMut() -> Outcome<()>) -> Outcome<f64> {
    let budget = arguments.get("seconds", 2.0)?;
    let (begin, mut times) = (Instant::now(), Vec::new());
    while times.len() < 5 || seconds(begin) < budget {
        let start = Instant::now();
        pass()?;
        times.push(seconds(start));
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
