// core/io/file.h -- reading files by offset, with errors that name the file
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../export.h"

namespace flash::io {

using Bytes = std::vector<std::byte>;
using ByteSpan = std::span<const std::byte>;

/// Throws IoError `"<path>": <what>`.
[[noreturn]] FLASH_API void fail(std::string_view path, const std::string& what);

/// What a file calls something, fit for a message: control characters as \xNN, at most `most`
/// bytes of it. A name from a stranger may be long, and move a terminal's cursor.
FLASH_API std::string printable(std::string_view text, std::size_t most = 100);

/// A regular file open for reading. Every error is an IoError that names it.
class FLASH_API InputFile {
 public:
  /// Throws IoError when `path` cannot be opened or is not a regular file.
  explicit InputFile(std::string path);
  /// Memory that is read as if it were a file of this name; it must outlive the result.
  static InputFile in_memory(ByteSpan bytes, std::string_view name);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }

  /// Fills `out` with the bytes at `offset`. Throws IoError when the file ends before.
  void read_at(std::uint64_t offset, std::span<std::byte> out) const;
  /// As above into a new vector; allocates only after checking that the file holds as much.
  Bytes read_at(std::uint64_t offset, std::uint64_t count) const;

 private:
  InputFile() = default;

  std::string path_;
  int fd_ = -1;  // none: in memory
  ByteSpan memory_;
  std::uint64_t size_ = 0;
};

/// The whole file.
FLASH_API Bytes read_file(const std::string& path);

/// Little-endian numbers of file headers.
inline std::uint64_t load_le(ByteSpan bytes, std::size_t at, int count) {
  std::uint64_t value = 0;
  for (int i = count - 1; i >= 0; --i) {
    value = value << 8 | static_cast<std::uint64_t>(bytes[at + static_cast<std::size_t>(i)]);
  }
  return value;
}
FLASH_API void store_le(Bytes& out, std::uint64_t value, int count);

inline ByteSpan as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace flash::io
