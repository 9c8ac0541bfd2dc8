// tests/nn/layers_test.cpp -- layers and initialisers against numbers worked out by hand
#include <doctest/doctest.h>

#include <cmath>

#include "core/autograd/autograd.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/linalg.h"
#include "core/ops/reduce.h"
#include "nn/nn.h"

using namespace flash;

namespace {

void check_close(const Tensor& got, const std::vector<double>& want, double tolerance = 1e-6) {
  const std::vector<double> v = got.detach().to(f64).to_vector<double>();
  REQUIRE(v.size() == want.size());
  for (std::size_t i = 0; i < v.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(v[i] - want[i]) <= tolerance * (1 + std::abs(want[i])));
  }
}

double max_abs(const Tensor& t) { return amax(abs(t.detach())).item(); }
double deviation(const Tensor& t) { return flash::std(t.detach().to(f64)).item(); }

template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("batch norm normalises by the batch in training and keeps running statistics") {
  nn::BatchNorm2d bn(2, {.eps = 0.0, .momentum = 0.25});
  no_grad([&] {
    bn.weight.copy_(tensor({2.0, 1.0}));
    bn.bias.copy_(tensor({0.0, 10.0}));
  });
  // Channel 0: 1 3 5 7, mean 4, variance 5, unbiased 20/3. Channel 1: 0 0 2 2, mean 1, variance 1.
  const Tensor x = tensor({1.0, 3.0, 0.0, 0.0, 5.0, 7.0, 2.0, 2.0}).view({2, 2, 1, 2});
  const double r = 2 / std::sqrt(5.0);
  check_close(bn(x), {-3 * r, -1 * r, 9, 9, 1 * r, 3 * r, 11, 11});
  check_close(bn.running_mean, {0.25 * 4, 0.25 * 1});
  check_close(bn.running_var, {0.75 + 0.25 * 20 / 3, 0.75 + 0.25 * 4 / 3});
  CHECK(bn.num_batches_tracked.item<int>() == 1);
  bn.eval();
  const double m = 1.0, v = 0.75 + 5.0 / 3;
  const Tensor y = bn(x);
  check_close(y.slice(1, 0, 1), {2 * (1 - m) / std::sqrt(v), 2 * (3 - m) / std::sqrt(v),
                                 2 * (5 - m) / std::sqrt(v), 2 * (7 - m) / std::sqrt(v)});
  CHECK(bn.num_batches_tracked.item<int>() == 1);
  CHECK(error_of([&] { bn(ones({2, 2})); }).find("[N, C, H, W]") != std::string::npos);
  bn.train();
  CHECK(error_of([&] { bn(ones({1, 2, 1, 1})); }).find("more than one value") != std::string::npos);
}

TEST_CASE("running statistics are outside of the tape") {
  nn::BatchNorm2d bn(3);
  Tensor x = randn({4, 3, 2, 2});
  x.set_requires_grad();
  for (int i = 0; i < 3; ++i) sum(bn(x) * bn(x)).backward();
  CHECK_FALSE(bn.running_mean.requires_grad());
  CHECK_FALSE(bn.running_var.requires_grad());
  CHECK(bn.num_batches_tracked.item<int>() == 6);
  CHECK(bn.weight.grad().shape() == Shape{3});
}

TEST_CASE("layer norm normalises the last dimensions") {
  nn::LayerNorm norm({2, 2}, {.eps = 0.0});
  no_grad([&] { norm.bias.copy_(tensor({0.0, 0.0, 1.0, 1.0}).view({2, 2})); });
  const double r = 1 / std::sqrt(1.25);
  check_close(norm(tensor({1.0, 2.0, 3.0, 4.0}).view({1, 2, 2})),
              {-1.5 * r, -0.5 * r, 0.5 * r + 1, 1.5 * r + 1});
  nn::LayerNorm plain({4}, {.affine = false});
  CHECK(plain.parameters().empty());
  CHECK(error_of([&] { plain(ones({2, 3})); }).find("layer_norm") == 0);
}

TEST_CASE("cross entropy equals the formula, with ignored rows and smoothed labels") {
  const Tensor x = tensor({1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 5.0, 1.0, 1.0}).view({3, 3});
  const Tensor t = from_vector(std::vector<std::int64_t>{2, 0, -100});
  const double z = std::log(std::exp(1.0) + std::exp(2.0) + std::exp(3.0));
  const double a = z - 3, b = std::log(3.0);
  check_close(cross_entropy(x, t, Reduction::kNone), {a, b, 0});
  check_close(cross_entropy(x, t), {(a + b) / 2});
  check_close(cross_entropy(x, t, Reduction::kSum), {a + b});
  CHECK(std::isnan(cross_entropy(x, t, Reduction::kMean, 0).item()));  // -100 is no class now
  const double smooth_a = 0.9 * a + 0.1 * (z - 2);
  check_close(cross_entropy(x, t, Reduction::kMean, -100, 0.1), {(smooth_a + b) / 2});
  check_close(nll_loss(log_softmax(x, 1), t), {(a + b) / 2});
  const Tensor big = tensor({1000.0, 0.0, -1000.0, 0.0}).view({2, 2});
  check_close(cross_entropy(big, from_vector(std::vector<std::int64_t>{1, 1}), Reduction::kNone),
              {1000, 0});
}

TEST_CASE("a target that is no class makes the loss and the gradient NaN, not wrong") {
  Tensor x = tensor({1.0, 2.0, 3.0, 4.0}).view({2, 2}).detach();
  x.set_requires_grad();
  const Tensor rows =
      cross_entropy(x, from_vector(std::vector<std::int64_t>{2, 1}), Reduction::kNone);
  const std::vector<float> v = rows.detach().to_vector<float>();
  CHECK(std::isnan(v[0]));
  CHECK(std::isfinite(v[1]));
  sum(rows).backward();
  CHECK(std::isnan(x.grad()[0][0].item()));
  CHECK(std::isfinite(x.grad()[1][0].item()));
}

TEST_CASE("losses refuse what does not fit") {
  const Tensor x = ones({2, 3});
  CHECK(error_of([&] { cross_entropy(x, zeros({2})); }).find("integer classes") !=
        std::string::npos);
  CHECK(error_of([&] { cross_entropy(x, zeros({3}, i64)); }).find("[2, 3] and target [3]") !=
        std::string::npos);
  CHECK(error_of([&] {
          cross_entropy(x, zeros({2}, i64), Reduction::kMean, -100, 1.0);
        }).find("label smoothing") != std::string::npos);
  CHECK(error_of([&] { softmax(ones({2}, i64), 0); }).find("floating") != std::string::npos);
  CHECK(error_of([&] { dropout(x, 1.5); }).find("between 0 and 1") != std::string::npos);
}

TEST_CASE("mse loss is the mean of squares") {
  check_close(mse_loss(tensor({1.0, 2.0, 3.0}), tensor({1.0, 0.0, 6.0})), {13.0 / 3});
  check_close(mse_loss(tensor({1.0, 2.0, 3.0}), tensor({1.0, 0.0, 6.0}), Reduction::kSum), {13});
  check_close(mse_loss(tensor({1.0, 2.0}), tensor({3.0}), Reduction::kNone), {4, 1});
}

TEST_CASE("dropout scales what it keeps, keeps all in evaluation, and p = 1 keeps nothing") {
  manual_seed(5);
  nn::Dropout half(0.5);
  const std::vector<float> v = half(ones({1000})).to_vector<float>();
  int kept = 0;
  for (const float f : v) {
    CHECK((f == 0.0f || f == 2.0f));
    kept += f != 0.0f;
  }
  CHECK(kept > 400);
  CHECK(kept < 600);
  CHECK(half(ones({1000})).to_vector<float>() != v);
  half.eval();
  CHECK(half(ones({3})).to_vector<float>() == std::vector<float>{1, 1, 1});
  CHECK(nn::Dropout(1.0)(ones({3})).to_vector<float>() == std::vector<float>{0, 0, 0});
}

TEST_CASE("initialisers keep PyTorch's bounds and deviations") {
  manual_seed(7);
  Tensor w = zeros({64, 32, 3, 3});
  CHECK(nn::init::fans_of(w.shape()).in == 288);
  CHECK(nn::init::fans_of(w.shape()).out == 576);
  const auto uniform = [&](const Tensor& t, double bound) {
    CHECK(max_abs(t) <= bound);
    CHECK(max_abs(t) > 0.99 * bound);
    CHECK(deviation(t) == doctest::Approx(bound / std::sqrt(3.0)).epsilon(0.02));
  };
  uniform(nn::init::kaiming_uniform_(w), std::sqrt(6.0 / 288));
  uniform(nn::init::kaiming_uniform_(w, std::sqrt(5.0)), 1 / std::sqrt(288.0));
  uniform(nn::init::kaiming_uniform_(w, 0.0, nn::init::FanMode::kFanOut), std::sqrt(6.0 / 576));
  uniform(nn::init::xavier_uniform_(w, 2.0), 2 * std::sqrt(6.0 / 864));
  CHECK(deviation(nn::init::kaiming_normal_(w)) ==
        doctest::Approx(std::sqrt(2.0 / 288)).epsilon(0.02));
  CHECK(deviation(nn::init::xavier_normal_(w)) ==
        doctest::Approx(std::sqrt(2.0 / 864)).epsilon(0.02));
  CHECK(deviation(nn::init::normal_(w, 3.0, 0.5)) == doctest::Approx(0.5).epsilon(0.02));
  CHECK(mean(w).item() == doctest::Approx(3.0).epsilon(0.01));
  CHECK(nn::init::gain(nn::init::Nonlinearity::kTanh) == doctest::Approx(5.0 / 3));
  Tensor bias = zeros({3});
  CHECK(error_of([&] { nn::init::kaiming_uniform_(bias); }).find("at least two dimensions") !=
        std::string::npos);
  nn::Linear fc(100, 50);
  uniform(fc.weight, 0.1);
  CHECK(max_abs(fc.bias) <= 0.1);
  CHECK(max_abs(fc.bias) > 0.08);
  nn::Conv2d conv(4, 100, 5);
  uniform(conv.weight, 0.1);
  CHECK(max_abs(conv.bias) <= 0.1);
  CHECK(deviation(nn::Embedding(100, 50).weight) == doctest::Approx(1.0).epsilon(0.05));
  CHECK(fc.weight.is_leaf());
  CHECK(fc.weight.requires_grad());
}

TEST_CASE("layers refuse sizes that make no sense") {
  CHECK(error_of([] { nn::Linear(0, 3); }) == "Linear: in_features must be at least 1, not 0");
  CHECK(error_of([] { nn::Conv2d(3, 4, 3, {.groups = 2}); }).find("multiples of 2 groups") !=
        std::string::npos);
  CHECK(error_of([] { nn::Dropout(-0.1); }).find("between 0 and 1") != std::string::npos);
  CHECK(error_of([] { nn::BatchNorm2d(0); }).find("at least 1") != std::string::npos);
}
