// tests/contract/op_rows_unary.cpp -- rows of the operation table: functions of one element
#include <cmath>
#include <functional>
#include <numbers>

#include "contract/op_table.h"
#include "gelu.h"

namespace contract {
namespace {

using Function = Wide (*)(Wide x, DType d);  // d: the dtype it is computed for

enum class Takes : std::uint8_t {
  kSame,     // the result has the operand's dtype
  kFloated,  // integers and bool become f32 first
  kTest,     // the result is bool
};

struct Unary {
  const char* name;
  Tensor (*op)(const Tensor&);
  DTypes accepts;
  Takes takes;
  Function reference;
  Bound bound = {};
};

Wide integer_or(Wide x, DType d, Wide (*f)(Wide)) { return is_integral(d) ? x : f(x); }
Wide sigmoid_of(Wide x) { return x < -11000 ? std::exp(x) : 1 / (1 + std::exp(-x)); }

// jit/ir/math.h states 1 ULP for f32 and 2 for f64.
constexpr Bound kMath{1, 2};

const Unary kUnary[] = {
    {"neg", neg, kNumbers, Takes::kSame,
     [](Wide x, DType d) { return is_integral(d) ? wrapped(-to_bits(x), d) : -x; }},
    {"abs", abs, kNumbers, Takes::kSame,
     [](Wide x, DType d) {
       return is_integral(d) ? wrapped(x < 0 ? -to_bits(x) : to_bits(x), d) : std::fabs(x);
     }},
    // A NaN stays one, as in NumPy; torch.sign gives 0.
    {"sign",
     sign,
     kAny,
     Takes::kSame,
     [](Wide x, DType) { return std::isnan(x) ? x : static_cast<Wide>((x > 0) - (x < 0)); },
     {.zero_sign = false}},
    {"reciprocal", reciprocal, kAny, Takes::kFloated, [](Wide x, DType) { return 1 / x; }},
    {"sqrt", sqrt, kAny, Takes::kFloated, [](Wide x, DType) { return std::sqrt(x); }},
    {"rsqrt", rsqrt, kAny, Takes::kFloated, [](Wide x, DType) { return 1 / std::sqrt(x); }, {1, 1}},
    {"exp", exp, kAny, Takes::kFloated, [](Wide x, DType) { return std::exp(x); }, kMath},
    {"expm1", expm1, kAny, Takes::kFloated, [](Wide x, DType) { return std::expm1(x); }, kMath},
    {"log", log, kAny, Takes::kFloated, [](Wide x, DType) { return std::log(x); }, kMath},
    {"log1p", log1p, kAny, Takes::kFloated, [](Wide x, DType) { return std::log1p(x); }, kMath},
    {"tanh", tanh, kAny, Takes::kFloated, [](Wide x, DType) { return std::tanh(x); }, kMath},
    {"sigmoid", sigmoid, kAny, Takes::kFloated, [](Wide x, DType) { return sigmoid_of(x); }, kMath},
    {"silu", silu, kFloating, Takes::kSame, [](Wide x, DType) { return x * sigmoid_of(x); }, kMath},
    {"gelu", gelu, kFloating, Takes::kSame, [](Wide x, DType) { return test::gelu(x); }, kMath},
    {"erf", erf, kAny, Takes::kFloated, [](Wide x, DType) { return std::erf(x); }, kMath},
    {"sin", sin, kAny, Takes::kFloated, [](Wide x, DType) { return std::sin(x); }, kMath},
    {"cos", cos, kAny, Takes::kFloated, [](Wide x, DType) { return std::cos(x); }, kMath},
    {"floor", floor, kNumbers, Takes::kSame,
     [](Wide x, DType d) { return integer_or(x, d, std::floor); }},
    {"ceil", ceil, kNumbers, Takes::kSame,
     [](Wide x, DType d) { return integer_or(x, d, std::ceil); }},
    {"round", round, kNumbers, Takes::kSame,
     [](Wide x, DType d) { return integer_or(x, d, std::rint); }},
    {"trunc", trunc, kNumbers, Takes::kSame,
     [](Wide x, DType d) { return integer_or(x, d, std::trunc); }},
    {"relu",
     relu,
     kNumbers,
     Takes::kSame,
     [](Wide x, DType) { return x < 0 ? 0 : x; },
     {.zero_sign = false}},
    {"logical_not", logical_not, kAny, Takes::kTest, [](Wide x, DType) { return Wide(x == 0); }},
    {"operator!", [](const Tensor& x) { return !x; }, kAny, Takes::kTest,
     [](Wide x, DType) { return Wide(x == 0); }},
    {"operator-", [](const Tensor& x) { return -x; }, kNumbers, Takes::kSame,
     [](Wide x, DType d) { return is_integral(d) ? wrapped(-to_bits(x), d) : -x; }},
    {"operator~", [](const Tensor& x) { return ~x; }, kBits, Takes::kSame,
     [](Wide x, DType d) { return d == DType::kBool ? Wide(x == 0) : wrapped(~to_bits(x), d); }},
    {"bitwise_not", bitwise_not, kBits, Takes::kSame,
     [](Wide x, DType d) { return d == DType::kBool ? Wide(x == 0) : wrapped(~to_bits(x), d); }},
    {"isnan", isnan, kAny, Takes::kTest, [](Wide x, DType) { return Wide(std::isnan(x)); }},
    {"isinf", isinf, kAny, Takes::kTest, [](Wide x, DType) { return Wide(std::isinf(x)); }},
    {"isfinite", isfinite, kAny, Takes::kTest,
     [](Wide x, DType) { return Wide(std::isfinite(x)); }},
    // Methods are the functions under another name.
    {"Tensor::neg", [](const Tensor& x) { return x.neg(); }, kNumbers, Takes::kSame,
     [](Wide x, DType d) { return is_integral(d) ? wrapped(-to_bits(x), d) : -x; }},
    {"Tensor::abs", [](const Tensor& x) { return x.abs(); }, kNumbers, Takes::kSame,
     [](Wide x, DType d) {
       return is_integral(d) ? wrapped(x < 0 ? -to_bits(x) : to_bits(x), d) : std::fabs(x);
     }},
    {"Tensor::exp", [](const Tensor& x) { return x.exp(); }, kAny, Takes::kFloated,
     [](Wide x, DType) { return std::exp(x); }, kMath},
    {"Tensor::log", [](const Tensor& x) { return x.log(); }, kAny, Takes::kFloated,
     [](Wide x, DType) { return std::log(x); }, kMath},
    {"Tensor::sqrt", [](const Tensor& x) { return x.sqrt(); }, kAny, Takes::kFloated,
     [](Wide x, DType) { return std::sqrt(x); }},
    {"Tensor::tanh", [](const Tensor& x) { return x.tanh(); }, kAny, Takes::kFloated,
     [](Wide x, DType) { return std::tanh(x); }, kMath},
    {"Tensor::sigmoid", [](const Tensor& x) { return x.sigmoid(); }, kAny, Takes::kFloated,
     [](Wide x, DType) { return sigmoid_of(x); }, kMath},
    {"Tensor::relu",
     [](const Tensor& x) { return x.relu(); },
     kNumbers,
     Takes::kSame,
     [](Wide x, DType) { return x < 0 ? 0 : x; },
     {.zero_sign = false}},
};

std::vector<Call> unary_calls(DType d) {
  std::vector<Call> calls =
      layouts_of(ordinary, d, {{}, {1}, {0}, {67}, {2, 0, 3}, {3, 1, 7}, {5, 13}}, {9, 37});
  for (const Layout l : {Layout::kContiguous, Layout::kStepped, Layout::kFlipped})
    calls.push_back({{special(d)}, {l}});
  return calls;
}

Row row_of(const Unary& u) {
  const auto op = [u](Operands in, DType) { return u.op(in[0]); };
  const auto reference = [u](Values in, DType d) {
    const DType to = u.takes == Takes::kFloated && is_integral(d) ? DType::kF32 : d;
    const Array x = converted(in[0], to);
    Expected e(u.takes == Takes::kTest ? DType::kBool : to, x.shape);
    for (std::int64_t i = 0; i < x.numel(); ++i) e[i] = u.reference(x[i], to);
    return e;
  };
  return {u.name, "", u.accepts, op, reference, unary_calls, u.bound};
}

/// A row whose reference gives value and slack of an element.
Row with_slack(const char* name, const char* variant, DTypes accepts,
               std::function<Tensor(const Tensor&)> op, std::function<Open(Wide, DType)> reference,
               Bound bound = {}) {
  return {name,
          variant,
          accepts,
          [op](Operands in, DType) { return op(in[0]); },
          [reference](Values in, DType d) {
            Expected e(d, in[0].shape);
            for (std::int64_t i = 0; i < in[0].numel(); ++i) {
              const Open o = reference(in[0][i], d);
              e[i] = o.value;
              e.slack_at(i) = o.slack;
            }
            return e;
          },
          unary_calls,
          bound};
}

Row cast_row(DType to) {
  return {"cast",
          "to " + std::string(flash::name(to)),
          kAny,
          [to](Operands in, DType) { return cast(in[0], to); },
          [to](Values in, DType) {
            // The half types' second rounding is the bound's: the value itself is expected.
            Expected e(to, in[0].shape);
            for (std::int64_t i = 0; i < in[0].numel(); ++i)
              e[i] = is_floating(to) ? in[0][i] : converted(in[0][i], in[0].dtype, to);
            return e;
          },
          unary_calls};
}

}  // namespace

std::vector<Row> unary_rows() {
  std::vector<Row> rows;
  for (const Unary& u : kUnary) rows.push_back(row_of(u));
  for (const DType to : kAllDTypes) rows.push_back(cast_row(to));
  rows.push_back({"Tensor::to", "f32", kAny,
                  [](Operands in, DType) { return in[0].to(DType::kF32); },
                  [](Values in, DType) {
                    Expected e(DType::kF32, in[0].shape);
                    e.value.v = in[0].v;
                    return e;
                  },
                  unary_calls});

  // torch.square is pow(x, 2), so bool becomes i64.
  rows.push_back({"square", "", kAny, [](Operands in, DType) { return square(in[0]); },
                  [](Values in, DType d) {
                    const DType to = d == DType::kBool ? DType::kI64 : d;
                    Expected e(to, in[0].shape);
                    for (std::int64_t i = 0; i < in[0].numel(); ++i) {
                      const Wide x = in[0][i];
                      e[i] = is_integral(d) ? wrapped(to_bits(x) * to_bits(x), to) : x * x;
                    }
                    return e;
                  },
                  unary_calls});

  // The slope is rounded to the dtype, as every scalar operand is.
  for (const double slope : {0.01, 0.25})
    rows.push_back(with_slack(
        "leaky_relu", slope == 0.01 ? "slope 0.01" : "slope 0.25", kFloating,
        [slope](const Tensor& x) { return leaky_relu(x, slope); },
        [slope](Wide x, DType d) {
          return Open{x > 0 ? x : x * rounded(rounded(slope, compute(d)), d)};
        }));
  return rows;
}

}  // namespace contract
