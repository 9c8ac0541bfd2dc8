// tests/jit/validate_test.cpp -- FLASH_VALIDATE finds an evaluator that gives other bits
#include "jit/evaluators/validating_evaluator.h"

#include <doctest/doctest.h>
#include <flash/flash.h>

#include <cmath>
#include <cstring>

#include "core/error.h"
#include "jit/evaluators/jit_evaluator.h"

using namespace flash;

namespace {

/// Does to the values what it is told, after they were made.
class Wrong final : public Evaluator {
 public:
  explicit Wrong(std::string_view name) : name_(name) {}
  std::string_view name() const override { return name_; }
  void evaluate(const EvaluationRequest& request, Progress& progress) override {
    inner_->evaluate(request, progress);
    if (spoil) spoil(request.live.back().result->data());
  }
  void (*spoil)(void*) = nullptr;

 private:
  std::string name_;
  std::unique_ptr<Evaluator> inner_ = jit::make_fusing_evaluator();
};

/// An evaluator stays installed for good, so all tests share one.
Wrong& wrong() {
  static Wrong* evaluator = [] {
    devices();  // installs the others first
    auto made = std::make_unique<Wrong>("wrong");
    Wrong* w = made.get();
    install_evaluator(jit::make_validating_evaluator(std::move(made)));
    return w;
  }();
  return *evaluator;
}

struct UseWrong {
  explicit UseWrong(void (*spoil)(void*)) {
    wrong().spoil = spoil;
    set_evaluator("wrong");
  }
  ~UseWrong() {
    wrong().spoil = nullptr;
    set_evaluator("fuse");
  }
};

}  // namespace

TEST_CASE("validation names the operation and the first element that differs") {
  const Tensor x = arange(12).to(f32).view({3, 4});
  x.eval();
  UseWrong use([](void* data) { static_cast<float*>(data)[6] += 1; });
  Tensor y;
  {
    Scope scope("head");
    y = x * 2;
  }
  std::string text;
  try {
    y.eval();
  } catch (const InternalError& e) {
    text = e.what();
  }
  CHECK(
      text.find("mul (in head), of shape [3, 4] and f32, differs at [1, 2]: the evaluator 'wrong' "
                "gave the bits 0x41500000, the interpreter 0x41400000") != std::string::npos);
  CHECK_THROWS_AS(y.item(), Error);  // its value is not to be trusted
}

TEST_CASE("validation takes right values, and all NaNs for one") {
  UseWrong use(nullptr);
  Tensor w = ones({5, 3}), x = arange(15).to(f32).view({5, 3});
  for (int i = 0; i < 3; ++i) w.sub_(x * w * 0.01);  // buffers are reused
  CHECK(matmul(w.t(), x).sum().item() > 0);
  const Tensor nan = sqrt(x - 20.0);
  wrong().spoil = [](void* data) {
    const std::uint32_t other = 0xffc12345;
    std::memcpy(data, &other, sizeof other);
  };
  nan.eval();
  CHECK(std::isnan(nan.to_vector<float>()[0]));
}

TEST_CASE("under validation an error at run time loses what it would lose without") {
  const Tensor table = randn({4, 3}), index = full({2}, 9, i64);
  eval_all();
  UseWrong use(nullptr);
  const Tensor bad = embedding(index, table);
  CHECK_THROWS_AS(eval_all(), IndexError);
  CHECK((table * 3).sum().item() == (table * 3).sum().item());  // the thread goes on
  CHECK_THROWS_AS(bad.item(), Error);
}

TEST_CASE("validation tells -0 from +0") {
  const Tensor x = ones({64});
  x.eval();
  UseWrong use([](void* data) { static_cast<float*>(data)[63] = -0.0f; });
  const Tensor y = x * 0;
  CHECK_THROWS_WITH_AS(y.eval(), doctest::Contains("differs at [63]"), InternalError);
}
