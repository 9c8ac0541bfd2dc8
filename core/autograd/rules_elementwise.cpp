// core/autograd/rules_elementwise.cpp -- gradients of maps; broadcasting is undone by give()
#include <cmath>
#include <numbers>

#include "core/autograd/rules.h"
#include "core/ops/checks.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"

namespace flash::autograd::vjp {

// Piecewise constant: the gradient is zero, as PyTorch has it.
void zero(BackwardCall& c) {
  for (int i = 0; i < static_cast<int>(c.node().edges().size()); ++i)
    if (c.needs(i)) c.give(i, zeros_like(c.grad()));
}
void pass(BackwardCall& c) { c.give(0, c.grad()); }
void cast(BackwardCall& c) { c.give(0, c.grad().to(c.input_dtype(0))); }
void neg(BackwardCall& c) { c.give(0, flash::neg(c.grad())); }
void abs(BackwardCall& c) { c.give(0, c.grad() * sign(c.saved(0))); }
void sqrt(BackwardCall& c) { c.give(0, c.grad() / (c.saved(kOutputSlot) * 2.0)); }
void rsqrt(BackwardCall& c) {
  const Tensor y = c.saved(kOutputSlot);
  c.give(0, c.grad() * -0.5 * (y * y * y));
}
void exp(BackwardCall& c) { c.give(0, c.grad() * c.saved(kOutputSlot)); }
void expm1(BackwardCall& c) { c.give(0, c.grad() * (c.saved(kOutputSlot) + 1.0)); }
void log(BackwardCall& c) { c.give(0, c.grad() / c.saved(0)); }
void log1p(BackwardCall& c) { c.give(0, c.grad() / (c.saved(0) + 1.0)); }
void tanh(BackwardCall& c) {
  const Tensor y = c.saved(kOutputSlot);
  c.give(0, c.grad() * (1.0 - y * y));
}
void sigmoid(BackwardCall& c) {
  const Tensor y = c.saved(kOutputSlot);
  c.give(0, c.grad() * ((1.0 - y) * y));
}
Tensor silu_again(const Tensor& x, std::span<const std::int64_t>) { return flash::silu(x); }
void silu(BackwardCall& c) {
  const Tensor x = widen(c.saved(0)), g = widen(c.grad()), s = flash::sigmoid(x);
  c.give(0, as_dtype(g * (s * (x * (1.0 - s) + 1.0)), c.input_dtype(0)));
}
Tensor gelu_again(const Tensor& x, std::span<const std::int64_t>) { return flash::gelu(x); }
void gelu(BackwardCall& c) {
  const Tensor x = widen(c.saved(0)), g = widen(c.grad());
  // Unlike gelu's own, of absolute accuracy only.
  const Tensor cdf = (flash::erf(x * (1.0 / std::numbers::sqrt2)) + 1.0) * 0.5;
  const double scale = 0.5 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi;  // 1/√(2π)
  const Tensor density = flash::exp(x * x * -0.5) * scale;
  c.give(0, as_dtype(g * (cdf + x * density), c.input_dtype(0)));
}
void erf(BackwardCall& c) {
  const Tensor x = c.saved(0);
  c.give(0, c.grad() * (flash::exp(flash::neg(x * x)) * (2.0 * std::numbers::inv_sqrtpi)));
}
void sin(BackwardCall& c) { c.give(0, c.grad() * flash::cos(c.saved(0))); }
void cos(BackwardCall& c) { c.give(0, flash::neg(c.grad() * flash::sin(c.saved(0)))); }

void add(BackwardCall& c) {
  if (c.needs(0)) c.give(0, c.grad());
  if (c.needs(1)) c.give(1, c.grad());
}
void sub(BackwardCall& c) {
  if (c.needs(0)) c.give(0, c.grad());
  if (c.needs(1)) c.give(1, flash::neg(c.grad()));
}
void mul(BackwardCall& c) {
  if (c.needs(0)) c.give(0, c.grad() * c.saved(1));
  if (c.needs(1)) c.give(1, c.grad() * c.saved(0));
}
void div(BackwardCall& c) {
  const Tensor q = c.grad() / c.saved(1);
  if (c.needs(0)) c.give(0, q);
  if (c.needs(1)) c.give(1, flash::neg(q * c.saved(kOutputSlot)));
}
// a - b·⌊a / b⌋ and a - b·trunc(a / b)
void rem(BackwardCall& c) {
  if (c.needs(0)) c.give(0, c.grad());
  if (c.needs(1)) c.give(1, flash::neg(c.grad() * floor_divide(c.saved(0), c.saved(1))));
}
void fmod(BackwardCall& c) {
  if (c.needs(0)) c.give(0, c.grad());
  if (c.needs(1)) c.give(1, flash::neg(c.grad() * trunc(c.saved(0) / c.saved(1))));
}

void pow(BackwardCall& c) {
  const Tensor& g = c.grad();
  const Tensor a = c.saved(0);
  if (c.needs(0)) {
    double e = 0;
    if (c.saved_scalar(1, e)) {
      c.give(0, e == 0.0 ? zeros_like(g) : g * (flash::pow(a, e - 1.0) * e));
    } else {  // 0·0⁻¹ is 0 here, not NaN
      const Tensor b = c.saved(1);
      c.give(0, flash::where(eq(b, 0), 0.0, g * (b * flash::pow(a, b - 1.0))));
    }
  }
  if (c.needs(1)) {  // 0ᵇ has the slope 0 for b ≥ 0, where log 0 would give NaN
    const Tensor b = c.saved(1);
    const Tensor flat = logical_and(eq(a, 0), ge(b, 0));
    c.give(1, flash::where(flat, 0.0, g * (c.saved(kOutputSlot) * flash::log(a))));
  }
}

namespace {
// Equal operands share the gradient.
void pick(BackwardCall& c, Tensor (*wins)(const Tensor&, const Tensor&)) {
  const Tensor a = c.saved(0), b = c.saved(1), &g = c.grad();
  const Tensor shared = flash::where(eq(a, b), g * 0.5, g);
  if (c.needs(0)) c.give(0, flash::where(wins(b, a), 0.0, shared));
  if (c.needs(1)) c.give(1, flash::where(wins(a, b), 0.0, shared));
}
}  // namespace
void maximum(BackwardCall& c) { pick(c, &gt); }
void minimum(BackwardCall& c) { pick(c, &lt); }

void where(BackwardCall& c) {
  const Tensor condition = c.saved(0);
  if (c.needs(1)) c.give(1, flash::where(condition, c.grad(), 0.0));
  if (c.needs(2)) c.give(2, flash::where(condition, 0.0, c.grad()));
}
void fma(BackwardCall& c) {
  if (c.needs(0)) c.give(0, c.grad() * c.saved(1));
  if (c.needs(1)) c.give(1, c.grad() * c.saved(0));
  if (c.needs(2)) c.give(2, c.grad());
}

}  // namespace flash::autograd::vjp
