// tests/jit/interpreter_ops_test.cpp -- what each op, load and store means, on every emitter
#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <numeric>

#include "run_kernel.h"
#include "ulp.h"

using namespace flash;
using namespace flash::test;
using ir::Form;
using ir::Op;
using ir::Role;
using ir::Type;
using ir::Value;
using std::int32_t;
using std::int64_t;

namespace {

// All pairs of `v`, and every third element as a third operand.
template <class T>
struct Pairs {
  std::vector<T> a, b;
  explicit Pairs(const std::vector<T>& v) {
    for (const T x : v)
      for (const T y : v) {
        a.push_back(x);
        b.push_back(y);
      }
  }
};

template <class T>
std::vector<T> int_values() {
  using L = std::numeric_limits<T>;
  std::vector<T> v = {0,  1,  -1, 2,  -2, 3,   7,    -7,      31,
                      32, 33, 63, 64, 65, 255, -128, 1000003, -65536};
  for (const T x : {L::min(), L::max(), static_cast<T>(L::min() + 1), static_cast<T>(L::max() / 3)})
    v.push_back(x);
  return v;
}

template <class T>
using Binary = std::function<T(T, T)>;

template <class To, class T>
void check_binary(const char* what, Op op, const std::vector<T>& values,
                  const std::function<To(T, T)>& want) {
  const Pairs<T> in(values);
  for (const Target t : targets()) {
    const BinaryF write = [op](ir::Builder& b, Value x, Value y) {
      if (op < Op::kEq || op > Op::kLe) return b.binary(op, x, y);
      return b.cast(b.compare(op, x, y), Type::kI32);
    };
    const std::vector<To> got = map<To, T>(t, write, in.a, in.b);
    for (std::size_t i = 0; i < got.size(); ++i) {
      CAPTURE(what);
      CAPTURE(name(t));
      CAPTURE(in.a[i]);
      CAPTURE(in.b[i]);
      CAPTURE(got[i]);
      REQUIRE(same(got[i], want(in.a[i], in.b[i])));
    }
  }
}

template <class To, class From>
void check_unary(const char* what, const UnaryF& write, const std::vector<From>& in,
                 const std::function<To(From)>& want) {
  for (const Target t : targets()) {
    const std::vector<To> got = map<To, From>(t, write, in);
    for (std::size_t i = 0; i < got.size(); ++i) {
      CAPTURE(what);
      CAPTURE(name(t));
      CAPTURE(in[i]);
      CAPTURE(got[i]);
      REQUIRE(same(got[i], want(in[i])));
    }
  }
}

UnaryF op(Op o) {
  return [o](ir::Builder& b, Value x) { return b.unary(o, x); };
}

template <class T>
void check_int_ops() {
  using U = std::make_unsigned_t<T>;
  constexpr int kBits = sizeof(T) * 8;
  const std::vector<T> v = int_values<T>();
  const auto wide = [](T x) { return static_cast<__int128>(x); };
  const auto wrap = [](__int128 x) { return static_cast<T>(static_cast<U>(x)); };
  check_binary<T, T>("add", Op::kAdd, v, [&](T a, T b) { return wrap(wide(a) + b); });
  check_binary<T, T>("sub", Op::kSub, v, [&](T a, T b) { return wrap(wide(a) - b); });
  check_binary<T, T>("mul", Op::kMul, v, [&](T a, T b) { return wrap(wide(a) * b); });
  check_binary<T, T>("div", Op::kDiv, v,
                     [&](T a, T b) { return b == 0 ? T{0} : wrap(wide(a) / b); });
  check_binary<T, T>("rem", Op::kRem, v, [&](T a, T b) { return b == 0 ? a : wrap(wide(a) % b); });
  check_binary<T, T>("max", Op::kMax, v, [](T a, T b) { return a > b ? a : b; });
  check_binary<T, T>("min", Op::kMin, v, [](T a, T b) { return a < b ? a : b; });
  check_binary<T, T>("and", Op::kAnd, v, [](T a, T b) { return static_cast<T>(a & b); });
  check_binary<T, T>("or", Op::kOr, v, [](T a, T b) { return static_cast<T>(a | b); });
  check_binary<T, T>("xor", Op::kXor, v, [](T a, T b) { return static_cast<T>(a ^ b); });
  const auto count = [](T b) { return static_cast<int>(static_cast<U>(b) % kBits); };
  check_binary<T, T>("shl", Op::kShl, v,
                     [&](T a, T b) { return wrap(wide(a) * (__int128{1} << count(b))); });
  check_binary<T, T>("shr_l", Op::kShrL, v,
                     [&](T a, T b) { return static_cast<T>(static_cast<U>(a) >> count(b)); });
  check_binary<T, T>("shr_a", Op::kShrA, v, [&](T a, T b) {
    const __int128 power = __int128{1} << count(b);
    return static_cast<T>((wide(a) - ((wide(a) % power + power) % power)) / power);
  });
  check_unary<T, T>("neg", op(Op::kNeg), v, [&](T a) { return wrap(-wide(a)); });
  check_unary<T, T>("abs", op(Op::kAbs), v, [&](T a) { return wrap(a < 0 ? -wide(a) : wide(a)); });
  check_unary<T, T>("not", op(Op::kNot), v, [&](T a) { return wrap(-wide(a) - 1); });
}

template <class T>
void check_compares(const std::vector<T>& v) {
  check_binary<int32_t, T>("eq", Op::kEq, v, [](T a, T b) { return a == b; });
  check_binary<int32_t, T>("ne", Op::kNe, v, [](T a, T b) { return a != b; });
  check_binary<int32_t, T>("lt", Op::kLt, v, [](T a, T b) { return a < b; });
  check_binary<int32_t, T>("le", Op::kLe, v, [](T a, T b) { return a <= b; });
  check_unary<int32_t, T>(
      "to_pred", [](ir::Builder& b, Value x) { return b.cast(b.to_pred(x), Type::kI32); }, v,
      [](T a) { return a != 0; });
}

// f32 results through f64: one rounding to 53 bits before the one to 24 changes nothing for
// + - * / and sqrt (2 * 24 + 2 <= 53). f64 through itself: the tests' own compiler is the
// reference.
template <class T>
void check_float_ops() {
  const std::vector<T> v = special_values<T>();
  const auto via = [](double x) { return static_cast<T>(x); };
  check_binary<T, T>("add", Op::kAdd, v, [&](T a, T b) { return via(double{a} + double{b}); });
  check_binary<T, T>("sub", Op::kSub, v, [&](T a, T b) { return via(double{a} - double{b}); });
  check_binary<T, T>("mul", Op::kMul, v, [&](T a, T b) { return via(double{a} * double{b}); });
  check_binary<T, T>("div", Op::kDiv, v, [&](T a, T b) { return via(double{a} / double{b}); });
  check_binary<T, T>("max", Op::kMax, v, [](T a, T b) {
    return std::isnan(a) ? a : std::isnan(b) ? b : a > b ? a : b;
  });
  check_binary<T, T>("min", Op::kMin, v, [](T a, T b) {
    return std::isnan(a) ? a : std::isnan(b) ? b : a < b ? a : b;
  });
  check_unary<T, T>("neg", op(Op::kNeg), v,
                    [](T a) { return std::copysign(a, std::signbit(a) ? T{1} : T{-1}); });
  check_unary<T, T>("abs", op(Op::kAbs), v, [](T a) { return std::copysign(a, T{1}); });
  check_unary<T, T>("sqrt", op(Op::kSqrt), v, [&](T a) { return via(std::sqrt(double{a})); });
  check_unary<T, T>("floor", op(Op::kFloor), v, [](T a) { return std::floor(a); });
  check_unary<T, T>("ceil", op(Op::kCeil), v, [](T a) { return std::ceil(a); });
  check_unary<T, T>("trunc", op(Op::kTrunc), v, [](T a) { return std::trunc(a); });
  check_unary<T, T>("rint", op(Op::kRint), v, [](T a) {
    const T down = std::floor(a), rest = a - down;
    if (!std::isfinite(a) || rest == 0) return a;
    const bool up = rest > T(0.5) || (rest == T(0.5) && std::fmod(down, T{2}) != 0);
    return std::copysign(up ? down + 1 : down, a);
  });
  const Pairs<T> in(v);
  for (const Target t : targets()) {
    CAPTURE(name(t));
    const auto got = map<T, T>(
        t, BinaryF([](ir::Builder& b, Value x, Value y) { return b.fma(x, y, b.sub(y, x)); }), in.a,
        in.b);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < got.size(); ++i)
      wrong += !same(got[i], std::fma(in.a[i], in.b[i], static_cast<T>(in.b[i] - in.a[i])));
    CHECK(wrong == 0);
  }
  // f32: exact in f64, then rounded once.
  const int most = sizeof(T) == 4 ? 250 : 2000, bias = std::numeric_limits<T>::max_exponent;
  for (const int n : {-most, -bias - 22, -bias, -24, -1, 0, 1, 23, bias - 1, bias, most}) {
    CAPTURE(n);
    check_unary<T, T>(
        "scale",
        [n](ir::Builder& b, Value x) {
          return b.binary(Op::kScale, x, b.constant(type_of<T>(), static_cast<double>(n)));
        },
        v, [&](T a) { return static_cast<T>(std::ldexp(double{a}, n)); });
  }
}

template <class To, class From>
void check_cast(const std::vector<From>& v) {
  check_unary<To, From>(
      "cast", [](ir::Builder& b, Value x) { return b.cast(x, type_of<To>()); }, v,
      [](From x) -> To {
        if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
          const auto wide = static_cast<long double>(x);
          constexpr auto kMin = std::numeric_limits<To>::min(),
                         kMax = std::numeric_limits<To>::max();
          if (!(std::trunc(wide) >= kMin && std::trunc(wide) <= kMax)) return kMin;
        }
        return static_cast<To>(x);
      });
}

// Rounds to `digits` significant bits, exponents from `min_exponent` (frexp's), ties to even.
float round_to(float x, int digits, int min_exponent, double limit) {
  if (!std::isfinite(x) || x == 0) return x;
  int e;
  std::frexp(x, &e);
  const double ulp = std::ldexp(1.0, std::max(e, min_exponent) - digits);
  const double r = std::nearbyint(x / ulp) * ulp;
  return std::copysign(std::fabs(r) > limit ? std::numeric_limits<float>::infinity()
                                            : static_cast<float>(std::fabs(r)),
                       x);
}
float nearest_f16(float x) { return round_to(x, 11, -13, 65504); }
float nearest_bf16(float x) { return round_to(x, 8, -125, 0x1.fep127); }

}  // namespace

TEST_CASE("integer ops wrap, shifts take counts modulo the width, division by zero is defined") {
  check_int_ops<int32_t>();
  check_int_ops<int64_t>();
  check_binary<int32_t, int32_t>(
      "mul_hi_u", Op::kMulHiU, int_values<int32_t>(), [](int32_t a, int32_t b) {
        const auto p = std::uint64_t{static_cast<std::uint32_t>(a)} * static_cast<std::uint32_t>(b);
        return static_cast<int32_t>(p >> 32);
      });
}

TEST_CASE("comparisons are IEEE's") {
  check_compares(int_values<int32_t>());
  check_compares(int_values<int64_t>());
  check_compares(special_values<float>());
  check_compares(special_values<double>());
}

TEST_CASE("float ops round correctly and keep NaN, infinities, signed zeros and subnormals") {
  check_float_ops<float>();
  check_float_ops<double>();
}

TEST_CASE("casts round to nearest or toward zero, and out of range gives the smallest integer") {
  const auto ints32 = int_values<int32_t>();
  auto ints64 = int_values<int64_t>();
  for (const int64_t x : {(int64_t{1} << 24) + 1, (int64_t{1} << 53) + 1, (int64_t{1} << 53) + 3,
                          (int64_t{1} << 62) + 1, 0x7fffffbfffffffff, 0x7fffff4000000001})
    ints64.insert(ints64.end(), {x, -x});
  const auto floats = special_values<float>();
  const auto doubles = special_values<double>();
  check_cast<int64_t, int32_t>(ints32);
  check_cast<float, int32_t>(ints32);
  check_cast<double, int32_t>(ints32);
  check_cast<int32_t, int64_t>(ints64);
  check_cast<float, int64_t>(ints64);
  check_cast<double, int64_t>(ints64);
  check_cast<int32_t, float>(floats);
  check_cast<int64_t, float>(floats);
  check_cast<double, float>(floats);
  check_cast<int32_t, double>(doubles);
  check_cast<int64_t, double>(doubles);
  check_cast<float, double>(doubles);
  check_unary<int32_t, float>(
      "bitcast", [](ir::Builder& b, Value x) { return b.bitcast(x, Type::kI32); }, {1.5f, -0.0f},
      [](float x) { return std::bit_cast<int32_t>(x); });
  check_unary<double, int64_t>(
      "bitcast", [](ir::Builder& b, Value x) { return b.bitcast(x, Type::kF64); },
      {0x3ff8000000000000, 1}, [](int64_t x) { return std::bit_cast<double>(x); });
}

TEST_CASE("half precision rounds to nearest even, overflows to infinity, keeps subnormals") {
  std::vector<float> in = float_sweep(400009);
  for (std::uint32_t e = 0; e < 256; ++e)  // ties and their neighbours at every exponent
    for (const std::uint32_t m :
         {0x1000u, 0x3000u, 0x7fe000u, 0x7ff000u, 0x8000u, 0x18000u, 0x7f8000u})
      for (const std::uint32_t d : {0u, 1u, 0xffffffffu})
        in.push_back(std::bit_cast<float>((e << 23 | m) + d));
  check_unary<float, float>("round_f16", op(Op::kRoundF16), in, nearest_f16);
  check_unary<float, float>("round_bf16", op(Op::kRoundBF16), in, nearest_bf16);
  const auto ints = int_values<int32_t>();
  check_unary<int32_t, int32_t>("wrap_i8", op(Op::kWrapI8), ints,
                                [](int32_t x) { return ((x & 255) ^ 128) - 128; });
  check_unary<int32_t, int32_t>("wrap_u8", op(Op::kWrapU8), ints,
                                [](int32_t x) { return x & 255; });
  check_unary<int32_t, int32_t>("wrap_i16", op(Op::kWrapI16), ints,
                                [](int32_t x) { return ((x & 65535) ^ 32768) - 32768; });
}

namespace {

template <class T>
void check_nested_logic() {
  constexpr Op kOps[] = {Op::kAnd, Op::kOr, Op::kXor};
  using U = std::make_unsigned_t<T>;
  constexpr U kMask = static_cast<U>(0x5a5a0ff0123456f7);
  const auto apply = [](Op op, U a, U b) {
    return op == Op::kAnd ? a & b : op == Op::kOr ? a | b : a ^ b;
  };
  const Pairs<T> in(int_values<T>());
  for (const Op outer : kOps)
    for (const Op inner : kOps)
      for (const Target t : targets()) {
        // Registers that are read again, registers that are not, and constants in each place.
        const auto write = [&](ir::Builder& b, Value x, Value y) {
          const Value mask = type_of<T>() == Type::kI64 ? b.i64(static_cast<int64_t>(kMask))
                                                        : b.i32(static_cast<int32_t>(kMask));
          const auto nest = [&](Value u, Value v, Value w) {
            return b.binary(outer, u, b.binary(inner, v, w));
          };
          const Value first = nest(b.add(x, y), b.mul(x, y), b.sub(x, y));
          const Value second = nest(mask, first, x);
          const Value third = b.binary(outer, b.binary(inner, mask, y), b.unary(Op::kNot, x));
          return b.add(b.add(first, second), third);
        };
        const std::vector<T> got = map<T, T>(t, BinaryF(write), in.a, in.b);
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < got.size(); ++i) {
          const auto x = static_cast<U>(in.a[i]), y = static_cast<U>(in.b[i]);
          const U first = apply(outer, x + y, apply(inner, x * y, x - y));
          const U second = apply(outer, kMask, apply(inner, first, x));
          const U third = apply(outer, apply(inner, kMask, y), ~x);
          wrong += static_cast<U>(got[i]) != first + second + third;
        }
        CAPTURE(name(t));
        CAPTURE(static_cast<int>(outer));
        CAPTURE(static_cast<int>(inner));
        CHECK(wrong == 0);
      }
}

}  // namespace

TEST_CASE("a bitwise operation of another keeps its operands apart") {
  check_nested_logic<int32_t>();
  check_nested_logic<int64_t>();
}

TEST_CASE("a table is looked up by the low four bits of the index") {
  static constexpr ir::Table kTable = {0.5f, -0.0f, 1e-45f, 3,  -INFINITY, NAN, 6,  -7.25f,
                                       8,    9,     10,     11, INFINITY,  13,  14, 15};
  std::vector<int32_t> in = int_values<int32_t>();
  for (int32_t i = -20; i < 20; ++i) in.push_back(i);
  check_unary<float, int32_t>(
      "table", [](ir::Builder& b, Value x) { return b.table(kTable, x); }, in,
      [](int32_t x) { return kTable[static_cast<std::size_t>(x & 15)]; });
  check_unary<float, int32_t>(
      "table of a uniform index",
      [](ir::Builder& b, Value x) {
        const Value flat = b.scalar(Type::kI32, ir::kArgFlags);  // 0: hoisted out of the loop
        return b.add(b.table(kTable, flat), b.cast(x, Type::kF32));
      },
      in, [](int32_t x) { return 0.5f + static_cast<float>(x); });
}

TEST_CASE("predicates combine, and select takes whole values") {
  const Pairs<float> in(special_values<float>());
  for (const Target t : targets()) {
    CAPTURE(name(t));
    const auto got = map<float, float>(
        t, BinaryF([](ir::Builder& b, Value x, Value y) {
          const Value p = b.compare(Op::kLt, x, y), q = b.compare(Op::kLt, x, b.f32(0));
          const Value r = b.binary(Op::kPOr, b.binary(Op::kPAnd, p, b.unary(Op::kPNot, q)),
                                   b.unary(Op::kPNot, b.binary(Op::kPOr, p, q)));
          return b.select(r, x, y);
        }),
        in.a, in.b);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      const bool p = in.a[i] < in.b[i], q = in.a[i] < 0;
      wrong += !same(got[i], (p && !q) || !(p || q) ? in.a[i] : in.b[i]);
    }
    CHECK(wrong == 0);
  }
}

namespace {

// Copies `n` elements of dtype through the register type, from stride `from` to stride `to`
// elements.
template <class S>
void check_copy(DType dtype, Type type, const std::vector<S>& values) {
  const auto n = static_cast<int64_t>(values.size());
  constexpr int64_t kSize = sizeof(S);
  for (const Target t : targets())
    for (const int64_t from : {1, 3, -1})
      for (const int64_t to : {1, 2, -1}) {
        std::vector<S> in(static_cast<std::size_t>(n * 3)), out(static_cast<std::size_t>(n * 2));
        std::memset(static_cast<void*>(out.data()), 0x5a, out.size() * sizeof(S));
        const int64_t in_base = from < 0 ? n - 1 : 0, out_base = to < 0 ? n - 1 : 0;
        for (int64_t i = 0; i < n; ++i)
          in[static_cast<std::size_t>(in_base + i * from)] = values[static_cast<std::size_t>(i)];
        Nest nest(Form::kRow, {{Role::kLoop, n}});
        const int a = nest.access(dtype, in.data() + in_base, {from * kSize});
        const int c = nest.access(dtype, out.data() + out_base, {to * kSize});
        nest.b.begin_loop();
        nest.b.store(c, nest.b.load(a, type));
        nest.set_chunk(37);
        nest.run(t, true);
        std::size_t wrong = 0;
        for (int64_t i = 0; i < n; ++i)
          wrong += std::memcmp(&out[static_cast<std::size_t>(out_base + i * to)],
                               &values[static_cast<std::size_t>(i)], sizeof(S)) != 0;
        CAPTURE(name(t));
        CAPTURE(static_cast<int>(dtype));
        CAPTURE(from);
        CAPTURE(to);
        CHECK(wrong == 0);
      }
}

template <class S>
std::vector<S> counting(int n) {
  std::vector<S> v(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) {
    const int x = i * 77 - 1000;
    std::memcpy(&v[static_cast<std::size_t>(i)], &x, std::min(sizeof(S), sizeof x));
  }
  return v;
}

}  // namespace

TEST_CASE("every storage type is loaded, widened, narrowed and stored, at any stride") {
  std::vector<std::uint8_t> flags(133);
  for (std::size_t i = 0; i < flags.size(); ++i) flags[i] = i % 3 == 0;
  check_copy<std::uint8_t>(DType::kBool, Type::kI32, flags);
  check_copy<std::uint8_t>(DType::kU8, Type::kI32, counting<std::uint8_t>(133));
  check_copy<std::int8_t>(DType::kI8, Type::kI32, counting<std::int8_t>(133));
  check_copy<std::int16_t>(DType::kI16, Type::kI32, counting<std::int16_t>(133));
  check_copy<int32_t>(DType::kI32, Type::kI32, counting<int32_t>(133));
  check_copy<int64_t>(DType::kI64, Type::kI64, counting<int64_t>(133));
  check_copy<float>(DType::kF32, Type::kF32, special_values<float>());
  check_copy<double>(DType::kF64, Type::kF64, special_values<double>());
  std::vector<std::uint16_t> f16, bf16;  // every finite or infinite value
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto h = static_cast<std::uint16_t>(bits);
    if (!std::isnan(to_float(Half{h}))) f16.push_back(h);
    if (!std::isnan(to_float(BFloat16{h}))) bf16.push_back(h);
  }
  check_copy<std::uint16_t>(DType::kF16, Type::kF32, f16);
  check_copy<std::uint16_t>(DType::kBF16, Type::kF32, bf16);
}

TEST_CASE("sign extension, zero extension and narrowing are the type's") {
  const std::vector<std::int8_t> in = {-1, -128, 127, 5};
  for (const Target t : targets()) {
    std::vector<std::uint8_t> out(4);
    std::vector<int32_t> wide(4);
    Nest nest(Form::kRow, {{Role::kLoop, 4}});
    const int a = nest.access(DType::kI8, in.data(), {1});
    const int c = nest.access(DType::kU8, out.data(), {1});
    const int d = nest.access(DType::kI32, wide.data(), {4});
    nest.b.begin_loop();
    const Value x = nest.b.load(a, Type::kI32);
    nest.b.store(c, x);
    nest.b.store(d, x);
    nest.run(t);
    CHECK(out == std::vector<std::uint8_t>{255, 128, 127, 5});
    CHECK(wide == std::vector<int32_t>{-1, -128, 127, 5});
  }
}

TEST_CASE("indirect and guarded accesses touch only what they name") {
  constexpr int64_t kN = 300;
  std::vector<float> table(64), out(kN, -1), scattered(kN, -1);
  std::iota(table.begin(), table.end(), 100.0f);
  std::vector<int64_t> index(kN), place(kN);
  for (int64_t i = 0; i < kN; ++i) {
    // Guarded-off lanes carry an index that would fault.
    index[static_cast<std::size_t>(i)] = i % 5 == 0 ? (int64_t{1} << 46) : (i * 7) % 64;
    place[static_cast<std::size_t>(i)] = i % 5 == 0 ? (int64_t{1} << 46) : kN - 1 - i;
  }
  for (const Target t : targets()) {
    CAPTURE(name(t));
    std::fill(scattered.begin(), scattered.end(), -1.0f);
    Nest nest(Form::kRow, {{Role::kLoop, kN}});
    const int at_table = nest.access(DType::kF32, table.data(), {0});
    const int at_index = nest.access(DType::kI64, index.data(), {8});
    const int at_place = nest.access(DType::kI64, place.data(), {8});
    const int at_out = nest.access(DType::kF32, out.data(), {4});
    const int at_scattered = nest.access(DType::kF32, scattered.data(), {0});
    ir::Builder& b = nest.b;
    b.begin_loop();
    const Value i = b.load(at_index, Type::kI64);
    const Value ok = b.compare(Op::kLt, i, b.i64(64));
    const Value x = b.load(at_table, Type::kF32, i, ok);
    b.store(at_out, x);
    b.store(at_scattered, x, b.load(at_place, Type::kI64), ok);
    nest.run(t);
    for (int64_t n = 0; n < kN; ++n) {
      const bool off = n % 5 == 0;
      const float want = off ? 0 : table[static_cast<std::size_t>((n * 7) % 64)];
      REQUIRE(out[static_cast<std::size_t>(n)] == want);
      REQUIRE(scattered[static_cast<std::size_t>(kN - 1 - n)] == (off ? -1 : want));
    }
  }
}

TEST_CASE("iota, grid strides and row-level values follow the axes") {
  constexpr int64_t kA = 3, kB = 2, kRun = 70;
  for (const Target t : targets())
    for (const bool one_by_one : {false, true}) {
      CAPTURE(name(t));
      std::vector<int64_t> out(kA * kB * kRun), rows(kA * kB * kRun);
      Nest nest(Form::kRow, {{Role::kGrid, kA}, {Role::kGrid, kB}, {Role::kLoop, kRun}});
      const int at_out = nest.access(DType::kI64, out.data(), {kB * kRun * 8, kRun * 8, 8});
      const int at_rows = nest.access(DType::kI64, rows.data(), {kB * kRun * 8, kRun * 8, 8});
      const int scalar = nest.word(1000000);
      const int iota = nest.iota({5, 10000, 500, 3});
      ir::Builder& b = nest.b;
      b.begin_row();
      const Value row = b.add(b.iota(iota), b.scalar(Type::kI64, scalar));
      b.begin_loop();
      b.store(at_rows, row);
      b.store(at_out, b.add(b.iota(iota), row));
      nest.set_chunk(32);
      nest.run(t, one_by_one);
      for (int64_t a = 0; a < kA; ++a)
        for (int64_t g = 0; g < kB; ++g) {
          const int64_t base = 5 + a * 10000 + g * 500;
          for (int64_t i = 0; i < kRun; ++i) {
            const auto at = static_cast<std::size_t>((a * kB + g) * kRun + i);
            REQUIRE(rows[at] == base + 1000000);
            REQUIRE(out[at] == base + 3 * i + base + 1000000);
          }
        }
    }
}

TEST_CASE("row sections run for each grid point even when the loop is empty") {
  for (const Target t : targets()) {
    CAPTURE(name(t));
    std::vector<float> out(4, -1);
    Nest nest(Form::kRow, {{Role::kGrid, 4}, {Role::kLoop, 0}});
    const int in = nest.access(DType::kF32, nullptr, {0, 4});
    const int to = nest.access(DType::kF32, out.data(), {4, 0});
    nest.b.begin_loop();
    const Value sum = nest.b.reduce(ir::ReduceKind::kSum, nest.b.load(in, Type::kF32), -1);
    nest.b.begin_row();
    nest.b.store(to, nest.b.add(sum, nest.b.f32(2)));
    nest.run(t);
    CHECK(out == std::vector<float>(4, 2));
  }
}
