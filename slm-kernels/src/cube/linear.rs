//! Products of a few rows with a weight that is read once, and packed weights expanded on the device.

use burn::tensor::{DType, Int, Tensor};
use burn_cubecl::Cube;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::ir::ElemType;
use burn_cubecl::cubecl::prelude::*;

use super::reduce::zeros;
use super::resident::Codes;
use super::{FEW, buffer, each, empty, float_type, grid, take, wrap};

/// Units that share a row of the weight.
const LANES: usize = 32;
/// Rows of the weight that a cube multiplies.
const ROWS: usize = 4;

type Four<T> = Vector<T, Const<4>>;

/// How the numbers of a code are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Coding {
    /// A signed byte.
    Byte,
    /// A nibble, less 8.
    Symmetric,
    /// A nibble; a minimum is added.
    Asymmetric,
    /// A nibble that stands for a number of a table.
    Table,
}

impl Coding {
    /// Weights in 16 bytes of codes.
    pub(super) const fn weights(self) -> usize {
        if matches!(self, Self::Byte) { 16 } else { 32 }
    }
}

/// The number of code `at` of a word: bytes and the low nibbles of them come in order, and after the low nibbles the high
/// ones.
#[cube]
fn number(word: u32, packed: &[u32], table: usize, #[comptime] at: usize, #[comptime] coding: Coding) -> f32 {
    if comptime!(matches!(coding, Coding::Byte)) {
        let raised = word << comptime!(24 - 8 * at as u32);
        f32::cast_from(i32::reinterpret(raised) >> 24i32)
    } else {
        let code = (word >> comptime!(8 * (at as u32 % 4) + at as u32 / 4 * 4)) & 15u32;
        if comptime!(matches!(coding, Coding::Table)) {
            f32::reinterpret(packed[table + code as usize])
        } else if comptime!(matches!(coding, Coding::Symmetric)) {
            f32::cast_from(code) - 8.0f32
        } else {
            f32::cast_from(code)
        }
    }
}

/// Four weights of a word of codes, the low ones or the high ones, without scale and minimum.
#[cube]
fn weights(
    word: u32,
    packed: &[u32],
    table: usize,
    #[comptime] half: usize,
    #[comptime] coding: Coding,
) -> Four<f32> {
    let mut numbers = Four::<f32>::empty();
    #[unroll]
    for j in 0..4usize {
        numbers.insert(j, number(word, packed, table, comptime!(half * 4 + j), coding));
    }
    numbers
}

#[cube]
fn sum(v: Four<f32>) -> f32 {
    (v.extract(0usize) + v.extract(1usize)) + (v.extract(2usize) + v.extract(3usize))
}

/// Adds what the lanes of each row of the weight have summed, and writes it.
#[cube]
fn gather(sums: &Array<f32>, y: &mut [f32], row: usize, rows: usize, #[comptime] m: usize) {
    let mut shared = Shared::<[f32]>::new_slice(comptime!(LANES * ROWS * m));
    let lane = UNIT_POS_X as usize;
    let start = UNIT_POS_Y as usize * comptime!(LANES * m);
    #[unroll]
    for i in 0..m {
        shared[start + i * LANES + lane] = sums[i];
    }
    sync_cube();
    #[unroll]
    for step in 0..comptime!(LANES.ilog2() as usize) {
        let half = comptime!(LANES >> (step + 1));
        if lane < half {
            #[unroll]
            for i in 0..m {
                let at = start + i * LANES + lane;
                shared[at] += shared[at + half];
            }
        }
        sync_cube();
    }
    if row < rows && lane < m {
        y[lane * rows + row] = shared[start + lane * LANES];
    }
}

/// A lane multiplies every 32nd word of its row with the inputs, so that neighbours read what lies side by side.
#[cube(launch)]
#[expect(clippy::too_many_arguments, reason = "a kernel's arguments are its buffers and sizes")]
fn packed_kernel(
    x: &[Four<f32>],
    packed: &[u32],
    y: &mut [f32],
    rows: usize,
    words: usize,
    group: usize,
    scales: usize,
    minimums: usize,
    table: usize,
    #[comptime] m: usize,
    #[comptime] coding: Coding,
) {
    let halves = comptime!(coding.weights() / 16);
    let row = CUBE_POS * ROWS + UNIT_POS_Y as usize;
    let mut sums = zeros(m);
    if row < rows {
        let mut word = UNIT_POS_X as usize;
        while word < words {
            let at = row * words + word;
            let bits = packed[at];
            let scale = f32::reinterpret(packed[scales + at / group]);
            #[unroll]
            for half in 0..halves {
                let w = weights(bits, packed, table, half, coding) * Four::new(scale);
                // 16 bytes are the four words of 16 low weights, and of 16 high ones where there are such.
                let place = word / 4 * comptime!(4 * halves) + comptime!(4 * half) + word % 4;
                #[unroll]
                for i in 0..m {
                    let inputs = x[i * words * halves + place];
                    sums[i] += sum(w * inputs);
                    if comptime!(matches!(coding, Coding::Asymmetric)) {
                        sums[i] += f32::reinterpret(packed[minimums + at / group]) * sum(inputs);
                    }
                }
            }
            word += LANES;
        }
    }
    gather(&sums, y, row, rows, m);
}

/// `x · Wᵀ` for an `x` of [`FEW`] rows or less.
pub(crate) fn packed_rows(x: Tensor<2>, w: &Codes) -> Tensor<2> {
    let [m, _] = x.dims();
    assert!(m <= FEW, "{m} rows");
    let x = take(x);
    let y = empty(&x, [m, w.rows], DType::F32);
    packed_kernel::launch(
        &x.client,
        grid(&x.client, w.rows.div_ceil(ROWS)),
        CubeDim::new_2d(LANES as u32, ROWS as u32),
        buffer(&x),
        buffer(w.packed()),
        buffer(&y),
        w.rows,
        w.words(),
        w.group(),
        w.scales(),
        w.minimums(),
        w.table(),
        m,
        w.coding,
    );
    wrap(y)
}

/// A unit writes the weights of the word of codes `at` as its own parts of `out`.
#[cube]
#[expect(clippy::too_many_arguments, reason = "a kernel's arguments are its buffers and sizes")]
fn expand<F: Float>(
    packed: &[u32],
    out: &mut [Four<F>],
    at: usize,
    group: usize,
    scales: usize,
    minimums: usize,
    table: usize,
    #[comptime] coding: Coding,
) {
    let halves = comptime!(coding.weights() / 16);
    let bits = packed[at];
    let scale = f32::reinterpret(packed[scales + at / group]);
    let place = ABSOLUTE_POS / 4 * comptime!(4 * halves) + ABSOLUTE_POS % 4;
    #[unroll]
    for half in 0..halves {
        let mut four = weights(bits, packed, table, half, coding) * Four::new(scale);
        if comptime!(matches!(coding, Coding::Asymmetric)) {
            four += Four::new(f32::reinterpret(packed[minimums + at / group]));
        }
        out[place + comptime!(4 * half)] = Four::cast_from(four);
    }
}

#[cube(launch)]
#[expect(clippy::too_many_arguments, reason = "a kernel's arguments are its buffers and sizes")]
fn expand_kernel<F: Float>(
    packed: &[u32],
    w: &mut [Four<F>],
    all: usize,
    group: usize,
    scales: usize,
    minimums: usize,
    table: usize,
    #[comptime] coding: Coding,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= all {
        terminate!();
    }
    expand(packed, w, ABSOLUTE_POS, group, scales, minimums, table, coding);
}

/// The weight `[rows, cols]` in `dtype`, one of `f32`, `f16` and `bf16`.
pub(crate) fn expanded(w: &Codes, dtype: DType) -> Tensor<2> {
    let packed = w.packed();
    let dense = empty(packed, [w.rows, w.cols], dtype);
    let (cubes, units) = each(&packed.client, w.rows * w.words());
    expand_kernel::launch(
        &packed.client,
        cubes,
        units,
        buffer(packed),
        buffer(&dense),
        w.rows * w.words(),
        w.group(),
        w.scales(),
        w.minimums(),
        w.table(),
        w.coding,
        float_type(&dense),
    );
    wrap(dense)
}

#[cube(launch)]
fn dense_kernel<F: Float>(
    x: &[Four<f32>],
    w: &[Four<F>],
    y: &mut [f32],
    rows: usize,
    fours: usize,
    #[comptime] m: usize,
    #[define(F)] _dtype: ElemType,
) {
    let row = CUBE_POS * ROWS + UNIT_POS_Y as usize;
    let mut sums = zeros(m);
    if row < rows {
        let mut at = UNIT_POS_X as usize;
        while at < fours {
            let weight = Four::<f32>::cast_from(w[row * fours + at]);
            #[unroll]
            for i in 0..m {
                sums[i] += sum(weight * x[i * fours + at]);
            }
            at += LANES;
        }
    }
    gather(&sums, y, row, rows, m);
}

/// `x · Wᵀ` for an `x` of [`FEW`] rows or less and a `w` in `f32`, `f16` or `bf16` whose rows are of a multiple of four
/// numbers.
pub(crate) fn dense_rows(x: Tensor<2>, w: &Tensor<2>) -> Tensor<2> {
    let ([m, _], [rows, cols]) = (x.dims(), w.dims());
    assert!(m <= FEW && cols.is_multiple_of(4), "{m} rows of {cols}");
    let (x, w) = (take(x), take(w.clone()));
    let y = empty(&x, [m, rows], DType::F32);
    dense_kernel::launch(
        &x.client,
        grid(&x.client, rows.div_ceil(ROWS)),
        CubeDim::new_2d(LANES as u32, ROWS as u32),
        buffer(&x),
        buffer(&w),
        buffer(&y),
        rows,
        cols / 4,
        m,
        float_type(&w),
    );
    wrap(y)
}

/// Rows of the weight, one for each id; a unit for each word of codes.
#[cube(launch)]
#[expect(clippy::too_many_arguments, reason = "a kernel's arguments are its buffers and sizes")]
fn select_kernel(
    ids: &[i32],
    packed: &[u32],
    y: &mut [Four<f32>],
    words: usize,
    group: usize,
    scales: usize,
    minimums: usize,
    table: usize,
    #[comptime] coding: Coding,
) {
    if ABSOLUTE_POS >= ids.len() * words {
        terminate!();
    }
    let at = ids[ABSOLUTE_POS / words] as usize * words + ABSOLUTE_POS % words;
    expand(packed, y, at, group, scales, minimums, table, coding);
}

/// The rows `ids` of the weight in `f32`, `[ids, cols]`.
pub(crate) fn selected(ids: Tensor<1, Int>, w: &Codes) -> Tensor<2> {
    let count = ids.dims()[0];
    let ids = ids.cast(DType::I32).try_into_primitive::<Cube>().expect("a tensor of a GPU without autodiff");
    let packed = w.packed();
    let y = empty(packed, [count, w.cols], DType::F32);
    let (cubes, units) = each(&packed.client, count * w.words());
    select_kernel::launch(
        &packed.client,
        cubes,
        units,
        buffer(&ids),
        buffer(packed),
        buffer(&y),
        w.words(),
        w.group(),
        w.scales(),
        w.minimums(),
        w.table(),
        w.coding,
    );
    wrap(y)
}
