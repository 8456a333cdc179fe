//! Encoders of ggml's block types lose no more than llama.cpp's own, on the same weights.
//!
//! `goldens/llama_errors.json` is written by `goldens/make_llama_errors.py`.

use serde_json::Value;
use slm_quant::{BlockType, Format, QuantStats, Result, Search, encode};

const ROWS: usize = 16;
const COLS: usize = 512;

fn weights() -> Vec<f32> {
    let uniform = |index: u32| {
        let mut x = index.wrapping_mul(2_654_435_761);
        x ^= x >> 15;
        x = x.wrapping_mul(2_246_822_519);
        x ^= x >> 13;
        f64::from(x >> 8) / f64::from(1 << 24) - 0.5
    };
    let one = |index: u32| {
        let normal = (0..6).map(|part| uniform(6 * index + part)).sum::<f64>() * 0.05;
        (if index.is_multiple_of(97) { 5.0 * normal } else { normal }) as f32
    };
    (0..(ROWS * COLS) as u32).map(one).collect()
}

#[test]
fn block_encoders_lose_no_more_than_llama_cpp() -> Result<()> {
    let golden: Value = serde_json::from_str(include_str!("goldens/llama_errors.json")).expect("valid");
    let weights = weights();
    for (weight, want) in weights.iter().zip(golden["first"].as_array().expect("a list")) {
        assert!((f64::from(*weight) - want.as_f64().expect("a number")).abs() < 1e-9, "other weights");
    }
    for block in BlockType::ALL {
        let packed = encode(&weights, [ROWS, COLS], Format::Block(block), &Search::default())?;
        let ours = QuantStats::measure(&weights, &packed)?.mse;
        let theirs = golden["mse"][block.name().to_uppercase()].as_f64().expect("a number");
        println!("{}: {:.4} of llama.cpp's error", block.name(), ours / theirs);
        assert!(ours <= theirs, "{}: {ours} against {theirs}", block.name());
    }
    Ok(())
}
