// nn/module.h -- Module: the base of layers and models, and FLASH_MODULE, which names their members
//
//   struct Mlp : nn::Module {
//     nn::Linear fc1{784, 128}, fc2{128, 10};
//     nn::Dropout drop{0.1};
//     FLASH_MODULE(Mlp, fc1, drop, fc2)               // names, parameters, state, printing
//     Tensor forward(const Tensor& x) { return fc2(drop(relu(fc1(x)))); }
//   };
//
// Members are Parameters, Buffers, modules, and std::vector or std::shared_ptr of modules. Name all
// of them: one that is left out is not trained, saved, moved or printed, and nothing can tell.
// Parameters and buffers are tensors, thus handles: a copy of a module shares them with the
// original, as a copy of a tensor shares its values. Only the train/eval switch is each copy's own.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "../core/tensor.h"

namespace flash::nn {

/// Tensors by name: what is saved of a module. Names are PyTorch's ("fc1.weight").
using StateDict = std::map<std::string, Tensor>;
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;  ///< in order of registration

/// A tensor that is trained: a leaf that requires a gradient. Undefined when the layer has none.
struct FLASH_API Parameter : Tensor {
  Parameter() = default;
  Parameter(const Tensor& t);
};

/// A tensor that is saved with the module but not trained, such as running statistics.
struct FLASH_API Buffer : Tensor {
  Buffer() = default;
  Buffer(const Tensor& t) : Tensor(t) {}
};

class Module;

/// Called for each member of a module, in the order of FLASH_MODULE.
class FLASH_API MemberVisitor {
 public:
  virtual ~MemberVisitor();
  virtual void parameter(const std::string& name, Parameter& p) = 0;
  virtual void buffer(const std::string& name, Buffer& b) = 0;
  virtual void module(const std::string& name, Module& m) = 0;
};

class FLASH_API Module {
 public:
  virtual ~Module();

  /// All parameters, also those of modules within; a shared one once.
  std::vector<Tensor> parameters() const;
  NamedTensors named_parameters() const;
  NamedTensors named_buffers() const;
  std::int64_t num_parameters() const;  ///< elements of all parameters

  /// Parameters and buffers: handles, not copies.
  StateDict state_dict() const;
  /// Copies values in, converting dtype and device. Throws ValueError listing what is missing, what
  /// is not known and which shapes differ, before anything is changed. With strict = false, missing
  /// and unknown names are skipped.
  void load_state_dict(const StateDict& state, bool strict = true);

  /// Switches dropout, batch norm … to training or evaluation, here and in all modules within.
  void train(bool on = true);
  void eval() { train(false); }
  bool training() const { return training_; }

  /// Converts floating parameters and buffers in place, with their gradients: optimizers made
  /// before keep working on them.
  void to(DType dtype);
  /// Moves parameters and buffers, as above.
  void to(Device device);
  /// Forgets all gradients.
  void zero_grad();

  /// The module as a tree, as PyTorch prints it, with the number of parameters of each part.
  std::string str() const;

  // -- written by FLASH_MODULE
  virtual std::string type_name() const { return "Module"; }
  virtual void visit_members(MemberVisitor&) {}
  /// What stands in the parentheses when it is printed: "in_features=784, …".
  virtual std::string describe() const { return {}; }

 protected:
  Module() = default;
  Module(const Module&) = default;
  Module& operator=(const Module&) = default;

 private:
  bool training_ = true;
};

FLASH_API std::ostream& operator<<(std::ostream& os, const Module& m);

namespace detail {

template <class>
inline constexpr bool kNoMember = false;

inline void visit(MemberVisitor& v, const std::string& name, Parameter& p) { v.parameter(name, p); }
inline void visit(MemberVisitor& v, const std::string& name, Buffer& b) { v.buffer(name, b); }
inline void visit(MemberVisitor& v, const std::string& name, Module& m) { v.module(name, m); }
template <class M>
void visit(MemberVisitor& v, const std::string& name, std::shared_ptr<M>& m) {
  if (m) visit(v, name, *m);
}
template <class M>
void visit(MemberVisitor& v, const std::string& name, std::vector<M>& list) {
  for (std::size_t i = 0; i < list.size(); ++i) visit(v, name + "." + std::to_string(i), list[i]);
}
template <class T>
requires std::is_same_v<T, Tensor>
void visit(MemberVisitor&, const std::string&, T&) {
  static_assert(kNoMember<T>, "make the member an nn::Parameter (trained) or an nn::Buffer (not)");
}

/// The next name of "a, b, c".
FLASH_API std::string next_name(std::string_view& names);

template <class... Members>
void visit_all(MemberVisitor& v, [[maybe_unused]] std::string_view names, Members&... members) {
  (visit(v, next_name(names), members), ...);
}

}  // namespace detail
}  // namespace flash::nn

/// Stands in the public part of a module: the type, then its members. Also makes model(x) call
/// model.forward(x).
#define FLASH_MODULE(Type, ...)                                                 \
  std::string type_name() const override { return #Type; }                      \
  void visit_members(::flash::nn::MemberVisitor& v) override {                  \
    ::flash::nn::detail::visit_all(v, #__VA_ARGS__ __VA_OPT__(, ) __VA_ARGS__); \
  }                                                                             \
  template <class... Inputs>                                                    \
  auto operator()(Inputs&&... inputs) {                                         \
    return this->forward(std::forward<Inputs>(inputs)...);                      \
  }                                                                             \
  template <class... Inputs>                                                    \
  auto operator()(Inputs&&... inputs) const {                                   \
    return this->forward(std::forward<Inputs>(inputs)...);                      \
  }
