// kernels/vulkan/glsl_module.h -- what libflash_glsl.so has to offer
#pragma once

#include <cstddef>

namespace flash::vulkan {

/// Takes the words of a module, or (with errors) text.
using GlslTake = void (*)(void* to, const void* bytes, std::size_t count, bool errors);
/// `flash_glsl_compile`: calls `take` once.
using GlslCompile = void (*)(const char* source, std::size_t length, const char* name,
                             GlslTake take, void* to);
/// `flash_glsl_name`
using GlslName = const char* (*)();

}  // namespace flash::vulkan
