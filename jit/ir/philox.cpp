// jit/ir/philox.cpp -- random bits and uniform numbers as kernel IR
#include "jit/ir/expr.h"
#include "jit/ir/math.h"

namespace flash::ir {

Value philox(Builder& b, Value lo, Value hi, Value k0, Value k1, Value word) {
  Expr c0{&b, lo}, c1{&b, hi};
  Expr c2 = literal(c0, 0), c3 = literal(c0, 0);
  Expr key0{&b, k0}, key1{&b, k1};
  // Multipliers and Weyl increments of Salmon et al. 2011, section 3.5.
  const Expr m0 = literal(c0, std::int64_t{0xD2511F53}), m1 = literal(c0, std::int64_t{0xCD9E8D57});
  for (int round = 0; round < 10; ++round) {
    const Expr high0 = mul_hi_u(c0, m0), low0 = c0 * m0;
    const Expr high1 = mul_hi_u(c2, m1), low1 = c2 * m1;
    c0 = high1 ^ c1 ^ key0;
    c1 = low1;
    c2 = high0 ^ c3 ^ key1;
    c3 = low0;
    key0 = key0 + std::int64_t{0x9E3779B9};
    key1 = key1 + std::int64_t{0xBB67AE85};
  }
  const Expr w{&b, word};
  const Expr outputs[] = {c0, c1, c2, c3};
  if (const auto which = b.constant_bits(word)) return outputs[*which & 3].v;
  return select(w < 2, select(w == 0, c0, c1), select(w == 2, c2, c3)).v;
}

Value uniform_f32(Builder& b, Value bits) {
  return (shr_l(Expr{&b, bits}, 8).to(Type::kF32) * 0x1p-24).v;
}

Value uniform_f64(Builder& b, Value bits_hi, Value bits_lo) {
  // 27 high bits and 26 low bits, each exact as an i32 → f64.
  const Expr high = shr_l(Expr{&b, bits_hi}, 5).to(Type::kF64);
  const Expr low = shr_l(Expr{&b, bits_lo}, 6).to(Type::kF64);
  return (fma(high, 0x1p26, low) * 0x1p-53).v;
}

}  // namespace flash::ir
