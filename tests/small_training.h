// tests/small_training.h -- a small network, its optimizer and batches of any size
#pragma once

#include <flash/flash.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace flash::test {

/// Equal from its first step on, on every device.
class SmallTraining {
 public:
  explicit SmallTraining(Device device) : device_(device), generator_(3) {
    model_.to(device);
    optimizer_ = std::make_unique<optim::Adam>(model_.parameters(), optim::AdamOptions{.lr = 1e-2});
  }
  /// Returns its loss.
  Tensor step(std::int64_t batch) {
    const Tensor x = rand({batch, 12}, {}, &generator_).to(device_);
    const Tensor rows = arange(0, batch).to(DType::kI64).to(device_);
    const Tensor loss = cross_entropy(model_.forward(x), remainder(rows, 5));
    optimizer_->zero_grad();
    loss.backward();
    optimizer_->step();
    return loss.detach();
  }
  std::vector<std::vector<float>> weights() {
    std::vector<std::vector<float>> all;
    for (const Tensor& p : model_.parameters()) all.push_back(p.to_vector<float>());
    return all;
  }

 private:
  static nn::Sequential made() {
    manual_seed(11);
    return nn::Sequential(nn::Linear(12, 20), nn::ReLU(), nn::Linear(20, 5));
  }
  Device device_;
  Generator generator_;
  nn::Sequential model_ = made();
  std::unique_ptr<optim::Adam> optimizer_;
};

}  // namespace flash::test
