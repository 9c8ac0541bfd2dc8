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

/// One device: `runtime` is set when it has been opened, and stays.
struct Slot {
  std::once_flag once;  // of the CPU: a child of a fork begins anew what its parent was in
  std::mutex opening;   // of a GPU, which no such child opens
  std::atomic<DeviceRuntime*> runtime{nullptr};
};
/// Devices of one kind. `provider` is set first, then `process`, and `count` when the driver has
/// been opened.
struct Kind {
  DeviceProvider provider;
  std::atomic<const ThisProcess*> process{nullptr};  // that opens the driver
  std::mutex opening;
  std::atomic<int> count{-1};
  std::array<Slot, Device::kOfOneType> slots;
};
struct Registry {
  std::array<Kind, Device::kTypes> kinds;
};
Registry& registry() {
  static Registry& r = *new Registry;  // never destroyed: buffers of static tensors outlive main
  return r;
}

const ThisProcess& opener(Kind& kind) {
  const ThisProcess* process = kind.process.load(std::memory_order_acquire);
  if (!process) {
    auto own = std::make_unique<const ThisProcess>();
    if (kind.process.compare_exchange_strong(process, own.get(), std::memory_order_acq_rel))
      process = own.release();
  }
  return *process;
}

Kind& open_kind(DeviceType type) {
  ensure_installed();
  Kind& kind = registry().kinds[static_cast<std::size_t>(type)];
  if (kind.count.load(std::memory_order_acquire) >= 0) return kind;
  if (is_single(type)) {
    kind.count.store(kind.provider.count ? 1 : 0, std::memory_order_release);
    return kind;
  }
  // A child of a fork whose parent was in the midst of it: the driver is half open, the lock held.
  // (A lock that a fork waits for would not do: drivers fork while they are opened.)
  if (!opener(kind).here()) {
    kind.count.store(0, std::memory_order_release);
    return kind;
  }
  const std::lock_guard lock(kind.opening);
  if (kind.count.load(std::memory_order_relaxed) >= 0) return kind;
  const int there = kind.provider.count ? kind.provider.count() : 0;
  kind.count.store(std::min(there, Device::kOfOneType), std::memory_order_release);
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

bool is_there(DeviceType type, int index) {
  if (is_single(type)) return index == 0;
  return index >= 0 && index < open_kind(type).count.load(std::memory_order_acquire);
}

/// Throws unless the device is there.
void check_there(DeviceType type, int index, const std::string& name) {
  if (is_there(type, index)) return;
  const std::string why = is_single(type) ? "" : missing(type);
  refuse(name, why.empty() ? "is not there" : "is not there: " + why);
}

std::pair<DeviceType, int> parse(std::string_view text) {
  const auto parsed = parse_device(text);
  if (!parsed)
    refuse(std::string(text), "names no device (want " + std::string(kDeviceNames) + ")");
  return *parsed;
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
  const auto [type, index] = parse(text);
  check_there(type, index, std::string(text));
  type_ = type;
  index_ = static_cast<std::int8_t>(index);
}

bool Device::is_named(std::string_view text) const {
  return parse(text) == std::pair(type_, int{index_});
}

bool is_available(std::string_view name) {
  const auto [type, index] = parse(name);
  return is_there(type, index);
}

std::string Device::str() const { return name_of(type_, index_); }
std::ostream& operator<<(std::ostream& os, const Device& device) { return os << device.str(); }

namespace {

// As a number: clang calls a library for an atomic struct that is aligned to bytes.
using DeviceBits = std::uint16_t;
constexpr DeviceBits kNotChosen = 0xffff;
constinit std::atomic<DeviceBits> chosen_device{kNotChosen};

Device device_of_environment() {
  const std::string text = env::get_device(Env::kDevice);
  try {
    return Device(text);
  } catch (const DeviceError& e) {
    throw DeviceError("FLASH_DEVICE: " + std::string(e.what()));
  }
}

}  // namespace

Device default_device() {
  DeviceBits chosen = chosen_device.load(std::memory_order_relaxed);
  if (chosen == kNotChosen) [[unlikely]] {
    const auto named = std::bit_cast<DeviceBits>(device_of_environment());
    // Unless another thread has set it meanwhile.
    if (chosen_device.compare_exchange_strong(chosen, named, std::memory_order_relaxed))
      chosen = named;
  }
  return std::bit_cast<Device>(chosen);
}
void set_default_device(Device device) {
  chosen_device.store(std::bit_cast<DeviceBits>(device), std::memory_order_relaxed);
}

DeviceRuntime& runtime(Device device) {
  static constinit thread_local DeviceRuntime* last FLASH_HOT_TLS = nullptr;
  static constinit thread_local Device last_device FLASH_HOT_TLS;
  if (last && last_device == device) return *last;
  Kind& kind = open_kind(device.type());
  const auto i = static_cast<std::size_t>(device.index());
  if (!is_there(device.type(), device.index()))
    check_there(device.type(), device.index(), device.str());
  Slot& slot = kind.slots[i];
  if (!slot.runtime.load(std::memory_order_acquire)) {
    const auto open = [&] {
      slot.runtime.store(kind.provider.open(device.index()).release(), std::memory_order_release);
    };
    if (is_single(device.type())) {
      std::call_once(slot.once, open);
    } else {
      opener(kind).check(device.str());
      const std::lock_guard lock(slot.opening);
      if (!slot.runtime.load(std::memory_order_relaxed)) open();
    }
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
  static constinit std::atomic<const std::vector<Device>*> list{nullptr};
  if (!list.load(std::memory_order_acquire)) {
    auto all = std::make_unique<std::vector<Device>>();
    for (int t = 0; t < Device::kTypes; ++t)
      for (int i = 0; i < open_kind(static_cast<DeviceType>(t)).count; ++i)
        all->emplace_back(static_cast<DeviceType>(t), i);
    const std::vector<Device>* none = nullptr;
    if (list.compare_exchange_strong(none, all.get(), std::memory_order_acq_rel)) all.release();
  }
  return *list.load(std::memory_order_acquire);
}

std::string missing(DeviceType type) {
  Kind& kind = open_kind(type);
  if (kind.count > 0) return {};
  if (!opener(kind).here())
    return "the process that this one is a fork of has named its kind, and drivers of GPUs survive "
           "no fork";
  return kind.provider.missing ? kind.provider.missing() : "this build has none of its kind";
}

bool opened_here(Device device) {
  return is_single(device.type()) || opener(open_kind(device.type())).here();
}

std::vector<DeviceRuntime*> open_runtimes() {
  std::vector<DeviceRuntime*> open;
  for (const Kind& kind : registry().kinds)
    for (const Slot& slot : kind.slots)
      if (DeviceRuntime* r = slot.runtime.load(std::memory_order_acquire)) open.push_back(r);
  return open;
}

}  // namespace flash
