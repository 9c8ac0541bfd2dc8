// apps/flash/devices.cpp -- `flash devices`: what was found to compute on
#include "apps/flash/devices.h"

#include <flash/flash.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

namespace flash::apps {
namespace {

/// "model name" of the first processor, where the system tells it.
std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos)
      return line.substr(colon + 2);
  }
  return "processor";
}

}  // namespace

int show_devices() {
  for (const Device& device : devices()) {
    std::string text = runtime(device).description();
    if (device.type() == DeviceType::kCpu)
      text = cpu_name() + ", " + std::to_string(runtime(device).parallelism()) + " threads";
    if (device.type() == DeviceType::kNull)
      text = "records and plans, computes nothing (for tests)";
    std::printf("%-9s %s\n", device.str().c_str(), text.c_str());
  }
  for (const auto& [type, name] :
       {std::pair{DeviceType::kCuda, "cuda"}, std::pair{DeviceType::kHip, "hip"},
        std::pair{DeviceType::kVulkan, "vulkan"}})
    if (const std::string why = missing(type); !why.empty())
      std::printf("%-9s none: %s\n", name, why.c_str());
  return 0;
}

}  // namespace flash::apps
