// kernels/gpu/context.cpp -- one device of a vendor: its context, its one queue, and its errors
#include "kernels/gpu/context.h"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/log.h"

namespace flash::gpu {
namespace {

/// Errors that the driver gives to every later call as well: the context is unusable.
bool loses_the_device(int error) {
  // Uncorrectable ECC error, NVLink error, unavailable; illegal address … launch failure, unknown.
  constexpr std::array kAlways{46,  214, 220, 226, 700, 702, 710, 713,
                               714, 715, 716, 717, 718, 719, 721, 999};
  return std::find(kAlways.begin(), kAlways.end(), error) != kAlways.end();
}

/// "gfx90a:sramecc+:xnack-" in a device's properties. Where in the struct it stands changed between
/// releases, and no other call tells it: it is looked for by how it reads.
std::string find_gfx(const std::vector<char>& properties) {
  const std::string_view all(properties.data(), properties.size());
  for (std::size_t at = all.find("gfx"); at != std::string_view::npos;
       at = all.find("gfx", at + 1)) {
    const std::string_view text = all.substr(at, all.find('\0', at) - at);
    if (text.size() > 5 && std::isdigit(static_cast<unsigned char>(text[3])))
      return std::string(text);
  }
  return {};
}

}  // namespace

Context::Context(const Driver& driver, int ordinal) : driver_(driver), ordinal_(ordinal) {
  const Vendor& vendor = driver.vendor();
  name_ = (vendor.hip ? "hip:" : "cuda:") + std::to_string(ordinal);
  const DriverCalls& d = calls();
  check(d.device(&device_, ordinal), "finding the device");
  char text[256] = {};
  check(d.device_name(text, sizeof text - 1, device_), "asking for the device's name");
  hardware_ = text;
  check(d.device_memory(&memory_, device_), "asking for the device's memory");
  const auto attribute = [&](int number) {
    int value = 0;
    check(d.attribute(&value, number, device_), "asking what the device can do");
    return value;
  };
  processors_ = attribute(vendor.processors);
  max_threads_ = attribute(vendor.max_threads);
  shared_bytes_ = attribute(vendor.shared_bytes);
  if (vendor.hip) {
    std::vector<char> properties(16 << 10);  // of releases so far: 792 and 1472 bytes
    check(d.properties(properties.data(), device_), "asking for the device's properties");
    architecture_ = find_gfx(properties);
    if (architecture_.empty())
      throw DeviceError(name_ + ": the driver does not say which architecture " + hardware_ +
                        " is. Use a ROCm release of 5.0 or later.");
  } else {
    const int major = attribute(vendor.major), minor = attribute(vendor.minor);
    // From 9.0 on the variant with all that this very chip can do.
    architecture_ = "sm_" + std::to_string(10 * major + minor) + (major >= 9 ? "a" : "");
    check(d.retain_context(&context_, device_), "opening the device");
  }
  try {
    check(make_current(), "choosing the device");
    check(d.create_stream(&queue_, kStreamNonBlocking), "making a stream");
    check(d.create_stream(&recorder_, kStreamNonBlocking), "making a stream");
  } catch (...) {
    if (queue_) d.destroy_stream(queue_);
    if (context_) d.release_context(device_);
    throw;
  }
  opened_ = true;
}

Context::~Context() {
  const DriverCalls& d = calls();
  if (make_current() == kSuccess && !lost()) d.synchronize(queue_);
  d.destroy_stream(recorder_);
  d.destroy_stream(queue_);
  if (context_) d.release_context(device_);
}

int Context::make_current() const {
  // HIP has a current device a thread, CUDA a current context.
  return context_ ? calls().set_context(context_) : calls().set_device(ordinal_);
}

void Context::enter() {
  process_.check(name_);
  if (lost()) {
    const std::lock_guard lock(mutex_);
    throw DeviceError(name_ + " was lost: " + loss_);
  }
  check(make_current(), "choosing the device");
}

std::string Context::suspects() const {
  std::string names;
  const std::size_t n = std::min(launches_, recent_.size());
  for (std::size_t i = 0; i < n; ++i)
    names += (i ? ", " : "") + recent_[(launches_ - 1 - i) % recent_.size()];
  if (names.empty()) return "";
  return " Launched since the last wait, the latest first: " + names +
         (launches_ > n ? " and " + std::to_string(launches_ - n) + " before" : "") + ".";
}

std::string Context::note(int error, const char* what) {
  const std::string problem = std::string(what) + " failed: " + driver_.describe(error) + ".";
  if (!opened_) return name_ + ": " + problem + " The device was not opened.";
  if (!loses_the_device(error)) return name_ + ": " + problem + " The device can still be used.";
  const std::lock_guard lock(mutex_);
  if (loss_.empty())
    loss_ = problem + suspects() +
            " What was on the device is gone: start the program again; with " +
            driver_.vendor().one_by_one + " set the call that is to blame fails itself.";
  lost_.store(true, std::memory_order_release);
  return name_ + ": " + loss_;
}

void Context::check(int error, const char* what) {
  if (error != kSuccess) [[unlikely]]
    throw DeviceError(note(error, what));
}

void Context::launched(const std::string& kernel) {
  const std::lock_guard lock(mutex_);
  recent_[launches_++ % recent_.size()] = kernel;
}

void Context::finished() {
  const std::lock_guard lock(mutex_);
  launches_ = 0;
}

void Context::synchronize(const char* what) {
  check(calls().synchronize(queue_), what);
  finished();
}

void Context::free(Address at) noexcept {
  if (!usable() || make_current() != kSuccess) return;
  // Drivers wait for what uses the memory, but only for some kinds of memory do they promise it.
  if (const int error = calls().synchronize(queue_))
    logging::error(note(error, "waiting to free memory"));
  if (const int error = calls().free(at)) logging::error(note(error, "freeing memory"));
}

void Context::unload(Handle module) noexcept {
  let_go(module, calls().unload_module, "unloading a kernel");
}

void Context::destroy_graph(Handle executable) noexcept {
  if (executable) let_go(executable, calls().destroy_executable, "destroying a graph");
}

void Context::let_go(Handle handle, int (*release)(Handle), const char* what) noexcept {
  if (!usable() || make_current() != kSuccess) return;
  if (const int error = calls().synchronize(queue_))  // it may still be running
    logging::error(note(error, (std::string("waiting before ") + what).c_str()));
  if (const int error = release(handle)) logging::error(note(error, what));
}

}  // namespace flash::gpu
