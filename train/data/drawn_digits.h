// train/data/drawn_digits.h -- digits drawn by the computer: a data set that needs no download
//
// Each picture is a pen's way through a digit's strokes, bent, slanted, turned, scaled and moved at
// random, drawn with a pen of random width, a little blurred and noisy. Pictures look like MNIST's:
// 28 x 28, white on black, in the middle.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "../../core/export.h"
#include "idx.h"

namespace flash::data {

inline constexpr int kDigitSize = 28;
inline constexpr int kDigitPixels = kDigitSize * kDigitSize;

/// An endless sequence of drawn digits. Picture `index` of a seed is always the same, bit for bit
/// on every machine, whatever was drawn before; a training set and a test set are two ranges that
/// do not overlap. Thread-safe; over 100,000 pictures a second and core.
class FLASH_API DrawnDigits {
 public:
  explicit DrawnDigits(std::uint64_t seed) : seed_(seed) {}

  /// The label of picture `index`, 0 … 9, each with the same probability.
  int label(std::uint64_t index) const;

  /// Draws picture `index`, row-major, 0 is background; returns its label.
  int draw(std::uint64_t index, std::span<std::uint8_t, kDigitPixels> image) const;

  /// Pictures first … first + count - 1 as u8 [count, 28, 28], and their labels as u8 [count].
  /// Throws ValueError when count is negative.
  LabelledImages make(std::uint64_t first, std::int64_t count) const;

 private:
  std::uint64_t seed_;
};

/// A 28 x 28 picture as 14 lines of 28 characters, each ended by a newline.
FLASH_API std::string render_ascii(std::span<const std::uint8_t, kDigitPixels> image);

}  // namespace flash::data
