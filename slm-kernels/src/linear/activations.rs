//! Rows of `x` in 8 bits, for products of whole numbers.
#![expect(unsafe_code, reason = "memory is handed out before it holds values")]

use crate::output::{Output, for_each_task};
use crate::packed::{BLOCK, Layout};
use crate::scratch::Scratch;
use crate::simd::{Kernel, Level, Simd};

/// Columns of a chunk, to whole ones of which rows are padded with zeros.
pub(super) const CHUNK: usize = 128;

/// Rows from which quantizing them is worth several threads.
const PARALLEL: usize = 32;

/// How the codes of a chunk are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// In order.
    Plain,
    /// The first halves of its four blocks, then the second halves.
    Halves,
}

/// Rows of `x` in blocks of 32: `x = code * scale`, codes in `-127..=127`, and the largest magnitude of a block has the code
/// 127 or -127.
pub(super) struct Activations {
    /// `[m, stride]`, signed bytes.
    codes: Scratch,
    /// `[m, stride / 32]`.
    scales: Scratch,
    /// What a unit of 16 or 32 weights adds, `[m, stride / unit]`: of layouts with a minimum, the sum of its codes times the
    /// scale; of others, the sum of its codes times `-OFFSET`, as `i32`.
    terms: Scratch,
    m: usize,
    cols: usize,
    stride: usize,
    unit: usize,
}

/// One row of [`Activations`].
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) codes: &'a [i8],
    pub(super) scales: &'a [f32],
    /// Of layouts with a minimum.
    pub(super) products: &'a [f32],
    /// Of others.
    pub(super) offsets: &'a [i32],
}

impl Activations {
    /// Quantizes `x` (`[m, cols]`) for products with weights in the layout `L`.
    pub(super) fn new<L: Layout>(level: Level, x: &[f32], m: usize, cols: usize, order: Order) -> Self {
        let stride = cols.next_multiple_of(CHUNK);
        let mut new = Self {
            codes: Scratch::new(m * stride / size_of::<f32>()),
            scales: Scratch::new(m * stride / BLOCK),
            terms: Scratch::new(m * stride / L::UNIT),
            m,
            cols,
            stride,
            unit: L::UNIT,
        };
        let out = [Output::new(&mut new.codes), Output::new(&mut new.scales), Output::new(&mut new.terms)];
        let work = if m < PARALLEL { 0 } else { usize::MAX };
        for_each_task(m.div_ceil(ROWS), work, |task| {
            for row in task * ROWS..((task + 1) * ROWS).min(m) {
                let x = &x[row * cols..][..cols];
                // SAFETY: rows are disjoint, and whole rows are in the buffers, which are initialized; a byte or an `i32` may
                // have any bits.
                let (codes, scales, terms) = unsafe {
                    let codes = out[0].at(row * stride / 4, stride / 4).cast::<i8>();
                    let scales = out[1].at(row * stride / BLOCK, stride / BLOCK);
                    let terms = out[2].at(row * stride / L::UNIT, stride / L::UNIT).cast::<i32>();
                    (
                        std::slice::from_raw_parts_mut(codes, stride),
                        std::slice::from_raw_parts_mut(scales, stride / BLOCK),
                        std::slice::from_raw_parts_mut(terms, stride / L::UNIT),
                    )
                };
                level.run(Quantize { x, codes, scales, terms, order, kind: Terms::of::<L>() });
            }
        });
        new
    }

    /// Rows.
    pub(super) fn len(&self) -> usize {
        self.m
    }

    /// Columns.
    pub(super) fn cols(&self) -> usize {
        self.cols
    }

    /// Columns and padding.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// One row.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> Row<'_> {
        let units = self.stride / self.unit;
        let terms = &self.terms[row * units..][..units];
        Row {
            codes: &self.codes.bytes()[row * self.stride..][..self.stride],
            scales: &self.scales[row * (self.stride / BLOCK)..][..self.stride / BLOCK],
            products: terms,
            // SAFETY: an `i32` is as long and as aligned as an `f32`, and may have any bits.
            offsets: unsafe { std::slice::from_raw_parts(terms.as_ptr().cast(), units) },
        }
    }
}

/// Rows of a task.
const ROWS: usize = 8;

/// What [`Activations::terms`] are.
#[derive(Clone, Copy)]
struct Terms {
    unit: usize,
    offset: i32,
    minimum: bool,
}

impl Terms {
    fn of<L: Layout>() -> Self {
        Self { unit: L::UNIT, offset: i32::from(L::OFFSET), minimum: L::MINIMUM }
    }
}

/// Quantizes one row.
struct Quantize<'a> {
    x: &'a [f32],
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    terms: &'a mut [i32],
    order: Order,
    kind: Terms,
}

impl Kernel for Quantize<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, _s: S) {
        let per_block = BLOCK / self.kind.unit;
        for block in 0..self.scales.len() {
            let mut x = [0.0; BLOCK];
            let from = &self.x[(block * BLOCK).min(self.x.len())..];
            match from.first_chunk() {
                Some(whole) => x = *whole,
                None => x[..from.len()].copy_from_slice(from),
            }
            let (codes, scale) = quantize(&x);
            self.scales[block] = scale;
            let at = place(self.order, block);
            for (half, codes) in codes.as_chunks::<{ BLOCK / 2 }>().0.iter().enumerate() {
                self.codes[at[half]..][..BLOCK / 2].copy_from_slice(codes);
            }
            let terms = &mut self.terms[block * per_block..][..per_block];
            for (term, codes) in terms.iter_mut().zip(codes.chunks_exact(self.kind.unit)) {
                let mut sum = 0;
                for &code in codes {
                    sum += i32::from(code);
                }
                *term = match self.kind.minimum {
                    true => (scale * sum as f32).to_bits().cast_signed(),
                    false => -self.kind.offset * sum,
                };
            }
        }
    }
}

/// Where the halves of a block are in its row.
#[inline(always)]
pub(super) fn place(order: Order, block: usize) -> [usize; 2] {
    match order {
        Order::Plain => [block * BLOCK, block * BLOCK + BLOCK / 2],
        Order::Halves => {
            let start = block / 4 * CHUNK + block % 4 * (BLOCK / 2);
            [start, start + CHUNK / 2]
        }
    }
}

/// Codes and scale of a block. The scale is not a number if one of `x` is not finite, and so will the sums be.
#[inline(always)]
pub(super) fn quantize(x: &[f32; BLOCK]) -> ([i8; BLOCK], f32) {
    // As whole numbers, magnitudes are ordered, and what is not a number is the largest.
    let mut largest = 0;
    for x in x {
        largest = largest.max(x.to_bits() & 0x7fff_ffff);
    }
    let largest = f32::from_bits(largest);
    let scale = if largest.is_finite() { largest / 127.0 } else { f32::NAN };
    let inverse = 127.0 / largest;
    // Zeros, and numbers so small that their inverse is none.
    if !inverse.is_finite() {
        return ([0; BLOCK], if scale.is_nan() { scale } else { 0.0 });
    }
    let mut codes = [0; BLOCK];
    for (code, x) in codes.iter_mut().zip(x) {
        // The sum is rounded to a whole number, half to even, which then is in the low bits.
        *code = ((x * inverse + ROUND).to_bits() as u8).cast_signed();
    }
    (codes, scale)
}

/// Floats from here to twice as much are whole numbers, and so are those of the quarter below and above the middle.
const ROUND: f32 = 12_582_912.0;
