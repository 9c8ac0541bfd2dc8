// kernels/gpu/driver.cpp -- opens a vendor's driver and puts its errors into words
#include "kernels/gpu/driver.h"

#include <cstring>

#include "core/log.h"
#include "kernels/gpu/library.h"

namespace flash::gpu {

Driver::Driver(const Vendor& vendor) : vendor_(vendor) {
  const std::vector<std::string> folders = vendor.driver_folders();
  const Library library = Library::open(folders, vendor.driver_libraries);
  const std::string name = vendor.name;
  if (!library) {
    missing_ = "no " + name + " driver: looked for " + library.tried() + ". " + vendor.get_driver;
    return;
  }
  const char* absent = nullptr;
#define X(member, type, cuda_name, hip_name)                                         \
  if (const char* symbol = vendor.hip ? hip_name : cuda_name) {                      \
    calls.member = reinterpret_cast<decltype(calls.member)>(library.symbol(symbol)); \
    if (!calls.member) absent = symbol;                                              \
  }
  FLASH_DRIVER_CALLS(X)
  if (absent) {
    missing_ = "the " + name + " driver " + library.path() + " is too old: it has no " + absent +
               ". " + vendor.get_driver;
    return;
  }
  FLASH_GRAPH_CALLS(X)
#undef X
  if (absent) {
    logging::info("the " + name + " driver has no " + absent +
                  ": plans are launched kernel by kernel, not as graphs");
    calls.begin_capture = nullptr;
  }
  int error = calls.init(0);
  if (error == kSuccess) error = calls.device_count(&devices_);
  if (error == kNoDevice || (error == kSuccess && devices_ == 0))
    missing_ = "the " + name + " driver " + library.path() +
               " found no device. See that the GPU is visible to this process (containers need it "
               "passed in).";
  else if (error != kSuccess)
    missing_ = "the " + name + " driver " + library.path() + " does not start: " + describe(error) +
               ". See that the kernel module is loaded and fits the library.";
  if (!missing_.empty()) devices_ = 0;
  if (devices_ > 0) version_ = asked_version();
}

std::string Driver::asked_version() const {
  int n = 0;
  if (calls.version(&n) != kSuccess) return "unknown";
  // CUDA: 1000 major + 10 minor. HIP: 10^7 major + 10^5 minor + patch.
  return vendor_.hip ? std::to_string(n / 10'000'000) + "." + std::to_string(n / 100'000 % 100) +
                           "." + std::to_string(n % 100'000)
                     : std::to_string(n / 1000) + "." + std::to_string(n % 1000 / 10);
}

std::string Driver::describe(int error) const {
  const char *name = nullptr, *text = nullptr;
  if (vendor_.hip) {
    name = calls.error_name_of(error);
    text = calls.error_text_of(error);
  } else if (calls.error_name(error, &name) != kSuccess ||
             calls.error_text(error, &text) != kSuccess) {
    name = text = nullptr;
  }
  return std::string(name ? name : "error") + " (" + std::to_string(error) + ")" +
         (text && (!name || std::strcmp(text, name) != 0) ? ": " + std::string(text) : "");
}

}  // namespace flash::gpu
