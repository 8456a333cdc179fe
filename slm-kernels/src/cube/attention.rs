//! [`append`] and [`attend`]: keys and values in memory that grows in place, and queries that meet all of them.

use burn::tensor::{DType, Tensor};
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::reduce::{UNITS, reduced, zeros};
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

/// The first key of a stretch, from `start` on, that the query at `position` sees.
#[cube]
fn first_key(position: usize, window: usize, start: usize) -> usize {
    let mut from = start;
    if position + 1 > window {
        from = max(start, position + 1 - window);
    }
    from
}

/// Where the keys of a stretch end, at `end` at the latest, that the query at `position` sees.
#[cube]
fn last_key(position: usize, all: usize, end: usize, #[comptime] causal: bool) -> usize {
    let mut until = min(all, end);
    if comptime!(causal) {
        until = min(position + 1, end);
    }
    until
}

/// Brings a query, scaled, to the memory of its cube.
#[cube]
fn load<N: Size>(
    query: &mut Shared<[Vector<f32, N>]>,
    q: &[Vector<f32, N>],
    start: usize,
    scale: f32,
    #[comptime] vectors: usize,
) {
    let mut at = UNIT_POS as usize;
    while at < vectors {
        query[at] = q[start + at] * Vector::new(scale);
        at += KEYS;
    }
    sync_cube();
}

/// A query, in the memory of its cube, against the key that begins at `start`.
#[cube]
fn score<N: Size>(
    query: &Shared<[Vector<f32, N>]>,
    k: &[Vector<f32, N>],
    start: usize,
    softcap: f32,
    #[comptime] vectors: usize,
    #[comptime] capped: bool,
) -> f32 {
    let mut dots = Vector::<f32, N>::new(0.0f32);
    for i in 0..vectors {
        dots += query[i] * k[start + i];
    }
    let mut dot = 0.0f32;
    #[unroll]
    for lane in 0..dots.vector_size() {
        dot += dots.extract(lane);
    }
    if comptime!(capped) {
        dot = (dot / softcap).tanh() * softcap;
    }
    dot
}

/// Adds the values of `count` keys, of which the first begins at `start` and each next `step` further, by their `chances`
/// to what was gathered, `keep` times that. A unit gathers every 128th number.
#[cube]
#[expect(clippy::too_many_arguments, reason = "a kernel's arguments are its buffers and sizes")]
fn gather(
    gathered: &mut Array<f32>,
    chances: &Shared<[f32]>,
    v: &[f32],
    keep: f32,
    start: usize,
    step: usize,
    count: usize,
    #[comptime] dim: usize,
) {
    #[unroll]
    for lot in 0..comptime!(dim.div_ceil(KEYS)) {
        let at = UNIT_POS as usize + lot * KEYS;
        if at < dim {
            let mut sum = gathered[lot] * keep;
            for key in 0..count {
                sum += chances[key] * v[start + key * step + at];
            }
            gathered[lot] = sum;
        }
    }
}

/// Writes what was gathered, over `total`.
#[cube]
fn write(y: &mut [f32], gathered: &Array<f32>, total: f32, #[comptime] dim: usize) {
    #[unroll]
    for lot in 0..comptime!(dim.div_ceil(KEYS)) {
        let at = UNIT_POS as usize + lot * KEYS;
        if at < dim {
            y[CUBE_POS * dim + at] = gathered[lot] / total;
        }
    }
}

/// A query of a head meets one stretch of the keys; softmax goes along (Milakov and Gimelshein 2018), and a unit gathers
/// every 128th number of the values. `dim` is a multiple of `N`. With one stretch for each query the sum of chances divides
/// what is written; with several, `largest` and `weights` say how they are to be combined.
#[cube(launch)]
#[expect(clippy::too_many_arguments, reason = "a kernel's arguments are its buffers and sizes")]
fn attend_kernel<N: Size>(
    q: &[Vector<f32, N>],
    k: &[Vector<f32, N>],
    v: &[f32],
    y: &mut [f32],
    largest: &mut [f32],
    weights: &mut [f32],
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
    if CUBE_POS * dim >= y.len() {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let head = query % heads;
    let token = query / heads % new;
    let row = query / heads / new * capacity;
    let kv_head = head / (heads / kv_heads);
    let position = all - new + token;
    let share = CUBE_POS % splits * stretch;
    let from = first_key(position, window, share);
    let until = last_key(position, all, share + stretch, causal);
    let mut shared = Shared::<[f32]>::new_slice(KEYS);
    let mut chances = Shared::<[f32]>::new_slice(KEYS);
    let lanes = q.vector_size();
    let vectors = comptime!(dim / lanes);
    let mut query_numbers = Shared::<[Vector<f32, N>]>::new_slice(vectors);
    load(&mut query_numbers, q, query * vectors, scale, vectors);
    let lots = comptime!(dim.div_ceil(KEYS));
    let mut gathered = zeros(lots);
    let mut top = f32::new(LOWEST);
    let mut total = 0.0f32;
    let mut start = from;
    while start < until {
        let key = start + unit;
        let mut met = f32::new(LOWEST);
        if key < until {
            let at = ((row + key) * kv_heads + kv_head) * vectors;
            met = score(&query_numbers, k, at, softcap, vectors, capped);
        }
        let higher = max(top, reduced(met, &mut shared, true));
        let mut chance = 0.0f32;
        if key < until {
            chance = (met - higher).exp();
        }
        chances[unit] = chance;
        let sum = reduced(chance, &mut shared, false);
        let keep = (top - higher).exp();
        total = total * keep + sum;
        top = higher;
        let at = ((row + start) * kv_heads + kv_head) * dim;
        gather(&mut gathered, &chances, v, keep, at, kv_heads * dim, min(until - start, KEYS), dim);
        start += KEYS;
    }
    if comptime!(splits == 1) {
        write(y, &gathered, total, dim);
    } else {
        write(y, &gathered, 1.0f32, dim);
        if unit == 0 {
            largest[CUBE_POS] = top;
            weights[CUBE_POS] = total;
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
