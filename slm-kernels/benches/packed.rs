//! Products with packed weights: how much of the memory's speed few rows of `x` reach, and how much of the arithmetic's many.
//!
//! As many copies of a matrix take turns as do not fit the caches together, as in a model. The contenders take turns too: read
//! the ratios.
//!
//! ```console
//! cargo bench -p slm-kernels --bench packed [-- <rows> <cols> [<MiB of copies> [<format> ..]]]
//! ```

mod common;

use std::hint::black_box;

use common::{contender, contest, memory_limit, report, wave};
use half::f16;
use slm_kernels::{BlockType, Format, PackedTensor, Result, packed_linear};

/// Formats to compare.
const FORMATS: &str =
    "int4-g32 int4-g64 int4a-g64 int8-g32 q4_0 q8_0 q4_K q5_K q6_K q4_1 q5_0 q5_1 iq4_nl nf4-g64";

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let number = |at: usize, default| arguments.get(at).map_or(Ok(default), |text| text.parse::<usize>());
    let (rows, cols, bytes) = (number(0, 3072)?, number(1, 1024)?, number(2, 160)? << 20);
    let named = arguments.get(3..).map(|formats| formats.join(" ")).filter(|formats| !formats.is_empty());
    let formats = named.as_deref().unwrap_or(FORMATS);
    let memory = memory_limit();
    println!("memory {:.1} GB/s; {rows} x {cols}", memory / 1e9);
    for m in [1, 2, 4, 8, 16, 64, 512] {
        for name in formats.split(' ') {
            let w = weight(rows, cols, name.parse()?)?;
            let copies = if m > 8 { 1 } else { bytes.div_ceil(w.bytes()).max(1) };
            let weights = (0..copies).map(|_| copy(&w)).collect::<Result<Vec<_>>>()?;
            let x = wave(m * cols, 0.11);
            let mut y = vec![0.0; m * rows];
            let run = || {
                for w in &weights {
                    assert!(packed_linear(black_box(&x), m, w, &mut y).is_ok());
                }
            };
            let rounds = if m > 64 { 5 } else { 20 };
            let mut contenders = [contender(name, run)];
            let seconds = contest(rounds, &mut contenders);
            if m > 8 {
                let work = 2.0 * (m * rows * cols) as f64;
                report(&format!("{m} rows of x"), &contenders, &seconds, work, f64::NAN, "GOP/s");
            } else {
                let work = (copies * w.bytes()) as f64;
                report(&format!("{m} rows of x"), &contenders, &seconds, work, memory, "GB/s");
            }
        }
    }
    Ok(())
}

fn weight(rows: usize, cols: usize, format: Format) -> Result<PackedTensor> {
    let numbers = wave(rows * cols, 0.37);
    let block = match format {
        Format::Block(block) if block.weights() == 256 || block == BlockType::Iq4Nl => block,
        _ => return PackedTensor::quantize(&numbers, rows, cols, format),
    };
    let codes = numbers.iter().map(|v| (v * 127.0) as i8).map(i8::cast_unsigned);
    let mut bytes: Vec<u8> = codes.take(rows * format.row_bytes(cols)).collect();
    for block in bytes.chunks_exact_mut(block.bytes()) {
        let end = block.len() - 2;
        for at in [0, 2, end] {
            block[at..at + 2].copy_from_slice(&f16::from_f32(0.01).to_le_bytes());
        }
    }
    PackedTensor::from_blocks(bytes, [rows, cols], block)
}

/// The same numbers in other memory.
fn copy(w: &PackedTensor) -> Result<PackedTensor> {
    let minimums = w.minimums().map(Into::into);
    PackedTensor::from_parts(w.codes().to_vec(), w.scales(), minimums, [w.rows(), w.cols()], w.format())
}
