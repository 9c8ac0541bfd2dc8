// kernels/contraction.h -- the order of additions in contractions and poolings: the same on every
// device
//
// Every element of a contraction is a sum over k. k is cut into blocks, and a block is one chain of
// fused multiply-adds in order of k that starts at 0; the sums of the blocks are added in their
// order. Where k is cut is a function of sizes only, so that all devices give the same bits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "core/device.h"
#include "core/error.h"

namespace flash {

/// Throws InternalError naming the primitive when `ok` is false.
inline void require(bool ok, const LeafCall& call, const char* what) {
  if (!ok) throw InternalError(std::string(info(call.op).name) + ": leaf kernel wants " + what);
}

/// Start of piece `i` when n things are cut into `pieces` as evenly as can be.
constexpr std::int64_t cut(std::int64_t n, std::int64_t pieces, std::int64_t i) {
  return n * i / pieces;
}
constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Blocks that k is cut into, as evenly as can be: the fewest of at most kBlockOfK.
constexpr std::int64_t kBlockOfK = 256;
constexpr std::int64_t k_blocks(std::int64_t k) {
  return k > kBlockOfK ? ceil_div(k, kBlockOfK) : 1;
}

/// Sizes of a 2-D convolution, as the forward direction sees it.
struct ConvShape {
  std::int64_t images, groups;
  std::int64_t in, out;               ///< channels a group
  std::int64_t size[2], out_size[2];  ///< height and width of x and of y
  std::int64_t kernel[2], stride[2], padding[2], dilation[2];
  std::int64_t taps() const { return kernel[0] * kernel[1]; }
};

/// Reads and checks the operands of a convolution call; x, w, y are its three shapes.
inline ConvShape conv_shape(const LeafCall& call, const Shape& x, const Shape& w, const Shape& y) {
  require(call.attrs.size() >= kConvAttrs && x.rank() == 4 && w.rank() == 4 && y.rank() == 4, call,
          "[N, C, H, W] operands and stride, padding, dilation, groups");
  const auto a = [&](std::size_t i) { return call.attrs[i]; };
  ConvShape s{};
  s.images = x[0];
  s.groups = a(6);
  require(s.groups > 0 && x[1] % s.groups == 0 && w[0] % s.groups == 0, call,
          "channels that are multiples of the groups");
  s.in = x[1] / s.groups;
  s.out = w[0] / s.groups;
  for (int d = 0; d < 2; ++d) {
    const auto i = static_cast<std::size_t>(d);
    s.size[d] = x[2 + d];
    s.out_size[d] = y[2 + d];
    s.kernel[d] = w[2 + d];
    s.stride[d] = a(i);
    s.padding[d] = a(2 + i);
    s.dilation[d] = a(4 + i);
    require(s.stride[d] > 0 && s.dilation[d] > 0, call, "a positive stride and dilation");
  }
  require(w[1] == s.in && y[0] == s.images && y[1] == w[0], call, "operands whose sizes agree");
  for (const Operand& operand : call.inputs)
    require(operand.dtype == call.output.dtype, call, "operands of one dtype");
  return s;
}

/// How a filter gradient's sum over the output's pixels is cut. A unit is one block of k: some
/// output rows of one image. The sums of a chunk's units are added in order, then those of the
/// chunks.
struct FilterSum {
  std::int64_t unit_rows, units_per_image, units, chunks;
};
inline FilterSum filter_sum(const ConvShape& s) {
  constexpr std::int64_t kPixels = 256, kChunks = 16, kMostElements = 1 << 22;
  FilterSum p;
  const std::int64_t height = s.out_size[0], width = std::max<std::int64_t>(s.out_size[1], 1);
  const std::int64_t most = std::max<std::int64_t>(kPixels / width, 1);
  p.unit_rows = ceil_div(height, std::max<std::int64_t>(ceil_div(height, most), 1));
  p.units_per_image = ceil_div(height, std::max<std::int64_t>(p.unit_rows, 1));
  p.units = s.images * p.units_per_image;
  const std::int64_t elements = std::max<std::int64_t>(s.groups * s.out * s.in * s.taps(), 1);
  p.chunks = std::min({p.units, kChunks, std::max<std::int64_t>(kMostElements / elements, 1)});
  return p;
}

}  // namespace flash
