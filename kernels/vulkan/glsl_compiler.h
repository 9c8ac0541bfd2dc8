// kernels/vulkan/glsl_compiler.h -- GLSL to SPIR-V by shaderc, in a library that is opened when the
// first kernel is compiled
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace flash::vulkan {

/// Why sources cannot be compiled here; empty if they can.
const std::string& no_compiler_because();
/// Name and version, for keys.
const std::string& compiler_name();
/// The module of a compute shader. Throws InternalError with the compiler's messages and the
/// source's name if it does not compile; DeviceError where there is no compiler. Thread-safe.
std::vector<std::uint32_t> compile_glsl(const std::string& source, const std::string& name);

}  // namespace flash::vulkan
