// tests/contract/gradient_table_test.cpp -- every derivative, first and second, of every
// differentiable operation in every layout
//
// What is compared with what stands in gradient_table.h. Points where a function has no derivative
// have a test of their own here: there Flash does what PyTorch documents.
#include "contract/gradient_table.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/autograd/rules.h"
#include "core/primitive.h"

using namespace contract;

namespace {

void run(const std::vector<GradientRow>& rows) {
  GradientReport report;
  for (const GradientRow& row : rows) check(row, report);
  for (const std::string& line : report.wrong) CHECK_MESSAGE(false, line);
  CHECK(report.first > 0);
  CHECK(report.second > 0);
  MESSAGE(rows.size() << " rows in " << report.cases << " shapes and layouts\n  first order: "
                      << report.first << " derivatives, worst error " << report.first_error.error
                      << " in " << report.first_error.where
                      << "\n  of these by complex step: " << report.analytic << ", worst error "
                      << report.analytic_error.error << " ulp in " << report.analytic_error.where
                      << "\n  second order: " << report.second << " derivatives, worst error "
                      << report.second_error.error << " in " << report.second_error.where);
}

}  // namespace

TEST_CASE("gradient table: functions of each element") { run(map_gradients()); }
TEST_CASE("gradient table: reductions and softmax") { run(reduction_gradients()); }
TEST_CASE("gradient table: normalisations and losses") { run(normalisation_gradients()); }
TEST_CASE("gradient table: products, convolutions, pools, embeddings") { run(leaf_gradients()); }
TEST_CASE("gradient table: views and joining") { run(view_gradients()); }
TEST_CASE("gradient table: writes in place") { run(write_gradients()); }

TEST_CASE("every public function whose result is on the tape has a row in the gradient table") {
  std::set<std::string> rows;
  for (const GradientRow& row : all_gradients()) rows.insert(row.name);
  const std::set<std::string> names = public_functions();
  for (const std::string& row : rows)
    CHECK_MESSAGE(names.count(row), "the row " << row << " names no public function");
  // The operation table has a row for each public function, and calls that it takes.
  std::set<std::string> differentiable;
  for (const Row& row : all_rows()) {
    if (!row.accepts.has(f64)) continue;
    std::vector<Tensor> in;
    Call call = row.calls(f64).at(0);
    for (std::size_t k = 0; k < call.in.size(); ++k) {
      in.push_back(laid_out(call.in[k], Layout::kContiguous));
      // No leaves: a leaf is not written to.
      if (is_floating(in[k].dtype())) in[k] = in[k].set_requires_grad() * 1.0;
    }
    if (row.op(in, f64).requires_grad()) differentiable.insert(row.name);
  }
  CHECK(differentiable.size() > 80);
  for (const std::string& name : differentiable)
    CHECK_MESSAGE(rows.count(name), name << " is differentiable and has no row");
}

TEST_CASE("the gradient table differentiates every primitive that has a rule") {
  std::set<Prim> reached;
  for (const GradientRow& row : all_gradients()) reached.merge(recorded_primitives(row));
  for (const PrimInfo& p : kPrims) {
    const std::string primitive(p.name);
    if (flash::autograd::rule_of(p.id).rule.vjp)
      CHECK_MESSAGE(reached.count(p.id) == 1, primitive << " has a gradient that no row takes");
  }
}

namespace {

/// A function at a point where it is not smooth, and its gradient there by PyTorch's documentation.
struct Convention {
  const char* what;
  std::function<Tensor(const Tensor&)> f;
  std::vector<double> at, want;
};

const std::vector<Convention>& conventions() {
  static const std::vector<Convention> all = {
      {"relu at 0", [](const Tensor& x) { return relu(x); }, {-1, -0.0, 0, 1}, {0, 0, 0, 1}},
      {"leaky_relu at 0", [](const Tensor& x) { return leaky_relu(x, 0.25); }, {0, 1}, {0.25, 1}},
      {"abs at 0", [](const Tensor& x) { return abs(x); }, {-2, -0.0, 0, 2}, {-1, 0, 0, 1}},
      {"sign", [](const Tensor& x) { return sign(x); }, {-2, 0, 2}, {0, 0, 0}},
      {"floor, ceil, round, trunc at whole numbers",
       [](const Tensor& x) { return floor(x) + ceil(x) + round(x) + trunc(x); },
       {-1, 0, 0.5, 1},
       {0, 0, 0, 0}},
      {"floor_divide", [](const Tensor& x) { return floor_divide(x, 2.0); }, {-2, 0, 3}, {0, 0, 0}},
      {"clamp lets the bounds themselves pass",
       [](const Tensor& x) { return clamp(x, -1.0, 1.0); },
       {-1.5, -1, 0, 1, 1.5},
       {0, 1, 1, 1, 0}},
      {"maximum shares between equals",
       [](const Tensor& x) { return maximum(x, full({3}, 1.0, f64)); },
       {0, 1, 2},
       {0, 0.5, 1}},
      {"minimum shares between equals",
       [](const Tensor& x) { return minimum(x, full({3}, 1.0, f64)); },
       {0, 1, 2},
       {1, 0.5, 0}},
      {"amax shares between equals",
       [](const Tensor& x) { return amax(x); },
       {4, 1, 4},
       {.5, 0, .5}},
      {"amin shares between equals",
       [](const Tensor& x) { return amin(x); },
       {1, 4, 1},
       {.5, 0, .5}},
      {"max_pool2d takes the first of equals",
       [](const Tensor& x) {
         return max_pool2d(x.view({1, 1, 2, 2}), {});
       },
       {3, 1, 3, 3},
       {1, 0, 0, 0}},
      {"sqrt at 0", [](const Tensor& x) { return sqrt(x); }, {0, 4}, {kInf, 0.25}},
      {"pow of 0",
       [](const Tensor& x) { return pow(x, full({1}, 2.0, f64)) + pow(x, 0) + pow(x, 1); },
       {0},
       {1}},
      {"a power's exponent at base 0",
       [](const Tensor& x) { return pow(zeros({2}, f64), x); },
       {0, 2},
       {0, 0}},
      {"std of equal elements",
       [](const Tensor& x) { return flash::std(x); },
       {2, 2, 2},
       {0, 0, 0}},
      {"prod with a zero", [](const Tensor& x) { return prod(x); }, {2, 0, 3}, {0, 6, 0}},
      {"prod with two zeros", [](const Tensor& x) { return prod(x); }, {2, 0, 0}, {0, 0, 0}},
      {"logsumexp with -inf", [](const Tensor& x) { return logsumexp(x, 0); }, {1, -kInf}, {1, 0}},
      {"remainder at a multiple",
       [](const Tensor& x) { return remainder(x, 2.0); },
       {4, 5},
       {1, 1}},
  };
  return all;
}

}  // namespace

TEST_CASE("where there is no derivative the gradient is the one that PyTorch documents") {
  for (const Convention& c : conventions()) {
    CAPTURE(std::string(c.what));
    Tensor x = from_vector(c.at);
    x.set_requires_grad();
    const std::vector<double> got = grad({sum(c.f(x))}, {x})[0].to_vector<double>();
    CHECK(got == c.want);
  }
}
