//! Vectors of 16 floats: AVX-512.

use std::arch::x86_64::*;

use burn::tensor::{bf16, f16};

use super::{Kernel, Simd, pairs};

/// Proof that the processor has AVX-512 F, and BW and BF16 where `BF16` says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx512<const BF16: bool = false>(());

impl Avx512 {
    /// Asks the processor.
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f") && super::avx2::Avx2::detect().is_some()).then_some(Self(()))
    }

    /// Runs `kernel` compiled with these instructions.
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Out {
        #[target_feature(enable = "avx512f,avx2,fma,f16c")]
        fn inner<K: Kernel>(simd: Avx512, kernel: K) -> K::Out {
            kernel.run(simd)
        }
        // SAFETY: `self` proves that the processor has the instructions.
        unsafe { inner(self, kernel) }
    }

    /// With products of pairs of bfloats, where the processor has them.
    pub(super) fn with_bf16(self) -> Option<Avx512<true>> {
        (is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512bw")).then_some(Avx512(()))
    }
}

impl Avx512<true> {
    /// As [`Avx512::run`].
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Out {
        #[target_feature(enable = "avx512f,avx512bw,avx512bf16,avx2,fma,f16c")]
        fn inner<K: Kernel>(simd: Avx512<true>, kernel: K) -> K::Out {
            kernel.run(simd)
        }
        // SAFETY: `self` proves that the processor has the instructions.
        unsafe { inner(self, kernel) }
    }
}

// SAFETY of the blocks below: a value of the type proves that the processor has AVX-512 F; loads and stores
// rely on the contract of the trait's methods.
impl<const BF16: bool> Simd for Avx512<BF16> {
    type V = __m512;

    const LANES: usize = 16;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const f16) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const bf16) -> __m512 {
        // SAFETY: see above.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    unsafe fn load_i8(self, from: *const i8) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m512) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(to, value) }
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: see above; a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn at_most(self, bound: __m512, a: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_min_ps(bound, a) }
    }

    #[inline(always)]
    fn at_least(self, bound: __m512, a: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_max_ps(bound, a) }
    }

    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_roundscale_ps::<0>(a) }
    }

    #[inline(always)]
    fn pow2(self, n: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        }
    }

    #[inline(always)]
    fn less(self, a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), no, yes) }
    }

    #[inline(always)]
    fn sum4(self, [a, b, c, d]: [__m512; 4]) -> [f32; 4] {
        let mut out = [0.0; 4];
        // SAFETY: see above; `out` has room for four floats.
        unsafe {
            let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
            let low = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
            let abcd = _mm512_add_ps(low, _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
            let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(abcd)));
            let eight = _mm256_add_ps(_mm512_castps512_ps256(abcd), high);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            _mm_storeu_ps(out.as_mut_ptr(), four);
        }
        out
    }

    #[inline(always)]
    fn largest(self, a: __m512) -> f32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_max_ps(a) }
    }

    #[inline(always)]
    unsafe fn look_up(self, table: &[f32; 16], codes: *const u8, scale: __m512) -> [__m512; 4] {
        // SAFETY: see above. Of an index the low four bits count.
        unsafe {
            let table = _mm512_loadu_ps(table.as_ptr());
            let codes = _mm512_cvtepu8_epi32(_mm_loadu_si128(codes.cast()));
            let low = _mm512_mul_ps(_mm512_permutexvar_ps(codes, table), scale);
            let high = _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(codes), table);
            let high = _mm512_mul_ps(high, scale);
            [low, high, low, high]
        }
    }

    #[inline(always)]
    fn pair(self, low: __m512, high: __m512) -> __m512 {
        if !BF16 {
            return pairs::pair(self, low, high);
        }
        // SAFETY: see above, and `BF16`; both types are 512 bits.
        unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(high, low)) }
    }

    #[inline(always)]
    fn dot_pairs(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        if !BF16 {
            return pairs::dot(self, a, b, c);
        }
        // SAFETY: as above.
        unsafe {
            let a = std::mem::transmute::<__m512, __m512bh>(a);
            _mm512_dpbf16_ps(c, a, std::mem::transmute::<__m512, __m512bh>(b))
        }
    }

    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: see above; rows and columns by the contract of the trait.
        unsafe {
            let mut rows = [_mm512_setzero_ps(); 16];
            for (row, v) in rows.iter_mut().enumerate() {
                *v = _mm512_loadu_ps(from.add(row * from_stride));
            }
            // Of four rows, four columns: column `4 · lane + j` in each lane of the `j`-th.
            for four in rows.chunks_exact_mut(4) {
                let [ab, cd] = [[four[0], four[1]], [four[2], four[3]]].map(|[a, b]| {
                    [_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)].map(|v| _mm512_castps_pd(v))
                });
                for half in 0..2 {
                    four[2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab[half], cd[half]));
                    four[2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab[half], cd[half]));
                }
            }
            for j in 0..4 {
                let (a, b) = (rows[j], rows[4 + j]);
                let (c, d) = (rows[8 + j], rows[12 + j]);
                let even = [_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0x88>(c, d)];
                let odd = [_mm512_shuffle_f32x4::<0xdd>(a, b), _mm512_shuffle_f32x4::<0xdd>(c, d)];
                for (lane, [low, high]) in [even, odd].into_iter().enumerate() {
                    let at = |lane: usize| to.add((4 * lane + j) * to_stride);
                    _mm512_storeu_ps(at(lane), _mm512_shuffle_f32x4::<0x88>(low, high));
                    _mm512_storeu_ps(at(lane + 2), _mm512_shuffle_f32x4::<0xdd>(low, high));
                }
            }
        }
    }
}
