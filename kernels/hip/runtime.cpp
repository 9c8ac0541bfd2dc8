// kernels/hip/runtime.cpp -- AMD GPUs: HIP and hiprtc, opened at run time
#include "kernels/hip/runtime.h"

#include "core/env.h"
#include "kernels/gpu/library.h"

namespace flash::hip {
namespace {

std::vector<std::string> folders() {
  constexpr const char* kToolkit[] = {"ROCM_PATH", "HIP_PATH"};
  return gpu::toolkit_folders(kToolkit, "lib", "/opt/rocm/lib");
}
std::vector<std::string> compiler_folders() {
  if (std::string named = env::get_folder(Env::kHiprtc); !named.empty()) return {named};
  return folders();
}

constexpr const char* kDriver[] = {"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5",
                                   "libamdhip64.so"};
// Releases up to 5 have the compiler in the driver's library.
constexpr const char* kCompiler[] = {"libhiprtc.so.7", "libhiprtc.so.6", "libhiprtc.so",
                                     "libamdhip64.so.5", "libamdhip64.so"};

const gpu::Driver& driver() {
  static const gpu::Driver& driver = *new gpu::Driver(vendor());  // outlives static tensors
  return driver;
}

}  // namespace

const gpu::Vendor& vendor() {
  static const gpu::Vendor vendor{
      .type = DeviceType::kHip,
      .name = "HIP",
      .compiler = "hiprtc",
      .hip = true,
      .max_threads = 56,
      .shared_bytes = 74,
      .processors = 63,
      .major = -1,
      .minor = -1,
      .driver_libraries = kDriver,
      .compiler_libraries = kCompiler,
      .driver_folders = folders,
      .compiler_folders = compiler_folders,
      .get_driver =
          "Install AMD's ROCm (Debian: apt-get install libamdhip64-5); in a container, "
          "pass /dev/kfd and /dev/dri in.",
      .get_compiler =
          "Install AMD's ROCm (Debian: apt-get install libamdhip64-5 "
          "libhiprtc-builtins5), or name the folder with libhiprtc by FLASH_HIPRTC.",
      .one_by_one = "AMD_SERIALIZE_KERNEL=3",
  };
  return vendor;
}

gpu::Compiler& compiler() {
  static gpu::Compiler& compiler = *new gpu::Compiler(vendor());
  return compiler;
}

HipRuntime::HipRuntime(int index)
    : DriverRuntime(driver(), compiler(), emit::hip_dialect(), index) {}

int count_devices() { return driver().devices(); }

std::string what_is_missing() { return driver().missing(); }

}  // namespace flash::hip
