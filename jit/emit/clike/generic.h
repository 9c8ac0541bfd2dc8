// jit/emit/clike/generic.h -- one kernel that does what any other does, by reading its program
//
// Compiling a kernel takes a while. The generic kernel is compiled once, and stands in for those
// that are not compiled yet: it interprets their IR, each op by the very function that a compiled
// kernel calls, loops and reductions in the order that jit/ir/kernel.h lays down. So its bits are a
// compiled kernel's.
//
// Registers are an array that is indexed at run time: CUDA C++ and HIP C++ have such.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "jit/ir/kernel.h"

namespace flash::emit {

/// The words of its ArgBlock: how far from it, in bytes, the program lies, and the ArgBlock of the
/// kernel that it stands in for.
inline constexpr int kGenericProgram = 0, kGenericArgs = 1, kGenericWords = 2;
/// Words of a program that one instruction takes.
inline constexpr int kGenericInstruction = 4;
/// Blocks that a reduction of a tile, or of one of its lanes, may have.
inline constexpr int kGenericBlocks = 1 << 16;

/// The program of a kernel, of any mode but kEpilogue; empty if it needs more than the generic
/// kernel has: 48 values at a time (scalars and constants that a loop uses among them), 3
/// reductions of a section, 8 axes. For kSplit it computes whole tiles: tiles / args[kArgParts] of
/// them.
std::vector<ir::Word> generic_program(const ir::Kernel& k);

/// The generic kernel's function, named `entry`; needs the prelude in front of it. For kRow with
/// reductions a launch has X = 32 and any Y, else any X and Y. Without tiles it reads nothing.
std::string generic_function(std::string_view entry);

}  // namespace flash::emit
