// core/ops/create.h -- tensors out of nothing: constants, ranges, random numbers
#pragma once

#include <concepts>

#include "../random.h"
#include "../tensor.h"

namespace flash {

/// On the default device unless the options name another; zeros and ones are f32 then, and full is
/// of the value's kind: bool, i64 or f32. A dtype stands for the options that say just that; it is
/// a template so that `full(shape, value, {})` means the default options and not DType{}, which is
/// bool.
FLASH_API Tensor full(const Shape& shape, Scalar value, const TensorOptions& o = {});
FLASH_API Tensor zeros(const Shape& shape, const TensorOptions& o = {});
FLASH_API Tensor ones(const Shape& shape, const TensorOptions& o = {});
template <std::same_as<DType> D>
Tensor full(const Shape& shape, Scalar value, D dtype) {
  return full(shape, value, TensorOptions{.dtype = dtype});
}
template <std::same_as<DType> D>
Tensor zeros(const Shape& shape, D dtype) {
  return zeros(shape, TensorOptions{.dtype = dtype});
}
template <std::same_as<DType> D>
Tensor ones(const Shape& shape, D dtype) {
  return ones(shape, TensorOptions{.dtype = dtype});
}
FLASH_API Tensor zeros_like(const Tensor& t);
FLASH_API Tensor ones_like(const Tensor& t);
FLASH_API Tensor full_like(const Tensor& t, Scalar value);
FLASH_API Tensor scalar_tensor(Scalar value, DType dtype,
                               Device device = default_device());  ///< 0-d
/// 1-d. By default f32 if one of the numbers is floating or there are none, else i64 if one is an
/// integer, else bool.
FLASH_API Tensor tensor(std::initializer_list<Scalar> values, const TensorOptions& o = {});
template <std::same_as<DType> D>
Tensor tensor(std::initializer_list<Scalar> values, D dtype) {
  return tensor(values, TensorOptions{.dtype = dtype});
}

/// start, start + step, … below end. By default i64 if all are integers, else f32.
FLASH_API Tensor arange(Scalar start, Scalar end, Scalar step = 1, const TensorOptions& o = {});
FLASH_API Tensor arange(Scalar start, Scalar end, const TensorOptions& o);
FLASH_API Tensor arange(Scalar end, const TensorOptions& o = {});
template <std::same_as<DType> D>
Tensor arange(Scalar start, Scalar end, Scalar step, D dtype) {
  return arange(start, end, step, TensorOptions{.dtype = dtype});
}
template <std::same_as<DType> D>
Tensor arange(Scalar start, Scalar end, D dtype) {
  return arange(start, end, TensorOptions{.dtype = dtype});
}
template <std::same_as<DType> D>
Tensor arange(Scalar end, D dtype) {
  return arange(end, TensorOptions{.dtype = dtype});
}
FLASH_API Tensor linspace(double start, double end, std::int64_t steps,
                          const TensorOptions& o = {});
FLASH_API Tensor eye(std::int64_t n, const TensorOptions& o = {});
template <std::same_as<DType> D>
Tensor linspace(double start, double end, std::int64_t steps, D dtype) {
  return linspace(start, end, steps, TensorOptions{.dtype = dtype});
}
template <std::same_as<DType> D>
Tensor eye(std::int64_t n, D dtype) {
  return eye(n, TensorOptions{.dtype = dtype});
}

/// Uniform in [0, 1). The stream is Philox's; see core/random.h. Floating dtypes; halves draw as
/// f32 and round. `generator` null: the default one.
FLASH_API Tensor rand(const Shape& shape, const TensorOptions& o = {},
                      Generator* generator = nullptr);
/// Standard normal, by Box-Muller over two uniform draws.
FLASH_API Tensor randn(const Shape& shape, const TensorOptions& o = {},
                       Generator* generator = nullptr);
template <std::same_as<DType> D>
Tensor rand(const Shape& shape, D dtype, Generator* generator = nullptr) {
  return rand(shape, TensorOptions{.dtype = dtype}, generator);
}
template <std::same_as<DType> D>
Tensor randn(const Shape& shape, D dtype, Generator* generator = nullptr) {
  return randn(shape, TensorOptions{.dtype = dtype}, generator);
}
/// Integers in [low, high), by default i64.
FLASH_API Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape,
                         const TensorOptions& o = {}, Generator* generator = nullptr);
template <std::same_as<DType> D>
Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape, D dtype,
               Generator* generator = nullptr) {
  return randint(low, high, shape, TensorOptions{.dtype = dtype}, generator);
}

}  // namespace flash
