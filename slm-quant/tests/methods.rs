//! One matrix: each method lowers the loss that it is made for, in every format.

use burn::tensor::{Device, Tensor, TensorData};
use slm_quant::{
    BlockType, Format, Gptq, GptqConfig, InputStatistics, PackedTensor, QuantStats, Result, Search, encode,
    quantize_matrix,
};

const ROWS: usize = 12;
const COLS: usize = 512;

fn formats() -> Vec<Format> {
    let groups = [32, 64, 128].into_iter().flat_map(|group_size| {
        [
            Format::Int8 { group_size },
            Format::Int4 { group_size },
            Format::Int4Asym { group_size },
            Format::Nf4 { group_size },
        ]
    });
    groups.chain([Format::Int8 { group_size: COLS }]).chain(BlockType::ALL.map(Format::Block)).collect()
}

/// A generator of its own, so that the numbers never change.
struct Noise(u64);

impl Noise {
    /// Roughly normal.
    fn next(&mut self) -> f32 {
        (0..6)
            .map(|_| {
                self.0 =
                    self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (self.0 >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
            })
            .sum()
    }
}

fn weights(scale: f32) -> Vec<f32> {
    let mut noise = Noise(1);
    (0..ROWS * COLS).map(|i| noise.next() * scale * if i % 97 == 0 { 5.0 } else { 1.0 }).collect()
}

/// Inputs of which some are large, and all depend on few numbers.
fn inputs(tokens: usize) -> (Vec<f32>, InputStatistics) {
    let mut noise = Noise(2);
    let mix: Vec<f32> = (0..40 * COLS).map(|_| noise.next()).collect();
    let mut x = Vec::with_capacity(tokens * COLS);
    for _ in 0..tokens {
        let few: Vec<f32> = (0..40).map(|_| noise.next()).collect();
        x.extend((0..COLS).map(|c| {
            let mixed: f32 = few.iter().enumerate().map(|(k, f)| f * mix[k * COLS + c]).sum();
            (mixed + 0.3 * noise.next()) * if c % 61 == 0 { 8.0 } else { 1.0 }
        }));
    }
    let mut statistics = InputStatistics::new(COLS);
    // In two parts, as sequences come.
    for part in x.chunks(tokens / 2 * COLS) {
        let data = TensorData::new(part.to_vec(), [part.len() / COLS, COLS]);
        statistics.add(&Tensor::from_data(data, &Device::flex())).expect("finite");
    }
    (x, statistics)
}

/// Squared error of the layer's outputs.
fn output_error(x: &[f32], weights: &[f32], packed: &PackedTensor) -> f64 {
    let delta: Vec<f32> = packed.dequantize().iter().zip(weights).map(|(d, w)| d - w).collect();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    x.chunks_exact(COLS).flat_map(|x| delta.chunks_exact(COLS).map(move |d| dot(x, d).powi(2))).sum()
}

#[test]
fn searched_scales_lose_less_than_the_largest_weights() -> Result<()> {
    for scale in [0.02, 1.0, 300.0] {
        let weights = weights(scale);
        for format in formats() {
            let (_, plain) = quantize_matrix(&weights, [ROWS, COLS], format)?;
            let searched = encode(&weights, [ROWS, COLS], format, &Search::default())?;
            let searched = QuantStats::measure(&weights, &searched)?;
            assert!(searched.mse <= plain.mse * 1.001, "{format}: {} of {}", searched.mse, plain.mse);
            let least = if format.bits_per_weight() > 8.0 { 35.0 } else { 15.0 };
            assert!(searched.snr_db > least, "{format}: {} dB", searched.snr_db);
        }
    }
    Ok(())
}

#[test]
fn importance_moves_the_error_to_columns_that_do_not_count() -> Result<()> {
    let weights = weights(0.05);
    let importance: Vec<f32> = (0..COLS).map(|c| if c % 4 == 0 { 100.0 } else { 1.0 }).collect();
    let weighted = |packed: &PackedTensor| -> f64 {
        let dense = packed.dequantize();
        let errors = dense.iter().zip(&weights).zip(importance.iter().cycle());
        errors.map(|((d, w), i)| f64::from(*i) * f64::from(d - w).powi(2)).sum()
    };
    for format in formats() {
        if format.bits_per_weight() > 8.0 {
            continue;
        }
        let plain = encode(&weights, [ROWS, COLS], format, &Search::default())?;
        let search = Search { importance: Some(&importance), ..Search::default() };
        let moved = encode(&weights, [ROWS, COLS], format, &search)?;
        assert!(weighted(&moved) < weighted(&plain) * 0.97, "{format}");
    }
    Ok(())
}

#[test]
fn half_quadratic_scales_ignore_outliers() -> Result<()> {
    let weights = weights(0.05);
    let loss = |packed: &PackedTensor| -> f64 {
        packed.dequantize().iter().zip(&weights).map(|(d, w)| f64::from((d - w).abs()).powf(0.7)).sum()
    };
    for format in formats() {
        let plain = encode(&weights, [ROWS, COLS], format, &Search::default())?;
        let search = Search { half_quadratic: true, ..Search::default() };
        let robust = encode(&weights, [ROWS, COLS], format, &search)?;
        assert!(loss(&robust) <= loss(&plain) * 1.0001, "{format}: {} of {}", loss(&robust), loss(&plain));
    }
    Ok(())
}

#[test]
fn gptq_keeps_the_outputs() -> Result<()> {
    let weights = weights(0.05);
    let (x, statistics) = inputs(1000);
    let importance = statistics.mean_square();
    for format in formats() {
        let (nearest, _) = quantize_matrix(&weights, [ROWS, COLS], format)?;
        let search = Search { importance: Some(&importance), ..Search::default() };
        let weighted = encode(&weights, [ROWS, COLS], format, &search)?;
        let nearest = output_error(&x, &weights, &nearest);
        let weighted = output_error(&x, &weights, &weighted);
        for act_order in [false, true] {
            let mut last = f64::INFINITY;
            for sweeps in [0, 1, 3] {
                let config = GptqConfig { act_order, sweeps, ..GptqConfig::default() };
                let packed = Gptq::new(&statistics, config)?.encode(&weights, [ROWS, COLS], format)?;
                assert_eq!((packed.rows(), packed.cols(), packed.format()), (ROWS, COLS, format));
                let error = output_error(&x, &weights, &packed);
                assert!(error < nearest.min(weighted) * 0.7, "{format} {act_order} {sweeps}: {error}");
                assert!(error <= last * 1.001, "{format}: a sweep raised {last} to {error}");
                last = error;
            }
        }
    }
    Ok(())
}

#[test]
fn zero_points_are_whole_and_cost_little() -> Result<()> {
    let (weights, shape) = (weights(0.05), [ROWS, COLS]);
    let (x, statistics) = inputs(1000);
    let gptq = |whole| {
        Ok::<_, slm_quant::Error>(Gptq::new(&statistics, GptqConfig::default())?.with_whole_zeros(whole))
    };
    for group_size in [32, 128] {
        let format = Format::Int4Asym { group_size };
        let search = |whole_zeros| Search { whole_zeros, ..Search::default() };
        let free =
            [encode(&weights, shape, format, &search(false))?, gptq(false)?.encode(&weights, shape, format)?];
        let whole =
            [encode(&weights, shape, format, &search(true))?, gptq(true)?.encode(&weights, shape, format)?];
        for (free, whole) in free.iter().zip(&whole) {
            for (scale, minimum) in whole.scales().iter().zip(whole.minimums().expect("asymmetric")) {
                let zero = -minimum.to_f32() / scale.to_f32();
                assert!((zero - zero.round()).abs() < 2e-3 * zero && (1.0..=15.5).contains(&zero), "{zero}");
            }
            let (free, whole) = (output_error(&x, &weights, free), output_error(&x, &weights, whole));
            assert!(whole < 1.6 * free, "{format}: {whole} of {free}");
        }
    }
    Ok(())
}

#[test]
fn what_cannot_be_packed_is_named() -> Result<()> {
    let weights = weights(1.0);
    let (_, statistics) = inputs(100);
    let format = Format::Int4 { group_size: 64 };
    let gptq = Gptq::new(&statistics, GptqConfig::default())?;
    let mut broken = weights.clone();
    broken[COLS + 3] = f32::NAN;
    let wrong = [
        encode(&broken, [ROWS, COLS], format, &Search::default()).map(drop),
        gptq.encode(&broken, [ROWS, COLS], format).map(drop),
        encode(&weights, [ROWS, COLS - 1], format, &Search::default()).map(drop),
        gptq.encode(&weights, [ROWS * 2, COLS / 2], format).map(drop),
        encode(&weights[1..], [ROWS, COLS], format, &Search::default()).map(drop),
        encode(&weights, [ROWS, COLS], Format::Int4 { group_size: 33 }, &Search::default()).map(drop),
        encode(
            &weights,
            [ROWS, COLS],
            format,
            &Search { importance: Some(&[1.0; COLS - 1]), ..Search::default() },
        )
        .map(drop),
        encode(
            &weights,
            [ROWS, COLS],
            format,
            &Search { importance: Some(&[-1.0; COLS]), ..Search::default() },
        )
        .map(drop),
    ];
    for (index, result) in wrong.into_iter().enumerate() {
        assert!(result.is_err(), "{index} was accepted");
    }
    let mut statistics = statistics;
    let narrow = Tensor::<2>::zeros([3, COLS / 2], &Device::flex());
    assert!(statistics.add(&narrow).is_err());
    let broken = Tensor::<2>::full([3, COLS], f32::NAN, &Device::flex());
    assert!(statistics.add(&broken).is_err());
    Ok(())
}

#[test]
fn zeros_and_inputs_that_never_come_are_fine() -> Result<()> {
    let zeros = vec![0.0; ROWS * COLS];
    let mut dead = InputStatistics::new(COLS);
    let x: Vec<f32> = (0..8 * COLS).map(|i| if i % COLS < 256 { (i as f32).sin() } else { 0.0 }).collect();
    dead.add(&Tensor::from_data(TensorData::new(x, [8, COLS]), &Device::flex()))?;
    for (format, statistics) in
        formats().into_iter().flat_map(|f| [(f, dead.clone()), (f, InputStatistics::new(COLS))])
    {
        let gptq = Gptq::new(&statistics, GptqConfig::default())?;
        assert!(
            gptq.encode(&zeros, [ROWS, COLS], format)?.dequantize().iter().all(|w| *w == 0.0),
            "{format}"
        );
        let weights = weights(0.1);
        let packed = gptq.encode(&weights, [ROWS, COLS], format)?;
        assert!(QuantStats::measure(&weights, &packed)?.snr_db > 8.0, "{format}");
    }
    Ok(())
}
