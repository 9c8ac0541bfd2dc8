// tests/nn/onnx_fixture.cpp -- the few protobuf fields that the fixtures use
//
// A protobuf message is a row of (field number << 3 | wire type, value): varints, 8 bytes,
// length-prefixed bytes, 4 bytes. Field numbers are those of onnx.proto3: ModelProto.graph 7;
// GraphProto.initializer 5; TensorProto.dims 1, data_type 2, name 8, raw_data 9.
#include "onnx_fixture.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <stdexcept>
#include <string_view>

#include "golden_data.h"

namespace flash::testing {
namespace {

struct Field {
  std::uint64_t number = 0, value = 0;
  std::string_view bytes = {};
};

void each_field(std::string_view message, const std::function<void(const Field&)>& f) {
  std::size_t at = 0;
  const auto need = [&](std::size_t n) {
    if (message.size() - at < n) throw std::runtime_error("truncated protobuf message");
  };
  const auto varint = [&] {
    std::uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      need(1);
      const auto byte = static_cast<unsigned char>(message[at++]);
      v |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return v;
    }
    throw std::runtime_error("protobuf varint too long");
  };
  while (at < message.size()) {
    const std::uint64_t key = varint();
    Field field{.number = key >> 3};
    std::size_t length = 0;
    switch (key & 7) {
      case 0:
        field.value = varint();
        break;
      case 1:
        length = 8;
        break;
      case 2:
        length = varint();
        break;
      case 5:
        length = 4;
        break;
      default:
        throw std::runtime_error("unknown protobuf wire type");
    }
    need(length);
    field.bytes = message.substr(at, length);
    at += length;
    f(field);
  }
}

Tensor parse_tensor(std::string_view message, std::string& name) {
  Shape shape;
  std::uint64_t type = 0;
  std::string_view raw;
  each_field(message, [&](const Field& f) {
    if (f.number == 1 && f.bytes.empty()) {
      shape.push_back(static_cast<std::int64_t>(f.value));
    } else if (f.number == 1) {  // packed; all sizes here are below 128
      for (const char c : f.bytes) shape.push_back(c);
    }
    if (f.number == 2) type = f.value;
    if (f.number == 8) name = f.bytes;
    if (f.number == 9) raw = f.bytes;
  });
  const DType dtype = type == 1 ? f32 : type == 7 ? i64 : f64;
  if (type != 1 && type != 7 && type != 11) throw std::runtime_error("unknown tensor type");
  if (raw.size() != static_cast<std::size_t>(shape.numel() * size_of(dtype)))
    throw std::runtime_error("raw data does not fill the shape");
  return from_host(raw.data(), shape, dtype);
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<Tensor> read_set(const std::filesystem::path& folder, const std::string& prefix) {
  std::vector<Tensor> all;
  for (int i = 0;; ++i) {
    const auto path = folder / (prefix + std::to_string(i) + ".pb");
    if (!std::filesystem::exists(path)) return all;
    std::string name;
    all.push_back(parse_tensor(read_file(path), name));
  }
}

}  // namespace

std::optional<OnnxFixture> read_onnx_fixture(const std::string& name) {
  const std::filesystem::path folder = test::golden("onnx/pytorch-converted/" + name);
  if (folder.empty()) return std::nullopt;
  OnnxFixture fixture;
  std::map<int, Tensor> weights;
  each_field(read_file(folder / "model.onnx"), [&](const Field& model) {
    if (model.number != 7) return;
    each_field(model.bytes, [&](const Field& graph) {
      if (graph.number != 5) return;
      std::string id;
      const Tensor t = parse_tensor(graph.bytes, id);
      weights[std::stoi(id)] = t;
    });
  });
  for (const auto& [id, t] : weights) fixture.weights.push_back(t);
  fixture.inputs = read_set(folder / "test_data_set_0", "input_");
  fixture.outputs = read_set(folder / "test_data_set_0", "output_");
  return fixture;
}

}  // namespace flash::testing
