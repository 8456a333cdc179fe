//! [`append`] and [`attend`]: keys and values in memory that grows in place, and queries that meet all of them.

use burn::tensor::{DType, Tensor};
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::reduce::{UNITS, reduced};
use super::{buffer, each, empty, grid, take, wrap};
use crate::attention::AttentionOptions;

/// Keys that a cube reads at a time, a unit each.
const KEYS: usize = UNITS;
/// Keys from which on several cubes share a query.
const SPLIT: usize = 256;
/// What no score reaches.
const LOWEST: f32 = -1.0e30;

/// Copies `[batch, new, width]` behind the first `length` of `[batch, capacity, width]`.
#[cube(launch)]
fn append_kernel(x: &[f32], all: &mut [f32], new: usize, capacity: usize, length: usize, width: usize) {
    if ABSOLUTE_POS >= x.len() {
        terminate!();
    }
    let lot = new * width;
    let at = ABSOLUTE_POS / lot * capacity * width + length * width + ABSOLUTE_POS % lot;
    all[at] = x[ABSOLUTE_POS];
}

/// Writes `x` (`[batch, new, kv_heads, dim]`) behind the first `length` positions of `all` (`[batch, capacity, kv_heads,
/// dim]`), in place where nothing else holds it.
pub(crate) fn append(all: Tensor<4>, x: Tensor<4>, length: usize) -> Tensor<4> {
    let ([_, capacity, heads, dim], [batch, new, ..]) = (all.dims(), x.dims());
    assert!(length + new <= capacity, "{new} positions after {length} of {capacity}");
    let (all, x) = (take(all), take(x));
    let all = if all.can_mut() { all } else { all.copy() };
    let (cubes, units) = each(&x.client, batch * new * heads * dim);
    append_kernel::launch(
        &x.client,
        cubes,
        units,
        buffer(&x),
        buffer(&all),
        new,
        capacity,
        length,
        heads * dim,
    );
    wrap(all)
}

/// A query of a head meets one stretch of the keys; softmax goes along (Milakov and Gimelshein 2018), and a unit gathers
/// every 128th number of the values. `dim` is a multiple of `N`. What it writes is divided by its weights where `whole`, else `largest` and `weights`
/// say what it is to be combined with.
#[cube(launch)]
#[expect(clippy::too_many_arguments, reason = "a kernel's arguments are its buffers and sizes")]
fn attend_kernel<N: Size>(
    q: &[Vector<f32, N>],
    k: &[Vector<f32, N>],
    v: &[f32],
    y: &mut [f32],
    largest: &mut [f32],
    weights: &mut [f32],
    queries: usize,
    new: usize,
    all: usize,
    capacity: usize,
    heads: usize,
    kv_heads: usize,
    stretch: usize,
    scale: f32,
    window: usize,
    softcap: f32,
    #[comptime] dim: usize,
    #[comptime] splits: usize,
    #[comptime] causal: bool,
    #[comptime] capped: bool,
) {
    let query = CUBE_POS / splits;
    if query >= queries {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let head = query % heads;
    let token = query / heads % new;
    let row = query / heads / new * capacity;
    let kv_head = head / (heads / kv_heads);
    // Keys `from .. until` are seen, of those this cube reads its own stretch.
    let position = all - new + token;
    let mut until = all;
    if comptime!(causal) {
        until = position + 1;
    }
    let mut from = 0usize;
    if position + 1 > window {
        from = position + 1 - window;
    }
    let split = CUBE_POS % splits;
    from = max(from, split * stretch);
    until = min(until, split * stretch + stretch);

    let mut shared = Shared::<[f32]>::new_slice(KEYS);
    let mut chances = Shared::<[f32]>::new_slice(KEYS);
    let lanes = q.vector_size();
    let vectors = comptime!(dim / lanes);
    let mut query_numbers = Shared::<[Vector<f32, N>]>::new_slice(vectors);
    let mut at = unit;
    while at < vectors {
        query_numbers[at] = q[query * vectors + at] * Vector::new(scale);
        at += KEYS;
    }
    sync_cube();
    let lots = comptime!(dim.div_ceil(KEYS));
    let mut gathered = Array::<f32>::new(lots);
    #[unroll]
    for lot in 0..lots {
        gathered[lot] = 0.0f32;
    }
    let mut top = f32::new(LOWEST);
    let mut total = 0.0f32;
    let mut start = from;
    while start < until {
        let key = start + unit;
        let mut score = f32::new(LOWEST);
        if key < until {
            let at = ((row + key) * kv_heads + kv_head) * vectors;
            let mut dots = Vector::<f32, N>::new(0.0f32);
            for i in 0..vectors {
                dots += query_numbers[i] * k[at + i];
            }
            let mut dot = 0.0f32;
            #[unroll]
            for lane in 0..lanes {
                dot += dots.extract(lane);
            }
            if comptime!(capped) {
                dot = (dot / softcap).tanh() * softcap;
            }
            score = dot;
        }
        let higher = max(top, reduced(score, &mut shared, true));
        let mut chance = 0.0f32;
        if key < until {
            chance = (score - higher).exp();
        }
        chances[unit] = chance;
        let sum = reduced(chance, &mut shared, false);
        let keep = (top - higher).exp();
        total = total * keep + sum;
        top = higher;
        let count = min(until - start, KEYS);
        #[unroll]
        for lot in 0..lots {
            let at = unit + lot * KEYS;
            if at < dim {
                let mut new_values = gathered[lot] * keep;
                for key in 0..count {
                    new_values += chances[key] * v[((row + start + key) * kv_heads + kv_head) * dim + at];
                }
                gathered[lot] = new_values;
            }
        }
        start += KEYS;
    }
    let share = CUBE_POS;
    #[unroll]
    for lot in 0..lots {
        let at = unit + lot * KEYS;
        if at < dim {
            if comptime!(splits == 1) {
                y[share * dim + at] = gathered[lot] / total;
            } else {
                y[share * dim + at] = gathered[lot];
            }
        }
    }
    if comptime!(splits > 1) {
        if unit == 0 {
            largest[share] = top;
            weights[share] = total;
        }
    }
}

/// Adds the stretches of each query.
#[cube(launch)]
fn combine_kernel(
    parts: &[f32],
    largest: &[f32],
    weights: &[f32],
    y: &mut [f32],
    dim: usize,
    #[comptime] splits: usize,
) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    let first = ABSOLUTE_POS / dim * splits;
    let mut top = f32::new(LOWEST);
    for split in 0..splits {
        top = max(top, largest[first + split]);
    }
    let mut total = 0.0f32;
    let mut sum = 0.0f32;
    for split in 0..splits {
        let keep = (largest[first + split] - top).exp();
        total += weights[first + split] * keep;
        sum += parts[(first + split) * dim + ABSOLUTE_POS % dim] * keep;
    }
    y[ABSOLUTE_POS] = sum / total;
}

/// Attention of the last positions over the first `length` of `k` and `v`.
///
/// # Shapes
///
/// `q`: `[batch, new, heads, dim]`, `k`, `v`: `[batch, capacity, kv_heads, dim]`, result: as `q`.
pub(crate) fn attend(
    q: Tensor<4>,
    [k, v]: [Tensor<4>; 2],
    length: usize,
    options: &AttentionOptions,
) -> Tensor<4> {
    let ([batch, new, heads, dim], [_, capacity, kv_heads, _]) = (q.dims(), k.dims());
    let queries = batch * new * heads;
    if queries * dim == 0 {
        return q;
    }
    // A power of two, as each count of stretches is a kernel of its own.
    let splits = if new > 1 { 1 } else { length.div_ceil(SPLIT).next_power_of_two().min(32) };
    let [q, k, v] = [q, k, v].map(take);
    let parts = empty(&q, [queries * splits, dim], DType::F32);
    let [largest, weights] = [(); 2].map(|()| empty(&q, [queries * splits], DType::F32));
    attend_kernel::launch(
        &q.client,
        grid(&q.client, queries * splits),
        CubeDim::new_1d(KEYS as u32),
        if dim.is_multiple_of(4) { 4 } else { 1 },
        buffer(&q),
        buffer(&k),
        buffer(&v),
        buffer(&parts),
        buffer(&largest),
        buffer(&weights),
        queries,
        new,
        length,
        capacity,
        heads,
        kv_heads,
        length.div_ceil(splits),
        options.scale,
        options.window.unwrap_or(length),
        options.softcap.unwrap_or(1.0),
        dim,
        splits,
        options.causal,
        options.softcap.is_some(),
    );
    let shape = [batch, new, heads, dim];
    if splits == 1 {
        return wrap::<2>(parts).reshape(shape);
    }
    let y = empty(&q, shape, DType::F32);
    let (cubes, units) = each(&q.client, queries * dim);
    combine_kernel::launch(
        &q.client,
        cubes,
        units,
        buffer(&parts),
        buffer(&largest),
        buffer(&weights),
        buffer(&y),
        dim,
        splits,
    );
    wrap(y)
}
