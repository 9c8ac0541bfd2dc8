// tests/vulkan_here.h -- a Vulkan device with the validation layer on, or why a test skips
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>

#include "core/device.h"
#include "kernels/vulkan/glsl_compiler.h"

namespace flash::test {

// Before anything can open the driver.
inline const bool vulkan_validates = setenv("FLASH_VULKAN_VALIDATION", "1", 1) == 0;

/// The first Vulkan device; null, and said so, where there is none or the layer is not installed.
/// That the build's own compiler of GLSL does not open is no reason to skip: it is a failure.
/// Whatever the layer complains of is an error of the runtime's calls.
inline DeviceRuntime* vulkan_here() {
  REQUIRE(vulkan_validates);
  REQUIRE(vulkan::no_compiler_because() == "");
  const std::string why = missing(DeviceType::kVulkan);
  if (!why.empty()) {
    MESSAGE("skipped: no Vulkan device: " << why);
    return nullptr;
  }
  return &runtime(Device("vulkan:0"));
}

}  // namespace flash::test
