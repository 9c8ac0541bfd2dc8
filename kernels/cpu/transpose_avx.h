// kernels/cpu/transpose_avx.h -- transposes a small square in 256-bit registers
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace flash::cpu {
namespace {

/// 8 × 8 floats: pairs, then quads, then halves change places.
struct TransposeF32 {
  static constexpr int kTile = 8;
  FLASH_INLINE static void transpose_tile(const float* src, std::int64_t src_row, float* dst,
                                          std::int64_t dst_row) {
    __m256 r[8], s[8];
    FLASH_UNROLL for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(src + i * src_row);
    FLASH_UNROLL for (int i = 0; i < 8; i += 2) {
      s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
      s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    FLASH_UNROLL for (int i = 0; i < 8; i += 4) {
      r[i] = _mm256_shuffle_ps(s[i], s[i + 2], 0x44);
      r[i + 1] = _mm256_shuffle_ps(s[i], s[i + 2], 0xee);
      r[i + 2] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0x44);
      r[i + 3] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0xee);
    }
    FLASH_UNROLL for (int i = 0; i < 4; ++i) {
      _mm256_storeu_ps(dst + i * dst_row, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
      _mm256_storeu_ps(dst + (i + 4) * dst_row, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
  }
};

/// 4 × 4 doubles.
struct TransposeF64 {
  static constexpr int kTile = 4;
  FLASH_INLINE static void transpose_tile(const double* src, std::int64_t src_row, double* dst,
                                          std::int64_t dst_row) {
    __m256d r[4], s[4];
    FLASH_UNROLL for (int i = 0; i < 4; ++i) r[i] = _mm256_loadu_pd(src + i * src_row);
    FLASH_UNROLL for (int i = 0; i < 4; i += 2) {
      s[i] = _mm256_unpacklo_pd(r[i], r[i + 1]);
      s[i + 1] = _mm256_unpackhi_pd(r[i], r[i + 1]);
    }
    FLASH_UNROLL for (int i = 0; i < 2; ++i) {
      _mm256_storeu_pd(dst + i * dst_row, _mm256_permute2f128_pd(s[i], s[i + 2], 0x20));
      _mm256_storeu_pd(dst + (i + 2) * dst_row, _mm256_permute2f128_pd(s[i], s[i + 2], 0x31));
    }
  }
};

}  // namespace
}  // namespace flash::cpu
