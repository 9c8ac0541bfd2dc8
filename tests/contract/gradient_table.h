// tests/contract/gradient_table.h -- the table of differentiable operations: calls, references, and
// how their derivatives are judged
//
// A row is one use of a public function, in f64. Its leaves are read through every layout, so that
// kernels get strided operands and the views' own gradients are on the way. Judged are
//
//   * the gradient of Σ w·f(x), element by element, against central differences of f(x);
//   * where f is written once more in std::complex, against the complex step Im f(x + ih) / h,
//   which
//     subtracts nothing and so is exact but for roundings (Squire & Trapp, SIAM Review 40, 1998);
//   * the Hessian H of S = Σ w·(f + f²/2) times a direction v, which is the gradient of v·∇S,
//   against
//     differences of ∇S along v. The square gives linear functions a second derivative as well.
//
// A difference is taken at steps of 2^-8 and all numbers lie on a grid, so that x + kh is exact and
// passes through f32 unchanged. The stencil of order 6 errs by a rounding of f divided by the step,
// and by its truncation, which is far less than its distance from the stencil of order 4:
// h²·f⁽⁷⁾/5f⁽⁵⁾ of it, that is less than 1/64 while f⁽⁷⁾ < 5,000·f⁽⁵⁾. Where this bound itself is
// not small the case fails: it would show nothing.
#pragma once

#include <complex>

#include "contract/op_table.h"

namespace contract {

using Complex = std::complex<double>;
struct ComplexArray {
  Shape shape;
  std::vector<Complex> v;

  explicit ComplexArray(const Shape& s) : shape(s), v(static_cast<std::size_t>(s.numel())) {}
  Complex& operator[](std::int64_t i) { return v[static_cast<std::size_t>(i)]; }
  Complex operator[](std::int64_t i) const { return v[static_cast<std::size_t>(i)]; }
};
using ComplexValues = std::span<const ComplexArray>;
using Analytic = std::function<ComplexArray(ComplexValues)>;

struct Range {
  double low = -2, high = 2;
};

struct GradientRow {
  std::string name;     ///< the public function
  std::string variant;  ///< how it is used
  std::function<Tensor(Operands)> op;
  std::vector<std::vector<Shape>> shapes;  ///< of the operands; the first set in every layout
  std::vector<Range> range = {{}};         ///< of each operand; the last one of all that follow
  std::vector<double> kinks = {};          ///< numbers to keep away from
  Analytic analytic = {};                  ///< f in complex numbers, where it is analytic
  bool repeats = true;                     ///< whether it is smooth where elements are equal
};

// The groups of the table; each file adds its rows.
std::vector<GradientRow> map_gradients();
std::vector<GradientRow> reduction_gradients();
std::vector<GradientRow> normalisation_gradients();
std::vector<GradientRow> leaf_gradients();
std::vector<GradientRow> view_gradients();
std::vector<GradientRow> write_gradients();
std::vector<GradientRow> all_gradients();

/// The largest error of a kind, and where it was.
struct Worst {
  double error = 0;
  std::string where = "none: all are exact";
};

struct GradientReport {
  int cases = 0;                    ///< rows × shapes × layouts
  int first = 0, second = 0;        ///< derivatives that were compared
  int analytic = 0;                 ///< of the first, those with a complex step as well
  Worst first_error, second_error;  ///< relative to max(1, |the difference|)
  Worst analytic_error;             ///< in 2^-52, relative to the sum's largest terms
  std::vector<std::string> wrong;   ///< rows that failed: where first, and how often
};
void check(const GradientRow& row, GradientReport& report);

/// The primitives that a row records, forward and in its first gradient.
std::set<Prim> recorded_primitives(const GradientRow& row);

/// An element-wise analytic function of broadcast operands.
Analytic each_element(std::function<Complex(std::span<const Complex>)> f);
/// What a selection of elements gives: which, the operation itself says when it is given 0, 1, 2, …
Analytic same_selection(std::function<Tensor(Operands)> op);

}  // namespace contract
