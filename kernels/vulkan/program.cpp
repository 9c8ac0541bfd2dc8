// kernels/vulkan/program.cpp -- source to module to pipeline
#include "kernels/vulkan/program.h"

#include <cstring>

#include "core/error.h"
#include "jit/cache/cached_compile.h"
#include "kernels/vulkan/glsl_compiler.h"

namespace flash::vulkan {

Program::Program(std::shared_ptr<Gpu> gpu, const std::string& source, std::string name)
    : gpu_(std::move(gpu)), name_(std::move(name)) {
  const std::string whole = gpu_->prelude().source(source);
  const jit::KeyParts key{whole, "spirv1.5", compiler_name(), ""};
  const io::Bytes bytes = jit::cached_compile(key, [&] {
    const std::vector<std::uint32_t> words = compile_glsl(whole, name_);
    io::Bytes b(words.size() * sizeof(std::uint32_t));
    std::memcpy(b.data(), words.data(), b.size());
    return b;
  });
  std::vector<std::uint32_t> words(bytes.size() / sizeof(std::uint32_t));
  std::memcpy(words.data(), bytes.data(), words.size() * sizeof(std::uint32_t));
  VkShaderModuleCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
  info.codeSize = words.size() * sizeof(std::uint32_t);
  info.pCode = words.data();
  gpu_->check(gpu_->vk().CreateShaderModule(gpu_->device, &info, nullptr, &module_),
              "making a shader module");
}

Program::~Program() {
  if (!gpu_->process.here()) return;  // the driver is the parent's
  for (const auto& [size, pipeline] : pipelines_)
    gpu_->vk().DestroyPipeline(gpu_->device, pipeline, nullptr);
  gpu_->vk().DestroyShaderModule(gpu_->device, module_, nullptr);
}

VkPipeline Program::pipeline(int x, int y) {
  VkPipeline& pipeline = pipelines_[{x, y}];
  if (pipeline != VK_NULL_HANDLE) return pipeline;
  const std::uint32_t sizes[] = {static_cast<std::uint32_t>(x), static_cast<std::uint32_t>(y)};
  const VkSpecializationMapEntry entries[] = {{0, 0, 4}, {1, 4, 4}};
  const VkSpecializationInfo constants{2, entries, sizeof sizes, sizes};
  VkComputePipelineCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
  info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
  info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  info.stage.module = module_;
  info.stage.pName = "main";
  info.stage.pSpecializationInfo = &constants;
  info.layout = gpu_->layout;
  gpu_->check(
      gpu_->vk().CreateComputePipelines(gpu_->device, VK_NULL_HANDLE, 1, &info, nullptr, &pipeline),
      ("making a pipeline of kernel " + name_).c_str());
  return pipeline;
}

void dispatch(const Gpu& gpu, VkCommandBuffer buffer, VkPipeline pipeline, VkDeviceAddress args,
              std::int64_t tiles, std::uint32_t blocks) {
  const struct {
    VkDeviceAddress args;
    std::int64_t tiles;
  } constants{args, tiles};
  const Api& vk = gpu.vk();
  vk.CmdBindPipeline(buffer, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
  vk.CmdPushConstants(buffer, gpu.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof constants,
                      &constants);
  vk.CmdDispatch(buffer, blocks, 1, 1);
}

}  // namespace flash::vulkan
