// tests/contract/fuzz_machine.cpp -- element-wise operations, reductions and losses of random
// programs
#include "contract/fuzz_machine.h"

namespace fuzz {
namespace {

using Unary = Tensor (*)(const Tensor&);
struct UnaryOp {
  const char* name;
  Unary call;
};
constexpr UnaryOp kUnary[] = {
    {"neg", neg},
    {"abs", abs},
    {"sign", sign},
    {"square", square},
    {"sqrt", sqrt},
    {"rsqrt", rsqrt},
    {"exp", exp},
    {"expm1", expm1},
    {"log", log},
    {"log1p", log1p},
    {"tanh", tanh},
    {"sigmoid", sigmoid},
    {"erf", erf},
    {"sin", sin},
    {"cos", cos},
    {"floor", floor},
    {"ceil", ceil},
    {"round", round},
    {"trunc", trunc},
    {"relu", relu},
    {"gelu", gelu},
    {"silu", silu},
    {"isnan", isnan},
    {"isinf", isinf},
    {"isfinite", isfinite},
    {"reciprocal", reciprocal},
    {"logical_not", logical_not},
    {"bitwise_not", bitwise_not},
};

struct BinaryOp {
  const char* name;
  Tensor (*both)(const Tensor&, const Tensor&);
  Tensor (*right)(const Tensor&, Scalar);
  Tensor (*left)(Scalar, const Tensor&);
};
#define FUZZ_BINARY(name) \
  { #name, name, name, name }
constexpr BinaryOp kBinary[] = {
    FUZZ_BINARY(add),
    FUZZ_BINARY(sub),
    FUZZ_BINARY(mul),
    FUZZ_BINARY(div),
    FUZZ_BINARY(add),
    FUZZ_BINARY(mul),
    FUZZ_BINARY(maximum),
    FUZZ_BINARY(minimum),
    FUZZ_BINARY(eq),
    FUZZ_BINARY(ne),
    FUZZ_BINARY(lt),
    FUZZ_BINARY(le),
    FUZZ_BINARY(gt),
    FUZZ_BINARY(ge),
    FUZZ_BINARY(floor_divide),
    FUZZ_BINARY(remainder),
    FUZZ_BINARY(fmod),
    FUZZ_BINARY(pow),
    FUZZ_BINARY(bitwise_and),
    FUZZ_BINARY(bitwise_or),
    FUZZ_BINARY(bitwise_xor),
    FUZZ_BINARY(bitwise_left_shift),
    FUZZ_BINARY(bitwise_right_shift),
    FUZZ_BINARY(logical_and),
    FUZZ_BINARY(logical_or),
    FUZZ_BINARY(logical_xor),
};
#undef FUZZ_BINARY

struct ReduceOp {
  const char* name;
  Tensor (*call)(const Tensor&, const Dims&, bool);
};
Tensor variance(const Tensor& x, const Dims& d, bool k) { return var(x, d, k); }
Tensor deviation(const Tensor& x, const Dims& d, bool k) { return flash::std(x, d, k, 0); }
constexpr ReduceOp kReduce[] = {
    {"sum", sum},   {"sum", sum}, {"mean", mean}, {"prod", prod},    {"amax", amax},
    {"amin", amin}, {"any", any}, {"all", all},   {"var", variance}, {"std", deviation},
};

}  // namespace

Tensor Machine::execute(const Instr& c) {
  if (c.op == Op::kNop) throw Skip{};
  if (c.op <= Op::kRandint) return execute_leaf(c);
  if (c.op >= Op::kPermute && c.op <= Op::kDetach) return execute_view(c);
  if (c.op >= Op::kMatmul && c.op <= Op::kEmbedding) return execute_contraction(c);
  if (c.op >= Op::kFill && c.op <= Op::kInplaceScalar) return execute_inplace(c);
  if (c.op >= Op::kDrop) return execute_effect(c);
  const Tensor& a = in(c, 0);
  const std::string A = v(c.in[0]), B = v(c.in[1]), C = v(c.in[2]);
  switch (c.op) {
    case Op::kUnary: {
      const UnaryOp& f = choose(kUnary, c.n[0]);
      say(f.name, "(", A, ")");
      return f.call(a);
    }
    case Op::kBinary: {
      const BinaryOp& f = choose(kBinary, c.n[0]);
      bounded(size(broadcast_shapes(a.shape(), in(c, 1).shape(), f.name)));
      say(f.name, "(", A, ", ", B, ")");
      return f.both(a, in(c, 1));
    }
    case Op::kBinaryScalar: {
      const BinaryOp& f = choose(kBinary, c.n[0]);
      say(f.name, "(", A, ", ", quoted(scalar(c).to_double()), ")");
      return f.right(a, scalar(c));
    }
    case Op::kScalarBinary: {
      const BinaryOp& f = choose(kBinary, c.n[0]);
      say(f.name, "(", quoted(scalar(c).to_double()), ", ", A, ")");
      return f.left(scalar(c), a);
    }
    case Op::kWhere: {
      const Tensor &b = in(c, 1), &d = in(c, 2);
      const Shape s = broadcast_shapes(broadcast_shapes(a.shape(), b.shape(), ""), d.shape(), "");
      bounded(size(s));
      say("where(", A, ".to(boolean), ", B, ", ", C, ")");
      return where(a.to(DType::kBool), b, d);
    }
    case Op::kCast:
      say(A, ".to(", name(c.dtype), ")");
      return a.to(c.dtype);
    case Op::kFma: {
      const Tensor x = floating(a);
      const Tensor &b = in(c, 1), &d = in(c, 2);
      bounded(size(broadcast_shapes(broadcast_shapes(a.shape(), b.shape(), ""), d.shape(), "")));
      say("fma(", A, ", ", B, ", ", C, ")");
      return fma(x, b, d);
    }
    case Op::kClamp:
      say("clamp(", A, ", -1, ", quoted(c.x), ")");
      return clamp(a, -1, c.x);
    case Op::kLerp: {
      bounded(size(broadcast_shapes(a.shape(), in(c, 1).shape(), "")));
      say("lerp(", A, ", ", B, ", ", quoted(c.x), ")");
      return lerp(a, in(c, 1), c.x);
    }
    case Op::kDropout:
      say("dropout(", A, ", 0.4)");
      return dropout(a, 0.4);
    case Op::kClone:
      say(A, ".clone()");
      return a.clone();
    case Op::kReduce: {
      const ReduceOp& f = choose(kReduce, c.n[0]);
      const Shape dims = some_dims(a, c.n[1]);
      const bool keep = pick(c.n[2], 2) == 1;
      say(f.name, "(", A, ", ", dims.str(), ", ", keep, ")");
      return f.call(a, dims, keep);
    }
    case Op::kArg: {
      const int d = dim(a, c.n[1]);
      const bool keep = pick(c.n[2], 2) == 1, largest = pick(c.n[0], 2) == 0;
      say(largest ? "argmax(" : "argmin(", A, ", ", d, ", ", keep, ")");
      return largest ? argmax(a, d, keep) : argmin(a, d, keep);
    }
    case Op::kSoftmax: {
      const int d = pick(c.n[1], 3) ? a.dim() - 1 : dim(a, c.n[0]);
      say("softmax(", A, ", ", d, ")");
      return softmax(a, d);
    }
    case Op::kLogSoftmax: {
      const int d = pick(c.n[1], 3) ? a.dim() - 1 : dim(a, c.n[0]);
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
      if (affine > 0) w = take(in(c, 1).to(a.dtype()), s);
      if (affine > 1) b = take(in(c, 2).to(a.dtype()), s);
      say("layer_norm(", A, ", ", s.str(), affine > 0 ? ", first(" + B + ")" : "",
          affine > 1 ? ", first(" + C + ")" : "", ")");
      return layer_norm(a, s, w, b);
    }
    case Op::kCrossEntropy:
    case Op::kNll: {
      const Shape s{pick(c.n[0], 40), pick(c.n[1], 30) + 1};
      const Tensor x =
          a.dim() == 2 && a.size(1) > 0 && is_floating(a.dtype()) ? a : take(floating(a), s);
      const Tensor t =
          remainder(take(in(c, 1), {x.size(0)}).to(DType::kI64), x.size(1) + (p_.tame ? 0 : 1));
      const auto reduction = static_cast<Reduction>(pick(c.n[2], 3));
      const std::int64_t ignore = pick(c.n[3], 4);
      const double smooth = pick(c.n[4], 2) ? 0.1 : 0.0;
      say(c.op == Op::kNll ? "nll_loss" : "cross_entropy", "(", A, " as ", x.shape().str(),
          ", remainder(first(", B, ").to(i64), ", x.size(1) + (p_.tame ? 0 : 1), "), reduction ",
          static_cast<int>(reduction), ", ignore ", ignore, ", smoothing ", smooth, ")");
      return c.op == Op::kNll ? nll_loss(x, t, reduction, ignore)
                              : cross_entropy(x, t, reduction, ignore, smooth);
    }
    case Op::kMse: {
      const auto reduction = static_cast<Reduction>(pick(c.n[2], 3));
      bounded(size(broadcast_shapes(a.shape(), in(c, 1).shape(), "")));
      say("mse_loss(", A, ", ", B, ", reduction ", static_cast<int>(reduction), ")");
      return mse_loss(a, in(c, 1), reduction);
    }
    case Op::kCat: {
      std::vector<Tensor> all{a};
      const int d = dim(a, c.n[0]);
      for (int k = 1; k < 2 + static_cast<int>(pick(c.n[1], 2)); ++k) {
        Tensor t = in(c, k);
        if (t.dim() != a.dim()) t = a.slice(d, 0, 2);
        for (int i = 0; i < a.dim(); ++i)
          if (i != d && t.size(i) != a.size(i)) t = a.slice(d, 0, k);
        all.push_back(t);
      }
      say("cat({", A, ", …}, ", d, ") of ", all.size());
      return cat(all, d);
    }
    case Op::kStack: {
      if (a.dim() > 4) throw Skip{};
      const Tensor& b = in(c, 1);
      const int d = static_cast<int>(pick(c.n[0], a.dim() + 1));
      const bool same = b.shape() == a.shape();
      say("stack({", A, ", ", same ? B : A + " * 2", "}, ", d, ")");
      return stack({a, same ? b : a * 2}, d);
    }
    case Op::kPad: {
      Shape w;
      for (int i = 0; i < std::min<int>(a.dim(), 1 + static_cast<int>(pick(c.n[0], 2))); ++i) {
        w.push_back(pick(c.n[1 + i], 4));
        w.push_back(pick(c.n[3 + i], 3));
      }
      bounded(size(a.shape()) * 4);
      say("pad(", A, ", ", w.str(), ", ", quoted(scalar(c).to_double()), ")");
      return pad(a, w, scalar(c));
    }
    case Op::kOneHot: {
      const std::int64_t classes = pick(c.n[0], 9) + 1;
      if (a.dim() > 4) throw Skip{};
      bounded(size(a.shape()) * static_cast<double>(classes));
      say("one_hot(", A, ".to(i64), ", classes, ", ", name(c.dtype), ")");
      return one_hot(a.to(DType::kI64), classes, c.dtype);
    }
    default:
      throw Skip{};
  }
}

}  // namespace fuzz
