// kernels/cpu/correlate.h -- the core of a convolution's forward and of its input gradient
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/device.h"
#include "kernels/cpu/conv_planes.h"

namespace flash::cpu {

/// out[n, g·out + o, y, x] = Σ_k weights[g, o, k] · source[n, g·in + channel(k), pixel(k, y, x)] +
/// bias where k runs over channels and, in each, over taps: one matrix product a group whose right
/// operand is never built. Rows and columns of the result may lie apart in the output.
struct Correlation {
  const Operand* source = nullptr;
  std::int64_t images = 0, groups = 0;
  std::int64_t in = 0, out = 0;     ///< channels a group
  std::int64_t rows = 0, cols = 0;  ///< of the result
  std::int64_t step[2] = {1, 1};    ///< source pixels between neighbours of the result
  std::vector<Tap> taps;            ///< may be empty: then the result is the bias or 0
  const void* weights = nullptr;    ///< [groups, out, in, taps], contiguous, compute type
  const void* bias = nullptr;       ///< [groups, out], contiguous, compute type; or nullptr

  void* target = nullptr;     ///< place of result (0, 0, 0, 0)
  DType dtype = DType::kF32;  ///< of the target
  std::int64_t image_stride = 0, channel_stride = 0, row_stride = 0, col_stride = 1;
};

/// Runs all of them as one launch. With an epilogue there is one correlation, which fills the
/// output.
template <class T>
void correlate(std::span<const Correlation> items, const Epilogue* epilogue);

}  // namespace flash::cpu
