// kernels/cuda/blas_lt.h -- products of f16 and bf16 by cuBLASLt, on tensor cores
//
// Opened at run time, at the first product that it could compute. It multiplies and adds in f32, in
// an order of its own, adds the bias and rounds once: the bits are not the CPU's, and depend on
// sizes, layouts and alignments only. f32 and f64 stay with Flash's own kernels, whose bits are.
#pragma once

#include "kernels/gpu/context.h"
#include "kernels/gpu/product_library.h"

namespace flash::cuda {

std::unique_ptr<gpu::ProductLibrary> make_blas_lt(std::shared_ptr<gpu::Context> context);

}  // namespace flash::cuda
