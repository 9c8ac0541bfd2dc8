// tests/gpu/fake.cpp -- the fake drivers, as tests steer them
#include "fake.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "kernels/cuda/runtime.h"
#include "kernels/hip/runtime.h"

namespace flash::test {
namespace {

void* load(const char* name) {
  void* handle = dlopen((std::string(FAKE_GPU_LIBRARIES "/") + name).c_str(), RTLD_NOW);
  if (!handle) {
    std::fprintf(stderr, "%s\n", dlerror());
    std::abort();
  }
  return handle;
}

// Loaded by their places, they are found by their names from here on.
struct Handles {
  Handles() {
    // What a fake compiler makes is of no use to a real one; the kernels' own code is to be tested.
    const bool cold = std::getenv("FAKE_GPU_COLD") != nullptr;
    if (cold) {
      cache = (std::filesystem::temp_directory_path() / "flash_XXXXXX").string();
      if (!mkdtemp(cache.data())) {
        std::perror(cache.c_str());
        std::abort();
      }
    }
    setenv("FLASH_CACHE_DIR", cold ? cache.c_str() : "off", 1);
    setenv("FLASH_COMPILE", cold ? "background" : "wait", 1);
  }
  ~Handles() {
    std::error_code ignored;
    if (process == getpid() && !cache.empty()) std::filesystem::remove_all(cache, ignored);
  }
  const pid_t process = getpid();
  std::string cache;
  void* cuda = load("libcuda.so.1");
  void* nvrtc = load("libnvrtc.so.13");
  void* hip = load("libamdhip64.so.7");
  void* hiprtc = load("libhiprtc.so.7");
  void* blas = load("libcublasLt.so.13");
} const handles;

template <class F>
F symbol(void* library, const char* name) {
  return reinterpret_cast<F>(dlsym(library, name));
}

template <class Runtime, int (*count)()>
std::vector<std::unique_ptr<DeviceRuntime>> runtimes_of() {
  std::vector<std::unique_ptr<DeviceRuntime>> all;
  for (int i = 0; i < count(); ++i) all.push_back(std::make_unique<Runtime>(i));
  return all;
}

}  // namespace

Fake Fake::cuda() {
  Fake f;
  f.name = "cuda";
  f.open = runtimes_of<flash::cuda::CudaRuntime, flash::cuda::count_devices>;
  f.libraries_ = {handles.cuda, handles.nvrtc, handles.blas};
  return f;
}
Fake Fake::hip() {
  Fake f;
  f.name = "hip";
  f.open = runtimes_of<flash::hip::HipRuntime, flash::hip::count_devices>;
  f.libraries_ = {handles.hip, handles.hiprtc};
  return f;
}
std::vector<Fake> fakes() { return {Fake::cuda(), Fake::hip()}; }

void Fake::fail(const std::string& call, int nth, int error) const {
  for (void* library : libraries_)
    symbol<void (*)(const char*, int, int)>(library, "fake_gpu_fail")(call.c_str(), nth, error);
}
long Fake::calls(const std::string& call) const {
  long n = 0;
  for (void* library : libraries_)
    n += symbol<long (*)(const char*)>(library, "fake_gpu_calls")(call.c_str());
  return n;
}
long Fake::live(const std::string& what) const {
  long n = 0;
  for (void* library : libraries_)
    n += symbol<long (*)(const char*)>(library, "fake_gpu_live")(what.c_str());
  return n;
}
void Fake::reset() const {
  for (void* library : libraries_) symbol<void (*)()>(library, "fake_gpu_reset")();
}

}  // namespace flash::test
