// tests/contract/array.h -- host arrays for references: values in long double, and the formats'
// rounding
//
// Nothing here uses Flash's arithmetic: dtypes, promotion, rounding and wrapping are written again,
// from PyTorch's documentation. A long double of 64 digits holds every element of every dtype
// exactly.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <flash/flash.h>

namespace contract {

using namespace flash;
using Wide = long double;
static_assert(std::numeric_limits<Wide>::digits >= 64, "the reference must hold every i64");

inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInf = std::numeric_limits<double>::infinity();

inline constexpr DType kAllDTypes[] = {DType::kBool, DType::kU8,  DType::kI8,  DType::kI16,
                                       DType::kI32,  DType::kI64, DType::kF16, DType::kBF16,
                                       DType::kF32,  DType::kF64};

/// A row-major array.
struct Array {
  DType dtype = DType::kF32;
  Shape shape;
  std::vector<Wide> v;

  Array() = default;
  Array(DType d, const Shape& s)
      : dtype(d), shape(s), v(static_cast<std::size_t>(s.numel()), Wide{0}) {}
  std::int64_t numel() const { return static_cast<std::int64_t>(v.size()); }
  Wide& operator[](std::int64_t i) { return v[static_cast<std::size_t>(i)]; }
  Wide operator[](std::int64_t i) const { return v[static_cast<std::size_t>(i)]; }
};

/// A floating dtype as IEEE 754 describes formats.
struct Format {
  int digits, least;  ///< digits of the significand; exponent of the least normal number, 2^least
  Wide max;
};
const Format& format(DType floating);
/// The dtype that arithmetic is done in: f32 for the half types.
DType compute(DType d);
/// Half a unit in the last place of 1: a rounding's largest relative error.
Wide unit(DType floating);
/// The least positive number.
Wide tiny(DType floating);
/// Distance of neighbouring numbers at |x|.
Wide ulp(Wide x, DType floating);
/// To nearest, ties to even; overflow to infinity. Subnormals are kept.
Wide rounded(Wide x, DType floating);
/// Modulo 2^bits into the range of an integer dtype; bool: nonzero.
Wide wrapped(std::uint64_t bits, DType integral);
/// NaN and what is out of range give 0.
inline std::int64_t to_int(Wide x) {
  return x >= -0x1p63L && x < 0x1p63L ? static_cast<std::int64_t>(x) : 0;
}
inline std::uint64_t to_bits(Wide x) { return static_cast<std::uint64_t>(to_int(x)); }
Wide least_int(DType integral);
Wide most_int(DType integral);

/// A conversion as PyTorch makes it: toward zero into integers, integers wrap, half types round
/// through f32. A float that an integer dtype does not hold gives NaN: unspecified.
Wide converted(Wide x, DType from, DType to);
Array converted(const Array& a, DType to);

/// torch.promote_types by its two rules: the higher category wins (bool < integer < float); inside
/// a category it is the least dtype that holds both.
DType common(DType a, DType b);

/// Reads a tensor of any dtype and layout.
Array read(const Tensor& t);
/// A contiguous tensor.
Tensor upload(const Array& a);

/// The elements of an array of `shape` are those of `a` at `from(index)`.
Array gathered(const Array& a, const Shape& shape, const std::function<Shape(const Shape&)>& from);
/// Calls f(index, position) for each index of a shape, in row-major order.
void each_index(const Shape& shape, const std::function<void(const Shape&, std::int64_t)>& f);
std::int64_t position(const Shape& shape, const Shape& index);
/// The shape that two broadcast to.
Shape broadcast(const Shape& a, const Shape& b);
Array broadcast(const Array& a, const Shape& shape);

/// Same value: both NaN, or equal with equal signs of zeros. On what read() gives this is equality
/// of bits, all NaNs being alike.
bool same(Wide a, Wide b);

std::string text(Wide x);

}  // namespace contract
