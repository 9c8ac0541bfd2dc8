// nn/sequential.h -- modules in a row
//
//   nn::Sequential net(nn::Linear(784, 128), nn::ReLU(), nn::Linear(128, 10));
#pragma once

#include "module.h"

namespace flash::nn {

/// Gives the output of each module to the next. Takes modules by value; copies share parameters.
/// They are named "0", "1", ….
class FLASH_API Sequential : public Module {
 public:
  template <class... Modules>
  requires(std::is_base_of_v<Module, std::decay_t<Modules>>&&...) explicit Sequential(
      Modules&&... modules) {
    (add(std::forward<Modules>(modules)), ...);
  }
  Sequential(const Sequential&) = default;
  Sequential(Sequential&) = default;
  Sequential(Sequential&&) = default;
  Sequential& operator=(const Sequential&) = default;

  template <class M>
  Sequential& add(M&& module) {
    steps_.push_back(std::make_shared<StepOf<std::decay_t<M>>>(std::forward<M>(module)));
    return *this;
  }
  Tensor forward(const Tensor& x);
  std::size_t size() const { return steps_.size(); }
  Module& operator[](std::size_t i);  ///< throws IndexError

  std::string type_name() const override { return "Sequential"; }
  void visit_members(MemberVisitor& v) override;
  Tensor operator()(const Tensor& x) { return forward(x); }

 private:
  struct FLASH_API Step {
    virtual ~Step();
    virtual Module& module() = 0;
    virtual Tensor forward(const Tensor& x) = 0;
  };
  template <class M>
  struct StepOf final : Step {
    template <class From>
    explicit StepOf(From&& from) : m(std::forward<From>(from)) {}
    Module& module() override { return m; }
    Tensor forward(const Tensor& x) override { return m.forward(x); }
    M m;
  };
  std::vector<std::shared_ptr<Step>> steps_;
};

}  // namespace flash::nn
