// jit/emit/clike/glsl.h -- the GLSL dialect: what Vulkan 1.2 devices are given, by what they can do
//
// A kernel's source is one module with the entry point `main`: the prelude, then what
// clike_function() wrote. Sizes of a block are the specialization constants 0 (SIZE_X) and 1
// (SIZE_Y); args and tiles are 16 bytes of push constants.
#pragma once

#include <string>

namespace flash::emit {

/// What a device computes as the IR defines it. Where it does not, an exact function takes
/// the instruction's place (glsl_soft.h).
struct GlslTraits {
  bool has_f64 = true;         ///< without it no kernel may have a value of type f64
  bool f32_arithmetic = true;  ///< f32: + − ×, comparisons and conversions, subnormals kept
  bool f32_div = true;         ///< correctly rounded, as all that follow
  bool f32_sqrt = true;
  bool f32_fma = true;
  bool f64_arithmetic = true;  ///< as f32_arithmetic; false: f64 is not offered
  bool f64_div = true;
  bool f64_sqrt = true;
  bool f64_fma = true;
  bool shuffles = false;  ///< groups of 32 threads and more exchange values in their order
  /// Maps move 16 bytes at once. Does not pay where a CPU plays a GPU: their code is longer.
  bool wide = false;
  // What a module may ask for (VK_KHR_shader_float_controls); 1: for f32, 2: for f64, 3: for both.
  int keeps_specials = 0;  ///< signed zeros, infinities and NaN
  int keeps_subnormals = 0;
  int rounds_to_even = 0;

  friend bool operator==(const GlslTraits&, const GlslTraits&) = default;
};

/// Traits as text, for people: "f32: fma by integers; warps by barriers". Empty if all is native.
std::string to_string(const GlslTraits& traits);

/// What stands in front of kernels: text for a Prelude.
std::string glsl_prelude(const GlslTraits& traits);

}  // namespace flash::emit
