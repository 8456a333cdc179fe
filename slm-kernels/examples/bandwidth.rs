//! How fast a packed layer is read: one row of activations against a large weight, where memory is the limit.
//!
//! ```console
//! cargo run --release -p slm-kernels --example bandwidth
//! ```

use std::error::Error;
use std::time::Instant;

use slm_kernels::{Format, PackedTensor, packed_linear};

fn main() -> Result<(), Box<dyn Error>> {
    let (rows, cols) = (12_288, 4096);
    let weights: Vec<f32> = (0..rows * cols).map(|i| ((i % 8191) as f32 * 0.37).sin()).collect();
    let x: Vec<f32> = (0..cols).map(|i| (i as f32 * 0.11).cos()).collect();
    let mut y = vec![0.0; rows];
    for format in [Format::Int4 { group_size: 64 }, Format::Int8 { group_size: 64 }] {
        let packed = PackedTensor::quantize(&weights, rows, cols, format)?;
        let mut best = f64::INFINITY;
        for _ in 0..20 {
            let start = Instant::now();
            packed_linear(&x, 1, &packed, &mut y)?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        println!(
            "{format}: {:.2} ms, {:.1} GB/s of packed weights, as fast as {:.1} GB/s of f32",
            best * 1e3,
            packed.bytes() as f64 / best / 1e9,
            (rows * cols * 4) as f64 / best / 1e9,
        );
    }
    Ok(())
}
