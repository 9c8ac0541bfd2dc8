// kernels/cpu/pool.cpp -- 2-D max and average pooling, and their gradients
//
// Forward, a task is a run of channels of one image: large enough to be worth a hand-over, small
// enough that the epilogue finds it in cache. Backward, windows may overlap, so a task is a plane,
// whose windows add to it one after the other in row-major order.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <type_traits>

#include "kernels/cpu/convert.h"
#include "kernels/cpu/leaf.h"
#include "kernels/cpu/microkernel.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/cpu/workspace.h"

namespace flash::cpu {
namespace {

using Index = std::int64_t;

struct Window {
  Index kernel[2], stride[2], padding[2];
  bool count_padding;
};

Window window_of(const LeafCall& call) {
  require(call.attrs.size() >= kPoolAttrs, call, "kernel, stride, padding, count_include_pad");
  const auto a = [&](std::size_t i) { return call.attrs[i]; };
  require(a(0) > 0 && a(1) > 0 && a(2) > 0 && a(3) > 0, call, "positive kernels and strides");
  return {{a(0), a(1)}, {a(2), a(3)}, {a(4), a(5)}, a(6) != 0};
}

/// Elements [begin, end) of one dimension that window `i` covers, padding left out.
struct Range {
  Index begin, end;
};
Range range_of(const Window& w, int axis, Index i, Index size) {
  const Index start = i * w.stride[axis] - w.padding[axis];
  return {std::max<Index>(start, 0), std::min(start + w.kernel[axis], size)};
}

/// What an average divides by along one dimension.
Index count_of(const Window& w, int axis, Index i, Index size) {
  const Range r = range_of(w, axis, i, size);
  if (!w.count_padding) return std::max<Index>(r.end - r.begin, 0);
  const Index start = i * w.stride[axis] - w.padding[axis];
  return std::min(start + w.kernel[axis], size + w.padding[axis]) - start;
}

/// One plane of a strided operand.
template <class S>
struct Plane {
  const S* data;
  Index row, col;
  auto at(Index h, Index w) const { return load(data[h * row + w * col]); }
};
template <class S>
Plane<S> plane_of(const Operand& x, Index n, Index c) {
  return {static_cast<const S*>(x.data) + n * x.strides[0] + c * x.strides[1], x.strides[2],
          x.strides[3]};
}

/// The greater of two, the first one of equals; NaN is greater than all.
template <class T>
bool replaces(T value, T best) {
  return value > best || (std::isnan(value) && !std::isnan(best));
}

/// Windows of 2 × 2 side by side over rows of neighbours: what most networks use.
template <class S>
bool is_2x2(const Window& w, const Plane<S>& x, Index height, Index width, Index oh, Index ow) {
  return std::is_same_v<S, typename ComputeOf<S>::Type> && x.col == 1 && w.kernel[0] == 2 &&
         w.kernel[1] == 2 && w.stride[0] == 2 && w.stride[1] == 2 && w.padding[0] == 0 &&
         w.padding[1] == 0 && 2 * oh <= height && 2 * ow <= width;
}

template <class S>
void max_plane(const Window& w, const Plane<S>& x, Index height, Index width, S* out, Index oh,
               Index ow) {
  using T = typename ComputeOf<S>::Type;
  if constexpr (std::is_same_v<S, T>)
    if (is_2x2(w, x, height, width, oh, ow)) {
      const auto& kernels = microkernels<T>();
      for (Index i = 0; i < oh; ++i) {
        const T* row = x.data + 2 * i * x.row;
        kernels.max_2x2(ow, row, row + x.row, out + i * ow);
      }
      return;
    }
  for (Index i = 0; i < oh; ++i) {
    const Range rows = range_of(w, 0, i, height);
    for (Index j = 0; j < ow; ++j) {
      const Range cols = range_of(w, 1, j, width);
      T best = -std::numeric_limits<T>::infinity();
      for (Index h = rows.begin; h < rows.end; ++h)
        for (Index v = cols.begin; v < cols.end; ++v) {
          const T value = x.at(h, v);
          if (replaces(value, best)) best = value;
        }
      *out++ = store<S>(best);
    }
  }
}

template <class S>
void average_plane(const Window& w, const Plane<S>& x, Index height, Index width, S* out, Index oh,
                   Index ow) {
  using T = typename ComputeOf<S>::Type;
  for (Index i = 0; i < oh; ++i) {
    const Range rows = range_of(w, 0, i, height);
    for (Index j = 0; j < ow; ++j) {
      const Range cols = range_of(w, 1, j, width);
      T sum = 0;
      for (Index h = rows.begin; h < rows.end; ++h)
        for (Index v = cols.begin; v < cols.end; ++v) sum += x.at(h, v);
      const Index count = count_of(w, 0, i, height) * count_of(w, 1, j, width);
      *out++ = store<S>(sum / static_cast<T>(count));
    }
  }
}

/// Runs `plane(x, out)` for all planes of the output, and the epilogue on runs of channels.
template <class S, class F>
void for_planes(const LeafCall& call, F plane) {
  const Operand &x = call.inputs[0], &out = call.output;
  const Index images = out.shape[0], channels = out.shape[1], oh = out.shape[2], ow = out.shape[3];
  constexpr Index kElements = 8192;                 // of a tile
  const Index most = std::max<Index>(channels, 1);  // without channels there are no tiles
  const Index run = std::clamp<Index>(kElements / std::max<Index>(oh * ow, 1), 1, most);
  const Index runs = (channels + run - 1) / run;
  parallel_for(images * runs, 1, [&](Index begin, Index end) {
    for (Index t = begin; t < end; ++t) {
      const Index n = t / runs, c0 = t % runs * run, c1 = std::min(c0 + run, channels);
      for (Index c = c0; c < c1; ++c)
        plane(plane_of<S>(x, n, c), static_cast<S*>(out.data) + (n * channels + c) * oh * ow);
      if (!call.epilogue) continue;
      const std::array<Index, 4> first{n, c0, 0, 0}, extent{1, c1 - c0, oh, ow};
      run_epilogue(*call.epilogue, first, extent);
    }
  });
}

/// Runs `add(n, c, sums)` for all planes of dx, sums being zeros to add to in the compute type.
template <class S, class F>
void for_gradient_planes(const LeafCall& call, F add) {
  using T = typename ComputeOf<S>::Type;
  const Operand& dx = call.output;
  const Index channels = dx.shape[1], size = dx.shape[2] * dx.shape[3];
  const Index grain = std::max<Index>(1, 4096 / std::max<Index>(size, 1));
  parallel_for(dx.shape[0] * channels, grain, [&](Index begin, Index end) {
    for (Index p = begin; p < end; ++p) {
      S* out = static_cast<S*>(dx.data) + p * size;
      T* sums;
      if constexpr (std::is_same_v<S, T>)
        sums = out;
      else
        sums = workspace<T>(Slot::kA, size);
      std::fill_n(sums, size, T(0));
      add(p / channels, p % channels, sums);
      if constexpr (!std::is_same_v<S, T>)
        for (Index i = 0; i < size; ++i) out[i] = store<S>(sums[i]);
    }
  });
}

template <class S>
void max_gradient(const LeafCall& call, const Window& w) {
  using T = typename ComputeOf<S>::Type;
  const Operand &dy = call.inputs[0], &x = call.inputs[1];
  const Index height = x.shape[2], width = x.shape[3], oh = dy.shape[2], ow = dy.shape[3];
  for_gradient_planes<S>(call, [&](Index n, Index c, T* sums) {
    const Plane<S> in = plane_of<S>(x, n, c), grad = plane_of<S>(dy, n, c);
    if constexpr (std::is_same_v<S, T>)
      if (grad.col == 1 && is_2x2(w, in, height, width, oh, ow)) {
        const auto& kernels = microkernels<T>();
        for (Index i = 0; i < oh; ++i) {
          const T* row = in.data + 2 * i * in.row;
          T* to = sums + 2 * i * width;
          kernels.max_2x2_dx(ow, row, row + in.row, grad.data + i * grad.row, to, to + width);
        }
        return;
      }
    for (Index i = 0; i < oh; ++i) {
      const Range rows = range_of(w, 0, i, height);
      for (Index j = 0; j < ow; ++j) {
        const Range cols = range_of(w, 1, j, width);
        if (rows.begin >= rows.end || cols.begin >= cols.end) continue;  // nothing but padding
        Index at = rows.begin * width + cols.begin;
        T best = in.at(rows.begin, cols.begin);
        for (Index h = rows.begin; h < rows.end; ++h)
          for (Index v = cols.begin; v < cols.end; ++v) {
            const T value = in.at(h, v);
            if (replaces(value, best)) {
              best = value;
              at = h * width + v;
            }
          }
        sums[at] += grad.at(i, j);
      }
    }
  });
}

template <class S>
void average_gradient(const LeafCall& call, const Window& w) {
  using T = typename ComputeOf<S>::Type;
  const Operand& dy = call.inputs[0];
  const Index height = call.output.shape[2], width = call.output.shape[3];
  const Index oh = dy.shape[2], ow = dy.shape[3];
  for_gradient_planes<S>(call, [&](Index n, Index c, T* sums) {
    const Plane<S> grad = plane_of<S>(dy, n, c);
    for (Index i = 0; i < oh; ++i) {
      const Range rows = range_of(w, 0, i, height);
      for (Index j = 0; j < ow; ++j) {
        const Range cols = range_of(w, 1, j, width);
        const Index count = count_of(w, 0, i, height) * count_of(w, 1, j, width);
        const T share = grad.at(i, j) / static_cast<T>(count);
        for (Index h = rows.begin; h < rows.end; ++h)
          for (Index v = cols.begin; v < cols.end; ++v) sums[h * width + v] += share;
      }
    }
  });
}

void check(const LeafCall& call) {
  for (const Operand& x : call.inputs)
    require(x.shape.rank() == 4 && x.dtype == call.output.dtype &&
                x.shape[0] == call.output.shape[0] && x.shape[1] == call.output.shape[1],
            call, "[N, C, H, W] operands that agree");
}

}  // namespace

int max_pool2d(const LeafCall& call) {
  check(call);
  const Window w = window_of(call);
  const Shape &in = call.inputs[0].shape, &out = call.output.shape;
  with_float_type(call.output.dtype, [&](auto s) {
    using S = decltype(s);
    for_planes<S>(
        call, [&](const Plane<S>& x, S* y) { max_plane(w, x, in[2], in[3], y, out[2], out[3]); });
  });
  return 1;
}

int avg_pool2d(const LeafCall& call) {
  check(call);
  const Window w = window_of(call);
  const Shape &in = call.inputs[0].shape, &out = call.output.shape;
  with_float_type(call.output.dtype, [&](auto s) {
    using S = decltype(s);
    for_planes<S>(call, [&](const Plane<S>& x, S* y) {
      average_plane(w, x, in[2], in[3], y, out[2], out[3]);
    });
  });
  return 1;
}

int max_pool2d_dx(const LeafCall& call) {
  check(call);
  const Window w = window_of(call);
  with_float_type(call.output.dtype, [&](auto s) { max_gradient<decltype(s)>(call, w); });
  return 1;
}

int avg_pool2d_dx(const LeafCall& call) {
  check(call);
  const Window w = window_of(call);
  with_float_type(call.output.dtype, [&](auto s) { average_gradient<decltype(s)>(call, w); });
  return 1;
}

}  // namespace flash::cpu
