//! Coordinate descent on the codes, with the stored numbers of the groups as they are.

use rayon::prelude::*;

use super::Choice;

/// Gives each weight in turn the code that makes `Δ H Δᵀ` least given all other codes of its row.
pub(super) fn sweep(choice: &mut Choice, weights: &[f32], h: &[f32]) {
    let grid = choice.grid;
    let n = grid.cols;
    weights
        .par_chunks_exact(n)
        .zip(choice.codes.par_chunks_exact_mut(n))
        .zip(choice.units.par_chunks(n / grid.unit))
        .for_each(|((weights, codes), units)| {
            let mut values = vec![0.0_f32; n];
            let decoded = codes.chunks(grid.unit).zip(values.chunks_mut(grid.unit)).zip(units);
            decoded.for_each(|((codes, values), unit)| grid.decode(unit, codes, values));
            // Gradient of the loss by the values: (values - weights) · H.
            let mut gradient = vec![0.0_f32; n];
            for (column, (value, weight)) in values.iter().zip(weights).enumerate() {
                add(&mut gradient, &h[column * n..(column + 1) * n], value - weight);
            }
            for column in 0..n {
                let row = &h[column * n..(column + 1) * n];
                let level = grid.level(&units[column / grid.unit], column % grid.unit / grid.part);
                let wanted = values[column] - gradient[column] / row[column];
                let (code, value) = level.nearest(wanted);
                if code != codes[column] {
                    add(&mut gradient, row, value - values[column]);
                    (codes[column], values[column]) = (code, value);
                }
            }
        });
}

fn add(sum: &mut [f32], row: &[f32], factor: f32) {
    sum.iter_mut().zip(row).for_each(|(s, r)| *s += factor * r);
}
