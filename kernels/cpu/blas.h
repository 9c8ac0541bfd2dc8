// kernels/cpu/blas.h -- OpenBLAS, opened at run time so that its choice of kernels can be steered
//
// OpenBLAS chooses its kernels from a list of CPUs when it is loaded. A CPU newer than the library
// gets the kernels of an old one (0.3.21 on Zen 5: Haswell's, half the speed), unless
// OPENBLAS_CORETYPE names better ones before that. So it is not linked but opened on first use.
// Every call runs on the calling thread only: parallelism is Flash's own, over tiles.
#pragma once

#include <cstdint>
#include <string>

namespace flash::cpu::blas {

/// c = a · b. Row-major and packed: a is m × k, b is k × n, c is m × n with rows `ldc` apart.
/// Thread-safe. Throws DeviceError, saying how to install it, when OpenBLAS is not there.
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* b, float* c,
          std::int64_t ldc);
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, const double* a, const double* b,
          double* c, std::int64_t ldc);

/// True when OpenBLAS can be opened; opens it.
bool available();

/// The kernels that OpenBLAS chose: "SkylakeX", "Haswell" …; empty when it is not there.
std::string core_name();

}  // namespace flash::cpu::blas
