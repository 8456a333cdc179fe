//! All operations of a decoder of the shape of Qwen3-0.6B on random weights: tokens per second for a prompt of
//! 512 and for one token after another behind it, and where the time goes. Embeddings are left out.
//!
//! ```console
//! cargo bench -p slm-kernels --bench decoder
//! ```

mod common;

use std::hint::black_box;
use std::time::Instant;

use burn::tensor::{DType, Device, Tensor, TensorData};
use common::wave;
use slm_kernels::ops::{self, AttentionOptions, Gate, KvBuffer, KvType};

const HIDDEN: usize = 1024;
const INNER: usize = 3072;
const HEADS: usize = 16;
const KV_HEADS: usize = 8;
const DIM: usize = 128;
const LAYERS: usize = 28;
const VOCABULARY: usize = 151_936;
const PROMPT: usize = 512;
const NEW: usize = 32;
const ROUNDS: usize = 3;

struct Layer {
    norms: [Tensor<1>; 2],
    head_norms: [Tensor<1>; 2],
    q: Tensor<2>,
    k: Tensor<2>,
    v: Tensor<2>,
    o: Tensor<2>,
    gate: Tensor<2>,
    up: Tensor<2>,
    down: Tensor<2>,
}

/// Seconds per kind of operation.
#[derive(Default)]
struct Spent {
    linear: f64,
    attention: f64,
    rows: f64,
}

fn timed<T>(spent: &mut f64, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = run();
    *spent += start.elapsed().as_secs_f64();
    value
}

fn weight(rows: usize, cols: usize, dtype: DType) -> Tensor<2> {
    let numbers: Vec<f32> = wave(rows * cols, 0.37).iter().map(|v| v * 0.02).collect();
    Tensor::<2>::from_data(TensorData::new(numbers, [rows, cols]), &Device::flex()).cast(dtype)
}

fn layer(dtype: DType) -> Layer {
    let ones = |n: usize| Tensor::<1>::ones([n], &Device::flex());
    Layer {
        norms: [ones(HIDDEN), ones(HIDDEN)],
        head_norms: [ones(DIM), ones(DIM)],
        q: weight(HEADS * DIM, HIDDEN, dtype),
        k: weight(KV_HEADS * DIM, HIDDEN, dtype),
        v: weight(KV_HEADS * DIM, HIDDEN, dtype),
        o: weight(HIDDEN, HEADS * DIM, dtype),
        gate: weight(INNER, HIDDEN, dtype),
        up: weight(INNER, HIDDEN, dtype),
        down: weight(HIDDEN, INNER, dtype),
    }
}

impl Layer {
    /// `x`: `[1, tokens, HIDDEN]`.
    fn forward(
        &self,
        x: Tensor<3>,
        angles: &[Tensor<2>; 2],
        cache: &mut KvBuffer,
        spent: &mut Spent,
    ) -> Tensor<3> {
        let tokens = x.dims()[1];
        let [cos, sin] = angles;
        let normed = timed(&mut spent.rows, || ops::rms_norm(x.clone(), &self.norms[0], 1e-6));
        let project = |w: &Tensor<2>, heads: usize| {
            ops::dense_linear(normed.clone(), w).reshape([1, tokens, heads, DIM])
        };
        let (q, k, v) = timed(&mut spent.linear, || {
            (project(&self.q, HEADS), project(&self.k, KV_HEADS), project(&self.v, KV_HEADS))
        });
        let (q, k) = timed(&mut spent.rows, || {
            let q = ops::rotate(ops::rms_norm(q, &self.head_norms[0], 1e-6), cos, sin);
            (q, ops::rotate(ops::rms_norm(k, &self.head_norms[1], 1e-6), cos, sin))
        });
        let options = AttentionOptions { scale: 1.0 / (DIM as f32).sqrt(), ..Default::default() };
        let attended = timed(&mut spent.attention, || ops::attention_cached(q, k, v, cache, &options));
        let attended = attended.reshape([1, tokens, HEADS * DIM]);
        let out = timed(&mut spent.linear, || ops::dense_linear(attended, &self.o));
        let x = timed(&mut spent.rows, || x + out);
        let normed = timed(&mut spent.rows, || ops::rms_norm(x.clone(), &self.norms[1], 1e-6));
        let (gate, up) = timed(&mut spent.linear, || {
            (ops::dense_linear(normed.clone(), &self.gate), ops::dense_linear(normed, &self.up))
        });
        let inner = timed(&mut spent.rows, || ops::gated(gate, up, Gate::Silu));
        let out = timed(&mut spent.linear, || ops::dense_linear(inner, &self.down));
        timed(&mut spent.rows, || x + out)
    }
}

fn main() {
    let memory = common::memory_limit();
    let arithmetic = common::arithmetic_limit();
    println!("limits: {:.1} GB/s, {:.0} GFLOP/s", memory / 1e9, arithmetic / 1e9);
    for dtype in [DType::F16, DType::BF16] {
        let layers: Vec<Layer> = (0..LAYERS).map(|_| layer(dtype)).collect();
        let head = weight(VOCABULARY, HIDDEN, dtype);
        // From this thread, and from a thread of the pool, which saves waking it up for each product.
        println!("{dtype:?} weights, f16 cache, best of {ROUNDS}");
        measure(&layers, &head, [memory, arithmetic]);
        println!("  the same from within the pool");
        rayon::scope(|_| measure(&layers, &head, [memory, arithmetic]));
    }
}

fn measure(layers: &[Layer], head: &Tensor<2>, [memory, arithmetic]: [f64; 2]) {
    let angles = |from: usize, tokens: usize| -> [Tensor<2>; 2] {
        let all: Vec<f32> = (0..tokens * DIM / 2)
            .map(|i| (from + i / (DIM / 2)) as f32 * 1e6_f32.powf(-((i % (DIM / 2)) as f32) / 64.0))
            .collect();
        let all = Tensor::<2>::from_data(TensorData::new(all, [tokens, DIM / 2]), &Device::flex());
        [all.clone().cos(), all.sin()]
    };
    let mut best: [(f64, Spent); 2] = [(f64::INFINITY, Spent::default()), (f64::INFINITY, Spent::default())];
    for _ in 0..ROUNDS {
        let mut caches: Vec<_> = layers.iter().map(|_| KvBuffer::new(KV_HEADS, DIM, KvType::F16)).collect();
        let mut pass = |from: usize, tokens: usize, spent: &mut Spent| {
            let data = TensorData::new(wave(tokens * HIDDEN, 0.11), [1, tokens, HIDDEN]);
            let mut x = Tensor::<3>::from_data(data, &Device::flex());
            let angles = angles(from, tokens);
            for (layer, cache) in layers.iter().zip(&mut caches) {
                x = layer.forward(x, &angles, cache, spent);
            }
            let last = x.narrow(1, tokens - 1, 1);
            black_box(timed(&mut spent.linear, || ops::dense_linear(last, head)));
        };
        for (phase, best) in best.iter_mut().enumerate() {
            let (mut spent, start) = (Spent::default(), Instant::now());
            if phase == 0 {
                pass(0, PROMPT, &mut spent);
            } else {
                (0..NEW).for_each(|i| pass(PROMPT + i, 1, &mut spent));
            }
            let seconds = start.elapsed().as_secs_f64();
            if seconds < best.0 {
                *best = (seconds, spent);
            }
        }
    }
    let weights = (layers.len() * (2 * HIDDEN * (HEADS + KV_HEADS) * DIM + 3 * HIDDEN * INNER)) as f64;
    let bytes = (weights + (VOCABULARY * HIDDEN) as f64) * 2.0;
    let share = [2.0 * weights * PROMPT as f64 / arithmetic, bytes * NEW as f64 / memory];
    for (((seconds, spent), name), (tokens, limit)) in
        best.iter().zip(["prompt", "decode"]).zip([PROMPT, NEW].into_iter().zip(share))
    {
        println!(
            "  {name}: {:.1} tokens/s, {:.0} % of the limit of the products; ms: products {:.1}, attention {:.1}, rows {:.1}, all {:.1}",
            tokens as f64 / seconds,
            100.0 * limit / seconds,
            spent.linear * 1e3,
            spent.attention * 1e3,
            spent.rows * 1e3,
            seconds * 1e3,
        );
    }
}
