//! [`Moments`]: what an optimizer remembers, in 8 bits (Dettmers et al. 2022, <https://arxiv.org/abs/2110.02861>).
//!
//! Blocks of 256 numbers are divided by the largest magnitude of each, and rounded to the nearest of 256 values that are
//! spaced by orders of magnitude: seven decades, each halving the number of steps of the next.

use std::sync::LazyLock;

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

/// Numbers that share a scale.
const BLOCK: usize = 256;
/// Decades that the values span.
const DECADES: i32 = 7;

static SIGNED: LazyLock<Table> = LazyLock::new(|| Table::new(true));
static UNSIGNED: LazyLock<Table> = LazyLock::new(|| Table::new(false));

/// 256 values in rising order, and a way to the nearest of one.
struct Table {
    values: Vec<f32>,
    /// Between neighbours.
    middles: Vec<f32>,
    /// The code of the least number whose upper 16 bits are these.
    starts: Vec<u8>,
}

impl Table {
    fn new(signed: bool) -> Self {
        let mut values = vec![0.0, 1.0];
        for decade in 0..DECADES {
            let steps = if signed { 1 << decade } else { 2 << decade };
            let unit = 10_f64.powi(decade + 1 - DECADES);
            for step in 0..steps {
                let value = (unit * (0.1 + 0.9 * (f64::from(step) + 0.5) / f64::from(steps))) as f32;
                values.push(value);
                if signed {
                    values.push(-value);
                }
            }
        }
        values.sort_by(f32::total_cmp);
        let middles: Vec<f32> = values.windows(2).map(|pair| f32::midpoint(pair[0], pair[1])).collect();
        let start = |bits: u32| {
            // Of negative numbers the least has all lower bits set.
            let least = f32::from_bits(bits << 16 | if bits >> 15 == 1 { 0xffff } else { 0 });
            middles.partition_point(|middle| *middle < least) as u8
        };
        let starts = (0..1 << 16).map(start).collect();
        Self { values, middles, starts }
    }

    /// The code of the value nearest to `x`.
    fn code(&self, x: f32) -> u8 {
        let mut code = self.starts[(x.to_bits() >> 16) as usize];
        while self.middles.get(usize::from(code)).is_some_and(|middle| *middle < x) {
            code += 1;
        }
        code
    }
}

/// Numbers in 8 bits each, and a scale for each block of 256.
#[derive(Clone)]
pub(super) struct Moments {
    codes: Vec<u8>,
    largest: Vec<f32>,
    signed: bool,
}

impl Moments {
    /// Rounds `numbers`, of which none is negative unless `signed`.
    pub(super) fn new(numbers: &[f32], signed: bool) -> Self {
        let table = if signed { &*SIGNED } else { &*UNSIGNED };
        let mut codes = vec![0; numbers.len()];
        let blocks = codes.par_chunks_mut(BLOCK).zip(numbers.par_chunks(BLOCK));
        let round = |(codes, numbers): (&mut [u8], &[f32])| {
            let largest = numbers.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
            let scale = if largest > 0.0 { largest } else { 1.0 };
            for (code, number) in codes.iter_mut().zip(numbers) {
                *code = table.code(number / scale);
            }
            largest
        };
        let largest = blocks.with_min_len(16).map(round).collect();
        Self { codes, largest, signed }
    }

    /// The numbers of a flat tensor, rounded; `None` if they cannot be read.
    pub(super) fn of(numbers: Tensor<1>, signed: bool) -> Option<Self> {
        Some(Self::new(&numbers.try_into_vec_as::<f32>().ok()?, signed))
    }

    /// The numbers.
    pub(super) fn numbers(&self) -> Vec<f32> {
        let table = if self.signed { &*SIGNED } else { &*UNSIGNED };
        let mut numbers = vec![0.0; self.codes.len()];
        let blocks = numbers.par_chunks_mut(BLOCK).zip(self.codes.par_chunks(BLOCK)).zip(&self.largest);
        blocks.with_min_len(16).for_each(|((numbers, codes), largest)| {
            for (number, code) in numbers.iter_mut().zip(codes) {
                *number = table.values[usize::from(*code)] * largest;
            }
        });
        numbers
    }

    /// The numbers as a flat tensor.
    pub(super) fn tensor(&self, device: &Device) -> Tensor<1> {
        Tensor::from_data(TensorData::new(self.numbers(), [self.codes.len()]), device)
    }
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    #[test]
    fn values_and_scales_are_those_of_bitsandbytes() -> Result<(), Box<dyn std::error::Error>> {
        let golden = SafeTensors::deserialize(include_bytes!("../../tests/goldens/moments.safetensors"))?;
        let floats = |name: &str| -> Result<Vec<f32>, safetensors::SafeTensorError> {
            let bytes = golden.tensor(name)?;
            Ok(bytes.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
        };
        for (name, signed) in [("first", true), ("second", false)] {
            let table = if signed { &*SIGNED } else { &*UNSIGNED };
            let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs());
            assert!(close(&table.values, &floats(&format!("{name}.table"))?));
            let values = floats(&format!("{name}.values"))?;
            let got = Moments::new(&values, signed);
            assert_eq!(got.largest, floats(&format!("{name}.absmax"))?);
            // For small numbers bitsandbytes does not find the nearest value on a CPU.
            let theirs = floats(&format!("{name}.back"))?;
            for ((ours, theirs), value) in got.numbers().iter().zip(&theirs).zip(&values) {
                let (ours, theirs) = ((ours - value).abs(), (theirs - value).abs());
                assert!(ours <= theirs + 1e-6 * value.abs(), "{value}: {ours} off, bitsandbytes {theirs}");
            }
        }
        Ok(())
    }

    #[test]
    fn each_number_gets_the_nearest_value() {
        for table in [&*SIGNED, &*UNSIGNED] {
            assert_eq!(table.values.len(), 256);
            for i in -3000..=3000_i32 {
                let x = (f64::from(i) / 3000.0).powi(3) as f32;
                let distance = |code: usize| (table.values[code] - x).abs();
                let nearest = (0..256).map(distance).fold(f32::INFINITY, f32::min);
                assert!(distance(usize::from(table.code(x))) <= nearest + f32::EPSILON, "{x}");
            }
        }
    }

    #[test]
    fn blocks_without_magnitude_stay_zero() {
        assert!(Moments::new(&[0.0; 300], true).numbers().iter().all(|number| *number == 0.0));
        assert!(Moments::new(&[], false).numbers().is_empty());
    }
}
