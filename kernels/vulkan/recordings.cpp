// kernels/vulkan/recordings.cpp -- a run as one recorded command, or one by one
#include "kernels/vulkan/recordings.h"

#include <string>

#include "core/error.h"
#include "core/log.h"

namespace flash::vulkan {

bool Recordings::run(const Run& run, Stream stream) {
  const auto args = static_cast<VkDeviceAddress>(reinterpret_cast<std::uintptr_t>(run.args));
  const Kept* const recorded = repeats_.find(run.commands, args, [&]() -> Kept {
    try {
      return {engine_->record(run.commands, args).release(), Retire{engine_}};
    } catch (const Error& e) {  // what it would do is done without it
      logging::warn(std::string(e.what()) + " This plan is launched kernel by kernel.");
      return {};
    }
  });
  if (recorded != nullptr)
    engine_->replay(**recorded, run.words, run.args, run.may_fault, stream);
  else
    engine_->run(run.commands, run.words, run.may_fault, stream);
  return recorded != nullptr;
}

}  // namespace flash::vulkan
