// tests/contract/gradient_rows_view.cpp -- rows of the gradient table: views, joining, writes in
// place
#include "contract/gradient_table.h"

namespace contract {
namespace {

using View = Tensor (*)(const Tensor&);

struct ViewRow {
  const char* name;
  const char* variant;
  View op;
  Shape in = {2, 3, 4};
};

const ViewRow kViews[] = {
    {"Tensor::view", "",
     [](const Tensor& x) {
       return x.contiguous().view({4, 6});
     }},
    {"Tensor::view",
     "nothing",
     [](const Tensor& x) {
       return x.view({4, 0, 2});
     },
     {0, 8}},
    {"Tensor::reshape", "",
     [](const Tensor& x) {
       return x.reshape({6, -1});
     }},
    {"Tensor::reshape", "that copies",
     [](const Tensor& x) { return x.transpose(0, 1).reshape({-1}); }},
    {"Tensor::reshape",
     "of a number",
     [](const Tensor& x) {
       return x.reshape({1, 1});
     },
     {}},
    {"Tensor::flatten", "", [](const Tensor& x) { return x.flatten(1); }},
    {"Tensor::unflatten", "",
     [](const Tensor& x) {
       return x.unflatten(-1, {2, 2});
     }},
    {"Tensor::permute", "",
     [](const Tensor& x) {
       return x.permute({2, 0, 1});
     }},
    {"Tensor::transpose", "", [](const Tensor& x) { return x.transpose(0, -1); }},
    {"Tensor::t", "", [](const Tensor& x) { return x.t(); }, {3, 5}},
    {"Tensor::squeeze", "", [](const Tensor& x) { return x.squeeze(); }, {1, 3, 1, 2}},
    {"Tensor::squeeze", "one", [](const Tensor& x) { return x.squeeze(-2); }, {1, 3, 1, 2}},
    {"Tensor::unsqueeze", "", [](const Tensor& x) { return x.unsqueeze(-2); }},
    {"Tensor::expand",
     "",
     [](const Tensor& x) {
       return x.expand({2, 3, 4, -1});
     },
     {3, 1, 2}},
    {"Tensor::expand",
     "a number",
     [](const Tensor& x) {
       return x.expand({2, 3});
     },
     {}},
    {"Tensor::expand",
     "to nothing",
     [](const Tensor& x) {
       return x.expand({0, 3});
     },
     {1, 3}},
    {"Tensor::expand_as",
     "",
     [](const Tensor& x) {
       return x.expand_as(zeros({4, 1, 3}));
     },
     {1, 3}},
    {"broadcast_to",
     "",
     [](const Tensor& x) {
       return broadcast_to(x, {2, 3, 4});
     },
     {3, 1}},
    {"Tensor::select", "", [](const Tensor& x) { return x.select(1, -2); }},
    {"Tensor::operator[]", "", [](const Tensor& x) { return x[1]; }},
    {"Tensor::slice", "", [](const Tensor& x) { return x.slice(2, 1, 3); }},
    {"Tensor::slice", "step", [](const Tensor& x) { return x.slice(-1, 1, INT64_MAX, 2); }},
    {"Tensor::slice", "from the end", [](const Tensor& x) { return x.slice(1, -2, -1); }},
    {"Tensor::slice", "backward", [](const Tensor& x) { return x.slice(2, 3, 0, -2); }},
    {"Tensor::slice", "nothing", [](const Tensor& x) { return x.slice(1, 2, 2); }},
    {"Tensor::slice", "Slice", [](const Tensor& x) { return x.slice(2, Slice{.step = -3}); }},
    {"Tensor::narrow", "", [](const Tensor& x) { return x.narrow(1, 1, 2); }},
    {"Tensor::flip", "", [](const Tensor& x) { return x.flip(1); }},
    {"Tensor::unfold", "apart", [](const Tensor& x) { return x.unfold(2, 2, 2); }},
    {"Tensor::unfold", "overlapping", [](const Tensor& x) { return x.unfold(2, 3, 1); }},
    {"Tensor::unfold", "with gaps", [](const Tensor& x) { return x.unfold(1, 1, 2); }},
    {"Tensor::as_strided", "",
     [](const Tensor& x) {
       return x.contiguous().as_strided({2, 3}, {12, 2}, 1);
     }},
    {"Tensor::as_strided", "overlapping",
     [](const Tensor& x) {
       return x.contiguous().as_strided({4, 3}, {2, 1}, 5);
     }},
    {"Tensor::as_strided", "repeated",
     [](const Tensor& x) {
       return x.contiguous().as_strided({3, 2}, {0, 7}, 2);
     }},
    {"Tensor::clone", "", [](const Tensor& x) { return x.clone(); }},
    {"Tensor::contiguous", "", [](const Tensor& x) { return x.transpose(1, 2).contiguous(); }},
    {"Tensor::to", "to the CPU and back",
     [](const Tensor& x) { return x.to(Device()).to(x.device()); }},
    {"split", "the last", [](const Tensor& x) { return split(x, 3, 2).back(); }},
    {"chunk", "the second", [](const Tensor& x) { return chunk(x, 2, 1)[1]; }},
    {"Tensor::flip", "a chain of views",
     [](const Tensor& x) {
       return x.permute({1, 2, 0}).slice(0, 0, 3, 2).flip(1).unsqueeze(0)[0];
     }},
};

struct WriteRow {
  const char* name;
  const char* variant;
  void (*op)(Tensor& target, const Tensor& o);
  Complex (*analytic)(Complex a, Complex b);
  std::vector<Range> range = {{}};
};

#define METHOD(f) "Tensor::" #f, "", [](Tensor& t, const Tensor& o) { t.f(o); }
#define OPERATOR(op) "operator" #op, "", [](Tensor& t, const Tensor& o) { t op o; }
#define NUMBER(f, x) "Tensor::" #f, "a number", [](Tensor& t, const Tensor&) { t.f(x); }

Complex plus(Complex a, Complex b) { return a + b; }
Complex minus(Complex a, Complex b) { return a - b; }
Complex times(Complex a, Complex b) { return a * b; }
Complex over(Complex a, Complex b) { return a / b; }

std::vector<WriteRow> writes() {
  const std::vector<Range> divisor{{-2, 2}, {1, 2}};
  return {
      {METHOD(copy_), [](Complex, Complex b) { return b; }},
      {METHOD(add_), plus},
      {"Tensor::add_", "alpha 2", [](Tensor& t, const Tensor& o) { t.add_(o, 2); },
       [](Complex a, Complex b) { return a + 2.0 * b; }},
      {METHOD(sub_), minus},
      {"Tensor::sub_", "alpha 2", [](Tensor& t, const Tensor& o) { t.sub_(o, 2); },
       [](Complex a, Complex b) { return a - 2.0 * b; }},
      {METHOD(mul_), times},
      {METHOD(div_), over, divisor},
      {OPERATOR(+=), plus},
      {OPERATOR(-=), minus},
      {OPERATOR(*=), times},
      {OPERATOR(/=), over, divisor},
      {NUMBER(fill_, 0.5), [](Complex, Complex) { return Complex(0.5); }},
      {"Tensor::zero_", "", [](Tensor& t, const Tensor&) { t.zero_(); },
       [](Complex, Complex) { return Complex(0); }},
      {NUMBER(add_, 3), [](Complex a, Complex) { return a + 3.0; }},
      {NUMBER(sub_, 3), [](Complex a, Complex) { return a - 3.0; }},
      {NUMBER(mul_, 3), [](Complex a, Complex) { return a * 3.0; }},
      {NUMBER(div_, 4), [](Complex a, Complex) { return a / 4.0; }},
  };
}
#undef METHOD
#undef OPERATOR
#undef NUMBER

/// Which part of a [3, 4] target is written, as a view of it.
struct Target {
  const char* name;
  View view;
  Shape shape;
};
const Target kTargets[] = {
    {"all", [](const Tensor& t) { return t; }, {3, 4}},
    {"a transposed view", [](const Tensor& t) { return t.t(); }, {4, 3}},
    {"every other column", [](const Tensor& t) { return t.slice(1, 1, INT64_MAX, 2); }, {3, 2}},
    {"a row backward", [](const Tensor& t) { return t[1].flip(0); }, {4}},
    {"nothing", [](const Tensor& t) { return t.slice(0, 2, 2); }, {0, 4}},
};

/// A write into a copy of operand 0. The result is of what the copy was before and is afterwards,
/// so that what was not written shows as well.
GradientRow write_row(const WriteRow& w, const Target& target) {
  const auto run = [w, target](Operands in) {
    Tensor t = in[0] * 1.0;
    const Tensor before = t * 2.0;
    Tensor view = target.view(t);
    w.op(view, in[1]);
    return before + t * t;
  };
  return {w.name,
          std::string(w.variant) + (*w.variant ? ", " : "") + "into " + target.name,
          run,
          {{{3, 4}, target.shape}, {{3, 4}, {target.shape.back()}}, {{3, 4}, {}}},
          w.range,
          {},
          [w, target](ComplexValues in) {
            // Where the write goes, the view of 0, 1, 2, … tells.
            ComplexArray y = in[0], t = in[0];
            const Tensor places = target.view(arange(y.shape.numel()).reshape(y.shape));
            const std::vector<std::int64_t> to = places.to_vector<std::int64_t>();
            const Shape s = places.shape();
            each_index(s, [&](const Shape& index, std::int64_t i) {
              Shape at = in[1].shape;
              for (int d = 0; d < at.rank(); ++d) {
                const int own = s.rank() - at.rank() + d;
                at[d] = own < 0 || at[d] == 1 ? 0 : index[own];
              }
              Complex& z = t[to[static_cast<std::size_t>(i)]];
              z = w.analytic(z, in[1][position(in[1].shape, at)]);
            });
            for (std::size_t i = 0; i < y.v.size(); ++i) y.v[i] = 2.0 * y.v[i] + t.v[i] * t.v[i];
            return y;
          }};
}

}  // namespace

std::vector<GradientRow> view_gradients() {
  std::vector<GradientRow> rows;
  for (const ViewRow& v : kViews) {
    const auto op = [f = v.op](Operands in) { return f(in[0]); };
    rows.push_back({v.name, v.variant, op, {{v.in}}, {{}}, {}, same_selection(op)});
  }
  for (const int dim : {0, -1}) {
    const auto join = [=](Operands in) { return cat({in[0], in[1], in[0]}, dim); };
    const Shape other = dim == 0 ? Shape{2, 4} : Shape{3, 2},
                none = dim == 0 ? Shape{0, 4} : Shape{3, 0};
    rows.push_back({"cat",
                    "dim " + std::to_string(dim),
                    join,
                    {{{3, 4}, other}, {{3, 4}, none}, {none, none}},
                    {{}},
                    {},
                    same_selection(join)});
  }
  for (const int dim : {0, 1, -1}) {
    const auto join = [=](Operands in) { return stack({in[0], in[1], in[0]}, dim); };
    rows.push_back({"stack",
                    "dim " + std::to_string(dim),
                    join,
                    {{{3, 4}, {3, 4}}, {{2, 0}, {2, 0}}},
                    {{}},
                    {},
                    same_selection(join)});
  }
  rows.push_back({"stack",
                  "numbers",
                  [](Operands in) {
                    return stack({in[0], in[1]});
                  },
                  {{{}, {}}}});
  rows.push_back({"pad",
                  "zeros",
                  [](Operands in) {
                    return pad(in[0], {1, 2});
                  },
                  {{{3, 4}}, {{2, 0}}}});
  rows.push_back({"pad",
                  "a number, two dimensions",
                  [](Operands in) {
                    return pad(in[0], {0, 2, 1, 0}, 3.0);
                  },
                  {{{3, 4}}, {{0, 3}}}});
  return rows;
}

std::vector<GradientRow> write_gradients() {
  std::vector<GradientRow> rows;
  for (const WriteRow& w : writes())
    for (const Target& t : kTargets) rows.push_back(write_row(w, t));
  // To assign to a temporary is to write into what it views.
  const auto assign = [](Operands in) {
    Tensor t = in[0] * 1.0;
    t[0] = in[1];
    return t;
  };
  rows.push_back({"Tensor::operator=", "to a row", assign, {{{3, 4}, {4}}, {{1, 0}, {0}}}});
  return rows;
}

}  // namespace contract
