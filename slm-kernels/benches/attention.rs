//! Attention at the shape of Qwen3-0.6B (16 query heads on 8, of 128): reading a prompt, and one token after
//! many; ours for each type of cache, burn's own operation, and the scalar reference.
//!
//! ```console
//! cargo bench -p slm-kernels --bench attention
//! ```

mod common;

use std::hint::black_box;

use burn::tensor::module::attention as burn_attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Tensor, TensorData};
use common::{contender, contest, report, wave};
use slm_kernels::attention::{Shape, scalar};
use slm_kernels::ops::{self, AttentionOptions, KvBuffer, KvType};

const HEADS: usize = 16;
const KV_HEADS: usize = 8;
const DIM: usize = 128;
/// Caches of as many layers, so that they come from memory as they do in a model.
const LAYERS: usize = 28;

fn main() {
    let (memory, arithmetic) = (common::memory_limit(), common::arithmetic_limit());
    println!("limits: {:.1} GB/s, {:.0} GFLOP/s; last column: against burn", memory / 1e9, arithmetic / 1e9);
    for tokens in [128, 512, 2048] {
        prompt(tokens, arithmetic);
    }
    for tokens in [512, 4096] {
        one_token(tokens, memory);
    }
    reference(arithmetic);
}

fn options() -> AttentionOptions {
    AttentionOptions { scale: 1.0 / (DIM as f32).sqrt(), ..Default::default() }
}

fn tensor(tokens: usize, heads: usize, step: f32) -> Tensor<4> {
    let data = TensorData::new(wave(tokens * heads * DIM, step), [1, tokens, heads, DIM]);
    Tensor::from_data(data, &Device::flex())
}

/// Queries, keys and values as burn takes them: heads first, keys and values once for each query head.
fn heads_first(q: &Tensor<4>, k: &Tensor<4>, v: &Tensor<4>) -> [Tensor<4>; 3] {
    let all = k.dims()[1];
    let expand = |t: &Tensor<4>| {
        let t = t.clone().swap_dims(1, 2).reshape([1, KV_HEADS, 1, all, DIM]);
        t.expand([1, KV_HEADS, HEADS / KV_HEADS, all, DIM]).reshape([1, HEADS, all, DIM])
    };
    [q.clone().swap_dims(1, 2), expand(k), expand(v)]
}

fn burn(q: &Tensor<4>, k: &Tensor<4>, v: &Tensor<4>) -> Tensor<4> {
    let [q, k, v] = heads_first(q, k, v);
    let options = AttentionModuleOptions { is_causal: true, ..Default::default() };
    burn_attention(q, k, v, None, None, options).swap_dims(1, 2)
}

fn prompt(tokens: usize, arithmetic: f64) {
    let (q, k, v) =
        (tensor(tokens, HEADS, 0.37), tensor(tokens, KV_HEADS, 0.73), tensor(tokens, KV_HEADS, 0.11));
    let cached = |kind| {
        let mut buffer = KvBuffer::new(KV_HEADS, DIM, kind);
        black_box(ops::attention_cached(q.clone(), k.clone(), v.clone(), &mut buffer, &options()));
    };
    let mut contenders = [
        contender("no cache", || {
            black_box(ops::attention(q.clone(), k.clone(), v.clone(), &options()));
        }),
        contender("f32 cache", || cached(KvType::F32)),
        contender("f16 cache", || cached(KvType::F16)),
        contender("int8 cache", || cached(KvType::Int8)),
        contender("burn", || {
            black_box(burn(&q, &k, &v));
        }),
    ];
    let seconds = contest(9, &mut contenders);
    // Half of the scores are visible.
    let work = 4.0 * (tokens * (tokens + 1) / 2 * HEADS * DIM) as f64;
    report(&format!("prompt of {tokens}"), &contenders, &seconds, work, arithmetic, "GFLOP/s");
}

fn one_token(tokens: usize, memory: f64) {
    let (k, v) = (tensor(tokens, KV_HEADS, 0.73), tensor(tokens, KV_HEADS, 0.11));
    let full = |kind| -> Vec<_> {
        let make = |_| {
            let mut buffer = KvBuffer::new(KV_HEADS, DIM, kind);
            let q = tensor(tokens, HEADS, 0.37);
            ops::attention_cached(q, k.clone(), v.clone(), &mut buffer, &options());
            buffer
        };
        (0..LAYERS).map(make).collect()
    };
    let (mut f32s, mut f16s, mut int8s) = (full(KvType::F32), full(KvType::F16), full(KvType::Int8));
    let keys: Vec<_> = (0..LAYERS).map(|_| (k.clone() + 0.0, v.clone() + 0.0)).collect();
    let (q, new) = (tensor(1, HEADS, 0.37), tensor(1, KV_HEADS, 0.5));
    let each = |buffers: &mut [KvBuffer]| {
        for buffer in buffers {
            black_box(ops::attention_cached(q.clone(), new.clone(), new.clone(), buffer, &options()));
            buffer.truncate(tokens);
        }
    };
    let mut contenders = [
        contender("f32 cache", || each(&mut f32s)),
        contender("f16 cache", || each(&mut f16s)),
        contender("int8 cache", || each(&mut int8s)),
        contender("burn", || {
            for (k, v) in &keys {
                let [q, k, v] = heads_first(&q, k, v);
                black_box(burn_attention(q, k, v, None, None, AttentionModuleOptions::default()));
            }
        }),
    ];
    let seconds = contest(15, &mut contenders);
    let numbers = (2 * LAYERS * tokens * KV_HEADS * DIM) as f64;
    let bytes = [4.0, 2.0, 1.0 + 4.0 / DIM as f64, 4.0];
    let last = seconds[3];
    for ((one, seconds), bytes) in contenders.chunks(1).zip(&seconds).zip(bytes) {
        let what = format!("1 token after {tokens} ({:.2}x burn)", last / seconds);
        report(&what, one, &[*seconds], numbers * bytes, memory, "GB/s   ");
    }
}

/// The readable twin, on a smaller problem.
fn reference(arithmetic: f64) {
    let tokens = 96;
    let q = wave(tokens * HEADS * DIM, 0.37);
    let (k, v) = (wave(tokens * KV_HEADS * DIM, 0.73), wave(tokens * KV_HEADS * DIM, 0.11));
    let shape = Shape { heads: HEADS, kv_heads: KV_HEADS, dim: DIM };
    let (mut out, mut twin) = (vec![0.0; q.len()], vec![0.0; q.len()]);
    let mut contenders = [
        contender("kernel", || {
            let done = slm_kernels::attention::attention(&q, [&k, &v], shape, &options(), &mut out);
            assert_eq!(done, Ok(()));
        }),
        contender("scalar", || scalar::attention(&q, [&k, &v], shape, &options(), &mut twin)),
    ];
    let seconds = contest(9, &mut contenders);
    let work = 4.0 * (tokens * (tokens + 1) / 2 * HEADS * DIM) as f64;
    report("prompt of 96, against scalar", &contenders, &seconds, work, arithmetic, "GFLOP/s");
}
