// tests/fuzz/machine_leaf.cpp -- products, convolutions, pools and embeddings of random programs
#include "fuzz/machine.h"

namespace fuzz {
namespace {

Shape batch_of(const Tensor& t) {
  return Shape(std::span<const std::int64_t>(t.shape().data(),
                                             static_cast<std::size_t>(std::max(0, t.dim() - 2))));
}

}  // namespace

Tensor Machine::execute_contraction(const Instr& c) {
  std::string A = v(c.in[0]), B = v(c.in[1]), C = v(c.in[2]);
  const bool has_c = pick(c.n[4], 2) == 1;
  switch (c.op) {
    case Op::kMatmul: {
      Tensor a = floats(in(c, 0), A), b = as(in(c, 1), a.dtype(), B);
      if (a.dim() == 0 || b.dim() == 0) throw Skip{};
      const auto inner = [](const Tensor& t) { return t.dim() == 1 ? t.size(0) : t.size(-2); };
      if (a.size(-1) != inner(b) && b.dim() > 1) {
        b = b.transpose(-1, -2);
        B += ".transpose(-1, -2)";
      }
      if (a.size(-1) != inner(b) && a.dim() > 1) {
        a = a.transpose(-1, -2);
        A += ".transpose(-1, -2)";
      }
      if (a.size(-1) != inner(b)) {  // operands that fit are rare by chance
        const Shape s{a.size(-1), pick(c.n[0], 19) + 1};
        b = fit(b, s, c.n[3], B);
      }
      const double outer = size(broadcast_shapes(batch_of(a), batch_of(b), "matmul"));
      const auto rows = static_cast<double>(a.dim() == 1 ? 1 : a.size(-2)),
                 columns = static_cast<double>(b.dim() == 1 ? 1 : b.size(-1));
      bounded(outer * rows * columns);
      bounded(outer * rows * columns * static_cast<double>(a.size(-1)) / 20);
      say("matmul(", A, ", ", B, ")");
      return matmul(a, b);
    }
    case Op::kLinear: {
      const Tensor a = floats(in(c, 0), A);
      Tensor b = as(in(c, 1), a.dtype(), B);
      if (a.dim() == 0) throw Skip{};
      const std::int64_t k = a.size(-1), n = pick(c.n[0], 19) + 1;
      bounded(size(a.shape()) * static_cast<double>(n) / 20);
      const Tensor w = fit(b, {n, k}, c.n[3], B);
      Tensor bias;
      if (has_c) bias = fit(as(in(c, 2), a.dtype(), C), {n}, c.n[3] >> 8, C);
      say("linear(", A, ", ", B, has_c ? ", " + C + ")" : ")");
      return linear(a, w, bias);
    }
    case Op::kConv2d: {
      Tensor a = floats(in(c, 0), A), b = as(in(c, 1), a.dtype(), B);
      const std::int64_t groups = pick(c.n[0], 2) + 1, n = pick(c.n[0] >> 4, 3) + 1;
      const std::int64_t ch = groups * (pick(c.n[1], 2) + 1),
                         o = groups * (pick(c.n[1] >> 4, 3) + 1);
      const bool own = a.dim() == 4 && a.size(1) > 0 && a.size(2) > 2 && a.size(3) > 2;
      const std::int64_t h = pick(c.n[2], 5) + 3, w = pick(c.n[3], 7) + 3,
                         kh = pick(c.n[2] >> 8, 3) + 1, kw = pick(c.n[3] >> 8, 3) + 1;
      const Conv2dOptions opt{.stride_h = pick(c.n[4] >> 4, 2) + 1,
                              .stride_w = pick(c.n[4] >> 8, 2) + 1,
                              .padding_h = pick(c.n[4] >> 12, 2),
                              .padding_w = pick(c.n[4] >> 16, 2),
                              .dilation_h = pick(c.n[4] >> 20, 2) + 1,
                              .dilation_w = 1,
                              .groups = own ? 1 : groups};
      const Tensor x = own ? a : fit(a, {n, ch, h, w}, c.n[5], A);
      bounded(size(x.shape()) * static_cast<double>(o));
      const Tensor k = fit(b, {o, x.size(1) / opt.groups, kh, kw}, c.n[5] >> 8, B);
      Tensor bias;
      if (has_c) bias = fit(as(in(c, 2), a.dtype(), C), {o}, c.n[5] >> 16, C);
      say("conv2d(", A, ", ", B, ", ", has_c ? C : "{}", ", Conv2dOptions{", opt.stride_h, ", ",
          opt.stride_w, ", ", opt.padding_h, ", ", opt.padding_w, ", ", opt.dilation_h, ", 1, ",
          opt.groups, "})");
      return conv2d(x, k, bias, opt);
    }
    case Op::kMaxPool:
    case Op::kAvgPool: {
      const Tensor a = floats(in(c, 0), A);
      const Shape s{pick(c.n[0], 2) + 1, pick(c.n[1], 3) + 1, pick(c.n[2], 5) + 3,
                    pick(c.n[3], 7) + 3};
      Pool2dOptions o{.kernel_h = pick(c.n[4], 3) + 1,
                      .kernel_w = pick(c.n[4] >> 4, 3) + 1,
                      .stride_h = pick(c.n[4] >> 8, 3),
                      .stride_w = pick(c.n[4] >> 12, 3)};
      o.padding_h = pick(c.n[4] >> 16, o.kernel_h / 2 + 1);
      o.padding_w = pick(c.n[4] >> 20, o.kernel_w / 2 + 1);
      o.count_include_pad = pick(c.n[4] >> 24, 2) == 0;
      const bool own = a.dim() == 4 && a.size(2) > 2 && a.size(3) > 2;
      const Tensor x = own ? a : fit(a, s, c.n[5], A);
      say(c.op == Op::kMaxPool ? "max" : "avg", "_pool2d(", A, ", Pool2dOptions{", o.kernel_h, ", ",
          o.kernel_w, ", ", o.stride_h, ", ", o.stride_w, ", ", o.padding_h, ", ", o.padding_w,
          ", ", o.count_include_pad, "})");
      return c.op == Op::kMaxPool ? max_pool2d(x, o) : avg_pool2d(x, o);
    }
    default: {  // embedding
      const Tensor& a = in(c, 0);
      const std::int64_t rows = pick(c.n[0], 9) + 1, width = pick(c.n[1], 17) + 1;
      if (a.dim() > 4) throw Skip{};
      bounded(size(a.shape()) * static_cast<double>(width));
      const Tensor w = fit(floats(in(c, 1), B), {rows, width}, c.n[3], B);
      std::string index = A + ".to(DType::kI64)";
      Tensor i = a.to(DType::kI64);
      const bool matrix = pick(c.n[4], 2) == 1;
      if (matrix) i = fit(i, {pick(c.n[2], 5) + 1, pick(c.n[2] >> 8, 5) + 1}, 0, index);
      i = remainder(i, rows);
      index = "remainder(" + index + ", " + cpp(rows) + ")";
      if (matrix && pick(c.n[4], 4) == 1) {
        i = i.transpose(0, 1);
        index += ".transpose(0, 1)";
      }
      say("embedding(", index, ", ", B, ")");
      return embedding(i, w);
    }
  }
}

}  // namespace fuzz
