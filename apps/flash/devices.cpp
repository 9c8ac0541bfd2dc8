// apps/flash/devices.cpp -- `flash devices`: what was found to compute on
#include "apps/flash/devices.h"

#include <cstdio>
#include <fstream>
#include <optional>
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

std::string described(Device device) {
  if (device.type() == DeviceType::kCpu)
    return cpu_name() + ", " + std::to_string(runtime(device).parallelism()) + " threads";
  if (device.type() == DeviceType::kNull) return "records and plans, computes nothing (for tests)";
  return runtime(device).description();
}

}  // namespace

int show_devices() {
  std::optional<Device> chosen;
  try {
    chosen = default_device();
  } catch (const Error& e) {  // FLASH_DEVICE names none
    std::printf("%s\n", e.what());
  }
  for (const Device& device : devices()) {
    std::string text;
    try {
      text = described(device);
    } catch (const Error& e) {  // the others are there all the same
      text = std::string("cannot be used: ") + e.what();
    }
    std::printf("%-9s %s%s\n", device.str().c_str(), text.c_str(),
                device == chosen ? " (the default)" : "");
  }
  for (const auto& [type, name] :
       {std::pair{DeviceType::kCuda, "cuda"}, std::pair{DeviceType::kHip, "hip"},
        std::pair{DeviceType::kVulkan, "vulkan"}})
    if (const std::string why = missing(type); !why.empty())
      std::printf("%-9s none: %s\n", name, why.c_str());
  return 0;
}

Device use_device(const std::string& name) {
  const Device device = name.empty() ? default_device() : Device(name);
  if (device.type() == DeviceType::kNull)
    throw DeviceError(std::string(name.empty() ? "FLASH_DEVICE" : "--device") + ": '" +
                      device.str() + "' computes nothing; use another one");
  set_default_device(device);
  return device;
}

}  // namespace flash::apps
