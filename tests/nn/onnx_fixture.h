// tests/nn/onnx_fixture.h -- reads the ONNX backend tests: weights, inputs and outputs made by
// PyTorch
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace flash::testing {

struct OnnxFixture {
  std::vector<Tensor> weights;  ///< the model's initializers, in order of their numeric names
  std::vector<Tensor> inputs, outputs;
};

/// The fixture of this name, or nothing when the golden data is not there.
std::optional<OnnxFixture> read_onnx_fixture(const std::string& name);

}  // namespace flash::testing
