// tests/jit/stream_test.cpp -- maps whose stores bypass the caches: short runs, long runs in halves
#include <doctest/doctest.h>

#include "jit/ir/expr.h"
#include "jit/ir/math.h"
#include "tests/jit/run_kernel.h"

using namespace flash;
using namespace flash::test;

namespace {

/// out[0 … n-1] = f(x), streamed, from x + x_offset and to out + out_offset; the rest of out is -1.
template <class T>
std::vector<T> streamed(Target t, const UnaryF& f, const std::vector<T>& x, std::size_t n,
                        std::size_t x_offset, std::size_t out_offset) {
  constexpr std::size_t kRoom = 64 / sizeof(T);
  std::vector<T> room(n + 3 * kRoom, T(-1));
  // From an aligned place on, so that the offsets say how the stores lie.
  const auto at = reinterpret_cast<std::uintptr_t>(room.data());
  T* const aligned = room.data() + (64 - at % 64) % 64 / sizeof(T);
  Nest nest(ir::Form::kRow, {{ir::Role::kLoop, static_cast<std::int64_t>(n)}});
  const int from = nest.access(dtype_of<T>, x.data() + x_offset, {sizeof(T)});
  const int to = nest.access(dtype_of<T>, aligned + out_offset, {sizeof(T)});
  nest.b.begin_loop();
  nest.b.store(to, f(nest.b, nest.b.load(from, type_of<T>())));
  nest.args[ir::kArgFlags] = ir::kFlagStream;
  nest.run(t);
  return {aligned, aligned + n + 2 * kRoom};
}

template <class T>
void check(const UnaryF& f) {
  constexpr std::size_t kLong = emit::kHalvedRun;
  std::vector<T> x(kLong + 200);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = T(i % 4099) / 512 - 4;
  struct Case {
    std::size_t n, x_offset, out_offset;
  };
  const Case cases[] = {{1, 0, 1},          {1023, 0, 1},         {1024, 0, 0},
                        {1024, 1, 3},       {1087, 0, 5},         {kLong - 1, 0, 0},
                        {kLong, 0, 0},      {kLong, 3, 1},        {kLong + 1, 0, 0},
                        {kLong + 15, 1, 0}, {kLong + 16, 0, 7},   {kLong + 31, 0, 0},
                        {kLong + 47, 5, 0}, {kLong + 100, 16, 2}, {kLong + 133, 1, 1}};
  for (const Case& c : cases) {
    CAPTURE(c.n);
    CAPTURE(c.x_offset);
    CAPTURE(c.out_offset);
    const auto want = streamed<T>(Target::kInterpreter, f, x, c.n, c.x_offset, c.out_offset);
    REQUIRE(want[c.out_offset + c.n] == T(-1));
    for (const Target t : targets()) {
      if (t == Target::kInterpreter) continue;
      CAPTURE(name(t));
      CHECK(streamed<T>(t, f, x, c.n, c.x_offset, c.out_offset) == want);
    }
  }
}

}  // namespace

TEST_CASE("streamed maps have the interpreter's bits, in short runs and in halves of long ones") {
  check<float>([](ir::Builder& b, ir::Value x) {
    return (ir::Expr{&b, x} * 2.0 + 1.0).v;  // vectors in pairs
  });
  check<float>([](ir::Builder& b, ir::Value x) {
    for (int i = 0; i < 4; ++i) x = ir::erf(b, x);  // too long for pairs
    return x;
  });
  check<double>([](ir::Builder& b, ir::Value x) { return ir::exp(b, x); });
}
