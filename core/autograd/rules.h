// core/autograd/rules.h -- the rule table: how each primitive is differentiated, and what that
// needs
#pragma once

#include <array>

#include "core/autograd/tape.h"
#include "core/primitive.h"

namespace flash::autograd {

inline constexpr int kOutputSlot = 3;

/// A primitive's row. `needed_by[j]` is the set of inputs (bits) whose gradient reads input j;
/// `output_needed_by` the set whose gradient reads the output. Only what is needed is saved.
struct PrimRule {
  Prim id;
  Rule rule;
  std::array<std::uint8_t, 3> needed_by{};
  std::uint8_t output_needed_by = 0;
};

const PrimRule& rule_of(Prim op);

/// The gradient rules, by group.
namespace vjp {
// rules_elementwise.cpp
void zero(BackwardCall&c), pass(BackwardCall&c), cast(BackwardCall&c), neg(BackwardCall&c),
    abs(BackwardCall&c), sqrt(BackwardCall&c), rsqrt(BackwardCall&c), exp(BackwardCall&c),
    expm1(BackwardCall&c), log(BackwardCall&c), log1p(BackwardCall&c), tanh(BackwardCall&c),
    sigmoid(BackwardCall&c), silu(BackwardCall&c), gelu(BackwardCall&c), erf(BackwardCall&c),
    sin(BackwardCall&c), cos(BackwardCall&c), add(BackwardCall&c), sub(BackwardCall&c),
    mul(BackwardCall&c), div(BackwardCall&c), rem(BackwardCall&c), fmod(BackwardCall&c),
    pow(BackwardCall&c), maximum(BackwardCall&c), minimum(BackwardCall&c), where(BackwardCall&c),
    fma(BackwardCall&c);
Tensor silu_again(const Tensor& x, std::span<const std::int64_t>);
Tensor gelu_again(const Tensor& x, std::span<const std::int64_t>);
// rules_reduce.cpp
void sum(BackwardCall&c), prod(BackwardCall&c), extreme(BackwardCall&c);
// rules_leaf.cpp
void matmul(BackwardCall&c), conv2d(BackwardCall&c), conv2d_dx(BackwardCall&c),
    conv2d_dw(BackwardCall&c), max_pool2d(BackwardCall&c), max_pool2d_dx(BackwardCall&c),
    avg_pool2d(BackwardCall&c), avg_pool2d_dx(BackwardCall&c), gather_rows(BackwardCall&c),
    scatter_add_rows(BackwardCall&c);
}  // namespace vjp

}  // namespace flash::autograd
