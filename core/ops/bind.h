// core/ops/bind.h -- the one door through which every operation enters a trace
//
// bind() infers shape and dtype (errors are thrown here, before anything is recorded), records the
// node, and puts the operation on the tape if it is on. Autocast, vmap, jvp and quantisation will
// stack here.
#pragma once

#include <initializer_list>
#include <span>

#include "core/primitive.h"
#include "core/tensor.h"

namespace flash {

using Attrs = std::span<const std::int64_t>;

/// `dtype` matters for primitives whose DTypeRule is kAttr, `shape` for sources, expand and leaf
/// kernels whose result the caller has computed; otherwise both are inferred.
Tensor bind(Prim op, std::span<const Tensor* const> inputs, Attrs attrs = {},
            const Shape* shape = nullptr, DType dtype = DType::kF32, Device device = {});

inline Tensor bind(Prim op, std::initializer_list<const Tensor*> in,
                   std::initializer_list<std::int64_t> attrs = {}) {
  return bind(op, std::span<const Tensor* const>(in.begin(), in.size()),
              Attrs(attrs.begin(), attrs.size()));
}

/// Binds a source (no inputs), giving the result's shape, dtype and device.
Tensor bind_source(Prim op, const Shape& shape, DType dtype, Device device, Attrs attrs);

/// The result dtype of an operation on these operands, one at least (torch.result_type: dimensioned
/// tensors outrank 0-d ones of the same category).
DType result_type(std::initializer_list<const Tensor*> tensors);
DType result_type(const Tensor& a, const Tensor& b);
DType result_type(const Tensor& a, Scalar b);

/// Converts for an operation: no node if the dtype is right already.
Tensor as_dtype(const Tensor& t, DType dtype);

}  // namespace flash
