// kernels/vulkan/glsl_module.cpp -- shaderc behind two functions, in a library of its own: neither
// its size nor its symbols burden programs that use no Vulkan
#include "kernels/vulkan/glsl_module.h"

#include <shaderc/shaderc.h>

#include <cstring>

#define FLASH_EXPORT extern "C" __attribute__((visibility("default")))

// The versions that the build found: shaderc has no function that tells its own.
FLASH_EXPORT const char* flash_glsl_name() { return "shaderc " FLASH_SHADERC_VERSION; }

FLASH_EXPORT void flash_glsl_compile(const char* source, std::size_t length, const char* name,
                                     flash::vulkan::GlslTake take, void* to) {
  // Kept: without one, glslang reads the declarations of all of GLSL's own functions anew, which
  // takes longer than a kernel. Threads may share it.
  static const shaderc_compiler_t compiler = shaderc_compiler_initialize();
  const shaderc_compile_options_t options = shaderc_compile_options_initialize();
  shaderc_compile_options_set_target_env(options, shaderc_target_env_vulkan,
                                         shaderc_env_version_vulkan_1_2);
  const shaderc_compilation_result_t result = shaderc_compile_into_spv(
      compiler, source, length, shaderc_compute_shader, name, "main", options);
  if (shaderc_result_get_compilation_status(result) == shaderc_compilation_status_success) {
    take(to, shaderc_result_get_bytes(result), shaderc_result_get_length(result), false);
  } else {
    const char* text = shaderc_result_get_error_message(result);
    take(to, text, std::strlen(text), true);
  }
  shaderc_result_release(result);
  shaderc_compile_options_release(options);
}
