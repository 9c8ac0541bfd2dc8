// tests/contract/op_rows_write.cpp -- rows of the operation table: writes in place, and joining
#include "contract/op_table.h"

namespace contract {
namespace {

/// The layouts that a write may go to: repeated elements are refused.
std::vector<Call> write_calls(DType d, DType other, const std::vector<Shape>& operand) {
  std::vector<Call> calls;
  std::uint64_t seed = 1;
  const auto add = [&](const Shape& a, const Shape& b, Layout la, Layout lb) {
    calls.push_back({{ordinary(d, a, seed), ordinary(other, b, seed + 1)}, {la, lb}});
    seed += 2;
  };
  for (const Layout l : {Layout::kContiguous, Layout::kTransposed, Layout::kFlipped,
                         Layout::kStepped, Layout::kOffset}) {
    add({9, 37}, {9, 37}, l, Layout::kContiguous);
    for (const Shape& s : operand) add({9, 37}, s, l, Layout::kFlipped);
  }
  add({9, 37}, {9, 37}, Layout::kContiguous, Layout::kRepeatedRow);
  add({}, {}, Layout::kOffset, Layout::kContiguous);
  add({0, 3}, {0, 3}, Layout::kContiguous, Layout::kContiguous);
  return calls;
}

using Write = Tensor& (*)(Tensor&, const Tensor&);
Row write_row(const char* name, const char* variant, DTypes accepts, Write op,
              Wide (*reference)(Wide, Wide, DType)) {
  return {name,
          variant,
          accepts,
          [op](Operands in, DType) {
            Tensor target = in[0];  // the same tensor: a handle is not a copy
            return op(target, in[1]);
          },
          [reference](Values in, DType d) {
            const Array b = broadcast(in[1], in[0].shape);
            Expected e(d, in[0].shape);
            for (std::int64_t i = 0; i < e.value.numel(); ++i) e[i] = reference(in[0][i], b[i], d);
            return e;
          },
          [](DType d) {
            return write_calls(d, d, {{37}, {9, 1}, {}});
          }};
}

Wide arithmetic(Wide a, Wide b, DType d, char op) {
  if (is_floating(d)) return op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : a / b;
  const std::uint64_t x = to_bits(a), y = to_bits(b);
  return wrapped(op == '+' ? x + y : op == '-' ? x - y : x * y, d);
}
Wide plus(Wide a, Wide b, DType d) { return arithmetic(a, b, d, '+'); }
Wide minus(Wide a, Wide b, DType d) { return arithmetic(a, b, d, '-'); }
Wide times(Wide a, Wide b, DType d) { return arithmetic(a, b, d, '*'); }
Wide over(Wide a, Wide b, DType d) { return arithmetic(a, b, d, '/'); }

/// A write with a number instead of a tensor.
Row write_scalar_row(const char* name, const char* variant, DTypes accepts, Tensor& (*op)(Tensor&),
                     Wide (*reference)(Wide, DType)) {
  return {name,
          variant,
          accepts,
          [op](Operands in, DType) {
            Tensor target = in[0];
            return op(target);
          },
          [reference](Values in, DType d) {
            Expected e(d, in[0].shape);
            for (std::int64_t i = 0; i < e.value.numel(); ++i) e[i] = reference(in[0][i], d);
            return e;
          },
          [](DType d) {
            std::vector<Call> calls = layouts_of(ordinary, d, {{}, {67}, {0}}, {9, 37});
            std::erase_if(calls, [](const Call& c) {
              return c.layout[0] == Layout::kRepeatedRow || c.layout[0] == Layout::kRepeatedColumn;
            });
            return calls;
          }};
}

}  // namespace

std::vector<Row> inplace_rows() {
  std::vector<Row> rows;
  rows.push_back(write_row(
      "Tensor::copy_", "", kAny, [](Tensor& t, const Tensor& o) -> Tensor& { return t.copy_(o); },
      [](Wide, Wide b, DType) { return b; }));
  rows.push_back(write_row(
      "Tensor::add_", "", kAny, [](Tensor& t, const Tensor& o) -> Tensor& { return t.add_(o); },
      plus));
  rows.push_back(write_row(
      "Tensor::add_", "alpha 2", kNumbers,
      [](Tensor& t, const Tensor& o) -> Tensor& { return t.add_(o, 2); },
      [](Wide a, Wide b, DType d) { return plus(a, times(b, 2, d), d); }));
  rows.push_back(write_row(
      "Tensor::sub_", "", kNumbers, [](Tensor& t, const Tensor& o) -> Tensor& { return t.sub_(o); },
      minus));
  rows.push_back(write_row(
      "Tensor::mul_", "", kAny, [](Tensor& t, const Tensor& o) -> Tensor& { return t.mul_(o); },
      times));
  // True division of integers is not an integer: refused, as PyTorch does.
  rows.push_back(write_row(
      "Tensor::div_", "", kFloating,
      [](Tensor& t, const Tensor& o) -> Tensor& { return t.div_(o); }, over));
  rows.push_back(write_row(
      "operator+=", "", kAny, [](Tensor& t, const Tensor& o) -> Tensor& { return t += o; }, plus));
  rows.push_back(write_row(
      "operator-=", "", kNumbers, [](Tensor& t, const Tensor& o) -> Tensor& { return t -= o; },
      minus));
  rows.push_back(write_row(
      "operator*=", "", kAny, [](Tensor& t, const Tensor& o) -> Tensor& { return t *= o; }, times));
  rows.push_back(write_row(
      "operator/=", "", kFloating, [](Tensor& t, const Tensor& o) -> Tensor& { return t /= o; },
      over));

  rows.push_back(write_scalar_row(
      "Tensor::fill_", "", kAny, [](Tensor& t) -> Tensor& { return t.fill_(2.75); },
      [](Wide, DType d) -> Wide { return d == DType::kBool ? 1
                                         : is_integral(d)  ? 2
                                                           : 2.75L; }));
  rows.push_back(write_scalar_row(
      "Tensor::zero_", "", kAny, [](Tensor& t) -> Tensor& { return t.zero_(); },
      [](Wide, DType) -> Wide { return 0; }));
  rows.push_back(write_scalar_row(
      "Tensor::add_", "a number", kNumbers, [](Tensor& t) -> Tensor& { return t.add_(3); },
      [](Wide x, DType d) { return plus(x, 3, d); }));
  rows.push_back(write_scalar_row(
      "Tensor::sub_", "a number", kNumbers, [](Tensor& t) -> Tensor& { return t.sub_(3); },
      [](Wide x, DType d) { return minus(x, 3, d); }));
  rows.push_back(write_scalar_row(
      "Tensor::mul_", "a number", kNumbers, [](Tensor& t) -> Tensor& { return t.mul_(3); },
      [](Wide x, DType d) { return times(x, 3, d); }));
  rows.push_back(write_scalar_row(
      "Tensor::div_", "a number", kFloating, [](Tensor& t) -> Tensor& { return t.div_(3); },
      [](Wide x, DType d) { return over(x, 3, d); }));

  // What was around the target keeps its value.
  rows.push_back({"Tensor::add_", "every other column of a copy", kAny,
                  [](Operands in, DType) {
                    Tensor all = in[0].clone();
                    all.slice(1, 1, INT64_MAX, 2).add_(in[1].slice(1, 0, 18));
                    return all;
                  },
                  [](Values in, DType d) {
                    Expected e(in[0]);
                    each_index({9, 18}, [&](const Shape& i, std::int64_t) {
                      const std::int64_t at = i[0] * 37 + 1 + 2 * i[1];
                      e[at] = plus(in[0][at], in[1][i[0] * 37 + i[1]], d);
                    });
                    return e;
                  },
                  [](DType d) {
                    std::vector<Call> calls;
                    for (const Layout l : kStrided)
                      calls.push_back({{ordinary(d, {9, 37}, 1), ordinary(d, {9, 37}, 2)}, {l, l}});
                    return calls;
                  }});
  return rows;
}

// -- joining

namespace {

Row cat_row(int dim) {
  return {"cat",
          "dimension " + std::to_string(dim),
          kAny,
          [dim](Operands in, DType) {
            return cat({in[0], in[1], in[0]}, dim);
          },
          [dim](Values in, DType d) {
            Shape s = in[0].shape;
            const std::int64_t n0 = s[dim], n1 = in[1].shape[dim];
            s[dim] = 2 * n0 + n1;
            Expected e(d, s);
            each_index(s, [&](const Shape& index, std::int64_t i) {
              Shape at = index;
              const Array& from = at[dim] >= n0 && at[dim] < n0 + n1 ? in[1] : in[0];
              if (at[dim] >= n0) at[dim] -= at[dim] < n0 + n1 ? n0 : n0 + n1;
              e[i] = from[position(from.shape, at)];
            });
            return e;
          },
          [dim](DType d) {
            std::vector<Call> calls;
            Shape other{9, 37};
            for (const std::int64_t n : {1, 5, 0}) {
              other[dim] = n;
              for (const Layout l : kStrided)
                calls.push_back({{ordinary(d, {9, 37}, 1), ordinary(d, other, 2)}, {l, l}});
            }
            return calls;
          }};
}

}  // namespace

std::vector<Row> join_rows() {
  std::vector<Row> rows = {cat_row(0), cat_row(1)};
  rows.push_back({"stack", "", kAny,
                  [](Operands in, DType) {
                    return stack({in[0], in[1]}, 1);
                  },
                  [](Values in, DType d) {
                    Expected e(d, {9, 2, 37});
                    each_index(e.value.shape, [&](const Shape& i, std::int64_t k) {
                      e[k] = in[static_cast<std::size_t>(i[1])][i[0] * 37 + i[2]];
                    });
                    return e;
                  },
                  [](DType d) {
                    std::vector<Call> calls;
                    for (const Layout l : kStrided)
                      calls.push_back({{ordinary(d, {9, 37}, 1), ordinary(d, {9, 37}, 2)},
                                       {l, Layout::kContiguous}});
                    return calls;
                  }});
  rows.push_back({"pad", "", kAny,
                  [](Operands in, DType) {
                    return pad(in[0], {2, 1, 0, 3}, 1);
                  },
                  [](Values in, DType d) {
                    const Shape& s = in[0].shape;
                    Expected e(d, {s[0] + 3, s[1] + 3});
                    each_index(e.value.shape, [&](const Shape& i, std::int64_t k) {
                      const bool inside = i[0] < s[0] && i[1] >= 2 && i[1] < s[1] + 2;
                      e[k] = inside ? in[0][i[0] * s[1] + i[1] - 2] : 1;
                    });
                    return e;
                  },
                  [](DType d) {
                    return layouts_of(ordinary, d, {{0, 3}, {1, 1}}, {9, 37});
                  }});
  for (const DType to : {DType::kI64, DType::kBool, DType::kBF16})
    rows.push_back({"one_hot", "as " + std::string(flash::name(to)), kBits,
                    [to](Operands in, DType) { return one_hot(in[0], 7, to); },
                    [to](Values in, DType) {
                      Shape s = in[0].shape;
                      s.push_back(7);
                      Expected e(to, s);
                      for (std::int64_t i = 0; i < e.value.numel(); ++i)
                        e[i] = in[0][i / 7] == i % 7;  // outside of the classes: no one
                      return e;
                    },
                    [](DType d) {
                      return layouts_of(ordinary, d, {{}, {0}, {5}}, {9, 37});
                    }});
  return rows;
}

}  // namespace contract
