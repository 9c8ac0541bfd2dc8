// tests/fuzz/machine_write.cpp -- writes in place, gradients and flush points of random programs
#include "fuzz/machine.h"

namespace fuzz {

Tensor Machine::execute_inplace(const Instr& c) {
  if (c.op == Op::kWritten) {
    const Tensor& a = in(c, 0);
    const int d = a.dim() ? dim(a, c.n[0]) : 0, how = static_cast<int>(pick(c.n[1], 4));
    bounded(size(a.shape()) * 2);
    if (a.dim() > 0 && how == 3 && d != 0) throw Skip{};
    say("written(", v(c.in[0]), ", ", d, ", ", how, ")");
    return written(a, d, how);
  }
  Tensor& a = target(c);
  const std::string A = v(c.in[0]);
  static constexpr const char* kName[] = {"add_", "sub_", "mul_", "div_"};
  const auto which = pick(c.n[0], 4);
  const std::uint32_t before = a.version();
  switch (c.op) {
    case Op::kFill:
      say(A, ".fill_(", scalar(c), ")");
      a.fill_(scalar(c));
      break;
    case Op::kCopyInto:
      if (a.dim() > 1 && pick(c.n[1], 3) == 0) {  // fewer dimensions than it has, in any layout
        Shape fewer = a.shape();
        fewer.erase(0);
        std::string from = v(c.in[1]);
        const Tensor b = as(in(c, 1), a.dtype(), from), laid_out = fit(b, fewer, c.n[2], from);
        say(A, ".copy_(", from, ")");
        a.copy_(laid_out);
        break;
      }
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
      const std::string low_text = A + ".slice(" + cpp(d) + ", 0, " + cpp(n - 1) + ")",
                        high_text = A + ".slice(" + cpp(d) + ", 1, " + cpp(n) + ")";
      const Tensor low = a.slice(d, 0, n - 1);
      Tensor high = a.slice(d, 1, n);
      say(by == 1 ? high_text + ".copy_(" + low_text : low_text + ".add_(" + high_text, ")");
      if (by == 1) high.copy_(low);
      if (by == 2) Tensor(low).add_(high);
      break;
    }
    case Op::kInplace: {
      const Tensor b = in(c, 1);
      const bool scaled = which == 0 && pick(c.n[1], 3) == 0;
      say(A, ".", kName[which], "(", v(c.in[1]), scaled ? ", " + cpp(scalar(c)) : "", ")");
      if (which == 0) a.add_(b, scaled ? scalar(c) : Scalar(1));
      if (which == 1) a.sub_(b);
      if (which == 2) a.mul_(b);
      if (which == 3) a.div_(b);
      break;
    }
    default:
      say(A, ".", kName[which], "(Scalar(", scalar(c), "))");
      if (which == 0) a.add_(scalar(c));
      if (which == 1) a.sub_(scalar(c));
      if (which == 2) a.mul_(scalar(c));
      if (which == 3) a.div_(scalar(c));
  }
  if (a.version() == before) broken = "an in-place change left the version as it was";
  return {};
}

Tensor Machine::execute_gradient(const Instr& c) {
  Tensor& a = target(c);
  const std::string A = v(c.in[0]);
  if (!a.requires_grad() || !is_floating(a.dtype())) throw Skip{};
  if (c.op == Op::kBackward) {
    say("sum(", A, ").backward()");
    sum(a).backward();
    return {};
  }
  const Tensor& x = in(c, 1);
  if (!x.requires_grad()) throw Skip{};
  const bool create = pick(c.n[0], 2) == 0;
  const std::string wanted = "}, {" + v(c.in[1]) + "}, {",
                    flags = "}, true, " + cpp(create) + ", true)[0]";
  Tensor g;
  if (pick(c.n[1], 2) == 0 && a.numel() > 0) {  // any gradient in any layout
    std::string seed = v(c.in[2]) + ".detach()";
    const Tensor from = as(in(c, 2).detach(), a.dtype(), seed);
    const Tensor with = fit(from, a.shape(), c.n[2], seed);
    say("grad({", A, wanted, seed, flags);
    g = grad({a}, {x}, {with}, true, create, true)[0];
  } else {
    say("grad({sum(", A, " * ", A, ")", wanted, flags);
    g = grad({sum(a * a)}, {x}, {}, true, create, true)[0];
  }
  if (!g.defined()) throw Skip{};
  return g;
}

Tensor Machine::execute_effect(const Instr& c) {
  Tensor& a = target(c);
  const std::string A = v(c.in[0]);
  switch (c.op) {
    case Op::kDrop:
      say(A, " = Tensor()");
      a = Tensor();
      break;
    case Op::kEval:
      say("if (flush_points) ", A, ".eval()");
      if (o_.flush_points) a.eval();
      break;
    case Op::kRead:
      say("if (flush_points) digest(", A, ")");
      if (o_.flush_points) bytes_of(a);
      break;
    default:
      if (!a.is_contiguous()) throw Skip{};
      say("if (flush_points) ", A, ".raw_data()");
      if (o_.flush_points && o_.host) pins.push_back({c.in[0], a.raw_data()});
  }
  return {};
}

}  // namespace fuzz
