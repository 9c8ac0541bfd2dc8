// core/device.cpp -- names of devices and the registry of their runtimes
#include "core/device.h"

#include <array>
#include <mutex>

#include "core/error.h"
#include "core/evaluator.h"
#include "core/hot_tls.h"

namespace flash {
namespace {

constexpr std::array<std::string_view, 2> kNames{"cpu", "null"};

struct Registry {
  std::mutex mutex;  // guards runtimes and list while devices are installed
  std::vector<std::unique_ptr<DeviceRuntime>> runtimes;
  std::vector<Device> list;
};
Registry& registry() {
  static Registry& r = *new Registry;  // never destroyed: buffers of static tensors outlive main
  return r;
}

std::string known() {
  std::string s;
  for (const Device& d : devices()) s += (s.empty() ? "" : ", ") + d.str();
  return s.empty() ? "none" : s;
}

}  // namespace

Device::Device(DeviceType t, int i) : type(t) {
  // One of each kind so far.
  const auto kind = static_cast<std::size_t>(t);
  if (kind < kNames.size() && i == 0) return;
  const std::string name =
      kind < kNames.size() ? std::string(kNames[kind]) : "kind " + std::to_string(kind);
  throw DeviceError("device: '" + name + ":" + std::to_string(i) +
                    "' is not there; there are: " + known());
}

Device::Device(std::string_view text) {
  std::string_view kind = text.substr(0, text.find(':'));
  std::string_view rest = kind.size() == text.size() ? "" : text.substr(kind.size() + 1);
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kind != kNames[i]) continue;
    type = static_cast<DeviceType>(i);
    if (kind.size() == text.size() || rest == "0") return;
  }
  throw DeviceError("device: '" + std::string(text) +
                    "' is not a device of this build; there are: " + known());
}

std::string Device::str() const { return std::string(kNames[static_cast<std::size_t>(type)]); }

DeviceRuntime& runtime(Device device) {
  static constinit thread_local DeviceRuntime* last FLASH_HOT_TLS = nullptr;
  static constinit thread_local Device last_device FLASH_HOT_TLS;
  if (last && last_device == device) return *last;
  ensure_installed();
  for (auto& r : registry().runtimes)
    if (r->id() == device) {
      last = r.get();
      last_device = device;
      return *r;
    }
  throw DeviceError("device: '" + device.str() + "' is not there; there are: " + known());
}

void install_runtime(std::unique_ptr<DeviceRuntime> runtime) {
  std::lock_guard lock(registry().mutex);
  registry().list.push_back(runtime->id());
  registry().runtimes.push_back(std::move(runtime));
}

std::span<const Device> devices() {
  ensure_installed();
  return registry().list;
}

}  // namespace flash
