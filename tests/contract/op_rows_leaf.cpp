// tests/contract/op_rows_leaf.cpp -- rows of the operation table: products, convolutions, pools,
// embeddings, and their gradients
//
// A sum of products errs by at most n·u·Σ|a·b| in any order, u being half a unit in the last place
// of 1 in the dtype that it is computed in. What a gradient refuses the tape refuses first, so only
// the forward rows look at that.
#include <cmath>

#include "contract/op_table.h"

namespace contract {
namespace {

/// Adds products up, with what their order may cost.
struct Dot {
  Wide sum = 0, magnitude = 0;
  std::int64_t n = 0;
  void add(Wide a, Wide b) {
    sum += a * b;
    magnitude += std::fabs(a * b);
    ++n;
  }
  void store(Expected& e, std::int64_t at, DType d) const {
    e[at] = sum;
    e.slack_at(at) = static_cast<Wide>(n + 1) * unit(compute(d)) * magnitude;
  }
};
constexpr Bound kSums{.zero_sign = false};

/// Contiguous, and each operand in every layout.
void add_layouts(std::vector<Call>& calls, const std::vector<Array>& in) {
  const std::vector<Layout> plain(in.size(), Layout::kContiguous);
  calls.push_back({in, plain});
  for (const Layout l : kStrided)
    for (std::size_t k = 0; k < in.size(); ++k) {
      std::vector<Layout> layout = plain;
      layout[k] = l;
      calls.push_back({in, layout});
    }
}

// -- matmul and linear

Expected matmul_reference(const Array& a0, const Array& b0, DType d) {
  Array a = a0, b = b0;
  if (a0.shape.rank() == 1) a.shape.insert(0, 1);
  if (b0.shape.rank() == 1) b.shape.push_back(1);
  const auto batch = [](const Array& x) {
    Shape s = x.shape;
    s.erase(s.rank() - 1);
    s.erase(s.rank() - 1);
    return s;
  };
  const auto matrix = [](const Shape& lead, std::int64_t rows, std::int64_t columns) {
    Shape s = lead;
    s.push_back(rows);
    s.push_back(columns);
    return s;
  };
  const std::int64_t m = a.shape[a.shape.rank() - 2], k = a.shape.back(), n = b.shape.back();
  const Shape lead = broadcast(batch(a), batch(b));
  const Array x = broadcast(a, matrix(lead, m, k)), y = broadcast(b, matrix(lead, k, n));
  Expected e(d, matrix(lead, m, n));
  for (std::int64_t i = 0; i < e.value.numel(); ++i) {
    const std::int64_t column = i % n, row = i / n % m, part = i / n / m;
    Dot dot;
    for (std::int64_t j = 0; j < k; ++j)
      dot.add(x[(part * m + row) * k + j], y[(part * k + j) * n + column]);
    dot.store(e, i, d);
  }
  if (b0.shape.rank() == 1) e.value.shape.erase(e.value.shape.rank() - 1);
  if (a0.shape.rank() == 1)
    e.value.shape.erase(e.value.shape.rank() - (b0.shape.rank() == 1 ? 1 : 2));
  return e;
}

std::vector<Call> matmul_calls(DType d) {
  std::vector<Call> calls;
  const std::pair<Shape, Shape> kShapes[] = {
      {{1, 1}, {1, 1}}, {{33}, {33}},        {{4}, {2, 4, 3}},          {{2, 3, 4}, {4}},
      {{7, 1}, {1, 5}}, {{2, 3, 4}, {4, 5}}, {{2, 1, 3, 4}, {5, 4, 2}}, {{3, 0}, {0, 5}},
      {{0, 4}, {4, 5}}, {{2, 0, 3}, {3, 4}}, {{65, 129}, {129, 70}},    {{1, 300}, {300, 33}},
  };
  for (const auto& [a, b] : kShapes)
    calls.push_back(
        {{ordinary(d, a, 1), ordinary(d, b, 2)}, {Layout::kContiguous, Layout::kContiguous}});
  add_layouts(calls, {ordinary(d, {9, 37}, 3), ordinary(d, {37, 17}, 4)});
  add_layouts(calls, {ordinary(d, {2, 5, 7}, 3), ordinary(d, {2, 7, 3}, 4)});
  return calls;
}

Row linear_row(bool with_bias) {
  return {"linear",
          with_bias ? "bias" : "no bias",
          kFloating,
          [with_bias](Operands in, DType) {
            return linear(in[0], in[1], with_bias ? in[2] : Tensor());
          },
          [with_bias](Values in, DType d) {
            const std::int64_t k = in[1].shape[1], n = in[1].shape[0];
            Shape s = in[0].shape;
            s[s.rank() - 1] = n;
            Expected e(d, s);
            for (std::int64_t i = 0; i < e.value.numel(); ++i) {
              Dot dot;
              for (std::int64_t j = 0; j < k; ++j)
                dot.add(in[0][i / n * k + j], in[1][i % n * k + j]);
              if (with_bias) dot.add(in[2][i % n], 1);
              dot.store(e, i, d);
            }
            return e;
          },
          [with_bias](DType d) {
            std::vector<Call> calls;
            std::vector<Array> in = {ordinary(d, {9, 37}, 1), ordinary(d, {17, 37}, 2)};
            if (with_bias) in.push_back(ordinary(d, {17}, 3));
            add_layouts(calls, in);
            for (const Shape& s : {Shape{37}, Shape{2, 3, 37}, Shape{0, 37}}) {
              in[0] = ordinary(d, s, 4);
              calls.push_back({in, std::vector<Layout>(in.size(), Layout::kContiguous)});
            }
            return calls;
          },
          kSums};
}

// -- convolutions

struct ConvCase {
  const char* name;
  Shape x, w;
  Conv2dOptions o;
};
const ConvCase kConvs[] = {
    {"plain", {2, 3, 7, 9}, {4, 3, 3, 2}, {}},
    {"1x1", {2, 5, 6, 7}, {3, 5, 1, 1}, {}},
    {"stride and padding",
     {1, 3, 9, 8},
     {2, 3, 3, 5},
     {.stride_h = 2, .stride_w = 3, .padding_h = 1, .padding_w = 2}},
    {"dilation", {2, 2, 9, 11}, {3, 2, 3, 2}, {.padding_h = 2, .dilation_h = 2, .dilation_w = 3}},
    {"groups", {2, 4, 6, 7}, {6, 2, 3, 3}, {.padding_w = 1, .groups = 2}},
    {"depthwise",
     {1, 4, 7, 6},
     {8, 1, 3, 3},
     {.stride_h = 2, .padding_h = 1, .padding_w = 1, .groups = 4}},
    {"many channels", {2, 17, 8, 8}, {33, 17, 3, 3}, {.padding_h = 1, .padding_w = 1}},
    {"no images", {0, 3, 7, 9}, {4, 3, 3, 2}, {}},
};

Shape conv_shape(const ConvCase& c) {
  const auto out = [](std::int64_t n, std::int64_t k, std::int64_t pad, std::int64_t dilation,
                      std::int64_t stride) {
    return (n + 2 * pad - dilation * (k - 1) - 1) / stride + 1;
  };
  return {c.x[0], c.w[0], out(c.x[2], c.w[2], c.o.padding_h, c.o.dilation_h, c.o.stride_h),
          out(c.x[3], c.w[3], c.o.padding_w, c.o.dilation_w, c.o.stride_w)};
}

/// Calls f(position in y, in x, in w) for every product of a convolution.
template <class F>
void each_product(const ConvCase& c, F&& f) {
  const Shape y = conv_shape(c);
  const std::int64_t filters = c.w[0] / c.o.groups;
  each_index(y, [&](const Shape& at, std::int64_t i) {
    each_index({c.w[1], c.w[2], c.w[3]}, [&](const Shape& k, std::int64_t) {
      const std::int64_t h = at[2] * c.o.stride_h - c.o.padding_h + k[1] * c.o.dilation_h,
                         w = at[3] * c.o.stride_w - c.o.padding_w + k[2] * c.o.dilation_w;
      if (h < 0 || w < 0 || h >= c.x[2] || w >= c.x[3]) return;
      f(i, position(c.x, {at[0], at[1] / filters * c.w[1] + k[0], h, w}),
        position(c.w, {at[1], k[0], k[1], k[2]}));
    });
  });
}

enum class Part : std::uint8_t { kOutput, kInput, kWeight };

/// The output of a convolution, or what its gradient is with respect to x or w. Operands: x, w and,
/// for gradients, dy; for the output, a bias.
Row conv_row(const ConvCase& c, Part part) {
  constexpr const char* kNames[] = {"", ", gradient of the input", ", gradient of the weight"};
  return {"conv2d",
          std::string(c.name) + kNames[static_cast<int>(part)],
          kFloating,
          [c, part](Operands in, DType) {
            if (part == Part::kOutput) return conv2d(in[0], in[1], in[2], c.o);
            Tensor x = in[0].detach(), w = in[1].detach();
            (part == Part::kInput ? x : w).set_requires_grad();
            return grad({conv2d(x, w, {}, c.o)}, {part == Part::kInput ? x : w}, {in[2]})[0];
          },
          [c, part](Values in, DType d) {
            Expected e(d, part == Part::kOutput ? conv_shape(c) : part == Part::kInput ? c.x : c.w);
            std::vector<Dot> dots(e.value.v.size());
            each_product(c, [&](std::int64_t y, std::int64_t x, std::int64_t w) {
              if (part == Part::kOutput) dots[static_cast<std::size_t>(y)].add(in[0][x], in[1][w]);
              if (part == Part::kInput) dots[static_cast<std::size_t>(x)].add(in[2][y], in[1][w]);
              if (part == Part::kWeight) dots[static_cast<std::size_t>(w)].add(in[2][y], in[0][x]);
            });
            const std::int64_t plane = e.value.shape[2] * e.value.shape[3];
            for (std::size_t i = 0; i < dots.size(); ++i) {
              const auto at = static_cast<std::int64_t>(i);
              if (part == Part::kOutput) dots[i].add(in[2][at / plane % c.w[0]], 1);
              dots[i].store(e, at, d);
            }
            return e;
          },
          [c, part](DType d) {
            std::vector<Call> calls;
            const Array third =
                part == Part::kOutput ? ordinary(d, {c.w[0]}, 3) : ordinary(d, conv_shape(c), 3);
            add_layouts(calls, {ordinary(d, c.x, 1), ordinary(d, c.w, 2), third});
            return calls;
          },
          kSums,
          part == Part::kOutput};
}

// -- pools

struct PoolCase {
  const char* name;
  Shape x;
  Pool2dOptions o;
};
const PoolCase kPools[] = {
    {"2x2", {2, 3, 6, 8}, {}},
    {"odd sizes", {1, 2, 7, 9}, {}},
    {"overlapping", {2, 2, 9, 7}, {.kernel_h = 3, .kernel_w = 2, .stride_h = 2, .stride_w = 1}},
    {"padded",
     {1, 3, 7, 6},
     {.kernel_h = 3, .kernel_w = 3, .stride_h = 2, .stride_w = 2, .padding_h = 1, .padding_w = 1}},
    {"padded, not counted",
     {1, 3, 7, 6},
     {.kernel_h = 3,
      .kernel_w = 2,
      .stride_h = 2,
      .stride_w = 2,
      .padding_h = 1,
      .padding_w = 1,
      .count_include_pad = false}},
    {"no images", {0, 2, 6, 6}, {}},
};

Shape pool_shape(const PoolCase& p) {
  const auto out = [](std::int64_t n, std::int64_t k, std::int64_t pad, std::int64_t stride) {
    return (n + 2 * pad - k) / (stride ? stride : k) + 1;
  };
  return {p.x[0], p.x[1], out(p.x[2], p.o.kernel_h, p.o.padding_h, p.o.stride_h),
          out(p.x[3], p.o.kernel_w, p.o.padding_w, p.o.stride_w)};
}

/// Calls f(position in y, positions in x of its window, in order).
template <class F>
void each_window(const PoolCase& p, F&& f) {
  const std::int64_t sh = p.o.stride_h ? p.o.stride_h : p.o.kernel_h,
                     sw = p.o.stride_w ? p.o.stride_w : p.o.kernel_w;
  each_index(pool_shape(p), [&](const Shape& at, std::int64_t i) {
    std::vector<std::int64_t> window;
    for (std::int64_t kh = 0; kh < p.o.kernel_h; ++kh)
      for (std::int64_t kw = 0; kw < p.o.kernel_w; ++kw) {
        const std::int64_t h = at[2] * sh - p.o.padding_h + kh, w = at[3] * sw - p.o.padding_w + kw;
        if (h >= 0 && w >= 0 && h < p.x[2] && w < p.x[3])
          window.push_back(position(p.x, {at[0], at[1], h, w}));
      }
    f(i, window);
  });
}

/// The place of a window's maximum: the first NaN, else the first of the largest.
std::int64_t largest(const Array& x, const std::vector<std::int64_t>& window) {
  std::int64_t best = window[0];
  for (const std::int64_t i : window) {
    if (std::isnan(x[best])) break;
    if (std::isnan(x[i]) || x[i] > x[best]) best = i;
  }
  return best;
}
/// What a window's sum is divided by. PyTorch counts padding, but not what lies beyond it.
Wide divisor(const PoolCase& p, const std::vector<std::int64_t>& window) {
  return p.o.count_include_pad ? static_cast<Wide>(p.o.kernel_h * p.o.kernel_w)
                               : static_cast<Wide>(window.size());
}

Row pool_row(const PoolCase& p, bool maximum, bool gradient) {
  return {maximum ? "max_pool2d" : "avg_pool2d",
          std::string(p.name) + (gradient ? ", gradient" : ""),
          kFloating,
          [=](Operands in, DType) {
            Tensor x = in[0].detach();
            if (gradient) x.set_requires_grad();
            const Tensor y = maximum ? max_pool2d(x, p.o) : avg_pool2d(x, p.o);
            return gradient ? grad({y}, {x}, {in[1]})[0] : y;
          },
          [=](Values in, DType d) {
            Expected e(d, gradient ? p.x : pool_shape(p));
            std::vector<Dot> dots(e.value.v.size());
            each_window(p, [&](std::int64_t y, const std::vector<std::int64_t>& window) {
              if (maximum && !gradient) {
                e[y] = in[0][largest(in[0], window)];
              } else if (maximum) {
                dots[static_cast<std::size_t>(largest(in[0], window))].add(in[1][y], 1);
              } else {
                for (const std::int64_t x : window)
                  dots[static_cast<std::size_t>(gradient ? x : y)].add(
                      gradient ? in[1][y] : in[0][x], 1 / divisor(p, window));
              }
            });
            if (!maximum || gradient)
              for (std::size_t i = 0; i < dots.size(); ++i)
                dots[i].store(e, static_cast<std::int64_t>(i), d);
            return e;
          },
          [=](DType d) {
            std::vector<Call> calls;
            std::vector<Array> in = {ordinary(d, p.x, 1)};
            if (gradient) in.push_back(ordinary(d, pool_shape(p), 2));
            add_layouts(calls, in);
            if (maximum && in[0].numel() > 12) {
              in[0][0] = in[0][11] = kNaN;
              in[0][5] = kInf;
              in[0][1] = -kInf;
              calls.push_back({in, std::vector<Layout>(in.size(), Layout::kContiguous)});
            }
            return calls;
          },
          kSums,
          !gradient};
}

// -- embedding

Row embedding_row(DType index, bool gradient) {
  return {"embedding",
          std::string(flash::name(index)) + " index" + (gradient ? ", gradient" : ""),
          gradient ? kFloating : kAny,
          [gradient](Operands in, DType) {
            if (!gradient) return embedding(in[0], in[1]);
            Tensor table = in[1].detach();
            table.set_requires_grad();
            return grad({embedding(in[0], table)}, {table}, {in[2]})[0];
          },
          [gradient](Values in, DType d) {
            const std::int64_t width = in[1].shape[1];
            if (!gradient) {
              Shape s = in[0].shape;
              s.push_back(width);
              Expected e(d, s);
              for (std::int64_t i = 0; i < e.value.numel(); ++i)
                e[i] = in[1][to_int(in[0][i / width]) * width + i % width];
              return e;
            }
            Expected e(d, in[1].shape);
            std::vector<Dot> dots(e.value.v.size());
            for (std::int64_t i = 0; i < in[2].numel(); ++i)
              dots[static_cast<std::size_t>(to_int(in[0][i / width]) * width + i % width)].add(
                  in[2][i], 1);
            for (std::size_t i = 0; i < dots.size(); ++i)
              dots[i].store(e, static_cast<std::int64_t>(i), d);
            return e;
          },
          [=](DType d) {
            std::vector<Call> calls;
            for (const Shape& s : {Shape{5, 6}, Shape{}, Shape{0}, Shape{70}}) {
              Shape out = s;
              out.push_back(13);
              std::vector<Array> in = {between(index, s, 0, 10.999, 1), ordinary(d, {11, 13}, 2)};
              if (gradient) in.push_back(ordinary(d, out, 3));
              if (s.rank() == 2)
                add_layouts(calls, in);
              else
                calls.push_back({in, std::vector<Layout>(in.size(), Layout::kContiguous)});
            }
            return calls;
          },
          kSums,
          !gradient};
}

}  // namespace

std::vector<Row> contraction_rows() {
  std::vector<Row> rows;
  for (const bool method : {false, true})
    rows.push_back({method ? "Tensor::matmul" : "matmul", "", kFloating,
                    [method](Operands in, DType) {
                      return method ? in[0].matmul(in[1]) : matmul(in[0], in[1]);
                    },
                    [](Values in, DType d) { return matmul_reference(in[0], in[1], d); },
                    matmul_calls, kSums});
  rows.push_back(linear_row(true));
  rows.push_back(linear_row(false));
  for (const ConvCase& c : kConvs)
    for (const Part part : {Part::kOutput, Part::kInput, Part::kWeight})
      rows.push_back(conv_row(c, part));
  return rows;
}

std::vector<Row> pool_rows() {
  std::vector<Row> rows;
  for (const PoolCase& p : kPools)
    for (const bool maximum : {true, false})
      for (const bool gradient : {false, true}) rows.push_back(pool_row(p, maximum, gradient));
  for (const DType index : {DType::kI64, DType::kI32, DType::kU8})
    rows.push_back(embedding_row(index, false));
  rows.push_back(embedding_row(DType::kI64, true));
  return rows;
}

}  // namespace contract
