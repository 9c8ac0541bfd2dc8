// tests/core/tape_helpers.h -- leaves, values and error texts for the tests of the tape
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/tensor.h"

namespace flash::testing {

using V = std::vector<double>;

inline Tensor leaf(const V& v, const Shape& shape) {
  Tensor t = from_vector(v, shape);
  t.set_requires_grad();
  return t;
}
inline Tensor leaf(const V& v) { return leaf(v, {static_cast<std::int64_t>(v.size())}); }
inline V values(const Tensor& t) { return t.to_vector<double>(); }

/// What `f` throws as an AutogradError; empty if it does not.
inline std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const AutogradError& e) {
    return e.what();
  }
  return "";
}
inline bool says(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace flash::testing
