// tests/fuzz/prelude.h -- what random programs call beside the public operations
//
// The fuzzer calls these functions, and prints this file in front of a failing program: the two are
// one text, so that what is printed is what ran.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <flash/flash.h>

namespace fuzz {

using namespace flash;

/// splitmix64: small, seekable enough, and the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(next() >> 1) % n; }
  bool one_in(std::int64_t n) { return below(n) == 0; }
  double real() { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  std::uint64_t state_;
};

/// The bytes of a leaf: small numbers, or (wild) among them NaN, infinities and extremes.
inline std::vector<std::uint8_t> values(std::uint64_t seed, const Shape& shape, DType dtype,
                                        bool wild, bool whole) {
  Random r(seed);
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(shape.numel() * size_of(dtype)));
  const auto put = [&](std::int64_t i, auto v) {
    std::memcpy(bytes.data() + static_cast<std::size_t>(i) * sizeof v, &v, sizeof v);
  };
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const double special[] = {std::nan(""), kInf, -kInf,   0.0,    -0.0, 1e-40, -1e-310,
                            6e-8,         1e38, 65520.0, -1e300, 1,    -1};
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    double x = whole ? std::floor(r.real() * 9) - 4 : (r.real() - 0.5) * 6;
    std::int64_t k = r.below(15) - 5;
    if (wild && r.one_in(8)) {
      x = special[r.below(13)];
      k = static_cast<std::int64_t>(r.next());
    }
    switch (dtype) {
      case DType::kBool:
        put(i, static_cast<std::uint8_t>(k & 1));
        break;
      case DType::kU8:
        put(i, static_cast<std::uint8_t>(k));
        break;
      case DType::kI8:
        put(i, static_cast<std::int8_t>(k));
        break;
      case DType::kI16:
        put(i, static_cast<std::int16_t>(k));
        break;
      case DType::kI32:
        put(i, static_cast<std::int32_t>(k));
        break;
      case DType::kI64:
        put(i, k);
        break;
      case DType::kF16:
        put(i, to_half(static_cast<float>(x)).bits);
        break;
      case DType::kBF16:
        put(i, to_bfloat16(static_cast<float>(x)).bits);
        break;
      case DType::kF32:
        put(i, static_cast<float>(x));
        break;
      case DType::kF64:
        put(i, x);
        break;
    }
  }
  return bytes;
}

inline Tensor data(std::uint64_t seed, const Shape& shape, DType dtype, bool wild, bool whole) {
  return from_host(values(seed, shape, dtype, wild, whole).data(), shape, dtype);
}
inline Tensor blob(std::uint64_t seed, const Shape& shape, DType dtype, bool wild, bool whole) {
  auto bytes = std::make_shared<std::vector<std::uint8_t>>(values(seed, shape, dtype, wild, whole));
  return from_blob(bytes->data(), shape, dtype, [bytes] {});
}

inline Tensor with_grad(Tensor t) { return t.set_requires_grad(); }

/// The first elements of `t` in another shape; where there are not enough, some are made of it.
inline Tensor first(const Tensor& t, const Shape& shape) {
  const std::int64_t n = shape.numel();
  if (t.numel() >= n) return t.reshape({-1}).slice(0, 0, n).view(shape);
  if (t.numel() == 0) throw ShapeError("first: of no elements");
  const Tensor more = remainder(arange(n), 7).to(t.dtype());
  return (t.reshape({-1}).slice(0, 0, 1) + more).to(t.dtype()).view(shape);
}

/// As first(), but laid out in another way: 1 flipped, 2 transposed, 3 every other element,
/// 4 broadcast, 5 overlapping.
inline Tensor laid(const Tensor& t, const Shape& shape, int how) {
  const int r = shape.rank();
  if (r == 0 || shape.numel() == 0) return first(t, shape);
  Shape s = shape;
  if (how == 1) return first(t, shape).flip(r - 1);
  if (how == 2 && r > 1) {
    std::swap(s[r - 1], s[r - 2]);
    return first(t, s).transpose(r - 1, r - 2);
  }
  if (how == 3) {
    s[r - 1] *= 2;
    return first(t, s).slice(r - 1, 1, INT64_MAX, 2);
  }
  if (how == 4) {
    s[0] = 1;
    return first(t, s).expand(shape);
  }
  if (how == 5 && r > 1) {
    s[r - 2] = shape[r - 2] + shape[r - 1] - 1;  // windows that move on by one element
    s.erase(r - 1);
    return first(t, s).unfold(r - 2, shape[r - 1], 1);
  }
  return first(t, shape);
}

/// A new tensor with `t` written into a part of it: 0 a block, 1 every other index, 2 backwards,
/// 3 transposed.
inline Tensor written(const Tensor& t, int d, int how) {
  if (t.dim() == 0) {
    Tensor to = full({3}, 1, t.dtype());
    to.select(0, 1).copy_(t);
    return to;
  }
  Shape s = t.shape();
  s[d] = s[d] * 2 + 1;
  if (how == 3) std::swap(s[0], s[s.rank() - 1]);
  Tensor to = full(s, 1, t.dtype());
  Tensor part = how == 3 ? to.transpose(0, to.dim() - 1) : to;
  if (how == 0 || how == 3) part = part.slice(d, 1, 1 + t.size(d));
  if (how == 1) part = part.slice(d, 1, INT64_MAX, 2);
  if (how == 2) part = part.slice(d, 0, t.size(d)).flip(d);
  part.copy_(t);
  return to;
}

inline Tensor batch_norm_of(const Tensor& x, bool training) {
  Tensor mean = full({x.size(1)}, 0.25, x.dtype()), var = full({x.size(1)}, 1.5, x.dtype());
  const Tensor y = batch_norm(x, mean, var, {}, {}, training);
  return y + mean.sum() - var.sum();  // what was written into them counts
}

/// The elements in row-major order.
inline std::vector<std::uint8_t> bytes_of(const Tensor& t) {
  const auto copy = [&]<class T>(T) {
    std::vector<std::uint8_t> b(static_cast<std::size_t>(t.numel()) * sizeof(T));
    const std::vector<T> v = t.to_vector<T>();
    if (!b.empty()) std::memcpy(b.data(), v.data(), b.size());
    return b;
  };
  switch (t.dtype()) {
    case DType::kBool: {
      std::vector<std::uint8_t> b;
      for (const bool x : t.to_vector<bool>()) b.push_back(x);
      return b;
    }
    case DType::kU8:
      return copy(std::uint8_t{});
    case DType::kI8:
      return copy(std::int8_t{});
    case DType::kI16:
      return copy(std::int16_t{});
    case DType::kI32:
      return copy(std::int32_t{});
    case DType::kI64:
      return copy(std::int64_t{});
    case DType::kF16:
      return copy(Half{});
    case DType::kBF16:
      return copy(BFloat16{});
    case DType::kF32:
      return copy(float{});
    case DType::kF64:
      return copy(double{});
  }
  return {};
}

/// FNV-1a over the elements, all NaNs alike.
inline std::uint64_t digest(const Tensor& t) {
  const std::vector<std::uint8_t> bytes = bytes_of(t);
  const auto size = static_cast<std::size_t>(size_of(t.dtype()));
  // Above this, without the sign, lie the NaNs.
  const std::uint64_t infinity = t.dtype() == DType::kF16    ? 0x7C00u
                                 : t.dtype() == DType::kBF16 ? 0x7F80u
                                 : t.dtype() == DType::kF32  ? 0x7F800000u
                                                             : 0x7FF0000000000000u;
  std::uint64_t h = 0xCBF29CE484222325u;
  for (std::size_t i = 0; i < bytes.size(); i += size) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, bytes.data() + i, size);
    const std::uint64_t magnitude = bits & ~(std::uint64_t{1} << (8 * size - 1));
    const bool nan = is_floating(t.dtype()) && magnitude > infinity;
    h = (h ^ (nan ? infinity + 1 : bits)) * 0x100000001B3u;
  }
  return h;
}

/// One line of what a program leaves behind.
inline std::string line_of(const std::string& name, const Tensor& t) {
  char hash[20];
  std::snprintf(hash, sizeof hash, "%016llx", static_cast<unsigned long long>(digest(t)));
  return name + " " + std::string(flash::name(t.dtype())) + " " + t.shape().str() + " " + hash;
}

}  // namespace fuzz
