// tests/contract/op_table_test.cpp -- every public operation on every dtype, layout and evaluator
//
// The table is made of rows (op_table.h): one use of a public function with a reference in plain
// C++. Each accepted dtype is run on contiguous, transposed, flipped, stepped, offset and repeated
// (stride 0) operands, on 0-d, empty, one-element and odd shapes, and on special values; eager and
// fused runs must equal the interpreted one bit for bit, and that must be within the row's bound of
// the reference. Each other dtype must be refused by a DTypeError at the call.
//
// What this does not cover: other instruction sets than the one in use (FLASH_ISA), devices other
// than the CPU, sizes that are split over threads (fuzz.cpp), gradients other than those of leaf
// kernels (gradient_table_test.cpp), the printing of tensors, functions of nn and train. Nor
// do remainders of f64 state a value where |x / y| is 2^208 or more, or casts where an integer
// dtype does not hold a float. Where Flash differs from PyTorch on purpose:
//   * sign(NaN) is NaN (there 0); any() and all() of u8 are bool (there u8);
//   * integers divided by zero give 0, their remainder the dividend (there an error);
//   * argmax, argmin take bool, lerp takes integers, embedding and the losses all integer indices;
//   * matmul and linear take no integers, mse_loss none either;
//   * a target that is no class makes the loss NaN (there an error).
#include "contract/op_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <set>

#include "core/primitive.h"
#include "core/serial.h"

using namespace contract;

namespace {

/// Every row of a group, on every dtype: accepted ones compared, the others refused.
void run(const std::vector<Row>& rows) {
  std::int64_t elements = 0, runs = 0;
  for (const Row& row : rows)
    for (const DType d : kAllDTypes) {
      const bool accepted = row.accepts.has(d);
      if (!accepted && !row.refuses_others) continue;
      const std::string wrong = accepted ? check(row, d, elements) : check_refused(row, d);
      runs += accepted;
      CHECK_MESSAGE(wrong.empty(), wrong);
    }
  use_evaluator("fuse");
  MESSAGE(rows.size() << " rows, " << runs << " with a dtype, " << elements << " elements");
  CHECK(elements > 0);
}

}  // namespace

TEST_CASE("operation table: functions of one element") { run(unary_rows()); }
TEST_CASE("operation table: functions of two elements") { run(binary_rows()); }
TEST_CASE("operation table: where, fma, clamp, lerp") { run(ternary_rows()); }
TEST_CASE("operation table: reductions") { run(reduction_rows()); }
TEST_CASE("operation table: views") { run(view_rows()); }
TEST_CASE("operation table: writes in place") { run(inplace_rows()); }
TEST_CASE("operation table: joining") { run(join_rows()); }
TEST_CASE("operation table: creation") { run(creation_rows()); }
TEST_CASE("operation table: products and convolutions") { run(contraction_rows()); }
TEST_CASE("operation table: pools and embeddings") { run(pool_rows()); }
TEST_CASE("operation table: losses and normalisations") { run(loss_rows()); }

namespace {

/// A result and what is expected of it, or the error that is.
struct Promotion {
  std::string what;
  const BinaryOp* op;
  Array a, b;
  DType dtype;  ///< the common one
  bool refused;
  std::function<Tensor(const Tensor& a, const Tensor& b)> call;
  bool unheld = false;  ///< a comparison with a number that the dtype does not hold
};

void run(const std::vector<Promotion>& all) {
  std::vector<Array> first;
  for (const char* evaluator : kEvaluators) {
    use_evaluator(evaluator);
    std::vector<Tensor> results;
    for (const Promotion& p : all) {
      Tensor t;
      std::string error;
      try {
        t = p.call(upload(p.a), upload(p.b));
      } catch (const DTypeError&) {
        error = "DTypeError";
      } catch (const ValueError&) {
        error = "ValueError";
      } catch (const Error& e) {
        error = e.what();
      }
      CHECK_MESSAGE(error == (p.refused  ? "DTypeError"
                              : p.unheld ? "ValueError"
                                         : ""),
                    p.what << ": threw " << (error.empty() ? "nothing" : error));
      results.push_back(t);
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
      const Promotion& p = all[i];
      if (!results[i].defined()) {
        if (std::string_view(evaluator) == kEvaluators[0]) first.emplace_back();
        continue;
      }
      const Array got = read(results[i]);
      if (std::string_view(evaluator) == kEvaluators[0]) {
        first.push_back(got);
        const std::string wrong =
            difference(got, binary_reference(*p.op, p.a, p.b, p.dtype), p.op->bound);
        CHECK_MESSAGE(wrong.empty(), p.what << ": " << wrong);
      } else {
        const bool equal =
            got.dtype == first[i].dtype &&
            std::equal(got.v.begin(), got.v.end(), first[i].v.begin(), first[i].v.end(), same);
        CHECK_MESSAGE(equal, (p.what + ": " + evaluator + " differs from interpret"));
      }
    }
  }
  use_evaluator("fuse");
}

bool refuses(const BinaryOp& op, DType common, bool any_bool) {
  return !op.accepts.has(common) || (op.refuses_bool && any_bool);
}

std::string label(const BinaryOp& op, DType a, const std::string& b) {
  return std::string(op.name) + " of " + std::string(name(a)) + " and " + b;
}

}  // namespace

TEST_CASE("two operands of any dtypes meet in PyTorch's common dtype") {
  for (const DType a : kAllDTypes) {
    std::vector<Promotion> all;
    for (const DType b : kAllDTypes)
      for (const BinaryOp& op : binary_ops()) {
        const DType d = common(a, b);
        all.push_back({label(op, a, std::string(name(b))), &op, ordinary(a, {17}, 1),
                       ordinary(b, {17}, 2), d,
                       refuses(op, d, a == DType::kBool || b == DType::kBool),
                       [&op](const Tensor& x, const Tensor& y) { return op.both(x, y); }});
      }
    run(all);
  }
}

TEST_CASE("a 0-d operand takes part by its category only") {
  const auto category = [](DType d) { return d == DType::kBool ? 0 : is_integral(d) ? 1 : 2; };
  for (const DType a : kAllDTypes) {
    std::vector<Promotion> all;
    for (const DType b : kAllDTypes) {
      const DType d = category(b) > category(a) ? common(a, b) : a;
      for (const BinaryOp& op : binary_ops().first(24)) {
        const bool any_bool = a == DType::kBool || b == DType::kBool;
        all.push_back({label(op, a, "0-d " + std::string(name(b))), &op, ordinary(a, {17}, 1),
                       ordinary(b, {}, 2), d, refuses(op, d, any_bool),
                       [&op](const Tensor& x, const Tensor& y) { return op.both(x, y); }});
        all.push_back({label(op, a, "0-d " + std::string(name(b)) + ", swapped"), &op,
                       ordinary(b, {}, 2), ordinary(a, {17}, 1), d, refuses(op, d, any_bool),
                       [&op](const Tensor& x, const Tensor& y) { return op.both(x, y); }});
      }
    }
    run(all);
  }
}

TEST_CASE("a number takes part by its kind only, is rounded or wrapped, but compared as it is") {
  const std::set<std::string_view> comparisons = {
      "eq",      "ne",         "lt",         "le",        "gt",         "ge",        "maximum",
      "minimum", "operator==", "operator!=", "operator<", "operator<=", "operator>", "operator>="};
  struct Number {
    const char* name;
    Scalar value;
    DType dtype;  // where it decides
    int category;
  };
  const Number kNumbers[] = {{"true", true, DType::kBool, 0},
                             {"3", 3, DType::kI64, 1},
                             {"300", 300, DType::kI64, 1},
                             {"2.3", 2.3, DType::kF32, 2},
                             {"NaN", static_cast<double>(kNaN), DType::kF32, 2}};
  for (const DType a : kAllDTypes) {
    const int category = a == DType::kBool ? 0 : is_integral(a) ? 1 : 2;
    std::vector<Promotion> all;
    for (const Number& n : kNumbers) {
      const DType d = n.category > category ? n.dtype : a;
      for (const BinaryOp& op : binary_ops()) {
        if (!op.right) continue;  // methods take tensors
        const std::string_view name = op.name;
        if (name == "pow") continue;  // its exponents change the algebra: op_corners_test.cpp
        // The number as it is in the operation: a division's is never an integer.
        const DType own = op.result == BinaryOp::kFloat && is_integral(d) ? DType::kF32 : d;
        const Wide exact = n.value.to_double();
        Array number(own, {});
        number[0] = is_floating(own) ? rounded(exact, own) : wrapped(to_bits(exact), own);
        const bool any_bool = a == DType::kBool || n.category == 0;
        const Scalar value = n.value;
        const bool unheld = n.value.i == 300 && (d == DType::kU8 || d == DType::kI8) &&
                            comparisons.count(op.name) > 0;
        all.push_back(
            {label(op, a, n.name), &op, ordinary(a, {17}, 1), number, d, refuses(op, d, any_bool),
             [&op, value](const Tensor& x, const Tensor&) { return op.right(x, value); }, unheld});
        all.push_back({label(op, a, std::string(n.name) + ", swapped"), &op, number,
                       ordinary(a, {17}, 1), d, refuses(op, d, any_bool),
                       [&op, value](const Tensor&, const Tensor& y) { return op.left(value, y); },
                       unheld});
      }
    }
    run(all);
  }
}

TEST_CASE("the table reaches every primitive that there is") {
  use_evaluator("fuse");
  std::set<Prim> reached;
  for (const Row& row : all_rows())
    for (const DType d : kAllDTypes) {
      if (!row.accepts.has(d)) continue;
      eval_all();
      std::vector<Tensor> results;  // what is recorded for nobody would be as good
      std::vector<Call> calls = row.calls(d);
      calls.resize(std::min<std::size_t>(calls.size(), 2));
      for (Call& call : calls) {
        std::vector<Tensor> in;
        for (std::size_t k = 0; k < call.in.size(); ++k)
          in.push_back(laid_out(call.in[k], call.layout[k]));
        results.push_back(row.op(in, d));
        if (!results.back().is_contiguous()) results.back() = results.back().contiguous();
      }
      for (const TraceProgram::Node& node : recorded_program(default_device(), false).nodes)
        reached.insert(node.op);
    }
  eval_all();
  for (const PrimInfo& p : kPrims) {
    const std::string primitive(p.name);
    CHECK_MESSAGE(reached.count(p.id) == 1,
                  "no row of the operation table records the primitive " << primitive);
  }
}

TEST_CASE("every public tensor function has a row, or is named here with the reason") {
  const std::set<std::string> names = public_functions();
  CHECK(names.size() > 120);
  const std::set<std::string> elsewhere = {
      // The tape: tests/core/autograd_test.cpp.
      "Tensor::grad", "Tensor::set_requires_grad",
      // Copies of host memory: every operand of the table is made so; bounded_test.cpp has blobs.
      "from_vector", "from_host", "from_blob",
      // Handles.
      "Tensor::operator=",
      // Methods that call the function of their name with the same arguments.
      "Tensor::sum", "Tensor::mean", "Tensor::amax", "Tensor::amin", "Tensor::argmax",
      "Tensor::prod", "Tensor::var", "Tensor::std", "Tensor::softmax", "Tensor::log_softmax",
      "Tensor::pow"};
  std::set<std::string> rows;
  for (const Row& row : all_rows()) rows.insert(row.name);
  for (const std::string& name : names)
    CHECK_MESSAGE((rows.count(name) || elsewhere.count(name)),
                  name << " is public and has no row in the operation table");
  for (const std::string& row : rows)
    CHECK_MESSAGE(names.count(row), "the row " << row << " names no public function");
  for (const std::string& name : elsewhere)
    CHECK_MESSAGE((names.count(name) || name.starts_with("from_")),
                  name << " is no public function any more");
}
