// core/autograd/roots.h -- checks shared by backward() and grad()
#pragma once

#include "core/autograd/tape.h"

namespace flash::autograd {

/// Throws AutogradError, naming `op`, unless `g` has the shape, dtype and device of `of`.
void check_gradient(const Tensor& of, const Tensor& g, const char* op);

/// Where a walk starts: `output` with its gradient, by default 1 for one-element tensors.
BackwardRoot make_root(const Tensor& output, const Tensor& gradient, const char* op);

}  // namespace flash::autograd
