// tests/fuzz/machine.h -- runs the instructions of random programs on variables
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <sstream>

#include "fuzz/program.h"

namespace fuzz {

inline std::int64_t pick(std::int64_t raw, std::int64_t n) {
  return n <= 0 ? 0
                : static_cast<std::int64_t>(static_cast<std::uint64_t>(raw) %
                                            static_cast<std::uint64_t>(n));
}
template <class T, std::size_t N>
const T& choose(const T (&table)[N], std::int64_t raw) {
  return table[pick(raw, static_cast<std::int64_t>(N))];
}

/// Thrown by the machine itself: the instruction does not apply to its operands.
struct Skip {};

/// Elements, where an empty dimension counts as one: what a reduction over it may bring forth.
inline double size(const Shape& s) {
  double n = 1;
  for (const std::int64_t d : s) n *= static_cast<double>(std::max<std::int64_t>(d, 1));
  return n;
}

// -- C++ text of what is given
std::string cpp(const Shape& s);
std::string cpp(DType d);
std::string cpp(double x);
std::string cpp(Scalar x);
inline std::string cpp(bool x) { return x ? "true" : "false"; }
inline std::string cpp(int x) { return std::to_string(x); }
inline std::string cpp(std::int64_t x) { return std::to_string(x); }
inline std::string cpp(std::uint64_t x) { return std::to_string(x) + "u"; }
inline const std::string& cpp(const std::string& text) { return text; }
inline std::string cpp(const char* text) { return text; }

class Machine {
 public:
  Machine(const Program& p, const RunOptions& o) : p_(p), o_(o) {
    manual_seed(p.seed);
    vars.resize(p.code.size());
  }

  /// Runs instruction `i`; returns what it threw. What it is in C++ is left in `line`.
  std::string step(int i) {
    line.clear();
    broken.clear();
    at_ = i;
    if (static_cast<std::size_t>(i) >= vars.size()) vars.resize(static_cast<std::size_t>(i) + 1);
    try {
      Tensor t = execute(p_.code[static_cast<std::size_t>(i)]);
      if (t.defined() && size(t.shape()) <= static_cast<double>(p_.most) * 2)
        vars[static_cast<std::size_t>(i)] = t;
      return broken.empty() ? "" : std::string(kBroken) + broken;
    } catch (const InternalError&) {
      throw;
    } catch (const Skip&) {
      return "skipped";
    } catch (const Error& e) {
      return e.what();
    }
  }

  std::vector<Tensor> vars;
  std::string line;    ///< an expression, or a statement where there is no value
  std::string broken;  ///< what the instruction found wrong by itself
  struct Blob {
    int instr;
    std::shared_ptr<std::uint8_t> bytes;
    DType dtype;
    Shape shape;
  };
  std::vector<Blob> blobs;
  struct Pin {
    int instr;
    const void* data;
  };
  std::vector<Pin> pins;
  /// Uniform numbers as they were drawn, to be held to the definition of the stream.
  struct Draw {
    int instr;
    Tensor drawn;
    Generator::State from;
  };
  std::vector<Draw> draws;

 private:
  std::string v(int i) const { return "v" + std::to_string(i); }
  template <class... A>
  void say(const A&... a) {
    line = (std::string() + ... + cpp(a));
  }

  const Tensor& in(const Instr& c, int k) const {
    const int i = c.in[k];
    if (i < 0 || static_cast<std::size_t>(i) >= vars.size() ||
        !vars[static_cast<std::size_t>(i)].defined())
      throw Skip{};
    return vars[static_cast<std::size_t>(i)];
  }
  Tensor& target(const Instr& c) {
    in(c, 0);
    return vars[static_cast<std::size_t>(c.in[0])];
  }

  Shape leaf_shape(const Instr& c) const {
    Shape s;
    constexpr int kRanks[] = {0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 6};
    const int rank = choose(kRanks, c.n[0]);
    for (int d = 0; d < rank; ++d) {
      const std::int64_t length = p_.sizes[o_.variant][pick(c.n[1 + d], 5)];
      s.push_back(length);
      if (size(s) > static_cast<double>(p_.most)) s[s.rank() - 1] = 1;
    }
    return s;
  }

  Scalar scalar(const Instr& c) const {
    double x = c.x;
    if (o_.variant && std::fabs(x) > 1.5 && std::fabs(x) < 1e6) x = x + 1.25;
    switch (pick(c.n[5], 4)) {
      case 0:
        return Scalar(static_cast<std::int64_t>(std::isfinite(x) && std::fabs(x) < 1e15 ? x : 3));
      case 1:
        return x > 0.5;
      default:
        return x;
    }
  }

  Tensor leaf(Tensor t, const Instr& c) {
    if (p_.grads && is_floating(t.dtype()) && pick(c.n[6], 2) == 0) {
      t.set_requires_grad();
      line = "with_grad(" + line + ")";
    }
    return t;
  }

  /// An operand of exact shape out of any tensor, in some layout; `text` becomes its C++.
  Tensor fit(const Tensor& t, const Shape& shape, std::int64_t how, std::string& text) const {
    constexpr int kHow[] = {0, 0, 0, 0, 1, 2, 3, 4, 5};
    const int layout = choose(kHow, how);
    text = layout ? "laid(" + text + ", " + cpp(shape) + ", " + cpp(layout) + ")"
                  : "first(" + text + ", " + cpp(shape) + ")";
    return laid(t, shape, layout);
  }
  Tensor floats(const Tensor& t, std::string& text) const {
    if (is_floating(t.dtype())) return t;
    text += ".to(DType::kF32)";
    return t.to(DType::kF32);
  }
  Tensor as(const Tensor& t, DType d, std::string& text) const {
    if (t.dtype() == d) return t;
    text += ".to(" + cpp(d) + ")";
    return t.to(d);
  }

  int dim(const Tensor& t, std::int64_t raw) const {
    if (t.dim() == 0) throw Skip{};
    return static_cast<int>(pick(raw, t.dim()));
  }

  Shape some_dims(const Tensor& t, std::int64_t raw) const {
    Shape d;
    if (raw % 4 == 0) return d;
    for (int i = 0; i < t.dim(); ++i)
      if ((raw >> (3 + i)) & 1) d.push_back(i);
    return d;
  }

  void bounded(double elements) const {
    if (elements > static_cast<double>(p_.most) * 2) throw Skip{};
  }
  /// Shapes that meet in one operation: not too large together. What does not broadcast is the
  /// operation's to refuse.
  void bounded(std::initializer_list<Shape> shapes) const;

  Tensor execute(const Instr& c);
  Tensor execute_view(const Instr& c);
  Tensor execute_leaf(const Instr& c);
  Tensor execute_reduction(const Instr& c);
  Tensor execute_contraction(const Instr& c);
  Tensor execute_join(const Instr& c);
  Tensor execute_inplace(const Instr& c);
  Tensor execute_gradient(const Instr& c);
  Tensor execute_effect(const Instr& c);

  const Program& p_;
  const RunOptions o_;
  int at_ = 0;
};

}  // namespace fuzz
