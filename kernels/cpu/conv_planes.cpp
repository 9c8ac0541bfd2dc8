// kernels/cpu/conv_planes.cpp -- images laid out so that a convolution reads whole vectors of
// pixels
#include "kernels/cpu/conv_planes.h"

#include <algorithm>

#include "kernels/cpu/convert.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/leaf.h"

namespace flash::cpu {
namespace {

using Index = std::int64_t;

constexpr Index floor_div(Index a, Index b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

/// Indices i in [0, n) for which start + i * step lies in [0, size).
struct Inside {
  Index begin, end;
  Inside(Index start, Index step, Index n, Index size)
      : begin(start >= 0 ? 0 : std::min(n, ceil_div(-start, step))),
        end(start >= size ? 0 : std::min(n, ceil_div(size - start, step))) {
    end = std::max(begin, end);
  }
};

}  // namespace

Planes planes_for(const std::vector<Tap>& taps, const Index step[2], Index rows, Index cols,
                  std::vector<Index>* offsets) {
  Planes p;
  Index lengths[2];
  for (int d = 0; d < 2; ++d) {
    p.step[d] = step[d];
    Index low = taps[0].shift[d], high = low;
    for (const Tap& t : taps) {
      low = std::min(low, t.shift[d]);
      high = std::max(high, t.shift[d]);
      const Index phase = t.shift[d] - floor_div(t.shift[d], step[d]) * step[d];
      if (std::find(p.phases[d].begin(), p.phases[d].end(), phase) == p.phases[d].end())
        p.phases[d].push_back(phase);
    }
    const Index first = floor_div(low, step[d]), last = floor_div(high, step[d]);
    p.origin[d] = first * step[d];
    lengths[d] = (d == 0 ? rows : cols) + last - first;
  }
  p.rows = lengths[0];
  p.pitch = lengths[1];
  offsets->clear();
  for (const Tap& t : taps) {
    Index at[2], phase[2];
    for (int d = 0; d < 2; ++d) {
      const Index q = floor_div(t.shift[d], step[d]);
      at[d] = q - p.origin[d] / step[d];
      phase[d] = std::find(p.phases[d].begin(), p.phases[d].end(), t.shift[d] - q * step[d]) -
                 p.phases[d].begin();
    }
    const Index plane = phase[0] * static_cast<Index>(p.phases[1].size()) + phase[1];
    offsets->push_back(plane * p.plane_size() + at[0] * p.pitch + at[1]);
  }
  return p;
}

template <class T>
void fill_planes(const Operand& image, Index n, Index c0, Index channels, const Planes& planes,
                 Index row0, T* dst) {
  const auto& kernels = microkernels<T>();
  const Index size = size_of(image.dtype);
  const char* base = static_cast<const char*>(image.data) + n * image.strides[0] * size;
  const Index stride[2] = {image.strides[2] * planes.step[0], image.strides[3] * planes.step[1]};
  for (Index c = c0; c < c0 + channels; ++c)
    for (const Index p : planes.phases[0])
      for (const Index q : planes.phases[1]) {
        const Index top = row0 * planes.step[0] + p + planes.origin[0], left = q + planes.origin[1];
        const Inside ys(top, planes.step[0], planes.rows, image.shape[2]);
        const Inside xs(left, planes.step[1], planes.pitch, image.shape[3]);
        const Index height = ys.end - ys.begin, width = xs.end - xs.begin;
        // Zeros up to the first pixel; each row then fills up to where the next one starts.
        std::fill_n(dst, ys.begin * planes.pitch + xs.begin, T(0));
        T* at = dst + ys.begin * planes.pitch + xs.begin;
        const char* src =
            base + (c * image.strides[1] + ys.begin * stride[0] + xs.begin * stride[1] +
                    top * image.strides[2] + left * image.strides[3]) *
                       size;
        if (image.dtype == dtype_of<T> && stride[1] == 1) {
          kernels.copy(height, width, reinterpret_cast<const T*>(src), stride[0], at, planes.pitch);
        } else {
          for (Index y = 0; y < height; ++y) {
            widen(image.dtype, width, src + y * stride[0] * size, stride[1], at + y * planes.pitch);
            std::fill_n(at + y * planes.pitch + width, planes.pitch - width, T(0));
          }
        }
        std::fill_n(dst + ys.end * planes.pitch, (planes.rows - ys.end) * planes.pitch, T(0));
        dst += planes.plane_size();
      }
}

template void fill_planes(const Operand&, Index, Index, Index, const Planes&, Index, float*);
template void fill_planes(const Operand&, Index, Index, Index, const Planes&, Index, double*);

}  // namespace flash::cpu
