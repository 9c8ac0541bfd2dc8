// core/io/file.cpp -- POSIX reads behind core/io/file.h
#include "core/io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace flash::io {

void fail(std::string_view path, const std::string& what) {
  throw IoError("\"" + std::string(path) + "\": " + what);
}

std::string printable(std::string_view text, std::size_t most) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool control = byte < 0x20 || byte == 0x7f;
    const bool inside_character = (byte & 0xc0) == 0x80;  // of UTF-8: not cut there
    if (!inside_character && out.size() + (control ? 4 : 1) > most) return out + "...";
    if (out.size() > most + 4) return out + "...";  // no UTF-8
    if (control) {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      out += c;
    }
  }
  return out;
}

InputFile InputFile::in_memory(ByteSpan bytes, std::string_view name) {
  InputFile file;
  file.path_ = name;
  file.memory_ = bytes;
  file.size_ = bytes.size();
  return file;
}

InputFile::InputFile(std::string path) : path_(std::move(path)) {
  fd_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) fail(path_, std::string("cannot be opened: ") + std::strerror(errno));
  struct stat status {};
  const bool regular = fstat(fd_, &status) == 0 && S_ISREG(status.st_mode);
  if (!regular) {
    close(fd_);
    fail(path_, S_ISDIR(status.st_mode) ? "is a folder, not a file" : "is not a regular file");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      memory_(other.memory_),
      size_(std::exchange(other.size_, 0)) {}

InputFile::~InputFile() {
  if (fd_ >= 0) close(fd_);
}

void InputFile::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  if (fd_ < 0) {
    if (offset > size_ || out.size() > size_ - offset) {
      fail(path_, "ends early, at byte " + std::to_string(size_));
    }
    std::copy_n(memory_.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
    return;
  }
  while (!out.empty()) {
    const std::size_t chunk = std::min(out.size(), std::size_t{1} << 30);
    const ssize_t got = pread(fd_, out.data(), chunk, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path_, std::string("cannot be read: ") + std::strerror(errno));
    if (got == 0) fail(path_, "ends early, at byte " + std::to_string(offset));
    offset += static_cast<std::uint64_t>(got);
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

Bytes InputFile::read_at(std::uint64_t offset, std::uint64_t count) const {
  if (offset > size_ || count > size_ - offset) {
    fail(path_, "ends early: bytes " + std::to_string(offset) + " to " +
                    std::to_string(offset + count) + " are needed, it has " +
                    std::to_string(size_));
  }
  Bytes out(count);
  read_at(offset, out);
  return out;
}

Bytes read_file(const std::string& path) {
  const InputFile file(path);
  return file.read_at(0, file.size());
}

void store_le(Bytes& out, std::uint64_t value, int count) {
  for (int i = 0; i < count; ++i) out.push_back(static_cast<std::byte>(value >> (8 * i) & 0xff));
}

}  // namespace flash::io
