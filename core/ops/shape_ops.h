// core/ops/shape_ops.h -- joining and rearranging tensors (views are methods of Tensor)
#pragma once

#include <vector>

#include "../tensor.h"

namespace flash {

FLASH_API Tensor cat(const std::vector<Tensor>& tensors, int dim = 0);
FLASH_API Tensor stack(const std::vector<Tensor>& tensors, int dim = 0);
FLASH_API std::vector<Tensor> split(const Tensor& x, std::int64_t size, int dim = 0);
FLASH_API std::vector<Tensor> chunk(const Tensor& x, int chunks, int dim = 0);
FLASH_API Tensor broadcast_to(const Tensor& x, const Shape& shape);
/// Zero padding (or `value`) of the last dimensions; `pad` is {left, right} of the last one, then
/// of the one before, as in torch.nn.functional.pad.
FLASH_API Tensor pad(const Tensor& x, const Shape& pad, Scalar value = 0);
/// i64 indices → one-hot in `dtype`, along a new last dimension of size `classes`. An index that is
/// out of range gives zeros alone: values are not looked at (PyTorch reads them and throws).
FLASH_API Tensor one_hot(const Tensor& index, std::int64_t classes, DType dtype = DType::kI64);

}  // namespace flash
