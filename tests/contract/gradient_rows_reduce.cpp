// tests/contract/gradient_rows_reduce.cpp -- rows of the gradient table: reductions, softmax
#include <algorithm>
#include <cmath>

#include "contract/gradient_table.h"

namespace contract {
namespace {

using Group = std::vector<Complex>;

/// Which dimensions a reduction takes away.
std::vector<bool> reduced_dims(const Shape& s, const Shape& dims) {
  std::vector<bool> reduced(static_cast<std::size_t>(s.rank()), dims.empty());
  for (int i = 0; i < dims.rank(); ++i)
    reduced[static_cast<std::size_t>(dims[i] < 0 ? dims[i] + s.rank() : dims[i])] = true;
  return reduced;
}

Analytic reduction(Shape dims, bool keepdim, std::function<Complex(const Group&)> f) {
  return [=](ComplexValues in) {
    const Shape& s = in[0].shape;
    const std::vector<bool> reduced = reduced_dims(s, dims);
    Shape kept = s, out;
    for (int d = 0; d < s.rank(); ++d) {
      if (reduced[static_cast<std::size_t>(d)]) kept[d] = 1;
      if (keepdim || !reduced[static_cast<std::size_t>(d)]) out.push_back(kept[d]);
    }
    std::vector<Group> groups(static_cast<std::size_t>(kept.numel()));
    each_index(s, [&](const Shape& index, std::int64_t i) {
      Shape at = index;
      for (int d = 0; d < s.rank(); ++d)
        if (reduced[static_cast<std::size_t>(d)]) at[d] = 0;
      groups[static_cast<std::size_t>(position(kept, at))].push_back(in[0][i]);
    });
    ComplexArray y(out);
    for (std::size_t i = 0; i < groups.size(); ++i) y.v[i] = f(groups[i]);
    return y;
  };
}

Complex sum_of(const Group& x) {
  Complex s = 0;
  for (const Complex& z : x) s += z;
  return s;
}
Complex mean_of(const Group& x) { return sum_of(x) / static_cast<double>(x.size()); }
Complex prod_of(const Group& x) {
  Complex p = 1;
  for (const Complex& z : x) p *= z;
  return p;
}
bool less(Complex a, Complex b) { return a.real() < b.real(); }
Complex max_of(const Group& x) { return *std::max_element(x.begin(), x.end(), less); }
Complex min_of(const Group& x) { return *std::min_element(x.begin(), x.end(), less); }
/// A number that several elements give together moves by the mean of what they move by.
template <Complex (*f)(const Group&)>
Complex shared(const Group& x) {
  const double value = f(x).real();
  Group equal;
  for (const Complex& z : x)
    if (z.real() == value) equal.push_back(z);
  return mean_of(equal);
}
Complex var_of(const Group& x, int correction) {
  const Complex m = mean_of(x);
  Complex s = 0;
  for (const Complex& z : x) s += (z - m) * (z - m);
  return s / (static_cast<double>(x.size()) - correction);
}
Complex logsumexp_of(const Group& x) {
  const double top = max_of(x).real();
  Complex s = 0;
  for (const Complex& z : x) s += std::exp(z - top);
  return top + std::log(s);
}

struct Reduce {
  const char* name;
  const char* variant;
  Tensor (*op)(const Tensor&, const Dims&, bool);
  Complex (*analytic)(const Group&);
  std::vector<Shape> shapes = {{2, 3, 5}, {3, 0, 2}};  // besides those that are added below
  bool repeats = true;
};

std::vector<Reduce> reductions() {
  const std::vector<Shape> any{{2, 3, 5}, {3, 0, 2}}, few{{2, 3, 3}, {3, 0, 2}};
  return {
      {"sum", "", [](const Tensor& x, const Dims& d, bool k) { return sum(x, d, k); }, sum_of},
      {"Tensor::sum", "", [](const Tensor& x, const Dims& d, bool k) { return x.sum(d, k); },
       sum_of},
      {"mean", "", [](const Tensor& x, const Dims& d, bool k) { return mean(x, d, k); }, mean_of},
      {"Tensor::mean", "", [](const Tensor& x, const Dims& d, bool k) { return x.mean(d, k); },
       mean_of},
      {"prod", "", [](const Tensor& x, const Dims& d, bool k) { return prod(x, d, k); }, prod_of,
       few},
      {"Tensor::prod", "", [](const Tensor& x, const Dims& d, bool k) { return x.prod(d, k); },
       prod_of, few},
      {"amax", "", [](const Tensor& x, const Dims& d, bool k) { return amax(x, d, k); },
       shared<max_of>, any},
      {"Tensor::amax", "", [](const Tensor& x, const Dims& d, bool k) { return x.amax(d, k); },
       shared<max_of>, any},
      {"amin", "", [](const Tensor& x, const Dims& d, bool k) { return amin(x, d, k); },
       shared<min_of>, any},
      {"Tensor::amin", "", [](const Tensor& x, const Dims& d, bool k) { return x.amin(d, k); },
       shared<min_of>, any},
      {"var", "", [](const Tensor& x, const Dims& d, bool k) { return var(x, d, k); },
       [](const Group& x) { return var_of(x, 1); }, any},
      {"var", "no correction",
       [](const Tensor& x, const Dims& d, bool k) { return var(x, d, k, 0); },
       [](const Group& x) { return var_of(x, 0); }, any},
      {"Tensor::var", "", [](const Tensor& x, const Dims& d, bool k) { return x.var(d, k); },
       [](const Group& x) { return var_of(x, 1); }, any},
      // The square root of a variance 0 is not smooth.
      {"std", "", [](const Tensor& x, const Dims& d, bool k) { return flash::std(x, d, k); },
       [](const Group& x) { return std::sqrt(var_of(x, 1)); }, any, false},
      {"Tensor::std", "no correction",
       [](const Tensor& x, const Dims& d, bool k) { return x.std(d, k, 0); },
       [](const Group& x) { return std::sqrt(var_of(x, 0)); }, any, false},
  };
}

/// f's results in the places of what they are of.
Analytic along(int dim, std::function<Group(const Group&)> f) {
  return [=](ComplexValues in) {
    const Shape& s = in[0].shape;
    ComplexArray y(s);
    if (s.rank() == 0) {
      y[0] = f({in[0][0]})[0];
      return y;
    }
    const int d = dim < 0 ? dim + s.rank() : dim;
    each_index(s, [&](const Shape& index, std::int64_t) {
      if (index[d] != 0) return;
      Group group;
      Shape at = index;
      for (at[d] = 0; at[d] < s[d]; ++at[d]) group.push_back(in[0][position(s, at)]);
      group = f(group);
      for (at[d] = 0; at[d] < s[d]; ++at[d])
        y[position(s, at)] = group[static_cast<std::size_t>(at[d])];
    });
    return y;
  };
}

Group log_softmax_of(Group x) {
  const Complex total = logsumexp_of(x);
  for (Complex& z : x) z -= total;
  return x;
}
Group softmax_of(Group x) {
  x = log_softmax_of(x);
  for (Complex& z : x) z = std::exp(z);
  return x;
}

}  // namespace

std::vector<GradientRow> reduction_gradients() {
  std::vector<GradientRow> rows;
  for (const Reduce& r : reductions())
    for (const Shape& dims : {Shape{}, Shape{0}, Shape{-1}, Shape{0, 2}, Shape{-2, 2}})
      for (const bool keepdim : {false, true}) {
        // An empty group has a sum and a product; nothing else.
        std::vector<std::vector<Shape>> shapes;
        const bool sums = r.analytic == sum_of || r.analytic == prod_of;
        for (const Shape& s : r.shapes)
          if (s.numel() > 0 || sums || dims == Shape{0} || dims == Shape{-1} || dims == Shape{0, 2})
            shapes.push_back({s});
        // Alone in its group an element has no variance.
        const bool spread = std::string_view(r.variant).empty() == false || !r.repeats ||
                            std::string_view(r.name).ends_with("var");
        if (dims.empty() && !spread) shapes.push_back({Shape{}});
        if (dims == Shape{0} && !spread) shapes.push_back({Shape{1}});
        rows.push_back(
            {r.name,
             std::string(r.variant) + (*r.variant ? ", " : "") + "dims " + dims.str() +
                 (keepdim ? ", kept" : ""),
             [op = r.op, dims, keepdim](Operands in) { return op(in[0], dims, keepdim); },
             shapes,
             {{}},
             {},
             reduction(dims, keepdim, r.analytic),
             r.repeats});
      }
  const std::vector<std::vector<Shape>> shapes = {{{3, 4, 2}}, {{3, 0, 2}}, {{1, 3, 1}}};
  for (const int dim : {0, 1, -1}) {
    const std::string at = "dim " + std::to_string(dim);
    for (const bool keepdim : {false, true})
      rows.push_back({"logsumexp",
                      at + (keepdim ? ", kept" : ""),
                      [=](Operands in) { return logsumexp(in[0], dim, keepdim); },
                      // An empty group's logarithm of nothing has no gradient.
                      dim == 1 ? std::vector<std::vector<Shape>>{shapes[0], shapes[2]} : shapes,
                      {{}},
                      {},
                      reduction({dim}, keepdim, logsumexp_of)});
    rows.push_back({"softmax",
                    at,
                    [=](Operands in) { return softmax(in[0], dim); },
                    shapes,
                    {{}},
                    {},
                    along(dim, softmax_of)});
    rows.push_back({"log_softmax",
                    at,
                    [=](Operands in) { return log_softmax(in[0], dim); },
                    shapes,
                    {{}},
                    {},
                    along(dim, log_softmax_of)});
  }
  rows.push_back({"Tensor::softmax",
                  "",
                  [](Operands in) { return in[0].softmax(1); },
                  shapes,
                  {{}},
                  {},
                  along(1, softmax_of)});
  rows.push_back({"Tensor::log_softmax",
                  "",
                  [](Operands in) { return in[0].log_softmax(1); },
                  shapes,
                  {{}},
                  {},
                  along(1, log_softmax_of)});
  const std::vector<std::vector<Shape>> numbers = {{Shape{}}};
  rows.push_back({"softmax",
                  "of a number",
                  [](Operands in) { return softmax(in[0], 0); },
                  numbers,
                  {{}},
                  {},
                  along(0, softmax_of)});
  rows.push_back({"log_softmax",
                  "of a number",
                  [](Operands in) { return log_softmax(in[0], -1); },
                  numbers,
                  {{}},
                  {},
                  along(0, log_softmax_of)});
  rows.push_back({"logsumexp",
                  "of a number",
                  [](Operands in) { return logsumexp(in[0], 0); },
                  numbers,
                  {{}},
                  {},
                  reduction({}, false, logsumexp_of)});
  return rows;
}

}  // namespace contract
