//! The references: one multiplication at a time, in order. For tests, and to read what the kernels compute.

use super::activations::quantize;
use crate::packed::{BLOCK, Layout, Visitor, check_length};
use crate::{PackedTensor, Result};

/// What [`packed_linear`](super::packed_linear) computes, bit by bit: `x` is rounded to 8 bits in blocks of 32, products of
/// codes are summed as whole numbers, and their scaled sums in four parts.
///
/// # Errors
///
/// A buffer of another length than `x: [m, cols]`, `y: [m, rows]`.
pub fn packed_linear(x: &[f32], m: usize, w: &PackedTensor, y: &mut [f32]) -> Result<()> {
    check_length("x", m.saturating_mul(w.cols()), x.len())?;
    check_length("y", m.saturating_mul(w.rows()), y.len())?;
    let Some(order) = w.input_order() else {
        return product(x, m, w, y);
    };
    let rows = x.chunks_exact(w.cols());
    let packed: Vec<f32> = rows.flat_map(|x| order.iter().map(|&at| x[at as usize])).collect();
    product(&packed, m, w, y)
}

fn product(x: &[f32], m: usize, w: &PackedTensor, y: &mut [f32]) -> Result<()> {
    if w.view().visit(Product { x, m, w, y }).is_err() {
        // Not whole numbers.
        return float_linear(x, m, w, y);
    }
    Ok(())
}

struct Product<'a> {
    x: &'a [f32],
    m: usize,
    w: &'a PackedTensor,
    y: &'a mut [f32],
}

impl Visitor for Product<'_> {
    type Out = ();

    fn visit<L: Layout>(self, layout: L) {
        for i in 0..self.m {
            let x = &self.x[i * self.w.cols()..][..self.w.cols()];
            for row in 0..self.w.rows() {
                self.y[i * self.w.rows() + row] = dot(layout, row, x);
            }
        }
    }
}

fn dot<L: Layout>(layout: L, row: usize, x: &[f32]) -> f32 {
    let mut parts = [0.0_f32; 4];
    for (block, from) in x.chunks(BLOCK).enumerate() {
        let mut x = [0.0; BLOCK];
        x[..from.len()].copy_from_slice(from);
        let (x, scale) = quantize(&x);
        let codes = layout.codes(row, block);
        for (at, (codes, x)) in codes.chunks(L::UNIT).zip(x.chunks(L::UNIT)).enumerate() {
            let unit = block * (BLOCK / L::UNIT) + at;
            let offset = i32::from(L::OFFSET);
            let products = codes.iter().zip(x).map(|(&code, &x)| (i32::from(code) - offset) * i32::from(x));
            let sum: i32 = products.sum();
            let part = &mut parts[unit % 4];
            *part = (sum as f32).mul_add(layout.scale(row, unit) * scale, *part);
            if L::MINIMUM {
                let sum: i32 = x.iter().map(|&x| i32::from(x)).sum();
                *part = layout.minimum(row, unit).mul_add(scale * sum as f32, *part);
            }
        }
    }
    ((parts[0] + parts[1]) + parts[2]) + parts[3]
}

/// `x · Wᵀ` without rounding `x`: what [`packed_linear`] approximates, and what training computes.
///
/// # Errors
///
/// A buffer of another length than `x: [m, cols]`, `y: [m, rows]`.
pub fn float_linear(x: &[f32], m: usize, w: &PackedTensor, y: &mut [f32]) -> Result<()> {
    check_length("x", m.saturating_mul(w.cols()), x.len())?;
    check_length("y", m.saturating_mul(w.rows()), y.len())?;
    let dense = w.dequantize();
    for i in 0..m {
        for o in 0..w.rows() {
            y[i * w.rows() + o] = (0..w.cols()).map(|k| x[i * w.cols() + k] * dense[o * w.cols() + k]).sum();
        }
    }
    Ok(())
}

/// What [`packed_linear_dx`](super::packed_linear_dx) computes.
///
/// # Errors
///
/// A buffer of another length than `dy: [m, rows]`, `dx: [m, cols]`.
pub fn packed_linear_dx(dy: &[f32], m: usize, w: &PackedTensor, dx: &mut [f32]) -> Result<()> {
    check_length("dy", m.saturating_mul(w.rows()), dy.len())?;
    check_length("dx", m.saturating_mul(w.cols()), dx.len())?;
    let dense = w.dequantize();
    for i in 0..m {
        for k in 0..w.cols() {
            dx[i * w.cols() + k] =
                (0..w.rows()).map(|o| dy[i * w.rows() + o] * dense[o * w.cols() + k]).sum();
        }
    }
    Ok(())
}
