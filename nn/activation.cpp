// nn/activation.cpp -- modules without state of their own, and Sequential
#include "nn/activation.h"

#include <cstdio>

#include "core/ops/elementwise.h"
#include "core/ops/linalg.h"
#include "nn/dropout.h"
#include "nn/sequential.h"

namespace flash::nn {

Tensor ReLU::forward(const Tensor& x) const { return relu(x); }
Tensor GELU::forward(const Tensor& x) const { return gelu(x); }

Tensor Flatten::forward(const Tensor& x) const { return x.flatten(start, end); }
std::string Flatten::describe() const {
  return "start_dim=" + std::to_string(start) + ", end_dim=" + std::to_string(end);
}

Dropout::Dropout(double p) : p(p) {
  if (!(p >= 0.0 && p <= 1.0))
    throw ValueError("Dropout: the probability must be between 0 and 1, not " + std::to_string(p));
}
Tensor Dropout::forward(const Tensor& x) const { return dropout(x, p, training()); }
std::string Dropout::describe() const {
  char text[32];
  std::snprintf(text, sizeof text, "p=%g", p);
  return text;
}

Sequential::Step::~Step() = default;

Tensor Sequential::forward(const Tensor& x) {
  Tensor y = x;
  for (const auto& s : steps_) y = s->forward(y);
  return y;
}

Module& Sequential::operator[](std::size_t i) {
  if (i >= steps_.size())
    throw IndexError("Sequential: there is no module " + std::to_string(i) + " of " +
                     std::to_string(steps_.size()));
  return steps_[i]->module();
}

void Sequential::visit_members(MemberVisitor& v) {
  for (std::size_t i = 0; i < steps_.size(); ++i) v.module(std::to_string(i), steps_[i]->module());
}

}  // namespace flash::nn
