// core/io/npz.cpp -- a small reader and writer of zip archives (PKWARE's APPNOTE 6.3)
#include "core/io/npz.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/function_ref.h"
#include "core/io/atomic_file.h"
#include "core/io/inflate.h"
#include "core/io/npy.h"

namespace flash::io {
namespace {

constexpr std::uint32_t kLocalMagic = 0x04034b50, kCentralMagic = 0x02014b50,
                        kEndMagic = 0x06054b50;
constexpr std::size_t kLocalSize = 30, kCentralSize = 46, kEndSize = 22;
constexpr std::uint64_t kZip64 = 0xffffffff;

struct Member {
  std::string name;
  int flags = 0, method = 0;
  std::uint32_t crc = 0;
  std::uint64_t packed = 0, bytes = 0, header_at = 0;
};

[[noreturn]] void damaged(const InputFile& file, const char* what) {
  fail(file.path(), std::string("is damaged: ") + what);
}

/// Members that share bytes would let a small file unpack to its square (D. Fifield, "A better zip
/// bomb", WOOT 2019); no writer makes them. `end` is where the directory begins.
void check_apart(const InputFile& file, const std::vector<Member>& members, std::uint64_t end) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  for (const Member& m : members) {
    ranges.emplace_back(m.header_at, m.header_at + kLocalSize + m.packed);
  }
  std::sort(ranges.begin(), ranges.end());
  std::uint64_t at = 0;
  for (const auto& [from, to] : ranges) {
    if (from < at) damaged(file, "two of its members share bytes");
    at = to;
  }
  if (at > end) damaged(file, "a member reaches into its directory");
}

/// The central directory, which is what counts in a zip. (NumPy marks its local headers as ZIP64
/// even when they are not; the directory tells the truth.)
std::vector<Member> directory(const InputFile& file) {
  const std::uint64_t tail_size = std::min<std::uint64_t>(file.size(), kEndSize + 0xffff);
  const std::uint64_t tail_at = file.size() - tail_size;
  const Bytes tail = file.read_at(tail_at, tail_size);
  if (tail_size < kEndSize) fail(file.path(), "is not a zip archive: it is too short");
  std::size_t end = tail.size() - kEndSize;
  while (load_le(tail, end, 4) != kEndMagic) {
    if (end-- == 0) fail(file.path(), "is not a zip archive, or its end is missing");
  }
  const std::uint64_t count = load_le(tail, end + 10, 2), size = load_le(tail, end + 12, 4),
                      at = load_le(tail, end + 16, 4);
  if (count == 0xffff || size == kZip64 || at == kZip64) {
    fail(file.path(),
         "is a ZIP64 archive, which Flash does not read; save its arrays as npy files");
  }
  if (at > tail_at + end || size > tail_at + end - at) damaged(file, "its directory lies outside");
  const Bytes bytes = file.read_at(at, size);
  std::vector<Member> out;
  std::size_t pos = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (bytes.size() - pos < kCentralSize || load_le(bytes, pos, 4) != kCentralMagic) {
      damaged(file, "its directory ends early");
    }
    Member m;
    m.flags = static_cast<int>(load_le(bytes, pos + 8, 2));
    m.method = static_cast<int>(load_le(bytes, pos + 10, 2));
    m.crc = static_cast<std::uint32_t>(load_le(bytes, pos + 16, 4));
    m.packed = load_le(bytes, pos + 20, 4);
    m.bytes = load_le(bytes, pos + 24, 4);
    m.header_at = load_le(bytes, pos + 42, 4);
    const std::size_t name = load_le(bytes, pos + 28, 2);
    const std::size_t rest = name + load_le(bytes, pos + 30, 2) + load_le(bytes, pos + 32, 2);
    pos += kCentralSize;
    if (bytes.size() - pos < rest) damaged(file, "its directory ends early");
    m.name.assign(reinterpret_cast<const char*>(bytes.data()) + pos, name);
    pos += rest;
    if (m.packed == kZip64 || m.bytes == kZip64 || m.header_at == kZip64) {
      fail(file.path(), "has the ZIP64 member \"" + printable(m.name) +
                            "\", which Flash does not read; save it as an npy file");
    }
    out.push_back(std::move(m));
  }
  check_apart(file, out, at);
  return out;
}

Bytes extract(const InputFile& file, const Member& m) {
  const std::string where = file.path() + "/" + printable(m.name);
  if (m.flags & 1) fail(where, "is encrypted");
  if (m.method != 0 && m.method != 8) {
    fail(where,
         "is packed by method " + std::to_string(m.method) + "; Flash reads 0 and 8 (deflate)");
  }
  const Bytes local = file.read_at(m.header_at, kLocalSize);
  if (load_le(local, 0, 4) != kLocalMagic) damaged(file, "a member has no header");
  const std::uint64_t at = m.header_at + kLocalSize + load_le(local, 26, 2) + load_le(local, 28, 2);
  if (m.method == 0 && m.packed != m.bytes) damaged(file, "a stored member has two sizes");
  Bytes bytes = file.read_at(at, m.packed);
  if (m.method == 8) bytes = inflate(bytes, Deflate::kRaw, m.bytes, where);
  if (bytes.size() != m.bytes) fail(where, "is damaged: it unpacks to another size than noted");
  if (crc32_of(bytes) != m.crc) fail(where, "is damaged: its checksum does not match");
  return bytes;
}

HostArrays read(const InputFile& file) {
  HostArrays out;
  for (const Member& m : directory(file)) {
    if (m.name.ends_with('/')) continue;  // a folder
    const std::string where = file.path() + "/" + printable(m.name);
    if (!m.name.ends_with(".npy")) fail(where, "is no npy array, so this is not an npz file");
    HostArray array = parse_npy(extract(file, m), where);
    const std::string name = m.name.substr(0, m.name.size() - 4);
    if (!out.emplace(name, std::move(array)).second) {
      fail(file.path(), "has two arrays of the name \"" + printable(name) + "\"");
    }
  }
  return out;
}

/// Hands the archive's pieces to `write`, in order: large arrays are not copied once more.
void write_pieces(const std::string& path, const HostArrays& arrays, bool compress,
                  FunctionRef<void(ByteSpan)> write) {
  Bytes central;
  std::uint64_t at = 0;
  auto too_large = [&] {
    fail(path, "would need ZIP64, which Flash does not write; save large arrays as npy files");
  };
  if (arrays.size() >= 0xffff) too_large();
  for (const auto& [key, array] : arrays) {
    check_host_array(array, "write_npz");
    const std::string name = key + ".npy";
    if (name.size() > 0xffff) fail(path, "would have a member with a name of over 65,535 bytes");
    const std::string header = npy_header(array);
    Bytes member(as_bytes(header).begin(), as_bytes(header).end());
    member.insert(member.end(), array.bytes.begin(), array.bytes.end());
    const std::uint32_t crc = crc32_of(member);
    const std::uint64_t size = member.size();
    if (compress) member = deflate_raw(member);
    if (at + kLocalSize + name.size() + std::max<std::uint64_t>(size, member.size()) >= kZip64) {
      too_large();
    }
    Bytes common;                  // what the local header and the directory share
    store_le(common, 20, 2);       // version 2.0 is enough to extract
    store_le(common, 1 << 11, 2);  // names are UTF-8
    store_le(common, compress ? 8 : 0, 2);
    store_le(common, 0, 2);           // no time …
    store_le(common, 1 << 5 | 1, 2);  // … of 1 January 1980
    store_le(common, crc, 4);
    store_le(common, member.size(), 4);
    store_le(common, size, 4);
    store_le(common, name.size(), 2);
    store_le(common, 0, 2);  // no extra field
    Bytes local;
    store_le(local, kLocalMagic, 4);
    local.insert(local.end(), common.begin(), common.end());
    write(local);
    write(as_bytes(name));
    write(member);
    store_le(central, kCentralMagic, 4);
    store_le(central, 20, 2);  // made by version 2.0
    central.insert(central.end(), common.begin(), common.end());
    store_le(central, 0, 2);  // no comment
    store_le(central, 0, 2);  // disk 0
    store_le(central, 0, 2);  // internal attributes
    store_le(central, 0, 4);  // external attributes
    store_le(central, at, 4);
    const ByteSpan text = as_bytes(name);
    central.insert(central.end(), text.begin(), text.end());
    at += kLocalSize + name.size() + member.size();
  }
  if (at + central.size() >= kZip64) too_large();
  const std::uint64_t central_size = central.size();
  store_le(central, kEndMagic, 4);
  store_le(central, 0, 4);  // disks
  store_le(central, arrays.size(), 2);
  store_le(central, arrays.size(), 2);
  store_le(central, central_size, 4);
  store_le(central, at, 4);
  store_le(central, 0, 2);  // no comment
  write(central);
}

}  // namespace

HostArrays read_npz(const std::string& path) { return read(InputFile(path)); }

HostArrays parse_npz(ByteSpan file, std::string_view path) {
  return read(InputFile::in_memory(file, path));
}

void write_npz(const std::string& path, const HostArrays& arrays, bool compress) {
  AtomicFile file(path);
  write_pieces(path, arrays, compress, [&](ByteSpan piece) { file.write(piece); });
  file.commit();
}

Bytes npz_bytes(const HostArrays& arrays, bool compress) {
  Bytes out;
  write_pieces("npz", arrays, compress,
               [&](ByteSpan piece) { out.insert(out.end(), piece.begin(), piece.end()); });
  return out;
}

}  // namespace flash::io
