//! A decoder from its checkpoint to its last token. Each run measures one task in a process of its own and prints one
//! line of JSON; `tools/bench_model.py` makes the runs of several engines take turns and writes what
//! `docs/benchmarks.md` shows.
//!
//! ```console
//! cargo bench -p slm-core --bench model -- speed CHECKPOINT prompt=512 generate=128 cache=f16
//! ```
//!
//! Tasks: `speed` (load, first token, prompt, decoding, memory), `lookup` (guesses from the text), `batch` (several
//! requests at once), `prefix` (a prompt whose beginning is known), `mask` (an answer under a JSON schema), `copy`
//! (guesses where the model was trained to speak, on the directory of a trained model). The number of threads is
//! `RAYON_NUM_THREADS`.

mod support;

use std::ops::ControlFlow;
use std::time::Instant;

use burn::tensor::{Device, Int, Tensor, TensorData};
use serde_json::{Value, json};
use slm_core::generate::{BatchRequest, Constraint, Generated, Lookup, PrefixCache};
use slm_core::nn::{KvCacheType, Weight};
use slm_core::{CausalLm, ChatRequest, GenerationConfig, KvCache, LocalModel};
use support::{Arguments, Outcome, memory, prompt, seconds};

/// Ids below this are words in Qwen's vocabulary; those above it are control tokens or nothing.
const WORDS: usize = 151_643;
/// Tokens of a prompt that are read at a time, as [`LocalModel`] does.
const PART: usize = 512;

fn main() -> Outcome<()> {
    let Some(arguments) = Arguments::read()? else {
        println!("usage: cargo bench -p slm-core --bench model -- TASK DIRECTORY [name=value ..]");
        return Ok(());
    };
    let figures = match arguments.task.as_str() {
        "speed" => speed(&arguments)?,
        "lookup" => lookup(&arguments)?,
        "batch" => batch(&arguments)?,
        "prefix" => prefix(&arguments)?,
        "mask" => mask(&arguments)?,
        "copy" => copy(&arguments)?,
        other => return Err(format!("unknown task {other}").into()),
    };
    println!("{figures}");
    Ok(())
}

/// From the checkpoint to the first token of a short prompt; then a long prompt and what follows it.
fn speed(arguments: &Arguments) -> Outcome<Value> {
    let (length, generate) = (arguments.get("prompt", 512)?, arguments.get("generate", 128)?);
    let kind = cache_type(arguments)?;
    let start = Instant::now();
    let model = CausalLm::load(&arguments.directory, &Device::flex())?;
    let load = seconds(start);
    let words = WORDS.min(model.config.vocab_size);
    let mut cache = KvCache::with_type(kind);
    let short = prompt(arguments.get("short", 16)?, words);
    let first = read(&model, &short, &mut cache)?;
    let first_token = seconds(start);
    let check = check(&model, first, &mut cache)?;

    let mut cache = KvCache::with_type(kind);
    let start = Instant::now();
    let mut logits = read(&model, &prompt(length, words), &mut cache)?;
    let prefill = seconds(start);
    let start = Instant::now();
    for _ in 0..generate {
        logits = read(&model, &[best(&logits)], &mut cache)?;
    }
    let decode = seconds(start);
    Ok(json!({
        "engine": "slm", "weights": weights_name(&model), "cache": kind, "threads": threads(),
        "prompt": length, "generate": generate,
        "load_s": load, "first_token_s": first_token,
        "prefill_s": prefill, "prefill_tok_s": length as f64 / prefill,
        "decode_s": decode, "decode_tok_s": f64::from(generate) / decode,
        "weight_bytes": weight_bytes(&model), "cache_bytes": cache.bytes(), "cache_tokens": cache.len(),
        "peak_bytes": memory("VmHWM")?, "own_bytes": memory("RssAnon")?, "file_bytes": memory("RssFile")?,
        "check": check,
    }))
}

/// What other engines should find too: the first tokens, and some logits after the short prompt.
fn check(model: &CausalLm, mut logits: Vec<f32>, cache: &mut KvCache) -> Outcome<Value> {
    let sample: Vec<f32> = logits.iter().step_by(logits.len() / 64).copied().collect();
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(best(&logits));
        logits = read(model, &ids[ids.len() - 1..], cache)?;
    }
    Ok(json!({"ids": ids, "logits": sample}))
}

/// The answer with guesses, and the seconds without and with them.
fn guess(model: &LocalModel, ids: &[u32], plain: &GenerationConfig) -> Outcome<(Generated, f64, f64)> {
    let guessing = GenerationConfig { lookup: Some(Lookup::default()), ..plain.clone() };
    let (without, slow) = timed(model, ids, plain)?;
    let (with, fast) = timed(model, ids, &guessing)?;
    if without.ids != with.ids {
        return Err("guesses changed the answer".into());
    }
    Ok((with, slow, fast))
}

/// Greedy decoding with and without guesses. With random weights and a tied head the likeliest token is the last one
/// again, so that each guess comes true: the best case, and the same answer either way.
fn lookup(arguments: &Arguments) -> Outcome<Value> {
    let model = local(arguments)?;
    let ids = prompt(arguments.get("prompt", 64)?, WORDS);
    let (with, slow, fast) = guess(&model, &ids, &config(arguments, 64)?)?;
    Ok(
        json!({"task": "lookup", "tokens": with.ids.len(), "plain_s": slow, "lookup_s": fast, "ratio": slow / fast}),
    )
}

/// A trained model that writes on from a text in which it has just read the same, with and without guesses.
fn copy(arguments: &Arguments) -> Outcome<Value> {
    let mut model = local(arguments)?;
    model.template = None;
    let text = "The pod was killed because its memory ran out. Raise the limit or find the leak. ";
    let request = ChatRequest::question(text.repeat(arguments.get("repeat", 4)?));
    let ids = model.prompt_ids(&request)?;
    let (with, slow, fast) = guess(&model, &ids, &config(arguments, 64)?)?;
    Ok(json!({
        "task": "copy", "model": model.name, "prompt": ids.len(), "tokens": with.ids.len(),
        "plain_s": slow, "lookup_s": fast, "ratio": slow / fast,
    }))
}

/// Tokens per second of several requests in one pass each, once all prompts are read.
fn batch(arguments: &Arguments) -> Outcome<Value> {
    let model = local(arguments)?;
    let length = arguments.get("prompt", 16)?;
    let config = config(arguments, 48)?;
    let mut rows = Vec::new();
    for at_once in [1, 4, 8] {
        let request = |i: usize| BatchRequest {
            prompt: prompt(length + i, WORDS).split_off(i),
            config: config.clone(),
        };
        let requests: Vec<BatchRequest> = (0..at_once).map(request).collect();
        let mut begun = 0;
        let mut start = Instant::now();
        let results = model.generate_batch(&requests, at_once, &mut |_, _| {
            // The first token of each comes with its prompt.
            if begun < at_once {
                begun += 1;
                start = Instant::now();
            }
            ControlFlow::Continue(())
        });
        let time = seconds(start);
        let made = results.into_iter().map(|r| r.map(|g| g.ids.len() - 1)).sum::<Result<usize, _>>()?;
        rows.push(json!({"at_once": at_once, "tokens": made, "tok_s": made as f64 / time}));
    }
    Ok(json!({"task": "batch", "rows": rows}))
}

/// Time to the first token of a prompt that is new, and of one that begins like it.
fn prefix(arguments: &Arguments) -> Outcome<Value> {
    let mut model = local(arguments)?;
    let (known, new) = (arguments.get("prompt", 512)?, arguments.get("new", 32)?);
    let config = GenerationConfig { max_new_tokens: 1, ..config(arguments, 1)? };
    // Pages and scratch buffers of this process are warm after this.
    timed(&model, &prompt(PART, WORDS), &config)?;
    model.prefixes = Some(PrefixCache::new(2 * (known + new)));
    let whole = prompt(known + 2 * new, WORDS);
    let cold_ids = &whole[..known + new];
    let hit_ids = [&whole[..known], &whole[known + new..]].concat();
    let (_, cold) = timed(&model, cold_ids, &config)?;
    let (_, hit) = timed(&model, &hit_ids, &config)?;
    Ok(json!({
        "task": "prefix", "known": known, "new": new, "cold_s": cold, "hit_s": hit, "ratio": cold / hit,
    }))
}

/// What masks cost: the time of a token of a free answer and of one under a JSON schema, in turns.
fn mask(arguments: &Arguments) -> Outcome<Value> {
    let model = LocalModel::load(&arguments.directory, &Device::flex())?;
    let ids = prompt(16, WORDS);
    let free = config(arguments, 64)?;
    let schema = json!({
        "type": "object",
        "properties": {"title": {"type": "string"}, "causes": {"type": "array", "items": {"type": "string"}}},
        "required": ["title", "causes"], "additionalProperties": false,
    });
    let bound = GenerationConfig { constraint: Some(Constraint::JsonSchema(schema)), ..free.clone() };
    let once = GenerationConfig { max_new_tokens: 1, ..bound.clone() };
    timed(&model, &ids, &GenerationConfig { max_new_tokens: 1, ..free.clone() })?;
    let start = Instant::now();
    timed(&model, &ids, &once)?;
    let first = seconds(start);
    let start = Instant::now();
    timed(&model, &ids, &once)?;
    let again = seconds(start);
    let (mut free_ms, mut bound_ms) = (Vec::new(), Vec::new());
    for _ in 0..arguments.get("turns", 5)? {
        for (config, times) in [(&free, &mut free_ms), (&bound, &mut bound_ms)] {
            let (made, time) = timed(&model, &ids, config)?;
            times.push(time * 1e3 / made.ids.len() as f64);
        }
    }
    let (free_ms, bound_ms) = (median(free_ms), median(bound_ms));
    Ok(json!({
        "task": "mask", "vocabulary_s": first - again, "free_ms": free_ms, "bound_ms": bound_ms,
        "mask_ms": bound_ms - free_ms,
    }))
}

/// A model that ends no answer by itself.
fn local(arguments: &Arguments) -> Outcome<LocalModel> {
    let mut model = LocalModel::load(&arguments.directory, &Device::flex())?;
    model.eos.clear();
    Ok(model)
}

fn config(arguments: &Arguments, tokens: usize) -> Outcome<GenerationConfig> {
    let max_new_tokens = arguments.get("generate", tokens)?;
    Ok(GenerationConfig { max_new_tokens, kv_cache: cache_type(arguments)?, ..GenerationConfig::default() })
}

fn timed(model: &LocalModel, ids: &[u32], config: &GenerationConfig) -> Outcome<(Generated, f64)> {
    let start = Instant::now();
    let made = model.generate(ids, config, &mut |_| ControlFlow::Continue(()))?;
    Ok((made, seconds(start)))
}

fn cache_type(arguments: &Arguments) -> Outcome<KvCacheType> {
    let name = arguments.text("cache").unwrap_or("f32");
    Ok(serde_json::from_value(json!(name))?)
}

/// Logits `[vocab]` after `ids`.
fn read(model: &CausalLm, ids: &[u32], cache: &mut KvCache) -> Outcome<Vec<f32>> {
    let device = model.device();
    let tensor = |part: &[u32]| -> Tensor<2, Int> {
        let values: Vec<i32> = part.iter().map(|id| *id as i32).collect();
        Tensor::from_data(TensorData::new(values, [1, part.len()]), &device)
    };
    let (early, last) = ids.split_at((ids.len() - 1) / PART * PART);
    for part in early.chunks(PART) {
        model.hidden(tensor(part), Some(cache))?;
    }
    let logits = model.next_logits(tensor(last), cache)?;
    logits.try_into_vec_as::<f32>().map_err(|e| format!("{e:?}").into())
}

fn best(logits: &[f32]) -> u32 {
    let largest = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    largest.map_or(0, |(index, _)| index as u32)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn threads() -> String {
    std::env::var("RAYON_NUM_THREADS").unwrap_or_else(|_| "all".into())
}

/// Bytes of all matrices; norms and biases are a ten-thousandth of them.
fn weight_bytes(model: &CausalLm) -> usize {
    let dense = |t: &Tensor<2>| t.shape().num_elements() * t.dtype().size();
    let linear = |weight: &Weight| match weight {
        Weight::Dense(t) => dense(t),
        Weight::Packed(packed) => packed.bytes(),
        other => unreachable!("an unknown form of weight: {other:?}"),
    };
    linear(&model.embed_tokens) + model.linears().map(|(_, l)| linear(&l.weight)).sum::<usize>()
}

fn weights_name(model: &CausalLm) -> String {
    match &model.embed_tokens {
        Weight::Dense(t) => format!("{:?}", t.dtype()).to_lowercase(),
        Weight::Packed(packed) => packed.format().to_string(),
        other => unreachable!("an unknown form of weight: {other:?}"),
    }
}
