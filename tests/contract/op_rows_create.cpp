// tests/contract/op_rows_create.cpp -- rows of the operation table: tensors out of nothing
#include <cmath>
#include <functional>
#include <numbers>

#include "contract/op_table.h"
#include "core/random.h"

namespace contract {
namespace {

using Make = std::function<Tensor(DType)>;

Row creation(const char* name, std::string variant, DTypes accepts, Make make,
             std::function<Expected(DType)> reference, Bound bound = {}) {
  return {name,
          std::move(variant),
          accepts,
          [make](Operands, DType d) { return make(d); },
          [reference](Values, DType d) { return reference(d); },
          [](DType) { return std::vector<Call>(1); },
          bound};
}

/// Element i of a shape is f(i), in integers without its fraction.
Expected filled(DType d, const Shape& s, const std::function<Wide(std::int64_t)>& f) {
  Expected e(d, s);
  for (std::int64_t i = 0; i < e.value.numel(); ++i) {
    const Wide x = f(i);
    e[i] = d == DType::kBool ? Wide(x != 0)
           : is_integral(d)  ? wrapped(to_bits(std::trunc(x)), d)
                             : x;
  }
  return e;
}

const Shape kShape{9, 37};
constexpr std::uint64_t kSeed = 0x1234567890ab;

/// The words of a generator that starts at kSeed: Philox, as core/random.h defines the stream.
double uniform64(std::uint64_t block, std::int64_t i) {
  const auto n = static_cast<std::uint64_t>(i);
  const std::uint32_t high = philox_element(kSeed, block, 2 * n + 1),
                      low = philox_element(kSeed, block, 2 * n);
  return (static_cast<double>(high >> 5) * 0x1p26 + static_cast<double>(low >> 6)) * 0x1p-53;
}
double uniform32(std::uint64_t block, std::int64_t i) {
  return uniform_from_word(philox_element(kSeed, block, static_cast<std::uint64_t>(i)));
}
/// What rand() draws for a dtype; half types keep as many bits as they have below 1.
double uniform(DType d, std::uint64_t block, std::int64_t i) {
  if (d == DType::kF64) return uniform64(block, i);
  const double u = uniform32(block, i);
  if (!is_half(d)) return u;
  const double scale = d == DType::kF16 ? 2048 : 256;
  return std::floor(u * scale) / scale;
}
std::uint64_t blocks(DType d, std::int64_t n) {
  const std::int64_t words = d == DType::kF64 ? 2 * n : n;
  return static_cast<std::uint64_t>((words + 3) / 4);
}

}  // namespace

std::vector<Row> creation_rows() {
  std::vector<Row> rows;
  const auto constant = [](Wide x) {
    return [=](DType d) { return filled(d, kShape, [=](std::int64_t) { return x; }); };
  };
  rows.push_back(creation(
      "full", "dtype", kAny, [](DType d) { return full(kShape, 2.75, d); }, constant(2.75L)));
  rows.push_back(creation(
      "full", "options", kAny, [](DType d) { return full(kShape, 3, {.dtype = d}); },
      [](DType d) { return filled(d, kShape, [](std::int64_t) { return 3; }); }));
  rows.push_back(creation(
      "full", "nothing", kAny,
      [](DType d) {
        return full({0, 3}, 1, d);
      },
      [](DType d) {
        return Expected(d, {0, 3});
      }));
  rows.push_back(creation(
      "zeros", "", kAny, [](DType d) { return zeros(kShape, d); }, constant(0)));
  rows.push_back(creation(
      "ones", "", kAny, [](DType d) { return ones(kShape, d); }, constant(1)));
  rows.push_back(creation(
      "zeros_like", "", kAny, [](DType d) { return zeros_like(ones(kShape, d)); }, constant(0)));
  rows.push_back(creation(
      "ones_like", "", kAny, [](DType d) { return ones_like(zeros(kShape, d)); }, constant(1)));
  rows.push_back(creation(
      "full_like", "", kAny, [](DType d) { return full_like(zeros(kShape, d), 5); }, constant(5)));
  rows.push_back(creation(
      "scalar_tensor", "", kAny, [](DType d) { return scalar_tensor(2.75, d); },
      [](DType d) { return filled(d, {}, [](std::int64_t) { return 2.75L; }); }));
  rows.push_back(creation(
      "tensor", "", kAny,
      [](DType d) {
        return tensor({1.5, 0, 3}, d);
      },
      [](DType d) {
        return filled(d, {3}, [](std::int64_t i) { return i == 0 ? 1.5L : i == 1 ? 0 : 3; });
      }));
  rows.push_back(creation(
      "eye", "", kAny, [](DType d) { return eye(5, d); },
      [](DType d) {
        return filled(d, {5, 5}, [](std::int64_t i) { return i % 6 == 0; });
      }));

  // These choose their dtype from their arguments: they run once, whatever the row's dtype is.
  const DTypes once{1u << static_cast<int>(DType::kF32)};
  const std::size_t first = rows.size();
  rows.push_back(creation(
      "arange", "integers", once, [](DType) { return arange(3, -70, -7); },
      [](DType) { return filled(DType::kI64, {11}, [](std::int64_t i) { return 3 - 7 * i; }); }));
  rows.push_back(creation(
      "arange", "end alone", once, [](DType) { return arange(67); },
      [](DType) { return filled(DType::kI64, {67}, [](std::int64_t i) { return i; }); }));
  rows.push_back(creation(
      "arange", "floats", once, [](DType) { return arange(0.0, 1.0, 0.3); },
      [](DType) {
        return filled(DType::kF32, {4},
                      [](std::int64_t i) { return 0.3 * static_cast<double>(i); });
      }));
  rows.push_back(creation(
      "arange", "nothing", once, [](DType) { return arange(3, 3); },
      [](DType) { return Expected(DType::kI64, {0}); }));
  for (const std::int64_t n : {0, 1, 2, 60})
    rows.push_back(creation(
        "linspace", std::to_string(n) + " steps", kAny,
        [n](DType d) { return linspace(-1, 3, n, d); },
        [n](DType d) {
          // Computed in f64 from either end, then converted. No step but the ends is an integer.
          Expected e = filled(d, {n}, [n](std::int64_t i) {
            return n == 1 ? -1 : -1 + 4 * static_cast<Wide>(i) / static_cast<Wide>(n - 1);
          });
          for (std::int64_t i = 0; i < n; ++i)
            e.slack_at(i) = i > 0 && i + 1 < n ? 16 * unit(DType::kF64) : 0;
          return e;
        }));

  rows.push_back(creation(
      "rand", "", kFloating,
      [](DType t) {
        manual_seed(kSeed);
        return rand(kShape, t);
      },
      [](DType t) {
        return filled(t, kShape, [t](std::int64_t i) -> Wide { return uniform(t, 0, i); });
      }));
  // Box-Muller: the logarithm, root and cosine are within 2 ULP, and the cosine's argument,
  // 2πv, is rounded twice.
  rows.push_back(creation(
      "randn", "", kFloating,
      [](DType t) {
        manual_seed(kSeed);
        return randn(kShape, t);
      },
      [](DType t) {
        const DType draw = compute(t);
        const std::uint64_t second = blocks(draw, kShape.numel());
        Expected e(t, kShape);
        for (std::int64_t i = 0; i < kShape.numel(); ++i) {
          const Wide u = uniform(draw, 0, i), v = uniform(draw, second, i);
          const Wide radius = std::sqrt(-2 * std::log(1 - u));
          const Wide turn = 2 * std::numbers::pi_v<Wide> * v;
          e[i] = radius * std::cos(turn);
          e.slack_at(i) = radius * unit(draw) * (2 * turn + 10);
        }
        return e;
      }));
  rows.push_back(creation(
      "randint", "", once,
      [](DType) {
        manual_seed(kSeed);
        return randint(-3, 12, kShape);
      },
      [](DType) {
        return filled(DType::kI64, kShape,
                      [](std::int64_t i) -> Wide { return std::floor(uniform64(0, i) * 15) - 3; });
      }));
  for (std::size_t i = first; i < rows.size(); ++i)
    rows[i].refuses_others = rows[i].accepts.bits != once.bits;

  rows.push_back({"dropout",
                  "",
                  kFloating,
                  [](Operands in, DType) {
                    manual_seed(kSeed);
                    return dropout(in[0], 0.25);
                  },
                  [](Values in, DType d) {
                    // Kept where the draw is at least p; the factor is rounded to the dtype.
                    Expected e(d, in[0].shape);
                    const Wide factor = rounded(1 / 0.75L, d);
                    for (std::int64_t i = 0; i < e.value.numel(); ++i)
                      e[i] = uniform32(0, i) >= 0.25 ? in[0][i] * factor : 0;
                    return e;
                  },
                  [](DType d) {
                    return layouts_of(ordinary, d, {{}, {67}, {0}}, {9, 37});
                  },
                  {.zero_sign = false}});
  rows.push_back({"dropout", "evaluation", kFloating,
                  [](Operands in, DType) { return dropout(in[0], 0.25, false); },
                  [](Values in, DType) { return Expected(in[0]); },
                  [](DType d) {
                    return layouts_of(ordinary, d, {{67}}, {9, 37});
                  }});
  return rows;
}

}  // namespace contract
