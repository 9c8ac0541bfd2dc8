// tests/contract/op_rows_loss.cpp -- rows of the operation table: losses and normalisations
#include <cmath>

#include "contract/op_table.h"

namespace contract {
namespace {

constexpr Bound kSums{.zero_sign = false};

// -- losses

/// What becomes of one loss a row: (kNone, kMean, kSum), u the unit of what it is computed in.
Expected reduce_rows(const std::vector<Open>& rows, const std::vector<bool>& counted,
                     Reduction reduction, DType d) {
  const Wide u = unit(compute(d));
  if (reduction == Reduction::kNone) {
    Expected e(d, {static_cast<std::int64_t>(rows.size())});
    for (std::size_t i = 0; i < rows.size(); ++i) {
      e[static_cast<std::int64_t>(i)] = counted[i] ? rows[i].value : 0;
      e.slack_at(static_cast<std::int64_t>(i)) = counted[i] ? rows[i].slack : 0;
    }
    return e;
  }
  Wide sum = 0, slack = 0, magnitude = 0, n = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!counted[i]) continue;
    sum += rows[i].value;
    slack += rows[i].slack;
    magnitude += std::fabs(rows[i].value);
    n += 1;
  }
  slack += n * u * magnitude;
  Expected e(d, {});
  e[0] = reduction == Reduction::kMean ? sum / n : sum;
  e.slack_at(0) = !std::isfinite(e[0])            ? 0
                  : reduction == Reduction::kMean ? slack / n + u * std::fabs(e[0])
                                                  : slack;
  return e;
}

/// −x_t, or with scores −(x_t − log Σ e^x), smoothed toward the mean of all classes.
Open class_loss(const Array& x, std::int64_t row, std::int64_t target, bool scores,
                double smoothing, Wide u) {
  const std::int64_t n = x.shape[1];
  const auto at = [&](std::int64_t k) { return x[row * n + k]; };
  if (target < 0 || target >= n) return {kNaN};
  if (!scores) return {-at(target), 0};
  Wide top = at(0), sum = 0, mean = 0, spread = 0;
  for (std::int64_t k = 0; k < n; ++k) top = std::max(top, at(k));
  for (std::int64_t k = 0; k < n; ++k) {
    sum += std::exp(at(k) - top);
    mean += (at(k) - top) / static_cast<Wide>(n);
    spread = std::max(spread, top - at(k));
  }
  const Wide log_sum = std::log(sum);
  const Wide own = log_sum - (at(target) - top), all = log_sum - mean;
  const Wide loss = own * (1 - smoothing) + all * smoothing;
  // As softmax (op_rows_reduce.cpp): the sum errs by 4 + 2n units, the logarithm by 4 of its own;
  // then come the differences, the mean of n, the two factors and their sum.
  const Wide terms = static_cast<Wide>(n);
  return {loss, u * (4 + 2 * terms + 4 * log_sum + (terms + 6) * spread + 6 * std::fabs(loss))};
}

Row class_row(bool scores, Reduction reduction, std::int64_t ignore, double smoothing,
              DType target) {
  constexpr const char* kReductions[] = {"none", "mean", "sum"};
  std::string variant = kReductions[static_cast<int>(reduction)];
  if (smoothing > 0) variant += ", smoothed";
  if (ignore >= 0) variant += ", a class ignored";
  if (target != DType::kI64) variant += ", i32 targets";
  return {scores ? "cross_entropy" : "nll_loss",
          variant,
          kFloating,
          [=](Operands in, DType) {
            return scores ? cross_entropy(in[0], in[1], reduction, ignore, smoothing)
                          : nll_loss(in[0], in[1], reduction, ignore);
          },
          [=](Values in, DType d) {
            std::vector<Open> rows;
            std::vector<bool> counted;
            for (std::int64_t i = 0; i < in[0].shape[0]; ++i) {
              const std::int64_t t = to_int(in[1][i]);
              counted.push_back(t != ignore);
              rows.push_back(class_loss(in[0], i, t, scores, smoothing, unit(compute(d))));
            }
            return reduce_rows(rows, counted, reduction, d);
          },
          [=](DType d) {
            std::vector<Call> calls;
            const auto add = [&](const Shape& s, Layout a, Layout b, double low) {
              calls.push_back({{ordinary(d, s, 1),
                                between(target, {s[0]}, low, static_cast<double>(s[1]) - 0.01, 2)},
                               {a, b}});
            };
            for (const Layout l : kStrided) {
              add({9, 37}, l, Layout::kContiguous, 0);
              add({9, 37}, Layout::kContiguous, l, 0);
            }
            add({1, 1}, Layout::kContiguous, Layout::kContiguous, 0);
            add({0, 5}, Layout::kContiguous, Layout::kContiguous, 0);
            add({33, 4}, Layout::kContiguous, Layout::kContiguous, 0);
            add({33, 4}, Layout::kContiguous, Layout::kContiguous, -2);  // classes there are not
            return calls;
          },
          kSums};
}

Row mse_row(Reduction reduction) {
  constexpr const char* kReductions[] = {"none", "mean", "sum"};
  return {"mse_loss",
          kReductions[static_cast<int>(reduction)],
          kFloating,
          [=](Operands in, DType) { return mse_loss(in[0], in[1], reduction); },
          [=](Values in, DType d) {
            const Shape s = broadcast(in[0].shape, in[1].shape);
            const Array x = broadcast(in[0], s), y = broadcast(in[1], s);
            std::vector<Open> rows;
            for (std::int64_t i = 0; i < x.numel(); ++i) {
              const Wide q = (x[i] - y[i]) * (x[i] - y[i]);
              rows.push_back({q, 3 * unit(compute(d)) * q});
            }
            Expected e = reduce_rows(rows, std::vector<bool>(rows.size(), true), reduction, d);
            if (reduction == Reduction::kNone) e.value.shape = s;
            return e;
          },
          [](DType d) {
            std::vector<Call> calls;
            for (const Layout l : kStrided)
              calls.push_back(
                  {{ordinary(d, {9, 37}, 1), ordinary(d, {9, 37}, 2)}, {l, Layout::kContiguous}});
            for (const Shape& s : {Shape{}, Shape{0}, Shape{1}, Shape{67}})
              calls.push_back({{ordinary(d, s, 1), ordinary(d, s, 2)},
                               {Layout::kContiguous, Layout::kContiguous}});
            return calls;
          },
          kSums};
}

// -- normalisations

/// What a normalisation knows of its elements.
struct Statistics {
  Wide mean = 0, variance = 0;
  Wide mean_slack = 0, distance_slack = 0, variance_slack = 0;
};
Statistics statistics(const std::vector<Wide>& x, DType c) {
  const Moments m = moments(x, c);
  const auto n = static_cast<Wide>(x.size());
  const Wide variance = m.squares / n;
  return {m.mean, variance, m.mean_slack, m.distance_slack,
          m.squares_slack / n + unit(c) * variance};
}

/// (x − mean) / √(variance + eps)·w + b.
Open normalised(Wide x, const Statistics& m, Wide w, Wide b, Wide eps, Wide u) {
  const Wide rstd = 1 / std::sqrt(m.variance + eps);
  const Wide low = std::max<Wide>(m.variance - m.variance_slack, 0) + eps;
  const Wide rstd_slack = 1 / std::sqrt(low) - rstd + 4 * u * rstd;
  const Wide d = x - m.mean, y = d * rstd;
  const Wide slack = m.distance_slack * (rstd + rstd_slack) + std::fabs(d) * rstd_slack;
  return {y * w + b, (slack + 3 * u * std::fabs(y)) * std::fabs(w) + 2 * u * std::fabs(b)};
}

Row layer_norm_row(const char* variant, int dims, bool weight, bool bias) {
  return {"layer_norm",
          variant,
          kFloating,
          [=](Operands in, DType) {
            Shape s;
            for (int k = in[0].dim() - dims; k < in[0].dim(); ++k) s.push_back(in[0].size(k));
            return layer_norm(in[0], s, weight ? in[1] : Tensor(), bias ? in[2] : Tensor());
          },
          [=](Values in, DType d) {
            const Array& x = in[0];
            const Wide u = unit(compute(d));
            std::int64_t n = 1;
            for (int k = x.shape.rank() - dims; k < x.shape.rank(); ++k) n *= x.shape[k];
            Expected e(d, x.shape);
            for (std::int64_t row = 0; n > 0 && row < x.numel() / n; ++row) {
              const auto at = static_cast<std::ptrdiff_t>(row * n);
              const Statistics m =
                  statistics({x.v.begin() + at, x.v.begin() + at + static_cast<std::ptrdiff_t>(n)},
                             compute(d));
              for (std::int64_t k = 0; k < n; ++k) {
                const Open o = normalised(x[row * n + k], m, weight ? in[1][k] : 1,
                                          bias ? in[2][k] : 0, 1e-5L, u);
                e[row * n + k] = o.value;
                e.slack_at(row * n + k) = o.slack;
              }
            }
            return e;
          },
          [=](DType d) {
            std::vector<Call> calls;
            const auto add = [&](const Shape& s, Layout l, Layout affine) {
              Shape a;
              for (int k = s.rank() - dims; k < s.rank(); ++k) a.push_back(s[k]);
              calls.push_back(
                  {{ordinary(d, s, 1), ordinary(d, a, 2), ordinary(d, a, 3)}, {l, affine, affine}});
            };
            for (const Layout l : kStrided) {
              add({9, 3, 13}, l, Layout::kContiguous);
              add({9, 3, 13}, Layout::kContiguous, l);
            }
            add({2, 3, 1}, Layout::kContiguous, Layout::kContiguous);
            add({0, 3, 4}, Layout::kContiguous, Layout::kContiguous);
            add({3, 2, 1031}, Layout::kContiguous, Layout::kContiguous);
            return calls;
          },
          kSums};
}

enum class BatchNorm : std::uint8_t { kEvaluation, kTraining, kRunningMean, kRunningVar };

/// Operands: x, running mean, running variance, weight, bias.
Row batch_norm_row(const char* variant, BatchNorm what) {
  constexpr double kMomentum = 0.25;
  const bool training = what != BatchNorm::kEvaluation;
  return {"batch_norm",
          variant,
          kFloating,
          [=](Operands in, DType) {
            // Fresh statistics: the operands are used again by other evaluators.
            Tensor mean = in[1].clone(), variance = in[2].clone();
            const Tensor y =
                batch_norm(in[0], mean, variance, in[3], in[4], training, kMomentum, 1e-5);
            return what == BatchNorm::kRunningMean  ? mean
                   : what == BatchNorm::kRunningVar ? variance
                                                    : y;
          },
          [=](Values in, DType d) {
            const Array& x = in[0];
            const Wide u = unit(compute(d));
            const std::int64_t channels = x.shape[1], inner = x.shape[2] * x.shape[3];
            const bool whole = what == BatchNorm::kTraining || what == BatchNorm::kEvaluation;
            Expected e(d, whole ? x.shape : Shape{channels});
            for (std::int64_t c = 0; c < channels; ++c) {
              std::vector<Wide> g;
              for (std::int64_t i = 0; i < x.numel(); ++i)
                if (i / inner % channels == c) g.push_back(x[i]);
              const Statistics batch = statistics(g, compute(d));
              const Wide n = static_cast<Wide>(g.size());
              if (what == BatchNorm::kRunningMean) {
                e[c] = in[1][c] * (1 - kMomentum) + batch.mean * kMomentum;
                e.slack_at(c) =
                    batch.mean_slack + 4 * u * (std::fabs(in[1][c]) + std::fabs(batch.mean));
                continue;
              }
              if (what == BatchNorm::kRunningVar) {
                const Wide unbiased = n / (n - 1);
                e[c] = in[2][c] * (1 - kMomentum) + batch.variance * unbiased * kMomentum;
                e.slack_at(c) = batch.variance_slack * unbiased +
                                4 * u * (std::fabs(in[2][c]) + 2 * batch.variance);
                continue;
              }
              Statistics m = batch;
              if (what == BatchNorm::kEvaluation)
                m = {in[1][c], in[2][c], 0, u * 8 * std::fabs(in[1][c]), 0};
              for (std::int64_t i = 0; i < x.numel(); ++i) {
                if (i / inner % channels != c) continue;
                const Open o = normalised(x[i], m, in[3][c], in[4][c], 1e-5L, u);
                e[i] = o.value;
                e.slack_at(i) = o.slack + (training ? 0 : 2 * u * std::fabs(o.value - in[4][c]));
              }
            }
            return e;
          },
          [](DType d) {
            std::vector<Call> calls;
            const auto add = [&](const Shape& s, Layout l) {
              const Shape c{s[1]};
              calls.push_back({{ordinary(d, s, 1), ordinary(d, c, 2), between(d, c, 0.25, 4, 3),
                                ordinary(d, c, 4), ordinary(d, c, 5)},
                               {l, Layout::kContiguous, Layout::kContiguous, Layout::kContiguous,
                                Layout::kContiguous}});
            };
            for (const Layout l : kStrided) add({4, 3, 5, 7}, l);
            add({2, 5, 1, 1}, Layout::kContiguous);
            add({3, 1, 2, 33}, Layout::kContiguous);
            return calls;
          },
          kSums};
}

}  // namespace

std::vector<Row> loss_rows() {
  std::vector<Row> rows;
  for (const Reduction r : {Reduction::kNone, Reduction::kMean, Reduction::kSum}) {
    rows.push_back(class_row(true, r, -100, 0, DType::kI64));
    rows.push_back(class_row(true, r, 3, 0.1, DType::kI64));
    rows.push_back(class_row(false, r, 3, 0, DType::kI64));
    rows.push_back(mse_row(r));
  }
  rows.push_back(class_row(true, Reduction::kMean, -100, 0, DType::kI32));
  rows.push_back(class_row(false, Reduction::kMean, -100, 0, DType::kI32));
  rows.push_back(layer_norm_row("last dimension", 1, true, true));
  rows.push_back(layer_norm_row("last two, no bias", 2, true, false));
  rows.push_back(layer_norm_row("plain", 1, false, false));
  rows.push_back(batch_norm_row("evaluation", BatchNorm::kEvaluation));
  rows.push_back(batch_norm_row("training", BatchNorm::kTraining));
  rows.push_back(batch_norm_row("running mean", BatchNorm::kRunningMean));
  rows.push_back(batch_norm_row("running variance", BatchNorm::kRunningVar));
  return rows;
}

}  // namespace contract
