// kernels/cpu/microkernel_avx512.cpp -- the inner loops with 512-bit vectors and masks
#include "kernels/cpu/microkernel.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#define FLASH_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma")))
#else
#define FLASH_TARGET \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,prefer-vector-width=512")))
#endif
#include "kernels/cpu/microkernel_impl.h"
#include "kernels/cpu/transpose_avx.h"

namespace flash::cpu {
namespace {

struct F32x16 : TransposeF32 {
  using Scalar = float;
  using Vec = __m512;
  using Mask = __mmask16;
  static constexpr int kLanes = 16;
  static constexpr int kMaxRows[kMaxVectors] = {12, 12, 8};
  FLASH_INLINE static Vec zero() { return _mm512_setzero_ps(); }
  FLASH_INLINE static Vec set1(float x) { return _mm512_set1_ps(x); }
  FLASH_INLINE static Vec load(const float* p) { return _mm512_loadu_ps(p); }
  FLASH_INLINE static Vec load(const float* p, Mask m) { return _mm512_maskz_loadu_ps(m, p); }
  FLASH_INLINE static void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
  FLASH_INLINE static void store(float* p, Mask m, Vec v) { _mm512_mask_storeu_ps(p, m, v); }
  FLASH_INLINE static Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  FLASH_INLINE static Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
  FLASH_INLINE static Vec even(Vec a, Vec b) {
    return _mm512_permutex2var_ps(
        a, _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30), b);
  }
  FLASH_INLINE static Vec odd(Vec a, Vec b) {
    return _mm512_permutex2var_ps(
        a, _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31), b);
  }
  FLASH_INLINE static Vec zip_low(Vec a, Vec b) {
    return _mm512_permutex2var_ps(
        a, _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), b);
  }
  FLASH_INLINE static Vec zip_high(Vec a, Vec b) {
    return _mm512_permutex2var_ps(
        a, _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), b);
  }
  FLASH_INLINE static Mask replaces(Vec x, Vec best) {
    const Mask number = _mm512_cmp_ps_mask(best, best, _CMP_ORD_Q);
    return _mm512_mask_cmp_ps_mask(number, x, best, _CMP_NLE_UQ);
  }
  FLASH_INLINE static Vec select(Mask m, Vec a, Vec b) { return _mm512_mask_blend_ps(m, b, a); }
  FLASH_INLINE static Mask mask(std::int64_t n) {
    return static_cast<Mask>((1u << static_cast<unsigned>(n)) - 1);
  }
};

struct F64x8 : TransposeF64 {
  using Scalar = double;
  using Vec = __m512d;
  using Mask = __mmask8;
  static constexpr int kLanes = 8;
  static constexpr int kMaxRows[kMaxVectors] = {12, 12, 8};
  FLASH_INLINE static Vec zero() { return _mm512_setzero_pd(); }
  FLASH_INLINE static Vec set1(double x) { return _mm512_set1_pd(x); }
  FLASH_INLINE static Vec load(const double* p) { return _mm512_loadu_pd(p); }
  FLASH_INLINE static Vec load(const double* p, Mask m) { return _mm512_maskz_loadu_pd(m, p); }
  FLASH_INLINE static void store(double* p, Vec v) { _mm512_storeu_pd(p, v); }
  FLASH_INLINE static void store(double* p, Mask m, Vec v) { _mm512_mask_storeu_pd(p, m, v); }
  FLASH_INLINE static Vec add(Vec a, Vec b) { return _mm512_add_pd(a, b); }
  FLASH_INLINE static Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_pd(a, b, c); }
  FLASH_INLINE static Vec even(Vec a, Vec b) {
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), b);
  }
  FLASH_INLINE static Vec odd(Vec a, Vec b) {
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15), b);
  }
  FLASH_INLINE static Vec zip_low(Vec a, Vec b) {
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), b);
  }
  FLASH_INLINE static Vec zip_high(Vec a, Vec b) {
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), b);
  }
  FLASH_INLINE static Mask replaces(Vec x, Vec best) {
    const Mask number = _mm512_cmp_pd_mask(best, best, _CMP_ORD_Q);
    return _mm512_mask_cmp_pd_mask(number, x, best, _CMP_NLE_UQ);
  }
  FLASH_INLINE static Vec select(Mask m, Vec a, Vec b) { return _mm512_mask_blend_pd(m, b, a); }
  FLASH_INLINE static Mask mask(std::int64_t n) {
    return static_cast<Mask>((1u << static_cast<unsigned>(n)) - 1);
  }
};

bool supported() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("fma");
}

}  // namespace

template <>
const Microkernels<float>* MicrokernelSets<float>::avx512() {
  static constexpr auto table = make<F32x16>("avx512");
  return supported() ? &table : nullptr;
}

template <>
const Microkernels<double>* MicrokernelSets<double>::avx512() {
  static constexpr auto table = make<F64x8>("avx512");
  return supported() ? &table : nullptr;
}

}  // namespace flash::cpu

#else

namespace flash::cpu {
template <>
const Microkernels<float>* MicrokernelSets<float>::avx512() {
  return nullptr;
}
template <>
const Microkernels<double>* MicrokernelSets<double>::avx512() {
  return nullptr;
}
}  // namespace flash::cpu

#endif
