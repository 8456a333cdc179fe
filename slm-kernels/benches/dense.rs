//! Products with a dense weight, at the shapes of Qwen3-0.6B: one token (the limit is memory) and many (the
//! limit is arithmetic); ours in three types and the packed ones, burn's own product, and the scalar reference.
//!
//! ```console
//! cargo bench -p slm-kernels --bench dense
//! ```

mod common;

use std::hint::black_box;

use burn::tensor::{DType, Device, Tensor, TensorData};
use common::{Contender, contender, contest, report, wave};
use slm_kernels::dense::{self, Matrix, Numbers};
use slm_kernels::{Format, PackedTensor, ops};

/// As many copies of a weight as fill this many bytes in `f16`, so that weights come from memory.
const BYTES: usize = 128 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (memory, arithmetic) = (common::memory_limit(), common::arithmetic_limit());
    println!("limits: {:.1} GB/s, {:.0} GFLOP/s; last column: against burn", memory / 1e9, arithmetic / 1e9);
    for [rows, cols] in [[1024, 1024], [2048, 1024], [3072, 1024], [1024, 3072], [151_936, 1024]] {
        for tokens in [1, 2, 4, 8, 32, 512] {
            if tokens <= 8 || rows < 100_000 {
                shape(tokens, rows, cols, [memory, arithmetic])?;
            }
        }
    }
    backward(arithmetic);
    reference(arithmetic)
}

fn weight(rows: usize, cols: usize, dtype: DType) -> Tensor<2> {
    let data = TensorData::new(wave(rows * cols, 0.37), [rows, cols]);
    Tensor::<2>::from_data(data, &Device::flex()).cast(dtype)
}

fn shape(
    tokens: usize,
    rows: usize,
    cols: usize,
    [memory, arithmetic]: [f64; 2],
) -> Result<(), Box<dyn std::error::Error>> {
    let copies = if tokens > 8 { 1 } else { BYTES.div_ceil(rows * cols * 2).min(16) };
    let dense = |dtype| -> Vec<_> { (0..copies).map(|_| weight(rows, cols, dtype) + 0.0).collect() };
    let (f32s, f16s, bf16s) = (dense(DType::F32), dense(DType::F16), dense(DType::BF16));
    let numbers = wave(rows * cols, 0.37);
    let pack = |format| -> Result<Vec<_>, _> {
        (0..copies).map(|_| PackedTensor::quantize(&numbers, rows, cols, format)).collect()
    };
    let (int8, int4) = (pack(Format::Int8 { group_size: 64 })?, pack(Format::Int4 { group_size: 64 })?);
    let x =
        Tensor::<2>::from_data(TensorData::new(wave(tokens * cols, 0.11), [tokens, cols]), &Device::flex());
    let each = |weights: &[Tensor<2>]| {
        for w in weights {
            black_box(ops::dense_linear(x.clone(), w));
        }
    };
    let each_packed = |weights: &[PackedTensor]| {
        for w in weights {
            black_box(ops::linear(x.clone(), w)).ok();
        }
    };
    let burn = || {
        for w in &f32s {
            black_box(x.clone().matmul(w.clone().transpose()));
        }
    };
    let mut contenders = [
        contender("f32", || each(&f32s)),
        contender("f16", || each(&f16s)),
        contender("bf16", || each(&bf16s)),
        contender("int8", || each_packed(&int8)),
        contender("int4", || each_packed(&int4)),
        contender("burn f32", burn),
    ];
    let seconds = contest(if tokens < 512 { 9 } else { 5 }, &mut contenders);
    let what = format!("{tokens} x {cols} -> {rows}");
    let work = (copies * tokens * rows * cols) as f64 * 2.0;
    if tokens > 8 {
        report(&what, &contenders, &seconds, work, arithmetic, "GFLOP/s");
        return Ok(());
    }
    let weights = (copies * rows * cols) as f64;
    let bytes = [4.0, 2.0, 2.0, 1.0625, 0.5625, 4.0];
    for ((one, seconds), bytes) in contenders.chunks(1).zip(&seconds).zip(bytes) {
        report(&what, one, &[*seconds], weights * bytes, memory, "GB/s   ");
    }
    Ok(())
}

/// The gradient of the input, as training takes it.
fn backward(arithmetic: f64) {
    let (tokens, rows, cols) = (512, 3072, 1024);
    let device = Device::flex();
    let w = weight(rows, cols, DType::F32);
    let (f32s, f16s) = (wave(rows * cols, 0.37), weight(rows, cols, DType::F16).into_data());
    let dy = wave(tokens * rows, 0.11);
    let tensor = Tensor::<2>::from_data(TensorData::new(dy.clone(), [tokens, rows]), &device);
    let (mut dx, mut dx16) = (vec![0.0; tokens * cols], vec![0.0; tokens * cols]);
    let f16s = f16s.as_slice().unwrap_or_default();
    let mut contenders = [
        contender("f32", || run_dx(&dy, Numbers::F32(&f32s), [rows, cols], &mut dx)),
        contender("f16", || run_dx(&dy, Numbers::F16(f16s), [rows, cols], &mut dx16)),
        contender("burn f32", || {
            black_box(tensor.clone().matmul(w.clone()));
        }),
    ];
    let seconds = contest(5, &mut contenders);
    let work = (tokens * rows * cols) as f64 * 2.0;
    report("dx: 512 x 3072 -> 1024", &contenders, &seconds, work, arithmetic, "GFLOP/s");
}

fn run_dx(dy: &[f32], numbers: Numbers<'_>, [rows, cols]: [usize; 2], dx: &mut [f32]) {
    let done =
        Matrix::new(numbers, rows, cols).and_then(|w| dense::dense_linear_dx(dy, dy.len() / rows, &w, dx));
    assert_eq!(done, Ok(()));
}

/// The readable twin, on a smaller problem.
fn reference(arithmetic: f64) -> Result<(), Box<dyn std::error::Error>> {
    let (tokens, rows, cols) = (8, 1024, 1024);
    let numbers = wave(rows * cols, 0.37);
    let w = Matrix::new(Numbers::F32(&numbers), rows, cols)?;
    let x = wave(tokens * cols, 0.11);
    let (mut y, mut twin) = (vec![0.0; tokens * rows], vec![0.0; tokens * rows]);
    let mut contenders: [Contender<'_>; 2] = [
        contender("f32", || assert_eq!(dense::dense_linear(&x, tokens, &w, &mut y), Ok(()))),
        contender("scalar", || assert_eq!(dense::scalar::dense_linear(&x, tokens, &w, &mut twin), Ok(()))),
    ];
    let seconds = contest(7, &mut contenders);
    let work = (tokens * rows * cols) as f64 * 2.0;
    report("8 x 1024 -> 1024, against scalar", &contenders, &seconds, work, arithmetic, "GFLOP/s");
    Ok(())
}
