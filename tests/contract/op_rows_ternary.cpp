// tests/contract/op_rows_ternary.cpp -- rows of the operation table: where, fma, clamp, lerp
#include <cmath>
#include <functional>

#include "contract/op_table.h"

namespace contract {
namespace {

const std::vector<Layout> kPlain3(3, Layout::kContiguous);

/// Three operands, the first of dtype `first`: layouts for each, broadcasting, special values.
std::vector<Call> calls_of_three(DType first, DType d) {
  std::vector<Call> calls;
  std::uint64_t seed = 1;
  const auto add = [&](const Shape& a, const Shape& b, const Shape& c,
                       const std::vector<Layout>& l = kPlain3) {
    calls.push_back(
        {{ordinary(first, a, seed), ordinary(d, b, seed + 1), ordinary(d, c, seed + 2)}, l});
    seed += 3;
  };
  const Shape s{9, 37};
  for (const Layout l : kStrided)
    for (std::size_t k = 0; k < 4; ++k) {
      std::vector<Layout> layouts(3, k == 3 ? l : Layout::kContiguous);
      if (k < 3) layouts[k] = l;
      add(s, s, s, layouts);
    }
  add({67}, {67}, {67});
  add({9, 1}, {1, 37}, {});
  add({}, s, {37});
  add({}, {}, {});
  add({0, 3}, {3}, {1, 1});
  Array a = special(d), b = a, condition(first, {2, 1, 1});
  const std::int64_t n = a.numel();
  a.shape = {n, 1};
  condition.v = {0, 1};
  if (first == DType::kBool) calls.push_back({{condition, a, b}, kPlain3});
  return calls;
}

Row where_row(const char* variant, std::function<Tensor(Operands)> op,
              std::function<Wide(Wide c, Wide a, Wide b)> reference) {
  return {"where",
          variant,
          kAny,
          [op](Operands in, DType) { return op(in); },
          [reference](Values in, DType d) {
            const Shape s = broadcast(broadcast(in[0].shape, in[1].shape), in[2].shape);
            const Array c = broadcast(in[0], s), a = broadcast(in[1], s), b = broadcast(in[2], s);
            Expected e(d, s);
            for (std::int64_t i = 0; i < e.value.numel(); ++i) e[i] = reference(c[i], a[i], b[i]);
            return e;
          },
          [](DType d) { return calls_of_three(DType::kBool, d); }};
}

/// One operand and a scalar choice that each dtype holds.
Row where_scalar_row(const char* variant, bool scalar_first) {
  return {
      "where",
      variant,
      kAny,
      [scalar_first](Operands in, DType) {
        return scalar_first ? where(in[0], true, in[1]) : where(in[0], in[1], true);
      },
      [scalar_first](Values in, DType d) {
        const Shape s = broadcast(in[0].shape, in[1].shape);
        const Array c = broadcast(in[0], s), x = broadcast(in[1], s);
        Expected e(d, s);
        for (std::int64_t i = 0; i < e.value.numel(); ++i)
          e[i] = (c[i] != 0) == scalar_first ? 1 : x[i];
        return e;
      },
      [](DType d) {
        std::vector<Call> calls;
        for (const Layout l : kStrided)
          calls.push_back({{ordinary(DType::kBool, {9, 37}, 1), ordinary(d, {9, 37}, 2)}, {l, l}});
        return calls;
      }};
}

/// Bool becomes i64, as it does with every integer scalar.
Row clamp_row(const char* variant, std::optional<int> low, std::optional<int> high) {
  return {"clamp",
          variant,
          kAny,
          [low, high](Operands in, DType) { return clamp(in[0], low, high); },
          [low, high](Values in, DType d) {
            // Where low > high the result is high.
            Expected e(d == DType::kBool ? DType::kI64 : d, in[0].shape);
            for (std::int64_t i = 0; i < in[0].numel(); ++i) {
              const Wide x = in[0][i];
              e[i] = low && x < *low ? *low : x;
              if (high && e[i] > *high) e[i] = *high;
            }
            return e;
          },
          [](DType d) {
            std::vector<Call> calls = layouts_of(ordinary, d, {{}, {67}, {0}}, {9, 37});
            calls.push_back({{special(d)}, {Layout::kContiguous}});
            return calls;
          },
          {.zero_sign = false}};
}

/// The nearer end, moved towards the other; each step is rounded to the dtype (half types too).
/// Integers become f32 when they meet such a weight.
Row lerp_row(const char* variant, double weight, std::size_t nearer) {
  return {"lerp",
          variant,
          kNumbers,
          [weight](Operands in, DType) { return lerp(in[0], in[1], weight); },
          [weight, nearer](Values in, DType d) {
            const Shape s = broadcast(in[0].shape, in[1].shape);
            const Array a = broadcast(in[0], s), b = broadcast(in[1], s);
            const Array& near = nearer == 0 ? a : b;
            const Wide part = nearer == 0 ? weight : weight - 1;
            Expected e(is_integral(d) ? DType::kF32 : d, s);
            for (std::int64_t i = 0; i < e.value.numel(); ++i) {
              const Wide far =
                  is_integral(d) ? wrapped(to_bits(b[i]) - to_bits(a[i]), d) : b[i] - a[i];
              e[i] = near[i] + part * far;
              e.slack_at(i) = 4 * unit(e.value.dtype) * std::fabs(part * far);
            }
            return e;
          },
          [](DType d) {
            std::vector<Call> calls;
            for (const Layout l : kStrided)
              calls.push_back({{ordinary(d, {9, 37}, 1), ordinary(d, {9, 37}, 2)}, {l, l}});
            calls.push_back({{ordinary(d, {9, 1}, 1), ordinary(d, {37}, 2)},
                             {Layout::kContiguous, Layout::kContiguous}});
            return calls;
          }};
}

}  // namespace

std::vector<Row> ternary_rows() {
  std::vector<Row> rows;
  rows.push_back(where_row(
      "two tensors", [](Operands in) { return where(in[0], in[1], in[2]); },
      [](Wide c, Wide a, Wide b) { return c != 0 ? a : b; }));
  rows.push_back(where_scalar_row("scalar first", true));
  rows.push_back(where_scalar_row("scalar second", false));
  rows.push_back(clamp_row("ordered bounds", 1, 4));
  rows.push_back(clamp_row("reversed bounds", 4, 1));
  rows.push_back(clamp_row("low alone", 1, {}));
  rows.push_back(clamp_row("high alone", {}, 4));

  rows.push_back({"fma", "", kFloating, [](Operands in, DType) { return fma(in[0], in[1], in[2]); },
                  [](Values in, DType d) {
                    const Shape s = broadcast(broadcast(in[0].shape, in[1].shape), in[2].shape);
                    const Array a = broadcast(in[0], s), b = broadcast(in[1], s),
                                c = broadcast(in[2], s);
                    Expected e(d, s);
                    for (std::int64_t i = 0; i < e.value.numel(); ++i)
                      e[i] = std::fma(a[i], b[i], c[i]);
                    return e;
                  },
                  [](DType d) { return calls_of_three(d, d); }});

  rows.push_back(lerp_row("nearer the first", 0.25, 0));
  rows.push_back(lerp_row("nearer the second", 0.75, 1));
  return rows;
}

}  // namespace contract
