// core/ops/checks.h -- what operations ask of their operands, and the cast that compositions begin
// with
#pragma once

#include <string>
#include <string_view>

#include "core/ops/bind.h"

namespace flash {

/// The operand, if there is one; throws ValueError otherwise.
inline const Tensor& check_defined(const Tensor& x, const char* op) {
  if (!x.defined()) throw ValueError(std::string(op) + ": an operand is an undefined tensor");
  return x;
}

/// The operand, if its dtype is a floating one; throws DTypeError otherwise.
inline const Tensor& check_float(const Tensor& x, const char* op) {
  if (!is_floating(check_defined(x, op).dtype()))
    throw DTypeError(std::string(op) + ": takes a floating dtype, not " +
                     std::string(name(x.dtype())) + "; convert it with to()");
  return x;
}

/// For operands that are not on one device.
[[noreturn]] inline void refuse_devices(const Tensor& a, const Tensor& b, std::string_view op) {
  throw DeviceError(std::string(op) + ": operands are on " + a.device().str() + " and " +
                    b.device().str() + "; move one with to()");
}

/// f16 and bf16 as f32: compositions round once, at their end.
inline Tensor widen(const Tensor& x) { return is_half(x.dtype()) ? as_dtype(x, DType::kF32) : x; }

}  // namespace flash
