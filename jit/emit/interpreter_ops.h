// jit/emit/interpreter_ops.h -- the interpreter's instructions: each one is a loop over a strip
#pragma once

#include <cstddef>
#include <cstdint>

#include "jit/ir/kernel.h"

namespace flash::emit::strip {

inline constexpr int kWidth = 256;  ///< elements of a strip; a multiple of every lanes(type)

/// Where an instruction finds its operands and leaves its result: arrays of kWidth elements of the
/// C++ type of the value's register type (kPred: std::uint8_t, 0 or 1). `out` overlaps none of
/// them.
struct Operands {
  void* out;
  const void* a;
  const void* b;
  const void* c;
};

/// Runs `op`, any but the sources and kTable, on elements 0 … n-1. `type` is the result's, `from`
/// operand a's (operand b's for kSelect).
void compute(ir::Op op, ir::Type type, ir::Type from, const Operands& x, int n);

/// out[i] = t[index[i] & 15].
void table(const ir::Table& t, const std::int32_t* index, float* out, int n);

/// Fills a whole strip with one value, given as in Inst::imm.
void fill(ir::Type type, std::uint64_t bits, void* out);

/// Copies element 0 of a strip to all others.
void splat(ir::Type type, void* strip);

/// out[i] = the element of type `dtype` at base + i * step (+ index[i] * element size), widened to
/// its register type; 0 where guard[i] is 0. `index` and `guard` may be null.
void load(DType dtype, const char* base, std::int64_t step, const std::int64_t* index,
          const std::uint8_t* guard, void* out, int n);

/// The inverse: narrows and stores; elements with guard[i] == 0 are left alone.
void store(DType dtype, char* base, std::int64_t step, const std::int64_t* index,
           const std::uint8_t* guard, const void* value, int n);

/// acc[i % period] = combine(acc[i % period], value[i]) for i in order, where guard[i] (or null).
void accumulate(ir::ReduceKind kind, ir::Type type, void* acc, int period, const void* value,
                const std::uint8_t* guard, int n);

/// out[i] = combine(a[i], b[i]); out may be a or b.
void combine(ir::ReduceKind kind, ir::Type type, const void* a, const void* b, void* out, int n);

/// Fills n elements with the reduction's identity.
void fill_identity(ir::ReduceKind kind, ir::Type type, void* out, int n);

}  // namespace flash::emit::strip
