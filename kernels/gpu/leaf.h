// kernels/gpu/leaf.h -- the leaf kernels of all GPUs: a call becomes a few launches of source texts
//
// The sources are written in the subset that CUDA C++, HIP C++ and GLSL have in common, with the
// prelude of jit/emit/clike in front; their arguments are the words of an ArgBlock, as a fused
// kernel's are, so a runtime compiles and launches them as it does those. They give the CPU's bits:
// see kernels/contraction.h for contractions, and Capabilities for those of halves; poolings and
// scatter_add_rows add in the CPU's order. What has no kernel throws; nothing goes to the host.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/device.h"
#include "core/function_ref.h"

namespace flash::gpu {

/// What the choice of kernels looks at. With tensor cores, sums of halves depend on it.
struct Capabilities {
  int processors = 16;                       ///< blocks that run at once, at the least
  int block_threads = 256;                   ///< most threads of a block; 64 at the least
  std::int64_t shared_bytes = 32 << 10;      ///< of shared memory a block; 16 KiB at the least
  std::int64_t most_blocks = (1 << 16) - 1;  ///< of a launch; kernels walk what is left
  bool f64 = true;
  bool software =
      false;  ///< a CPU that plays a GPU: each access to memory takes as long as many sums
  /// NVIDIA's, of sm_80 and later: products of halves add in f32, in an order of their own.
  bool tensor_cores = false;
};

/// One launch of `grid` blocks of x × y threads. Texts live as long as the program, so that code
/// may be kept by `entry`, which names one text.
struct LeafLaunch {
  std::string_view source;  ///< to be compiled behind the prelude
  std::string_view entry;   ///< the kernel in it
  std::vector<std::int64_t> words;
  std::int64_t tiles = 0;
  int x = 1, y = 1;
  int grid = 1;
  /// Not empty: it calls the call's epilogue, which divides indices of this type. See
  /// with_epilogue().
  std::string_view epilogue_index = {};
};

/// What the runtime lends to a call.
struct LeafMemory {
  /// Device memory of so many bytes, at least 16-aligned, that lives until the launches are done.
  FunctionRef<void*(std::size_t bytes)> scratch;
  void* faults = nullptr;   ///< the device's fault buffer (fault.h)
  std::int64_t serial = 0;  ///< grows from call to call: says which of several faults came first
};

/// The launches of a call, to be run in order on one stream; none where the output is empty.
/// An epilogue is called by the last of them. Throws InternalError for operands that the public
/// operations should have refused and for epilogues of what takes none, DTypeError for dtypes that
/// the device lacks.
std::vector<LeafLaunch> leaf_launches(const LeafCall& call, const Capabilities& device,
                                      const LeafMemory& memory);

/// Calls the call's epilogue for every element of an output that is there. None if it is empty.
std::vector<LeafLaunch> epilogue_launches(const LeafCall& call, const Capabilities& device);

/// The source of a leaf kernel of text `source` that calls an epilogue of text `epilogue`
/// (emit::clike_epilogue), which divides indices of type `index`.
std::string with_epilogue(std::string_view source, std::string_view epilogue,
                          std::string_view index);

/// A text that leaf_launches may name.
struct LeafSource {
  std::string_view source, entry;
  int x = 1, y = 1;  ///< threads of a block
};
/// All of them: to compile ahead, or to see whether they compile.
std::vector<LeafSource> leaf_sources(const Capabilities& device);

}  // namespace flash::gpu
