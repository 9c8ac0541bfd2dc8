// apps/flash/devices.cpp -- `flash devices`: what was found to compute on
#include "apps/flash/devices.h"

#include <flash/flash.h>

#include <cstdio>
#include <fstream>

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
    if (device.type == DeviceType::kCpu) {
      std::printf("%-6s %s, %d threads\n", device.str().c_str(), cpu_name().c_str(),
                  runtime(device).parallelism());
    } else {
      std::printf("%-6s records and plans, computes nothing (for tests)\n", device.str().c_str());
    }
  }
  return 0;
}

}  // namespace flash::apps
