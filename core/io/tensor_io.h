// core/io/tensor_io.h -- tensors to host arrays and NumPy's files, and back
//
//   save_npy("weights.npy", w);                   Tensor w = load_npy("weights.npy");
//   save_npz("batch.npz", {{"x", x}, {"y", y}});  Tensor x = load_npz("batch.npz").at("x");
#pragma once

#include <map>
#include <string>

#include "../export.h"
#include "../host_array.h"
#include "../tensor.h"

namespace flash {

using NamedTensors = std::map<std::string, Tensor>;

/// A row-major copy of the values in host memory. Computes what is pending; outside of the tape.
FLASH_API HostArray to_host(const Tensor& tensor);

/// A tensor with a copy of these values. Throws ValueError if the bytes do not fit shape and dtype.
FLASH_API Tensor from_host(const HostArray& array, Device device = default_device());

/// Writes a .npy file, atomically. bf16 is refused with DTypeError: NumPy has no such type.
FLASH_API void save_npy(const std::string& path, const Tensor& tensor);

/// Reads a .npy file. Throws IoError naming the file and what is wrong with it.
FLASH_API Tensor load_npy(const std::string& path, Device device = default_device());

/// Writes an .npz archive, atomically; `compress` deflates its members.
FLASH_API void save_npz(const std::string& path, const NamedTensors& tensors,
                        bool compress = false);

/// Reads all arrays of an .npz archive, by name. Throws IoError likewise.
FLASH_API NamedTensors load_npz(const std::string& path, Device device = default_device());

}  // namespace flash
