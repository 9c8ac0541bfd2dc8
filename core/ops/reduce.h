// core/ops/reduce.h -- reductions over dimensions, and the compositions that are made of them
//
// An empty `dims` reduces all. Sums of bool and integers are i64. f16 and bf16 accumulate in f32
// and round once. The order of additions is fixed (jit/ir/kernel.h) and does not depend on threads.
#pragma once

#include "../tensor.h"

namespace flash {

FLASH_OP(sum, (x, dims, keepdim), const Dims& dims = {}, bool keepdim = false)
FLASH_OP(mean, (x, dims, keepdim), const Dims& dims = {}, bool keepdim = false)
FLASH_OP(prod, (x, dims, keepdim), const Dims& dims = {}, bool keepdim = false)
FLASH_OP(amax, (x, dims, keepdim), const Dims& dims = {}, bool keepdim = false)
FLASH_OP(amin, (x, dims, keepdim), const Dims& dims = {}, bool keepdim = false)
FLASH_OP(any, (x, dims, keepdim), const Dims& dims = {}, bool keepdim = false)
FLASH_OP(all, (x, dims, keepdim), const Dims& dims = {}, bool keepdim = false)
FLASH_OP(var, (x, dims, keepdim, correction), const Dims& dims = {}, bool keepdim = false,
         int correction = 1)
/// Where `using namespace flash` is in force the bare name cannot be told from the namespace std:
/// write x.std() or flash::std(x).
FLASH_OP(std, (x, dims, keepdim, correction), const Dims& dims = {}, bool keepdim = false,
         int correction = 1)
/// Index (i64) of the first largest element along `dim`, without it in the flattened tensor; a NaN
/// counts as the largest.
FLASH_OP(argmax, (x, dim, keepdim), std::optional<int> dim = {}, bool keepdim = false)
FLASH_OP(argmin, (x, dim, keepdim), std::optional<int> dim = {}, bool keepdim = false)
/// log Σ exp(x_i) along `dim`, without overflow; integers and bool become f32.
FLASH_OP(logsumexp, (x, dim, keepdim), int dim, bool keepdim = false)

/// Softmax over `dim`: exp(x_i) / Σ exp(x_j), shifted by the maximum so that it never overflows.
/// x: floating, any shape. Returns: same shape and dtype; rows sum to 1. One kernel when fused.
FLASH_OP(softmax, (x, dim), int dim)
FLASH_OP(log_softmax, (x, dim), int dim)

/// (x - mean) / sqrt(var + eps)·weight + bias over the last dimensions `shape`; weight and bias may
/// be undefined. One kernel when fused.
FLASH_OP(layer_norm, (x, shape, weight, bias, eps), const Shape& shape, const Tensor& weight = {},
         const Tensor& bias = {}, double eps = 1e-5)

/// As layer_norm, but over all dimensions except 1, the channels of x [N, C, ...]; weight, bias and
/// the running statistics are [C]. In training the statistics are the batch's, and the running ones
/// move toward them by `momentum` (the variance unbiased); otherwise the running ones are used.
FLASH_API Tensor batch_norm(const Tensor& x, Tensor& running_mean, Tensor& running_var,
                            const Tensor& weight = {}, const Tensor& bias = {},
                            bool training = false, double momentum = 0.1, double eps = 1e-5);

}  // namespace flash
