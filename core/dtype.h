// core/dtype.h -- element types: descriptors, PyTorch's promotion, and C++ types that map to them
#pragma once

#include <cstdint>
#include <string_view>

#include "export.h"

namespace flash {

/// Element type of a tensor. The order is the promotion order inside a category and is part of
/// the serial form of traces: append, never reorder.
enum class DType : std::uint8_t {
  kBool = 0,
  kU8 = 1,
  kI8 = 2,
  kI16 = 3,
  kI32 = 4,
  kI64 = 5,
  kF16 = 6,
  kBF16 = 7,
  kF32 = 8,
  kF64 = 9,
};
inline constexpr int kNumDTypes = 10;

/// Short spellings for user code: `zeros({2, 3}, f64)`.
inline constexpr DType boolean = DType::kBool, u8 = DType::kU8, i8 = DType::kI8, i16 = DType::kI16,
                       i32 = DType::kI32, i64 = DType::kI64, f16 = DType::kF16, bf16 = DType::kBF16,
                       f32 = DType::kF32, f64 = DType::kF64;

enum class DTypeKind : std::uint8_t { kBool, kUnsigned, kSigned, kFloat };

/// What a dtype is. Sub-byte, block-scaled and complex types will fit the same descriptor.
struct DTypeInfo {
  std::string_view name;        ///< "f32"
  std::string_view torch_name;  ///< "float32", as tensors print it
  int bits;                     ///< size of one element
  DTypeKind kind;
  bool complex;
  int block;  ///< elements that share one scale; 1 = none
};

FLASH_API const DTypeInfo& info(DType t);

namespace detail {
inline constexpr std::uint8_t kSizes[kNumDTypes] = {1, 1, 1, 2, 4, 8, 2, 2, 4, 8};
}
constexpr int size_of(DType t) { return detail::kSizes[static_cast<int>(t)]; }
inline std::string_view name(DType t) { return info(t).name; }
constexpr bool is_floating(DType t) { return t >= DType::kF16; }
constexpr bool is_integral(DType t) { return t < DType::kF16; }  ///< includes bool
constexpr bool is_half(DType t) { return t == DType::kF16 || t == DType::kBF16; }

/// The dtype both operands are converted to (torch.promote_types for tensors of rank > 0).
FLASH_API DType promote(DType a, DType b);

/// Parses "f32", "float32", "bool" …; throws DTypeError naming what is known.
FLASH_API DType parse_dtype(std::string_view text);

/// IEEE 754 binary16 and bfloat16 as storage types of host data; arithmetic is done in float.
struct Half {
  std::uint16_t bits = 0;
};
struct BFloat16 {
  std::uint16_t bits = 0;
};
FLASH_API float to_float(Half h);
FLASH_API float to_float(BFloat16 h);
FLASH_API Half to_half(float f);          ///< round to nearest even, subnormals kept
FLASH_API BFloat16 to_bfloat16(float f);  ///< round to nearest even, NaN stays NaN

template <class T>
struct DTypeOf;  // no definition: T is not an element type
#define FLASH_DTYPE_OF(T, D)          \
  template <>                         \
  struct DTypeOf<T> {                 \
    static constexpr DType value = D; \
  };
FLASH_DTYPE_OF(bool, DType::kBool)
FLASH_DTYPE_OF(std::uint8_t, DType::kU8)
FLASH_DTYPE_OF(std::int8_t, DType::kI8)
FLASH_DTYPE_OF(std::int16_t, DType::kI16)
FLASH_DTYPE_OF(std::int32_t, DType::kI32)
FLASH_DTYPE_OF(std::int64_t, DType::kI64)
FLASH_DTYPE_OF(long long, DType::kI64)
FLASH_DTYPE_OF(Half, DType::kF16)
FLASH_DTYPE_OF(BFloat16, DType::kBF16)
FLASH_DTYPE_OF(float, DType::kF32)
FLASH_DTYPE_OF(double, DType::kF64)
#undef FLASH_DTYPE_OF
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

}  // namespace flash
