// kernels/gpu/geometry.h -- how many threads and blocks a kernel's launch gets
#pragma once

#include <cstdint>

#include "jit/ir/kernel.h"

namespace flash::gpu {

/// What the geometry depends on, kept beside a loaded kernel.
struct KernelShape {
  ir::Form form = ir::Form::kRow;
  bool reduces = false;
  bool split = false;
  int first_loop = 0, run_axis = 0;  ///< the loop axes, from … to
  bool one_warp = false;             ///< a row is one warp's
  int vector = 1;                    ///< elements of a map that a thread has (emit::vector_width)
};
KernelShape shape_of(const ir::Kernel& kernel, int vector);

/// Blocks of x threads along a kernel's vector axis times y tiles.
struct Geometry {
  unsigned grid = 1, x = 1, y = 1;
  friend bool operator==(const Geometry&, const Geometry&) = default;
};

/// For `tiles` > 0 tiles with these ArgBlock words, on a device with that many processors.
/// Changes no bit of a result; see jit/emit/clike/clike.h for what a kernel's form allows.
Geometry geometry(const KernelShape& shape, const ir::Word* args, std::int64_t tiles,
                  int processors, int max_threads);

/// What the busiest thread of such a launch walks.
struct Walk {
  std::int64_t elements = 0;  ///< of the loop axes
  std::int64_t blocks = 0;    ///< of a reduction
};
Walk walk_of(const KernelShape& shape, const ir::Word* args, std::int64_t tiles, const Geometry& g);

}  // namespace flash::gpu
