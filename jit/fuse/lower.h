// jit/fuse/lower.h -- the scalar meaning of every map primitive, in kernel IR
#pragma once

#include <span>

#include "core/primitive.h"
#include "jit/ir/builder.h"

namespace flash::jit {

/// What a value of a dtype is inside a kernel: bool is a predicate, the halves are f32 values that
/// are representable in the half type, narrow integers are wrapped i32.
ir::Type register_type(DType d);
/// The type that loads, stores, scalars and reductions of a dtype use: as above, but bool is kI32.
ir::Type memory_type(DType d);

/// From memory_type to register_type and back.
ir::Value from_memory(ir::Builder& b, ir::Value v, DType d);
ir::Value to_memory(ir::Builder& b, ir::Value v, DType d);

/// One map primitive. `in`: operands in their register types; `from`: dtype of the operands (of the
/// second for where); `to`: dtype of the result. Rounds or wraps to `to`.
ir::Value lower_map(ir::Builder& b, Prim op, std::span<const ir::Value> in, DType from, DType to);

/// Uniform [0, 1) from the flat element index (kI64), seed and first block (kI64).
ir::Value lower_uniform(ir::Builder& b, ir::Value index, ir::Value seed, ir::Value first,
                        DType dtype);

/// The IR reduction of a reduce primitive.
ir::ReduceKind reduce_kind(Prim op);

/// Rounds a kF32 value to a half dtype, wraps kI32 to a narrow integer; otherwise nothing.
ir::Value round_to(ir::Builder& b, ir::Value v, DType d);

}  // namespace flash::jit
