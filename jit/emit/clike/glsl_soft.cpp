// jit/emit/clike/glsl_soft.cpp -- by integers or by other operations, what a device does not round
// correctly
//
// By integers: a number other than zero, infinity and NaN is m * 2^e with m in [2^52, 2^53), of
// either type. A result is computed to at least 57 bits, the last of which says whether anything
// was lost, and then rounded once to p bits. (The same steps as in any description of IEEE
// arithmetic; Handbook of Floating-Point Arithmetic, chapter 7.)
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

FN f32 soft_fma_f32(f32 a, f32 b, f32 c) {
  const u32 x = f32_bits(a), y = f32_bits(b), z = f32_bits(c);
  if (is_zero_f32(x) || is_zero_f32(y)) {
    if (is_finite_f32(x) && is_finite_f32(y) && !is_zero_f32(z)) return c;
    precise f32 r = a * b + c;
    return r;
  }
  if (!is_finite_f32(x) || !is_finite_f32(y) || !is_finite_f32(z)) {
    if (is_finite_f32(x) && is_finite_f32(y)) return c;
    // a product with an infinity: its size does not matter, but may not be flushed
    const u32 top = 0x80000000u, one = 0x3f800000u;
    precise f32 p = (is_finite_f32(x) ? bits_f32((x & top) | one) : a) *
                    (is_finite_f32(y) ? bits_f32((y & top) | one) : b);
    precise f32 r = is_finite_f32(z) ? p : p + c;
    return r;
  }
  return bits_f32(u32(soft_fma(u64(x), u64(y), u64(z), 23, 127)));
}

#if defined(HAS_F64)
// a * b + c by sums and products of f64, which are exact to their last bit wherever there is f64
// (glsl.h). The product is a sum of two numbers, without its exponent; c is brought to the same
// scale. What is lost before the last sum makes its operand odd, so that it rounds as if nothing
// were (Boldo and Melquiond, Emulation of FMA and correctly rounded sums: proved algorithms using
// rounding to odd, 2008). No branches: a compiler that unrolls everything sees one line of sums.
struct TwoNumbers {
  f64 high, low;
};
FN TwoNumbers exact_sum(f64 a, f64 b) {
  precise f64 s = a + b;
  precise f64 t = s - a;
  precise f64 low = (a - (s - t)) + (b - t);
  return TwoNumbers(s, low);
}
FN f64 sum_to_odd(f64 a, f64 b) {
  const TwoNumbers s = exact_sum(a, b);
  const u64 bits = f64_bits(s.high);
  const bool lost = s.low < f64(0) || s.low > f64(0);  // not so beside infinities
  const u64 step = (s.low < f64(0)) != (s.high < f64(0)) ? ~u64(0) : u64(1);
  return bits_f64(bits + (lost && (bits & u64(1)) == u64(0) ? step : u64(0)));
}
FN f64 power_of_two(i32 e) { return bits_f64(u64(e + 1023) << 52); }
// x = m * 2^e, |m| in [0.5, 1)
struct Scaled {
  f64 m;
  i32 e;
};
FN i32 exponent_bits(u64 bits) { return i32(bits >> 52) & 2047; }
FN Scaled scaled(f64 x) {
  const bool small = exponent_bits(f64_bits(x)) == 0;
  precise f64 y = x * power_of_two(small ? 54 : 0);
  const u64 bits = f64_bits(y);
  const f64 m = bits_f64((bits & ~(u64(2047) << 52)) | u64(1022) << 52);
  return Scaled(m, exponent_bits(bits) - (small ? 1022 + 54 : 1022));
}
FN f64 soft_fma_f64(f64 a, f64 b, f64 c) {
  const Scaled x = scaled(a), y = scaled(b), z = scaled(c);
  // By how much c is above the product. Far above or below it does not matter how far.
  const bool alone = c == f64(0);
  const i32 above = alone ? 0 : z.e - (x.e + y.e);
  const i32 e = x.e + y.e + max(above - 60, 0);
  precise f64 addend = alone ? f64(0) : z.m * power_of_two(clamp(above, -110, 60));
  // The product, by halves of its factors (Veltkamp, Dekker).
  const f64 split = bits_f64(u64(0x41a00000u) << 32 | u64(0x02000000u));  // 2^27 + 1
  precise f64 high = x.m * y.m;
  precise f64 xs = x.m * split;
  precise f64 ys = y.m * split;
  precise f64 xh = xs - (xs - x.m);
  precise f64 yh = ys - (ys - y.m);
  precise f64 xl = x.m - xh;
  precise f64 yl = y.m - yh;
  precise f64 low = ((xh * yh - high) + xh * yl + xl * yh) + xl * yl;
  const TwoNumbers s = exact_sum(high, addend);
  const f64 rest = sum_to_odd(s.low, low);
  // A result below the normal numbers is rounded where a sum with the least of these is.
  precise f64 v = s.high + rest;
  const u64 sign = f64_bits(v) & u64(1) << 63;
  const f64 least = power_of_two(clamp(-1022 - e, -200, 200));
  const bool is_below = abs(v) <= least;
  const f64 with = is_below ? bits_f64(f64_bits(least) | sign) : f64(0);
  const TwoNumbers h = exact_sum(with, s.high);
  precise f64 r = (h.high + sum_to_odd(h.low, rest)) - with;
  if (is_below && r == f64(0)) r = bits_f64(sign);
  const i32 n = clamp(e, -1300, 2000), half_of_n = n >> 1;
  precise f64 result = (r * power_of_two(half_of_n)) * power_of_two(n - half_of_n);
  precise f64 plain = a * b + c;
  const bool product_is_finite =
      exponent_bits(f64_bits(a)) != 2047 && exponent_bits(f64_bits(b)) != 2047;
  const bool c_is_finite = exponent_bits(f64_bits(c)) != 2047;
  const bool is_zero = a == f64(0) || b == f64(0);
  const f64 special = product_is_finite && !c_is_finite ? c : plain;
  return is_zero || !product_is_finite || !c_is_finite ? special : result;
}
#endif
)source";
}

}  // namespace flash::emit
