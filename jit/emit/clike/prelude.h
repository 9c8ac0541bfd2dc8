// jit/emit/clike/prelude.h -- the part of a prelude that all dialects share
#pragma once

#include <string_view>

namespace flash::emit {

/// Every op's meaning in the common subset. In front of it a dialect has defined types, memory and
/// threads (clike.h), bits_f32, bits_f64, f32_bits, f64_bits, is_nan_f32, is_nan_f64, `precise` for
/// variables that may not be contracted, and for f32 and f64: div, fma, sqrt, floor, ceil, rint,
/// trunc.
std::string_view common_meaning();

}  // namespace flash::emit
