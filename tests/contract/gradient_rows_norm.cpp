// tests/contract/gradient_rows_norm.cpp -- rows of the gradient table: normalisations and losses
#include <cmath>

#include "contract/gradient_table.h"

namespace contract {
namespace {

// Derivatives grow with each power of 1 / σ: wide apart, differences tell them well.
const std::vector<Range> kSpread = {{-6, 6}, {-2, 2}};

/// Each element less its group's mean, divided by the root of its variance and eps.
ComplexArray normalised(const ComplexArray& x,
                        const std::function<std::int64_t(std::int64_t)>& group,
                        std::int64_t groups) {
  std::vector<Complex> mean(static_cast<std::size_t>(groups)), squares(mean);
  std::vector<double> n(mean.size());
  const auto of = [&](std::int64_t i) { return static_cast<std::size_t>(group(i)); };
  const auto count = static_cast<std::int64_t>(x.v.size());
  for (std::int64_t i = 0; i < count; ++i) {
    mean[of(i)] += x[i];
    n[of(i)] += 1;
  }
  for (std::size_t g = 0; g < mean.size(); ++g) mean[g] /= n[g];
  for (std::int64_t i = 0; i < count; ++i)
    squares[of(i)] += (x[i] - mean[of(i)]) * (x[i] - mean[of(i)]);
  ComplexArray y(x.shape);
  for (std::int64_t i = 0; i < count; ++i)
    y[i] = (x[i] - mean[of(i)]) / std::sqrt(squares[of(i)] / n[of(i)] + 1e-5);
  return y;
}

GradientRow layer_norm_row(const char* variant, int dims, bool weight, bool bias) {
  const auto affine = [dims](const Shape& s) {
    Shape a;
    for (int k = s.rank() - dims; k < s.rank(); ++k) a.push_back(s[k]);
    return a;
  };
  std::vector<std::vector<Shape>> shapes;
  for (const Shape& s : {Shape{2, 3, 5}, Shape{0, 2, 3}, Shape{3, 4}}) {
    shapes.push_back({s});
    for (const bool has : {weight, bias})
      if (has) shapes.back().push_back(affine(s));
  }
  return {"layer_norm",
          variant,
          [=](Operands in) {
            return layer_norm(in[0], affine(in[0].shape()), weight ? in[1] : Tensor(),
                              bias ? in[2] : Tensor());
          },
          shapes,
          kSpread,
          {},
          [=](ComplexValues in) {
            const std::int64_t n = affine(in[0].shape).numel();
            ComplexArray y = normalised(
                in[0], [n](std::int64_t i) { return i / n; }, in[0].shape.numel() / n);
            for (std::int64_t i = 0; i < y.shape.numel(); ++i) {
              if (weight) y[i] *= in[1][i % n];
              if (bias) y[i] += in[2][i % n];
            }
            return y;
          },
          false};  // where all elements of a group are equal only eps keeps it smooth
}

/// Operands: x, weight, bias; the running statistics are numbers.
GradientRow batch_norm_row(const char* variant, bool training) {
  const auto channel = [](const Shape& s, std::int64_t i) {
    std::int64_t inner = 1;
    for (int d = 2; d < s.rank(); ++d) inner *= s[d];
    return i / inner % s[1];
  };
  return {"batch_norm",
          variant,
          [=](Operands in) {
            Tensor mean = full({in[0].size(1)}, 0.25, f64), var = full({in[0].size(1)}, 1.5, f64);
            return batch_norm(in[0], mean, var, in[1], in[2], training);
          },
          {{{3, 2, 2, 3}, {2}, {2}}, {{5, 3}, {3}, {3}}},
          kSpread,
          {},
          [=](ComplexValues in) {
            const ComplexArray& x = in[0];
            ComplexArray y = normalised(
                x, [&](std::int64_t i) { return channel(x.shape, i); }, x.shape[1]);
            for (std::int64_t i = 0; i < x.shape.numel(); ++i) {
              if (!training) y[i] = (x[i] - 0.25) / std::sqrt(1.5 + 1e-5);
              y[i] = y[i] * in[1][channel(x.shape, i)] + in[2][channel(x.shape, i)];
            }
            return y;
          },
          false};
}

/// Of scores (cross_entropy) or log-probabilities; the second of the targets is ignored.
GradientRow class_row(bool scores, Reduction reduction, double smoothing) {
  constexpr const char* kReductions[] = {"none", "mean", "sum"};
  const auto target = [](std::int64_t i, std::int64_t classes) {
    return i == 1 ? std::int64_t{-100} : i * 7 % classes;
  };
  // A mean of no rows is NaN.
  std::vector<std::vector<Shape>> shapes = {{{4, 3}}, {{5, 2}}};
  if (reduction != Reduction::kMean) shapes.push_back({{0, 3}});
  return {
      scores ? "cross_entropy" : "nll_loss",
      std::string(kReductions[static_cast<int>(reduction)]) + (smoothing > 0 ? ", smoothed" : ""),
      [=](Operands in) {
        std::vector<std::int64_t> t;
        for (std::int64_t i = 0; i < in[0].size(0); ++i) t.push_back(target(i, in[0].size(1)));
        const Tensor index = from_vector(t);
        return scores ? cross_entropy(in[0], index, reduction, -100, smoothing)
                      : nll_loss(in[0], index, reduction);
      },
      shapes,
      {{}},
      {},
      [=](ComplexValues in) {
        const std::int64_t rows = in[0].shape[0], n = in[0].shape[1];
        ComplexArray each({rows}), total({});
        double counted = 0;
        for (std::int64_t i = 0; i < rows; ++i) {
          const std::int64_t t = target(i, n);
          if (t < 0) continue;
          Complex sum = 0, mean = 0, log_sum = 0;
          for (std::int64_t k = 0; k < n; ++k) {
            sum += std::exp(in[0][i * n + k]);
            mean += in[0][i * n + k] / static_cast<double>(n);
          }
          if (scores) log_sum = std::log(sum);
          each[i] = log_sum - (1 - smoothing) * in[0][i * n + t] - smoothing * mean;
          total[0] += each[i];
          counted += 1;
        }
        if (reduction == Reduction::kMean) total[0] /= counted;
        return reduction == Reduction::kNone ? each : total;
      }};
}

GradientRow mse_row(Reduction reduction) {
  constexpr const char* kReductions[] = {"none", "mean", "sum"};
  std::vector<std::vector<Shape>> shapes = {{{3, 5}, {3, 5}}, {{3, 5}, {5}}, {{}, {}}};
  if (reduction != Reduction::kMean) shapes.push_back({{0, 3}, {3}});
  return {"mse_loss",
          kReductions[static_cast<int>(reduction)],
          [=](Operands in) { return mse_loss(in[0], in[1], reduction); },
          shapes,
          {{}},
          {},
          [=](ComplexValues in) {
            const ComplexArray each =
                each_element([](auto z) { return (z[0] - z[1]) * (z[0] - z[1]); })(in);
            if (reduction == Reduction::kNone) return each;
            ComplexArray total({});
            for (const Complex& z : each.v) total[0] += z;
            if (reduction == Reduction::kMean) total[0] /= static_cast<double>(each.v.size());
            return total;
          }};
}

}  // namespace

std::vector<GradientRow> normalisation_gradients() {
  std::vector<GradientRow> rows = {
      layer_norm_row("last dimension", 1, true, true),
      layer_norm_row("last two, no bias", 2, true, false),
      layer_norm_row("plain", 1, false, false),
      batch_norm_row("training", true),
      batch_norm_row("evaluation", false),
  };
  for (const Reduction r : {Reduction::kNone, Reduction::kMean, Reduction::kSum}) {
    for (const double smoothing : {0.0, 0.125}) rows.push_back(class_row(true, r, smoothing));
    rows.push_back(class_row(false, r, 0));
    rows.push_back(mse_row(r));
  }
  return rows;
}

}  // namespace contract
