// core/dtype.cpp -- dtype descriptors, promotion, parsing, and the two half formats
#include "core/dtype.h"

#include <bit>
#include <cstddef>
#include <string>

#include "core/error.h"

namespace flash {
namespace {

constexpr DTypeInfo kInfo[kNumDTypes] = {
    {"bool", "bool", 8, DTypeKind::kBool, false, 1},
    {"u8", "uint8", 8, DTypeKind::kUnsigned, false, 1},
    {"i8", "int8", 8, DTypeKind::kSigned, false, 1},
    {"i16", "int16", 16, DTypeKind::kSigned, false, 1},
    {"i32", "int32", 32, DTypeKind::kSigned, false, 1},
    {"i64", "int64", 64, DTypeKind::kSigned, false, 1},
    {"f16", "float16", 16, DTypeKind::kFloat, false, 1},
    {"bf16", "bfloat16", 16, DTypeKind::kFloat, false, 1},
    {"f32", "float32", 32, DTypeKind::kFloat, false, 1},
    {"f64", "float64", 64, DTypeKind::kFloat, false, 1},
};

/// Other names users bring along.
struct Alias {
  std::string_view text;
  DType dtype;
};
constexpr Alias kAliases[] = {
    {"boolean", DType::kBool}, {"byte", DType::kU8},   {"char", DType::kI8},
    {"short", DType::kI16},    {"int", DType::kI32},   {"long", DType::kI64},
    {"half", DType::kF16},     {"float", DType::kF32}, {"double", DType::kF64},
};

// PyTorch's table (torch.promote_types, "Type Promotion" in its tensor attributes page), row by
// row. Two rules make it: a higher category wins (bool < integer < float), and inside a category
// the smallest type that holds both does. Hence u8 with i8 is i16, and f16 with bf16 is f32.
constexpr DType kPromote[kNumDTypes][kNumDTypes] = {
    {boolean, u8, i8, i16, i32, i64, f16, bf16, f32, f64},      // bool
    {u8, u8, i16, i16, i32, i64, f16, bf16, f32, f64},          // u8
    {i8, i16, i8, i16, i32, i64, f16, bf16, f32, f64},          // i8
    {i16, i16, i16, i16, i32, i64, f16, bf16, f32, f64},        // i16
    {i32, i32, i32, i32, i32, i64, f16, bf16, f32, f64},        // i32
    {i64, i64, i64, i64, i64, i64, f16, bf16, f32, f64},        // i64
    {f16, f16, f16, f16, f16, f16, f16, f32, f32, f64},         // f16
    {bf16, bf16, bf16, bf16, bf16, bf16, f32, bf16, f32, f64},  // bf16
    {f32, f32, f32, f32, f32, f32, f32, f32, f32, f64},         // f32
    {f64, f64, f64, f64, f64, f64, f64, f64, f64, f64},         // f64
};

}  // namespace

const DTypeInfo& info(DType t) {
  const auto i = static_cast<std::size_t>(t);
  if (i >= kNumDTypes) {
    throw DTypeError("info: " + std::to_string(i) + " is not the number of a dtype (want 0 to " +
                     std::to_string(kNumDTypes - 1) + ")");
  }
  return kInfo[i];
}

DType promote(DType a, DType b) {
  return kPromote[static_cast<std::size_t>(a)][static_cast<std::size_t>(b)];
}

DType parse_dtype(std::string_view text) {
  std::string_view bare = text;
  if (bare.starts_with("torch.")) bare.remove_prefix(6);
  for (int i = 0; i < kNumDTypes; ++i) {
    if (bare == kInfo[i].name || bare == kInfo[i].torch_name) return static_cast<DType>(i);
  }
  for (const Alias& alias : kAliases) {
    if (bare == alias.text) return alias.dtype;
  }
  std::string known;
  for (const DTypeInfo& d : kInfo) {
    if (!known.empty()) known += ", ";
    known += d.name;
  }
  throw DTypeError("parse_dtype: \"" + std::string(text.substr(0, 40)) +
                   "\" is not a dtype; known are " + known +
                   " and PyTorch's names for them (float32, uint8, ...)");
}

float to_float(Half h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h.bits & 0x8000u) << 16;
  const std::uint32_t exponent = (h.bits >> 10) & 0x1fu;
  const std::uint32_t mantissa = h.bits & 0x3ffu;
  if (exponent == 0x1f) {  // inf, or NaN with its payload, made quiet as F16C does
    const std::uint32_t quiet = mantissa ? 0x00400000u : 0u;
    return std::bit_cast<float>(sign | 0x7f800000u | quiet | mantissa << 13);
  }
  if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24, which float holds exactly
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  return std::bit_cast<float>(sign | (exponent + 127 - 15) << 23 | mantissa << 13);
}

float to_float(BFloat16 h) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(h.bits) << 16);
}

Half to_half(float f) {
  const auto bits = std::bit_cast<std::uint32_t>(f);
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  std::uint32_t half;
  if (magnitude > 0x7f800000u) {  // NaN: keep the top of the payload, make it quiet
    half = 0x7e00u | (magnitude >> 13 & 0x1ffu);
  } else if (magnitude >= 0x47800000u) {  // 2^16 and above, and inf
    half = 0x7c00u;
  } else if (magnitude >= 0x38800000u) {  // 2^-14 and above: a normal half, or rounds up to inf
    const std::uint32_t odd = magnitude >> 13 & 1u;
    half = (magnitude - (112u << 23) + 0xfffu + odd) >> 13;
  } else if (magnitude >= 0x33000000u) {  // 2^-25 and above: rounds to a subnormal or to zero
    const std::uint32_t shift = 126 - (magnitude >> 23);  // 14 … 24
    const std::uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    const std::uint32_t kept = mantissa >> shift;
    const std::uint32_t rest = mantissa & ((1u << shift) - 1);
    const std::uint32_t tie = 1u << (shift - 1);
    half = kept + ((rest > tie || (rest == tie && (kept & 1u))) ? 1u : 0u);
  } else {
    half = 0;
  }
  return Half{static_cast<std::uint16_t>(sign | half)};
}

BFloat16 to_bfloat16(float f) {
  const auto bits = std::bit_cast<std::uint32_t>(f);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return BFloat16{
        static_cast<std::uint16_t>(bits >> 16 | 0x40u)};  // quiet, so never rounds to inf
  }
  return BFloat16{static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}

}  // namespace flash
