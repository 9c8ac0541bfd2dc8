// kernels/cpu/microkernel_avx512.cpp -- the inner loops with 512-bit vectors and masks
#include "kernels/cpu/microkernel.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define FLASH_TARGET \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,prefer-vector-width=512")))
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
