// kernels/cuda/runtime.cpp -- NVIDIA GPUs: the driver's own interface and NVRTC, opened at run time
#include "kernels/cuda/runtime.h"

#include <cstdlib>
#include <iterator>

#include "core/env.h"
#include "kernels/cuda/blas_lt.h"
#include "kernels/gpu/library.h"

namespace flash::cuda {
namespace {

std::vector<std::string> driver_folders() { return {"", "/usr/lib/wsl/lib"}; }

std::vector<std::string> compiler_folders() {
  if (std::string named = env::get_folder(Env::kNvrtc); !named.empty()) return {named};
  return toolkit_folders();
}

constexpr const char* kDriver[] = {"libcuda.so.1", "libcuda.so"};
constexpr const char* kCompiler[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2",
                                     "libnvrtc.so"};

const gpu::Driver& driver() {
  static const gpu::Driver& driver = *new gpu::Driver(vendor());  // outlives static tensors
  return driver;
}

}  // namespace

std::vector<std::string> toolkit_folders() {
  constexpr const char* kToolkit[] = {"CUDA_HOME", "CUDA_PATH"};
  return gpu::toolkit_folders(kToolkit, "lib64", "/usr/local/cuda/lib64");
}

const gpu::Vendor& vendor() {
  static const gpu::Vendor vendor{
      .type = DeviceType::kCuda,
      .name = "CUDA",
      .compiler = "NVRTC",
      .hip = false,
      .max_threads = 1,
      .shared_bytes = 8,
      .processors = 16,
      .major = 75,
      .minor = 76,
      .driver_libraries = kDriver,
      .compiler_libraries = kCompiler,
      .driver_folders = driver_folders,
      .compiler_folders = compiler_folders,
      .get_driver = "NVIDIA's driver brings it; in a container, start that with its GPUs.",
      .get_compiler =
          "Install the CUDA toolkit, or PyPI's nvidia-cuda-nvrtc, and name the folder with "
          "libnvrtc by FLASH_NVRTC.",
      .one_by_one = "CUDA_LAUNCH_BLOCKING=1",
  };
  return vendor;
}

gpu::Compiler& compiler() {
  static gpu::Compiler& compiler = *new gpu::Compiler(vendor());
  return compiler;
}

CudaRuntime::CudaRuntime(int index)
    : DriverRuntime(driver(), compiler(), emit::cuda_dialect(), index) {
  if (env::get_choice(Env::kTensorCores) == "off") return;
  use(make_blas_lt(context()));
  constexpr int kFirstWithMma = 80;  // m16n8k16, and bf16
  if (std::atoi(context()->architecture().c_str() + std::size("sm_") - 1) >= kFirstWithMma)
    use_tensor_cores();
}

int count_devices() { return driver().devices(); }

std::string what_is_missing() { return driver().missing(); }

}  // namespace flash::cuda
