// tests/fuzz/machine.cpp -- element-wise operations and joins of random programs
#include "fuzz/machine.h"

namespace fuzz {
namespace {

using Unary = Tensor (*)(const Tensor&);
struct UnaryOp {
  const char* name;
  Unary call;
};
Tensor leaky(const Tensor& x) { return leaky_relu(x, 0.125); }
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
    {"gelu", gelu},  // more often, as silu: the tape makes them again
    {"gelu", gelu},
    {"silu", silu},
    {"silu", silu},
    {"isnan", isnan},
    {"isinf", isinf},
    {"isfinite", isfinite},
    {"reciprocal", reciprocal},
    {"logical_not", logical_not},
    {"bitwise_not", bitwise_not},
    {"leaky_relu", leaky},
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

}  // namespace

std::string cpp(const Shape& s) {
  std::string text = "{";
  for (int d = 0; d < s.rank(); ++d) text += (d ? ", " : "") + std::to_string(s[d]);
  return text + "}";
}
std::string cpp(DType d) {
  constexpr const char* kNames[] = {"kBool", "kU8",  "kI8",   "kI16", "kI32",
                                    "kI64",  "kF16", "kBF16", "kF32", "kF64"};
  return std::string("DType::") + kNames[static_cast<int>(d)];
}
std::string cpp(double x) {
  if (std::isnan(x)) return "std::nan(\"\")";
  if (std::isinf(x)) return x > 0 ? "INFINITY" : "-INFINITY";
  std::ostringstream s;
  s.precision(17);
  s << x;
  std::string text = s.str();
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}
std::string cpp(Scalar x) {
  if (x.kind == Scalar::Kind::kBool) return x.i ? "true" : "false";
  return x.kind == Scalar::Kind::kInt ? std::to_string(x.i) : cpp(x.f);
}

void Machine::bounded(std::initializer_list<Shape> shapes) const {
  Shape all;
  for (const Shape& s : shapes) {
    for (int d = 1; d <= std::min(s.rank(), all.rank()); ++d)
      if (s[s.rank() - d] != all[all.rank() - d] && s[s.rank() - d] != 1 &&
          all[all.rank() - d] != 1)
        return;
    all = broadcast_shapes(all, s, "fuzz");
  }
  bounded(size(all));
}

Tensor Machine::execute(const Instr& c) {
  if (c.op == Op::kNop) throw Skip{};
  if (c.op <= Op::kRandint) return execute_leaf(c);
  if (c.op >= Op::kPermute && c.op <= Op::kDetach) return execute_view(c);
  if (c.op >= Op::kReduce && c.op <= Op::kMse) return execute_reduction(c);
  if (c.op >= Op::kMatmul && c.op <= Op::kEmbedding) return execute_contraction(c);
  if (c.op >= Op::kCat && c.op <= Op::kOneHot) return execute_join(c);
  if (c.op >= Op::kWritten && c.op <= Op::kInplaceScalar) return execute_inplace(c);
  if (c.op >= Op::kGrad && c.op <= Op::kBackward) return execute_gradient(c);
  if (c.op >= Op::kDrop) return execute_effect(c);
  const Tensor& a = in(c, 0);
  const std::string A = v(c.in[0]), B = v(c.in[1]), C = v(c.in[2]);
  switch (c.op) {
    case Op::kUnary: {
      const UnaryOp& f = choose(kUnary, c.n[0]);
      say(f.name, "(", A, f.call == leaky ? ", 0.125)" : ")");
      return f.call(a);
    }
    case Op::kBinary: {
      const BinaryOp& f = choose(kBinary, c.n[0]);
      say(f.name, "(", A, ", ", B, ")");
      bounded({a.shape(), in(c, 1).shape()});
      return f.both(a, in(c, 1));
    }
    case Op::kBinaryScalar: {
      const BinaryOp& f = choose(kBinary, c.n[0]);
      say(f.name, "(", A, ", ", scalar(c), ")");
      return f.right(a, scalar(c));
    }
    case Op::kScalarBinary: {
      const BinaryOp& f = choose(kBinary, c.n[0]);
      say(f.name, "(", scalar(c), ", ", A, ")");
      return f.left(scalar(c), a);
    }
    case Op::kWhere: {
      std::string condition = A;
      const Tensor test = as(a, DType::kBool, condition);
      if (pick(c.n[0], 6) == 0) {
        say("where(", condition, ", ", B, ", ", scalar(c), ")");
        bounded({a.shape(), in(c, 1).shape()});
        return where(test, in(c, 1), scalar(c));
      }
      const Tensor &b = in(c, 1), &d = in(c, 2);
      say("where(", condition, ", ", B, ", ", C, ")");
      bounded({a.shape(), b.shape(), d.shape()});
      return where(test, b, d);
    }
    case Op::kCast:
      say(A, ".to(", c.dtype, ")");
      return a.to(c.dtype);
    case Op::kFma: {
      std::string x = A, y = B, z = C;
      bounded({a.shape(), in(c, 1).shape(), in(c, 2).shape()});
      const Tensor t = floats(a, x), u = as(in(c, 1), t.dtype(), y), w = as(in(c, 2), t.dtype(), z);
      say("fma(", x, ", ", y, ", ", z, ")");
      return fma(t, u, w);
    }
    case Op::kClamp:
      say("clamp(", A, ", -1, ", c.x, ")");
      return clamp(a, -1, c.x);
    case Op::kLerp:
      say("lerp(", A, ", ", B, ", ", c.x, ")");
      bounded({a.shape(), in(c, 1).shape()});
      return lerp(a, in(c, 1), c.x);
    case Op::kDropout:
      say("dropout(", A, ", 0.4)");
      return dropout(a, 0.4);
    case Op::kClone:
      say(A, ".clone()");
      return a.clone();
    default:
      throw Skip{};
  }
}

Tensor Machine::execute_join(const Instr& c) {
  const Tensor& a = in(c, 0);
  const std::string A = v(c.in[0]);
  switch (c.op) {
    case Op::kCat: {
      std::vector<Tensor> all{a};
      const int d = dim(a, c.n[0]);
      std::string list = A;
      for (int k = 1; k < 2 + static_cast<int>(pick(c.n[1], 2)); ++k) {
        const Tensor& t = in(c, k);
        bool fits = t.dim() == a.dim();
        for (int i = 0; fits && i < a.dim(); ++i) fits = i == d || t.size(i) == a.size(i);
        all.push_back(fits ? t : a.slice(d, 0, k));
        list += ", " + (fits ? v(c.in[k]) : A + ".slice(" + cpp(d) + ", 0, " + cpp(k) + ")");
      }
      say("cat({", list, "}, ", d, ")");
      return cat(all, d);
    }
    case Op::kStack: {
      if (a.dim() > 4) throw Skip{};
      const Tensor& b = in(c, 1);
      const int d = static_cast<int>(pick(c.n[0], a.dim() + 1));
      const bool same = b.shape() == a.shape();
      say("stack({", A, ", ", same ? v(c.in[1]) : A + " * 2", "}, ", d, ")");
      return stack({a, same ? b : a * 2}, d);
    }
    case Op::kChunk: {
      const int d = dim(a, c.n[0]), pieces = 1 + static_cast<int>(pick(c.n[1], 4));
      const bool by_size = pick(c.n[3], 2) == 1;
      const std::int64_t length = 1 + pick(c.n[1], 7);
      const std::vector<Tensor> all = by_size ? split(a, length, d) : chunk(a, pieces, d);
      if (all.empty()) throw Skip{};
      const auto k = pick(c.n[2], static_cast<std::int64_t>(all.size()));
      if (by_size)
        say("split(", A, ", ", length, ", ", d, ")[", k, "]");
      else
        say("chunk(", A, ", ", pieces, ", ", d, ")[", k, "]");
      return all[static_cast<std::size_t>(k)];
    }
    case Op::kPad: {
      Shape w;
      for (int i = 0; i < std::min<int>(a.dim(), 1 + static_cast<int>(pick(c.n[0], 2))); ++i) {
        w.push_back(pick(c.n[1 + i], 4));
        w.push_back(pick(c.n[3 + i], 3));
      }
      bounded(size(a.shape()) * 4);
      say("pad(", A, ", ", w, ", ", scalar(c), ")");
      return pad(a, w, scalar(c));
    }
    default: {  // one_hot
      const std::int64_t classes = pick(c.n[0], 9) + 1;
      if (a.dim() > 4) throw Skip{};
      bounded(size(a.shape()) * static_cast<double>(classes));
      say("one_hot(", A, ".to(DType::kI64), ", classes, ", ", c.dtype, ")");
      return one_hot(a.to(DType::kI64), classes, c.dtype);
    }
  }
}

}  // namespace fuzz
