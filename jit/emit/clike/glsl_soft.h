// jit/emit/clike/glsl_soft.h -- exact operations on floats, for what a device does not round
// correctly
#pragma once

#include <string_view>

namespace flash::emit {

/// soft_fma_T, soft_div_T and soft_sqrt_T for T in f32 and, with HAS_F64, f64.
std::string_view glsl_soft_floats();

}  // namespace flash::emit
