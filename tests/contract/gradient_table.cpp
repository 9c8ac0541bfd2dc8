// tests/contract/gradient_table.cpp -- compares a row's derivatives with differences and complex
// steps
#include "contract/gradient_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "core/primitive.h"
#include "core/serial.h"

namespace contract {
namespace {

constexpr double kStep = 0x1p-8;
constexpr double kUlp = 0x1p-52;
constexpr double kComplexStep = 0x1p-100;
// A value of a forward pass errs by some roundings; the weights of the stencil add up to 110/60.
constexpr double kRounding = 16 * kUlp * (110.0 / 60) / kStep;
// So does a gradient, whose terms may cancel.
constexpr double kGradientRounding = 16 * kUlp;
// What a bound may be before it shows nothing.
constexpr double kLoosest = 1e-8;

using Numbers = std::vector<double>;
using Point = std::vector<Numbers>;  // the elements of all leaves

/// How an operand is read from its leaf.
struct Arranged {
  Shape leaf;
  std::function<Tensor(const Tensor&)> view;
  std::vector<std::size_t> from;  // for each element of the view, the leaf's
};

Arranged arranged(const Shape& s, Layout l) {
  Arranged a{s, [](const Tensor& x) { return x; }, {}};
  const int rank = s.rank();
  switch (l) {
    case Layout::kContiguous:
      break;
    case Layout::kTransposed: {
      std::vector<int> order;
      a.leaf = {};
      for (int d = rank - 1; d >= 0; --d) {
        order.push_back(d);
        a.leaf.push_back(s[d]);
      }
      a.view = [order](const Tensor& x) { return x.permute(order); };
      break;
    }
    case Layout::kFlipped:
      a.view = [rank](Tensor x) {
        for (int d = 0; d < rank; ++d) x = x.flip(d);
        return x;
      };
      break;
    case Layout::kStepped:
      if (rank == 0) break;
      a.leaf[rank - 1] = 2 * s.back() + 1;
      a.view = [](const Tensor& x) { return x.slice(-1, 1, INT64_MAX, 2); };
      break;
    case Layout::kOffset:
      if (rank == 0) {
        a.leaf = {3};
        a.view = [](const Tensor& x) { return x.select(0, 1); };
        break;
      }
      for (int d = 0; d < rank; ++d) a.leaf[d] += 3;
      a.view = [s](Tensor x) {
        for (int d = 0; d < s.rank(); ++d) x = x.narrow(d, 1, s[d]);
        return x;
      };
      break;
    case Layout::kRepeatedRow:
    case Layout::kRepeatedColumn: {
      if (s.numel() == 0 || rank == 0) break;
      a.leaf[l == Layout::kRepeatedRow ? 0 : rank - 1] = 1;
      a.view = [s](const Tensor& x) { return x.expand(s); };
      break;
    }
  }
  const Tensor index = arange(a.leaf.numel()).reshape(a.leaf);
  for (const std::int64_t i : a.view(index).to_vector<std::int64_t>())
    a.from.push_back(static_cast<std::size_t>(i));
  return a;
}

/// Values far enough from each other and from kinks that no step comes near, on a grid of 2^-8.
class Spread {
 public:
  Spread(const GradientRow& row, std::size_t count) : row_(row), count_(count) {
    stride_ =
        std::max<std::size_t>(1, static_cast<std::size_t>(0.618 * static_cast<double>(count)));
    while (std::gcd(stride_, count_) != 1) ++stride_;
  }
  double next(std::size_t operand) {
    const Range r = row_.range[std::min(operand, row_.range.size() - 1)];
    const double place =
        (static_cast<double>(i_++ * stride_ % count_) + 0.31) / static_cast<double>(count_);
    double x = std::round((r.low + (r.high - r.low) * place) / kStep) * kStep;
    for (const double k : row_.kinks)
      if (std::fabs(x - k) < 4 * kStep) x = k + (x < k ? -5 : 5) * kStep;
    return x;
  }

 private:
  const GradientRow& row_;
  std::size_t count_, stride_, i_ = 0;
};

/// Multiples of 2^-6, none of them small.
double weight(std::size_t i) {
  return static_cast<double>(8 + i * 37 % 57) / (i % 3 == 1 ? -64.0 : 64.0);
}
/// Multiples of an eighth.
double direction(std::size_t i, int which) {
  const std::size_t n = which ? i * 3 + 2 : i * 5 + 1;
  return static_cast<double>(n % 8 + 1) / ((n >> 1) % 2 ? -8.0 : 8.0);
}

/// The slope of a function of t at 0, from its values at t = ±1, ±2, ±3 steps.
struct Slope {
  double value = 0, error = 0;  ///< error: how far off it may be
};
using Values6 = std::array<double, 6>;
constexpr int kAt[] = {-3, -2, -1, 1, 2, 3};
Slope slope(const Values6& f, double magnitude) {
  const double d1 = f[3] - f[2], d2 = f[4] - f[1], d3 = f[5] - f[0];
  if (d1 == 0 && d2 == 0 && d3 == 0) return {};  // it does not depend on t
  const double six = (45 * d1 - 9 * d2 + d3) / (60 * kStep), four = (8 * d1 - d2) / (12 * kStep);
  return {six, std::fabs(six - four) / 64 + kRounding * magnitude};
}

void note(Worst& worst, double error, const std::string& where) {
  if (!(error <= worst.error)) worst = {error, where};
}

std::string number(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", x);
  return text;
}

/// The largest of numbers' magnitudes and 1.
void widen(double& magnitude, const Numbers& all) {
  for (const double x : all)
    if (!(std::fabs(x) <= magnitude)) magnitude = std::fabs(x);
}

/// A row on one set of shapes and layouts.
class Case {
 public:
  Case(const GradientRow& row, const std::vector<Shape>& shapes, const std::vector<Layout>& layouts)
      : row_(row) {
    what_ = row.name + (row.variant.empty() ? "" : " (" + row.variant + ")");
    std::size_t count = 0;
    for (std::size_t k = 0; k < shapes.size(); ++k) {
      operands_.push_back(arranged(shapes[k], layouts[k]));
      what_ += ", " + shapes[k].str() + " " + contract::name(layouts[k]);
      const std::set<std::size_t> distinct(operands_[k].from.begin(), operands_[k].from.end());
      seen_.emplace_back(distinct.begin(), distinct.end());
      count += distinct.size();
      shapes_.push_back(shapes[k]);
    }
    Spread spread(row, std::max<std::size_t>(count, 1));
    for (std::size_t k = 0; k < shapes.size(); ++k) {
      // What no view shows is NaN, and must get the gradient zero.
      point_.emplace_back(static_cast<std::size_t>(operands_[k].leaf.numel()), kNaN);
      for (const std::size_t i : seen_[k]) point_[k][i] = spread.next(k);
    }
  }

  void check(GradientReport& report) {
    ++report.cases;
    try {
      y_ = result(leaves(point_)).detach();
      first_order(report);
      if (row_.analytic) complex_step(report);
      for (const int which : {0, 1}) second_order(report, which);
    } catch (const Error& e) {
      wrong(report, std::string("throws ") + e.what());
    }
  }

  /// The result and ∇S, differentiable.
  std::vector<Tensor> graph() const {
    const std::vector<Tensor> x = leaves(point_);
    const Tensor y = result(x);
    std::vector<Tensor> all = grad({score(y)}, x, {}, true, true, true);
    all.push_back(y);
    return all;
  }

 private:
  void wrong(GradientReport& report, const std::string& line) const {
    report.wrong.push_back(what_ + ": " + line);
  }

  std::vector<Tensor> leaves(const Point& p) const {
    std::vector<Tensor> x;
    for (std::size_t k = 0; k < p.size(); ++k) {
      x.push_back(from_vector(p[k], operands_[k].leaf));
      x.back().set_requires_grad();
    }
    return x;
  }
  Tensor result(const std::vector<Tensor>& x) const {
    std::vector<Tensor> in;
    for (std::size_t k = 0; k < x.size(); ++k) in.push_back(operands_[k].view(x[k]));
    return row_.op(in);
  }
  static Tensor weights(const Shape& s) {
    Numbers w(static_cast<std::size_t>(s.numel()));
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = weight(i);
    return from_vector(w, s);
  }
  /// S.
  static Tensor score(const Tensor& y) { return sum((y + y * y * 0.5) * weights(y.shape())); }

  /// Gradients as numbers; none is zero.
  Point numbers(const std::vector<Tensor>& g, GradientReport& report) const {
    Point p;
    for (std::size_t k = 0; k < operands_.size(); ++k) {
      if (!g[k].defined()) {
        p.emplace_back(point_[k].size(), 0.0);
        continue;
      }
      if (!(g[k].shape() == operands_[k].leaf))
        throw ShapeError("the gradient of operand " + std::to_string(k) + " is " +
                         g[k].shape().str());
      p.push_back(g[k].to_vector<double>());
      std::vector<bool> seen(point_[k].size());
      for (const std::size_t i : seen_[k]) seen[i] = true;
      for (std::size_t i = 0; i < seen.size(); ++i)
        if (!seen[i] && p[k][i] != 0)
          wrong(report, "a gradient outside of the view: " + number(p[k][i]));
    }
    return p;
  }

  /// Σ w·f, an element of an operand after the other.
  void first_order(GradientReport& report) {
    const std::vector<Tensor> x = leaves(point_);
    const Tensor y = result(x);
    gradient_ = numbers(grad({y}, x, {weights(y.shape())}, false, false, true), report);
    double steepest = 1;
    for (const Numbers& g : gradient_) widen(steepest, g);
    NoGrad guard;
    for (std::size_t k = 0; k < point_.size(); ++k)
      for (const std::size_t i : seen_[k]) {
        std::array<Numbers, 6> f;
        double magnitude = 1;
        for (std::size_t j = 0; j < 6; ++j) {
          Point p = point_;
          p[k][i] += kAt[j] * kStep;
          f[j] = result(leaves(p)).to_vector<double>();
          widen(magnitude, f[j]);
        }
        Slope want{0, kGradientRounding * steepest};
        for (std::size_t o = 0; o < f[0].size(); ++o) {
          const Slope s = slope({f[0][o], f[1][o], f[2][o], f[3][o], f[4][o], f[5][o]}, magnitude);
          want.value += weight(o) * s.value;
          want.error += std::fabs(weight(o)) * s.error;
        }
        ++report.first;
        judge(gradient_[k][i], want, report.first_error, report, k, i);
      }
  }

  void second_order(GradientReport& report, int which) {
    std::vector<Tensor> x = leaves(point_), g, v;
    const Tensor y = result(x);
    const std::vector<Tensor> differentiable = grad({score(y)}, x, {}, true, true, true);
    Point moved = point_;
    for (std::size_t k = 0; k < point_.size(); ++k) {
      Numbers along(point_[k].size());
      for (const std::size_t i : seen_[k]) along[i] = direction(i + 2 * k, which);
      if (differentiable[k].defined() && differentiable[k].requires_grad()) {
        g.push_back(differentiable[k]);
        v.push_back(from_vector(along, operands_[k].leaf));
      }
      moved[k] = std::move(along);
    }
    const Point got = g.empty() ? numbers(std::vector<Tensor>(x.size()), report)
                                : numbers(grad(g, x, v, false, false, true), report);
    std::array<Point, 6> f;
    double magnitude = 1;
    for (std::size_t j = 0; j < 6; ++j) {
      Point p = point_;
      for (std::size_t k = 0; k < p.size(); ++k)
        for (const std::size_t i : seen_[k]) p[k][i] += kAt[j] * kStep * moved[k][i];
      const std::vector<Tensor> at = leaves(p);
      f[j] = numbers(grad({score(result(at))}, at, {}, false, false, true), report);
      for (const Numbers& g : f[j]) widen(magnitude, g);
    }
    for (std::size_t k = 0; k < point_.size(); ++k)
      for (const std::size_t i : seen_[k]) {
        Slope want = slope({f[0][k][i], f[1][k][i], f[2][k][i], f[3][k][i], f[4][k][i], f[5][k][i]},
                           magnitude);
        want.error += kGradientRounding * magnitude;
        ++report.second;
        judge(got[k][i], want, report.second_error, report, k, i);
      }
  }

  void judge(double got, const Slope& want, Worst& worst, GradientReport& report, std::size_t k,
             std::size_t i) const {
    const double scale = std::max(1.0, std::fabs(want.value));
    const double off = std::fabs(got - want.value);
    note(worst, off / scale, what_);
    const char* order = &worst == &report.first_error ? "first" : "second";
    const std::string place = std::string(order) + " derivative, operand " + std::to_string(k) +
                              ", element " + std::to_string(i);
    if (!(want.error <= kLoosest * scale))
      wrong(report, place + ": differences tell it to " + number(want.error) + " only");
    else if (!(off <= want.error))
      wrong(report, place + " is " + number(got) + ", differences give " + number(want.value) +
                        " ± " + number(want.error));
  }

  void complex_step(GradientReport& report) {
    std::vector<ComplexArray> in;
    for (std::size_t k = 0; k < point_.size(); ++k) {
      in.emplace_back(shapes_[k]);
      for (std::size_t i = 0; i < in[k].v.size(); ++i) in[k].v[i] = point_[k][operands_[k].from[i]];
    }
    const ComplexArray y = row_.analytic(in);
    if (!(y.shape == y_.shape())) {
      wrong(report, "the result is " + y_.shape().str() + ", the reference " + y.shape.str());
      return;
    }
    // The gradient's sum for each element: its value, terms, and how large those may be. A term 1
    // stands for those that a derivative is composed of, as 1 − y² is.
    struct Sum {
      double value = 0, terms = 0, weights = 0, steepest = 1;
    };
    std::vector<std::vector<Sum>> sums;
    Numbers reads(y.v.size());  // elements that a result depends on
    for (std::size_t k = 0; k < point_.size(); ++k) {
      sums.emplace_back();
      for (const std::size_t i : seen_[k]) {
        std::vector<ComplexArray> moved = in;
        for (std::size_t e = 0; e < moved[k].v.size(); ++e)
          if (operands_[k].from[e] == i) moved[k].v[e] += Complex(0, kComplexStep);
        const ComplexArray f = row_.analytic(moved);
        Sum sum;
        for (std::size_t o = 0; o < f.v.size(); ++o) {
          const double d = f.v[o].imag() / kComplexStep;
          if (d == 0) continue;
          sum.value += weight(o) * d;
          sum.terms += 1;
          sum.weights += std::fabs(weight(o));
          sum.steepest = std::max(sum.steepest, std::fabs(d));
          reads[o] += 1;
        }
        sums[k].push_back(sum);
      }
    }
    const double longest = reads.empty() ? 0 : *std::max_element(reads.begin(), reads.end());
    const Numbers value = y_.to_vector<double>();
    double magnitude = 1;
    widen(magnitude, value);
    for (std::size_t o = 0; o < value.size(); ++o)
      if (!(std::fabs(value[o] - y.v[o].real()) <= kUlp * (8 + longest) * magnitude))
        wrong(report,
              "the result is " + number(value[o]) + ", the reference " + number(y.v[o].real()));
    for (std::size_t k = 0; k < point_.size(); ++k)
      for (std::size_t n = 0; n < seen_[k].size(); ++n) {
        const Sum& want = sums[k][n];
        const double got = gradient_[k][seen_[k][n]];
        const double off =
            std::fabs(got - want.value) / (kUlp * std::max(1.0, want.weights) * want.steepest);
        ++report.analytic;
        note(report.analytic_error, off, what_);
        if (!(off <= 8 + want.terms + longest))
          wrong(report, "operand " + std::to_string(k) + ", element " +
                            std::to_string(seen_[k][n]) + " is " + number(got) +
                            ", the complex step gives " + number(want.value));
      }
  }

  const GradientRow& row_;
  std::string what_;
  std::vector<Shape> shapes_;
  std::vector<Arranged> operands_;
  std::vector<std::vector<std::size_t>> seen_;  // of each leaf, the elements that its view shows
  Point point_, gradient_;
  Tensor y_;
};

bool repeats(Layout l) { return l == Layout::kRepeatedRow || l == Layout::kRepeatedColumn; }

}  // namespace

void check(const GradientRow& row, GradientReport& report) {
  const std::size_t before = report.wrong.size();
  for (std::size_t s = 0; s < row.shapes.size(); ++s) {
    const std::vector<Shape>& shapes = row.shapes[s];
    const std::vector<Layout> plain(shapes.size(), Layout::kContiguous);
    Case(row, shapes, plain).check(report);
    for (const Layout l : kStrided) {
      if (repeats(l) && !row.repeats) continue;
      const std::vector<Layout> all(shapes.size(), l);
      if (s > 0 && l != Layout::kTransposed && l != Layout::kStepped) continue;
      Case(row, shapes, all).check(report);
      if (s > 0 || shapes.size() == 1) continue;
      for (std::size_t k = 0; k < shapes.size(); ++k) {
        std::vector<Layout> one = plain;
        one[k] = l;
        Case(row, shapes, one).check(report);
      }
    }
  }
  if (report.wrong.size() > before + 1) {
    report.wrong[before] += "; and " + std::to_string(report.wrong.size() - before - 1) + " more";
    report.wrong.resize(before + 1);
  }
}

std::set<Prim> recorded_primitives(const GradientRow& row) {
  std::set<Prim> reached;
  eval_all();
  const std::vector<Tensor> held =
      Case(row, row.shapes[0], std::vector<Layout>(row.shapes[0].size(), Layout::kContiguous))
          .graph();
  for (const TraceProgram::Node& node : recorded_program(default_device(), false).nodes)
    reached.insert(node.op);
  eval_all();
  return reached;
}

Analytic each_element(std::function<Complex(std::span<const Complex>)> f) {
  return [f](ComplexValues in) {
    Shape s;
    for (const ComplexArray& a : in) s = broadcast(s, a.shape);
    ComplexArray y(s);
    std::vector<Complex> at(in.size());
    each_index(s, [&](const Shape& index, std::int64_t i) {
      for (std::size_t k = 0; k < in.size(); ++k) {
        Shape own = in[k].shape;
        for (int d = 0; d < own.rank(); ++d)
          own[d] = own[d] == 1 ? 0 : index[s.rank() - own.rank() + d];
        at[k] = in[k][position(in[k].shape, own)];
      }
      y[i] = f(at);
    });
    return y;
  };
}

Analytic same_selection(std::function<Tensor(Operands)> op) {
  return [op](ComplexValues in) {
    NoGrad guard;
    std::vector<Tensor> index;
    std::vector<Complex> all;
    for (const ComplexArray& a : in) {
      const auto first = static_cast<double>(all.size());
      Tensor t = arange(a.shape.numel()).to(f64) + first;
      index.push_back(t.reshape(a.shape));
      all.insert(all.end(), a.v.begin(), a.v.end());
    }
    const Tensor chosen = op(index);
    ComplexArray y(chosen.shape());
    const std::vector<double> from = chosen.to_vector<double>();
    for (std::size_t i = 0; i < from.size(); ++i) y.v[i] = all[static_cast<std::size_t>(from[i])];
    return y;
  };
}

std::vector<GradientRow> all_gradients() {
  std::vector<GradientRow> all;
  for (const auto group : {map_gradients, reduction_gradients, normalisation_gradients,
                           leaf_gradients, view_gradients, write_gradients})
    for (GradientRow& row : group()) all.push_back(std::move(row));
  return all;
}

}  // namespace contract
