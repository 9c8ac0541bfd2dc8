// kernels/vulkan/program.h -- one source as pipelines, one for each size of a block
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "kernels/vulkan/gpu.h"

namespace flash::vulkan {

/// Not thread-safe. May be destroyed only when the device has run all that uses it.
class Program {
 public:
  /// Compiles `source` (behind the device's prelude), or takes what was compiled before. Throws as
  /// compile_glsl() does, or OutOfMemory.
  Program(std::shared_ptr<Gpu> gpu, const std::string& source, std::string name);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  VkPipeline pipeline(int x, int y);

 private:
  const std::shared_ptr<Gpu> gpu_;
  const std::string name_;
  VkShaderModule module_ = VK_NULL_HANDLE;
  std::map<std::pair<int, int>, VkPipeline> pipelines_;
};

/// Records one dispatch of `pipeline`.
void dispatch(const Gpu& gpu, VkCommandBuffer buffer, VkPipeline pipeline, VkDeviceAddress args,
              std::int64_t tiles, std::uint32_t blocks);

}  // namespace flash::vulkan
