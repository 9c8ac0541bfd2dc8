// kernels/cpu/correlate.cpp -- the core of a convolution's forward and of its input gradient
#include "kernels/cpu/correlate.h"

#include <algorithm>
#include <array>

#include "kernels/cpu/convert.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/leaf.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/cpu/thread_sanitizer.h"
#include "kernels/cpu/workspace.h"

namespace flash::cpu {
namespace {

using Index = std::int64_t;

/// A correlation cut into tasks: (image, group, range of rows, range of output channels).
struct Job {
  const Correlation* c;
  Index depth;                 ///< length of k
  Index row_tiles, tile_rows;  ///< the last tile may have fewer rows
  Index channel_tiles;
  Planes planes;               ///< for a tile of rows
  std::vector<Index> offsets;  ///< of every k in the planes
  bool flat;                   ///< vectors run over the ends of rows, see `Vectors`
  Index tasks() const { return c->images * c->groups * row_tiles * channel_tiles; }
};

Job make_job(const Correlation& c, int lanes, Index wanted) {
  Job job{&c, c.in * static_cast<Index>(c.taps.size()), 1, c.rows, 1, {}, {}, false};
  const Index outer = std::max<Index>(c.images * c.groups, 1);
  // Cut rows, then channels, until there is work for all threads or tiles get small.
  constexpr Index kLeastWork = 1 << 19, kMostElements = 1 << 18;
  const auto work = [&] {
    return c.out / job.channel_tiles * std::max<Index>(job.depth, 1) * job.tile_rows * c.cols;
  };
  const auto elements = [&] {
    return c.in * (job.tile_rows * c.step[0] + 4) * (c.cols * c.step[1] + 4);
  };
  while (job.tile_rows > 1 && ((outer * job.row_tiles < wanted && work() > 2 * kLeastWork) ||
                               elements() > kMostElements)) {
    ++job.row_tiles;
    job.tile_rows = ceil_div(c.rows, job.row_tiles);
  }
  job.row_tiles = c.rows > 0 ? ceil_div(c.rows, job.tile_rows) : 0;
  while (outer * job.row_tiles * job.channel_tiles < wanted &&
         c.out / (job.channel_tiles + 1) >= 16 && work() > 2 * kLeastWork)
    ++job.channel_tiles;

  if (!c.taps.empty()) {
    std::vector<Index> taps;
    job.planes = planes_for(c.taps, c.step, job.tile_rows, c.cols, &taps);
    job.offsets.reserve(static_cast<std::size_t>(job.depth));
    for (Index i = 0; i < c.in; ++i)
      for (const Index tap : taps) job.offsets.push_back(i * job.planes.channel_size() + tap);
    const double by_row =
        static_cast<double>(c.cols) / static_cast<double>(ceil_div(c.cols, lanes));
    const double flat = lanes * static_cast<double>(c.cols) / static_cast<double>(job.planes.pitch);
    job.flat = flat > 1.1 * by_row;
  }
  return job;
}

/// The vectors of pixels of a tile. By rows, each row is cut evenly into vectors and masks; flat,
/// the tile is one run over whole rows of the plane, and what lies between result rows is thrown
/// away.
class Vectors {
 public:
  Vectors(const Job& job, Index rows, Index lanes)
      : job_(job), lanes_(lanes), per_row_(ceil_div(job.c->cols, lanes)) {
    flat_size_ = (rows - 1) * job.planes.pitch + job.c->cols;
    count = job.flat ? ceil_div(flat_size_, lanes) : rows * per_row_;
  }
  struct Place {
    Index source, target, cols;
  };
  /// Vector v: its place in the plane and in the result, whose rows are `row_stride` apart.
  Place at(Index v, Index row_stride) const {
    if (job_.flat) return {v * lanes_, v * lanes_, std::min(lanes_, flat_size_ - v * lanes_)};
    const Index row = v / per_row_, i = v % per_row_;
    const Index x0 = cut(job_.c->cols, per_row_, i), x1 = cut(job_.c->cols, per_row_, i + 1);
    return {row * job_.planes.pitch + x0, row * row_stride + x0, x1 - x0};
  }
  Index count;

 private:
  const Job& job_;
  Index lanes_, per_row_, flat_size_;
};

/// c[o0 … o1)[pixels of the tile] into `target`.
template <class T>
void multiply_tile(const Job& job, const T* planes, const T* weights, const T* bias, Index channels,
                   Index rows, T* target, Index channel_stride, Index row_stride) {
  const auto& kernels = microkernels<T>();
  const Vectors vectors(job, rows, kernels.lanes);
  will_read(Matrix<T>{weights, job.depth, 1}, channels, job.depth);  // the planes are the thread's
  const Cover grid = cover<T>(channels, vectors.count * kernels.lanes);
  const Index blocks = k_blocks(job.depth);
  for (Index block = 0; block < blocks; ++block) {
    const Index k0 = cut(job.depth, blocks, block), k1 = cut(job.depth, blocks, block + 1);
    TapBlock<T> x{};
    x.k = k1 - k0;
    x.a_row = job.depth;
    x.offsets = job.offsets.data() + k0;
    x.c_row = channel_stride;
    x.accumulate = block > 0;
    for (Index s = 0; s < grid.slivers; ++s) {
      const Index v0 = cut(vectors.count, grid.slivers, s),
                  v1 = cut(vectors.count, grid.slivers, s + 1);
      std::array<T*, kMaxVectors> at{};
      for (Index v = v0; v < v1; ++v) {
        const Vectors::Place place = vectors.at(v, row_stride);
        x.b[v - v0] = planes ? planes + place.source : nullptr;  // null: there are no taps
        at[static_cast<std::size_t>(v - v0)] = target + place.target;
        x.cols[v - v0] = place.cols;
      }
      for (Index g = 0; g < grid.row_groups; ++g) {
        const Index i0 = cut(channels, grid.row_groups, g),
                    i1 = cut(channels, grid.row_groups, g + 1);
        x.a = weights + i0 * job.depth + k0;
        x.row_bias = bias && block + 1 == blocks ? bias + i0 : nullptr;
        for (Index v = 0; v < v1 - v0; ++v)
          x.c[v] = at[static_cast<std::size_t>(v)] + i0 * channel_stride;
        kernels.taps[v1 - v0 - 1][i1 - i0 - 1](x);
      }
    }
  }
}

/// Writes n elements of the compute type to the target, `stride` elements apart.
template <class T>
void write_row(const Correlation& c, Index n, const T* src, char* dst) {
  if (c.col_stride == 1) return narrow(c.dtype, n, src, dst);
  with_float_type(c.dtype, [&](auto s) {
    using S = decltype(s);
    if constexpr (std::is_same_v<typename ComputeOf<S>::Type, T>)
      for (Index i = 0; i < n; ++i) reinterpret_cast<S*>(dst)[i * c.col_stride] = store<S>(src[i]);
  });
}

template <class T>
void run_task(const Job& job, Index task, const Epilogue* epilogue) {
  const Correlation& c = *job.c;
  const Index channel_tile = task % job.channel_tiles;
  const Index tile = task / job.channel_tiles % job.row_tiles;
  const Index group = task / (job.channel_tiles * job.row_tiles) % c.groups;
  const Index image = task / (job.channel_tiles * job.row_tiles * c.groups);
  const Index o0 = cut(c.out, job.channel_tiles, channel_tile),
              o1 = cut(c.out, job.channel_tiles, channel_tile + 1);
  const Index row0 = tile * job.tile_rows, rows = std::min(job.tile_rows, c.rows - row0);
  const Index channels = o1 - o0, first = group * c.out + o0;

  const T* planes = nullptr;
  if (job.depth > 0) {
    T* buffer = workspace<T>(Slot::kE, job.planes.buffer_size(c.in));
    fill_planes(*c.source, image, group * c.in, c.in, job.planes, row0, buffer);
    planes = buffer;
  }
  const T* weights = static_cast<const T*>(c.weights) + first * job.depth;
  const T* bias = c.bias ? static_cast<const T*>(c.bias) + first : nullptr;
  const Index size = size_of(c.dtype);
  char* target = static_cast<char*>(c.target) +
                 (image * c.image_stride + first * c.channel_stride + row0 * c.row_stride) * size;
  if (c.dtype == dtype_of<T> && c.col_stride == 1 && !job.flat) {
    multiply_tile(job, planes, weights, bias, channels, rows, reinterpret_cast<T*>(target),
                  c.channel_stride, c.row_stride);
  } else {
    const Index row_stride = job.flat ? job.planes.pitch : c.cols;
    const Index pitch = rows * row_stride;
    T* scratch = workspace<T>(Slot::kC, channels * pitch);
    multiply_tile(job, planes, weights, bias, channels, rows, scratch, pitch, row_stride);
    for (Index o = 0; o < channels; ++o)
      for (Index y = 0; y < rows; ++y)
        write_row(c, c.cols, scratch + o * pitch + y * row_stride,
                  target + (o * c.channel_stride + y * c.row_stride) * size);
  }
  if (!epilogue) return;
  const std::array<Index, 4> begin{image, first, row0, 0}, extent{1, channels, rows, c.cols};
  run_epilogue(*epilogue, begin, extent);
}

}  // namespace

template <class T>
void correlate(std::span<const Correlation> items, const Epilogue* epilogue) {
  std::vector<Job> jobs;
  std::vector<Index> ends;
  Index total = 0;
  const Index wanted = 3 * num_threads();
  for (const Correlation& c : items) {
    if (c.rows == 0 || c.cols == 0) continue;
    jobs.push_back(make_job(c, microkernels<T>().lanes, wanted));
    ends.push_back(total += jobs.back().tasks());
  }
  Index work = 0;
  for (const Job& job : jobs)
    work += job.tasks() * job.c->out / job.channel_tiles * std::max<Index>(job.depth, 1) *
            job.tile_rows * job.c->cols;
  // Ranges of less than about ten microseconds of work stay together.
  const Index grain =
      total == 0 ? 1 : std::max<Index>(1, total * (1 << 19) / std::max<Index>(work, 1));
  parallel_for(total, std::min(grain, total), [&](Index begin, Index end) {
    for (Index t = begin; t < end; ++t) {
      const auto i =
          static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), t) - ends.begin());
      run_task<T>(jobs[i], t - (ends[i] - jobs[i].tasks()), epilogue);
    }
  });
}

template void correlate<float>(std::span<const Correlation>, const Epilogue*);
template void correlate<double>(std::span<const Correlation>, const Epilogue*);

}  // namespace flash::cpu
