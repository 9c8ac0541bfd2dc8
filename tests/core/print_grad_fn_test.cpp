// tests/core/print_grad_fn_test.cpp -- what printed tensors say of the operation that made them
#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "core/autograd/autograd.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/linalg.h"
#include "core/ops/reduce.h"

using namespace flash;

namespace {

Tensor leaf(Tensor t) {
  t.set_requires_grad();
  return t;
}

}  // namespace

TEST_CASE("results name the operation that made them as PyTorch does") {
  const Tensor x = leaf(tensor({1.0, 2.0, 3.0, 4.0}).view({2, 2}).clone());
  const Tensor image = leaf(zeros({1, 1, 3, 3})), filter = zeros({1, 1, 2, 2});
  const Tensor row = tensor({1.0, 2.0});
  Tensor written = x * 1, copied = zeros({2, 2});
  written.select(0, 1).mul_(2);
  copied.copy_(x);
  const std::pair<Tensor, const char*> cases[] = {
      {matmul(x, x), "MmBackward0"},
      {matmul(x.view({1, 2, 2}), x.view({1, 2, 2})), "BmmBackward0"},
      {x.to(f64), "ToCopyBackward0"},
      {x.clone(), "CloneBackward0"},
      {x.view({4}), "ViewBackward0"},
      {x.permute({1, 0}), "PermuteBackward0"},
      {x.slice(0, 1), "SliceBackward0"},
      {x.unfold(0, 2, 1), "UnfoldBackward0"},
      {x.sum(), "SumBackward0"},
      {x.sum({1}), "SumBackward1"},
      {prod(x), "ProdBackward0"},
      {prod(x, {0}), "ProdBackward1"},
      {amax(x, {0}), "AmaxBackward0"},
      {logsumexp(x, 1), "LogsumexpBackward0"},
      {softmax(x, 1), "SoftmaxBackward0"},
      {log_softmax(x, 1), "LogSoftmaxBackward0"},
      {layer_norm(x, {2}, row, row), "NativeLayerNormBackward0"},
      {cross_entropy(x, tensor({0, 1}, i64)), "NllLossBackward0"},
      {conv2d(image, filter), "ConvolutionBackward0"},
      {max_pool2d(image, {}), "MaxPool2DWithIndicesBackward0"},
      {avg_pool2d(image, {}), "AvgPool2DBackward0"},
      {embedding(tensor({1, 0}, i64), x), "EmbeddingBackward0"},
      {leaky_relu(x), "LeakyReluBackward0"},
      {copied, "CopyBackwards"},
      {written, "CopySlices"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.second);
    CHECK(c.first.str().find("grad_fn=<" + std::string(c.second) + ">") != std::string::npos);
  }
}
