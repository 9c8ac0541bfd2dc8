// train/io/checkpoint.cpp -- named tensors to safetensors files and back
#include "train/io/checkpoint.h"

#include "core/error.h"
#include "core/io/tensor_io.h"
#include "train/io/safetensors.h"

namespace flash {

void save(const nn::StateDict& state, const std::string& path) {
  HostArrays arrays;
  for (const auto& [name, tensor] : state) {
    if (!tensor.defined())
      throw ValueError("save: '" + path + "': the tensor named '" + name + "' is undefined");
    arrays[name] = to_host(tensor);
  }
  io::write_safetensors(path, arrays, {{"format", "flash"}});
}

nn::StateDict load(const std::string& path, Device device) {
  nn::StateDict state;
  for (const auto& [name, array] : io::read_safetensors(path))
    state[name] = from_host(array, device);
  return state;
}

}  // namespace flash
