// tests/contract/gradient_rows_leaf.cpp -- rows of the gradient table: products, convolutions,
// pools, embeddings, dropout
#include <cmath>

#include "contract/gradient_table.h"

namespace contract {
namespace {

ComplexArray product(ComplexArray a, ComplexArray b) {
  const bool row = a.shape.rank() == 1, column = b.shape.rank() == 1;
  if (row) a.shape.insert(0, 1);
  if (column) b.shape.push_back(1);
  const auto lead = [](const Shape& s) {
    Shape l;
    for (int d = 0; d + 2 < s.rank(); ++d) l.push_back(s[d]);
    return l;
  };
  const Shape batch = broadcast(lead(a.shape), lead(b.shape));
  const std::int64_t m = a.shape[a.shape.rank() - 2], k = a.shape.back(), n = b.shape.back();
  Shape out = batch;
  if (!row) out.push_back(m);
  if (!column) out.push_back(n);
  ComplexArray y(out);
  // Where a matrix of an operand begins, for an index of the batch.
  const auto matrix = [&](const Shape& s, const Shape& index) {
    Shape own = lead(s);
    for (int d = 0; d < own.rank(); ++d)
      own[d] = own[d] == 1 ? 0 : index[batch.rank() - own.rank() + d];
    return position(lead(s), own) * s[s.rank() - 2] * s.back();
  };
  each_index(batch, [&](const Shape& index, std::int64_t part) {
    const std::int64_t left = matrix(a.shape, index), right = matrix(b.shape, index);
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j)
        for (std::int64_t l = 0; l < k; ++l)
          y[(part * m + i) * n + j] += a[left + i * k + l] * b[right + l * n + j];
  });
  return y;
}

GradientRow linear_row(bool bias) {
  std::vector<std::vector<Shape>> shapes = {
      {{2, 5}, {3, 5}, {3}}, {{5}, {3, 5}, {3}}, {{2, 2, 3}, {4, 3}, {4}}, {{0, 3}, {2, 3}, {2}}};
  if (!bias)
    for (std::vector<Shape>& s : shapes) s.pop_back();
  return {"linear",
          bias ? "bias" : "no bias",
          [=](Operands in) { return linear(in[0], in[1], bias ? in[2] : Tensor()); },
          shapes,
          {{}},
          {},
          [=](ComplexValues in) {
            ComplexArray weight({in[1].shape[1], in[1].shape[0]});
            for (std::int64_t i = 0; i < weight.shape[0]; ++i)
              for (std::int64_t j = 0; j < weight.shape[1]; ++j)
                weight[i * weight.shape[1] + j] = in[1][j * weight.shape[0] + i];
            ComplexArray y = product(in[0], weight);
            if (bias)
              for (std::size_t i = 0; i < y.v.size(); ++i) y.v[i] += in[2].v[i % in[2].v.size()];
            return y;
          }};
}

std::int64_t windows(std::int64_t n, std::int64_t kernel, std::int64_t padding,
                     std::int64_t dilation, std::int64_t stride) {
  return (n + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
}

ComplexArray convolved(const ComplexArray& x, const ComplexArray& w, const Conv2dOptions& o) {
  ComplexArray y({x.shape[0], w.shape[0],
                  windows(x.shape[2], w.shape[2], o.padding_h, o.dilation_h, o.stride_h),
                  windows(x.shape[3], w.shape[3], o.padding_w, o.dilation_w, o.stride_w)});
  const std::int64_t filters = w.shape[0] / o.groups;
  each_index(y.shape, [&](const Shape& at, std::int64_t i) {
    each_index({w.shape[1], w.shape[2], w.shape[3]}, [&](const Shape& k, std::int64_t) {
      const std::int64_t h = at[2] * o.stride_h - o.padding_h + k[1] * o.dilation_h,
                         v = at[3] * o.stride_w - o.padding_w + k[2] * o.dilation_w;
      if (h < 0 || v < 0 || h >= x.shape[2] || v >= x.shape[3]) return;
      y[i] += x[position(x.shape, {at[0], at[1] / filters * w.shape[1] + k[0], h, v})] *
              w[position(w.shape, {at[1], k[0], k[1], k[2]})];
    });
  });
  return y;
}

struct Convolution {
  const char* variant;
  std::vector<Shape> shapes;  // x and w; their first dimensions may be empty
  Conv2dOptions o;
};

std::vector<Convolution> convolutions() {
  return {
      {"plain", {{2, 2, 4, 3}, {3, 2, 2, 3}}, {}},
      {"1x1", {{1, 3, 3, 2}, {2, 3, 1, 1}}, {}},
      {"no images", {{0, 2, 4, 3}, {3, 2, 2, 3}}, {}},
      {"stride and padding",
       {{1, 2, 5, 4}, {2, 2, 3, 2}},
       {.stride_h = 2, .stride_w = 3, .padding_h = 1, .padding_w = 2}},
      {"a stride that leaves the end out",
       {{1, 1, 6, 5}, {1, 1, 3, 2}},
       {.stride_h = 2, .stride_w = 2}},
      {"dilation",
       {{1, 1, 5, 7}, {2, 1, 2, 3}},
       {.padding_h = 1, .dilation_h = 2, .dilation_w = 3}},
      {"groups", {{1, 4, 3, 3}, {2, 2, 2, 2}}, {.padding_w = 1, .groups = 2}},
      {"depthwise",
       {{2, 2, 3, 3}, {4, 1, 3, 2}},
       {.stride_h = 2, .padding_h = 1, .padding_w = 1, .dilation_w = 2, .groups = 2}},
  };
}

struct Pool {
  const char* variant;
  Shape x;
  Pool2dOptions o;
};

std::vector<Pool> pools() {
  return {
      {"2x2", {1, 2, 4, 4}, {}},
      {"odd sizes", {2, 1, 5, 3}, {}},
      {"overlapping", {1, 2, 5, 4}, {.kernel_h = 3, .kernel_w = 2, .stride_h = 1, .stride_w = 1}},
      {"padded",
       {1, 1, 5, 4},
       {.kernel_h = 3,
        .kernel_w = 2,
        .stride_h = 2,
        .stride_w = 1,
        .padding_h = 1,
        .padding_w = 1}},
      {"padded, not counted",
       {1, 1, 4, 5},
       {.kernel_h = 2,
        .kernel_w = 3,
        .stride_h = 1,
        .stride_w = 2,
        .padding_h = 1,
        .padding_w = 1,
        .count_include_pad = false}},
      {"no images", {0, 2, 4, 4}, {}},
  };
}

ComplexArray pooled(const ComplexArray& x, const Pool2dOptions& o, bool maximum) {
  const std::int64_t sh = o.stride_h ? o.stride_h : o.kernel_h,
                     sw = o.stride_w ? o.stride_w : o.kernel_w;
  ComplexArray y({x.shape[0], x.shape[1], windows(x.shape[2], o.kernel_h, o.padding_h, 1, sh),
                  windows(x.shape[3], o.kernel_w, o.padding_w, 1, sw)});
  each_index(y.shape, [&](const Shape& at, std::int64_t i) {
    std::vector<Complex> window;
    for (std::int64_t kh = 0; kh < o.kernel_h; ++kh)
      for (std::int64_t kw = 0; kw < o.kernel_w; ++kw) {
        const std::int64_t h = at[2] * sh - o.padding_h + kh, w = at[3] * sw - o.padding_w + kw;
        if (h >= 0 && w >= 0 && h < x.shape[2] && w < x.shape[3])
          window.push_back(x[position(x.shape, {at[0], at[1], h, w})]);
      }
    y[i] = maximum ? window[0] : 0;
    for (const Complex& z : window)
      if (!maximum)
        y[i] += z;
      else if (z.real() > y[i].real())
        y[i] = z;
    if (!maximum)
      y[i] /= o.count_include_pad ? static_cast<double>(o.kernel_h * o.kernel_w)
                                  : static_cast<double>(window.size());
  });
  return y;
}

}  // namespace

std::vector<GradientRow> leaf_gradients() {
  std::vector<GradientRow> rows;
  for (const bool method : {false, true})
    rows.push_back(
        {method ? "Tensor::matmul" : "matmul",
         "",
         [=](Operands in) { return method ? in[0].matmul(in[1]) : matmul(in[0], in[1]); },
         {{{3, 4}, {4, 5}},
          {{3}, {3}},
          {{3}, {3, 2}},
          {{2, 3}, {3}},
          {{4}, {2, 4, 3}},
          {{2, 3, 4}, {4}},
          {{2, 2, 3}, {3, 2}},
          {{2, 3}, {2, 3, 2}},
          {{2, 1, 2, 3}, {3, 3, 2}},
          {{1, 2, 3}, {2, 3, 1}},
          {{1, 1}, {1, 1}},
          {{0, 3}, {3, 2}},
          {{2, 0}, {0, 3}},
          {{2, 0, 3}, {3, 2}}},
         {{}},
         {},
         [](ComplexValues in) { return product(in[0], in[1]); }});
  rows.push_back(linear_row(true));
  rows.push_back(linear_row(false));
  for (const Convolution& c : convolutions())
    for (const bool bias : {false, true}) {
      std::vector<Shape> shapes = c.shapes;
      if (bias) shapes.push_back({c.shapes[1][0]});
      rows.push_back(
          {"conv2d",
           std::string(c.variant) + (bias ? ", bias" : ""),
           [=, o = c.o](Operands in) { return conv2d(in[0], in[1], bias ? in[2] : Tensor(), o); },
           {shapes},
           {{}},
           {},
           [=, o = c.o](ComplexValues in) {
             ComplexArray y = convolved(in[0], in[1], o);
             const std::int64_t plane = y.shape[2] * y.shape[3];
             for (std::int64_t i = 0; bias && i < y.shape.numel(); ++i)
               y[i] += in[2][i / plane % y.shape[1]];
             return y;
           }});
    }
  for (const Pool& p : pools())
    for (const bool maximum : {true, false})
      rows.push_back({maximum ? "max_pool2d" : "avg_pool2d",
                      p.variant,
                      [=, o = p.o](Operands in) {
                        return maximum ? max_pool2d(in[0], o) : avg_pool2d(in[0], o);
                      },
                      {{p.x}},
                      {{}},
                      {},
                      [=, o = p.o](ComplexValues in) { return pooled(in[0], o, maximum); },
                      !maximum});  // the first of equal elements takes it all
  for (const Shape& index : {Shape{2, 3}, Shape{}, Shape{0}}) {
    const auto lookup = [=](Operands in) {
      std::vector<std::int64_t> i;
      for (std::int64_t k = 0; k < index.numel(); ++k) i.push_back((k * k + 2) % 4);  // 2 3 2 3 2 3
      return embedding(from_vector(i, index), in[0]);
    };
    rows.push_back({"embedding",
                    "index " + index.str(),
                    lookup,
                    {{{4, 3}}},
                    {{}},
                    {},
                    same_selection(lookup)});
  }
  // The mask is the same whenever it is drawn from the same place.
  const auto dropped = [](Operands in) {
    manual_seed(3);
    return dropout(in[0], 0.5);
  };
  rows.push_back(
      {"dropout", "", dropped, {{{3, 5}}, {{0, 3}}, {{}}}, {{}}, {}, [dropped](ComplexValues in) {
         const Tensor one = ones(in[0].shape, f64);
         const std::vector<double> mask = dropped({&one, 1}).to_vector<double>();
         ComplexArray y = in[0];
         for (std::size_t i = 0; i < mask.size(); ++i) y.v[i] *= mask[i];
         return y;
       }});
  return rows;
}

}  // namespace contract
