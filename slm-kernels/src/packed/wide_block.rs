//! The blocks of `ggml` in the registers of AVX-512; see [`wide`](super::wide).
#![expect(unsafe_code, reason = "processor intrinsics; pointers into checked matrices")]

use std::arch::x86_64::*;

use super::block::{IQ4, Iq4Nl, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
use super::wide::halves;

/// A chunk of blocks: four of 32 weights, or a `half` of one of 256.
///
/// All methods need a processor with AVX-512 F, BW, DQ and VL, and pointers to as many bytes as the blocks have.
pub(crate) trait WideBlock {
    /// See [`Wide::chunk`](super::wide::Wide::chunk).
    ///
    /// # Safety
    /// See the trait; so for the others.
    unsafe fn chunk(at: *const u8, half: usize) -> [__m512i; 2];

    /// See [`Wide::scales`](super::wide::Wide::scales).
    ///
    /// # Safety
    /// See the trait.
    unsafe fn scales(rows: [*const u8; 4], half: usize, part: usize) -> __m512;

    /// See [`Wide::minimums`](super::wide::Wide::minimums).
    ///
    /// # Safety
    /// See the trait.
    #[inline(always)]
    unsafe fn minimums(_rows: [*const u8; 4], _half: usize, _part: usize) -> __m512 {
        // SAFETY: the contract of the trait; so below.
        unsafe { _mm512_setzero_ps() }
    }
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
    unsafe fn scales(rows: [*const u8; 4], _half: usize, _part: usize) -> __m512 {
        // SAFETY: see above.
        unsafe { block_halves::<34, 0>(rows) }
    }
}

impl WideBlock for Q4_0 {
    #[inline(always)]
    unsafe fn chunk(at: *const u8, _half: usize) -> [__m512i; 2] {
        // SAFETY: see above.
        unsafe { halves(pieces(at.add(2), 18)) }
    }

    #[inline(always)]
    unsafe fn scales(rows: [*const u8; 4], _half: usize, _part: usize) -> __m512 {
        // SAFETY: see above.
        unsafe { block_halves::<18, 0>(rows) }
    }
}

impl WideBlock for Q4_1 {
    #[inline(always)]
    unsafe fn chunk(at: *const u8, _half: usize) -> [__m512i; 2] {
        // SAFETY: see above.
        unsafe { halves(pieces(at.add(4), 20)) }
    }

    #[inline(always)]
    unsafe fn scales(rows: [*const u8; 4], _half: usize, _part: usize) -> __m512 {
        // SAFETY: see above.
        unsafe { block_halves::<20, 0>(rows) }
    }

    #[inline(always)]
    unsafe fn minimums(rows: [*const u8; 4], _half: usize, _part: usize) -> __m512 {
        // SAFETY: see above.
        unsafe { block_halves::<20, 2>(rows) }
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
    unsafe fn scales(rows: [*const u8; 4], _half: usize, _part: usize) -> __m512 {
        // SAFETY: see above.
        unsafe { block_halves::<22, 0>(rows) }
    }
}

impl WideBlock for Q5_1 {
    #[inline(always)]
    unsafe fn chunk(at: *const u8, _half: usize) -> [__m512i; 2] {
        // SAFETY: see above.
        unsafe { five_bits(at, 24, 4) }
    }

    #[inline(always)]
    unsafe fn scales(rows: [*const u8; 4], _half: usize, _part: usize) -> __m512 {
        // SAFETY: see above.
        unsafe { block_halves::<24, 0>(rows) }
    }

    #[inline(always)]
    unsafe fn minimums(rows: [*const u8; 4], _half: usize, _part: usize) -> __m512 {
        // SAFETY: see above.
        unsafe { block_halves::<24, 2>(rows) }
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
    unsafe fn scales(rows: [*const u8; 4], _half: usize, _part: usize) -> __m512 {
        // SAFETY: see above.
        unsafe { block_halves::<18, 0>(rows) }
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

/// The half-precision number at byte `at` of row `r` in the lanes `4 * j + r`.
#[inline(always)]
unsafe fn row_halves(rows: [*const u8; 4], at: usize) -> __m512 {
    // SAFETY: see above.
    unsafe {
        let mut words = 0_u64;
        for (r, row) in rows.into_iter().enumerate() {
            words |= u64::from(row.add(at).cast::<u16>().read_unaligned()) << (16 * r);
        }
        _mm512_broadcast_f32x4(_mm_cvtph_ps(_mm_cvtsi64_si128(words.cast_signed())))
    }
}

/// Four bytes of each row, `j` of row `r` to byte `4 * j + r`.
#[inline(always)]
unsafe fn turned(rows: [u32; 4]) -> __m128i {
    // SAFETY: see above.
    unsafe {
        let rows = rows.map(u32::cast_signed);
        let turn = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        _mm_shuffle_epi8(_mm_setr_epi32(rows[0], rows[1], rows[2], rows[3]), turn)
    }
}

#[inline(always)]
unsafe fn word(at: *const u8) -> u32 {
    // SAFETY: see above.
    unsafe { at.cast::<u32>().read_unaligned() }
}

/// Four scales of 6 bits of each row, times the number at its start.
#[inline(always)]
unsafe fn k_scales(rows: [*const u8; 4], half: usize) -> __m512 {
    // SAFETY: see above.
    unsafe {
        let mut bytes = [0; 4];
        for (bytes, row) in bytes.iter_mut().zip(rows) {
            let low = word(row.add(4));
            *bytes = match half {
                0 => low & 0x3f3f_3f3f,
                _ => word(row.add(12)) & 0x0f0f_0f0f | low >> 2 & 0x3030_3030,
            };
        }
        let scales = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(turned(bytes)));
        _mm512_mul_ps(scales, row_halves(rows, 0))
    }
}

/// As [`k_scales`], the minimums.
#[inline(always)]
unsafe fn k_minimums(rows: [*const u8; 4], half: usize) -> __m512 {
    // SAFETY: see above.
    unsafe {
        let mut bytes = [0; 4];
        for (bytes, row) in bytes.iter_mut().zip(rows) {
            let low = word(row.add(8));
            *bytes = match half {
                0 => low & 0x3f3f_3f3f,
                _ => word(row.add(12)) >> 4 & 0x0f0f_0f0f | low >> 2 & 0x3030_3030,
            };
        }
        let minimums = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(turned(bytes)));
        let minimums = _mm512_mul_ps(minimums, row_halves(rows, 2));
        _mm512_xor_ps(minimums, _mm512_set1_ps(-0.0))
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
    unsafe fn scales(rows: [*const u8; 4], half: usize, _part: usize) -> __m512 {
        // SAFETY: see above.
        unsafe { k_scales(rows, half) }
    }

    #[inline(always)]
    unsafe fn minimums(rows: [*const u8; 4], half: usize, _part: usize) -> __m512 {
        // SAFETY: see above.
        unsafe { k_minimums(rows, half) }
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
    unsafe fn scales(rows: [*const u8; 4], half: usize, _part: usize) -> __m512 {
        // SAFETY: see above.
        unsafe { k_scales(rows, half) }
    }

    #[inline(always)]
    unsafe fn minimums(rows: [*const u8; 4], half: usize, _part: usize) -> __m512 {
        // SAFETY: see above.
        unsafe { k_minimums(rows, half) }
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
    unsafe fn scales(rows: [*const u8; 4], half: usize, part: usize) -> __m512 {
        // SAFETY: see above.
        unsafe {
            let mut bytes = [0; 4];
            for (bytes, row) in bytes.iter_mut().zip(rows) {
                *bytes = word(row.add(192 + half * 8 + part * 4));
            }
            let scales = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(turned(bytes)));
            _mm512_mul_ps(scales, row_halves(rows, 208))
        }
    }
}
