// tests/contract/fuzz_machine_memory.cpp -- leaves, views, contractions and writes of random
// programs
#include <cmath>
#include <cstring>
#include <limits>

#include "contract/fuzz_machine.h"

namespace fuzz {

void Machine::data(const Instr& c, const Shape& shape, std::vector<std::uint8_t>& bytes) const {
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
}

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
    case Op::kSelfCopy: {  // reads and writes overlap
      const int d = dim(a, c.n[0]);
      const std::int64_t n = a.size(d), by = pick(c.n[1], 3);
      if (by == 0 || n < 2) {
        say(A, ".copy_(", A, ".flip(", d, "))");
        a.copy_(a.flip(d));
        break;
      }
      const Tensor low = a.slice(d, 0, n - 1);
      Tensor high = a.slice(d, 1, n);
      say(by == 1 ? A + ".slice(%, 1, n).copy_(" + A + ".slice(%, 0, n - 1)"
                  : A + ".slice(%, 0, n - 1).add_(" + A + ".slice(%, 1, n)",
          ")  // % = ", d);
      if (by == 1) high.copy_(low);
      if (by == 2) Tensor(low).add_(high);
      break;
    }
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

}  // namespace fuzz
