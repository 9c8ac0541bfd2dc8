// tests/emulation/tensor_cores.h -- what kernels/gpu/leaf_multiply_text.cpp asks of a GPU's tensor
// cores, by shuffles: threads hold matrices as the PTX ISA lays down for mma and ldmatrix
//
// The order of additions is no GPU's: a sum of 16 products is rounded once.
#pragma once

#include "kernel_state.h"

namespace flash::test::emulation {

/// Another thread's value; all threads of a warp call it.
template <class T>
inline T value_of(T v, unsigned lane) {
  emulation_state.calls.shuffle(&v, sizeof v, lane, false);
  return v;
}
inline unsigned own_lane() { return emulation_state.thread.x % 32; }

inline float f16_number(unsigned bits) {
  const unsigned magnitude = bits & 0x7fff;
  float f = __builtin_bit_cast(float, magnitude << 13) * 0x1p112f;
  if (magnitude >= 0x7c00) f = __builtin_bit_cast(float, 0x7f800000 | magnitude << 13);
  return bits & 0x8000 ? -f : f;
}
inline float bf16_number(unsigned bits) { return __builtin_bit_cast(float, bits << 16); }

/// A thread's share of a 16 x 16 and of a 16 x 8 matrix; two halves a word.
struct Share {
  unsigned a[4], b[2];
};

template <float number(unsigned bits)>
inline void add_product(float* const (&c)[4], const unsigned* a, const unsigned* b) {
  const unsigned group = own_lane() / 4, pair = own_lane() % 4;
  const Share own{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  Share rows[4], columns[2][4];  // by the pair of k that it begins with
  for (unsigned q = 0; q < 4; ++q) {
    rows[q] = value_of(own, group * 4 + q);
    for (unsigned j = 0; j < 2; ++j) columns[j][q] = value_of(own, (pair * 2 + j) * 4 + q);
  }
  for (unsigned i = 0; i < 2; ++i)
    for (unsigned j = 0; j < 2; ++j) {
      double sum = *c[i * 2 + j];
      for (unsigned half = 0; half < 2; ++half)  // of k
        for (unsigned q = 0; q < 4; ++q)
          for (unsigned shift = 0; shift < 32; shift += 16)
            sum += static_cast<double>(number(rows[q].a[half * 2 + i] >> shift & 0xffff)) *
                   static_cast<double>(number(columns[j][q].b[half] >> shift & 0xffff));
      *c[i * 2 + j] = static_cast<float>(sum);
    }
}

/// Rows begin at multiples of 16 bytes; a kernel that has others is ended as by a bad address.
inline const short* matrix_row(const short* own, unsigned matrix, unsigned row) {
  if (__builtin_bit_cast(unsigned long, own) % 16 != 0) *static_cast<volatile char*>(nullptr) = 0;
  return value_of(own, matrix * 8 + row);
}
inline unsigned word(short low, short high) {
  return static_cast<unsigned short>(low) | static_cast<unsigned>(high) << 16;
}

}  // namespace flash::test::emulation

// Templates: most kernels call none of these.
template <class Half>
inline void load_rows(unsigned* m, const Half* row) {
  using namespace flash::test::emulation;
  for (unsigned i = 0; i < 4; ++i) {
    const Half* from = matrix_row(row, i, own_lane() / 4) + own_lane() % 4 * 2;
    m[i] = word(from[0], from[1]);
  }
}
template <class Half>
inline void load_columns(unsigned* m, const Half* row) {
  using namespace flash::test::emulation;
  for (unsigned i = 0; i < 4; ++i) {
    const Half* first = matrix_row(row, i, own_lane() % 4 * 2);
    const Half* second = matrix_row(row, i, own_lane() % 4 * 2 + 1);
    m[i] = word(first[own_lane() / 4], second[own_lane() / 4]);
  }
}
template <class Real>
inline void add_product_f16(Real& c0, Real& c1, Real& c2, Real& c3, const unsigned* a,
                            const unsigned* b) {
  flash::test::emulation::add_product<flash::test::emulation::f16_number>({&c0, &c1, &c2, &c3}, a,
                                                                          b);
}
template <class Real>
inline void add_product_bf16(Real& c0, Real& c1, Real& c2, Real& c3, const unsigned* a,
                             const unsigned* b) {
  flash::test::emulation::add_product<flash::test::emulation::bf16_number>({&c0, &c1, &c2, &c3}, a,
                                                                           b);
}
