// core/io/tensor_io.cpp -- tensors to host arrays and NumPy's files, and back
#include "core/io/tensor_io.h"

#include "core/autograd/autograd.h"
#include "core/io/npy.h"
#include "core/io/npz.h"
#include "core/tensor_impl.h"
#include "core/thread_traces.h"

namespace flash {

HostArray to_host(const Tensor& tensor) {
  NoGrad guard;
  const Tensor whole = tensor.contiguous();
  const TensorImpl& i = *whole.impl();
  const Ref<Buffer> held = buffer_of(*i.cell, FlushReason::kRead);
  HostArray array;
  array.dtype = whole.dtype();
  array.shape = whole.shape();
  array.bytes.resize(static_cast<std::size_t>(whole.numel() * size_of(array.dtype)));
  const Buffer& b = *held;
  if (!array.bytes.empty())
    b.device().to_host(array.bytes.data(),
                       static_cast<const char*>(b.data()) + i.offset * size_of(array.dtype),
                       array.bytes.size(), {});
  return array;
}

Tensor from_host(const HostArray& array, Device device) {
  io::check_host_array(array, "from_host");
  return from_host(array.bytes.data(), array.shape, array.dtype, device);
}

void save_npy(const std::string& path, const Tensor& tensor) {
  io::write_npy(path, to_host(tensor));
}

Tensor load_npy(const std::string& path, Device device) {
  return from_host(io::read_npy(path), device);
}

void save_npz(const std::string& path, const NamedTensors& tensors, bool compress) {
  HostArrays arrays;
  for (const auto& [name, tensor] : tensors) arrays.emplace(name, to_host(tensor));
  io::write_npz(path, arrays, compress);
}

NamedTensors load_npz(const std::string& path, Device device) {
  NamedTensors tensors;
  for (const auto& [name, array] : io::read_npz(path))
    tensors.emplace(name, from_host(array, device));
  return tensors;
}

}  // namespace flash
