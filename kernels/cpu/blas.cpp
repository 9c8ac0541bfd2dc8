// kernels/cpu/blas.cpp -- opens OpenBLAS with the kernels that fit this CPU
#include "kernels/cpu/blas.h"

#include <dlfcn.h>

#include <climits>
#include <cstdlib>

#include "core/error.h"
#include "core/log.h"

namespace flash::cpu::blas {
namespace {

// The CBLAS interface's types: row-major, no transposition.
constexpr int kRowMajor = 101, kNoTrans = 111;
template <class T>
using Gemm = void (*)(int, int, int, int, int, int, T, const T*, int, const T*, int, T, T*, int);

struct Library {
  Gemm<float> sgemm = nullptr;
  Gemm<double> dgemm = nullptr;
  std::string core;
  std::string error;  ///< why it cannot be used; empty when it can
};

/// Sets a variable for as long as this lives, unless the user has set it.
class Default {
 public:
  Default(const char* name, const char* value) : name_(name) {
    if (!value || std::getenv(name)) return;
    set_ = setenv(name, value, 1) == 0;
  }
  ~Default() {
    if (set_) unsetenv(name_);
  }
  Default(const Default&) = delete;
  Default& operator=(const Default&) = delete;

 private:
  const char* name_;
  bool set_ = false;
};

const char* core_for_this_cpu() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return "SkylakeX";
#endif
  return nullptr;  // its own detection does well
}

Library open() {
  Library lib;
  // Without this OpenBLAS starts a thread for each CPU when it is loaded.
  const Default threads("OPENBLAS_NUM_THREADS", "1");
  const Default core("OPENBLAS_CORETYPE", core_for_this_cpu());
  void* handle = nullptr;
  for (const char* name : {"libopenblas.so.0", "libopenblas.so", "libopenblas.dylib"}) {
    handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (handle) break;
    if (lib.error.empty()) lib.error = dlerror();
  }
  if (!handle) return lib;
  lib.error.clear();
  lib.sgemm = reinterpret_cast<Gemm<float>>(dlsym(handle, "cblas_sgemm"));
  lib.dgemm = reinterpret_cast<Gemm<double>>(dlsym(handle, "cblas_dgemm"));
  if (!lib.sgemm || !lib.dgemm) {
    lib.error = "libopenblas.so.0 has no cblas_sgemm or cblas_dgemm";
    return lib;
  }
  if (auto set = reinterpret_cast<void (*)(int)>(dlsym(handle, "openblas_set_num_threads"))) set(1);
  if (auto get = reinterpret_cast<char* (*)()>(dlsym(handle, "openblas_get_corename")))
    lib.core = get();
  if (logging::enabled(logging::Level::kDebug))
    logging::debug("OpenBLAS opened, kernels: " + lib.core);
  return lib;
}

const Library& library() {
  static const Library lib = open();
  return lib;
}

template <class T>
void call(Gemm<T> Library::*function, std::int64_t m, std::int64_t n, std::int64_t k, const T* a,
          const T* b, T* c, std::int64_t ldc) {
  const Library& lib = library();
  if (!lib.error.empty())
    throw DeviceError("matmul: OpenBLAS cannot be opened (" + lib.error +
                      "). Install it (Debian, Ubuntu: apt-get install libopenblas0-pthread).");
  if (m > INT_MAX || n > INT_MAX || k > INT_MAX || ldc > INT_MAX)
    throw InternalError("blas::gemm: a tile is larger than 32-bit sizes allow");
  const int mi = static_cast<int>(m), ni = static_cast<int>(n), ki = static_cast<int>(k);
  (lib.*function)(kRowMajor, kNoTrans, kNoTrans, mi, ni, ki, T(1), a, ki > 0 ? ki : 1, b, ni, T(0),
                  c, static_cast<int>(ldc));
}

}  // namespace

void gemm(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* b, float* c,
          std::int64_t ldc) {
  call(&Library::sgemm, m, n, k, a, b, c, ldc);
}

void gemm(std::int64_t m, std::int64_t n, std::int64_t k, const double* a, const double* b,
          double* c, std::int64_t ldc) {
  call(&Library::dgemm, m, n, k, a, b, c, ldc);
}

bool available() { return library().error.empty(); }

std::string core_name() { return library().core; }

}  // namespace flash::cpu::blas
