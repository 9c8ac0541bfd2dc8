// train/io/checkpoint.h -- named tensors to safetensors files and back
//
//   save(model.state_dict(), "mlp.safetensors");
//   model.load_state_dict(load("mlp.safetensors"));
#pragma once

#include <string>

#include "../../core/export.h"
#include "../../core/tensor.h"
#include "../../nn/module.h"

namespace flash {

/// Computes what is pending and writes all tensors, atomically. Throws IoError.
FLASH_API void save(const nn::StateDict& state, const std::string& path);

/// Reads all tensors of a file: onto the CPU, or another device. Throws IoError when it is not
/// whole.
FLASH_API nn::StateDict load(const std::string& path, Device device = {});

}  // namespace flash
