// kernels/gpu/leaf_product.cpp -- launches of matrix products and of convolutions as products
//
// A convolution is a product whose right operand is never built: forward and input gradient have
// the pixels as columns, the filters' gradient has the taps. With stride s, the s × s phases of an
// input gradient are products of their own in one launch; each meets its own taps only.
#include <algorithm>
#include <numeric>

#include "kernels/contraction.h"
#include "kernels/gpu/leaf_product.h"
#include "kernels/gpu/leaf_source.h"

namespace flash::gpu {
namespace {

using Index = std::int64_t;

std::vector<LeafLaunch> matmul(const LeafCall& call, const Capabilities& device,
                               const LeafMemory& memory) {
  const Operand &a = call.inputs[0], &b = call.inputs[1], &out = call.output;
  const int rank = out.shape.rank(), ra = a.shape.rank(), rb = b.shape.rank();
  require(rank >= 2 && ra >= 2 && rb >= 2, call, "matrices");
  const Index size = size_of(out.dtype);
  ProductWords w;
  w.m = out.shape[rank - 2];
  w.n = out.shape[rank - 1];
  w.k = a.shape.back();
  require(b.shape[rb - 2] == w.k && b.shape.back() == w.n && a.shape[ra - 2] == w.m &&
              a.dtype == out.dtype && b.dtype == out.dtype,
          call, "operands whose sizes and dtypes agree");
  w.count = out.shape.numel();
  if (w.count == 0) return {};
  w.a = word_of(a.data);
  w.b = word_of(b.data);
  w.c = word_of(out.data);
  w.a_row = a.strides[ra - 2] * size;
  w.a_col = a.strides[ra - 1] * size;
  w.b_row = b.strides[rb - 2] * size;
  w.b_col = b.strides[rb - 1] * size;
  w.c_row = w.n;
  if (call.inputs.size() > 2) {
    const Operand& bias = call.inputs[2];
    require(bias.shape.rank() == 1 && bias.shape[0] == w.n && bias.dtype == out.dtype, call,
            "a bias of [N]");
    w.bias = word_of(bias.data);
    w.bias_n = bias.strides[0] * size;
  }
  // Batch dimensions are aligned from the right; where an operand has none or 1, it stays.
  std::vector<Index> batch;
  const auto stride = [&](const Operand& x, int dim) {
    const int at = dim - (rank - x.shape.rank());
    return at >= 0 && x.shape[at] != 1 ? x.strides[at] * size : 0;
  };
  for (int i = 0; i < rank - 2; ++i) {
    if (out.shape[i] == 1) continue;
    batch.insert(batch.end(), {out.shape[i], stride(a, i), stride(b, i)});
    ++w.dims;
  }
  Product p{ProductForm::kMatmul,  out.dtype,     w.m,  w.n,
            w.count / (w.m * w.n), k_blocks(w.k), true, false};
  const Index bias_count = w.n;
  if (w.n < w.m && w.n <= 32) {  // the transposed product, whose tiles have few rows
    std::swap(p.m, p.n);
    std::swap(w.m, w.n);
    std::swap(w.a, w.b);
    std::swap(w.a_row, w.b_col);
    std::swap(w.a_col, w.b_row);
    std::swap(w.c_row, w.c_col);
    std::swap(w.bias_m, w.bias_n);
    for (std::size_t i = 0; i < batch.size(); i += 3) std::swap(batch[i + 1], batch[i + 2]);
  }
  const auto closer = [](Index along, Index across) {
    return along != 0 && (across == 0 || std::abs(along) <= std::abs(across));
  };
  w.a_along_k = closer(w.a_col, w.a_row);
  w.b_along_k = closer(w.b_row, w.b_col);
  return launches_of(p, w, batch, 1, bias_count, device, memory);
}

/// Rows or columns of one phase of a result, and the taps that it meets: tap i is filter tap
/// first + i * every, which meets source pixels from shift + i * dilation on.
struct Phase {
  Index size, taps, shift, first, at;
};

/// The operand that a convolution reads at pixels.
void set_source(ProductWords& w, const Operand& x, Index channels) {
  const Index size = size_of(x.dtype);
  w.b = word_of(x.data);
  w.b_image = x.strides[0] * size;
  w.b_group = channels * x.strides[1] * size;
  w.b_channel = x.strides[1] * size;
  w.b_h = x.strides[2] * size;
  w.b_w = x.strides[3] * size;
  w.h = x.shape[2];
  w.w = x.shape[3];
}

std::vector<LeafLaunch> correlation(const LeafCall& call, ProductWords w, const Operand& filters,
                                    std::span<const Phase> ys, std::span<const Phase> xs,
                                    Index groups, const Capabilities& device,
                                    const LeafMemory& memory) {
  const Operand& out = call.output;
  const Index size = size_of(out.dtype);
  w.count = out.shape.numel();
  if (w.count == 0) return {};
  w.images = out.shape[0];
  w.a = word_of(filters.data);
  w.a_along_k = 1;
  w.c = word_of(out.data);
  w.c_image = out.shape[1] * out.shape[2] * out.shape[3];
  w.c_row = out.shape[2] * out.shape[3];
  w.c_group = w.m * w.c_row;
  w.phases_y = static_cast<Index>(ys.size());
  w.phases_x = static_cast<Index>(xs.size());
  std::vector<Index> tail;
  Index farthest = 0;  // from an output's own place, of what its taps look at
  const auto add = [&](std::span<const Phase> phases, Index stride, Index step, Index dilation) {
    for (const Phase& p : phases) {
      tail.insert(tail.end(), {p.size, p.taps, p.shift, p.first * stride * size, p.at});
      farthest =
          std::max(farthest, p.size * step + std::abs(p.shift) + (p.taps + 1) * std::abs(dilation));
    }
  };
  add(ys, filters.strides[2], w.step_y, w.dilation_y);
  add(xs, filters.strides[3], w.step_x, w.dilation_x);
  const Index n = w.images * ys[0].size * xs[0].size;  // of the first phase, the largest
  const Index depth = w.channels * ys[0].taps * xs[0].taps;
  const bool one = ys.size() == 1 && xs.size() == 1;
  const Product p{
      ProductForm::kConv,
      out.dtype,
      w.m,
      n,
      groups * w.phases_y * w.phases_x,
      k_blocks(depth),
      one,
      is_wide({n, w.channels * filters.shape[2] * filters.shape[3], w.h * w.step_y, w.w * w.step_x,
               out.shape[2] * w.step_y, out.shape[3] * w.step_x, farthest})};
  return launches_of(p, w, tail, w.c_row, out.shape[1], device, memory);
}

std::vector<LeafLaunch> conv2d(const LeafCall& call, const Capabilities& device,
                               const LeafMemory& memory) {
  const Operand &x = call.inputs[0], &filters = call.inputs[1], &y = call.output;
  const ConvShape s = conv_shape(call, x.shape, filters.shape, y.shape);
  const Index size = size_of(y.dtype);
  ProductWords w;
  set_source(w, x, s.in);
  w.m = s.out;
  w.channels = s.in;
  w.a_row = filters.strides[0] * size;
  w.a_group = s.out * w.a_row;
  w.a_channel = filters.strides[1] * size;
  w.a_tap_y = filters.strides[2] * size;
  w.a_tap_x = filters.strides[3] * size;
  w.step_y = s.stride[0];
  w.step_x = s.stride[1];
  w.dilation_y = s.dilation[0];
  w.dilation_x = s.dilation[1];
  w.c_h = s.out_size[1];
  w.c_w = 1;
  if (call.inputs.size() > 2) {
    const Operand& bias = call.inputs[2];
    require(bias.shape.rank() == 1 && bias.shape[0] == filters.shape[0], call, "a bias of [O]");
    w.bias = word_of(bias.data);
    w.bias_m = w.bias_n =
        bias.strides[0] * size;  // of a channel of a group, and of a group's first
  }
  const Phase py{s.out_size[0], s.kernel[0], -s.padding[0], 0, 0},
      px{s.out_size[1], s.kernel[1], -s.padding[1], 0, 0};
  return correlation(call, w, filters, {&py, 1}, {&px, 1}, s.groups, device, memory);
}

/// The phases of dimension d of an input gradient. Taps `every` apart meet one phase.
std::vector<Phase> phases_of(const ConvShape& s, int d, Index every, Index row) {
  std::vector<Phase> all;
  for (Index p = 0; p < std::min(s.stride[d], s.size[d]); ++p) {
    Phase phase{ceil_div(s.size[d] - p, s.stride[d]), 0, 0, 0, p * row};
    for (Index k = 0; k < std::min(every, s.kernel[d]); ++k) {
      const Index at = p + s.padding[d] - k * s.dilation[d];
      if (at % s.stride[d] != 0) continue;
      phase.taps = ceil_div(s.kernel[d] - k, every);
      phase.shift = at / s.stride[d];
      phase.first = k;
      break;
    }
    all.push_back(phase);
  }
  return all;
}

std::vector<LeafLaunch> conv2d_dx(const LeafCall& call, const Capabilities& device,
                                  const LeafMemory& memory) {
  const Operand &dy = call.inputs[0], &filters = call.inputs[1], &dx = call.output;
  const ConvShape s = conv_shape(call, dx.shape, filters.shape, dy.shape);
  if (dx.shape.numel() == 0) return {};
  const Index size = size_of(dx.dtype);
  ProductWords w;
  set_source(w, dy, s.out);
  w.m = s.in;
  w.channels = s.out;
  w.a_row = filters.strides[1] * size;
  w.a_group = s.out * filters.strides[0] * size;
  w.a_channel = filters.strides[0] * size;
  w.c_h = s.stride[0] * s.size[1];
  w.c_w = s.stride[1];
  std::vector<Phase> phases[2];
  for (int d = 0; d < 2; ++d) {
    const Index common = std::gcd(s.stride[d], s.dilation[d]), every = s.stride[d] / common;
    phases[d] = phases_of(s, d, every, d == 0 ? s.size[1] : 1);
    (d == 0 ? w.a_tap_y : w.a_tap_x) = every * filters.strides[2 + d] * size;
    (d == 0 ? w.dilation_y : w.dilation_x) = -(s.dilation[d] / common);
  }
  return correlation(call, w, filters, phases[0], phases[1], s.groups, device, memory);
}

std::vector<LeafLaunch> conv2d_dw(const LeafCall& call, const Capabilities& device,
                                  const LeafMemory& memory) {
  const Operand &dy = call.inputs[0], &x = call.inputs[1], &dw = call.output;
  const ConvShape s = conv_shape(call, x.shape, dw.shape, dy.shape);
  const FilterSum sum = filter_sum(s);
  const Index size = size_of(dw.dtype);
  ProductWords w;
  w.count = dw.shape.numel();
  if (w.count == 0) return {};
  set_source(w, x, s.in);
  w.m = s.out;
  w.n = s.in * s.taps();
  w.c = word_of(dw.data);
  w.c_row = w.n;
  w.a = word_of(dy.data);
  w.a_along_k = w.b_along_k = 1;
  w.a_row = dy.strides[1] * size;
  w.a_group = s.out * w.a_row;
  w.a_image = dy.strides[0] * size;
  w.a_h = dy.strides[2] * size;
  w.a_w = dy.strides[3] * size;
  w.step_y = s.stride[0];
  w.step_x = s.stride[1];
  w.dilation_y = s.dilation[0];
  w.dilation_x = s.dilation[1];
  w.padding_y = s.padding[0];
  w.padding_x = s.padding[1];
  w.taps_y = s.kernel[0];
  w.taps_x = s.kernel[1];
  w.out_h = s.out_size[0];
  w.out_w = s.out_size[1];
  w.units = dy.shape.numel() == 0 ? 0 : sum.units;
  w.units_per_image = std::max<Index>(sum.units_per_image, 1);
  w.unit_rows = sum.unit_rows;
  // The parts of this sum are the chunks: how many they are is part of its bits.
  w.parts = std::max<Index>(w.units == 0 ? 1 : sum.chunks, 1);
  const Product p{
      ProductForm::kFilter,
      dw.dtype,
      w.m,
      w.n,
      s.groups * w.parts,
      1,
      false,
      is_wide({w.n, s.images * w.out_h * w.out_w,
               (w.out_h + 1) * w.step_y + (w.taps_y + 1) * w.dilation_y + w.padding_y,
               (w.out_w + 1) * w.step_x + (w.taps_x + 1) * w.dilation_x + w.padding_x})};
  return launches_of(p, w, {}, 1, 1, device, memory);
}

}  // namespace

std::vector<LeafLaunch> product_launches(const LeafCall& call, const Capabilities& device,
                                         const LeafMemory& memory) {
  switch (call.op) {
    case Prim::kMatmul:
      return matmul(call, device, memory);
    case Prim::kConv2d:
      return conv2d(call, device, memory);
    case Prim::kConv2dDx:
      return conv2d_dx(call, device, memory);
    default:
      return conv2d_dw(call, device, memory);
  }
}

}  // namespace flash::gpu
