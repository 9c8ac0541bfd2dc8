// core/ops/reduce.h -- reductions over dimensions, and the compositions that are made of them
//
// An empty `dims` reduces all. Sums of bool and integers are i64. f16 and bf16 accumulate in f32
// and round once. The order of additions is fixed (jit/ir/kernel.h) and does not depend on threads.
#pragma once

#include "../tensor.h"

namespace flash {

FLASH_API Tensor sum(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
FLASH_API Tensor mean(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
FLASH_API Tensor prod(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
FLASH_API Tensor amax(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
FLASH_API Tensor amin(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
FLASH_API Tensor any(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
FLASH_API Tensor all(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
FLASH_API Tensor var(const Tensor& x, const Shape& dims = {}, bool keepdim = false,
                     int correction = 1);
FLASH_API Tensor std(const Tensor& x, const Shape& dims = {}, bool keepdim = false,
                     int correction = 1);
/// Index (i64) of the first largest element along `dim`; a NaN counts as the largest.
FLASH_API Tensor argmax(const Tensor& x, int dim, bool keepdim = false);
FLASH_API Tensor argmin(const Tensor& x, int dim, bool keepdim = false);
FLASH_API Tensor logsumexp(const Tensor& x, int dim, bool keepdim = false);

/// Softmax over `dim`: exp(x_i) / Σ exp(x_j), shifted by the maximum so that it never overflows.
/// x: floating, any shape. Returns: same shape and dtype; rows sum to 1. One kernel when fused.
FLASH_API Tensor softmax(const Tensor& x, int dim);
FLASH_API Tensor log_softmax(const Tensor& x, int dim);

/// (x - mean) / sqrt(var + eps)·weight + bias over the last dimensions `shape`; weight and bias may
/// be undefined. One kernel when fused.
FLASH_API Tensor layer_norm(const Tensor& x, const Shape& shape, const Tensor& weight = {},
                            const Tensor& bias = {}, double eps = 1e-5);

/// As layer_norm, but over all dimensions except 1, the channels of x [N, C, ...]; weight, bias and
/// the running statistics are [C]. In training the statistics are the batch's, and the running ones
/// move toward them by `momentum` (the variance unbiased); otherwise the running ones are used.
FLASH_API Tensor batch_norm(const Tensor& x, Tensor& running_mean, Tensor& running_var,
                            const Tensor& weight = {}, const Tensor& bias = {},
                            bool training = false, double momentum = 0.1, double eps = 1e-5);

}  // namespace flash
