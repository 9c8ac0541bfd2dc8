// train/data/dataset.h -- what a data set is: a number of examples, and batches of them by index
//
//   struct Squares : data::Dataset {
//     std::int64_t size() const override { return 1000; }
//     data::Batch get_batch(std::span<const std::int64_t> indices, const data::Draw&) const
//     override {
//       std::vector<float> x(indices.begin(), indices.end());
//       Tensor t = from_vector(x);
//       return {t, t * t};
//     }
//   };
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "../../core/export.h"
#include "../../core/random.h"
#include "../../core/tensor.h"

namespace flash::data {

/// Inputs and what they should give; dimension 0 of both counts examples.
struct Batch {
  Tensor x = {}, y = {};
};

/// Random numbers for augmentation. They depend on (seed, epoch, example) only, so that a batch is
/// the same whichever worker makes it and after a resume.
struct FLASH_API Draw {
  std::uint64_t seed = 0;
  std::int64_t epoch = 0;
  /// Four uniform 32-bit words for example `index`.
  PhiloxWords words(std::int64_t index) const;
};

class FLASH_API Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::int64_t size() const = 0;
  /// The examples `indices`, each in [0, size()), stacked. Called by several threads at once.
  virtual Batch get_batch(std::span<const std::int64_t> indices, const Draw& draw) const = 0;
};

/// Examples of two tensors, along dimension 0. It keeps them in the host's memory; a batch is on
/// the device that its tensor was on.
class FLASH_API TensorDataset final : public Dataset {
 public:
  /// Throws ShapeError if x and y have no dimension 0 or not as many examples.
  TensorDataset(const Tensor& x, const Tensor& y);
  std::int64_t size() const override { return size_; }
  Batch get_batch(std::span<const std::int64_t> indices, const Draw& draw) const override;

 private:
  Tensor x_, y_;
  Device x_device_, y_device_;
  std::int64_t size_;
};

/// Examples [start, start + count) of another data set.
class FLASH_API Subset final : public Dataset {
 public:
  Subset(std::shared_ptr<const Dataset> all, std::int64_t start, std::int64_t count);
  std::int64_t size() const override { return count_; }
  Batch get_batch(std::span<const std::int64_t> indices, const Draw& draw) const override;

 private:
  std::shared_ptr<const Dataset> all_;
  std::int64_t start_, count_;
};

}  // namespace flash::data
