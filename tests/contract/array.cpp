// tests/contract/array.cpp -- rounding, wrapping, promotion and indexing of reference arrays
#include "contract/array.h"

#include <cmath>
#include <cstring>
#include <sstream>

namespace contract {

const Format& format(DType floating) {
  // Signed powers of two: max = (2 - 2^(1 - digits))·2^exponent.
  static const Format kF16{11, -14, 65504.0L};
  static const Format kBF16{8, -126, std::ldexp(255.0L, 120)};
  static const Format kF32{24, -126, std::ldexp(16777215.0L, 104)};
  static const Format kF64{53, -1022, std::ldexp(9007199254740991.0L, 971)};
  switch (floating) {
    case DType::kF16:
      return kF16;
    case DType::kBF16:
      return kBF16;
    case DType::kF32:
      return kF32;
    default:
      return kF64;
  }
}

DType compute(DType d) { return is_half(d) ? DType::kF32 : d; }
Wide unit(DType floating) { return std::ldexp(1.0L, -format(floating).digits); }
Wide tiny(DType floating) {
  const Format& f = format(floating);
  return std::ldexp(1.0L, f.least - f.digits + 1);
}

Wide ulp(Wide x, DType floating) {
  const Format& f = format(floating);
  int exponent = f.least + 1;
  if (x != 0 && std::isfinite(x)) std::frexp(x, &exponent);
  return std::ldexp(1.0L, std::max(exponent, f.least + 1) - f.digits);
}

Wide rounded(Wide x, DType floating) {
  if (!std::isfinite(x) || x == 0) return x;
  const Wide u = ulp(x, floating);
  const Wide r = std::rint(x / u) * u;  // the environment rounds to nearest even
  return std::fabs(r) > format(floating).max ? std::copysign(kInf, x) : std::copysign(r, x);
}

Wide wrapped(std::uint64_t bits, DType integral) {
  switch (integral) {
    case DType::kBool:
      return bits != 0;
    case DType::kU8:
      return static_cast<std::uint8_t>(bits);
    case DType::kI8:
      return static_cast<std::int8_t>(bits);
    case DType::kI16:
      return static_cast<std::int16_t>(bits);
    case DType::kI32:
      return static_cast<std::int32_t>(bits);
    default:
      return static_cast<Wide>(static_cast<std::int64_t>(bits));
  }
}

Wide least_int(DType d) {
  return d == DType::kBool || d == DType::kU8 ? 0 : -std::ldexp(1.0L, 8 * size_of(d) - 1);
}
Wide most_int(DType d) {
  if (d == DType::kBool) return 1;
  return d == DType::kU8 ? 255 : std::ldexp(1.0L, 8 * size_of(d) - 1) - 1;
}

Wide converted(Wide x, DType from, DType to) {
  if (from == to) return x;
  if (to == DType::kBool) return x != 0;  // NaN is not zero
  if (is_integral(to)) {
    if (is_integral(from)) return wrapped(to_bits(x), to);
    const Wide t = std::trunc(x);
    return t >= least_int(to) && t <= most_int(to) ? t + 0 : kNaN;
  }
  return is_half(to) ? rounded(rounded(x, DType::kF32), to) : rounded(x, to);
}

Array converted(const Array& a, DType to) {
  Array out(to, a.shape);
  for (std::int64_t i = 0; i < a.numel(); ++i) out[i] = converted(a[i], a.dtype, to);
  return out;
}

DType common(DType a, DType b) {
  const auto category = [](DType d) { return d == DType::kBool ? 0 : is_integral(d) ? 1 : 2; };
  if (a == b) return a;
  if (category(a) != category(b)) return category(a) > category(b) ? a : b;
  if (category(a) == 1) {
    if (size_of(a) != size_of(b)) return size_of(a) > size_of(b) ? a : b;
    return DType::kI16;  // u8 and i8: the least that holds both
  }
  if (is_half(a) && is_half(b)) return DType::kF32;  // neither holds the other
  return size_of(a) > size_of(b) ? a : b;
}

namespace {

template <class T>
Array read_as(const Tensor& t) {
  Array a(t.dtype(), t.shape());
  const std::vector<T> v = t.to_vector<T>();
  for (std::size_t i = 0; i < v.size(); ++i) {
    if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
      a.v[i] = static_cast<Wide>(to_float(v[i]));
    else
      a.v[i] = static_cast<Wide>(v[i]);
  }
  return a;
}

/// Bits of a value that `d` holds exactly.
std::uint64_t bits_of(Wide x, DType d) {
  const auto bits = [](auto v) {
    std::uint64_t b = 0;
    std::memcpy(&b, &v, sizeof v);
    return b;
  };
  switch (d) {
    case DType::kF16:
      return to_half(static_cast<float>(x)).bits;
    case DType::kBF16:
      return to_bfloat16(static_cast<float>(x)).bits;
    case DType::kF32:
      return bits(static_cast<float>(x));
    case DType::kF64:
      return bits(static_cast<double>(x));
    default:
      return to_bits(x);
  }
}

}  // namespace

Array read(const Tensor& t) {
  switch (t.dtype()) {
    case DType::kBool:
      return read_as<bool>(t);
    case DType::kU8:
      return read_as<std::uint8_t>(t);
    case DType::kI8:
      return read_as<std::int8_t>(t);
    case DType::kI16:
      return read_as<std::int16_t>(t);
    case DType::kI32:
      return read_as<std::int32_t>(t);
    case DType::kI64:
      return read_as<std::int64_t>(t);
    case DType::kF16:
      return read_as<Half>(t);
    case DType::kBF16:
      return read_as<BFloat16>(t);
    case DType::kF32:
      return read_as<float>(t);
    case DType::kF64:
      return read_as<double>(t);
  }
  return {};
}

Tensor upload(const Array& a) {
  const auto size = static_cast<std::size_t>(size_of(a.dtype));
  std::vector<char> bytes(a.v.size() * size);
  for (std::size_t i = 0; i < a.v.size(); ++i) {
    const std::uint64_t b = bits_of(a.v[i], a.dtype);
    std::memcpy(bytes.data() + i * size, &b, size);
  }
  return from_host(bytes.data(), a.shape, a.dtype);
}

std::int64_t position(const Shape& shape, const Shape& index) {
  std::int64_t p = 0;
  for (int d = 0; d < shape.rank(); ++d) p = p * shape[d] + index[d];
  return p;
}

void each_index(const Shape& shape, const std::function<void(const Shape&, std::int64_t)>& f) {
  Shape index;
  for (int d = 0; d < shape.rank(); ++d) index.push_back(0);
  const std::int64_t n = shape.numel();
  for (std::int64_t i = 0; i < n; ++i) {
    f(index, i);
    for (int d = shape.rank() - 1; d >= 0 && ++index[d] == shape[d]; --d) index[d] = 0;
  }
}

Array gathered(const Array& a, const Shape& shape, const std::function<Shape(const Shape&)>& from) {
  Array out(a.dtype, shape);
  each_index(shape, [&](const Shape& index, std::int64_t i) {
    out[i] = a[position(a.shape, from(index))];
  });
  return out;
}

Shape broadcast(const Shape& a, const Shape& b) {
  Shape s = a.rank() >= b.rank() ? a : b;
  for (int d = 1; d <= std::min(a.rank(), b.rank()); ++d) {
    const std::int64_t x = a[a.rank() - d], y = b[b.rank() - d];
    s[s.rank() - d] = x == 1 ? y : x;
  }
  return s;
}

Array broadcast(const Array& a, const Shape& shape) {
  return gathered(a, shape, [&](const Shape& index) {
    Shape from;
    const int lead = shape.rank() - a.shape.rank();
    for (int d = 0; d < a.shape.rank(); ++d) from.push_back(a.shape[d] == 1 ? 0 : index[lead + d]);
    return from;
  });
}

bool same(Wide a, Wide b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b && std::signbit(a) == std::signbit(b);
}

std::string text(Wide x) {
  std::ostringstream s;
  s.precision(19);
  s << x;
  return s.str();
}

}  // namespace contract
