// nn/linear.cpp -- dense layers and embeddings
#include "nn/linear.h"

#include <cmath>

#include "core/ops/create.h"
#include "core/ops/linalg.h"
#include "nn/embedding.h"
#include "nn/init.h"

namespace flash::nn {
namespace {

void check_size(std::int64_t n, const char* layer, const char* what) {
  if (n < 1)
    throw ValueError(std::string(layer) + ": " + what + " must be at least 1, not " +
                     std::to_string(n));
}

}  // namespace

Linear::Linear(std::int64_t in_features, std::int64_t out_features, bool with_bias) {
  check_size(in_features, "Linear", "in_features");
  check_size(out_features, "Linear", "out_features");
  weight = zeros({out_features, in_features});
  init::kaiming_uniform_(weight, std::sqrt(5.0));
  if (!with_bias) return;
  bias = zeros({out_features});
  const double bound = 1.0 / std::sqrt(static_cast<double>(in_features));
  init::uniform_(bias, -bound, bound);
}

Tensor Linear::forward(const Tensor& x) const { return linear(x, weight, bias); }

std::string Linear::describe() const {
  return "in_features=" + std::to_string(weight.size(1)) +
         ", out_features=" + std::to_string(weight.size(0)) +
         ", bias=" + (bias.defined() ? "True" : "False");
}

Embedding::Embedding(std::int64_t count, std::int64_t width) {
  check_size(count, "Embedding", "the number of rows");
  check_size(width, "Embedding", "the width");
  weight = zeros({count, width});
  init::normal_(weight);
}

Tensor Embedding::forward(const Tensor& index) const { return embedding(index, weight); }

std::string Embedding::describe() const {
  return std::to_string(weight.size(0)) + ", " + std::to_string(weight.size(1));
}

}  // namespace flash::nn
