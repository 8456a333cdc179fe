//! A linear layer of Qwen3-0.6B's MLP: packed against dense, for one token (decoding) and for many (reading a
//! prompt). The contenders take turns, so that a change of the machine's speed hits all alike; read the ratios.
//!
//! ```console
//! cargo bench --bench linear
//! ```

use std::error::Error;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use slm::core::nn::Linear;
use slm::quant::{Format, PackedTensor};

const ROUNDS: usize = 15;
const SHAPE: [usize; 2] = [3072, 1024];
/// As many layers as a model has, so that weights come from memory as they do there.
const LAYERS: usize = 28;

fn main() -> Result<(), Box<dyn Error>> {
    let [rows, cols] = SHAPE;
    let device = Device::flex();
    let weights: Vec<f32> = (0..rows * cols).map(|i| ((i % 8191) as f32 * 0.37).sin() * 0.05).collect();
    let pack = |format| PackedTensor::quantize(&weights, rows, cols, format);
    let dense = || Linear::dense(Tensor::from_data(TensorData::new(weights.clone(), SHAPE), &device));
    let contenders: Vec<(&str, Vec<Linear>)> = vec![
        ("f32", (0..LAYERS).map(|_| dense()).collect()),
        (
            "int8",
            (0..LAYERS)
                .map(|_| pack(Format::Int8 { group_size: 64 }).map(Linear::packed))
                .collect::<Result<_, _>>()?,
        ),
        (
            "int4",
            (0..LAYERS)
                .map(|_| pack(Format::Int4 { group_size: 64 }).map(Linear::packed))
                .collect::<Result<_, _>>()?,
        ),
    ];
    println!("{LAYERS} layers {rows} x {cols}, best of {ROUNDS} rounds");
    println!("{:>8} {:>8} {:>12} {:>14} {:>10}", "tokens", "weights", "ms", "GFLOP/s", "vs f32");
    for tokens in [1, 4, 32, 512] {
        let x = Tensor::<2>::ones([tokens, cols], &device);
        let mut best = vec![f64::INFINITY; contenders.len()];
        for _ in 0..ROUNDS {
            for ((_, layers), best) in contenders.iter().zip(&mut best) {
                let start = Instant::now();
                for layer in layers {
                    layer.forward(x.clone()).sum().try_into_vec_as::<f32>().map_err(|e| format!("{e:?}"))?;
                }
                *best = best.min(start.elapsed().as_secs_f64());
            }
        }
        for ((name, _), seconds) in contenders.iter().zip(&best) {
            let work = 2.0 * (tokens * rows * cols * LAYERS) as f64;
            let (ms, speed, ratio) = (seconds * 1e3, work / seconds / 1e9, best[0] / seconds);
            println!("{tokens:>8} {name:>8} {ms:>12.2} {speed:>14.1} {ratio:>9.2}x");
        }
    }
    Ok(())
}
