// train/data/digits.h -- pictures of digits as a data set: MNIST, or drawn ones
#pragma once

#include <cstdint>
#include <string>

#include "../../core/export.h"
#include "dataset.h"
#include "idx.h"

namespace flash::data {

struct DigitsOptions {
  int shift = 0;         ///< augmentation: each picture moves by up to this many pixels, drawn anew
                         ///< every epoch
  double mean = 0.1307;  ///< of pixels in [0, 1]: MNIST's training set
  double stddev = 0.3081;
};

/// x: f32 [N, 1, H, W], (pixel / 255 - mean) / stddev; y: i64 [N].
class FLASH_API Digits final : public Dataset {
 public:
  /// Throws ShapeError or DTypeError unless images are u8 [N, H, W] and labels u8 [N].
  explicit Digits(LabelledImages images, const DigitsOptions& options = {});
  std::int64_t size() const override { return images_.labels.shape[0]; }
  Batch get_batch(std::span<const std::int64_t> indices, const Draw& draw) const override;

  std::int64_t height() const { return images_.images.shape[1]; }
  std::int64_t width() const { return images_.images.shape[2]; }
  int label(std::int64_t index) const;
  /// Row-major pixels, 0 background.
  std::span<const std::uint8_t> pixels(std::int64_t index) const;
  /// Pixels as the network takes them: f32 [1, 1, H, W].
  Tensor input(std::span<const std::uint8_t> pixels) const;

 private:
  LabelledImages images_;
  DigitsOptions options_;
  float value_[256];  // of each pixel byte
};

}  // namespace flash::data
