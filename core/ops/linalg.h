// core/ops/linalg.h -- matrix products, convolutions, pools, embeddings and losses
//
// Contractions take floating dtypes (f32, f64; f16 and bf16 accumulate in f32 and round once).
// Their bits depend on shape, dtype and the product's kernel (FLASH_ISA; OpenBLAS's core where
// there is no AVX2) only, not on threads, layout or fusion; those of f16 and bf16 on NVIDIA's GPUs
// are the hardware's (FLASH_TENSOR_CORES).
#pragma once

#include "../tensor.h"

namespace flash {

/// torch.matmul: 1-d operands are vectors, leading dimensions broadcast.
FLASH_API Tensor matmul(const Tensor& a, const Tensor& b);
FLASH_OP_ON_TEMPORARIES(matmul)
/// x·weightᵀ + bias. x: [..., in]; weight: [out, in]; bias: [out] or undefined.
FLASH_OP(linear, (x, weight, bias), const Tensor& weight, const Tensor& bias = {})

struct Conv2dOptions {
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t padding_h = 0, padding_w = 0;
  std::int64_t dilation_h = 1, dilation_w = 1;
  std::int64_t groups = 1;
};
/// Cross-correlation. x: [N, C, H, W]; weight: [O, C / groups, KH, KW]; bias: [O] or undefined.
FLASH_OP(conv2d, (x, weight, bias, o), const Tensor& weight, const Tensor& bias = {},
         const Conv2dOptions& o = {})

struct Pool2dOptions {
  std::int64_t kernel_h = 2, kernel_w = 2;
  std::int64_t stride_h = 0, stride_w = 0;  ///< 0: as the kernel
  std::int64_t padding_h = 0, padding_w = 0;
  bool count_include_pad = true;  ///< average pooling only
};
FLASH_OP(max_pool2d, (x, o), const Pool2dOptions& o)
FLASH_OP(avg_pool2d, (x, o), const Pool2dOptions& o)

/// Rows of `weight` [V, D] chosen by integer `index`: [...] → [..., D]. Indices are checked when
/// the kernel runs; one out of range throws IndexError at the flush.
FLASH_API Tensor embedding(const Tensor& index, const Tensor& weight);

enum class Reduction : std::uint8_t { kNone, kMean, kSum };
/// x, the logits: [N, C] floating; target: [N] i64 classes. Targets equal to `ignore_index` count
/// neither in the sum nor in the mean; any other that is not in [0, C) makes the loss NaN: it is a
/// fused kernel, which does not stop. `label_smoothing` in [0, 1).
FLASH_OP(cross_entropy, (x, target, reduction, ignore_index, label_smoothing), const Tensor& target,
         Reduction reduction = Reduction::kMean, std::int64_t ignore_index = -100,
         double label_smoothing = 0.0)
/// x, the log-probabilities: [N, C]; the rest as for cross_entropy.
FLASH_OP(nll_loss, (x, target, reduction, ignore_index), const Tensor& target,
         Reduction reduction = Reduction::kMean, std::int64_t ignore_index = -100)
FLASH_OP(mse_loss, (x, target, reduction), const Tensor& target,
         Reduction reduction = Reduction::kMean)

/// Zeroes each element with probability p and scales the others by 1 / (1 - p), when `training`.
FLASH_OP(dropout, (x, p, training), double p, bool training = true)

}  // namespace flash
