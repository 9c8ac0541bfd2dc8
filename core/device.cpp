// core/device.cpp -- names of devices, and the registry of their runtimes
#include "core/device.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <mutex>
#include <ostream>

#include "core/env.h"
#include "core/error.h"
#include "core/evaluator.h"
#include "core/fork.h"
#include "core/hot_tls.h"

namespace flash {
namespace {

constexpr std::array<std::string_view, Device::kTypes> kNames{"cpu", "null", "cuda", "hip",
                                                              "vulkan"};
constexpr bool is_single(DeviceType t) { return t == DeviceType::kCpu || t == DeviceType::kNull; }

/// One device: `runtime` is set when it has been opened.
struct Slot {
  std::once_flag opened;
  std::unique_ptr<DeviceRuntime> own;
  std::atomic<DeviceRuntime*> runtime{nullptr};
};
/// Devices of one kind. `count` is set when the driver has been opened, and `provider` before.
struct Kind {
  DeviceProvider provider;
  std::once_flag counted;
  std::atomic<int> count{-1};
  std::optional<ThisProcess> process;  // that opened the driver
  std::array<Slot, Device::kOfOneType> slots;
};
struct Registry {
  std::array<Kind, Device::kTypes> kinds;
};
Registry& registry() {
  static Registry& r = *new Registry;  // never destroyed: buffers of static tensors outlive main
  return r;
}

Kind& open_kind(DeviceType type) {
  ensure_installed();
  Kind& kind = registry().kinds[static_cast<std::size_t>(type)];
  std::call_once(kind.counted, [&] {
    kind.process.emplace();
    const int there = kind.provider.count ? kind.provider.count() : 0;
    kind.count.store(std::min(there, Device::kOfOneType), std::memory_order_release);
  });
  return kind;
}

std::string known() {
  std::string s;
  for (const Device& d : devices()) s += (s.empty() ? "" : ", ") + d.str();
  return s.empty() ? "none" : s;
}

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
  std::string said = "device: '" + name + "' " + why;
  if (said.back() == '.') said.pop_back();  // what is missing is a sentence
  throw DeviceError(said + "; there are: " + known());
}

/// Throws unless the device is there.
void check_there(DeviceType type, int index, const std::string& name) {
  if (is_single(type) && index == 0) return;
  if (is_single(type)) refuse(name, "is not there");
  const int count = open_kind(type).count.load(std::memory_order_acquire);
  if (index >= 0 && index < count) return;
  refuse(name, count == 0 ? "is not there: " + missing(type) : "is not there");
}

std::string name_of(DeviceType type, int index) {
  return std::string(kNames[static_cast<std::size_t>(type)]) +
         (is_single(type) && index == 0 ? "" : ":" + std::to_string(index));
}

}  // namespace

Device::Device(DeviceType t, int i) : type_(t), index_(static_cast<std::int8_t>(i)) {
  if (static_cast<int>(t) >= kTypes)
    refuse("kind " + std::to_string(static_cast<int>(t)) + ":" + std::to_string(i),
           "is not a device");
  check_there(t, i, name_of(t, i));
}

std::optional<std::pair<DeviceType, int>> parse_device(std::string_view text) {
  const std::size_t colon = text.find(':');
  int number = 0;
  if (colon != std::string_view::npos) {
    const std::string_view rest = text.substr(colon + 1);
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (error != std::errc() || end != rest.data() + rest.size() || number < 0) return {};
  }
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (text.substr(0, colon) == kNames[i]) return std::pair(static_cast<DeviceType>(i), number);
  return {};
}

Device::Device(std::string_view text) {
  const auto parsed = parse_device(text);
  if (!parsed)
    refuse(std::string(text), "names no device (want " + std::string(kDeviceNames) + ")");
  check_there(parsed->first, parsed->second, std::string(text));
  type_ = parsed->first;
  index_ = static_cast<std::int8_t>(parsed->second);
}

std::string Device::str() const { return name_of(type_, index_); }
std::ostream& operator<<(std::ostream& os, const Device& device) { return os << device.str(); }

namespace {

// As a number: clang calls a library for an atomic struct that is aligned to bytes.
using DeviceBits = std::uint16_t;
std::atomic<DeviceBits>& chosen_device() {
  static std::atomic<DeviceBits> chosen = [] {
    const std::string text = env::get_device(Env::kDevice);
    try {
      return std::bit_cast<DeviceBits>(Device(text));
    } catch (const DeviceError& e) {
      throw DeviceError("FLASH_DEVICE: " + std::string(e.what()));
    }
  }();
  return chosen;
}

}  // namespace

Device default_device() {
  return std::bit_cast<Device>(chosen_device().load(std::memory_order_relaxed));
}
void set_default_device(Device device) {
  chosen_device().store(std::bit_cast<DeviceBits>(device), std::memory_order_relaxed);
}

DeviceRuntime& runtime(Device device) {
  static constinit thread_local DeviceRuntime* last FLASH_HOT_TLS = nullptr;
  static constinit thread_local Device last_device FLASH_HOT_TLS;
  if (last && last_device == device) return *last;
  Kind& kind = open_kind(device.type());
  const auto i = static_cast<std::size_t>(device.index());
  if (device.index() >= kind.count.load(std::memory_order_acquire))
    check_there(device.type(), device.index(), device.str());
  Slot& slot = kind.slots[i];
  if (!slot.runtime.load(std::memory_order_acquire)) {
    if (!is_single(device.type())) kind.process->check(device.str());
    std::call_once(slot.opened, [&] {
      slot.own = kind.provider.open(device.index());
      slot.runtime.store(slot.own.get(), std::memory_order_release);
    });
  }
  last = slot.runtime.load(std::memory_order_acquire);
  last_device = device;
  return *last;
}

void install_devices(DeviceType type, DeviceProvider provider) {
  DeviceProvider& first = registry().kinds[static_cast<std::size_t>(type)].provider;
  if (!first.open) first = provider;
}

std::span<const Device> devices() {
  static const std::vector<Device>& list = *new std::vector<Device>([] {
    std::vector<Device> all;
    for (int t = 0; t < Device::kTypes; ++t)
      for (int i = 0; i < open_kind(static_cast<DeviceType>(t)).count; ++i)
        all.emplace_back(static_cast<DeviceType>(t), i);
    return all;
  }());
  return list;
}

std::string missing(DeviceType type) {
  const Kind& kind = open_kind(type);
  if (kind.count > 0) return {};
  return kind.provider.missing ? kind.provider.missing() : "this build has none of its kind";
}

std::vector<DeviceRuntime*> open_runtimes() {
  std::vector<DeviceRuntime*> open;
  for (const Kind& kind : registry().kinds)
    for (const Slot& slot : kind.slots)
      if (DeviceRuntime* r = slot.runtime.load(std::memory_order_acquire)) open.push_back(r);
  return open;
}

}  // namespace flash
