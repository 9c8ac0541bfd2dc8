// jit/emit/clike/clike.h -- kernel IR to source text, for devices whose drivers compile C-like
// languages
//
// One function of the source is one kernel, in a subset that CUDA C++, HIP C++, GLSL and MSL have
// in common; only the preludes in front of it differ. Kernels written by hand use the same subset:
//
//   i32 u32 i64 u64 f32 f64 pred     types; a cast is a call, i64(x). No pointers, no suffix but u
//   FN type name(arguments)          a function
//   KERNEL(name) { … }               a kernel: args (the ArgBlock's address, u64) and tiles (i64)
//                                    are in scope
//   bits_F(b) F_bits(v)              f32 and u32, f64 and u64; literal_F(b): a constant by its bits
//   op_T(…)                          every op of the IR: add_f32, fma_f64, cast_f32_i64, …
//   chain_T(a, b, c)                 a step of a product's sum: fma_T, or nearly (GLSL says when)
//   ARG(n) ARGS                      word n of the ArgBlock (i64); its address
//   load_T(at) store_T(at, v)        memory at an address, for every dtype; narrow ones are widened
//   load_words_N(at, w) store_words_N(at, w)             N u32 at once, 1, 2 or 4, at an address
//                                    that is a multiple of as many bytes (Dialect::wide)
//   publish_T(at, v) fresh_T(at)     what other blocks of the same launch are to read, and have
//                                    written (i32, i64, f32, f64)
//   atomic_add_u32(at, n)            gives the former value
//   SHARED(type, name, count)        memory of a block, in front of the kernel; in MSL, which has
//                                    none there, first in it
//   TABLE(name, 16 values)           u32 constants, in front of the kernel
//   BARRIER() FENCE()                all threads of a block; all memory
//   THREAD_X THREAD_Y SIZE_X SIZE_Y BLOCK_X GRID_X       of type i32
//   below_T(v, n) first_T(v)         v of the thread n further, of the first, in a warp of 32;
//                                    only where all threads of the block come along
//   UNROLL for (…)                   a hint
//
// A block has SIZE_X threads along a kernel's vector axis and SIZE_Y tiles; blocks walk the tiles
// in steps of the grid. In a map a thread has vector_width() neighbouring elements. What a launch
// may choose:
//
//   maps       any X and Y
//   kRow       X a multiple of 32: X / 32 warps share a tile. With more than one, Y = 1
//   kColumn    any X and Y: a thread has a lane of its own
//   kSplit     as the form says, and Y = 1
//
// Every one of them gives the bits that kernel.h defines. Where a warp is made of barriers
// (GLSL on devices with narrower groups), kRow takes X = 32, Y = 1 alone.
#pragma once

#include <string>
#include <string_view>

#include "jit/emit/clike/prelude.h"
#include "jit/ir/kernel.h"

namespace flash::emit {

/// What differs between the languages. The emitter asks for all but the prelude.
struct Dialect {
  std::string_view name = "any dialect";
  const Prelude* prelude = nullptr;  ///< the subset's types, macros and functions
  bool has_f64 = true;
  bool shared_in_kernel = false;  ///< where SHARED stands: first in the kernel, or in front of it
  bool wide = false;  ///< maps move up to 16 bytes at once where memory is aligned for it
};

Dialect cuda_dialect();
Dialect hip_dialect();
Dialect msl_dialect();

/// Threads of a warp: lanes of a reduction fold among them.
inline constexpr int kWarp = 32;

/// Elements of a map's run that a thread computes at once; 1 where accesses are not of neighbours,
/// in other kernels, and in dialects that are not wide.
int vector_width(const ir::Kernel& k, const Dialect& dialect);

/// A kernel's function, named `entry`; needs the prelude in front of it (Prelude::source). Throws
/// InternalError if the IR does not verify, DTypeError if it has a value of type f64 and the
/// dialect has none.
std::string clike_function(const ir::Kernel& k, std::string_view entry,
                           const Dialect& dialect = {});

/// What stands in front of a leaf kernel that calls an epilogue (mode kEpilogue): its function, and
///
///   EPILOGUE_WORDS(first)    declares what it needs of its ArgBlock, which lies behind the leaf
///                            kernel's words, from word `first` (i32) on
///   EPILOGUE(at)             computes it for element `at` (i64, row-major) of the output, which
///                            the same thread has stored; EPILOGUE_WORDS is in scope
///   EPILOGUE_INDEX           is to be defined: i32, or i64 for large outputs
///
/// Throws as clike_function() does.
std::string clike_epilogue(const ir::Kernel& k, const Dialect& dialect = {});

}  // namespace flash::emit
