// train/io/safetensors.cpp -- an 8-byte length, a JSON header, and the arrays behind it
//
// Format: github.com/huggingface/safetensors, README, section "Format".
#include "train/io/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/function_ref.h"
#include "core/io/atomic_file.h"
#include "core/io/npy.h"
#include "train/io/json.h"

namespace flash::io {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxHeader = 100'000'000;  // the format's own limit

struct FileType {
  const char* name;
  int bits;
  int dtype;  // a DType, or -1: known, but not one of Flash's
};
constexpr FileType kTypes[] = {
    {"F64", 64, static_cast<int>(DType::kF64)},
    {"F32", 32, static_cast<int>(DType::kF32)},
    {"F16", 16, static_cast<int>(DType::kF16)},
    {"BF16", 16, static_cast<int>(DType::kBF16)},
    {"I64", 64, static_cast<int>(DType::kI64)},
    {"I32", 32, static_cast<int>(DType::kI32)},
    {"I16", 16, static_cast<int>(DType::kI16)},
    {"I8", 8, static_cast<int>(DType::kI8)},
    {"U8", 8, static_cast<int>(DType::kU8)},
    {"BOOL", 8, static_cast<int>(DType::kBool)},
    {"U16", 16, -1},
    {"U32", 32, -1},
    {"U64", 64, -1},
    {"F8_E4M3", 8, -1},
    {"F8_E5M2", 8, -1},
    {"F8_E8M0", 8, -1},
};

const FileType* find_type(const std::string& name) {
  for (const FileType& t : kTypes) {
    if (name == t.name) return &t;
  }
  return nullptr;
}

const char* type_name(DType dtype) {
  for (const FileType& t : kTypes) {
    if (t.dtype == static_cast<int>(dtype)) return t.name;
  }
  throw InternalError("safetensors: a dtype without a name");
}

json parse_header(const Bytes& text, const std::string& path) {
  try {
    return parse_json(text, 4);
  } catch (const JsonError& e) {
    fail(path, std::string("is damaged: its header ") + e.what());
  }
}

std::uint64_t unsigned_at(const json& value, const std::string& where) {
  if (!value.is_number_unsigned()) fail(where, "is damaged: it needs whole numbers of 0 or more");
  return value.get<std::uint64_t>();
}

SafetensorsFile::Entry parse_entry(const json& value, std::uint64_t data_at,
                                   std::uint64_t data_size, const std::string& where) {
  if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string() ||
      !value.contains("shape") || !value["shape"].is_array() || !value.contains("data_offsets") ||
      !value["data_offsets"].is_array() || value["data_offsets"].size() != 2) {
    fail(where, "is damaged: it needs dtype, shape and two data_offsets");
  }
  SafetensorsFile::Entry out;
  out.dtype = value["dtype"].get<std::string>();
  if (value["shape"].size() > kMaxRank) fail(where, "has more than 8 dimensions");
  for (const json& size : value["shape"]) {
    const std::uint64_t n = unsigned_at(size, where);
    if (n > INT64_MAX) fail(where, "is damaged: its shape is too large");
    out.shape.push_back(static_cast<std::int64_t>(n));
  }
  try {
    check_shape(out.shape, "safetensors");
  } catch (const ShapeError& e) {
    fail(where, e.what());
  }
  const std::uint64_t begin = unsigned_at(value["data_offsets"][0], where);
  const std::uint64_t end = unsigned_at(value["data_offsets"][1], where);
  if (begin > end || end > data_size) {
    fail(where, "is damaged: its data_offsets " + std::to_string(begin) + " and " +
                    std::to_string(end) + " do not lie in the " + std::to_string(data_size) +
                    " bytes of data");
  }
  if (const FileType* type = find_type(out.dtype)) {
    const auto elements = static_cast<std::uint64_t>(out.shape.numel());
    const auto width = static_cast<std::uint64_t>(type->bits / 8);
    if ((end - begin) % width != 0 || (end - begin) / width != elements) {
      fail(where, "is damaged: shape " + out.shape.str() + " of " + out.dtype + " does not fill " +
                      std::to_string(end - begin) + " bytes");
    }
  }
  out.begin = data_at + begin;
  out.end = data_at + end;
  return out;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : SafetensorsFile(InputFile(path)) {}

SafetensorsFile::SafetensorsFile(InputFile file) : file_(std::move(file)) {
  const std::string& path = file_.path();
  if (file_.size() < 8) fail(path, "is not a safetensors file: it is shorter than 8 bytes");
  const std::uint64_t length = load_le(file_.read_at(0, 8), 0, 8);
  if (length > kMaxHeader || length > file_.size() - 8) {
    fail(path, "is not a safetensors file, or truncated: its header should have " +
                   std::to_string(length) + " bytes, behind the first 8 the file has " +
                   std::to_string(file_.size() - 8));
  }
  const json header = parse_header(file_.read_at(8, length), path);
  if (!header.is_object()) fail(path, "is damaged: its header is not a JSON object");
  const std::uint64_t data_at = 8 + length, data_size = file_.size() - data_at;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      if (!value.is_object()) fail(path, "is damaged: __metadata__ is not an object");
      for (const auto& [key, text] : value.items()) {
        if (!text.is_string()) fail(path, "is damaged: __metadata__ holds more than strings");
        metadata_[key] = text.get<std::string>();
      }
    } else {
      entries_[name] = parse_entry(value, data_at, data_size, path + ": " + printable(name));
    }
  }
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  for (const auto& [name, entry] : entries_) ranges.emplace_back(entry.begin, entry.end);
  std::sort(ranges.begin(), ranges.end());
  std::uint64_t at = data_at;
  for (const auto& [begin, end] : ranges) {
    if (begin != at) fail(path, "is damaged: its arrays overlap or leave holes");
    at = end;
  }
  if (at != file_.size()) {
    fail(path, "is damaged: " + std::to_string(file_.size() - at) + " bytes belong to no array");
  }
}

bool SafetensorsFile::contains(const std::string& name) const { return entries_.count(name) != 0; }

HostArray SafetensorsFile::read(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    throw IndexError("\"" + file_.path() + "\": has no array \"" + printable(name) + "\"; it has " +
                     std::to_string(entries_.size()) + " others");
  }
  const Entry& entry = found->second;
  const FileType* type = find_type(entry.dtype);
  if (!type || type->dtype < 0) {
    throw DTypeError("\"" + file_.path() + "\": " + printable(name) + " has elements of type " +
                     printable(entry.dtype, 20) +
                     ", which Flash has not; convert them before saving, as to F32 or I64");
  }
  HostArray out{static_cast<DType>(type->dtype), entry.shape,
                file_.read_at(entry.begin, entry.end - entry.begin)};
  if (out.dtype == DType::kBool) {  // a bool is 0 or 1, whatever a file says
    for (std::byte& b : out.bytes) b = b == std::byte{0} ? std::byte{0} : std::byte{1};
  }
  return out;
}

namespace {

HostArrays read_all(const SafetensorsFile& file, Metadata* metadata) {
  HostArrays out;
  for (const auto& [name, entry] : file.entries()) out.emplace(name, file.read(name));
  if (metadata) *metadata = file.metadata();
  return out;
}

/// Hands the file's pieces to `write`, in order: large arrays are not copied once more.
void write_pieces(const std::string& path, const HostArrays& arrays, const Metadata& metadata,
                  FunctionRef<void(ByteSpan)> write) {
  std::vector<const HostArrays::value_type*> order;
  for (const auto& item : arrays) {
    check_host_array(item.second, "write_safetensors");
    if (item.first == "__metadata__") {
      throw ValueError("write_safetensors: an array cannot be named __metadata__");
    }
    order.push_back(&item);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return size_of(a->second.dtype) > size_of(b->second.dtype);
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t at = 0;
  for (const auto* item : order) {
    const HostArray& array = item->second;
    nlohmann::ordered_json shape = nlohmann::ordered_json::array();
    for (const std::int64_t size : array.shape) shape.push_back(size);
    header[item->first] = {{"dtype", type_name(array.dtype)},
                           {"shape", shape},
                           {"data_offsets", {at, at + array.bytes.size()}}};
    at += array.bytes.size();
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const json::exception& e) {
    fail(path, std::string("cannot be written: a name is not UTF-8 (") + e.what() + ")");
  }
  text.append((8 - text.size() % 8) % 8, ' ');  // arrays begin at a multiple of 8
  Bytes length;
  store_le(length, text.size(), 8);
  write(length);
  write(as_bytes(text));
  for (const auto* item : order) write(item->second.bytes);
}

}  // namespace

HostArrays read_safetensors(const std::string& path, Metadata* metadata) {
  return read_all(SafetensorsFile(path), metadata);
}

HostArrays parse_safetensors(ByteSpan file, std::string_view path, Metadata* metadata) {
  return read_all(SafetensorsFile(InputFile::in_memory(file, path)), metadata);
}

void write_safetensors(const std::string& path, const HostArrays& arrays,
                       const Metadata& metadata) {
  std::optional<AtomicFile> file;  // opened after the arrays have been checked
  write_pieces(path, arrays, metadata, [&](ByteSpan piece) {
    if (!file) file.emplace(path);
    file->write(piece);
  });
  file->commit();
}

Bytes safetensors_bytes(const HostArrays& arrays, const Metadata& metadata) {
  Bytes out;
  write_pieces("safetensors", arrays, metadata,
               [&](ByteSpan piece) { out.insert(out.end(), piece.begin(), piece.end()); });
  return out;
}

}  // namespace flash::io
