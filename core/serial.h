// core/serial.h -- traces as plain data, in a versioned binary form with stable operation ids
//
//   io::Bytes bytes = write_program(recorded_program());             // what is not computed yet
//   std::vector<Tensor> y = replay(read_program(bytes, "a trace"));  // records it again, here
//
// For shipping a trace to another process, keeping a failing one, and exporting.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "export.h"
#include "host_array.h"
#include "io/file.h"
#include "primitive.h"
#include "scope.h"
#include "storage.h"
#include "tensor.h"

namespace flash {

/// A recorded trace: nodes in order, each reading earlier ones.
struct TraceProgram {
  struct Node {
    Prim op{};
    DType dtype{};
    Shape shape;
    std::vector<NodeId> in;
    std::vector<std::int64_t> attrs;  ///< see Prim
    std::uint32_t scope = 0;          ///< into `scopes`; 0: none
    Pass pass = Pass::kForward;
  };
  std::vector<std::string> scopes{""};
  std::vector<Node> nodes;
  std::vector<NodeId> outputs;       ///< values that live tensors wait for
  std::map<NodeId, HostArray> data;  ///< values of inputs, as far as they are part of it
};

/// What is recorded on this thread for a device. Nothing is computed. With `with_data` the values
/// of all inputs are copied.
FLASH_API TraceProgram recorded_program(Device device = default_device(), bool with_data = true);

/// Version 1: little-endian; magic, version, scopes, nodes, outputs, data. See serial.cpp.
FLASH_API io::Bytes write_program(const TraceProgram& program);

/// Throws IoError naming `path` and what is wrong: other magic, newer version, operations it does
/// not know, truncated, or a program that verify_program refuses. Allocates no more than the bytes
/// hold.
FLASH_API TraceProgram read_program(io::ByteSpan bytes, std::string_view path);

/// Throws ValueError if replaying could go wrong: inputs that are not earlier nodes, shapes, dtypes
/// or attributes that do not follow from the inputs, views and writes outside of their storage.
FLASH_API void verify_program(const TraceProgram& program);

/// Verifies and records the program on this thread; returns its outputs, pending. `inputs` are the
/// values of the kInput nodes without data, in order; they must be on `device`. Outside of the
/// tape.
FLASH_API std::vector<Tensor> replay(const TraceProgram& program,
                                     const std::vector<Tensor>& inputs = {},
                                     Device device = default_device());

}  // namespace flash
