// tests/contract/fuzz_program.cpp -- what the instructions of random programs do, and how they
// compare
#include "contract/fuzz_program.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <sstream>

namespace fuzz {

using namespace flash;

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
  Tensor (*call)(const Tensor&, const Shape&, bool);
};
Tensor variance(const Tensor& x, const Shape& d, bool k) { return var(x, d, k); }
Tensor deviation(const Tensor& x, const Shape& d, bool k) { return flash::std(x, d, k, 0); }
constexpr ReduceOp kReduce[] = {
    {"sum", sum},   {"sum", sum}, {"mean", mean}, {"prod", prod},    {"amax", amax},
    {"amin", amin}, {"any", any}, {"all", all},   {"var", variance}, {"std", deviation},
};

std::int64_t pick(std::int64_t raw, std::int64_t n) {
  return n <= 0 ? 0
                : static_cast<std::int64_t>(static_cast<std::uint64_t>(raw) %
                                            static_cast<std::uint64_t>(n));
}
template <class T, std::size_t N>
const T& choose(const T (&table)[N], std::int64_t raw) {
  return table[pick(raw, static_cast<std::int64_t>(N))];
}

std::vector<std::uint8_t> bytes_of(const Tensor& t);

/// Thrown by the machine itself: the instruction does not apply to its operands.
struct Skip {};

/// Elements, where an empty dimension counts as one: what a reduction over it may bring forth.
double size(const Shape& s) {
  double n = 1;
  for (const std::int64_t d : s) n *= static_cast<double>(std::max<std::int64_t>(d, 1));
  return n;
}

std::string quoted(double x) {
  std::ostringstream s;
  s.precision(17);
  s << x;
  return s.str();
}

class Machine {
 public:
  Machine(const Program& p, const RunOptions& o) : p_(p), o_(o) {
    manual_seed(p.seed);
    vars.resize(p.code.size());
  }

  /// Runs instruction `i`; returns what it threw. The line it would be in C++ is left in `line`.
  std::string step(int i) {
    line.clear();
    at_ = i;
    if (static_cast<std::size_t>(i) >= vars.size()) vars.resize(static_cast<std::size_t>(i) + 1);
    try {
      Tensor t = execute(p_.code[static_cast<std::size_t>(i)]);
      if (t.defined() && size(t.shape()) <= static_cast<double>(p_.most) * 2)
        vars[static_cast<std::size_t>(i)] = t;
      return "";
    } catch (const InternalError&) {
      throw;
    } catch (const Skip&) {
      return "skipped";
    } catch (const Error& e) {
      return e.what();
    }
  }

  std::vector<Tensor> vars;
  std::string line;
  struct Blob {
    int instr;
    std::shared_ptr<std::vector<std::uint8_t>> bytes;
    DType dtype;
    Shape shape;
  };
  std::vector<Blob> blobs;
  struct Pin {
    int instr;
    const void* data;
  };
  std::vector<Pin> pins;

 private:
  std::string v(int i) const { return "v" + std::to_string(i); }
  template <class... A>
  void say(const A&... a) {
    std::ostringstream s;
    (s << ... << a);
    line = s.str();
  }

  const Tensor& in(const Instr& c, int k) const {
    const int i = c.in[k];
    if (i < 0 || static_cast<std::size_t>(i) >= vars.size() ||
        !vars[static_cast<std::size_t>(i)].defined())
      throw Skip{};
    return vars[static_cast<std::size_t>(i)];
  }
  Tensor& target(const Instr& c) {
    in(c, 0);
    return vars[static_cast<std::size_t>(c.in[0])];
  }

  Shape leaf_shape(const Instr& c) const {
    Shape s;
    const auto rank = pick(c.n[0], 6);
    for (std::int64_t d = 0; d < rank; ++d) {
      const std::int64_t length = p_.sizes[o_.variant][pick(c.n[1 + d], 5)];
      s.push_back(length);
      if (size(s) > static_cast<double>(p_.most)) s[s.rank() - 1] = 1;
    }
    return s;
  }

  Scalar scalar(const Instr& c) const {
    double x = c.x;
    if (o_.variant && std::fabs(x) > 1.5 && std::fabs(x) < 1e6) x = x + 1.25;
    switch (pick(c.n[5], 4)) {
      case 0:
        return Scalar(static_cast<std::int64_t>(std::isfinite(x) && std::fabs(x) < 1e15 ? x : 3));
      case 1:
        return x > 0.5;
      default:
        return x;
    }
  }

  Tensor data(const Instr& c, const Shape& shape, std::vector<std::uint8_t>& bytes) {
    Random r(p_.seed * 977 + static_cast<std::uint64_t>(at_) * 31 +
             static_cast<std::uint64_t>(o_.variant));
    bytes.resize(static_cast<std::size_t>(shape.numel() * size_of(c.dtype)));
    const bool tame = p_.tame;
    const auto put = [&](std::int64_t i, auto v) {
      std::memcpy(bytes.data() + static_cast<std::size_t>(i) * sizeof v, &v, sizeof v);
    };
    constexpr double kInf = std::numeric_limits<double>::infinity();
    const double special[] = {std::nan(""), kInf, -kInf,   0.0,    -0.0, 1e-40, -1e-310,
                              6e-8,         1e38, 65520.0, -1e300, 1,    -1};
    for (std::int64_t i = 0; i < shape.numel(); ++i) {
      double x = c.n[6] % 3 == 0 ? std::floor(r.real() * 9) - 4 : (r.real() - 0.5) * 6;
      std::int64_t k = static_cast<std::int64_t>(r.below(15)) - 5;
      if (!tame && r.one_in(8)) {
        x = choose(special, r.below(1000));
        k = static_cast<std::int64_t>(r.next());
      }
      switch (c.dtype) {
        case DType::kBool:
          put(i, static_cast<std::uint8_t>(k & 1));
          break;
        case DType::kU8:
          put(i, static_cast<std::uint8_t>(k));
          break;
        case DType::kI8:
          put(i, static_cast<std::int8_t>(k));
          break;
        case DType::kI16:
          put(i, static_cast<std::int16_t>(k));
          break;
        case DType::kI32:
          put(i, static_cast<std::int32_t>(k));
          break;
        case DType::kI64:
          put(i, k);
          break;
        case DType::kF16:
          put(i, to_half(static_cast<float>(x)).bits);
          break;
        case DType::kBF16:
          put(i, to_bfloat16(static_cast<float>(x)).bits);
          break;
        case DType::kF32:
          put(i, static_cast<float>(x));
          break;
        case DType::kF64:
          put(i, x);
          break;
      }
    }
    return {};
  }

  Tensor leaf(Tensor t, const Instr& c) {
    if (p_.grads && is_floating(t.dtype()) && pick(c.n[6], 2) == 0) {
      t.set_requires_grad();
      line += "  // requires a gradient";
    }
    return t;
  }

  /// The first elements of `t` in another shape: operands for what wants exact shapes.
  Tensor take(const Tensor& t, const Shape& shape) {
    if (t.numel() < shape.numel()) throw Skip{};
    return t.reshape({-1}).slice(0, 0, shape.numel()).view(shape);
  }
  Tensor floating(const Tensor& t) { return is_floating(t.dtype()) ? t : t.to(DType::kF32); }

  int dim(const Tensor& t, std::int64_t raw) const {
    if (t.dim() == 0) throw Skip{};
    return static_cast<int>(pick(raw, t.dim()));
  }

  Shape some_dims(const Tensor& t, std::int64_t raw) const {
    Shape d;
    if (raw % 4 == 0) return d;
    for (int i = 0; i < t.dim(); ++i)
      if ((raw >> (3 + i)) & 1) d.push_back(i);
    return d;
  }

  void bounded(double elements) const {
    if (elements > static_cast<double>(p_.most) * 2) throw Skip{};
  }

  Tensor execute(const Instr& c);
  Tensor execute_view(const Instr& c);
  Tensor execute_leaf(const Instr& c);
  Tensor execute_contraction(const Instr& c);
  Tensor execute_inplace(const Instr& c);
  Tensor execute_effect(const Instr& c);

  const Program& p_;
  const RunOptions o_;
  int at_ = 0;
};

Tensor Machine::execute_leaf(const Instr& c) {
  const Shape shape = leaf_shape(c);
  const auto dt = name(c.dtype);
  switch (c.op) {
    case Op::kData: {
      say("from_host(data, ", shape.str(), ", ", dt, ")");
      std::vector<std::uint8_t> bytes;
      data(c, shape, bytes);
      return leaf(from_host(bytes.data(), shape, c.dtype), c);
    }
    case Op::kBlob: {
      say("from_blob(data, ", shape.str(), ", ", dt, ")");
      auto bytes = std::make_shared<std::vector<std::uint8_t>>();
      data(c, shape, *bytes);
      blobs.push_back({at_, bytes, c.dtype, shape});
      return from_blob(bytes->data(), shape, c.dtype, [bytes] {});
    }
    case Op::kFull:
      say("full(", shape.str(), ", ", quoted(scalar(c).to_double()), ", ", dt, ")");
      return leaf(full(shape, scalar(c), c.dtype), c);
    case Op::kArange: {
      const std::int64_t n = p_.sizes[o_.variant][pick(c.n[1], 5)];
      const std::int64_t start = pick(c.n[2], 7) - 3, step = pick(c.n[3], 3) + 1;
      say("arange(", start, ", ", start + n * step, ", ", step, ")");
      return arange(start, start + n * step, step);
    }
    case Op::kRand:
      say("rand(", shape.str(), ", ", dt, ")");
      return leaf(rand(shape, c.dtype), c);
    case Op::kRandn:
      say("randn(", shape.str(), ", ", dt, ")");
      return leaf(randn(shape, c.dtype), c);
    default:
      say("randint(-3, 12, ", shape.str(), ")");
      return randint(-3, 12, shape);
  }
}

Tensor Machine::execute_view(const Instr& c) {
  const Tensor& a = in(c, 0);
  const std::string name = v(c.in[0]);
  switch (c.op) {
    case Op::kPermute: {
      int order[kMaxRank];
      for (int i = 0; i < a.dim(); ++i) order[i] = i;
      for (int i = a.dim() - 1; i > 0; --i) std::swap(order[i], order[pick(c.n[i % 6], i + 1)]);
      std::string list;
      for (int i = 0; i < a.dim(); ++i) list += (i ? ", " : "") + std::to_string(order[i]);
      say(name, ".permute({", list, "})");
      return a.permute(std::span<const int>(order, static_cast<std::size_t>(a.dim())));
    }
    case Op::kTranspose: {
      const int i = dim(a, c.n[0]), j = dim(a, c.n[1]);
      say(name, ".transpose(", i, ", ", j, ")");
      return a.transpose(i, j);
    }
    case Op::kReshape: {
      Shape s = a.shape();
      if (a.dim() == 0 || pick(c.n[0], 4) == 0) {
        s = Shape{-1};
        if (a.numel() == 0) s = Shape{0};
      } else if (pick(c.n[0], 4) == 1 && a.dim() > 1) {  // two dimensions become one
        const int d = static_cast<int>(pick(c.n[1], a.dim() - 1));
        s[d] *= s[d + 1];
        s.erase(d + 1);
      } else {  // one becomes two
        const int d = dim(a, c.n[1]);
        std::int64_t f = 1;
        for (std::int64_t k : {2, 3, 5, 7, 11, 17})
          if (s[d] % k == 0 && s[d] > 0) f = k;
        if (s.rank() >= 6) throw Skip{};
        s[d] /= f;
        s.insert(d + static_cast<int>(pick(c.n[2], 2)), f);
      }
      say(name, ".reshape(", s.str(), ")");
      return a.reshape(s);
    }
    case Op::kSelect: {
      const int d = dim(a, c.n[0]);
      if (a.size(d) == 0) throw Skip{};
      const auto i = pick(c.n[1], a.size(d));
      say(name, ".select(", d, ", ", i, ")");
      return a.select(d, i);
    }
    case Op::kSlice: {
      const int d = dim(a, c.n[0]);
      const std::int64_t n = a.size(d), start = pick(c.n[1], n / 2 + 1),
                         step = pick(c.n[3], 5) < 3 ? 1 : pick(c.n[3], 3) + 1;
      const std::int64_t stop = pick(c.n[2], 4) == 0 ? INT64_MAX : n - pick(c.n[2], n / 3 + 1);
      say(name, ".slice(", d, ", ", start, ", ", stop, ", ", step, ")");
      return a.slice(d, start, stop, step);
    }
    case Op::kFlip: {
      const int d = dim(a, c.n[0]);
      say(name, ".flip(", d, ")");
      return a.flip(d);
    }
    case Op::kUnfold: {
      const int d = dim(a, c.n[0]);
      if (a.size(d) == 0 || a.dim() > 5) throw Skip{};
      const std::int64_t window = pick(c.n[1], std::min<std::int64_t>(a.size(d), 4)) + 1,
                         step = pick(c.n[2], 3) + 1;
      bounded(size(a.shape()) * static_cast<double>(window) / static_cast<double>(step));
      say(name, ".unfold(", d, ", ", window, ", ", step, ")");
      return a.unfold(d, window, step);
    }
    case Op::kSqueeze:
      say(name, ".squeeze()");
      return a.squeeze();
    case Op::kUnsqueeze: {
      if (a.dim() > 5) throw Skip{};
      const int d = static_cast<int>(pick(c.n[0], a.dim() + 1));
      say(name, ".unsqueeze(", d, ")");
      return a.unsqueeze(d);
    }
    case Op::kExpand: {
      Shape s = a.shape();
      bool grown = false;
      for (int d = 0; d < s.rank(); ++d)
        if (s[d] == 1 && !grown) {
          s[d] = p_.sizes[o_.variant][pick(c.n[0], 5)];
          grown = true;
        }
      if (!grown || pick(c.n[1], 3) == 0) {
        if (s.rank() > 4) throw Skip{};
        s.insert(0, p_.sizes[o_.variant][pick(c.n[2], 5)]);
      }
      bounded(size(s));
      say(name, ".expand(", s.str(), ")");
      return a.expand(s);
    }
    case Op::kAlias:
      say(name);
      return a;
    default:
      say(name, ".detach()");
      return a.detach();
  }
}

Tensor Machine::execute_contraction(const Instr& c) {
  const std::string A = v(c.in[0]), B = v(c.in[1]), C = v(c.in[2]);
  const bool has_c = pick(c.n[4], 2) == 1;
  switch (c.op) {
    case Op::kMatmul: {
      Tensor a = floating(in(c, 0)), b = floating(in(c, 1)).to(a.dtype());
      if (a.dim() == 0 || b.dim() == 0) throw Skip{};
      const auto inner = [](const Tensor& t) { return t.dim() == 1 ? t.size(0) : t.size(-2); };
      if (a.size(-1) != inner(b) && b.dim() > 1) b = b.transpose(-1, -2);
      if (a.size(-1) != inner(b) && a.dim() > 1) a = a.transpose(-1, -2);
      const auto batch = [](const Tensor& t) {
        return Shape(std::span<const std::int64_t>(
            t.shape().data(), static_cast<std::size_t>(std::max(0, t.dim() - 2))));
      };
      const double outer = size(broadcast_shapes(batch(a), batch(b), "matmul"));
      const auto rows = static_cast<double>(a.dim() == 1 ? 1 : a.size(-2)),
                 columns = static_cast<double>(b.dim() == 1 ? 1 : b.size(-1));
      bounded(outer * rows * columns);
      bounded(outer * rows * columns * static_cast<double>(a.size(-1)) / 20);
      say("matmul(", A, " ", a.shape().str(), ", ", B, " ", b.shape().str(), ")");
      return matmul(a, b);
    }
    case Op::kLinear: {
      const Tensor a = floating(in(c, 0)), b = floating(in(c, 1)).to(a.dtype());
      if (a.dim() == 0) throw Skip{};
      const std::int64_t k = a.size(-1), n = pick(c.n[0], 19) + 1;
      bounded(size(a.shape()) * static_cast<double>(n) / 20);
      const Tensor w = take(b, {n, k});
      const Tensor bias = has_c ? take(floating(in(c, 2)).to(a.dtype()), {n}) : Tensor();
      say("linear(", A, ", first(", B, ", [", n, ", ", k, "])",
          has_c ? ", first(" + C + "))" : ")");
      return linear(a, w, bias);
    }
    case Op::kConv2d: {
      const Tensor a = floating(in(c, 0)), b = floating(in(c, 1)).to(a.dtype());
      const std::int64_t groups = pick(c.n[0], 2) + 1, n = pick(c.n[0] >> 4, 3) + 1;
      const std::int64_t ch = groups * (pick(c.n[1], 2) + 1),
                         o = groups * (pick(c.n[1] >> 4, 3) + 1);
      const std::int64_t h = pick(c.n[2], 7) + 3, w = pick(c.n[3], 9) + 3,
                         kh = pick(c.n[2] >> 8, 3) + 1, kw = pick(c.n[3] >> 8, 3) + 1;
      const Conv2dOptions opt{.stride_h = pick(c.n[4] >> 4, 2) + 1,
                              .stride_w = pick(c.n[4] >> 8, 2) + 1,
                              .padding_h = pick(c.n[4] >> 12, 2),
                              .padding_w = pick(c.n[4] >> 16, 2),
                              .dilation_h = pick(c.n[4] >> 20, 2) + 1,
                              .dilation_w = 1,
                              .groups = groups};
      const Tensor x = take(a, {n, ch, h, w}), k = take(b, {o, ch / groups, kh, kw});
      const Tensor bias = has_c ? take(floating(in(c, 2)).to(a.dtype()), {o}) : Tensor();
      say("conv2d(first(", A, ", ", x.shape().str(), "), first(", B, ", ", k.shape().str(), ")",
          has_c ? ", first(" + C + ")" : ", {}", ", {", opt.stride_h, ", ", opt.stride_w, ", ",
          opt.padding_h, ", ", opt.padding_w, ", ", opt.dilation_h, ", 1, ", groups, "})");
      return conv2d(x, k, bias, opt);
    }
    case Op::kMaxPool:
    case Op::kAvgPool: {
      const Tensor a = floating(in(c, 0));
      const Shape s{pick(c.n[0], 2) + 1, pick(c.n[1], 3) + 1, pick(c.n[2], 7) + 3,
                    pick(c.n[3], 9) + 3};
      Pool2dOptions o{.kernel_h = pick(c.n[4], 3) + 1,
                      .kernel_w = pick(c.n[4] >> 4, 3) + 1,
                      .stride_h = pick(c.n[4] >> 8, 3),
                      .stride_w = pick(c.n[4] >> 12, 3)};
      o.padding_h = pick(c.n[4] >> 16, o.kernel_h / 2 + 1);
      o.padding_w = pick(c.n[4] >> 20, o.kernel_w / 2 + 1);
      o.count_include_pad = pick(c.n[4] >> 24, 2) == 0;
      say(c.op == Op::kMaxPool ? "max" : "avg", "_pool2d(first(", A, ", ", s.str(), "), {",
          o.kernel_h, ", ", o.kernel_w, ", ", o.stride_h, ", ", o.stride_w, ", ", o.padding_h, ", ",
          o.padding_w, ", ", o.count_include_pad, "})");
      const Tensor x = take(a, s);
      return c.op == Op::kMaxPool ? max_pool2d(x, o) : avg_pool2d(x, o);
    }
    default: {  // embedding
      const Tensor& a = in(c, 0);
      const std::int64_t rows = pick(c.n[0], 9) + 1, width = pick(c.n[1], 17) + 1;
      if (a.dim() > 4) throw Skip{};
      bounded(size(a.shape()) * static_cast<double>(width));
      const Tensor w = take(floating(in(c, 1)), {rows, width});
      say("embedding(remainder(", A, ".to(i64), ", rows, "), first(", B, ", ", w.shape().str(),
          "))");
      return embedding(remainder(a.to(DType::kI64), rows), w);
    }
  }
}

Tensor Machine::execute_inplace(const Instr& c) {
  Tensor& a = target(c);
  const std::string A = v(c.in[0]);
  static constexpr const char* kName[] = {"add_", "sub_", "mul_", "div_"};
  const auto which = pick(c.n[0], 4);
  switch (c.op) {
    case Op::kFill:
      say(A, ".fill_(", quoted(scalar(c).to_double()), ")");
      a.fill_(scalar(c));
      break;
    case Op::kCopyInto:
      say(A, ".copy_(", v(c.in[1]), ")");
      a.copy_(in(c, 1));
      break;
    case Op::kInplace: {
      const Tensor b = in(c, 1);
      say(A, ".", kName[which], "(", v(c.in[1]), ")");
      if (which == 0) a.add_(b, pick(c.n[1], 3) == 0 ? scalar(c) : Scalar(1));
      if (which == 1) a.sub_(b);
      if (which == 2) a.mul_(b);
      if (which == 3) a.div_(b);
      break;
    }
    default:
      say(A, ".", kName[which], "(", quoted(scalar(c).to_double()), ")");
      if (which == 0) a.add_(scalar(c));
      if (which == 1) a.sub_(scalar(c));
      if (which == 2) a.mul_(scalar(c));
      if (which == 3) a.div_(scalar(c));
  }
  return {};
}

Tensor Machine::execute_effect(const Instr& c) {
  Tensor& a = target(c);
  const std::string A = v(c.in[0]);
  switch (c.op) {
    case Op::kDrop:
      say(A, " = {}");
      a = Tensor();
      break;
    case Op::kEval:
      say(A, ".eval()");
      if (o_.flush_points) a.eval();
      break;
    case Op::kRead:
      say(A, ".to_vector()");
      if (o_.flush_points) bytes_of(a);
      break;
    case Op::kPin:
      say(A, ".raw_data()");
      if (o_.flush_points && a.is_contiguous()) pins.push_back({c.in[0], a.raw_data()});
      break;
    default:
      if (!a.requires_grad() || !is_floating(a.dtype())) throw Skip{};
      say("sum(", A, ").backward()");
      sum(a).backward();
  }
  return {};
}

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

std::vector<std::uint8_t> bytes_of(const Tensor& t) {
  const auto copy = [&]<class T>(T) {
    std::vector<std::uint8_t> b(static_cast<std::size_t>(t.numel()) * sizeof(T));
    const std::vector<T> v = t.to_vector<T>();
    if (!b.empty()) std::memcpy(b.data(), v.data(), b.size());
    return b;
  };
  switch (t.dtype()) {
    case DType::kBool: {
      std::vector<std::uint8_t> b;
      for (const bool x : t.to_vector<bool>()) b.push_back(x);
      return b;
    }
    case DType::kU8:
      return copy(std::uint8_t{});
    case DType::kI8:
      return copy(std::int8_t{});
    case DType::kI16:
      return copy(std::int16_t{});
    case DType::kI32:
      return copy(std::int32_t{});
    case DType::kI64:
      return copy(std::int64_t{});
    case DType::kF16:
      return copy(Half{});
    case DType::kBF16:
      return copy(BFloat16{});
    case DType::kF32:
      return copy(float{});
    case DType::kF64:
      return copy(double{});
  }
  return {};
}

/// Bits of an element as text, and whether it is a NaN.
struct Element {
  std::uint64_t bits = 0;
  bool nan = false;
  double value = 0;
};
Element element(const Outcome& o, std::int64_t i) {
  Element e;
  const auto size = static_cast<std::size_t>(size_of(o.dtype));
  std::memcpy(&e.bits, o.bytes.data() + static_cast<std::size_t>(i) * size, size);
  const auto narrow = [&](auto t) {
    std::memcpy(static_cast<void*>(&t), &e.bits, sizeof t);
    return t;
  };
  switch (o.dtype) {
    case DType::kF16:
      e.value = to_float(narrow(Half{}));
      break;
    case DType::kBF16:
      e.value = to_float(narrow(BFloat16{}));
      break;
    case DType::kF32:
      e.value = narrow(float{});
      break;
    case DType::kF64:
      e.value = narrow(double{});
      break;
    case DType::kI8:
      e.value = narrow(std::int8_t{});
      break;
    case DType::kI16:
      e.value = narrow(std::int16_t{});
      break;
    case DType::kI32:
      e.value = narrow(std::int32_t{});
      break;
    default:
      e.value = static_cast<double>(e.bits);
  }
  e.nan = std::isnan(e.value);
  return e;
}

Outcome value_of(int instr, const char* what, const Tensor& t) {
  return {instr, what, t.dtype(), t.shape(), bytes_of(t)};
}

}  // namespace

std::vector<Outcome> run(const Program& p, const RunOptions& o) {
  eval_all();
  std::vector<Outcome> out;
  Machine m(p, o);
  for (int i = 0; i < static_cast<int>(p.code.size()); ++i)
    if (const std::string error = m.step(i); !error.empty())
      out.push_back({i, error, DType::kF32, {}, {}});
  for (int i = 0; i < static_cast<int>(p.code.size()); ++i) {
    const Tensor& t = m.vars[static_cast<std::size_t>(i)];
    if (!t.defined()) continue;
    out.push_back(value_of(i, "value", t));
    if (t.requires_grad() && t.is_leaf() && t.grad().defined())
      out.push_back(value_of(i, "grad", t.grad()));
  }
  eval_all();
  for (const Machine::Blob& b : m.blobs)
    if (m.vars[static_cast<std::size_t>(b.instr)].defined())
      out.push_back({b.instr, "blob", b.dtype, b.shape, *b.bytes});
  for (const Machine::Pin& pin : m.pins) {
    const Tensor& t = m.vars[static_cast<std::size_t>(pin.instr)];
    if (!t.defined()) continue;
    const std::vector<std::uint8_t> b = bytes_of(t);
    if (!b.empty() && std::memcmp(b.data(), pin.data, b.size()) != 0)
      out.push_back({pin.instr,
                     "a write did not land in the memory that raw_data() gave out",
                     t.dtype(),
                     {},
                     {}});
  }
  return out;
}

std::string to_text(const Program& p, int variant) {
  std::string text =
      "// seed " + std::to_string(p.seed) + ", variant " + std::to_string(variant) + "\n";
  Machine m(p, {.variant = variant, .flush_points = false});
  for (int i = 0; i < static_cast<int>(p.code.size()); ++i) {
    if (p.code[static_cast<std::size_t>(i)].op == Op::kNop) continue;
    const std::string error = m.step(i);
    if (error == "skipped") continue;
    const Tensor& t = m.vars[static_cast<std::size_t>(i)];
    text += (t.defined() ? "auto v" + std::to_string(i) + " = " : "") + m.line + ";";
    if (t.defined())
      text += "  // " + std::string(name(t.dtype())) + " " + t.shape().str() +
              (t.is_contiguous() ? "" : " strides " + t.strides().str());
    if (!error.empty()) text += "  // throws: " + error;
    text += "\n";
  }
  m.vars.clear();
  eval_all();
  return text;
}

std::string difference(const std::vector<Outcome>& a, const std::vector<Outcome>& b) {
  for (std::size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    if (i >= a.size() || i >= b.size() || a[i].instr != b[i].instr || a[i].what != b[i].what) {
      const auto show = [&](const std::vector<Outcome>& o) {
        return i < o.size() ? "v" + std::to_string(o[i].instr) + ": " + o[i].what
                            : std::string("nothing");
      };
      return "one run has '" + show(a) + "', the other '" + show(b) + "'";
    }
    const Outcome &x = a[i], &y = b[i];
    const std::string name_of = x.what + " v" + std::to_string(x.instr) + " ";
    if (x.dtype != y.dtype || !(x.shape == y.shape) || x.bytes.size() != y.bytes.size())
      return name_of + "has another dtype or shape: " + x.shape.str() + " and " + y.shape.str();
    if (x.bytes == y.bytes) continue;
    for (std::int64_t k = 0; k < x.shape.numel(); ++k) {
      const Element e = element(x, k), f = element(y, k);
      if (e.bits == f.bits || (e.nan && f.nan)) continue;
      std::ostringstream s;
      s.precision(17);
      s << name_of << name(x.dtype) << " " << x.shape.str() << " differs at " << k << ": "
        << e.value << " (0x" << std::hex << e.bits << ") and " << f.value << " (0x" << f.bits
        << ")";
      return s.str();
    }
  }
  return "";
}

// -- generation
// ---------------------------------------------------------------------------------------

namespace {

/// How often each operation is drawn.
struct Weight {
  Op op;
  int weight;
};
constexpr Weight kWeights[] = {
    {Op::kData, 5},          {Op::kBlob, 1},         {Op::kFull, 1},         {Op::kArange, 1},
    {Op::kRand, 1},          {Op::kRandn, 1},        {Op::kRandint, 1},      {Op::kUnary, 12},
    {Op::kBinary, 16},       {Op::kBinaryScalar, 6}, {Op::kScalarBinary, 2}, {Op::kWhere, 3},
    {Op::kCast, 4},          {Op::kFma, 1},          {Op::kClamp, 1},        {Op::kLerp, 1},
    {Op::kDropout, 1},       {Op::kPermute, 3},      {Op::kTranspose, 3},    {Op::kReshape, 5},
    {Op::kSelect, 2},        {Op::kSlice, 5},        {Op::kFlip, 3},         {Op::kUnfold, 2},
    {Op::kSqueeze, 1},       {Op::kUnsqueeze, 2},    {Op::kExpand, 3},       {Op::kAlias, 1},
    {Op::kDetach, 1},        {Op::kClone, 1},        {Op::kReduce, 10},      {Op::kArg, 2},
    {Op::kSoftmax, 2},       {Op::kLogSoftmax, 2},   {Op::kLogSumExp, 1},    {Op::kLayerNorm, 2},
    {Op::kCrossEntropy, 2},  {Op::kNll, 1},          {Op::kMse, 1},          {Op::kMatmul, 3},
    {Op::kLinear, 2},        {Op::kConv2d, 2},       {Op::kMaxPool, 1},      {Op::kAvgPool, 1},
    {Op::kEmbedding, 2},     {Op::kCat, 2},          {Op::kStack, 1},        {Op::kPad, 1},
    {Op::kOneHot, 1},        {Op::kFill, 1},         {Op::kCopyInto, 3},     {Op::kInplace, 4},
    {Op::kInplaceScalar, 3}, {Op::kDrop, 8},         {Op::kEval, 2},         {Op::kRead, 1},
    {Op::kPin, 1},           {Op::kBackward, 2},
};

DType draw_dtype(Random& r) {
  if (r.one_in(2)) return DType::kF32;
  return static_cast<DType>(r.below(kNumDTypes));
}

}  // namespace

Program generate(std::uint64_t seed) {
  Random r(seed ^ 0xF1A5);
  Program p;
  p.seed = seed;
  p.tame = !r.one_in(4);
  p.grads = r.one_in(3);
  const bool large = r.one_in(16);
  p.most = large ? 200000 : 6000;
  constexpr std::int64_t kSmall[] = {1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 31, 33};
  constexpr std::int64_t kMiddle[] = {40, 63, 64, 65, 70, 127, 128, 129, 257};
  constexpr std::int64_t kLarge[] = {1023, 1031, 4096, 4097, 5003};
  constexpr std::int64_t kHuge[] = {8192, 16385, 40009, 70001};
  for (int k = 1; k < 5; ++k)
    for (auto& sizes : p.sizes) {
      sizes[k] = choose(kSmall, r.below(1000));
      if (k == 2 || r.one_in(5)) sizes[k] = choose(kMiddle, r.below(1000));
      if (k == 3 && r.one_in(2)) sizes[k] = choose(kLarge, r.below(1000));
      if (k == 4 && r.one_in(12)) sizes[k] = 0;
      if (k == 3 && large) sizes[k] = choose(kHuge, r.below(1000));
    }
  // Sizes of one are part of a plan's key: only where both variants agree can plans be replayed.
  for (int k = 0; k < 5; ++k)
    if (k == 0 || (p.sizes[0][k] == 1) != (p.sizes[1][k] == 1))
      p.sizes[0][k] = p.sizes[1][k] = k == 0 ? 1 : 6;

  int total = 0;
  for (const Weight& w : kWeights) total += w.weight;
  const std::size_t length = static_cast<std::size_t>(large ? 6 + r.below(10) : 6 + r.below(40));
  Machine m(p, {.variant = 0, .flush_points = false});
  std::vector<int> alive;
  for (int tries = 0; p.code.size() < length && tries < 400; ++tries) {
    Instr c;
    auto w = static_cast<int>(r.below(total));
    for (const Weight& x : kWeights) {
      c.op = x.op;
      if ((w -= x.weight) < 0) break;
    }
    if (alive.size() < 2) c.op = Op::kData;
    const int at = static_cast<int>(p.code.size());
    for (int& in : c.in) {
      if (alive.empty()) break;
      const auto n = static_cast<std::int64_t>(alive.size());
      const auto back = r.one_in(2) ? r.below(std::min<std::int64_t>(n, 4)) : r.below(n);
      in = alive[static_cast<std::size_t>(n - 1 - back)];
    }
    // Operands that fit each other are rare by chance: look for one.
    if (!alive.empty() && c.in[1] >= 0) {
      const Shape want = m.vars[static_cast<std::size_t>(c.in[0])].shape();
      for (int& in : {std::ref(c.in[1]), std::ref(c.in[2])})
        for (int k = 0; k < 6; ++k) {
          const Tensor& t = m.vars[static_cast<std::size_t>(in)];
          bool fits = true;
          for (int d = 1; d <= std::min(t.dim(), want.rank()); ++d) {
            const std::int64_t x = t.size(-d), y = want[want.rank() - d];
            fits = fits && (x == y || x == 1 || y == 1);
          }
          if (fits) break;
          in = alive[static_cast<std::size_t>(r.below(static_cast<std::int64_t>(alive.size())))];
        }
    }
    c.dtype = draw_dtype(r);
    for (std::int64_t& n : c.n) n = static_cast<std::int64_t>(r.next() >> 8);
    constexpr double kScalars[] = {0, 1, -1, 2, 3, 0.5, -0.5, 2.5, -3.25, 0.1, 7, 100};
    c.x = choose(kScalars, r.below(1000));
    if (!p.tame && r.one_in(8))
      c.x = r.one_in(2) ? std::nan("") : -std::numeric_limits<double>::infinity();
    p.code.push_back(c);
    const std::string error = m.step(at);
    if (!error.empty() && !(error != "skipped" && r.one_in(6))) {
      p.code.pop_back();
      m.vars.resize(p.code.size());
      continue;
    }
    if (m.vars[static_cast<std::size_t>(at)].defined()) alive.push_back(at);
    if (c.op == Op::kDrop) std::erase(alive, c.in[0]);
  }
  // Gradients of what came last, twice, so that they add up.
  for (int k = 0; p.grads && k < 2; ++k)
    for (std::size_t i = alive.size(); i-- > 0;) {
      const Tensor& t = m.vars[static_cast<std::size_t>(alive[i])];
      if (!t.defined() || !is_floating(t.dtype()) || !t.requires_grad() || (k && i % 2)) continue;
      p.code.push_back({.op = Op::kBackward, .in = {alive[i], -1, -1}});
      break;
    }
  m.vars.clear();
  eval_all();
  return p;
}

}  // namespace fuzz
