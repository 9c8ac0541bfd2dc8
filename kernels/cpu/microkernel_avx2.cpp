// kernels/cpu/microkernel_avx2.cpp -- the inner loops with 256-bit vectors, and rows of half types
#include "kernels/cpu/microkernel.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define FLASH_TARGET __attribute__((target("avx2,fma,f16c")))
#include "core/dtype.h"
#include "kernels/cpu/microkernel_impl.h"
#include "kernels/cpu/transpose_avx.h"

namespace flash::cpu {
namespace {

struct F32x8 : TransposeF32 {
  using Scalar = float;
  using Vec = __m256;
  using Mask = __m256i;
  static constexpr int kLanes = 8;
  static constexpr int kMaxRows[kMaxVectors] = {8, 6, 4};
  FLASH_INLINE static Vec zero() { return _mm256_setzero_ps(); }
  FLASH_INLINE static Vec set1(float x) { return _mm256_set1_ps(x); }
  FLASH_INLINE static Vec load(const float* p) { return _mm256_loadu_ps(p); }
  FLASH_INLINE static Vec load(const float* p, Mask m) { return _mm256_maskload_ps(p, m); }
  FLASH_INLINE static void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
  FLASH_INLINE static void store(float* p, Mask m, Vec v) { _mm256_maskstore_ps(p, m, v); }
  FLASH_INLINE static Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
  FLASH_INLINE static Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
  FLASH_INLINE static Vec even(Vec a, Vec b) { return in_order(_mm256_shuffle_ps(a, b, 0x88)); }
  FLASH_INLINE static Vec odd(Vec a, Vec b) { return in_order(_mm256_shuffle_ps(a, b, 0xdd)); }
  FLASH_INLINE static Vec in_order(Vec v) {  // 64-bit quarters 0, 2, 1, 3
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8));
  }
  FLASH_INLINE static Vec zip_low(Vec a, Vec b) {
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x20);
  }
  FLASH_INLINE static Vec zip_high(Vec a, Vec b) {
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x31);
  }
  FLASH_INLINE static Vec replaces(Vec x, Vec best) {
    return _mm256_and_ps(_mm256_cmp_ps(best, best, _CMP_ORD_Q),
                         _mm256_cmp_ps(x, best, _CMP_NLE_UQ));
  }
  FLASH_INLINE static Vec select(Vec m, Vec a, Vec b) { return _mm256_blendv_ps(b, a, m); }
  FLASH_INLINE static Mask mask(std::int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

struct F64x4 : TransposeF64 {
  using Scalar = double;
  using Vec = __m256d;
  using Mask = __m256i;
  static constexpr int kLanes = 4;
  static constexpr int kMaxRows[kMaxVectors] = {8, 6, 4};
  FLASH_INLINE static Vec zero() { return _mm256_setzero_pd(); }
  FLASH_INLINE static Vec set1(double x) { return _mm256_set1_pd(x); }
  FLASH_INLINE static Vec load(const double* p) { return _mm256_loadu_pd(p); }
  FLASH_INLINE static Vec load(const double* p, Mask m) { return _mm256_maskload_pd(p, m); }
  FLASH_INLINE static void store(double* p, Vec v) { _mm256_storeu_pd(p, v); }
  FLASH_INLINE static void store(double* p, Mask m, Vec v) { _mm256_maskstore_pd(p, m, v); }
  FLASH_INLINE static Vec add(Vec a, Vec b) { return _mm256_add_pd(a, b); }
  FLASH_INLINE static Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_pd(a, b, c); }
  FLASH_INLINE static Vec even(Vec a, Vec b) {
    return _mm256_permute4x64_pd(_mm256_unpacklo_pd(a, b), 0xd8);
  }
  FLASH_INLINE static Vec odd(Vec a, Vec b) {
    return _mm256_permute4x64_pd(_mm256_unpackhi_pd(a, b), 0xd8);
  }
  FLASH_INLINE static Vec zip_low(Vec a, Vec b) {
    return _mm256_permute2f128_pd(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b), 0x20);
  }
  FLASH_INLINE static Vec zip_high(Vec a, Vec b) {
    return _mm256_permute2f128_pd(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b), 0x31);
  }
  FLASH_INLINE static Vec replaces(Vec x, Vec best) {
    return _mm256_and_pd(_mm256_cmp_pd(best, best, _CMP_ORD_Q),
                         _mm256_cmp_pd(x, best, _CMP_NLE_UQ));
  }
  FLASH_INLINE static Vec select(Vec m, Vec a, Vec b) { return _mm256_blendv_pd(b, a, m); }
  FLASH_INLINE static Mask mask(std::int64_t n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
  }
};

bool supported() {
  unsigned a, b, c = 0, d;  // clang's builtin knows no f16c
  const bool f16c = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c;
}

FLASH_TARGET void from_f16(std::int64_t n, const std::uint16_t* src, float* dst) {
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(dst + i,
                     _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(src + i))));
  for (; i < n; ++i) dst[i] = _cvtsh_ss(src[i]);
}

FLASH_TARGET void to_f16(std::int64_t n, const float* src, std::uint16_t* dst) {
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(src + i), _MM_FROUND_TO_NEAREST_INT));
  for (; i < n; ++i) dst[i] = _cvtss_sh(src[i], _MM_FROUND_TO_NEAREST_INT);
}

FLASH_TARGET void from_bf16(std::int64_t n, const std::uint16_t* src, float* dst) {
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256i wide =
        _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(src + i)));
    _mm256_storeu_ps(dst + i, _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16)));
  }
  for (; i < n; ++i) dst[i] = to_float(BFloat16{src[i]});
}

/// Integer rounding: vcvtneps2bf16 flushes subnormals.
FLASH_TARGET void to_bf16(std::int64_t n, const float* src, std::uint16_t* dst) {
  std::int64_t i = 0;
  const __m256i one = _mm256_set1_epi32(1), half = _mm256_set1_epi32(0x7fff),
                quiet = _mm256_set1_epi32(0x40);
  for (; i + 8 <= n; i += 8) {
    const __m256 x = _mm256_loadu_ps(src + i);
    const __m256i u = _mm256_castps_si256(x), high = _mm256_srli_epi32(u, 16);
    const __m256i odd = _mm256_and_si256(high, one);
    const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(u, half), odd), 16);
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i r = _mm256_blendv_epi8(rounded, _mm256_or_si256(high, quiet), nan);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(r, r), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + i), _mm256_castsi256_si128(packed));
  }
  for (; i < n; ++i) dst[i] = to_bfloat16(src[i]).bits;
}

}  // namespace

template <>
const Microkernels<float>* MicrokernelSets<float>::avx2() {
  static constexpr auto table = make<F32x8>("avx2");
  return supported() ? &table : nullptr;
}

template <>
const Microkernels<double>* MicrokernelSets<double>::avx2() {
  static constexpr auto table = make<F64x4>("avx2");
  return supported() ? &table : nullptr;
}

const HalfRows* half_rows_avx2() {
  static constexpr HalfRows rows{from_f16, from_bf16, to_f16, to_bf16};
  return supported() ? &rows : nullptr;
}

}  // namespace flash::cpu

#else

namespace flash::cpu {
template <>
const Microkernels<float>* MicrokernelSets<float>::avx2() {
  return nullptr;
}
template <>
const Microkernels<double>* MicrokernelSets<double>::avx2() {
  return nullptr;
}
const HalfRows* half_rows_avx2() { return nullptr; }
}  // namespace flash::cpu

#endif
