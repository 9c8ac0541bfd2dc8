// kernels/cpu/conv2d_backward.cpp -- the gradient of a convolution's filters
//
// dw[o, k] = Σ over images and output pixels of dy[o, pixel] · x[tap k of pixel]: a sum of few
// results over many terms. It is cut into chunks of terms, a function of sizes only; each chunk
// sums into an array of its own, and the arrays are added in order of the chunks, by whoever
// finishes the one whose turn it is. Vectors run over output channels, so dy is transposed, and x
// is read as it lies.
#include <algorithm>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/cpu/conv_planes.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/leaf.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/cpu/workspace.h"

namespace flash::cpu {
namespace {

using Index = std::int64_t;

template <class T>
class WeightGradient {
 public:
  WeightGradient(const LeafCall& call, const ConvShape& s)
      : call_(call), s_(s), plan_(filter_sum(s)) {
    const auto& kernels = microkernels<T>();
    width_ = ceil_div(s.out, kernels.lanes) * kernels.lanes;
    for (Index i = 0; i < s.kernel[0]; ++i)
      for (Index j = 0; j < s.kernel[1]; ++j)
        taps_.push_back({{i * s.dilation[0] - s.padding[0], j * s.dilation[1] - s.padding[1]}});
    planes_ = planes_for(taps_, s.stride, plan_.unit_rows, s.out_size[1], &tap_offsets_);
    ranges_ = std::clamp<Index>(ceil_div(3 * num_threads(), plan_.chunks * s.groups), 1, s.in);
    constexpr Index kMostPlanes = 1 << 17;  // elements in cache
    ranges_ =
        std::clamp<Index>(ceil_div(s.in * planes_.channel_size(), kMostPlanes), ranges_, s.in);
    size_ = s.in * s.taps() * width_;
    sums_ = workspace<T>(Slot::kShared, plan_.chunks * s.groups * size_);
    turns_ = std::make_unique<Turn[]>(static_cast<std::size_t>(s.groups * ranges_));
    for (Index t = 0; t < s.groups * ranges_; ++t)
      turns_[static_cast<std::size_t>(t)].done.assign(static_cast<std::size_t>(plan_.chunks),
                                                      false);
  }

  void run() {
    parallel_for(plan_.chunks * s_.groups * ranges_, 1, [&](Index begin, Index end) {
      for (Index t = begin; t < end; ++t) {
        const Index range = t % ranges_, group = t / ranges_ % s_.groups,
                    chunk = t / (ranges_ * s_.groups);
        sum_chunk(chunk, group, range);
        finish(chunk, group, range);
      }
    });
  }

 private:
  /// Which chunks of a range of channels are summed, and how many are added up.
  struct Turn {
    std::mutex mutex;
    std::vector<bool> done;
    Index next = 0;
  };

  T* sums(Index chunk, Index group, Index channel) const {
    return sums_ + (chunk * s_.groups + group) * size_ + channel * s_.taps() * width_;
  }

  void sum_chunk(Index chunk, Index group, Index range) const {
    const Index c0 = cut(s_.in, ranges_, range), c1 = cut(s_.in, ranges_, range + 1);
    T* planes = workspace<T>(Slot::kE, planes_.buffer_size(c1 - c0));
    std::vector<Index> offsets;
    for (Index c = 0; c < c1 - c0; ++c)
      for (const Index tap : tap_offsets_) offsets.push_back(c * planes_.channel_size() + tap);
    const Index u0 = cut(plan_.units, plan_.chunks, chunk),
                u1 = cut(plan_.units, plan_.chunks, chunk + 1);
    for (Index u = u0; u < u1; ++u) {
      const Index image = u / plan_.units_per_image,
                  row0 = u % plan_.units_per_image * plan_.unit_rows;
      const Index rows = std::min(plan_.unit_rows, s_.out_size[0] - row0);
      fill_planes(call_.inputs[1], image, group * s_.in + c0, c1 - c0, planes_, row0, planes);
      multiply_unit(planes, offsets, transposed_dy(image, group, row0, rows), rows,
                    sums(chunk, group, c0), u > u0);
    }
  }

  /// dy of one unit as [pixels, width_], zeros beyond the group's channels.
  const T* transposed_dy(Index image, Index group, Index row0, Index rows) const {
    const auto& kernels = microkernels<T>();
    const Operand& dy = call_.inputs[0];
    const Index cols = s_.out_size[1], pixels = rows * cols, size = size_of(dy.dtype);
    T* dst = workspace<T>(Slot::kF, pixels * width_);
    if (width_ > s_.out)
      for (Index p = 0; p < pixels; ++p)
        std::fill(dst + p * width_ + s_.out, dst + (p + 1) * width_, T(0));
    const char* src =
        static_cast<const char*>(dy.data) +
        (image * dy.strides[0] + group * s_.out * dy.strides[1] + row0 * dy.strides[2]) * size;
    if (dy.dtype == dtype_of<T> && dy.strides[3] == 1 && (rows == 1 || dy.strides[2] == cols)) {
      kernels.transpose(s_.out, pixels, reinterpret_cast<const T*>(src), dy.strides[1], dst,
                        width_);
      return dst;
    }
    T* wide = workspace<T>(Slot::kC, s_.out * pixels);
    for (Index o = 0; o < s_.out; ++o)
      for (Index y = 0; y < rows; ++y)
        widen(dy.dtype, cols, src + (o * dy.strides[1] + y * dy.strides[2]) * size, dy.strides[3],
              wide + o * pixels + y * cols);
    kernels.transpose(s_.out, pixels, wide, pixels, dst, width_);
    return dst;
  }

  void multiply_unit(const T* planes, const std::vector<Index>& offsets, const T* dy, Index rows,
                     T* sums, bool accumulate) const {
    const auto& kernels = microkernels<T>();
    const auto m = static_cast<Index>(offsets.size());
    const Cover grid = cover<T>(m, s_.out);
    PixelBlock<T> x{};
    x.height = rows;
    x.width = s_.out_size[1];
    x.a = planes;
    x.a_row = planes_.pitch;
    x.b_row = x.c_row = width_;
    x.accumulate = accumulate;
    for (Index v = 0; v < grid.slivers; ++v) {
      const Index v0 = cut(grid.vectors, grid.slivers, v),
                  v1 = cut(grid.vectors, grid.slivers, v + 1);
      x.b = dy + v0 * kernels.lanes;
      for (Index g = 0; g < grid.row_groups; ++g) {
        const Index i0 = cut(m, grid.row_groups, g), i1 = cut(m, grid.row_groups, g + 1);
        x.offsets = offsets.data() + i0;
        x.c = sums + i0 * width_ + v0 * kernels.lanes;
        kernels.pixels[v1 - v0 - 1][i1 - i0 - 1](x);
      }
    }
  }

  /// Adds up all chunks of this range whose turn has come; the last one is written out.
  void finish(Index chunk, Index group, Index range) const {
    const Index c0 = cut(s_.in, ranges_, range), c1 = cut(s_.in, ranges_, range + 1);
    const Index elements = (c1 - c0) * s_.taps() * width_;
    T* total = sums(0, group, c0);
    Turn& turn = turns_[static_cast<std::size_t>(group * ranges_ + range)];
    const std::lock_guard lock(turn.mutex);
    turn.done[static_cast<std::size_t>(chunk)] = true;
    while (turn.next < plan_.chunks && turn.done[static_cast<std::size_t>(turn.next)]) {
      if (turn.next > 0) microkernels<T>().add(elements, sums(turn.next, group, c0), total);
      ++turn.next;
    }
    if (turn.next == plan_.chunks) write(group, c0, c1, total);
  }

  void write(Index group, Index c0, Index c1, const T* total) const {
    const auto& kernels = microkernels<T>();
    const Operand& dw = call_.output;
    const Index row = s_.in * s_.taps(), cols = (c1 - c0) * s_.taps();
    const Index at = group * s_.out * row + c0 * s_.taps();
    if (dw.dtype == dtype_of<T>)
      return kernels.transpose(cols, s_.out, total, width_, static_cast<T*>(dw.data) + at, row);
    T* t = workspace<T>(Slot::kC, s_.out * cols);
    kernels.transpose(cols, s_.out, total, width_, t, cols);
    for (Index o = 0; o < s_.out; ++o)
      narrow(dw.dtype, cols, t + o * cols,
             static_cast<char*>(dw.data) + (at + o * row) * size_of(dw.dtype));
  }

  const LeafCall& call_;
  const ConvShape& s_;
  const FilterSum plan_;
  std::vector<Tap> taps_;
  std::vector<Index> tap_offsets_;
  Planes planes_;
  Index width_;   ///< output channels, whole vectors
  Index ranges_;  ///< of input channels: more tasks, and planes that fit into cache
  Index size_;    ///< elements of one chunk's sums of one group
  T* sums_;
  std::unique_ptr<Turn[]> turns_;
};

}  // namespace

int conv2d_dw(const LeafCall& call) {
  const Operand &dy = call.inputs[0], &x = call.inputs[1], &dw = call.output;
  const ConvShape s = conv_shape(call, x.shape, dw.shape, dy.shape);
  if (dw.shape.numel() == 0) return 1;
  if (dy.shape.numel() == 0) {
    std::fill_n(static_cast<char*>(dw.data), dw.shape.numel() * size_of(dw.dtype), char(0));
    return 1;
  }
  with_compute_type(dw.dtype, [&](auto t) { WeightGradient<decltype(t)>(call, s).run(); });
  return 1;
}

}  // namespace flash::cpu
