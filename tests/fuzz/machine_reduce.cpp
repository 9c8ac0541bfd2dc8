// tests/fuzz/machine_reduce.cpp -- reductions, normalisations and losses of random programs
#include "fuzz/machine.h"

namespace fuzz {
namespace {

struct ReduceOp {
  const char* name;
  Tensor (*call)(const Tensor&, const Dims&, bool);
};
Tensor deviation(const Tensor& x, const Dims& d, bool k) { return flash::std(x, d, k, 1); }
Tensor variance(const Tensor& x, const Dims& d, bool k) { return var(x, d, k, 1); }
constexpr ReduceOp kReduce[] = {
    {"sum", sum},   {"sum", sum}, {"mean", mean}, {"prod", prod},    {"amax", amax},
    {"amin", amin}, {"any", any}, {"all", all},   {"var", variance}, {"flash::std", deviation},
};
constexpr const char* kReductions[] = {"Reduction::kNone", "Reduction::kMean", "Reduction::kSum"};

}  // namespace

Tensor Machine::execute_reduction(const Instr& c) {
  const Tensor& a = in(c, 0);
  std::string A = v(c.in[0]), B = v(c.in[1]), C = v(c.in[2]);
  const auto last = [&] { return a.dim() && pick(c.n[1], 3) ? a.dim() - 1 : dim(a, c.n[0]); };
  switch (c.op) {
    case Op::kReduce: {
      const ReduceOp& f = choose(kReduce, c.n[0]);
      const Shape dims = some_dims(a, c.n[1]);
      const bool keep = pick(c.n[2], 2) == 1;
      say(f.name, "(", A, ", ", dims, ", ", keep, ")");
      return f.call(a, dims, keep);
    }
    case Op::kArg: {
      const int d = dim(a, c.n[1]);
      const bool keep = pick(c.n[2], 2) == 1, largest = pick(c.n[0], 2) == 0;
      say(largest ? "argmax(" : "argmin(", A, ", ", d, ", ", keep, ")");
      return largest ? argmax(a, d, keep) : argmin(a, d, keep);
    }
    case Op::kSoftmax: {
      const int d = last();
      say("softmax(", A, ", ", d, ")");
      return softmax(a, d);
    }
    case Op::kLogSoftmax: {
      const int d = last();
      say("log_softmax(", A, ", ", d, ")");
      return log_softmax(a, d);
    }
    case Op::kLogSumExp: {
      const int d = dim(a, c.n[0]);
      const bool keep = pick(c.n[1], 2) == 1;
      say("logsumexp(", A, ", ", d, ", ", keep, ")");
      return logsumexp(a, d, keep);
    }
    case Op::kLayerNorm: {
      const int count = 1 + static_cast<int>(pick(c.n[0], 2));
      if (a.dim() < count) throw Skip{};
      Shape s;
      for (int d = a.dim() - count; d < a.dim(); ++d) s.push_back(a.size(d));
      Tensor w, b;
      const auto affine = pick(c.n[1], 3);
      if (affine > 0) w = first(as(in(c, 1), a.dtype(), B), s);
      if (affine > 1) b = first(as(in(c, 2), a.dtype(), C), s);
      say("layer_norm(", A, ", ", s, affine > 0 ? ", first(" + B + ", " + cpp(s) + ")" : "",
          affine > 1 ? ", first(" + C + ", " + cpp(s) + ")" : "", ")");
      return layer_norm(a, s, w, b);
    }
    case Op::kBatchNorm: {
      if (a.dim() < 2) throw Skip{};
      const Tensor x = floats(a, A);
      const bool training = pick(c.n[0], 2) == 0;
      say("batch_norm_of(", A, ", ", training, ")");
      return batch_norm_of(x, training);
    }
    case Op::kCrossEntropy:
    case Op::kNll: {
      const Shape s{pick(c.n[0], 40), pick(c.n[1], 30) + 1};
      const bool own = a.dim() == 2 && a.size(1) > 0 && is_floating(a.dtype());
      const Tensor x = own ? a : fit(floats(a, A), s, c.n[5], A);
      const std::int64_t classes = x.size(1) + (p_.tame ? 0 : 1);
      const Tensor t = remainder(first(in(c, 1), {x.size(0)}).to(DType::kI64), classes);
      const auto reduction = pick(c.n[2], 3);
      const std::int64_t ignore = pick(c.n[3], 4);
      const double smooth = pick(c.n[4], 2) ? 0.1 : 0.0;
      const std::string targets = "remainder(first(" + B + ", {" + cpp(x.size(0)) +
                                  "}).to(DType::kI64), " + cpp(classes) + ")";
      if (c.op == Op::kNll) {
        say("nll_loss(", A, ", ", targets, ", ", kReductions[reduction], ", ", ignore, ")");
        return nll_loss(x, t, static_cast<Reduction>(reduction), ignore);
      }
      say("cross_entropy(", A, ", ", targets, ", ", kReductions[reduction], ", ", ignore, ", ",
          smooth, ")");
      return cross_entropy(x, t, static_cast<Reduction>(reduction), ignore, smooth);
    }
    default: {  // mse_loss
      const auto reduction = pick(c.n[2], 3);
      say("mse_loss(", A, ", ", B, ", ", kReductions[reduction], ")");
      bounded({a.shape(), in(c, 1).shape()});
      return mse_loss(a, in(c, 1), static_cast<Reduction>(reduction));
    }
  }
}

}  // namespace fuzz
