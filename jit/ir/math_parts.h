// jit/ir/math_parts.h -- what the functions of math.h are made of and share between their files
#pragma once

#include <cstddef>

#include "jit/ir/expr.h"

namespace flash::ir {

/// high + low, low within half an ulp of high or little more.
struct Sum {
  Expr high, low;
};

/// 2^n (1 + q), n integral.
struct Power {
  Expr n;
  Sum q;
};
/// e^x, about 2^-27 (f32) or 2^-56 (f64) of itself off, for x whose result is in range.
Power exp_of(Sum x);

/// A function of magnitudes by sixteen polynomials, one in each of sixteen intervals of [0, limit].
///
/// In each, f a ≈ f c + t p(t) with t = a - c. The centre c is a float whose f is very nearly a
/// float (the accurate tables of Gal and Bachelis, ACM TOMS 17, 1991), and t is exact. In the first
/// interval c = f c = 0, so that there something exact can stand for f c.
///
/// Which interval: 1 + a stretched runs through equal parts of the octaves from 1 on, and the
/// lowest bits of its exponent with the highest of its fraction tell them apart.
template <std::size_t Columns>
struct Intervals {
  double limit;    // of a
  double stretch;  // just below (the last value of 1 + a stretched, less 1) / limit
  int shift;       // the bits above these number the intervals, modulo 16
  // Sixteen rows: c, f c, then p from its constant term up: minimax in ULPs of the result (fitted
  // as in math_exp.cpp), with the relative error of f.
  const float (*rows)[Columns];
};

/// f ≈ centre + t p.
struct Piece {
  Expr t, p, centre;
};
template <std::size_t Columns>
Piece piece(const Intervals<Columns>& f, Expr a) {
  // One column by the lowest four bits of (1 + a stretched) >> shift, which are not 0 for 1.
  const auto column = [&](std::size_t n) {
    constexpr std::size_t kOne = 0x3f800000;
    Table t{};
    for (std::size_t i = 0; i < t.size(); ++i) t[(i + (kOne >> f.shift)) % t.size()] = f.rows[i][n];
    return t;
  };
  const Expr interval = shr_l(fma(a, f.stretch, 1.0).as(Type::kI32), f.shift);
  const Expr t = a - lookup(column(0), interval);
  Expr p = lookup(column(Columns - 1), interval);
  for (std::size_t n = Columns - 2; n >= 2; --n) p = fma(p, t, lookup(column(n), interval));
  return {t, p, lookup(column(1), interval)};
}

}  // namespace flash::ir
