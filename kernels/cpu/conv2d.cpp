// kernels/cpu/conv2d.cpp -- 2-D convolution and the gradient of its input
//
// The gradient is a correlation of dy with the filters, channels exchanged. With stride s each of
// the s × s phases of dx meets its own taps only: one correlation a phase, none multiplies by
// zeros.
#include <vector>

#include "kernels/cpu/conv_planes.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/correlate.h"
#include "kernels/cpu/leaf.h"
#include "kernels/cpu/workspace.h"

namespace flash::cpu {
namespace {

using Index = std::int64_t;

/// The filters as [O, C/g, KH, KW] without gaps in the compute type: where they are, or a copy.
template <class T>
const T* packed_weights(const Operand& w) {
  if (w.dtype == dtype_of<T> && is_contiguous(w.shape, w.strides))
    return static_cast<const T*>(w.data);
  const Index width = w.shape[3];
  T* dst = workspace<T>(Slot::kShared, w.shape.numel());
  T* row = dst;
  for (Index o = 0; o < w.shape[0]; ++o)
    for (Index c = 0; c < w.shape[1]; ++c)
      for (Index y = 0; y < w.shape[2]; ++y, row += width)
        widen(w.dtype, width,
              static_cast<const char*>(w.data) +
                  (o * w.strides[0] + c * w.strides[1] + y * w.strides[2]) * size_of(w.dtype),
              w.strides[3], row);
  return dst;
}

template <class T>
void forward(const LeafCall& call, const ConvShape& s) {
  const Operand &x = call.inputs[0], &w = call.inputs[1], &y = call.output;
  Correlation c;
  c.source = &x;
  c.images = s.images;
  c.groups = s.groups;
  c.in = s.in;
  c.out = s.out;
  c.rows = s.out_size[0];
  c.cols = s.out_size[1];
  for (int d = 0; d < 2; ++d) c.step[d] = s.stride[d];
  for (Index i = 0; i < s.kernel[0]; ++i)
    for (Index j = 0; j < s.kernel[1]; ++j)
      c.taps.push_back({{i * s.dilation[0] - s.padding[0], j * s.dilation[1] - s.padding[1]}});
  c.weights = packed_weights<T>(w);
  if (call.inputs.size() > 2) {
    const Operand& bias = call.inputs[2];
    require(bias.shape.rank() == 1 && bias.shape[0] == w.shape[0], call, "a bias of [O]");
    T* packed = workspace<T>(Slot::kShared2, bias.shape[0]);
    widen(bias.dtype, bias.shape[0], bias.data, bias.strides[0], packed);
    c.bias = packed;
  }
  c.target = y.data;
  c.dtype = y.dtype;
  c.row_stride = c.cols;
  c.channel_stride = c.rows * c.cols;
  c.image_stride = s.groups * s.out * c.channel_stride;
  correlate<T>({&c, 1}, call.epilogue);
}

/// Taps of one dimension that meet phase `phase` of dx: pairs of (filter index, shift).
struct PhaseTap {
  Index k, shift;
};
std::vector<PhaseTap> phase_taps(const ConvShape& s, int d, Index phase) {
  std::vector<PhaseTap> taps;
  for (Index k = 0; k < s.kernel[d]; ++k) {
    const Index at = phase + s.padding[d] - k * s.dilation[d];
    if (at % s.stride[d] == 0) taps.push_back({k, at / s.stride[d]});
  }
  return taps;
}

template <class T>
void input_gradient(const LeafCall& call, const ConvShape& s) {
  const Operand &dy = call.inputs[0], &w = call.inputs[1], &dx = call.output;
  const T* weights = packed_weights<T>(w);
  T* packed = workspace<T>(Slot::kShared2, w.shape.numel());  // every tap is in one phase
  std::vector<Correlation> phases;
  for (Index p = 0; p < std::min(s.stride[0], s.size[0]); ++p)
    for (Index q = 0; q < std::min(s.stride[1], s.size[1]); ++q) {
      const auto ys = phase_taps(s, 0, p), xs = phase_taps(s, 1, q);
      Correlation c;
      c.source = &dy;
      c.images = s.images;
      c.groups = s.groups;
      c.in = s.out;
      c.out = s.in;
      c.rows = (s.size[0] - p + s.stride[0] - 1) / s.stride[0];
      c.cols = (s.size[1] - q + s.stride[1] - 1) / s.stride[1];
      for (const PhaseTap& y : ys)
        for (const PhaseTap& x : xs) c.taps.push_back({{y.shift, x.shift}});
      c.weights = packed;
      for (Index g = 0; g < s.groups; ++g)
        for (Index i = 0; i < s.in; ++i)
          for (Index o = 0; o < s.out; ++o) {
            const T* filter = weights + ((g * s.out + o) * s.in + i) * s.taps();
            for (const PhaseTap& y : ys)
              for (const PhaseTap& x : xs) *packed++ = filter[y.k * s.kernel[1] + x.k];
          }
      c.target = static_cast<char*>(dx.data) + (p * s.size[1] + q) * size_of(dx.dtype);
      c.dtype = dx.dtype;
      c.col_stride = s.stride[1];
      c.row_stride = s.stride[0] * s.size[1];
      c.channel_stride = s.size[0] * s.size[1];
      c.image_stride = s.groups * s.in * c.channel_stride;
      phases.push_back(std::move(c));
    }
  correlate<T>(phases, nullptr);
}

}  // namespace

int conv2d(const LeafCall& call) {
  const ConvShape s =
      conv_shape(call, call.inputs[0].shape, call.inputs[1].shape, call.output.shape);
  with_compute_type(call.output.dtype, [&](auto t) { forward<decltype(t)>(call, s); });
  return 1;
}

int conv2d_dx(const LeafCall& call) {
  const ConvShape s =
      conv_shape(call, call.output.shape, call.inputs[1].shape, call.inputs[0].shape);
  with_compute_type(call.output.dtype, [&](auto t) { input_gradient<decltype(t)>(call, s); });
  return 1;
}

}  // namespace flash::cpu
