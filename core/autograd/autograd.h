// core/autograd/autograd.h -- the tape's public side: gradients, switching it off, custom functions
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "../callback.h"
#include "../function_ref.h"
#include "../tensor.h"

namespace flash {

/// While one lives, this thread records nothing on the tape.
class FLASH_API NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};
/// While one lives, this thread's tape is on, also inside a NoGrad.
class FLASH_API EnableGrad {
 public:
  EnableGrad();
  ~EnableGrad();
  EnableGrad(const EnableGrad&) = delete;
  EnableGrad& operator=(const EnableGrad&) = delete;

 private:
  bool before_;
};
FLASH_API bool grad_enabled();
template <class F>
auto no_grad(F&& f) {
  NoGrad guard;
  return f();
}

/// Gradients of Σ outputs·grad_outputs with respect to `inputs`, without touching any grad().
/// With create_graph the result can be differentiated again. An input that outputs don't depend on
/// throws AutogradError unless allow_unused (its gradient is then undefined).
FLASH_API std::vector<Tensor> grad(const std::vector<Tensor>& outputs,
                                   const std::vector<Tensor>& inputs,
                                   const std::vector<Tensor>& grad_outputs = {},
                                   bool retain_graph = false, bool create_graph = false,
                                   bool allow_unused = false);

/// Makes `value` the content of the leaf `t`, which stays the same tensor to all who hold it
/// (torch's `t.data = value`): another dtype, device or shape. Its gradient is forgotten if that no
/// longer fits.
FLASH_API void set_data(Tensor& t, const Tensor& value);

/// What a custom function keeps from forward to backward. Saved tensors are checked for in-place
/// changes when they are read.
class FLASH_API FunctionContext {
 public:
  void save(std::vector<Tensor> tensors);
  std::vector<Tensor> saved() const;

 private:
  friend struct FunctionAccess;
  std::vector<std::shared_ptr<struct SavedTensor>> saved_;
};

/// A function with a hand-written gradient. `forward` runs without the tape; `backward` gets the
/// gradients of the outputs and returns one gradient an input (undefined where there is none).
/// Written with public operations it can be differentiated again.
FLASH_API std::vector<Tensor> custom_function(
    const std::string& name, const std::vector<Tensor>& inputs,
    FunctionRef<std::vector<Tensor>(FunctionContext&, const std::vector<Tensor>&)> forward,
    Callback<std::vector<Tensor>(FunctionContext&, const std::vector<Tensor>&)> backward);

}  // namespace flash
