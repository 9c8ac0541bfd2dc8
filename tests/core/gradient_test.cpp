// tests/core/gradient_test.cpp -- every gradient rule against finite differences
#include "core/ops/bind.h"
#include "core/ops/linalg.h"
#include "core/ops/shape_ops.h"
#include "gradcheck.h"

using namespace flash;
using namespace flash::testing;

namespace {

using In = const std::vector<Tensor>&;

struct UnaryCase {
  const char* name;
  Tensor (*f)(const Tensor&);
  double low = -2.0, high = 2.0;
};

const UnaryCase kUnary[] = {
    {"neg", &neg},
    {"abs", &flash::abs},
    {"square", &square},
    {"reciprocal", &reciprocal, 0.5, 2.0},
    {"sqrt", &flash::sqrt, 0.5, 3.0},
    {"rsqrt", &rsqrt, 0.5, 3.0},
    {"exp", &flash::exp},
    {"expm1", &flash::expm1},
    {"log", &flash::log, 0.3, 3.0},
    {"log1p", &flash::log1p, -0.5, 3.0},
    {"tanh", &flash::tanh},
    {"sigmoid", &sigmoid},
    {"erf", &flash::erf},
    {"sin", &flash::sin},
    {"cos", &flash::cos},
    {"relu", &relu},
    {"gelu", &gelu},
    {"silu", &silu},
    {"leaky_relu", [](const Tensor& x) { return leaky_relu(x, 0.2); }},
    {"clamp", [](const Tensor& x) { return clamp(x, -0.7, 0.9); }},
    {"pow 2.5", [](const Tensor& x) { return pow(x, 2.5); }, 0.3, 2.0},
    {"pow 3", [](const Tensor& x) { return pow(x, 3); }},
    {"pow 0", [](const Tensor& x) { return pow(x, 0); }},
    {"pow of a number", [](const Tensor& x) { return pow(1.7, x); }},
    {"scaled", [](const Tensor& x) { return (3.0 - x * 2.0) / 4.0 + 1.0 / (x + 5.0); }},
    {"clone", [](const Tensor& x) { return x.clone(); }},
    {"cast there and back", [](const Tensor& x) { return x.to(f64) * 2; }},
};

struct BinaryCase {
  const char* name;
  Tensor (*f)(const Tensor&, const Tensor&);
  double low = -2.0, high = 2.0;
};

const BinaryCase kBinary[] = {
    {"add", [](const Tensor& a, const Tensor& b) { return a + b; }},
    {"sub", [](const Tensor& a, const Tensor& b) { return a - b; }},
    {"mul", [](const Tensor& a, const Tensor& b) { return a * b; }},
    {"div", [](const Tensor& a, const Tensor& b) { return a / b; }, 0.4, 2.0},
    {"pow", [](const Tensor& a, const Tensor& b) { return pow(a, b); }, 0.4, 2.0},
    {"maximum", [](const Tensor& a, const Tensor& b) { return maximum(a, b); }},
    {"minimum", [](const Tensor& a, const Tensor& b) { return minimum(a, b); }},
    {"remainder", [](const Tensor& a, const Tensor& b) { return remainder(a * 3.0, b); }, 0.4, 2.0},
    {"fmod", [](const Tensor& a, const Tensor& b) { return fmod(a * -3.0, b); }, 0.4, 2.0},
    {"where", [](const Tensor& a, const Tensor& b) { return where(gt(a, 0), a * b, b); }},
    {"lerp", [](const Tensor& a, const Tensor& b) { return lerp(a, b, 0.3); }},
    {"fma", [](const Tensor& a, const Tensor& b) { return fma(a, b, a); }},
};

}  // namespace

TEST_CASE("gradients of element-wise functions equal finite differences") {
  for (const UnaryCase& c : kUnary)
    for (const Shape& s : {Shape{2, 3}, Shape{}, Shape{0, 3}, Shape{5}})
      check_gradients(c.name, {s}, [&](In in) { return c.f(in[0]); },
                      {.low = c.low, .high = c.high});
}

TEST_CASE("gradients of functions of two tensors equal finite differences, broadcast or not") {
  const std::vector<Shape> pairs[] = {{{2, 3}, {2, 3}}, {{2, 1}, {1, 3}}, {{3}, {2, 3}},
                                      {{}, {2, 2}},     {{1, 3}, {0, 3}}, {{2, 1, 3}, {4, 1}}};
  for (const BinaryCase& c : kBinary)
    for (const std::vector<Shape>& shapes : pairs)
      check_gradients(c.name, shapes, [&](In in) { return c.f(in[0], in[1]); },
                      {.low = c.low, .high = c.high});
}

TEST_CASE("functions with steps have the gradient zero, not none") {
  const Tensor x = leaf({0.3, -1.2, 2.7}, {3});
  using Function = Tensor (*)(const Tensor&);
  for (const Function f :
       std::initializer_list<Function>{flash::floor, flash::ceil, flash::round, flash::trunc}) {
    const Tensor g = grad({sum(f(x))}, {x})[0];
    CHECK(g.to_vector<double>() == std::vector<double>{0, 0, 0});
  }
  const Tensor s = grad({sum(floor_divide(x, 2.0))}, {x})[0];
  CHECK(s.to_vector<double>() == std::vector<double>{0, 0, 0});
  CHECK_FALSE(gt(x, 0).requires_grad());
  CHECK_FALSE(x.to(i64).requires_grad());
  CHECK_FALSE(argmax(x, 0).requires_grad());
}

TEST_CASE("equal operands of maximum and equal extremes share the gradient") {
  const Tensor a = leaf({1, 2, 3}, {3}), b = leaf({1, 5, 0}, {3});
  const std::vector<Tensor> g = grad({sum(maximum(a, b))}, {a, b});
  CHECK(g[0].to_vector<double>() == std::vector<double>{0.5, 0, 1});
  CHECK(g[1].to_vector<double>() == std::vector<double>{0.5, 1, 0});
  const Tensor x = leaf({4, 1, 4, 2}, {4});
  CHECK(grad({amax(x)}, {x})[0].to_vector<double>() == std::vector<double>{0.5, 0, 0.5, 0});
}

TEST_CASE("relu has the gradient 0 at 0, and pow at 0 is finite") {
  const Tensor x = leaf({-1, 0, 2}, {3});
  CHECK(grad({sum(relu(x))}, {x})[0].to_vector<double>() == std::vector<double>{0, 0, 1});
  const Tensor zero = leaf({0}, {1}), e = leaf({2}, {1});
  const std::vector<Tensor> g = grad({sum(pow(zero, e))}, {zero, e});
  CHECK(g[0].item() == 0.0);
  CHECK(g[1].item() == 0.0);
}

TEST_CASE("gradients of reductions equal finite differences") {
  using Reduce = Tensor (*)(const Tensor&, const Dims&, bool);
  const std::pair<const char*, Reduce> cases[] = {
      {"sum", &sum},
      {"mean", &mean},
      {"prod", &prod},
      {"amax", &amax},
      {"amin", &amin},
      {"var", [](const Tensor& x, const Dims& d, bool k) { return var(x, d, k); }},
      {"std", [](const Tensor& x, const Dims& d, bool k) { return flash::std(x, d, k); }}};
  for (const auto& [name, f] : cases)
    for (const Shape& dims : {Shape{}, Shape{0}, Shape{-1}, Shape{0, 2}})
      for (const bool keepdim : {false, true})
        check_gradients(name, {{2, 3, 2}}, [&, f = f](In in) { return f(in[0], dims, keepdim); });
  check_gradients("sum of nothing", {{0, 3}}, [](In in) { return sum(in[0], {0}); });
  check_gradients("sum of a number", {{}}, [](In in) { return sum(in[0]); });
}

TEST_CASE("the gradient of prod is right at zeros") {
  const Tensor x = leaf({2, 0, 3, 0, 0, 5, 4, 6, 7}, {3, 3});
  const Tensor g = grad({sum(prod(x, {1}))}, {x})[0];
  CHECK(g.to_vector<double>() == std::vector<double>{0, 6, 0, 0, 0, 0, 42, 28, 24});
}

TEST_CASE("the gradient of prod has the right gradients at zeros") {
  // A row without zeros, with one, two and three.
  const std::vector<double> v = {2, -1, 3, 0.5, 4, 0, -3, 1.5, 0, 2, 0, -1, 0, 5, 0, 0};
  const auto gradient = [](const std::vector<Tensor>& in, int order) {
    const Tensor weights = from_vector(numbers(16, 0.5, 1.5, 5), {4, 4});
    Tensor y = sum(prod(in[0], {1}) * from_vector(numbers(4, 0.5, 1.5, 2)));
    for (int i = 0; i < order; ++i) y = sum(grad({y}, {in[0]}, {}, true, true)[0] * weights);
    return y;
  };
  for (const int order : {0, 1, 2})
    compare([&](const std::vector<Tensor>& in) { return gradient(in, order); }, {v}, {{4, 4}},
            "prod, order " + std::to_string(order + 1), 1e-6);
  // Both ways to the first gradient agree.
  const Tensor x = leaf(v, {4, 4});
  const Tensor y = sum(prod(x, {1}));
  const Tensor differentiable = grad({y}, {x}, {}, true, true)[0];
  CHECK(differentiable.to_vector<double>() == grad({y}, {x})[0].to_vector<double>());
  // Dimensions apart, sizes that are no powers of two, nothing, a number, half types.
  for (const Shape& dims : {Shape{0, 2}, Shape{1}, Shape{}})
    check_gradients("prod of zeros and others", {{3, 2, 5}},
                    [&](In in) { return prod(where(gt(in[0], -1.0), in[0], in[0] * 0.0), dims); });
  check_gradients("prod of nothing", {{2, 0}}, [](In in) { return prod(in[0], {1}) + 1.0; });
  check_gradients("prod of a number", {{}}, [](In in) { return prod(in[0] * in[0]); });
  const Tensor h = from_vector(std::vector<float>{2, 0, 3}).to(bf16).detach().set_requires_grad();
  const Tensor g = grad({prod(h)}, {h}, {}, true, true)[0];
  CHECK(g.dtype() == bf16);
  CHECK(g.to(f32).to_vector<float>() == std::vector<float>{0, 6, 0});
}

TEST_CASE("gradients of softmax, log_softmax, logsumexp and norms equal finite differences") {
  for (const int dim : {-1, 0, 1}) {
    check_gradients("softmax", {{2, 3, 2}}, [&](In in) { return softmax(in[0], dim); });
    check_gradients("log_softmax", {{2, 3, 2}}, [&](In in) { return log_softmax(in[0], dim); });
    for (const bool keepdim : {false, true})
      check_gradients("logsumexp", {{2, 3, 2}},
                      [&](In in) { return logsumexp(in[0], dim, keepdim); });
  }
  check_gradients("softmax of a number", {{}}, [](In in) { return softmax(in[0], 0) * in[0]; });
  check_gradients("logsumexp of a number", {{}}, [](In in) { return logsumexp(in[0], 0); });
  check_gradients("softmax of nothing", {{2, 0}}, [](In in) { return softmax(in[0], -1); });
  check_gradients("layer_norm", {{3, 4}}, [](In in) { return layer_norm(in[0], {4}); });
  check_gradients("layer_norm with gain and bias", {{2, 3, 4}, {3, 4}, {3, 4}},
                  [](In in) {
                    return layer_norm(in[0], {3, 4}, in[1], in[2]);
                  },
                  {.tolerance = 1e-6});
  check_gradients("batch_norm", {{2, 3, 2, 2}, {3}, {3}},
                  [](In in) {
                    Tensor mean = zeros({3}, f64), var = ones({3}, f64);
                    return batch_norm(in[0], mean, var, in[1], in[2], true);
                  },
                  {.tolerance = 1e-6});
}

TEST_CASE("gradients of losses equal finite differences") {
  const Tensor target = from_vector(std::vector<std::int64_t>{2, 0, -100, 1});
  for (const Reduction r : {Reduction::kNone, Reduction::kMean, Reduction::kSum}) {
    for (const double smoothing : {0.0, 0.2})
      check_gradients("cross_entropy", {{4, 3}},
                      [&](In in) { return cross_entropy(in[0], target, r, -100, smoothing); });
    check_gradients("nll_loss", {{4, 3}}, [&](In in) { return nll_loss(in[0], target, r); });
    check_gradients("mse_loss", {{4, 3}, {3}}, [&](In in) { return mse_loss(in[0], in[1], r); });
  }
}

TEST_CASE("gradients of views equal finite differences") {
  const std::pair<const char*, Tensor (*)(const Tensor&)> cases[] = {
      {"reshape",
       [](const Tensor& x) {
         return x.reshape({6, 4});
       }},
      {"reshape that copies", [](const Tensor& x) { return x.transpose(0, 1).reshape({-1}); }},
      {"flatten", [](const Tensor& x) { return x.flatten(1); }},
      {"unflatten",
       [](const Tensor& x) {
         return x.unflatten(2, {2, 2});
       }},
      {"permute",
       [](const Tensor& x) {
         return x.permute({2, 0, 1});
       }},
      {"transpose", [](const Tensor& x) { return x.transpose(0, 2); }},
      {"unsqueeze", [](const Tensor& x) { return x.unsqueeze(1); }},
      {"squeeze", [](const Tensor& x) { return x.slice(1, 0, 1).squeeze(1); }},
      {"expand",
       [](const Tensor& x) {
         return x.unsqueeze(0).expand({3, 2, 3, 4});
       }},
      {"select", [](const Tensor& x) { return x.select(1, -1); }},
      {"slice", [](const Tensor& x) { return x.slice(2, 1, 4, 2); }},
      {"empty slice", [](const Tensor& x) { return x.slice(1, 2, 2); }},
      {"flip", [](const Tensor& x) { return x.flip(1); }},
      {"backward slice", [](const Tensor& x) { return x.slice(2, 3, 0, -2); }},
      {"unfold apart", [](const Tensor& x) { return x.unfold(2, 2, 2); }},
      {"unfold overlapping", [](const Tensor& x) { return x.unfold(2, 3, 1); }},
      {"as_strided",
       [](const Tensor& x) {
         return x.as_strided({2, 3}, {12, 2}, 1);
       }},
      {"as_strided overlapping",
       [](const Tensor& x) {
         return x.as_strided({4, 3}, {2, 1}, 5);
       }},
      {"as_strided broadcast",
       [](const Tensor& x) {
         return x.as_strided({3, 2}, {0, 7}, 2);
       }},
      {"cat",
       [](const Tensor& x) {
         return cat({x, x.slice(1, 0, 2), x * 2}, 1);
       }},
      {"stack",
       [](const Tensor& x) {
         return stack({x, x * x}, 1);
       }},
      {"split", [](const Tensor& x) { return split(x, 3, 2)[1]; }},
      {"pad",
       [](const Tensor& x) {
         return pad(x, {1, 2, 0, 1}, 3.0);
       }},
      {"view of a view",
       [](const Tensor& x) {
         return x.permute({1, 2, 0})[1].slice(0, 1, 3);
       }},
      {"contiguous", [](const Tensor& x) { return x.transpose(1, 2).contiguous(); }},
  };
  for (const auto& [name, f] : cases)
    check_gradients(name, {{2, 3, 4}}, [f = f](In in) { return f(in[0] * in[0]); });
}

TEST_CASE("a leaf that is a strided view has a gradient of its own shape") {
  const Tensor base = from_vector(numbers(12, -1, 1, 2), {3, 4});
  Tensor x = base.t().detach();
  x.set_requires_grad();
  sum(x * x * x).backward();
  const std::vector<double> v = x.detach().to_vector<double>(), g = x.grad().to_vector<double>();
  REQUIRE(g.size() == v.size());
  for (std::size_t i = 0; i < v.size(); ++i) CHECK(g[i] == doctest::Approx(3 * v[i] * v[i]));
}

TEST_CASE("gradients of matrix products equal finite differences") {
  const std::vector<Shape> shapes[] = {{{2, 3}, {3, 4}},
                                       {{3}, {3}},
                                       {{3}, {3, 2}},
                                       {{2, 3}, {3}},
                                       {{2, 2, 3}, {3, 2}},
                                       {{2, 3}, {2, 3, 2}},
                                       {{2, 1, 2, 3}, {3, 3, 2}},
                                       {{0, 3}, {3, 2}},
                                       {{1, 2, 3}, {2, 3, 1}}};
  for (const std::vector<Shape>& s : shapes)
    check_gradients("matmul", s, [](In in) { return matmul(in[0], in[1]); });
  check_gradients("matmul of transposes", {{3, 2}, {4, 3}},
                  [](In in) { return matmul(in[0].t(), in[1].t()); });
  check_gradients("linear", {{2, 3}, {4, 3}, {4}},
                  [](In in) { return linear(in[0], in[1], in[2]); });
  check_gradients("linear of a stack", {{2, 2, 3}, {4, 3}},
                  [](In in) { return linear(in[0], in[1]); });
}

TEST_CASE("gradients of convolutions and pools equal finite differences") {
  struct Case {
    Shape x, w;
    Conv2dOptions o;
  };
  const Case cases[] = {
      {{2, 2, 4, 5}, {3, 2, 3, 2}, {}},
      {{1, 2, 5, 4}, {2, 2, 3, 3}, {.stride_h = 2, .stride_w = 2, .padding_h = 1, .padding_w = 1}},
      {{1, 2, 6, 5}, {2, 1, 2, 2}, {.dilation_h = 2, .dilation_w = 3, .groups = 2}},
      {{1, 1, 6, 6}, {1, 1, 3, 3}, {.stride_h = 2, .stride_w = 2}},
  };
  for (const Case& c : cases)
    check_gradients("conv2d", {c.x, c.w, {c.w[0]}},
                    [&](In in) { return conv2d(in[0], in[1], in[2], c.o); });
  const Pool2dOptions pools[] = {
      {},
      {.kernel_h = 3, .kernel_w = 2, .stride_h = 2, .stride_w = 1, .padding_h = 1, .padding_w = 1},
      {.kernel_h = 2, .kernel_w = 3, .padding_w = 1, .count_include_pad = false}};
  for (const Pool2dOptions& o : pools) {
    check_gradients("max_pool2d", {{1, 2, 5, 6}}, [&](In in) { return max_pool2d(in[0], o); });
    check_gradients("avg_pool2d", {{1, 2, 5, 6}}, [&](In in) { return avg_pool2d(in[0], o); });
  }
}

TEST_CASE("gradients of embedding add up for repeated rows") {
  const Tensor index = from_vector(std::vector<std::int64_t>{2, 0, 2, 1, 2, 2}, {2, 3});
  check_gradients("embedding", {{4, 3}}, [&](In in) { return embedding(index, in[0]); });
}

TEST_CASE("dropout's gradient uses the mask of its forward pass") {
  manual_seed(3);
  const Tensor x = leaf(std::vector<double>(500, 1.0), {500});
  const Tensor y = dropout(x, 0.3);
  const Tensor g = grad({sum(y)}, {x})[0];
  const std::vector<double> kept = y.to_vector<double>();
  CHECK(g.to_vector<double>() == kept);
  std::int64_t zeros = 0;
  for (const double v : kept) {
    CHECK((v == 0.0 || v == doctest::Approx(1.0 / 0.7)));
    zeros += v == 0.0;
  }
  CHECK(zeros > 100);
  CHECK(zeros < 200);
}

TEST_CASE("half types differentiate with f32 inside and give gradients of their own dtype") {
  for (const DType d : {f16, bf16}) {
    Tensor x = from_vector(std::vector<float>{0.5f, -1.0f, 2.0f, 0.25f}, {2, 2}).to(d).detach();
    x.set_requires_grad();
    for (const Tensor& y : {gelu(x), silu(x), softmax(x, 1), log_softmax(x, 1), logsumexp(x, 1),
                            layer_norm(x, {2}), mean(x), x.to(f32) * 2, relu(x)}) {
      const Tensor g = grad({sum(y * y)}, {x})[0];
      CHECK(g.dtype() == d);
      CHECK(g.shape() == x.shape());
    }
  }
}
