// train/metrics/meters.h -- running loss and accuracy that don't stop the recording to be counted
//
// update() records a few operations beside those of the step; the sums stay on the values' device
// and are computed with it. Only value() reads them, so call it at intervals. An update that fails,
// for an index out of range, does not count.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "../../core/export.h"
#include "../../core/tensor.h"
#include "../change_count.h"

namespace flash::metrics {

/// What a meter has counted: enough to continue exactly.
struct MeterState {
  Tensor sum = {};
  std::int64_t count = 0;
};

/// The mean of a value, such as the loss of a batch, weighted by the batch's size. Sums in f64.
class FLASH_API MeanMeter {
 public:
  MeanMeter() { reset(); }
  /// value: one element, floating. Throws ShapeError otherwise.
  void update(const Tensor& value, std::int64_t weight = 1);
  double value() const;  ///< NaN before the first update
  std::int64_t count() const { return count_.value(sum_); }
  void reset();
  MeterState state() const { return {sum_, count()}; }
  void set_state(const MeterState& state);

 private:
  Tensor sum_;
  ChangeCount count_;
};

/// The part of examples whose largest logit is at the target.
class FLASH_API AccuracyMeter {
 public:
  AccuracyMeter() { reset(); }
  /// logits: [N, C] floating; target: [N] integer classes. Throws ShapeError otherwise.
  void update(const Tensor& logits, const Tensor& target);
  double value() const;          ///< in [0, 1]; NaN before the first update
  std::int64_t correct() const;  ///< reads the device
  std::int64_t count() const { return count_.value(sum_); }
  void reset();
  MeterState state() const { return {sum_, count()}; }
  void set_state(const MeterState& state);

 private:
  Tensor sum_;
  ChangeCount count_;
};

}  // namespace flash::metrics
