// kernels/cpu/conv_planes.h -- images laid out so that a convolution reads whole vectors of pixels
//
// With stride s, output pixels i, i + 1 … meet input pixels s apart. Each channel is copied,
// padding included, into s × s planes of pixels that lie s apart, one plane a phase: in a plane the
// pixels that a filter tap meets along an output row are neighbours, whatever stride, dilation and
// padding.
#pragma once

#include <cstdint>
#include <vector>

#include "core/device.h"
#include "kernels/contraction.h"

namespace flash::cpu {

/// How source pixels lie in planes: element (i, j) of the plane of phase (p, q) is the source pixel
/// (i * step[0] + phase[0][p] + origin[0], j * step[1] + phase[1][q] + origin[1]), or 0 outside.
struct Planes {
  std::int64_t step[2], origin[2];
  std::vector<std::int64_t> phases[2];
  std::int64_t rows = 0, pitch = 0;  ///< of one plane

  std::int64_t plane_size() const { return rows * pitch; }
  std::int64_t channel_size() const {
    return plane_size() * static_cast<std::int64_t>(phases[0].size() * phases[1].size());
  }
  /// Elements of a buffer for `channels`, which vectors may be read from to its end.
  std::int64_t buffer_size(std::int64_t channels) const {
    return channels * channel_size() + pitch + 64;
  }
};

/// One filter tap, as an output pixel sees it: along dimension d the source pixel is
/// out * step[d] + shift[d].
struct Tap {
  std::int64_t shift[2];
};

/// The planes that serve `rows` rows of `cols` output pixels for all taps, and the place of each
/// tap's pixel for output (0, 0) in a channel, in `offsets`. At least one tap.
Planes planes_for(const std::vector<Tap>& taps, const std::int64_t step[2], std::int64_t rows,
                  std::int64_t cols, std::vector<std::int64_t>* offsets);

/// Copies channels [c0, c0 + channels) of image n into planes for the output rows that start at
/// `row0`, widened to T.
template <class T>
void fill_planes(const Operand& image, std::int64_t n, std::int64_t c0, std::int64_t channels,
                 const Planes& planes, std::int64_t row0, T* dst);

}  // namespace flash::cpu
