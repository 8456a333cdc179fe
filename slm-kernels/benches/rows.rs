//! Normalization, rotation and gate on the activations of Qwen3-0.6B; ours, burn's operations, and the scalar
//! reference. The limit is memory; what fits a cache goes beyond it.
//!
//! ```console
//! cargo bench -p slm-kernels --bench rows
//! ```

mod common;

use std::hint::black_box;

use burn::tensor::{Device, Tensor, TensorData, activation};
use common::{contender, contest, report, wave};
use slm_kernels::ops::{self, Gate};
use slm_kernels::rows::{self, Heads};

const HIDDEN: usize = 1024;
const INNER: usize = 3072;
const HEADS: usize = 16;
const DIM: usize = 128;

fn main() {
    let memory = common::memory_limit();
    println!("limit: {:.1} GB/s; last column: against scalar", memory / 1e9);
    for tokens in [1, 512] {
        norm(tokens, memory);
        rotation(tokens, memory);
        gate(tokens, memory);
    }
}

fn tensor<const D: usize>(shape: [usize; D], step: f32) -> Tensor<D> {
    Tensor::from_data(TensorData::new(wave(shape.iter().product(), step), shape), &Device::flex())
}

fn norm(tokens: usize, memory: f64) {
    let (x, weight) = (tensor([tokens, HIDDEN], 0.37), tensor([HIDDEN], 0.11));
    let (numbers, weights) = (wave(tokens * HIDDEN, 0.37), wave(HIDDEN, 0.11));
    let mut y = vec![0.0; numbers.len()];
    let mut contenders = [
        contender("kernel", || {
            black_box(ops::rms_norm(x.clone(), &weight, 1e-6));
        }),
        contender("burn", || {
            let scale = (x.clone() * x.clone()).mean_dim(1).add_scalar(1e-6).sqrt();
            black_box(x.clone() / scale * weight.clone().unsqueeze());
        }),
        contender("scalar", || {
            assert_eq!(rows::scalar::rms_norm(&numbers, &weights, 1e-6, &mut y), Ok(()));
        }),
    ];
    let seconds = contest(200, &mut contenders);
    let bytes = (8 * tokens * HIDDEN) as f64;
    report(&format!("norm, {tokens} x {HIDDEN}"), &contenders, &seconds, bytes, memory, "GB/s   ");
}

fn rotation(tokens: usize, memory: f64) {
    let half = DIM / 2;
    let x = tensor([1, tokens, HEADS, DIM], 0.37);
    let (cos, sin) = (tensor([tokens, half], 0.5), tensor([tokens, half], 0.3));
    let numbers = wave(tokens * HEADS * DIM, 0.37);
    let (cosines, sines) = (wave(tokens * half, 0.5), wave(tokens * half, 0.3));
    let mut y = numbers.clone();
    // What an operation hands on belongs to the next alone, so the kernel may turn it in place.
    let mut turning = Some(x.clone() + 0.0);
    let heads = Heads { heads: HEADS, dim: DIM, rotary: DIM };
    let mut contenders = [
        contender("kernel", || {
            turning = turning.take().map(|x| ops::rotate(x, &cos, &sin));
        }),
        contender("burn", || {
            let (a, b) = (x.clone().narrow(3, 0, half), x.clone().narrow(3, half, half));
            let angle = |t: &Tensor<2>| t.clone().reshape([1, tokens, 1, half]);
            let (cos, sin) = (angle(&cos), angle(&sin));
            let first = a.clone() * cos.clone() - b.clone() * sin.clone();
            black_box(Tensor::cat(vec![first, b * cos + a * sin], 3));
        }),
        contender("scalar", || rows::scalar::rotate(&mut y, &cosines, &sines, heads)),
    ];
    let seconds = contest(200, &mut contenders);
    let bytes = (8 * tokens * HEADS * DIM) as f64;
    report(&format!("rotation, {tokens} x {HEADS} x {DIM}"), &contenders, &seconds, bytes, memory, "GB/s   ");
}

fn gate(tokens: usize, memory: f64) {
    let (gate, up) = (tensor([tokens, INNER], 0.37), tensor([tokens, INNER], 0.11));
    let (gates, ups) = (wave(tokens * INNER, 0.37), wave(tokens * INNER, 0.11));
    let mut y = gates.clone();
    let mut opening = Some(gate.clone() + 0.0);
    let mut contenders = [
        contender("kernel", || {
            opening = opening.take().map(|gate| ops::gated(gate, up.clone(), Gate::Silu));
        }),
        contender("burn", || {
            black_box(activation::silu(gate.clone()) * up.clone());
        }),
        contender("scalar", || {
            assert_eq!(rows::scalar::gated(&mut y, &ups, Gate::Silu), Ok(()));
        }),
    ];
    let seconds = contest(100, &mut contenders);
    let bytes = (12 * tokens * INNER) as f64;
    report(&format!("SiLU gate, {tokens} x {INNER}"), &contenders, &seconds, bytes, memory, "GB/s   ");
}
