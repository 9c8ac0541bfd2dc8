// tests/contract/op_rows_reduce.cpp -- rows of the operation table: reductions and row operations
//
// Where a result's bits depend on the order of additions the reference states how far any order may
// be off (see Moments in op_table.h).
#include <algorithm>
#include <cmath>
#include <functional>

#include "contract/op_table.h"

namespace contract {
namespace {

/// The elements of one result, in order.
using Group = std::vector<Wide>;
using OfGroup = std::function<Open(const Group&, DType c)>;  // c: what it is computed in

std::uint64_t mask_of(const Shape& dims, int rank) {
  if (dims.empty() || rank == 0) return (std::uint64_t{1} << rank) - 1;
  std::uint64_t mask = 0;
  for (const std::int64_t d : dims) mask |= std::uint64_t{1} << (d < 0 ? d + rank : d);
  return mask;
}

/// The reduced shape with its dimensions kept, and for each of its elements those it is made of.
std::pair<Shape, std::vector<Group>> groups_of(const Array& a, std::uint64_t mask) {
  Shape kept = a.shape;
  for (int d = 0; d < kept.rank(); ++d)
    if (mask >> d & 1) kept[d] = 1;
  std::vector<Group> groups(static_cast<std::size_t>(kept.numel()));
  each_index(a.shape, [&](const Shape& index, std::int64_t i) {
    Shape at = index;
    for (int d = 0; d < at.rank(); ++d)
      if (mask >> d & 1) at[d] = 0;
    groups[static_cast<std::size_t>(position(kept, at))].push_back(a[i]);
  });
  return {kept, groups};
}

Shape without(const Shape& s, std::uint64_t mask) {
  Shape r;
  for (int d = 0; d < s.rank(); ++d)
    if (!(mask >> d & 1)) r.push_back(s[d]);
  return r;
}

Expected reduced(const Array& a, std::uint64_t mask, bool keepdim, DType result, const OfGroup& f) {
  const auto [kept, groups] = groups_of(a, mask);
  Expected e(result, keepdim ? kept : without(a.shape, mask));
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const Open o = f(groups[i], compute(a.dtype));
    e[static_cast<std::int64_t>(i)] = o.value;
    e.slack_at(static_cast<std::int64_t>(i)) = o.slack;
  }
  return e;
}

// -- what a group gives

bool finite(const Group& g) {
  return std::all_of(g.begin(), g.end(), [](Wide x) { return std::isfinite(x); });
}
Wide sum_of(const Group& g) {
  Wide s = 0;
  for (const Wide x : g) s += x;
  return s;
}
Wide magnitude(const Group& g) {
  Wide s = 0;
  for (const Wide x : g) s += std::fabs(x);
  return s;
}
Wide count(const Group& g) { return static_cast<Wide>(g.size()); }

Open sum_open(const Group& g, DType c) {
  if (is_integral(c)) {
    std::uint64_t s = 0;
    for (const Wide x : g) s += to_bits(x);
    return {wrapped(s, DType::kI64)};
  }
  return {sum_of(g), finite(g) ? count(g) * unit(c) * magnitude(g) : 0};
}
Open prod_open(const Group& g, DType c) {
  if (is_integral(c)) {
    std::uint64_t p = 1;
    for (const Wide x : g) p *= to_bits(x);
    return {wrapped(p, DType::kI64)};
  }
  Wide p = 1;
  for (const Wide x : g) p *= x;
  return {p, std::isfinite(p) ? (count(g) + 1) * unit(c) * std::fabs(p) : 0};
}
Open mean_open(const Group& g, DType c) {
  const Open s = sum_open(g, c);
  const Wide m = rounded(s.value, c) / count(g);  // a sum that overflows stays infinite
  return {m, std::isfinite(m) ? s.slack / count(g) + 2 * unit(c) * std::fabs(m) : 0};
}
Open extreme_open(const Group& g, bool largest) {
  Wide best = g[0];
  for (const Wide x : g) {
    if (std::isnan(x)) return {kNaN};
    best = largest ? std::max(best, x) : std::min(best, x);
  }
  return {best};
}

Open var_open(const Group& g, DType c, int correction) {
  const Wide n = count(g) - correction;
  if (g.empty()) return {kNaN};
  const Moments m = moments(g, c);
  const Wide over = n > 0 ? n : 0;
  const Wide v = m.squares / over;
  if (!std::isfinite(v)) return {v};
  return {v, m.squares_slack / over + unit(c) * v};
}
Open std_open(const Group& g, DType c, int correction) {
  const Open v = var_open(g, c, correction);
  if (!std::isfinite(v.value)) return {std::sqrt(v.value)};
  const Wide low = std::sqrt(std::max<Wide>(v.value - v.slack, 0)),
             high = std::sqrt(v.value + v.slack);
  return {std::sqrt(v.value), high - low};
}
Open argext_open(const Group& g, bool largest) {
  std::size_t best = 0;
  for (std::size_t i = 0; i < g.size(); ++i) {
    if (std::isnan(g[i])) return {static_cast<Wide>(i)};
    if (largest ? g[i] > g[best] : g[i] < g[best]) best = i;
  }
  return {static_cast<Wide>(best)};
}

/// log Σ e^(x - top), and its error: each term has an argument that was rounded (which changes it
/// by u·δ·e^-δ, less than u, where it is δ below the top), an exponential within 2 ULP, and n
/// additions; the logarithm is within 2 ULP.
struct LogSum {
  Wide top, log_sum, slack;
  Wide relative;  ///< of the sum
};
LogSum log_sum(const Group& g, DType c) {
  LogSum r{extreme_open(g, true).value, 0, 0, 0};
  Wide s = 0;
  for (const Wide x : g) s += std::exp(x - r.top);
  r.relative = unit(c) * (4 + 2 * count(g));
  r.log_sum = std::log(s);
  r.slack = r.relative + 4 * unit(c) * std::fabs(r.log_sum);
  return r;
}
Open logsumexp_open(const Group& g, DType c) {
  if (g.empty()) return {-kInf};
  const Wide top = extreme_open(g, true).value;
  if (!std::isfinite(top)) return {top};  // -inf, inf or NaN itself
  const LogSum l = log_sum(g, c);
  const Wide y = top + l.log_sum;
  return {y, l.slack + unit(c) * std::fabs(y)};
}

// -- rows

struct Variant {
  const char* name;
  Shape dims;
  bool keepdim;
  std::vector<Shape> shapes;  // contiguous; {9, 37} and {3, 5, 7} in all layouts as well
};
const std::vector<Variant>& variants() {
  static const std::vector<Variant> all = {
      {"all", {}, false, {{}, {1}, {1, 1}, {67}, {5003}, {1, 7}}},
      {"all, keepdim", {}, true, {{}, {1, 5}}},
      {"last", {-1}, false, {{}, {1}, {4, 1}, {3, 1031}, {2, 3, 65}, {0, 3}}},
      {"last, keepdim", {-1}, true, {{4, 1}, {0, 3}}},
      {"first", {0}, false, {{1, 4}, {1031, 3}, {67}, {3, 0}}},
      {"first and last", {0, -1}, true, {{3, 4, 5}, {1, 4, 1}}},
  };
  return all;
}

std::vector<Call> reduction_calls(const Variant& v, DType d,
                                  Array (*make)(DType, const Shape&, std::uint64_t),
                                  const std::vector<Shape>& more, bool specials) {
  std::vector<Shape> plain = v.shapes;
  plain.insert(plain.end(), more.begin(), more.end());
  const bool pair = v.dims.rank() == 2;
  std::vector<Call> calls = layouts_of(make, d, plain, pair ? Shape{3, 5, 7} : Shape{9, 37});
  for (const Layout l : {Layout::kTransposed, Layout::kStepped})
    calls.push_back({{make(d, {3, 5, 7}, 99)}, {l}});
  if (specials && !pair) {
    // Each special value alone, in a row of ordinary ones, and with every other.
    const Array s = special(d);
    Array a(d, {s.numel(), 5});
    const Array o = ordinary(d, a.shape, 3);
    for (std::int64_t i = 0; i < s.numel(); ++i)
      for (std::int64_t k = 0; k < 5; ++k)
        a[i * 5 + k] = k == 2                 ? s[i]
                       : k == 4 && i % 3 == 0 ? s[(i * 7 + 3) % s.numel()]
                                              : o[i * 5 + k];
    calls.push_back({{a}, {Layout::kContiguous}});
    calls.push_back({{s}, {Layout::kContiguous}});
  }
  return calls;
}

Array near_one(DType d, const Shape& s, std::uint64_t seed) {
  return is_floating(d) ? between(d, s, 0.97, 1.03, seed) : ordinary(d, s, seed);
}

void add_reduction(std::vector<Row>& rows, const char* name, DTypes accepts,
                   Tensor (*op)(const Tensor&, const Dims&, bool),
                   std::function<DType(DType)> result, OfGroup of_group, bool empty_too,
                   bool specials = true,
                   Array (*make)(DType, const Shape&, std::uint64_t) = ordinary) {
  for (const Variant& v : variants()) {
    const auto mask = [v](const Array& a) { return mask_of(v.dims, a.shape.rank()); };
    // Over nothing.
    std::vector<Shape> more;
    if (empty_too && v.dims.rank() < 2)
      more = v.dims.empty() ? std::vector<Shape>{{0}, {3, 0}}
                            : std::vector<Shape>{v.dims[0] == 0 ? Shape{0, 3} : Shape{3, 0}};
    rows.push_back({name,
                    v.name,
                    accepts,
                    [op, v](Operands in, DType) { return op(in[0], v.dims, v.keepdim); },
                    [=](Values in, DType d) {
                      return reduced(in[0], mask(in[0]), v.keepdim, result(d), of_group);
                    },
                    [=](DType d) { return reduction_calls(v, d, make, more, specials); },
                    {.zero_sign = false}});
  }
}

DType same_dtype(DType d) { return d; }
DType accumulated(DType d) { return is_floating(d) ? d : DType::kI64; }
DType to_bool(DType) { return DType::kBool; }
DType to_index(DType) { return DType::kI64; }
DType floated(DType d) { return is_floating(d) ? d : DType::kF32; }

/// One dimension, as argmax takes it.
void add_along(std::vector<Row>& rows, const char* name, DTypes accepts,
               const std::function<Tensor(const Tensor&, int, bool)>& op,
               std::function<DType(DType)> result, OfGroup of_group, bool empty_too,
               const Bound& bound) {
  struct Along {
    const char* variant;
    int dim;
    bool keepdim;
  };
  for (const Along& a : {Along{"last", -1, false}, Along{"first, keepdim", 0, true}}) {
    const Variant v{a.variant,
                    {a.dim},
                    a.keepdim,
                    a.dim == 0 ? std::vector<Shape>{{}, {1, 4}, {1031, 3}, {67}, {3, 0}}
                               : std::vector<Shape>{{}, {4, 1}, {3, 1031}, {2, 3, 65}, {0, 3}}};
    std::vector<Shape> more;
    if (empty_too) more.push_back(a.dim == 0 ? Shape{0, 3} : Shape{3, 0});
    rows.push_back(
        {name, a.variant, accepts,
         [op, a](Operands in, DType) { return op(in[0], a.dim, a.keepdim); },
         [=](Values in, DType d) {
           const Array x =
               is_integral(d) && is_floating(result(d)) ? converted(in[0], DType::kF32) : in[0];
           return reduced(x, mask_of(v.dims, x.shape.rank()), v.keepdim, result(d), of_group);
         },
         [=](DType d) { return reduction_calls(v, d, ordinary, more, true); }, bound});
  }
}

/// Operations that keep the shape: each element of a row from the row.
using OfRow = std::function<Open(const Group& row, std::size_t i, DType c)>;
Row row_op(const char* name, const char* variant, Tensor (*op)(const Tensor&, int), int dim,
           OfRow of_row) {
  return {name,
          variant,
          kFloating,
          [op, dim](Operands in, DType) { return op(in[0], dim); },
          [=](Values in, DType d) {
            const Array& a = in[0];
            Expected e(d, a.shape);
            const std::uint64_t mask = mask_of({dim}, a.shape.rank());
            const auto rows = groups_of(a, mask);
            std::vector<std::size_t> next(rows.second.size(), 0);
            each_index(a.shape, [&](const Shape& index, std::int64_t i) {
              Shape at = index;
              for (int k = 0; k < at.rank(); ++k)
                if (mask >> k & 1) at[k] = 0;
              const auto g = static_cast<std::size_t>(position(rows.first, at));
              const Open o = of_row(rows.second[g], next[g]++, compute(d));
              e[i] = o.value;
              e.slack_at(i) = o.slack;
            });
            return e;
          },
          [dim](DType d) {
            const Variant v{"",
                            {dim},
                            false,
                            dim == 0
                                ? std::vector<Shape>{{}, {1, 4}, {1031, 3}, {0, 3}, {3, 0}}
                                : std::vector<Shape>{{}, {4, 1}, {3, 1031}, {2, 3, 65}, {3, 0}}};
            return reduction_calls(v, d, ordinary, {}, true);
          },
          {.zero_sign = false}};
}

Open softmax_open(const Group& g, std::size_t i, DType c) {
  const Wide top = extreme_open(g, true).value;
  if (!std::isfinite(top)) return {kNaN};
  const LogSum l = log_sum(g, c);
  const Wide y = std::exp(g[i] - top - l.log_sum);
  // Below -800 an exponential is nothing, whatever its argument's rounding. One that is subnormal
  // keeps no relative precision, but a step or two.
  const Wide own = unit(c) * (std::min(top - g[i], Wide{800}) + 6);
  return {y, y * (own + l.relative) + 2 * tiny(c)};
}
Open log_softmax_open(const Group& g, std::size_t i, DType c) {
  const Wide top = extreme_open(g, true).value;
  if (!std::isfinite(top)) return {kNaN};
  const LogSum l = log_sum(g, c);
  const Wide y = g[i] - top - l.log_sum;
  if (!std::isfinite(y)) return {y};
  return {y, l.slack + unit(c) * (std::fabs(g[i] - top) + std::fabs(y))};
}

}  // namespace

Moments moments(const std::vector<Wide>& g, DType c) {
  const Wide u = unit(c);
  const Open mean = mean_open(g, c);
  Moments m{.mean = mean.value, .mean_slack = mean.slack};
  if (!finite(g)) {
    m.squares = kNaN;
    return m;
  }
  Wide most = 0;
  for (const Wide x : g) most = std::max(most, std::fabs(x));
  m.distance_slack = m.mean_slack + 2 * u * (most + std::fabs(m.mean));
  Wide sum = 0;
  for (const Wide x : g) {
    const Wide d = std::fabs(x - m.mean), e = m.distance_slack;
    m.squares += d * d;
    m.squares_slack += 2 * d * e + e * e;
    sum += (d + e) * (d + e);
  }
  m.squares_slack += (count(g) + 2) * u * sum;
  return m;
}

std::vector<Row> reduction_rows() {
  std::vector<Row> rows;
  add_reduction(rows, "sum", kAny, sum, accumulated, sum_open, true);
  add_reduction(rows, "mean", kFloating, mean, same_dtype, mean_open, true);
  add_reduction(rows, "prod", kAny, prod, accumulated, prod_open, true, false, near_one);
  add_reduction(
      rows, "amax", kAny, amax, same_dtype,
      [](const Group& g, DType) { return extreme_open(g, true); }, false);
  add_reduction(
      rows, "amin", kAny, amin, same_dtype,
      [](const Group& g, DType) { return extreme_open(g, false); }, false);
  add_reduction(
      rows, "any", kAny, any, to_bool,
      [](const Group& g, DType) {
        return Open{Wide(std::any_of(g.begin(), g.end(), [](Wide x) { return x != 0; }))};
      },
      true);
  add_reduction(
      rows, "all", kAny, all, to_bool,
      [](const Group& g, DType) {
        return Open{Wide(std::all_of(g.begin(), g.end(), [](Wide x) { return x != 0; }))};
      },
      true);
  // Squares of the largest numbers overflow: those corners are op_corners_test.cpp's.
  add_reduction(
      rows, "var", kFloating, [](const Tensor& x, const Dims& s, bool k) { return var(x, s, k); },
      same_dtype, [](const Group& g, DType c) { return var_open(g, c, 1); }, true, false);
  add_reduction(
      rows, "std", kFloating,
      [](const Tensor& x, const Dims& s, bool k) { return flash::std(x, s, k, 0); }, same_dtype,
      [](const Group& g, DType c) { return std_open(g, c, 0); }, true, false);
  add_along(
      rows, "argmax", kAny, [](const Tensor& x, int d, bool k) { return argmax(x, d, k); },
      to_index, [](const Group& g, DType) { return argext_open(g, true); }, false, {});
  add_along(
      rows, "argmin", kAny, [](const Tensor& x, int d, bool k) { return argmin(x, d, k); },
      to_index, [](const Group& g, DType) { return argext_open(g, false); }, false, {});
  add_along(rows, "logsumexp", kAny,
            [](const Tensor& x, int d, bool k) { return logsumexp(x, d, k); }, floated,
            logsumexp_open, true, {.zero_sign = false});
  rows.push_back(row_op("softmax", "last", softmax, -1, softmax_open));
  rows.push_back(row_op("softmax", "first", softmax, 0, softmax_open));
  rows.push_back(row_op("log_softmax", "last", log_softmax, -1, log_softmax_open));
  rows.push_back(row_op("log_softmax", "first", log_softmax, 0, log_softmax_open));
  return rows;
}

}  // namespace contract
