// train/loop/checkpoint_store.cpp -- folders, checksums, and the order in which things reach the
// disk
#include "train/loop/checkpoint_store.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>

#include "core/error.h"
#include "core/io/atomic_file.h"
#include "core/io/inflate.h"
#include "train/io/json.h"
#include "train/io/safetensors.h"

namespace flash::train {
namespace fs = std::filesystem;
namespace {

constexpr const char* kPrefix = "checkpoint-";
// Behind the name of a hidden folder: a checkpoint not yet whole, and one on its way out.
constexpr std::string_view kNew = ".tmp", kOld = ".old";
constexpr const char* kModel = "model.safetensors";
constexpr const char* kTraining = "training.safetensors";
constexpr const char* kState = "state.json";
constexpr std::uint64_t kMaxState = 64u << 20;

std::uint64_t crc_of(const io::InputFile& file) {
  uLong crc = crc32(0, nullptr, 0);
  std::vector<std::byte> piece(std::size_t{1} << 20);
  for (std::uint64_t at = 0; at < file.size(); at += piece.size()) {
    piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), file.size() - at)));
    file.read_at(at, piece);
    crc = crc32(crc, reinterpret_cast<const Bytef*>(piece.data()), static_cast<uInt>(piece.size()));
  }
  return crc;
}

nlohmann::json describe(const fs::path& path) {
  const io::InputFile file(path.string());
  return {{"bytes", file.size()}, {"crc32", crc_of(file)}};
}

[[noreturn]] void corrupt(const std::string& path, const std::string& what) {
  io::fail(path, "is corrupt: " + what + "; resume from an older checkpoint");
}

/// A whole number: get<T>() alone also takes fractions, flags and what T cannot hold.
template <class T>
T whole(const nlohmann::json& json, const char* what, const std::string& path) {
  const nlohmann::json& value = json.at(what);
  if (!value.is_number_unsigned() ||
      value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<T>::max()))
    corrupt(path, std::string(what) + " is no whole number");
  return value.get<T>();
}

/// The number in "checkpoint-000012"; negative for other names.
std::int64_t serial_of(const std::string& name) {
  const std::string digits = name.rfind(kPrefix, 0) == 0 ? name.substr(std::strlen(kPrefix)) : "";
  if (digits.size() < 6 || digits.size() > 15) return -1;
  if (!std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return -1;
  return std::stoll(digits);
}

std::string name_of(std::int64_t serial) {
  char text[40];
  std::snprintf(text, sizeof text, "%s%06lld", kPrefix, static_cast<long long>(serial));
  return text;
}

void sync_folder(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);  // best effort: some file systems refuse it for folders
  close(fd);
}

/// Removes a checkpoint so that a crash in between leaves no half one under its name.
void remove_checkpoint(const fs::path& path) {
  std::error_code ignored;
  const fs::path hidden = path.parent_path() / ("." + path.filename().string() + std::string(kOld));
  fs::rename(path, hidden, ignored);
  fs::remove_all(ignored ? path : hidden, ignored);
}

}  // namespace

void remove_leftovers(const std::string& run) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(run, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    for (const std::string_view ending : {kNew, kOld})
      if (name.starts_with('.') && name.ends_with(ending) &&
          serial_of(name.substr(1, name.size() - 1 - ending.size())) >= 0)
        found.push_back(it->path());
  }
  for (const fs::path& path : found) fs::remove_all(path, error);
}

std::vector<std::string> list_checkpoints(const std::string& run) {
  std::vector<std::pair<std::int64_t, std::string>> found;
  std::error_code error;
  for (fs::directory_iterator it(run, error), end; !error && it != end; it.increment(error)) {
    const std::int64_t serial = serial_of(it->path().filename().string());
    if (serial >= 0 && it->is_directory()) found.emplace_back(serial, it->path().string());
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<std::string> paths;
  for (auto& [serial, path] : found) paths.push_back(std::move(path));
  return paths;
}

bool is_checkpoint(const std::string& path) { return fs::is_regular_file(fs::path(path) / kState); }

std::string write_checkpoint(const std::string& run, const CheckpointData& data, int keep) {
  std::error_code error;
  if (!fs::is_directory(run, error))  // it was made when the run began
    throw IoError("checkpoint: the folder of the run, '" + run +
                  "', is gone; training stops here, because nothing of it could be kept");
  const std::vector<std::string> older = list_checkpoints(run);
  const std::int64_t serial =
      older.empty() ? 1 : serial_of(fs::path(older[0]).filename().string()) + 1;
  const fs::path target = fs::path(run) / name_of(serial);
  const fs::path hidden = fs::path(run) / ("." + name_of(serial) + std::string(kNew));
  fs::create_directory(hidden, error);
  if (error)
    throw IoError("checkpoint: cannot make the folder '" + hidden.string() +
                  "': " + error.message());
  try {
    io::write_safetensors((hidden / kModel).string(), data.model, {{"format", "flash"}});
    io::write_safetensors((hidden / kTraining).string(), data.training, {{"format", "flash"}});
    nlohmann::json state = data.state;
    state["version"] = kCheckpointVersion;
    state["files"] = {{kModel, describe(hidden / kModel)},
                      {kTraining, describe(hidden / kTraining)}};
    state["crc32"] = io::crc32_of(io::as_bytes(state.dump()));  // of itself without this number
    const std::string text = state.dump(1) + "\n";
    io::write_file_atomic((hidden / kState).string(), io::as_bytes(text));
    sync_folder(hidden);
    fs::rename(hidden, target);
  } catch (const fs::filesystem_error& e) {
    fs::remove_all(hidden, error);
    throw IoError("checkpoint: cannot publish '" + target.string() + "': " + e.code().message());
  } catch (...) {
    fs::remove_all(hidden, error);
    throw;
  }
  sync_folder(run);
  const std::vector<std::string> all = list_checkpoints(run);
  for (std::size_t i = static_cast<std::size_t>(std::max(keep, 1)); i < all.size(); ++i)
    remove_checkpoint(all[i]);
  return target.string();
}

std::string state_path(const std::string& checkpoint) {
  return (fs::path(checkpoint) / kState).string();
}

nlohmann::json parse_checkpoint_state(io::ByteSpan bytes, const std::string& path) {
  if (bytes.size() > kMaxState)
    io::fail(path, "is " + std::to_string(bytes.size()) + " bytes long; no state is");
  try {
    nlohmann::json state = io::parse_json(bytes, 32);
    const int version = whole<int>(state, "version", path);
    if (version != kCheckpointVersion)
      io::fail(path, "is of version " + std::to_string(version) + "; this Flash reads version " +
                         std::to_string(kCheckpointVersion));
    const auto own = whole<std::uint64_t>(state, "crc32", path);
    state.erase("crc32");
    if (io::crc32_of(io::as_bytes(state.dump())) != own)
      corrupt(path, "its CRC-32 is another one than it says");
    return state;
  } catch (const io::JsonError& e) {
    corrupt(path, std::string("it ") + e.what());
  } catch (const nlohmann::json::exception& e) {
    corrupt(path, io::printable(e.what(), 300));
  }
}

nlohmann::json read_checkpoint_state(const std::string& checkpoint) {
  const std::string path = state_path(checkpoint);
  const io::InputFile file(path);
  const nlohmann::json state = parse_checkpoint_state(
      file.read_at(0, std::min<std::uint64_t>(file.size(), kMaxState + 1)), path);
  for (const char* part : {kModel, kTraining}) {
    const std::string at = (fs::path(checkpoint) / part).string();
    const nlohmann::json have = describe(at);
    nlohmann::json want;
    try {
      want = state.at("files").at(part);
    } catch (const nlohmann::json::exception& e) {
      corrupt(path, io::printable(e.what(), 300));
    }
    if (want != have)
      corrupt(at, "bytes and CRC-32 are " + have.dump() + ", state.json says " +
                      io::printable(want.dump(), 300));
  }
  return state;
}

CheckpointData read_checkpoint(const std::string& checkpoint) {
  CheckpointData data;
  data.state = read_checkpoint_state(checkpoint);
  data.model = io::read_safetensors((fs::path(checkpoint) / kModel).string());
  data.training = io::read_safetensors((fs::path(checkpoint) / kTraining).string());
  return data;
}

}  // namespace flash::train
