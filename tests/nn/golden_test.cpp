// tests/nn/golden_test.cpp -- layers against inputs and outputs that PyTorch made
#include <doctest/doctest.h>

#include <cmath>

#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "nn/nn.h"
#include "onnx_fixture.h"

using namespace flash;
using namespace flash::testing;

namespace {

using Weights = const std::vector<Tensor>&;

/// Puts the fixture's weights into the layer, in the order of its state's registration.
template <class Layer>
Tensor run(Layer layer, Weights weights, const Tensor& x) {
  nn::StateDict state;
  std::size_t next = 0;
  for (const auto& [name, t] : layer.named_parameters()) state[name] = weights.at(next++);
  for (const auto& [name, t] : layer.named_buffers())
    if (t.dim() > 0) state[name] = weights.at(next++);
  REQUIRE(next == weights.size());
  layer.load_state_dict(state, /*strict=*/false);
  layer.eval();
  return layer(x);
}

struct Case {
  const char* name;
  Tensor (*forward)(Weights, const Tensor&);
};

const Case kCases[] = {
    {"test_Linear", [](Weights w, const Tensor& x) { return run(nn::Linear(10, 8), w, x); }},
    {"test_Linear_no_bias",
     [](Weights w, const Tensor& x) { return run(nn::Linear(10, 8, false), w, x); }},
    {"test_Conv2d",
     [](Weights w, const Tensor& x) {
       return run(nn::Conv2d(3, 4, {3, 2}), w, x);
     }},
    {"test_Conv2d_no_bias",
     [](Weights w, const Tensor& x) {
       return run(nn::Conv2d(3, 4, {3, 2}, {.bias = false}), w, x);
     }},
    {"test_Conv2d_padding",
     [](Weights w, const Tensor& x) {
       return run(nn::Conv2d(3, 4, 3, {.stride = 2, .padding = 1}), w, x);
     }},
    {"test_Conv2d_dilated",
     [](Weights w, const Tensor& x) {
       return run(nn::Conv2d(3, 2, 3, {.stride = 2, .padding = 1, .dilation = 2}), w, x);
     }},
    {"test_Conv2d_groups_thnn",
     [](Weights w, const Tensor& x) {
       return run(nn::Conv2d(4, 6, {3, 2}, {.groups = 2}), w, x);
     }},
    {"test_Conv2d_depthwise",
     [](Weights w, const Tensor& x) { return run(nn::Conv2d(4, 4, 3, {.groups = 4}), w, x); }},
    {"test_Conv2d_depthwise_strided",
     [](Weights w, const Tensor& x) {
       return run(nn::Conv2d(4, 4, 3, {.stride = 2, .groups = 4}), w, x);
     }},
    {"test_Conv2d_depthwise_with_multiplier",
     [](Weights w, const Tensor& x) { return run(nn::Conv2d(4, 8, 3, {.groups = 4}), w, x); }},
    {"test_BatchNorm2d_eval",
     [](Weights w, const Tensor& x) { return run(nn::BatchNorm2d(3), w, x); }},
    {"test_BatchNorm2d_momentum_eval",
     [](Weights w, const Tensor& x) {
       return run(nn::BatchNorm2d(3, {.eps = 1e-3, .momentum = 0.8}), w, x);
     }},
    {"test_MaxPool2d",
     [](Weights w, const Tensor& x) {
       return run(nn::MaxPool2d(3, {.stride = 2, .padding = 1}), w, x);
     }},
    {"test_AvgPool2d", [](Weights w, const Tensor& x) { return run(nn::AvgPool2d(2), w, x); }},
    {"test_Embedding", [](Weights w, const Tensor& x) { return run(nn::Embedding(4, 3), w, x); }},
    {"test_ReLU", [](Weights w, const Tensor& x) { return run(nn::ReLU(), w, x); }},
    {"test_LeakyReLU", [](Weights, const Tensor& x) { return leaky_relu(x); }},
    {"test_Tanh", [](Weights, const Tensor& x) { return tanh(x); }},
    {"test_Sigmoid", [](Weights, const Tensor& x) { return sigmoid(x); }},
    {"test_Softmax", [](Weights, const Tensor& x) { return softmax(x, 1); }},
    {"test_softmax_functional_dim3", [](Weights, const Tensor& x) { return softmax(x, 3); }},
    {"test_LogSoftmax", [](Weights, const Tensor& x) { return log_softmax(x, 1); }},
    {"test_log_softmax_dim3", [](Weights, const Tensor& x) { return log_softmax(x, 3); }},
    {"test_log_softmax_lastdim", [](Weights, const Tensor& x) { return log_softmax(x, -1); }},
};

}  // namespace

TEST_CASE("layers give PyTorch's outputs for its weights and inputs") {
  for (const Case& c : kCases) {
    CAPTURE(c.name);
    const auto fixture = read_onnx_fixture(c.name);
    if (!fixture) return;  // which has been said
    const Tensor y = c.forward(fixture->weights, fixture->inputs.at(0));
    const Tensor& want = fixture->outputs.at(0);
    REQUIRE(y.shape() == want.shape());
    const double error = amax(abs(y.detach().to(f64) - want.to(f64))).item();
    const double scale = amax(abs(want)).item();
    CAPTURE(error);
    CHECK(error <= 2e-6 * (1.0 + scale));
  }
}
