// tests/contract/op_table.h -- the table of public operations: calls, references, bounds
//
// A row is one public function (or one use of it) and a reference in plain C++. The runner
// (op_table.cpp) makes each call on every dtype and layout under every evaluator.
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "contract/array.h"

namespace contract {

/// How an operand lies in memory. What surrounds it is NaN, or 77 in integers.
enum class Layout : std::uint8_t {
  kContiguous,
  kTransposed,   // all dimensions in reverse
  kFlipped,      // negative strides
  kStepped,      // every other element of the last dimension, from the second on
  kOffset,       // a block inside of a larger array
  kRepeatedRow,  // stride 0 in the first dimension: the values become those of its first index
  kRepeatedColumn,
};
inline constexpr Layout kStrided[] = {Layout::kTransposed,  Layout::kFlipped,
                                      Layout::kStepped,     Layout::kOffset,
                                      Layout::kRepeatedRow, Layout::kRepeatedColumn};
const char* name(Layout l);
/// A tensor with the values of `a`; `a` changes where the layout repeats elements.
Tensor laid_out(Array& a, Layout l);

/// A set of dtypes.
struct DTypes {
  unsigned bits = 0;
  bool has(DType d) const { return bits >> static_cast<int>(d) & 1; }
  friend constexpr DTypes operator|(DTypes a, DTypes b) { return {a.bits | b.bits}; }
};
inline constexpr DTypes kBoolean{1u << 0}, kIntegers{0x3eu}, kFloating{0x3c0u};
inline constexpr DTypes kNumbers = kIntegers | kFloating, kBits = kBoolean | kIntegers,
                        kAny = kBoolean | kNumbers;

/// What a call must give. A NaN in integers, or an infinite slack, leaves an element open: then
/// only the evaluators must agree.
struct Expected {
  Array value;
  std::vector<Wide> slack;  ///< absolute error allowed for each element; empty: none

  Expected() = default;
  Expected(DType d, const Shape& s) : value(d, s) {}
  Expected(Array a) : value(std::move(a)) {}
  Wide& operator[](std::int64_t i) { return value[i]; }
  Wide& slack_at(std::int64_t i) {
    if (slack.empty()) slack.resize(value.v.size());
    return slack[static_cast<std::size_t>(i)];
  }
};

/// One element's value and slack.
struct Open {
  Wide value = 0, slack = 0;
};

/// Units in the last place of f32 and f64. Half types are computed in f32 and rounded once: half a
/// unit of theirs is added to f32's bound. One half: correctly rounded.
struct Bound {
  double f32 = 0.5, f64 = 0.5;
  bool zero_sign = true;  ///< whether the sign of a zero is specified
};

struct Call {
  std::vector<Array> in;
  std::vector<Layout> layout;
};

using Operands = std::span<const Tensor>;
using Values = std::span<const Array>;

struct Row {
  std::string name;     ///< the public function
  std::string variant;  ///< how it is used
  DTypes accepts;       ///< for others it must throw a DTypeError, if `refuses_others`
  std::function<Tensor(Operands, DType)> op;
  std::function<Expected(Values, DType)> reference;
  std::function<std::vector<Call>(DType)> calls;
  Bound bound = {};
  bool refuses_others = true;
};

// The groups of the table; each file adds its rows.
std::vector<Row> unary_rows();
std::vector<Row> binary_rows();
std::vector<Row> ternary_rows();
std::vector<Row> reduction_rows();
std::vector<Row> view_rows();
std::vector<Row> inplace_rows();
std::vector<Row> join_rows();
std::vector<Row> creation_rows();
std::vector<Row> contraction_rows();
std::vector<Row> pool_rows();
std::vector<Row> loss_rows();
std::vector<Row> all_rows();

/// The tensor functions that core/tensor.h and core/ops/ declare as public; methods as
/// Tensor::name.
std::set<std::string> public_functions();

/// A function of two operands and what its result's dtype is: for the tests of promotion.
struct BinaryOp {
  const char* name;
  Tensor (*both)(const Tensor&, const Tensor&);
  Tensor (*right)(const Tensor&, Scalar);
  Tensor (*left)(Scalar, const Tensor&);
  DTypes accepts;  ///< of the common dtype
  enum Result : std::uint8_t { kCommon, kBool, kFloat } result;
  Wide (*reference)(Wide, Wide, DType);  ///< both operands converted to the common dtype
  Bound bound = {};
  bool refuses_bool = false;  ///< also where the common dtype is not bool
};
std::span<const BinaryOp> binary_ops();
Expected binary_reference(const BinaryOp& op, const Array& a, const Array& b, DType common);

// -- values

/// Ordinary numbers: small integers and fractions of both signs.
Array ordinary(DType d, const Shape& s, std::uint64_t seed);
/// Numbers in [low, high].
Array between(DType d, const Shape& s, double low, double high, std::uint64_t seed);
/// NaN, infinities, zeros, extremes, subnormals, and integers around them.
Array special(DType d);

/// Every layout on one shape, the special values, and contiguous calls on small, odd and empty
/// shapes.
std::vector<Call> layouts_of(const std::function<Array(DType, const Shape&, std::uint64_t)>& make,
                             DType d, const std::vector<Shape>& plain, const Shape& strided);

/// Mean and sum of squared distances from it, and how far each may be off in any order of
/// additions: n of them err by at most n·u·Σ|x_i|, u being half a unit in the last place of 1 in
/// `c`, the dtype it is computed in. A distance is off by the mean's error and a rounding.
struct Moments {
  Wide mean = 0, squares = 0;
  Wide mean_slack = 0, distance_slack = 0, squares_slack = 0;
};
Moments moments(const std::vector<Wide>& x, DType c);

// -- running

/// The result of a call under one evaluator.
struct Outcome {
  Array value;
  std::string error;
};
/// Whether `got` is what is expected of the bound; else what is wrong.
std::string difference(const Array& got, const Expected& want, const Bound& bound);

/// Runs all calls of a row for a dtype under all evaluators; returns what is wrong, or nothing.
/// `elements` counts what was compared with the reference.
std::string check(const Row& row, DType d, std::int64_t& elements);
/// Empty if each accepted call throws a DTypeError.
std::string check_refused(const Row& row, DType d);

inline constexpr const char* kEvaluators[] = {"interpret", "eager", "fuse"};

}  // namespace contract
