// train/optim/sgd.h -- stochastic gradient descent with momentum, as torch.optim.SGD
#pragma once

#include "optimizer.h"

namespace flash::optim {

struct SgdOptions {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;  ///< added to the gradient
  bool nesterov = false;    ///< needs momentum and no dampening
};

/// g += weight_decay·p;  b = momentum·b + (1 - dampening)·g (at first b = g);
/// p -= lr·(g + momentum·b with nesterov, else b). Without momentum p -= lr·g.
class FLASH_API SGD final : public Optimizer {
 public:
  explicit SGD(std::vector<Tensor> params, const SgdOptions& options = {});
  explicit SGD(std::vector<ParamGroup> groups, const SgdOptions& options = {});
  double momentum() const override { return options_.momentum; }
  void set_momentum(double momentum) override;

 private:
  Tensor update(const Tensor& param, const Tensor& grad, ParamState& state,
                const ParamGroup& group) override;
  std::map<std::string, double> numbers() const override;
  void set_numbers(const std::map<std::string, double>& numbers) override;
  SgdOptions options_;
};

}  // namespace flash::optim
