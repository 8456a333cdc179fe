//! Dot products of rows, as wide as the processor can.

use std::sync::LazyLock;

use fearless_simd::Level;

pub(super) static LEVEL: LazyLock<Level> = LazyLock::new(Level::new);

/// Compiles an expression for each set of instructions, and runs that for the widest ones that this processor has.
///
/// A macro, since a closure that is called from each may be compiled once, for the narrowest; what the expression calls
/// must be `inline(always)` for the same reason.
macro_rules! wide {
    ($work:expr) => {
        fearless_simd::dispatch!(*$crate::vectors::dot::LEVEL, _simd => $work)
    };
}
pub(super) use wide;

/// Sum of products of a float row and one of floats or codes, in 16 lanes, so that it can be a vector's; the order of
/// additions is fixed.
#[inline(always)]
pub(super) fn dot_f32<T: Copy + Into<f32>>(a: &[f32], b: &[T]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [0.0_f32; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * (*b).into();
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * (*b).into()).sum::<f32>()
}

/// Exact sum of products of codes; rows of up to 100 000 cannot overflow. A product has 16 bits: told so, the compiler
/// multiplies twice as many at once as it would of 32 bits.
#[inline(always)]
pub(super) fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(i16::from(*a) * i16::from(*b))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_definition() {
        for length in [0_usize, 1, 15, 16, 17, 47, 384] {
            let a: Vec<f32> = (0..length).map(|i| ((i * 37 + 5) % 101) as f32 / 50.0 - 1.0).collect();
            let b: Vec<i8> = (0..length).map(|i| ((i * 53 + 3) % 255) as u8 as i8).collect();
            let floats: Vec<f32> = b.iter().map(|x| f32::from(*x)).collect();
            let exact: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let whole: i64 = b.iter().map(|x| i64::from(*x).pow(2)).sum();
            let (mixed, plain, codes) = wide!((dot_f32(&a, &b), dot_f32(&a, &floats), dot_i8(&b, &b)));
            assert!((f64::from(mixed) - exact).abs() < 1e-2, "{length}: {mixed} {exact}");
            assert!((f64::from(plain) - exact).abs() < 1e-2, "{length}: {plain} {exact}");
            assert_eq!(i64::from(codes), whole);
        }
    }
}
