// tests/files/safetensors.cpp -- hostile safetensors files
#include "train/io/safetensors.h"

#include "tests/files/format.h"
#include "tests/files/harnesses.h"

namespace flash::test {
namespace {

/// What parsed JSON takes for each byte of its text: "[]," are three, the value and its empty
/// vector are 48; an object's entry has a node, and its name is there three times.
constexpr std::uint64_t kJsonRatio = 64;

}  // namespace

bool read_safetensors(io::ByteSpan file) {
  io::Metadata metadata;
  const auto arrays = read_bounded(kJsonRatio * file.size(),
                                   [&] { return io::parse_safetensors(file, kFile, &metadata); });
  if (!arrays) return false;
  std::size_t bytes = 0;
  for (const auto& [name, array] : *arrays) {
    check_whole(array);
    bytes += array.bytes.size();
  }
  promise(bytes < file.size(), "there are more elements than bytes");
  const io::Bytes again = io::safetensors_bytes(*arrays, metadata);
  io::Metadata also;
  check_same(*arrays, io::parse_safetensors(again, kFile, &also));
  promise(metadata == also, "of the metadata that was written other is read");
  promise(io::safetensors_bytes(*arrays, also) == again, "equal arrays give other files");
  return true;
}

std::vector<io::Bytes> safetensors_seeds() {
  HostArrays all, one;
  for (int t = 0; t < kNumDTypes; ++t) {
    const auto dtype = static_cast<DType>(t);
    all.emplace(name(dtype), some_array(dtype, {t % 3, 2}));
  }
  one.emplace("layer.weight", some_array(DType::kBool, {2, 1, 3}));
  return {io::safetensors_bytes({}), io::safetensors_bytes(one, {{"format", "flash"}}),
          io::safetensors_bytes(all, {{"epoch", "3"}, {"text", "a \"quoted\" \n line, äöü"}})};
}

}  // namespace flash::test
