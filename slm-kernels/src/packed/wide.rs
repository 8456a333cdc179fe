//! Codes and scales of each format in the registers of AVX-512.
//!
//! A chunk is 128 columns. Its codes are two vectors: for units of 32, the first halves of its four units and the second halves;
//! for units of 16, its weights in order. Scales are those of four rows: of unit `4 * part + j` of row `r` in lane `4 * j + r`.
#![expect(unsafe_code, reason = "processor intrinsics; pointers into checked matrices")]

use std::arch::x86_64::*;

use burn::tensor::f16;

use super::block::Block;
use super::layout::{Blocks, Groups, Int4, Int4Asym, Int8};

/// Bytes to fetch ahead of codes that come from memory.
const AHEAD: usize = 2048;

/// A layout that can be read chunk by chunk.
///
/// All methods need a processor with AVX-512 F, BW, DQ and VL, and rows that have the chunk.
pub(crate) trait Wide: Copy {
    /// Chunks whose scales are read at once: 2 where they make up a block, else 1.
    const CHUNKS: usize;

    /// Whether all that is read of a chunk is in the buffers: not of the last chunks, where rows are no whole chunks.
    fn has_chunk(&self, row: usize, chunk: usize) -> bool;

    /// Hints that the codes after a chunk will be read.
    ///
    /// # Safety
    /// See the trait; so for the others.
    unsafe fn prefetch(&self, row: usize, chunk: usize);

    /// The codes of a chunk.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn chunk(&self, row: usize, chunk: usize) -> [__m512i; 2];

    /// The scales, and the minimums if the layout has them, of [`Wide::CHUNKS`] chunks of four rows.
    ///
    /// # Safety
    /// See the trait; `chunk` must be a multiple of their number.
    unsafe fn numbers(&self, rows: [usize; 4], chunk: usize) -> Numbers;
}

/// Scales of one or two chunks of four rows: of unit `4 * part + j` of row `r` in lane `4 * j + r`.
#[derive(Clone, Copy)]
pub(crate) struct Numbers {
    /// Of each part: one of units of 32 each chunk, two of units of 16.
    pub(crate) scales: [__m512; 4],
    pub(crate) minimums: [__m512; 2],
}

impl Numbers {
    /// Of one part.
    #[inline(always)]
    pub(crate) unsafe fn one(scales: __m512) -> Self {
        // SAFETY: the contract of [`Wide`].
        let zero = unsafe { _mm512_setzero_ps() };
        Self { scales: [scales, zero, zero, zero], minimums: [zero; 2] }
    }
}

/// Fetches the lines of `bytes` from [`AHEAD`] after `at`.
#[inline(always)]
unsafe fn fetch(at: *const u8, bytes: usize) {
    for line in 0..bytes.div_ceil(64) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD + line * 64).cast()) };
    }
}

/// 16 half-precision numbers, of row `r` and unit `j` at `4 * r + j`, to `f32` in lane `4 * j + r`.
#[inline(always)]
unsafe fn turned(words: [u64; 4]) -> __m512 {
    // SAFETY: the contract of [`Wide`]; so below.
    unsafe {
        let words = words.map(u64::cast_signed);
        let words = _mm256_setr_epi64x(words[0], words[1], words[2], words[3]);
        let turn = _mm256_setr_epi16(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        _mm512_cvtph_ps(_mm256_permutexvar_epi16(turn, words))
    }
}

impl Groups<'_> {
    #[inline(always)]
    fn has(&self, start: usize, bytes: usize, row: usize, chunk: usize) -> bool {
        // Groups longer than a chunk are cut by nothing.
        let groups = if self.blocks <= 2 { 4 / self.blocks } else { 1 };
        let first = row * self.per_row + chunk * 4 / self.blocks;
        start + bytes <= self.codes.len() && first + groups <= self.scales.len()
    }

    /// The numbers of the four units of a chunk, in 16 bits each.
    #[inline(always)]
    unsafe fn words(&self, numbers: &[f16], row: usize, chunk: usize) -> u64 {
        let first = row * self.per_row + chunk * 4 / self.blocks;
        // SAFETY: see above; the row has the groups of its chunk.
        unsafe {
            let from = numbers.as_ptr().cast::<u16>().add(first);
            match self.blocks {
                1 => from.cast::<u64>().read_unaligned(),
                2 => {
                    let two = u64::from(from.cast::<u32>().read_unaligned());
                    ((two & 0xffff) * 0x1_0001) | ((two >> 16) * 0x1_0001_0000_0000)
                }
                blocks if blocks == 4 || self.per_row == 1 => u64::from(*from) * 0x1_0001_0001_0001,
                blocks => {
                    let mut words = 0;
                    for unit in (0..4).rev() {
                        let at = row * self.per_row + (chunk * 4 + unit) / blocks;
                        words = words << 16 | u64::from(numbers[at.min(numbers.len() - 1)].to_bits());
                    }
                    words
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn numbers(&self, numbers: &[f16], rows: [usize; 4], chunk: usize) -> __m512 {
        let mut words = [0; 4];
        for (words, row) in words.iter_mut().zip(rows) {
            // SAFETY: see above.
            *words = unsafe { self.words(numbers, row, chunk) };
        }
        // SAFETY: see above.
        unsafe { turned(words) }
    }

    /// Where the nibbles of a chunk start.
    #[inline(always)]
    fn start(&self, row: usize, chunk: usize) -> usize {
        row * (self.cols / 2) + chunk * 64
    }

    #[inline(always)]
    unsafe fn chunk(&self, row: usize, chunk: usize) -> [__m512i; 2] {
        // SAFETY: see above.
        unsafe { halves(_mm512_loadu_epi8(self.codes.as_ptr().add(self.start(row, chunk)).cast())) }
    }
}

/// The low and the high nibbles.
#[inline(always)]
pub(super) unsafe fn halves(bytes: __m512i) -> [__m512i; 2] {
    // SAFETY: see above.
    unsafe {
        let mask = _mm512_set1_epi8(15);
        [_mm512_and_si512(bytes, mask), _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), mask)]
    }
}

impl Wide for Int8<'_> {
    const CHUNKS: usize = 1;

    #[inline(always)]
    fn has_chunk(&self, row: usize, chunk: usize) -> bool {
        self.0.has(row * self.0.cols + chunk * 128, 128, row, chunk)
    }

    #[inline(always)]
    unsafe fn prefetch(&self, row: usize, chunk: usize) {
        // SAFETY: see above.
        unsafe { fetch(self.0.codes.as_ptr().wrapping_add(row * self.0.cols + chunk * 128), 128) };
    }

    #[inline(always)]
    unsafe fn chunk(&self, row: usize, chunk: usize) -> [__m512i; 2] {
        // SAFETY: see above.
        unsafe {
            let from = self.0.codes.as_ptr().add(row * self.0.cols + chunk * 128);
            let (a, b) = (_mm512_loadu_epi8(from.cast()), _mm512_loadu_epi8(from.add(64).cast()));
            let sign = _mm512_set1_epi8(-128);
            let low = _mm512_permutex2var_epi64(a, _mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13), b);
            let high = _mm512_permutex2var_epi64(a, _mm512_setr_epi64(2, 3, 6, 7, 10, 11, 14, 15), b);
            [_mm512_xor_si512(low, sign), _mm512_xor_si512(high, sign)]
        }
    }

    #[inline(always)]
    unsafe fn numbers(&self, rows: [usize; 4], chunk: usize) -> Numbers {
        // SAFETY: see above.
        unsafe { Numbers::one(self.0.numbers(self.0.scales, rows, chunk)) }
    }
}

impl Wide for Int4<'_> {
    const CHUNKS: usize = 1;

    #[inline(always)]
    fn has_chunk(&self, row: usize, chunk: usize) -> bool {
        self.0.has(self.0.start(row, chunk), 64, row, chunk)
    }

    #[inline(always)]
    unsafe fn prefetch(&self, row: usize, chunk: usize) {
        // SAFETY: see above.
        unsafe { fetch(self.0.codes.as_ptr().wrapping_add(self.0.start(row, chunk)), 64) };
    }

    #[inline(always)]
    unsafe fn chunk(&self, row: usize, chunk: usize) -> [__m512i; 2] {
        // SAFETY: see above.
        unsafe { self.0.chunk(row, chunk) }
    }

    #[inline(always)]
    unsafe fn numbers(&self, rows: [usize; 4], chunk: usize) -> Numbers {
        // SAFETY: see above.
        unsafe { Numbers::one(self.0.numbers(self.0.scales, rows, chunk)) }
    }
}

impl Wide for Int4Asym<'_> {
    const CHUNKS: usize = 1;

    #[inline(always)]
    fn has_chunk(&self, row: usize, chunk: usize) -> bool {
        self.0.has(self.0.start(row, chunk), 64, row, chunk)
    }

    #[inline(always)]
    unsafe fn prefetch(&self, row: usize, chunk: usize) {
        // SAFETY: see above.
        unsafe { fetch(self.0.codes.as_ptr().wrapping_add(self.0.start(row, chunk)), 64) };
    }

    #[inline(always)]
    unsafe fn chunk(&self, row: usize, chunk: usize) -> [__m512i; 2] {
        // SAFETY: see above.
        unsafe { self.0.chunk(row, chunk) }
    }

    #[inline(always)]
    unsafe fn numbers(&self, rows: [usize; 4], chunk: usize) -> Numbers {
        // SAFETY: see above.
        unsafe {
            let minimums = [self.0.numbers(self.0.minimums, rows, chunk); 2];
            Numbers { minimums, ..Numbers::one(self.0.numbers(self.0.scales, rows, chunk)) }
        }
    }
}

impl<B: Block> Blocks<'_, B> {
    /// Offset of the first block of a chunk, and which half of it the chunk is.
    #[inline(always)]
    fn chunk_start(&self, row: usize, chunk: usize) -> (usize, usize) {
        match B::WEIGHTS {
            256 => ((row * self.per_row + chunk / 2) * B::BYTES, chunk % 2),
            _ => ((row * self.per_row + chunk * 4) * B::BYTES, 0),
        }
    }
}

impl<B: Block> Wide for Blocks<'_, B> {
    const CHUNKS: usize = B::WEIGHTS.div_ceil(128);

    #[inline(always)]
    fn has_chunk(&self, row: usize, chunk: usize) -> bool {
        let bytes = if B::WEIGHTS == 256 { B::BYTES } else { 4 * B::BYTES };
        self.chunk_start(row, chunk).0 + bytes <= self.bytes.len()
    }

    #[inline(always)]
    unsafe fn prefetch(&self, row: usize, chunk: usize) {
        let (start, half) = self.chunk_start(row, chunk);
        let bytes = if B::WEIGHTS == 256 { B::BYTES / 2 } else { 4 * B::BYTES };
        // SAFETY: see above.
        unsafe { fetch(self.bytes.as_ptr().wrapping_add(start + half * bytes), bytes) };
    }

    #[inline(always)]
    unsafe fn chunk(&self, row: usize, chunk: usize) -> [__m512i; 2] {
        let (start, half) = self.chunk_start(row, chunk);
        // SAFETY: see above.
        unsafe { B::chunk(self.bytes.as_ptr().add(start), half) }
    }

    #[inline(always)]
    unsafe fn numbers(&self, rows: [usize; 4], chunk: usize) -> Numbers {
        let mut starts = [self.bytes.as_ptr(); 4];
        for (start, row) in starts.iter_mut().zip(rows) {
            // SAFETY: see above.
            *start = unsafe { start.add(self.chunk_start(row, chunk).0) };
        }
        // SAFETY: see above.
        unsafe { B::numbers(starts) }
    }
}
