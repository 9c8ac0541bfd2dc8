// jit/emit/clike/meaning.h -- the part of a prelude that all dialects share
#pragma once

#include <string_view>

namespace flash::emit {

/// Every op's meaning in the common subset, as text for a Prelude. In front of it a dialect has
/// defined types (clike.h), `precise` for variables that may not be contracted, and for f32: bits_,
/// _bits, is_nan_, div_, fma_, sqrt_, floor_, ceil_, rint_, trunc_. The same for f64 where it says
/// HAS_F64. With SOFT_F32 the dialect has its own of what adds, multiplies, compares and converts
/// f32.
std::string_view common_meaning();

}  // namespace flash::emit
