// jit/emit/interpreter_ops.cpp -- loops over a strip for every op, type and storage dtype
#include "jit/emit/interpreter_ops.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "jit/ir/op_info.h"
#include "jit/ir/scalar.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace flash::emit::strip {
namespace {

using ir::Op;
using ir::ReduceKind;
using ir::Type;
namespace s = ir::scalar;
using Pred = std::uint8_t;

template <class To, class From, class F>
void map1(const Operands& x, int n, F f) {
  const auto* a = static_cast<const From*>(x.a);
  auto* out = static_cast<To*>(x.out);
  for (int i = 0; i < n; ++i) out[i] = f(a[i]);
}
template <class To, class From, class F>
void map2(const Operands& x, int n, F f) {
  const auto* a = static_cast<const From*>(x.a);
  const auto* b = static_cast<const From*>(x.b);
  auto* out = static_cast<To*>(x.out);
  for (int i = 0; i < n; ++i) out[i] = f(a[i], b[i]);
}

// std::fma is a library call unless the compiler may assume the instruction: both give the same
// bits.
template <class T>
void fma_portable(const Operands& x, int n) {
  const auto* a = static_cast<const T*>(x.a);
  const auto* b = static_cast<const T*>(x.b);
  const auto* c = static_cast<const T*>(x.c);
  auto* out = static_cast<T*>(x.out);
  for (int i = 0; i < n; ++i) out[i] = std::fma(a[i], b[i], c[i]);
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) void fma_hardware(const float* a, const float* b,
                                                      const float* c, float* out, int n) {
  int i = 0;
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(out + i, _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i),
                                              _mm256_loadu_ps(c + i)));
  for (; i < n; ++i)
    out[i] = _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a[i]), _mm_set_ss(b[i]), _mm_set_ss(c[i])));
}
__attribute__((target("avx2,fma"))) void fma_hardware(const double* a, const double* b,
                                                      const double* c, double* out, int n) {
  int i = 0;
  for (; i + 4 <= n; i += 4)
    _mm256_storeu_pd(out + i, _mm256_fmadd_pd(_mm256_loadu_pd(a + i), _mm256_loadu_pd(b + i),
                                              _mm256_loadu_pd(c + i)));
  for (; i < n; ++i)
    out[i] = _mm_cvtsd_f64(_mm_fmadd_sd(_mm_set_sd(a[i]), _mm_set_sd(b[i]), _mm_set_sd(c[i])));
}
bool has_fma() {
  static const bool yes = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return yes;
}
#endif

template <class T>
void fma(const Operands& x, int n) {
#if defined(__x86_64__)
  if (has_fma())
    return fma_hardware(static_cast<const T*>(x.a), static_cast<const T*>(x.b),
                        static_cast<const T*>(x.c), static_cast<T*>(x.out), n);
#endif
  fma_portable<T>(x, n);
}

float round_bf16(float x) { return to_float(to_bfloat16(x)); }
float round_f16(float x) { return to_float(to_half(x)); }

[[noreturn]] void unknown(Op op) {
  throw InternalError("interpreter: op '" + std::string(ir::info(op).name) + "' does not compute");
}

template <class T>
void compute_float(Op op, const Operands& x, int n) {
  switch (op) {
    case Op::kFma:
      return fma<T>(x, n);
    case Op::kSqrt:
      return map1<T, T>(x, n, [](T a) { return std::sqrt(a); });
    case Op::kScale:
      return map2<T, T>(x, n, [](T a, T b) { return s::scale(a, b); });
    case Op::kFloor:
      return map1<T, T>(x, n, [](T a) { return std::floor(a); });
    case Op::kCeil:
      return map1<T, T>(x, n, [](T a) { return std::ceil(a); });
    case Op::kRint:
      return map1<T, T>(x, n, [](T a) { return std::nearbyint(a); });
    case Op::kTrunc:
      return map1<T, T>(x, n, [](T a) { return std::trunc(a); });
    default:
      unknown(op);
  }
}

template <class T>
void compute_int(Op op, const Operands& x, int n) {
  switch (op) {
    case Op::kRem:
      return map2<T, T>(x, n, [](T a, T b) { return s::rem(a, b); });
    case Op::kAnd:
      return map2<T, T>(x, n, [](T a, T b) { return static_cast<T>(a & b); });
    case Op::kOr:
      return map2<T, T>(x, n, [](T a, T b) { return static_cast<T>(a | b); });
    case Op::kXor:
      return map2<T, T>(x, n, [](T a, T b) { return static_cast<T>(a ^ b); });
    case Op::kNot:
      return map1<T, T>(x, n, [](T a) { return static_cast<T>(~a); });
    case Op::kShl:
      return map2<T, T>(x, n, [](T a, T b) { return s::shl(a, b); });
    case Op::kShrA:
      return map2<T, T>(x, n, [](T a, T b) { return s::shr_a(a, b); });
    case Op::kShrL:
      return map2<T, T>(x, n, [](T a, T b) { return s::shr_l(a, b); });
    default:
      unknown(op);
  }
}

template <class T>
void compute_number(Op op, const Operands& x, int n) {
  switch (op) {
    case Op::kAdd:
      return map2<T, T>(x, n, [](T a, T b) { return s::add(a, b); });
    case Op::kSub:
      return map2<T, T>(x, n, [](T a, T b) { return s::sub(a, b); });
    case Op::kMul:
      return map2<T, T>(x, n, [](T a, T b) { return s::mul(a, b); });
    case Op::kDiv:
      return map2<T, T>(x, n, [](T a, T b) { return s::div(a, b); });
    case Op::kNeg:
      return map1<T, T>(x, n, [](T a) { return s::neg(a); });
    case Op::kAbs:
      return map1<T, T>(x, n, [](T a) { return s::abs(a); });
    case Op::kMax:
      return map2<T, T>(x, n, [](T a, T b) { return s::max(a, b); });
    case Op::kMin:
      return map2<T, T>(x, n, [](T a, T b) { return s::min(a, b); });
    case Op::kSelect: {
      const auto* p = static_cast<const Pred*>(x.a);
      const auto* b = static_cast<const T*>(x.b);
      const auto* c = static_cast<const T*>(x.c);
      auto* out = static_cast<T*>(x.out);
      for (int i = 0; i < n; ++i) out[i] = p[i] ? b[i] : c[i];
      return;
    }
    default:
      if constexpr (std::is_floating_point_v<T>)
        compute_float<T>(op, x, n);
      else
        compute_int<T>(op, x, n);
  }
}

template <class T>
void to_predicate(Op op, const Operands& x, int n) {
  switch (op) {
    case Op::kEq:
      return map2<Pred, T>(x, n, [](T a, T b) -> Pred { return a == b; });
    case Op::kNe:
      return map2<Pred, T>(x, n, [](T a, T b) -> Pred { return a != b; });
    case Op::kLt:
      return map2<Pred, T>(x, n, [](T a, T b) -> Pred { return a < b; });
    case Op::kLe:
      return map2<Pred, T>(x, n, [](T a, T b) -> Pred { return a <= b; });
    case Op::kToPred:
      return map1<Pred, T>(x, n, [](T a) -> Pred { return a != T{0}; });
    default:
      unknown(op);
  }
}

void compute_predicate(Op op, Type from, const Operands& x, int n) {
  switch (op) {
    case Op::kPAnd:
      return map2<Pred, Pred>(x, n, [](Pred a, Pred b) -> Pred { return a & b; });
    case Op::kPOr:
      return map2<Pred, Pred>(x, n, [](Pred a, Pred b) -> Pred { return a | b; });
    case Op::kPNot:
      return map1<Pred, Pred>(x, n, [](Pred a) -> Pred { return a ^ 1; });
    default:
      s::dispatch(from, [&](auto z) { to_predicate<decltype(z)>(op, x, n); });
  }
}

void cast(Type type, Type from, const Operands& x, int n) {
  if (from == Type::kPred)
    return map1<std::int32_t, Pred>(x, n, [](Pred p) -> std::int32_t { return p; });
  s::dispatch(from, [&](auto f) {
    s::dispatch(type, [&](auto t) {
      using From = decltype(f);
      using To = decltype(t);
      map1<To, From>(x, n, [](From a) { return s::cast<To>(a); });
    });
  });
}

template <class T>
void fill_with(T value, void* out, int n) {
  for (int i = 0; i < n; ++i) static_cast<T*>(out)[i] = value;
}
static_assert(std::endian::native == std::endian::little, "constants keep their low 32 bits first");

// Storage type S ↔ register type R.
template <class R, class S>
R widen(S v) {
  if constexpr (std::is_same_v<S, Half> || std::is_same_v<S, BFloat16>)
    return to_float(v);
  else
    return v;
}
template <class S, class R>
S narrow(R v) {
  if constexpr (std::is_same_v<S, Half>)
    return to_half(v);
  else if constexpr (std::is_same_v<S, BFloat16>)
    return to_bfloat16(v);
  else
    return static_cast<S>(v);
}

template <class R, class S>
void load_as(const char* base, std::int64_t step, const std::int64_t* index, const Pred* guard,
             void* out, int n) {
  auto* to = static_cast<R*>(out);
  if constexpr (std::is_same_v<R, S>) {
    if (step == sizeof(S) && !index && !guard) {
      std::memcpy(to, base, static_cast<std::size_t>(n) * sizeof(S));
      return;
    }
  }
  for (int i = 0; i < n; ++i) {
    if (guard && !guard[i]) {
      to[i] = R{0};
      continue;
    }
    const std::int64_t at = i * step + (index ? index[i] * std::int64_t{sizeof(S)} : 0);
    S v;
    std::memcpy(&v, base + at, sizeof v);
    to[i] = widen<R>(v);
  }
}

template <class R, class S>
void store_as(char* base, std::int64_t step, const std::int64_t* index, const Pred* guard,
              const void* value, int n) {
  const auto* from = static_cast<const R*>(value);
  for (int i = 0; i < n; ++i) {
    if (guard && !guard[i]) continue;
    const std::int64_t at = i * step + (index ? index[i] * std::int64_t{sizeof(S)} : 0);
    const S v = narrow<S>(from[i]);
    std::memcpy(base + at, &v, sizeof v);
  }
}

// f(register zero, storage zero) for the C++ types of a dtype. bool is stored as a byte.
template <class F>
void dispatch_storage(DType d, F f) {
  switch (d) {
    case DType::kBool:
    case DType::kU8:
      return f(std::int32_t{}, std::uint8_t{});
    case DType::kI8:
      return f(std::int32_t{}, std::int8_t{});
    case DType::kI16:
      return f(std::int32_t{}, std::int16_t{});
    case DType::kI32:
      return f(std::int32_t{}, std::int32_t{});
    case DType::kI64:
      return f(std::int64_t{}, std::int64_t{});
    case DType::kF16:
      return f(float{}, Half{});
    case DType::kBF16:
      return f(float{}, BFloat16{});
    case DType::kF32:
      return f(float{}, float{});
    case DType::kF64:
      return f(double{}, double{});
  }
}

// f(combine) with combine a function object on T.
template <class T, class F>
void dispatch_combine(ReduceKind kind, F f) {
  switch (kind) {
    case ReduceKind::kSum:
      return f([](T a, T b) { return s::add(a, b); });
    case ReduceKind::kProd:
      return f([](T a, T b) { return s::mul(a, b); });
    case ReduceKind::kMax:
      return f([](T a, T b) { return s::max(a, b); });
    case ReduceKind::kMin:
      return f([](T a, T b) { return s::min(a, b); });
  }
}

}  // namespace

void compute(Op op, Type type, Type from, const Operands& x, int n) {
  switch (op) {
    case Op::kCast:
      return cast(type, from, x, n);
    case Op::kBitcast:
      std::memcpy(x.out, x.a, static_cast<std::size_t>(n * ir::size_of(type)));
      return;
    case Op::kRoundF16:
      return map1<float, float>(x, n, round_f16);
    case Op::kRoundBF16:
      return map1<float, float>(x, n, round_bf16);
    case Op::kWrapI8:
      return map1<std::int32_t, std::int32_t>(
          x, n, [](std::int32_t a) -> std::int32_t { return static_cast<std::int8_t>(a); });
    case Op::kWrapU8:
      return map1<std::int32_t, std::int32_t>(
          x, n, [](std::int32_t a) -> std::int32_t { return static_cast<std::uint8_t>(a); });
    case Op::kWrapI16:
      return map1<std::int32_t, std::int32_t>(
          x, n, [](std::int32_t a) -> std::int32_t { return static_cast<std::int16_t>(a); });
    case Op::kMulHiU:
      return map2<std::int32_t, std::int32_t>(x, n, s::mul_hi_u);
    default:
      if (type == Type::kPred) return compute_predicate(op, from, x, n);
      s::dispatch(type, [&](auto z) { compute_number<decltype(z)>(op, x, n); });
  }
}

void table(const ir::Table& t, const std::int32_t* index, float* out, int n) {
  for (int i = 0; i < n; ++i) out[i] = t[static_cast<std::uint32_t>(index[i]) % t.size()];
}

void fill(Type type, std::uint64_t bits, void* out) {
  s::dispatch(type, [&](auto value) {
    std::memcpy(&value, &bits, sizeof value);
    fill_with(value, out, kWidth);
  });
}

void splat(Type type, void* strip) {
  if (type == Type::kPred) return fill_with(*static_cast<const Pred*>(strip), strip, kWidth);
  s::dispatch(type,
              [&](auto z) { fill_with(*static_cast<const decltype(z)*>(strip), strip, kWidth); });
}

void load(DType dtype, const char* base, std::int64_t step, const std::int64_t* index,
          const std::uint8_t* guard, void* out, int n) {
  dispatch_storage(dtype, [&](auto r, auto st) {
    load_as<decltype(r), decltype(st)>(base, step, index, guard, out, n);
  });
}

void store(DType dtype, char* base, std::int64_t step, const std::int64_t* index,
           const std::uint8_t* guard, const void* value, int n) {
  dispatch_storage(dtype, [&](auto r, auto st) {
    store_as<decltype(r), decltype(st)>(base, step, index, guard, value, n);
  });
}

void accumulate(ReduceKind kind, Type type, void* acc, int period, const void* value,
                const std::uint8_t* guard, int n) {
  s::dispatch(type, [&](auto z) {
    using T = decltype(z);
    dispatch_combine<T>(kind, [&](auto op) {
      auto* lane = static_cast<T*>(acc);
      for (int from = 0; from < n; from += period) {
        const auto* v = static_cast<const T*>(value) + from;
        const int m = std::min(period, n - from);
        if (guard)
          for (int i = 0; i < m; ++i) lane[i] = guard[from + i] ? op(lane[i], v[i]) : lane[i];
        else
          for (int i = 0; i < m; ++i) lane[i] = op(lane[i], v[i]);
      }
    });
  });
}

void combine(ReduceKind kind, Type type, const void* a, const void* b, void* out, int n) {
  s::dispatch(type, [&](auto z) {
    using T = decltype(z);
    dispatch_combine<T>(kind, [&](auto op) {
      const auto* x = static_cast<const T*>(a);
      const auto* y = static_cast<const T*>(b);
      auto* to = static_cast<T*>(out);
      for (int i = 0; i < n; ++i) to[i] = op(x[i], y[i]);
    });
  });
}

void fill_identity(ReduceKind kind, Type type, void* out, int n) {
  s::dispatch(type, [&](auto z) { fill_with(s::identity<decltype(z)>(kind), out, n); });
}

}  // namespace flash::emit::strip
