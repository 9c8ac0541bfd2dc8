// train/optim/adam.h -- Adam and AdamW, as torch.optim.Adam and torch.optim.AdamW
//
// D. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015;
// I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
#pragma once

#include "optimizer.h"

namespace flash::optim {

struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;  ///< Adam: added to the gradient
};

struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 1e-2;  ///< AdamW: p is shrunk by lr·weight_decay first
};

/// m += (g - m)·(1 - β₁);  v = β₂·v + (1 - β₂)·g²;
/// p -= lr / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + eps).
class FLASH_API Adam : public Optimizer {
 public:
  explicit Adam(std::vector<Tensor> params, const AdamOptions& options = {});
  explicit Adam(std::vector<ParamGroup> groups, const AdamOptions& options = {});
  double momentum() const override { return options_.beta1; }
  void set_momentum(double beta1) override;

 protected:
  Adam(const char* kind, std::vector<ParamGroup> groups, const AdamOptions& options,
       bool decoupled);

 private:
  Tensor update(const Tensor& param, const Tensor& grad, ParamState& state,
                const ParamGroup& group) override;
  std::map<std::string, double> numbers() const override;
  void set_numbers(const std::map<std::string, double>& numbers) override;
  AdamOptions options_;
  bool decoupled_;
};

/// Adam with p *= 1 - lr·weight_decay in place of the gradient's part.
class FLASH_API AdamW final : public Adam {
 public:
  explicit AdamW(std::vector<Tensor> params, const AdamWOptions& options = {});
  explicit AdamW(std::vector<ParamGroup> groups, const AdamWOptions& options = {});
};

}  // namespace flash::optim
