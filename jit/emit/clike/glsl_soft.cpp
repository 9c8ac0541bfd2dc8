// jit/emit/clike/glsl_soft.cpp -- floats by integers, for what a device does not round correctly
//
// A number other than zero, infinity and NaN is m * 2^e with m in [2^52, 2^53), of either type. A
// result is computed to at least 57 bits, the last of which says whether anything was lost, and
// then rounded once to p bits. (The same steps as in any description of IEEE arithmetic; Handbook
// of Floating-Point Arithmetic, chapter 7.)
#include "jit/emit/clike/glsl_soft.h"

namespace flash::emit {

std::string_view glsl_soft_floats() {
  return R"source(
struct Parts {
  u64 m;
  i32 e;
};
FN i32 top_bit(u64 v) {
  const u32 high = u32(v >> 32);
  return high != 0u ? 32 + findMSB(high) : findMSB(u32(v));
}
FN Parts parts_of(u64 bits, i32 stored, i32 bias) {
  const i32 biased = i32(bits >> stored) & (2 * bias + 1);
  u64 m = bits & ((u64(1) << stored) - u64(1));
  i32 e = biased - bias - stored;
  if (biased == 0)
    e = 1 - bias - stored;
  else
    m |= u64(1) << stored;
  const i32 shift = 52 - top_bit(m);
  return Parts(m << shift, e - shift);
}

// 128 bits: x above y. What a shift to the right loses stays as a last bit that is set.
FN u64vec2 shift_right(u64vec2 v, i32 n) {
  if (n == 0) return v;
  if (n >= 128) return u64vec2(0, (v.x | v.y) != u64(0) ? 1 : 0);
  if (n == 64) return u64vec2(0, v.x | (v.y != u64(0) ? u64(1) : u64(0)));
  if (n > 64) {
    const u64 lost = v.y | v.x << (128 - n);
    return u64vec2(0, v.x >> (n - 64) | (lost != u64(0) ? u64(1) : u64(0)));
  }
  const u64 lost = v.y << (64 - n);
  return u64vec2(v.x >> n, v.y >> n | v.x << (64 - n) | (lost != u64(0) ? u64(1) : u64(0)));
}
FN u64vec2 shift_left(u64vec2 v, i32 n) {
  if (n == 0) return v;
  if (n >= 64) return u64vec2(v.y << (n - 64), 0);
  return u64vec2(v.x << n | v.y >> (64 - n), v.y << n);
}
FN u64vec2 product(u64 a, u64 b) {
  const u64 mask = u64(0xffffffffu), al = a & mask, ah = a >> 32, bl = b & mask, bh = b >> 32;
  const u64 low = al * bl, middle = ah * bl + (low >> 32), other = al * bh + (middle & mask);
  return u64vec2(ah * bh + (middle >> 32) + (other >> 32), other << 32 | (low & mask));
}

// v * 2^e (v not 0) as the bits of a float without its sign.
FN u64 rounded(u64vec2 v, i32 e, i32 stored, i32 bias) {
  const i32 zeros = 127 - (v.x != u64(0) ? 64 + top_bit(v.x) : top_bit(v.y));
  v = shift_left(v, zeros);
  const i32 biased = e - zeros + 127 + bias;
  if (biased < 1) v = shift_right(v, 1 - biased);
  const i32 dropped = 63 - stored;
  const u64 kept = v.x >> dropped, rest = v.x & ((u64(1) << dropped) - u64(1));
  const u64 tie = u64(1) << (dropped - 1);
  const bool up = rest > tie || (rest == tie && (v.y != u64(0) || (kept & u64(1)) != u64(0)));
  const u64 infinite = u64(2 * bias + 1) << stored;
  if (biased > 2 * bias) return infinite;
  const u64 bits = (biased < 1 ? kept : (u64(biased - 1) << stored) + kept) + u64(up ? 1 : 0);
  return bits < infinite ? bits : infinite;
}

// a * b + c for bits of finite numbers, a and b not 0.
FN u64 soft_fma(u64 a, u64 b, u64 c, i32 stored, i32 bias) {
  const i32 top = stored == 52 ? 63 : 31;
  const u64 sign = u64(1) << top;
  u64 product_sign = (a ^ b) & sign, sum_sign = c & sign;
  const Parts x = parts_of(a & ~sign, stored, bias), y = parts_of(b & ~sign, stored, bias);
  u64vec2 p = shift_left(product(x.m, y.m), 21);  // below 2^127: a sum has room
  i32 e = x.e + y.e - 21;
  if ((c & ~sign) == u64(0)) return product_sign | rounded(p, e, stored, bias);
  const Parts z = parts_of(c & ~sign, stored, bias);
  u64vec2 q = shift_left(u64vec2(0, z.m), 73);
  const i32 above = e - (z.e - 73);
  if (above >= 0) {
    q = shift_right(q, above);
  } else {
    p = shift_right(p, -above);
    e -= above;
  }
  if (product_sign == sum_sign) {
    const u64 low = p.y + q.y;
    return sum_sign | rounded(u64vec2(p.x + q.x + u64(low < p.y ? 1 : 0), low), e, stored, bias);
  }
  if (p == q) return u64(0);
  if (p.x > q.x || (p.x == q.x && p.y > q.y)) {
    const u64vec2 t = p;
    p = q;
    q = t;
    sum_sign = product_sign;
  }
  return sum_sign |
         rounded(u64vec2(q.x - p.x - u64(q.y < p.y ? 1 : 0), q.y - p.y), e, stored, bias);
}

// |a| / |b| and the root of a, for finite numbers that are not 0.
FN u64 soft_div(u64 a, u64 b, i32 stored, i32 bias) {
  const Parts x = parts_of(a, stored, bias), y = parts_of(b, stored, bias);
  u64 rest = x.m, quotient = u64(0);
  for (i32 i = 0; i < 60; ++i) {
    const bool fits = rest >= y.m;
    quotient = quotient << 1 | u64(fits ? 1 : 0);
    rest = (fits ? rest - y.m : rest) << 1;
  }
  return rounded(u64vec2(quotient, rest != u64(0) ? 1 : 0), x.e - y.e - 59 - 64, stored, bias);
}
FN u64 soft_sqrt(u64 a, i32 stored, i32 bias) {
  const Parts x = parts_of(a, stored, bias);
  const i32 odd = x.e & 1;
  const u64 m = x.m << odd;
  u64 root = u64(0), rest = u64(0);
  for (i32 i = 0; i < 58; ++i) {
    rest = rest << 2 | (i < 27 ? m >> (52 - 2 * i) & u64(3) : u64(0));
    const u64 trial = root << 2 | u64(1);
    const bool fits = rest >= trial;
    root = root << 1 | u64(fits ? 1 : 0);
    if (fits) rest -= trial;
  }
  return rounded(u64vec2(root, rest != u64(0) ? 1 : 0), (x.e - odd) / 2 - 31 - 64, stored, bias);
}

%each T U STORED BIAS IF | f32 u32 23 127 1 | f64 u64 52 1023 defined(HAS_F64)
#if $IF
FN bool is_finite_$T($U b) { return (b >> $STORED & $U(2 * $BIAS + 1)) != $U(2 * $BIAS + 1); }
FN bool is_zero_$T($U b) { return b << 1 == $U(0); }
FN $T soft_fma_$T($T a, $T b, $T c) {
  const $U x = $T_bits(a), y = $T_bits(b), z = $T_bits(c);
  if (is_zero_$T(x) || is_zero_$T(y)) {
    if (is_finite_$T(x) && is_finite_$T(y) && !is_zero_$T(z)) return c;
    precise $T r = a * b + c;
    return r;
  }
  if (!is_finite_$T(x) || !is_finite_$T(y) || !is_finite_$T(z)) {
    const $U top = $U(1) << ($STORED == 52 ? 63 : 31);
    if (is_finite_$T(x) && is_finite_$T(y)) return c;
    // a product with an infinity: its size does not matter, but may not be flushed
    const $U one = $U($BIAS) << $STORED;
    precise $T p = (is_finite_$T(x) ? bits_$T((x & top) | one) : a) *
                   (is_finite_$T(y) ? bits_$T((y & top) | one) : b);
    precise $T r = is_finite_$T(z) ? p : p + c;
    return r;
  }
  return bits_$T($U(soft_fma(u64(x), u64(y), u64(z), $STORED, $BIAS)));
}
FN $T soft_div_$T($T a, $T b) {
  const $U x = $T_bits(a), y = $T_bits(b), top = $U(1) << ($STORED == 52 ? 63 : 31);
  const $U sign = (x ^ y) & top, infinite = $U(2 * $BIAS + 1) << $STORED;
  if (is_nan_$T(a)) return a;
  if (is_nan_$T(b)) return b;
  if (is_zero_$T(x) || !is_finite_$T(y)) {
    const bool none = is_zero_$T(x) ? is_zero_$T(y) : !is_finite_$T(x);
    return bits_$T(none ? infinite | infinite >> 1 : sign);
  }
  if (is_zero_$T(y) || !is_finite_$T(x)) return bits_$T(sign | infinite);
  return bits_$T(sign | $U(soft_div(u64(x & ~top), u64(y & ~top), $STORED, $BIAS)));
}
FN $T soft_sqrt_$T($T a) {
  const $U x = $T_bits(a), infinite = $U(2 * $BIAS + 1) << $STORED;
  if (is_nan_$T(a) || is_zero_$T(x) || x == infinite) return a;
  if (x >> ($STORED == 52 ? 63 : 31) != $U(0)) return bits_$T(infinite | infinite >> 1);
  return bits_$T($U(soft_sqrt(u64(x), $STORED, $BIAS)));
}
#endif
%end
)source";
}

}  // namespace flash::emit
