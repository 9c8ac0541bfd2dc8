// kernels/cuda/blas_lt_problem.h -- a product as cuBLASLt wants it described
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/device.h"

namespace flash::cuda {

/// A matrix whose columns lie one after the other, which is how the library sees memory.
struct BlasMatrix {
  std::int64_t rows = 0, columns = 0, pitch = 0, batch_stride = 0;
  bool transposed = false;     ///< it is the operand's transpose
  std::int64_t alignment = 0;  ///< of its first element, bytes
};

/// Everything that a product depends on but for addresses: its key.
struct BlasProblem {
  DType dtype = DType::kF16;
  std::int64_t batch = 1;
  std::int64_t biased = 0;  ///< the bias's alignment, or 0
  BlasMatrix a, b, d;
  std::array<std::int64_t, 21> words() const {
    std::array<std::int64_t, 21> all{static_cast<std::int64_t>(dtype), batch, biased};
    std::size_t n = 3;
    for (const BlasMatrix* m : {&a, &b, &d})
      for (const std::int64_t w : {m->rows, m->columns, m->pitch, m->batch_stride,
                                   std::int64_t{m->transposed}, m->alignment})
        all[n++] = w;
    return all;
  }
};
struct BlasProblemHash {
  std::size_t operator()(const std::array<std::int64_t, 21>& words) const {
    std::uint64_t h = 0xcbf29ce484222325u;
    for (const std::int64_t w : words) h = (h ^ static_cast<std::uint64_t>(w)) * 0x100000001b3u;
    return static_cast<std::size_t>(h ^ h >> 32);
  }
};

/// The call as a product of columns: the output's transpose is b's transpose times a's. None if one
/// call cannot say it, if it is none of half types, or so small that a call costs more.
std::optional<BlasProblem> blas_problem(const LeafCall& call);

}  // namespace flash::cuda
