// tests/jit/normalise_test.cpp -- equal values become one, and rewritten programs give the same
// bits
#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/linalg.h"
#include "core/ops/reduce.h"
#include "core/stats.h"
#include "core/tensor_impl.h"
#include "core/thread_traces.h"
#include "jit/graph/graph.h"
#include "jit/graph/rules.h"

using namespace flash;
using jit::Graph;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// This thread's trace, without what died in the meantime.
Trace& recorded() {
  Trace& t = this_trace({});
  TraceLock lock(t);
  return t;
}

/// What is recorded on this thread, normalised; every tensor that lives is live.
struct Normalised {
  Normalised()
      : trace(recorded()),
        dying(trace.nodes.size(), 0),
        live(live_of(trace)),
        graph({trace, trace.nodes.size(), live, dying, FlushReason::kEval}, true) {}

  static std::vector<LiveOut> live_of(const Trace& t) {
    std::vector<LiveOut> out;
    for (std::size_t i = 0; i < t.nodes.size(); ++i)
      if (t.nodes[i].owner) out.push_back({static_cast<NodeId>(i), false, {}});
    return out;
  }
  NodeId of(const Tensor& t) const { return graph.canonical(t.impl()->cell->pending); }
  Prim op(const Tensor& t) const { return graph.node(of(t)).op; }
  bool same(const Tensor& a, const Tensor& b) const { return of(a) == of(b); }
  int reachable(Prim op) const {
    int n = 0;
    for (NodeId i = 0; i < graph.count; ++i) n += graph.reachable[i] && graph.node(i).op == op;
    return n;
  }

  Trace& trace;
  std::vector<char> dying;
  std::vector<LiveOut> live;
  Graph graph;
};

Tensor pending(std::initializer_list<Scalar> values, DType dtype) {
  Tensor t = tensor(values, dtype);
  t.eval();
  return t;
}

/// Bits of a tensor, all NaNs alike.
std::vector<std::uint64_t> bits(const Tensor& t) {
  std::vector<std::uint64_t> b;
  const auto add = [&](double v) {
    b.push_back(std::isnan(v) ? ~0ull : std::bit_cast<std::uint64_t>(v));
  };
  if (is_floating(t.dtype()))
    for (double v : t.to(f64).to_vector<double>()) add(v);
  else
    for (std::int64_t v : t.to(i64).to_vector<std::int64_t>())
      b.push_back(static_cast<std::uint64_t>(v));
  return b;
}

struct Program {
  const char* name;
  std::function<Tensor(const Tensor&, const Tensor&)> run;
  bool floats, integers, bools;
};

}  // namespace

TEST_CASE("rewritten programs give the same bits as unrewritten ones, -0, inf and NaN included") {
  const std::vector<Program> programs = {
      {"neg neg", [](auto& x, auto&) { return neg(neg(x)); }, true, true, false},
      {"abs abs", [](auto& x, auto&) { return abs(abs(x)); }, true, true, false},
      {"abs neg", [](auto& x, auto&) { return abs(neg(x)); }, true, true, false},
      {"neg abs neg", [](auto& x, auto&) { return neg(abs(neg(x))); }, true, true, false},
      {"trunc floor", [](auto& x, auto&) { return trunc(floor(x)); }, true, false, false},
      {"round ceil", [](auto& x, auto&) { return round(ceil(x)); }, true, false, false},
      {"a - -b", [](auto& x, auto& y) { return x - neg(y); }, true, true, false},
      {"a + -b", [](auto& x, auto& y) { return x + neg(y); }, true, true, false},
      {"-a + b", [](auto& x, auto& y) { return neg(x) + y; }, true, true, false},
      {"-a + -b", [](auto& x, auto& y) { return neg(x) + neg(y); }, true, true, false},
      {"max(x, x)", [](auto& x, auto&) { return maximum(x, x); }, true, true, true},
      {"min(x, x)", [](auto& x, auto&) { return minimum(x, x); }, true, true, true},
      {"max of equals", [](auto& x, auto& y) { return maximum(x, y) - maximum(y, x); }, true, true,
       false},
      {"where(c, x, x)", [](auto& x, auto& y) { return where(x < y, x, x); }, true, true, true},
      {"not eq", [](auto& x, auto& y) { return !(x == y); }, true, true, true},
      {"not ne", [](auto& x, auto& y) { return !(x != y); }, true, true, true},
      {"not lt", [](auto& x, auto& y) { return !(x < y); }, true, true, true},
      {"not le", [](auto& x, auto& y) { return !(x <= y); }, true, true, true},
      {"not not", [](auto& x, auto& y) { return !!(x < y); }, true, true, true},
      {"there and back f64", [](auto& x, auto&) { return x.to(f64).to(x.dtype()); }, true, true,
       true},
      {"there and back f32", [](auto& x, auto&) { return x.to(f32).to(x.dtype()); }, true, true,
       true},
      {"there and back f16", [](auto& x, auto&) { return x.to(f16).to(x.dtype()); }, true, true,
       true},
      {"there and back i64", [](auto& x, auto&) { return x.to(i64).to(x.dtype()); }, false, true,
       true},
      {"there and back i8", [](auto& x, auto&) { return x.to(i8).to(x.dtype()); }, false, true,
       true},
      {"through f64 to i32", [](auto& x, auto&) { return x.to(f64).to(i32); }, true, true, true},
      {"through f32 to bf16", [](auto& x, auto&) { return x.to(f32).to(bf16); }, true, true, true},
      {"through bool", [](auto& x, auto&) { return x.to(boolean).to(x.dtype()); }, true, true,
       true},
      {"truth to number to truth",
       [](auto& x, auto& y) { return (x < y).to(f16).to(boolean).to(i32); }, true, true, true},
      {"clone", [](auto& x, auto& y) { return (x * y).clone() + x.clone(); }, true, true, true},
      {"clone of a view", [](auto& x, auto& y) { return x.flip(0).clone().flip(0) * y; }, true,
       true, true},
      {"equal sums", [](auto& x, auto& y) { return (x + y) * (y + x); }, true, true, true},
      {"x x", [](auto& x, auto&) { return x * x + x; }, false, false, true},
  };
  for (DType d : {f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean}) {
    Tensor x, y;
    if (is_floating(d)) {
      x = pending({0.0, -0.0, 1.5, -2.5, kInf, -kInf, kNan, 1e-7, 3.0, -0.0, 65504, 0.1}, d);
      y = pending({-0.0, -0.0, 1.5, 2.5, -kInf, kInf, 1.0, kNan, 2.0, 0.0, -65504, 1e-7}, d);
    } else if (d == boolean) {
      x = pending({0, 1, 0, 1}, d);
      y = pending({0, 0, 1, 1}, d);
    } else {
      x = pending({0, 1, 127, 100, 3, 255, -128, -1, 77, 2}, i64).to(d);
      y = pending({0, -1, 127, 101, 3, 1, -128, 127, -77, 5}, i64).to(d);
      eval_all();
    }
    for (const Program& p : programs) {
      if (!(is_floating(d) ? p.floats : d == boolean ? p.bools : p.integers)) continue;
      CAPTURE(p.name);
      CAPTURE(name(d));
      use_evaluator("fuse");
      const auto fused = bits(p.run(x, y));
      use_evaluator("interpret");
      const auto plain = bits(p.run(x, y));
      use_evaluator("fuse");
      CHECK(fused == plain);
    }
  }
}

TEST_CASE("rules find the value that is there already") {
  const Tensor x = pending({1, 2, 3}, f32), y = pending({3, 2, 1}, f32);
  const Tensor s = x + y;
  {
    const Tensor a = neg(neg(s)), b = s.clone(), c = maximum(s, s), d = where(x < y, s, s),
                 e = s.to(f64).to(f32), f = s + neg(x), g = !(x == y), h = !(x < y);
    const Normalised n;
    CHECK(n.same(a, s));
    CHECK(n.same(b, s));
    CHECK(n.same(c, s));
    CHECK(n.same(d, s));
    CHECK(n.same(e, s));
    CHECK(n.op(f) == Prim::kSub);
    CHECK(n.op(g) == Prim::kNe);
    CHECK(n.op(h) == Prim::kNot);  // not exact with NaN
    CHECK(n.reachable(Prim::kNeg) == 0);
  }
  eval_all();
}

TEST_CASE("a value takes the place of another only if their dimensions are one") {
  const Tensor x = pending({1, 2, 3}, f32), c = (x.unsqueeze(1) < x);
  {
    const Tensor wide = where(c, x, x);  // [3, 3] from [3]
    const Normalised n;
    CHECK(n.op(wide) == Prim::kWhere);
  }
  CHECK(where(c, x, x).to_vector<float>() == std::vector<float>{1, 2, 3, 1, 2, 3, 1, 2, 3});
  // Two broadcasts to sizes that happen to be equal are not the same by demand of any operation.
  const Tensor one = pending({5}, f32), a = one.expand({4}), b = one.expand({4});
  {
    const Tensor ea = exp(a), eb = exp(b);
    const Normalised n;
    CHECK(!n.same(ea, eb));
  }
  {
    const Tensor ea = exp(a), eb = exp(b), both = a + b;
    const Normalised n;
    CHECK(n.same(ea, eb));  // here an addition demands it
  }
  eval_all();
}

TEST_CASE("equal operations are computed once") {
  const Tensor x = randn({2, 2}), y = randn({2, 2});
  eval_all();
  {
    const Tensor a = exp(x + y) * x.t().contiguous(), b = x.t().contiguous() * exp(y + x);
    const Tensor m = matmul(x, y), k = matmul(x, y), s = x.sum({0}), t = x.sum({0}), u = x.sum({1});
    const Normalised n;
    CHECK(n.same(a, b));
    CHECK(n.same(m, k));
    CHECK(n.same(s, t));
    CHECK(!n.same(s, u));
    CHECK(n.reachable(Prim::kExp) == 1);
    CHECK(n.reachable(Prim::kMatmul) == 1);
  }
  {
    // Scalars and random numbers are parameters: equal today, perhaps not in the next trace.
    const Tensor a = x * 2, b = x * 2, r = rand({2, 2}), q = rand({2, 2});
    const Normalised n;
    CHECK(!n.same(a, b));
    CHECK(!n.same(r, q));
  }
  eval_all();
}

TEST_CASE("a live duplicate has memory of its own") {
  const Tensor x = pending({1, 2, 3}, f32);
  Tensor a = exp(x), b = exp(x), c = exp(x);
  eval_all();
  CHECK(a.raw_data() != b.raw_data());
  CHECK(b.raw_data() != c.raw_data());
  a.fill_(0);
  CHECK(b.to_vector<float>() == c.to_vector<float>());
  CHECK(b.to_vector<float>()[0] == std::exp(1.0f));
  CHECK(a.to_vector<float>()[0] == 0);
  Tensor d = x.clone();
  d.add_(1);
  CHECK(x.to_vector<float>() == std::vector<float>{1, 2, 3});
  CHECK(d.to_vector<float>() == std::vector<float>{2, 3, 4});
}

TEST_CASE("a dead duplicate costs no memory: the first value is kept in the live one's place") {
  const Tensor x = pending({1, 2, 3}, f32);
  Tensor live, use;
  {
    const Tensor early = exp(x);
    live = exp(x);
    use = early.sum();
  }
  {
    const Normalised n;
    CHECK(n.reachable(Prim::kExp) == 1);
    CHECK(n.reachable(Prim::kCopy) == 0);
    REQUIRE(n.graph.carrier.size() == 2);
    CHECK(n.graph.carrier[0] < n.live[0].node);
  }
  CHECK(live.to_vector<float>()[0] == std::exp(1.0f));
}

TEST_CASE("writes into views keep their order when copies disappear") {
  Tensor x = pending({1, 2, 3, 4}, f32), y, before;
  {
    before = x.clone();
    y = x.clone();
    y.slice(0, 0, 2).fill_(9);
    x.mul_(2.0);
    y.slice(0, 1, 3).add_(before.slice(0, 1, 3));
  }
  CHECK(y.to_vector<float>() == std::vector<float>{9, 11, 6, 4});
  CHECK(x.to_vector<float>() == std::vector<float>{2, 4, 6, 8});
  CHECK(before.to_vector<float>() == std::vector<float>{1, 2, 3, 4});
}

TEST_CASE("normalising is linear: one scalar used 200,000 times") {
  Trace t{Device{}};
  const std::int64_t bits[] = {0};
  const NodeId s = t.append(Prim::kScalar, f32, {}, {}, bits);
  NodeId last = s;
  for (int i = 0; i < 100000; ++i) {
    const NodeId in[] = {last, s};
    const NodeId sum = t.append(Prim::kAdd, f32, {}, in, {});
    last = t.append(Prim::kNeg, f32, {}, {&sum, 1}, {});
  }
  std::vector<LiveOut> live{{last, false, {}}};
  const std::vector<char> dying(t.nodes.size(), 0);
  const auto start = std::chrono::steady_clock::now();
  const Graph g({t, t.nodes.size(), live, dying, FlushReason::kEval}, true);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  CHECK(g.carrier[0] == last);
  CHECK(took.count() < 5);  // a quadratic walk takes minutes
}

TEST_CASE("what a cast keeps is what the dtype's descriptor says") {
  for (int a = 0; a < kNumDTypes; ++a)
    for (int b = 0; b < kNumDTypes; ++b) {
      const auto from = static_cast<DType>(a), through = static_cast<DType>(b);
      if (!jit::holds(through, from)) continue;
      CAPTURE(name(from));
      CAPTURE(name(through));
      // Extremes and neighbours of powers of two are what a narrower type loses first.
      Tensor x;
      if (from == boolean) {
        x = pending({0, 1}, from);
      } else if (is_integral(from)) {
        std::vector<std::int64_t> v{0, 1, -1, INT64_MIN, INT64_MAX};
        for (int k = 1; k < 63; ++k)
          for (std::int64_t d : {-1, 0, 1}) v.push_back((std::int64_t{1} << k) + d);
        x = from_vector(v).to(from);
      } else {
        std::vector<double> v{0.0, -0.0, kInf, -kInf, kNan};
        for (int k = -1074; k < 1023; ++k)
          for (double d : {1.0, 1.0 + 0x1p-52, 1.0 - 0x1p-53, 1.0 + 0x1p-23, 1.0 + 0x1p-10})
            v.push_back(std::ldexp(d, k));
        x = from_vector(v).to(from);
      }
      use_evaluator("interpret");
      CHECK(bits(x.to(through).to(from)) == bits(x));
      use_evaluator("fuse");
    }
}
