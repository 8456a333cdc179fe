//! The blocks of `ggml` in the registers of AVX-512; see [`wide`](super::wide).
#![expect(unsafe_code, reason = "processor intrinsics; pointers into checked matrices")]

use std::arch::x86_64::*;

use super::block::{IQ4, Iq4Nl, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
use super::wide::{Numbers, halves};

/// A chunk of blocks: four of 32 weights, or a `half` of one of 256.
///
/// All methods need a processor with AVX-512 F, BW, DQ and VL, and pointers to as many bytes as the blocks have.
pub(crate) trait WideBlock {
    /// See [`Wide::chunk`](super::wide::Wide::chunk).
    ///
    /// # Safety
    /// See the trait; so for the others.
    unsafe fn chunk(at: *const u8, half: usize) -> [__m512i; 2];

    /// See [`Wide::numbers`](super::wide::Wide::numbers): of four blocks, or of both halves of one, of four rows.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn numbers(rows: [*const u8; 4]) -> Numbers;
}

/// Four times 16 bytes, `stride` apart.
#[inline(always)]
unsafe fn pieces(at: *const u8, stride: usize) -> __m512i {
    // SAFETY: see above.
    unsafe {
        let first = _mm512_castsi128_si512(_mm_loadu_si128(at.cast()));
        let two = _mm512_inserti32x4::<1>(first, _mm_loadu_si128(at.add(stride).cast()));
        let three = _mm512_inserti32x4::<2>(two, _mm_loadu_si128(at.add(2 * stride).cast()));
        _mm512_inserti32x4::<3>(three, _mm_loadu_si128(at.add(3 * stride).cast()))
    }
}

/// Offset of the second load of [`block_halves`]: late enough for the last block, early enough to end with it.
const fn second(bytes: usize, at: usize) -> usize {
    let (third, last) = (2 * bytes + at, 4 * bytes - 64);
    if third < last { third } else { last }
}

/// Words of the numbers at byte `at` of four blocks, from byte `from` on, for lane `4 * j + r`.
const fn places(bytes: usize, at: usize, from: usize) -> [u16; 32] {
    let mut places = [0; 32];
    let mut lane = 0;
    while lane < 16 {
        places[lane] = ((lane / 4 * bytes + at).wrapping_sub(from) / 2 % 32) as u16;
        lane += 1;
    }
    places
}

/// The half-precision numbers at byte `AT` of four blocks of `BYTES` of four rows, to lane `4 * j + r`.
#[inline(always)]
unsafe fn block_halves<const BYTES: usize, const AT: usize>(rows: [*const u8; 4]) -> __m512 {
    // SAFETY: see above; the second load ends at most where the blocks do.
    unsafe {
        let one = 3 * BYTES + AT + 2 <= 64;
        let first = const { places(BYTES, AT, 0) };
        let first = _mm512_loadu_epi16(first.as_ptr().cast());
        let mut words = _mm512_setzero_si512();
        for (r, row) in rows.into_iter().enumerate() {
            let mask = if one { 0x1111 } else { 0x11 } << r;
            words = _mm512_mask_permutexvar_epi16(words, mask, first, _mm512_loadu_epi16(row.cast()));
        }
        if !one {
            let from = const { second(BYTES, AT) };
            let second = const { places(BYTES, AT, second(BYTES, AT)) };
            let second = _mm512_loadu_epi16(second.as_ptr().cast());
            for (r, row) in rows.into_iter().enumerate() {
                let mask = 0x1100 << r;
                let row = _mm512_loadu_epi16(row.add(from).cast());
                words = _mm512_mask_permutexvar_epi16(words, mask, second, row);
            }
        }
        _mm512_cvtph_ps(_mm512_castsi512_si256(words))
    }
}

impl WideBlock for Q8_0 {
    #[inline(always)]
    unsafe fn chunk(at: *const u8, _half: usize) -> [__m512i; 2] {
        // SAFETY: see above.
        unsafe {
            let sign = _mm512_set1_epi8(-128);
            let (low, high) = (pieces(at.add(2), 34), pieces(at.add(18), 34));
            [_mm512_xor_si512(low, sign), _mm512_xor_si512(high, sign)]
        }
    }

    #[inline(always)]
    unsafe fn numbers(rows: [*const u8; 4]) -> Numbers {
        // SAFETY: see above.
        unsafe { Numbers::one(block_halves::<34, 0>(rows)) }
    }
}

impl WideBlock for Q4_0 {
    #[inline(always)]
    unsafe fn chunk(at: *const u8, _half: usize) -> [__m512i; 2] {
        // SAFETY: see above.
        unsafe { halves(pieces(at.add(2), 18)) }
    }

    #[inline(always)]
    unsafe fn numbers(rows: [*const u8; 4]) -> Numbers {
        // SAFETY: see above.
        unsafe { Numbers::one(block_halves::<18, 0>(rows)) }
    }
}

impl WideBlock for Q4_1 {
    #[inline(always)]
    unsafe fn chunk(at: *const u8, _half: usize) -> [__m512i; 2] {
        // SAFETY: see above.
        unsafe { halves(pieces(at.add(4), 20)) }
    }

    #[inline(always)]
    unsafe fn numbers(rows: [*const u8; 4]) -> Numbers {
        // SAFETY: see above.
        unsafe {
            let minimums = [block_halves::<20, 2>(rows); 2];
            Numbers { minimums, ..Numbers::one(block_halves::<20, 0>(rows)) }
        }
    }
}

/// Nibbles and fifth bits of four blocks; the bits are `bits` bytes after their start, the nibbles 4 bytes later.
#[inline(always)]
unsafe fn five_bits(at: *const u8, bytes: usize, bits: usize) -> [__m512i; 2] {
    // SAFETY: see above.
    unsafe {
        let [low, high] = halves(pieces(at.add(bits + 4), bytes));
        let (mut low_mask, mut high_mask) = (0, 0);
        for j in 0..4 {
            let bits = at.add(j * bytes + bits).cast::<u32>().read_unaligned();
            low_mask |= u64::from(bits & 0xffff) << (16 * j);
            high_mask |= u64::from(bits >> 16) << (16 * j);
        }
        let sixteen = _mm512_set1_epi8(16);
        [
            _mm512_mask_add_epi8(low, low_mask, low, sixteen),
            _mm512_mask_add_epi8(high, high_mask, high, sixteen),
        ]
    }
}

impl WideBlock for Q5_0 {
    #[inline(always)]
    unsafe fn chunk(at: *const u8, _half: usize) -> [__m512i; 2] {
        // SAFETY: see above.
        unsafe { five_bits(at, 22, 2) }
    }

    #[inline(always)]
    unsafe fn numbers(rows: [*const u8; 4]) -> Numbers {
        // SAFETY: see above.
        unsafe { Numbers::one(block_halves::<22, 0>(rows)) }
    }
}

impl WideBlock for Q5_1 {
    #[inline(always)]
    unsafe fn chunk(at: *const u8, _half: usize) -> [__m512i; 2] {
        // SAFETY: see above.
        unsafe { five_bits(at, 24, 4) }
    }

    #[inline(always)]
    unsafe fn numbers(rows: [*const u8; 4]) -> Numbers {
        // SAFETY: see above.
        unsafe {
            let minimums = [block_halves::<24, 2>(rows); 2];
            Numbers { minimums, ..Numbers::one(block_halves::<24, 0>(rows)) }
        }
    }
}

impl WideBlock for Iq4Nl {
    #[inline(always)]
    unsafe fn chunk(at: *const u8, _half: usize) -> [__m512i; 2] {
        // SAFETY: see above.
        unsafe {
            let table = _mm512_broadcast_i32x4(_mm_loadu_si128(IQ4.as_ptr().cast()));
            let table = _mm512_xor_si512(table, _mm512_set1_epi8(-128));
            let [low, high] = halves(pieces(at.add(2), 18));
            [_mm512_shuffle_epi8(table, low), _mm512_shuffle_epi8(table, high)]
        }
    }

    #[inline(always)]
    unsafe fn numbers(rows: [*const u8; 4]) -> Numbers {
        // SAFETY: see above.
        unsafe { Numbers::one(block_halves::<18, 0>(rows)) }
    }
}

/// Four vectors of 32 codes, units 0 and 2 in `even` and 1 and 3 in `odd`, as halves.
#[inline(always)]
unsafe fn units(even: __m512i, odd: __m512i) -> [__m512i; 2] {
    // SAFETY: see above.
    unsafe {
        [
            _mm512_permutex2var_epi64(even, _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), odd),
            _mm512_permutex2var_epi64(even, _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15), odd),
        ]
    }
}

/// 16 bytes of each of four rows.
#[inline(always)]
unsafe fn heads(rows: [*const u8; 4], at: usize) -> __m512i {
    // SAFETY: see above.
    unsafe {
        let first = _mm512_castsi128_si512(_mm_loadu_si128(rows[0].add(at).cast()));
        let two = _mm512_inserti32x4::<1>(first, _mm_loadu_si128(rows[1].add(at).cast()));
        let three = _mm512_inserti32x4::<2>(two, _mm_loadu_si128(rows[2].add(at).cast()));
        _mm512_inserti32x4::<3>(three, _mm_loadu_si128(rows[3].add(at).cast()))
    }
}

/// Word `word` of each of the four rows in [`heads`]: byte `j` of row `r` to the top of lane `4 * j + r`.
#[inline(always)]
unsafe fn turned(heads: __m512i, word: i32) -> __m512i {
    // SAFETY: see above.
    unsafe {
        let rows = _mm512_add_epi32(
            _mm512_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12),
            _mm512_set1_epi32(word),
        );
        let words = _mm512_permutexvar_epi32(rows, heads);
        // Of the word of row `r` in each quarter: byte `j` in quarter `j`.
        let first = _mm512_set_epi64(
            0x0fff_ffff_0bff_ffff,
            0x07ff_ffff_03ff_ffff,
            0x0eff_ffff_0aff_ffff,
            0x06ff_ffff_02ff_ffff,
            0x0dff_ffff_09ff_ffff,
            0x05ff_ffff_01ff_ffff,
            0x0cff_ffff_08ff_ffff,
            0x04ff_ffff_00ff_ffff,
        );
        _mm512_shuffle_epi8(words, first)
    }
}

/// [`turned`] unsigned bytes, as floats.
#[inline(always)]
unsafe fn unsigned(heads: __m512i, word: i32) -> __m512 {
    // SAFETY: see above.
    unsafe { _mm512_cvtepi32_ps(_mm512_srli_epi32::<24>(turned(heads, word))) }
}

/// Scales and minimums of 6 bits, times the numbers at the start of the block.
#[inline(always)]
unsafe fn k_numbers(rows: [*const u8; 4]) -> Numbers {
    // SAFETY: see above.
    unsafe {
        // Words: the two numbers, low bits of scales, low bits of minimums, and what the upper four of each have besides.
        let heads = heads(rows, 0);
        let low = _mm512_and_si512(heads, _mm512_set1_epi32(0x3f3f_3f3f));
        let upper = _mm512_and_si512(_mm512_srli_epi32::<2>(heads), _mm512_set1_epi32(0x3030_3030));
        let nibbles = _mm512_shuffle_epi32::<0b11_11_11_00>(heads);
        let nibbles =
            _mm512_srlv_epi32(nibbles, _mm512_setr_epi32(0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0));
        let high = _mm512_or_si512(upper, _mm512_and_si512(nibbles, _mm512_set1_epi32(0x0f0f_0f0f)));

        let firsts = _mm512_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
        let firsts = _mm512_castsi512_si256(_mm512_permutexvar_epi32(firsts, heads));
        let pairs = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
        let numbers = _mm256_cvtph_ps(_mm_shuffle_epi8(_mm256_castsi256_si128(firsts), pairs));
        let scale = _mm512_broadcast_f32x4(_mm256_castps256_ps128(numbers));
        let minimum = _mm256_xor_ps(numbers, _mm256_set1_ps(-0.0));
        let minimum = _mm512_broadcast_f32x4(_mm256_extractf128_ps::<1>(minimum));
        let zero = _mm512_setzero_ps();
        Numbers {
            scales: [
                _mm512_mul_ps(unsigned(low, 1), scale),
                _mm512_mul_ps(unsigned(high, 1), scale),
                zero,
                zero,
            ],
            minimums: [_mm512_mul_ps(unsigned(low, 2), minimum), _mm512_mul_ps(unsigned(high, 2), minimum)],
        }
    }
}

impl WideBlock for Q4K {
    #[inline(always)]
    unsafe fn chunk(at: *const u8, half: usize) -> [__m512i; 2] {
        // SAFETY: see above.
        unsafe {
            let [even, odd] = halves(_mm512_loadu_epi8(at.add(16 + half * 64).cast()));
            units(even, odd)
        }
    }

    #[inline(always)]
    unsafe fn numbers(rows: [*const u8; 4]) -> Numbers {
        // SAFETY: see above.
        unsafe { k_numbers(rows) }
    }
}

impl WideBlock for Q5K {
    #[inline(always)]
    unsafe fn chunk(at: *const u8, half: usize) -> [__m512i; 2] {
        // SAFETY: see above.
        unsafe {
            let [even, odd] = halves(_mm512_loadu_epi8(at.add(48 + half * 64).cast()));
            let bits = _mm512_broadcast_i64x4(_mm256_loadu_si256(at.add(16).cast()));
            // Bit `4 * half + unit` goes to bit 4; what comes from neighbours is masked off.
            let bits = _mm512_srlv_epi64(bits, _mm512_set1_epi64(if half == 0 { 0 } else { 4 }));
            let sixteen = _mm512_set1_epi8(16);
            let first = _mm512_sllv_epi64(bits, _mm512_setr_epi64(4, 4, 4, 4, 2, 2, 2, 2));
            let second = _mm512_sllv_epi64(bits, _mm512_setr_epi64(3, 3, 3, 3, 1, 1, 1, 1));
            units(
                _mm512_or_si512(even, _mm512_and_si512(first, sixteen)),
                _mm512_or_si512(odd, _mm512_and_si512(second, sixteen)),
            )
        }
    }

    #[inline(always)]
    unsafe fn numbers(rows: [*const u8; 4]) -> Numbers {
        // SAFETY: see above.
        unsafe { k_numbers(rows) }
    }
}

impl WideBlock for Q6K {
    #[inline(always)]
    unsafe fn chunk(at: *const u8, half: usize) -> [__m512i; 2] {
        // SAFETY: see above.
        unsafe {
            let [first, second] = halves(_mm512_loadu_epi8(at.add(half * 64).cast()));
            let pairs = _mm512_broadcast_i64x4(_mm256_loadu_si256(at.add(128 + half * 32).cast()));
            // Two bits each to bits 4 and 5; what comes from neighbours is masked off.
            let mask = _mm512_set1_epi8(48);
            let low = _mm512_sllv_epi64(pairs, _mm512_setr_epi64(4, 4, 4, 4, 2, 2, 2, 2));
            let high = _mm512_srlv_epi64(pairs, _mm512_setr_epi64(0, 0, 0, 0, 2, 2, 2, 2));
            [
                _mm512_or_si512(first, _mm512_and_si512(low, mask)),
                _mm512_or_si512(second, _mm512_and_si512(high, mask)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn numbers(rows: [*const u8; 4]) -> Numbers {
        // SAFETY: see above.
        unsafe {
            let heads = heads(rows, 192);
            let mut words = 0_u64;
            for (r, row) in rows.into_iter().enumerate() {
                words |= u64::from(row.add(208).cast::<u16>().read_unaligned()) << (16 * r);
            }
            let scale = _mm512_broadcast_f32x4(_mm_cvtph_ps(_mm_cvtsi64_si128(words.cast_signed())));
            let mut scales = [scale; 4];
            for (scale, word) in scales.iter_mut().zip(0..) {
                let signed = _mm512_srai_epi32::<24>(turned(heads, word));
                *scale = _mm512_mul_ps(_mm512_cvtepi32_ps(signed), *scale);
            }
            Numbers { scales, minimums: [_mm512_setzero_ps(); 2] }
        }
    }
}
