//! A step of fine-tuning, operation by operation, forward and backward: 4 rows of 256 tokens at the shape of Qwen3-0.6B; ours
//! against burn's operations composed as anybody would.
//!
//! ```console
//! cargo bench -p slm-kernels --bench backward
//! ```

mod common;

use std::hint::black_box;
use std::slice::from_ref;

use burn::tensor::activation::{log_softmax, silu, softmax};
use burn::tensor::{Device, Int, Tensor, TensorData};
use common::{contender, contest, report, wave};
use slm_kernels::ops::{self, AttentionOptions, Base, Gate};

const BATCH: usize = 4;
const TOKENS: usize = 256;
const HIDDEN: usize = 1024;
const INNER: usize = 3072;
const HEADS: usize = 16;
const KV_HEADS: usize = 8;
const DIM: usize = 128;
const RANK: usize = 16;
const WORDS: usize = 151_936;
/// Rows of logits at a time, as the trainer takes them.
const LABELS: usize = 128;

fn main() {
    let (memory, arithmetic) = (common::memory_limit(), common::arithmetic_limit());
    println!("limits: {:.1} GB/s, {:.0} GFLOP/s; last column: against burn", memory / 1e9, arithmetic / 1e9);
    norm(memory);
    rotation(memory);
    gate(memory);
    attention(arithmetic);
    adapted(arithmetic);
    likelihood(memory);
}

fn tensor<const D: usize>(shape: [usize; D], step: f32) -> Tensor<D> {
    let data = TensorData::new(wave(shape.iter().product(), step), shape);
    Tensor::from_data(data, &Device::flex().autodiff())
}

/// Forward and backward, to the gradients of all `inputs`.
fn pass<const D: usize, const E: usize>(inputs: &[Tensor<D>], f: impl FnOnce(Vec<Tensor<D>>) -> Tensor<E>) {
    let inputs: Vec<_> = inputs.iter().map(|x| x.clone().detach().require_grad()).collect();
    let grads = f(inputs.clone()).sum().backward();
    for x in &inputs {
        black_box(x.grad(&grads));
    }
}

fn norm(memory: f64) {
    let (x, weight) = (tensor([BATCH * TOKENS, HIDDEN], 0.37), tensor([HIDDEN], 0.11));
    let mut contenders = [
        contender("kernel", || pass(from_ref(&x), |x| ops::rms_norm(x[0].clone(), &weight, 1e-6))),
        contender("burn", || {
            pass(from_ref(&x), |x| {
                let scale = (x[0].clone() * x[0].clone()).mean_dim(1).add_scalar(1e-6).sqrt();
                x[0].clone() / scale * weight.clone().unsqueeze()
            });
        }),
    ];
    let seconds = contest(20, &mut contenders);
    // Forward reads x and writes y, backward reads both x and dy and writes dx.
    let bytes = (20 * BATCH * TOKENS * HIDDEN) as f64;
    report("norm", &contenders, &seconds, bytes, memory, "GB/s   ");
}

fn rotation(memory: f64) {
    let half = DIM / 2;
    let x = tensor([BATCH, TOKENS, HEADS, DIM], 0.37);
    let (cos, sin) = (tensor([TOKENS, half], 0.5), tensor([TOKENS, half], 0.3));
    let mut contenders = [
        contender("kernel", || pass(from_ref(&x), |x| ops::rotate(x[0].clone(), &cos, &sin))),
        contender("burn", || {
            pass(from_ref(&x), |x| {
                let part = |at| x[0].clone().narrow(3, at, half);
                let angle = |t: &Tensor<2>| t.clone().reshape([1, TOKENS, 1, half]);
                let (a, b, cos, sin) = (part(0), part(half), angle(&cos), angle(&sin));
                let first = a.clone() * cos.clone() - b.clone() * sin.clone();
                Tensor::cat(vec![first, b * cos + a * sin], 3)
            });
        }),
    ];
    let seconds = contest(20, &mut contenders);
    let bytes = (16 * BATCH * TOKENS * HEADS * DIM) as f64;
    report("rotation", &contenders, &seconds, bytes, memory, "GB/s   ");
}

fn gate(memory: f64) {
    let halves = [tensor([BATCH * TOKENS, INNER], 0.37), tensor([BATCH * TOKENS, INNER], 0.11)];
    let mut contenders = [
        contender("kernel", || pass(&halves, |x| ops::gated(x[0].clone(), x[1].clone(), Gate::Silu))),
        contender("burn", || pass(&halves, |x| silu(x[0].clone()) * x[1].clone())),
    ];
    let seconds = contest(20, &mut contenders);
    let bytes = (32 * BATCH * TOKENS * INNER) as f64;
    report("SiLU gate", &contenders, &seconds, bytes, memory, "GB/s   ");
}

fn attention(arithmetic: f64) {
    let scale = 1.0 / (DIM as f32).sqrt();
    let options = AttentionOptions { scale, ..Default::default() };
    let shapes = [(HEADS, 0.37), (KV_HEADS, 0.73), (KV_HEADS, 0.11)];
    let qkv = shapes.map(|(heads, step)| tensor([BATCH, TOKENS, heads, DIM], step));
    let hidden = Tensor::<2>::ones([TOKENS, TOKENS], &Device::flex().autodiff()).triu(1).greater_elem(0.0);
    let composed = |x: Vec<Tensor<4>>| {
        let expand = |t: &Tensor<4>| {
            let t = t.clone().swap_dims(1, 2).reshape([BATCH, KV_HEADS, 1, TOKENS, DIM]);
            t.expand([BATCH, KV_HEADS, HEADS / KV_HEADS, TOKENS, DIM]).reshape([BATCH, HEADS, TOKENS, DIM])
        };
        let scores = x[0].clone().swap_dims(1, 2).matmul(expand(&x[1]).transpose()).mul_scalar(scale);
        let mask = hidden.clone().unsqueeze::<4>().expand([BATCH, HEADS, TOKENS, TOKENS]);
        softmax(scores.mask_fill(mask, f32::NEG_INFINITY), 3).matmul(expand(&x[2]))
    };
    let mut contenders = [
        contender("kernel", || {
            pass(&qkv, |x| ops::attention(x[0].clone(), x[1].clone(), x[2].clone(), &options));
        }),
        contender("burn", || pass(&qkv, composed)),
    ];
    let seconds = contest(9, &mut contenders);
    // Half of two products forward, and five backward.
    let work = (7 * BATCH * HEADS * TOKENS * TOKENS * DIM) as f64;
    report("attention", &contenders, &seconds, work, arithmetic, "GFLOP/s");
}

fn adapted(arithmetic: f64) {
    let x = tensor([BATCH * TOKENS, HIDDEN], 0.37);
    let frozen = tensor([INNER, HIDDEN], 0.0731);
    let factors = [tensor([RANK, HIDDEN], 0.11), tensor([INNER, RANK], 0.23)];
    let all = [x, factors[0].clone(), factors[1].clone()];
    let mut contenders = [
        contender("kernel", || {
            pass(&all, |t| {
                let y = ops::lora_linear(t[0].clone(), Base::Dense(&frozen), [&t[1], &t[2]], 2.0);
                y.expect("a dense base has the features of its input")
            });
        }),
        contender("burn", || {
            pass(&all, |t| {
                let low = t[0].clone().matmul(t[1].clone().transpose()).matmul(t[2].clone().transpose());
                t[0].clone().matmul(frozen.clone().transpose()) + low.mul_scalar(2.0)
            });
        }),
    ];
    let seconds = contest(9, &mut contenders);
    // The weight is constant: a product forward and one backward, and those of the factors.
    let work = (BATCH * TOKENS * (4 * HIDDEN * INNER + 6 * RANK * (HIDDEN + INNER))) as f64;
    report("adapted layer", &contenders, &seconds, work, arithmetic, "GFLOP/s");
}

fn likelihood(memory: f64) {
    let logits = tensor([LABELS, WORDS], 0.37);
    let tokens: Vec<i32> = (0..LABELS as i32).map(|i| i * 997).collect();
    let at = Tensor::<1, Int>::from_data(TensorData::from(tokens.as_slice()), &Device::flex().autodiff());
    let mut contenders = [
        contender("kernel", || pass(from_ref(&logits), |x| ops::log_prob(x[0].clone(), &tokens))),
        contender("burn", || {
            pass(from_ref(&logits), |x| log_softmax(x[0].clone(), 1).gather(1, at.clone().unsqueeze_dim(1)));
        }),
    ];
    let seconds = contest(9, &mut contenders);
    let bytes = (16 * LABELS * WORDS) as f64;
    report("likelihood", &contenders, &seconds, bytes, memory, "GB/s   ");
}
