// kernels/cpu/microkernel_impl.h -- the inner loops, written once over a type of vectors
//
// Included by one source file an instruction set, which defines FLASH_TARGET (the functions'
// target attribute) and gives each template a Simd type. Everything is in an unnamed namespace, so
// that no code of one instruction set is ever linked into another.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "kernels/cpu/microkernel.h"
#include "kernels/cpu/thread_sanitizer.h"

#define FLASH_INLINE FLASH_TARGET __attribute__((always_inline)) inline
#define FLASH_UNROLL _Pragma("GCC unroll 16")

namespace flash::cpu {
namespace {

// The sums of each kernel are a function of their own, see thread_sanitizer.h.
template <class Simd, int M, int V>
FLASH_TARGET FLASH_UNSEEN void gemm_sums(const GemmBlock<typename Simd::Scalar>& x,
                                         typename Simd::Vec (&acc)[M][V]) {
  using Vec = typename Simd::Vec;
  constexpr int L = Simd::kLanes;
  FLASH_UNROLL for (int i = 0; i < M; ++i) FLASH_UNROLL for (int j = 0; j < V; ++j) acc[i][j] =
      Simd::zero();
  const auto *a = x.a, *b = x.b;
  const std::int64_t a_row = x.a_row, a_col = x.a_col, b_row = x.b_row;
  FLASH_UNROLL for (int i = 0; i < M; ++i)  // c is far away when rows are long
      FLASH_UNROLL for (int j = 0; j < V; ++j) __builtin_prefetch(x.c + i * x.c_row + L * j, 1);
  for (std::int64_t p = x.k; p > 0; --p, a += a_col, b += b_row) {
    Vec bv[V];
    FLASH_UNROLL for (int j = 0; j < V; ++j) bv[j] = Simd::load(b + L * j);
    FLASH_UNROLL for (int i = 0; i < M; ++i) {
      const Vec av = Simd::set1(a[i * a_row]);
      FLASH_UNROLL for (int j = 0; j < V; ++j) acc[i][j] = Simd::fma(av, bv[j], acc[i][j]);
    }
  }
}

template <class Simd, int M, int V>
FLASH_TARGET void gemm_kernel(const GemmBlock<typename Simd::Scalar>& x) {
  using Vec = typename Simd::Vec;
  constexpr int L = Simd::kLanes;
  Vec acc[M][V];
  gemm_sums<Simd, M, V>(x, acc);
  const auto tail = Simd::mask(x.cols - L * (V - 1));
  FLASH_UNROLL for (int i = 0; i < M; ++i) FLASH_UNROLL for (int j = 0; j < V; ++j) {
    auto* c = x.c + i * x.c_row + L * j;
    const auto mask = j == V - 1 ? tail : Simd::mask(L);
    Vec r = acc[i][j];
    if (x.accumulate) r = Simd::add(Simd::load(c, mask), r);
    if (x.row_bias) r = Simd::add(r, Simd::set1(x.row_bias[i]));
    if (x.col_bias) r = Simd::add(r, Simd::load(x.col_bias + L * j));
    Simd::store(c, mask, r);
  }
}

template <class Simd, int M, int V>
FLASH_TARGET FLASH_UNSEEN void taps_sums(const TapBlock<typename Simd::Scalar>& x,
                                         typename Simd::Vec (&acc)[M][V]) {
  using Vec = typename Simd::Vec;
  FLASH_UNROLL for (int i = 0; i < M; ++i) FLASH_UNROLL for (int j = 0; j < V; ++j) acc[i][j] =
      Simd::zero();
  const auto* a = x.a;
  const typename Simd::Scalar* b[V];
  FLASH_UNROLL for (int j = 0; j < V; ++j) b[j] = x.b[j];
  const std::int64_t a_row = x.a_row;
  FLASH_UNROLL for (int j = 0; j < V; ++j) FLASH_UNROLL for (int i = 0; i < M; ++i)
      __builtin_prefetch(x.c[j] + i * x.c_row, 1);
  for (std::int64_t p = 0; p < x.k; ++p, ++a) {
    const std::int64_t offset = x.offsets[p];
    Vec bv[V];
    FLASH_UNROLL for (int j = 0; j < V; ++j) bv[j] = Simd::load(b[j] + offset);
    FLASH_UNROLL for (int i = 0; i < M; ++i) {
      const Vec av = Simd::set1(a[i * a_row]);
      FLASH_UNROLL for (int j = 0; j < V; ++j) acc[i][j] = Simd::fma(av, bv[j], acc[i][j]);
    }
  }
}

template <class Simd, int M, int V>
FLASH_TARGET void taps_kernel(const TapBlock<typename Simd::Scalar>& x) {
  using Vec = typename Simd::Vec;
  Vec acc[M][V];
  taps_sums<Simd, M, V>(x, acc);
  FLASH_UNROLL for (int j = 0; j < V; ++j) {
    const auto mask = Simd::mask(x.cols[j]);
    FLASH_UNROLL for (int i = 0; i < M; ++i) {
      auto* c = x.c[j] + i * x.c_row;
      Vec r = acc[i][j];
      if (x.accumulate) r = Simd::add(Simd::load(c, mask), r);
      if (x.row_bias) r = Simd::add(r, Simd::set1(x.row_bias[i]));
      Simd::store(c, mask, r);
    }
  }
}

template <class Simd, int M, int V>
FLASH_TARGET FLASH_UNSEEN void pixels_sums(const PixelBlock<typename Simd::Scalar>& x,
                                           typename Simd::Vec (&acc)[M][V]) {
  using Vec = typename Simd::Vec;
  constexpr int L = Simd::kLanes;
  FLASH_UNROLL for (int i = 0; i < M; ++i) FLASH_UNROLL for (int j = 0; j < V; ++j) acc[i][j] =
      Simd::zero();
  const typename Simd::Scalar* a[M];
  FLASH_UNROLL for (int i = 0; i < M; ++i) a[i] = x.a + x.offsets[i];
  const auto* b = x.b;
  const std::int64_t b_row = x.b_row, width = x.width;
  for (std::int64_t y = 0; y < x.height; ++y) {
    const std::int64_t start = y * x.a_row;
    for (std::int64_t at = start; at < start + width; ++at, b += b_row) {
      Vec bv[V];
      FLASH_UNROLL for (int j = 0; j < V; ++j) bv[j] = Simd::load(b + L * j);
      FLASH_UNROLL for (int i = 0; i < M; ++i) {
        const Vec av = Simd::set1(a[i][at]);
        FLASH_UNROLL for (int j = 0; j < V; ++j) acc[i][j] = Simd::fma(av, bv[j], acc[i][j]);
      }
    }
  }
}

template <class Simd, int M, int V>
FLASH_TARGET void pixels_kernel(const PixelBlock<typename Simd::Scalar>& x) {
  using Vec = typename Simd::Vec;
  constexpr int L = Simd::kLanes;
  Vec acc[M][V];
  pixels_sums<Simd, M, V>(x, acc);
  FLASH_UNROLL for (int i = 0; i < M; ++i) FLASH_UNROLL for (int j = 0; j < V; ++j) {
    auto* c = x.c + i * x.c_row + L * j;
    Vec r = acc[i][j];
    if (x.accumulate) r = Simd::add(Simd::load(c), r);
    Simd::store(c, r);
  }
}

template <class Simd>
FLASH_TARGET void copy_rows(std::int64_t rows, std::int64_t cols, const typename Simd::Scalar* src,
                            std::int64_t src_row, typename Simd::Scalar* dst,
                            std::int64_t dst_row) {
  constexpr int L = Simd::kLanes;
  for (; rows > 0; --rows, src += src_row, dst += dst_row) {
    std::int64_t j = 0;
    for (; j + L <= cols; j += L) Simd::store(dst + j, Simd::load(src + j));
    if (j < cols) {
      const auto value = Simd::load(src + j, Simd::mask(cols - j));
      const std::int64_t room = std::min<std::int64_t>(dst_row - j, L);
      Simd::store(dst + j, Simd::mask(room), value);  // the lanes beyond cols hold zeros
      j += room;
    }
    for (; j < dst_row; ++j) dst[j] = 0;
  }
}

template <class Simd>
FLASH_TARGET void transpose(std::int64_t rows, std::int64_t cols, const typename Simd::Scalar* src,
                            std::int64_t src_row, typename Simd::Scalar* dst,
                            std::int64_t dst_row) {
  constexpr int K = Simd::kTile;
  const std::int64_t r1 = rows / K * K, c1 = cols / K * K;
  for (std::int64_t r = 0; r < r1; r += K)
    for (std::int64_t c = 0; c < c1; c += K)
      Simd::transpose_tile(src + r * src_row + c, src_row, dst + c * dst_row + r, dst_row);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = r < r1 ? c1 : 0; c < cols; ++c)
      dst[c * dst_row + r] = src[r * src_row + c];
}

template <class Simd>
FLASH_TARGET void add(std::int64_t n, const typename Simd::Scalar* src,
                      typename Simd::Scalar* dst) {
  constexpr int L = Simd::kLanes;
  std::int64_t i = 0;
  for (; i + L <= n; i += L)
    Simd::store(dst + i, Simd::add(Simd::load(dst + i), Simd::load(src + i)));
  for (; i < n; ++i) dst[i] += src[i];
}

template <class Simd>
FLASH_TARGET void max_2x2(std::int64_t n, const typename Simd::Scalar* row0,
                          const typename Simd::Scalar* row1, typename Simd::Scalar* out) {
  using Vec = typename Simd::Vec;
  constexpr int L = Simd::kLanes;
  for (std::int64_t j = 0; j < n; j += L) {
    const std::int64_t left = std::min<std::int64_t>(n - j, L);
    Vec best = Simd::zero();
    for (int r = 0; r < 2; ++r) {
      const auto* row = (r ? row1 : row0) + 2 * j;
      const Vec a = Simd::load(row, Simd::mask(std::min<std::int64_t>(2 * left, L)));
      const Vec b = Simd::load(row + L, Simd::mask(std::max<std::int64_t>(2 * left - L, 0)));
      const Vec first = Simd::even(a, b), second = Simd::odd(a, b);
      best = r ? Simd::select(Simd::replaces(first, best), first, best) : first;
      best = Simd::select(Simd::replaces(second, best), second, best);
    }
    Simd::store(out + j, Simd::mask(left), best);
  }
}

template <class Simd>
FLASH_TARGET void max_2x2_dx(std::int64_t n, const typename Simd::Scalar* row0,
                             const typename Simd::Scalar* row1, const typename Simd::Scalar* dy,
                             typename Simd::Scalar* dx0, typename Simd::Scalar* dx1) {
  using Vec = typename Simd::Vec;
  constexpr int L = Simd::kLanes;
  for (std::int64_t j = 0; j < n; j += L) {
    const std::int64_t left = std::min<std::int64_t>(n - j, L);
    const auto low = Simd::mask(std::min<std::int64_t>(2 * left, L)),
               high = Simd::mask(std::max<std::int64_t>(2 * left - L, 0));
    const Vec zero = Simd::zero();
    // Added to 0, as sums of several windows are: a gradient of -0 gives +0.
    const Vec g = Simd::add(zero, Simd::load(dy + j, Simd::mask(left)));
    const Vec a = Simd::load(row0 + 2 * j, low), b = Simd::load(row0 + 2 * j + L, high);
    const Vec c = Simd::load(row1 + 2 * j, low), d = Simd::load(row1 + 2 * j + L, high);
    const Vec x[4] = {Simd::even(a, b), Simd::odd(a, b), Simd::even(c, d), Simd::odd(c, d)};
    Vec best = x[0], to[4] = {g, zero, zero, zero};
    FLASH_UNROLL for (int i = 1; i < 4; ++i) {
      const auto better = Simd::replaces(x[i], best);
      best = Simd::select(better, x[i], best);
      to[i] = Simd::select(better, g, zero);
      FLASH_UNROLL for (int before = 0; before < i; ++before) to[before] =
          Simd::select(better, zero, to[before]);
    }
    Simd::store(dx0 + 2 * j, low, Simd::zip_low(to[0], to[1]));
    Simd::store(dx0 + 2 * j + L, high, Simd::zip_high(to[0], to[1]));
    Simd::store(dx1 + 2 * j, low, Simd::zip_low(to[2], to[3]));
    Simd::store(dx1 + 2 * j + L, high, Simd::zip_high(to[2], to[3]));
  }
}

/// Fills row V of the tables with instances for 1 … Simd::kMaxRows[V] rows.
template <class Simd, int V, int... M>
constexpr void fill(Microkernels<typename Simd::Scalar>& t, std::integer_sequence<int, M...>) {
  t.max_rows[V - 1] = sizeof...(M);
  ((t.gemm[V - 1][M] = gemm_kernel<Simd, M + 1, V>), ...);
  ((t.taps[V - 1][M] = taps_kernel<Simd, M + 1, V>), ...);
  ((t.pixels[V - 1][M] = pixels_kernel<Simd, M + 1, V>), ...);
}

template <class Simd>
constexpr Microkernels<typename Simd::Scalar> make(const char* name) {
  Microkernels<typename Simd::Scalar> t{};
  t.name = name;
  t.lanes = Simd::kLanes;
  fill<Simd, 1>(t, std::make_integer_sequence<int, Simd::kMaxRows[0]>());
  fill<Simd, 2>(t, std::make_integer_sequence<int, Simd::kMaxRows[1]>());
  fill<Simd, 3>(t, std::make_integer_sequence<int, Simd::kMaxRows[2]>());
  t.copy = copy_rows<Simd>;
  t.transpose = transpose<Simd>;
  t.add = add<Simd>;
  t.max_2x2 = max_2x2<Simd>;
  t.max_2x2_dx = max_2x2_dx<Simd>;
  return t;
}

}  // namespace
}  // namespace flash::cpu
