// train/io/checkpoint.cpp -- tensors to host arrays and back, and both to files
#include "train/io/checkpoint.h"

#include <cstring>

#include "train/io/safetensors.h"

namespace flash {
namespace {

template <class T>
void read_values(const Tensor& t, std::vector<std::byte>& out) {
  const std::vector<T> values = t.to_vector<T>();
  out.resize(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(out.data(), values.data(), out.size());
}

}  // namespace

HostArray to_host_array(const Tensor& tensor) {
  HostArray array;
  array.dtype = tensor.dtype();
  array.shape = tensor.shape();
  switch (tensor.dtype()) {
    case DType::kBool: {
      const std::vector<bool> values = tensor.to_vector<bool>();
      for (const bool v : values) array.bytes.push_back(std::byte{v});
      break;
    }
    case DType::kU8:
      read_values<std::uint8_t>(tensor, array.bytes);
      break;
    case DType::kI8:
      read_values<std::int8_t>(tensor, array.bytes);
      break;
    case DType::kI16:
      read_values<std::int16_t>(tensor, array.bytes);
      break;
    case DType::kI32:
      read_values<std::int32_t>(tensor, array.bytes);
      break;
    case DType::kI64:
      read_values<std::int64_t>(tensor, array.bytes);
      break;
    case DType::kF16:
      read_values<Half>(tensor, array.bytes);
      break;
    case DType::kBF16:
      read_values<BFloat16>(tensor, array.bytes);
      break;
    case DType::kF32:
      read_values<float>(tensor, array.bytes);
      break;
    case DType::kF64:
      read_values<double>(tensor, array.bytes);
      break;
  }
  return array;
}

Tensor to_tensor(const HostArray& array) {
  if (array.bytes.size() != static_cast<std::size_t>(array.shape.numel()) *
                                static_cast<std::size_t>(size_of(array.dtype)))
    throw ShapeError("to_tensor: " + std::to_string(array.bytes.size()) + " bytes do not fill " +
                     std::string(name(array.dtype)) + array.shape.str());
  return from_host(array.bytes.data(), array.shape, array.dtype);
}

void save(const nn::StateDict& state, const std::string& path) {
  HostArrays arrays;
  for (const auto& [name, tensor] : state) arrays[name] = to_host_array(tensor);
  io::write_safetensors(path, arrays, {{"format", "flash"}});
}

nn::StateDict load(const std::string& path) {
  nn::StateDict state;
  for (const auto& [name, array] : io::read_safetensors(path)) state[name] = to_tensor(array);
  return state;
}

}  // namespace flash
