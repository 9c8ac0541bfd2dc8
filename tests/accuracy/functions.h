// tests/accuracy/functions.h -- every unary float function of the public interface, with references
#pragma once

#include <flash/flash.h>

#include <cstddef>
#include <span>
#include <vector>

namespace flash::accuracy {

/// What is known of f(-x): the sweep over f32 asks its reference for half of the arguments only.
enum class Parity : std::uint8_t { kNone, kEven, kOdd };

struct Function {
  const char* name;  // as in bounds.h
  Tensor (*op)(const Tensor&);
  Parity parity;
  /// References, exact to a few last places of their own: double serves f32, f16 and bf16 (29 bits
  /// more than f32 has), long double f64 (11 bits more).
  void (*wide)(const float* x, double* y, std::size_t n);
  long double (*widest)(long double);
  /// y[i] = f(x[i]) by the C library, as a plain loop writes it.
  void (*libm32)(const float* x, float* y, std::size_t n);
  void (*libm64)(const double* x, double* y, std::size_t n);
  /// Throughput is measured on arguments from here, and a quarter of f64's arguments lie here.
  double low, high;
  double at_ends[4];  // f(-inf), f(-0), f(+0), f(+inf), as C99's Annex F or PyTorch has them
  std::vector<double> edges;  // where formulas change, saturate, overflow, or the result is 0
};

std::span<const Function> functions();

/// The reference for one value of f32, f16 or bf16.
inline double wide_at(const Function& f, double x) {
  const auto narrow = static_cast<float>(x);
  double y = 0;
  f.wide(&narrow, &y, 1);
  return y;
}

/// Whether arguments close to multiples of π/2 are the hard ones.
bool is_trigonometric(const Function& f);

}  // namespace flash::accuracy
