// tests/contract/op_rows_binary.cpp -- rows of the operation table: functions of two elements
#include <cmath>

#include "contract/op_table.h"

namespace contract {
namespace {

// References take both operands converted to the common dtype d.
template <class F>
Wide integer(Wide a, Wide b, DType d, F f) {
  return wrapped(f(to_bits(a), to_bits(b)), d);
}
Wide add_of(Wide a, Wide b, DType d) {
  if (is_floating(d)) return a + b;
  return integer(a, b, d, [](std::uint64_t x, std::uint64_t y) { return x + y; });
}
Wide sub_of(Wide a, Wide b, DType d) {
  if (is_floating(d)) return a - b;
  return integer(a, b, d, [](std::uint64_t x, std::uint64_t y) { return x - y; });
}
Wide mul_of(Wide a, Wide b, DType d) {
  if (is_floating(d)) return a * b;
  return integer(a, b, d, [](std::uint64_t x, std::uint64_t y) { return x * y; });
}
Wide div_of(Wide a, Wide b, DType) { return a / b; }

/// The remainder of truncation: exact, but of f64 with a quotient of 2^208 or more (elementwise.h).
bool in_reach(Wide a, Wide b, DType d) {
  return d != DType::kF64 || !std::isfinite(a) || !std::isfinite(b) || b == 0 ||
         std::fabs(a / b) < 0x1p208L;
}
Wide fmod_of(Wide a, Wide b, DType d) {
  if (is_floating(d)) return std::fmod(a, b);
  return b == 0 ? a : std::fmod(a, b) + 0;  // exact; integers have no -0
}
Wide remainder_of(Wide a, Wide b, DType d) {
  if (b == 0 && is_integral(d)) return a;
  const Wide r = std::fmod(a, b);
  if (r != 0 && (r < 0) != (b < 0)) return r + b;
  return is_integral(d) ? r + 0 : r;
}
/// torch.floor_divide, with its corners: through the remainder, the quotient to the next integer.
Wide floor_divide_of(Wide a, Wide b, DType d) {
  if (is_integral(d)) {
    if (b == 0) return 0;
    const Wide r = std::fmod(a, b);
    Wide q = (a - r) / b;
    if (r != 0 && (r < 0) != (b < 0)) q -= 1;
    return q > most_int(d) ? least_int(d) : q + 0;  // the least integer by -1 wraps
  }
  if (b == 0) return a / b;
  const Wide r = std::fmod(a, b);
  Wide q = (a - r) / b;
  if (r != 0 && (r < 0) != (b < 0)) q -= 1;
  if (q == 0) return std::copysign(Wide{0}, a / b);
  const Wide f = std::floor(q);
  return q - f > 0.5L ? f + 1 : f;
}
Wide pow_of(Wide a, Wide b, DType d) {
  if (is_floating(d)) return std::pow(a, b);
  if (b < 0) return a == 1 ? 1 : a == -1 ? (std::fmod(b, 2.0L) != 0 ? -1 : 1) : 0;
  std::uint64_t result = 1, base = to_bits(a);
  for (std::uint64_t e = to_bits(b); e; e >>= 1, base *= base)
    if (e & 1) result *= base;
  return wrapped(result, d);
}
Wide maximum_of(Wide a, Wide b, DType) {
  return std::isnan(a) || std::isnan(b) ? kNaN : std::max(a, b);
}
Wide minimum_of(Wide a, Wide b, DType) {
  return std::isnan(a) || std::isnan(b) ? kNaN : std::min(a, b);
}
Wide and_of(Wide a, Wide b, DType d) {
  return integer(a, b, d, [](std::uint64_t x, std::uint64_t y) { return x & y; });
}
Wide or_of(Wide a, Wide b, DType d) {
  return integer(a, b, d, [](std::uint64_t x, std::uint64_t y) { return x | y; });
}
Wide xor_of(Wide a, Wide b, DType d) {
  return integer(a, b, d, [](std::uint64_t x, std::uint64_t y) { return x ^ y; });
}
// A count outside of the width shifts everything out, as PyTorch defines it.
Wide shl_of(Wide a, Wide b, DType d) {
  if (b < 0 || b >= 8 * size_of(d)) return 0;
  return wrapped(to_bits(a) << to_int(b), d);
}
Wide shr_of(Wide a, Wide b, DType d) {
  if (b < 0 || b >= 8 * size_of(d)) return a < 0 ? -1 : 0;
  return std::floor(std::ldexp(a, -static_cast<int>(b)));
}

using R = BinaryOp::Result;
constexpr Bound kExtreme{.zero_sign = false};  // of max(-0, +0) IEEE 754 leaves the sign open

#define BINARY(f) #f, f, f, f
#define METHOD(f) \
  "Tensor::" #f, [](const Tensor& a, const Tensor& b) { return a.f(b); }, nullptr, nullptr
#define OPERATOR(op)                                                       \
  "operator" #op, [](const Tensor& a, const Tensor& b) { return a op b; }, \
      [](const Tensor& a, Scalar b) { return a op b; },                    \
      [](Scalar a, const Tensor& b) { return a op b; }
#define TRUTH(expression) [](Wide a, Wide b, DType) { return Wide(expression); }

const BinaryOp kOps[] = {
    {BINARY(add), kAny, R::kCommon, add_of},
    {BINARY(sub), kNumbers, R::kCommon, sub_of, {}, true},
    {BINARY(mul), kAny, R::kCommon, mul_of},
    {BINARY(div), kAny, R::kFloat, div_of},
    {BINARY(floor_divide), kNumbers, R::kCommon, floor_divide_of, {3, 3}},
    {BINARY(remainder), kNumbers, R::kCommon, remainder_of},
    {BINARY(fmod), kNumbers, R::kCommon, fmod_of},
    {BINARY(pow), kNumbers, R::kCommon, pow_of, {1, 2}},
    {BINARY(maximum), kAny, R::kCommon, maximum_of, kExtreme},
    {BINARY(minimum), kAny, R::kCommon, minimum_of, kExtreme},
    {BINARY(eq), kAny, R::kBool, TRUTH(a == b)},
    {BINARY(ne), kAny, R::kBool, TRUTH(a != b)},
    {BINARY(lt), kAny, R::kBool, TRUTH(a < b)},
    {BINARY(le), kAny, R::kBool, TRUTH(a <= b)},
    {BINARY(gt), kAny, R::kBool, TRUTH(a > b)},
    {BINARY(ge), kAny, R::kBool, TRUTH(a >= b)},
    {BINARY(bitwise_and), kBits, R::kCommon, and_of},
    {BINARY(bitwise_or), kBits, R::kCommon, or_of},
    {BINARY(bitwise_xor), kBits, R::kCommon, xor_of},
    {BINARY(bitwise_left_shift), kIntegers, R::kCommon, shl_of},
    {BINARY(bitwise_right_shift), kIntegers, R::kCommon, shr_of},
    {BINARY(logical_and), kAny, R::kBool, TRUTH(a != 0 && b != 0)},
    {BINARY(logical_or), kAny, R::kBool, TRUTH(a != 0 || b != 0)},
    {BINARY(logical_xor), kAny, R::kBool, TRUTH((a != 0) != (b != 0))},
    {OPERATOR(+), kAny, R::kCommon, add_of},
    {OPERATOR(-), kNumbers, R::kCommon, sub_of, {}, true},
    {OPERATOR(*), kAny, R::kCommon, mul_of},
    {OPERATOR(/), kAny, R::kFloat, div_of},
    {OPERATOR(==), kAny, R::kBool, TRUTH(a == b)},
    {OPERATOR(!=), kAny, R::kBool, TRUTH(a != b)},
    {OPERATOR(<), kAny, R::kBool, TRUTH(a < b)},
    {OPERATOR(<=), kAny, R::kBool, TRUTH(a <= b)},
    {OPERATOR(>), kAny, R::kBool, TRUTH(a > b)},
    {OPERATOR(>=), kAny, R::kBool, TRUTH(a >= b)},
    {OPERATOR(&), kBits, R::kCommon, and_of},
    {OPERATOR(|), kBits, R::kCommon, or_of},
    {OPERATOR(^), kBits, R::kCommon, xor_of},
    {METHOD(add), kAny, R::kCommon, add_of},
    {METHOD(sub), kNumbers, R::kCommon, sub_of, {}, true},
    {METHOD(mul), kAny, R::kCommon, mul_of},
    {METHOD(div), kAny, R::kFloat, div_of},
};
#undef BINARY
#undef METHOD
#undef OPERATOR
#undef TRUTH

/// Operators and methods are the functions under another name: one call shows which.
bool is_alias(const BinaryOp& op) {
  const std::string_view name = op.name;
  return name.starts_with("operator") || name.starts_with("Tensor::");
}

std::vector<Call> binary_calls(DType d) {
  std::vector<Call> calls;
  std::uint64_t seed = 1;
  const auto add = [&](const Shape& a, const Shape& b, Layout la = Layout::kContiguous,
                       Layout lb = Layout::kContiguous) {
    calls.push_back({{ordinary(d, a, seed), ordinary(d, b, seed + 1)}, {la, lb}});
    seed += 2;
  };
  const Shape s{9, 37};
  for (const Layout l : kStrided) {
    add(s, s, l, Layout::kContiguous);
    add(s, s, Layout::kContiguous, l);
    add(s, s, l, l);
  }
  add({67}, {67});
  add(s, {37});
  add({9, 1}, {1, 37});
  add({}, s);
  add(s, {});
  add({}, {});
  add({1}, {1});
  add({1, 1}, {5});
  add({0, 3}, {3});
  add({2, 0}, {1, 1});
  add({3, 1, 5}, {2, 1}, Layout::kTransposed, Layout::kStepped);
  // Every pair of special values.
  Array a = special(d), b = special(d);
  a.shape = {a.numel(), 1};
  calls.push_back({{a, b}, {Layout::kContiguous, Layout::kContiguous}});
  return calls;
}

std::vector<Call> few_calls(DType d) {
  return {{{ordinary(d, {9, 37}, 5), ordinary(d, {37}, 6)},
           {Layout::kContiguous, Layout::kContiguous}}};
}

}  // namespace

std::span<const BinaryOp> binary_ops() { return kOps; }

Expected binary_reference(const BinaryOp& op, const Array& a, const Array& b, DType common) {
  const DType in = op.result == R::kFloat && is_integral(common) ? DType::kF32 : common;
  const Shape s = broadcast(a.shape, b.shape);
  const Array x = broadcast(converted(a, in), s), y = broadcast(converted(b, in), s);
  Expected e(op.result == R::kBool ? DType::kBool : in, s);
  const bool remainders =
      is_floating(in) &&
      (op.reference == fmod_of || op.reference == remainder_of || op.reference == floor_divide_of);
  for (std::int64_t i = 0; i < e.value.numel(); ++i) {
    e[i] = op.reference(x[i], y[i], in);
    if (remainders && !in_reach(x[i], y[i], in)) e.slack_at(i) = kInf;
  }
  return e;
}

std::vector<Row> binary_rows() {
  std::vector<Row> rows;
  for (const BinaryOp& op : kOps)
    rows.push_back({op.name, "", op.accepts,
                    [op](Operands in, DType) { return op.both(in[0], in[1]); },
                    [op](Values in, DType d) { return binary_reference(op, in[0], in[1], d); },
                    is_alias(op) ? few_calls : binary_calls, op.bound});
  return rows;
}

}  // namespace contract
