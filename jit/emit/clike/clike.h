// jit/emit/clike/clike.h -- kernel IR to source text, for devices whose drivers compile C-like
// languages
//
// One function of the source is one kernel. A block has X = blockDim.x threads along a kernel's
// vector axis and Y = blockDim.y tiles; blocks walk the tiles in steps of the grid. What a launch
// may choose:
//
//   maps       any X and Y
//   kRow       X a multiple of 32: X / 32 warps share a tile. With more than one, Y = 1
//   kColumn    any X and Y: a thread has a lane of its own
//   kSplit     as the form says, and Y = 1
//
// Every one of them gives the bits that kernel.h defines. `args` is the ArgBlock in memory of the
// device.
#pragma once

#include <string>
#include <string_view>

#include "jit/ir/kernel.h"

namespace flash::emit {

/// What differs between the languages.
struct Dialect {
  std::string_view name;
  std::string_view prelude;  ///< types and one function for every op and type, named op_type
};

Dialect cuda_dialect();
Dialect hip_dialect();

/// Threads of a warp: lanes of a reduction fold among them.
inline constexpr int kWarp = 32;

/// A kernel's function, named `entry`; needs the prelude in front of it. Throws InternalError if
/// the IR does not verify.
std::string clike_function(const ir::Kernel& k, std::string_view entry);

}  // namespace flash::emit
