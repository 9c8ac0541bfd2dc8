// kernels/cpu/microkernel.h -- the inner loops of contractions: a few registers of output, one
// chain
//
// Every element of an output block is one chain of fused multiply-adds in order of k, starting at
// 0; blocks of k are added to the output in order. So results don't depend on the instruction set,
// on how rows and columns are cut into blocks, or on packing: all of that is free to choose for
// speed. Only where k is cut matters: kernels/contraction.h says it.
#pragma once

#include <cstdint>
#include <string_view>

namespace flash::cpu {

inline constexpr int kMaxVectors = 3;  ///< vectors of columns that one call computes, at most
inline constexpr int kMaxRows = 12;    ///< rows of a call, at most

/// c[i][j] = Σ_p a[i * a_row + p * a_col] · b[p * b_row + j]. b is read in whole vectors.
template <class T>
struct GemmBlock {
  std::int64_t k;
  const T* a;
  std::int64_t a_row, a_col;
  const T* b;
  std::int64_t b_row;
  T* c;
  std::int64_t c_row;
  std::int64_t cols;  ///< columns to write; all vectors but the last are whole
  bool accumulate;    ///< add to c instead of overwriting it
  const T* row_bias;  ///< added last, one a row; or nullptr
  const T* col_bias;  ///< added last, one a column, readable in whole vectors; or nullptr
};

/// A convolution's forward: c[i][at(v) + j] = Σ_p a[i * a_row + p] · b[v][offsets[p] + j], where
/// each vector v of output pixels has its own place in the input and in the output.
template <class T>
struct TapBlock {
  std::int64_t k;
  const T* a;
  std::int64_t a_row;
  const T* b[kMaxVectors];
  const std::int64_t* offsets;
  T* c[kMaxVectors];
  std::int64_t c_row;
  std::int64_t cols[kMaxVectors];
  bool accumulate;
  const T* row_bias;
};

/// A convolution's weight gradient: c[i][j] += Σ a[offsets[i] + y * a_row + x] · b[(y * width + x)
/// * b_row + j] over y < height, x < width in row-major order. c and b are whole vectors.
template <class T>
struct PixelBlock {
  std::int64_t height, width;
  const T* a;
  const std::int64_t* offsets;
  std::int64_t a_row;
  const T* b;
  std::int64_t b_row;
  T* c;
  std::int64_t c_row;
  bool accumulate;
};

/// The inner loops of one instruction set for one type.
template <class T>
struct Microkernels {
  const char* name;
  int lanes;                  ///< elements of a vector
  int max_rows[kMaxVectors];  ///< rows of a call with 1 + index vectors, never growing; 0: no calls
  void (*gemm[kMaxVectors][kMaxRows])(const GemmBlock<T>&);
  void (*taps[kMaxVectors][kMaxRows])(const TapBlock<T>&);
  void (*pixels[kMaxVectors][kMaxRows])(const PixelBlock<T>&);
  /// dst[r * dst_row + c] = src[r * src_row + c]; columns from `cols` to dst_row become 0.
  void (*copy)(std::int64_t rows, std::int64_t cols, const T* src, std::int64_t src_row, T* dst,
               std::int64_t dst_row);
  /// dst[c * dst_row + r] = src[r * src_row + c].
  void (*transpose)(std::int64_t rows, std::int64_t cols, const T* src, std::int64_t src_row,
                    T* dst, std::int64_t dst_row);
  /// dst[i] += src[i].
  void (*add)(std::int64_t n, const T* src, T* dst);
  /// Maxima of n windows of 2 × 2 that lie side by side in two rows; NaN is the greatest.
  void (*max_2x2)(std::int64_t n, const T* row0, const T* row1, T* out);
  /// Gives each gradient to the first maximum of its window and 0 to the other three elements.
  void (*max_2x2_dx)(std::int64_t n, const T* row0, const T* row1, const T* dy, T* dx0, T* dx1);
};

/// Rows of half types, widened and rounded to nearest even.
struct HalfRows {
  void (*from_f16)(std::int64_t n, const std::uint16_t* src, float* dst);
  void (*from_bf16)(std::int64_t n, const std::uint16_t* src, float* dst);
  void (*to_f16)(std::int64_t n, const float* src, std::uint16_t* dst);
  void (*to_bf16)(std::int64_t n, const float* src, std::uint16_t* dst);
};

/// Those of the best instruction set that the CPU has and FLASH_ISA allows.
template <class T>
const Microkernels<T>& microkernels();
/// Chooses again: "avx512", "avx2", "portable", or "" for the best; what is not there gives the
/// next.
void select_microkernels(std::string_view isa);
const HalfRows& half_rows();

// One table an instruction set; nullptr where this build has none.
template <class T>
struct MicrokernelSets {
  static const Microkernels<T>* avx512();
  static const Microkernels<T>* avx2();
  static const Microkernels<T>* portable();
};
const HalfRows* half_rows_avx2();

}  // namespace flash::cpu
