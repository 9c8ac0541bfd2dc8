// jit/cache/entry.cpp -- writing and checking entries of the kernel cache
#include "jit/cache/entry.h"

#include <algorithm>

namespace flash::jit {
namespace {

constexpr std::string_view kMagic = "FLASHKRN";
constexpr std::size_t kVersionAt = 8, kKeyAt = 12, kSizeAt = 44, kChecksumAt = 52;

/// Of the payload alone: of the header each field is compared with what it must be.
Digest checksum(io::ByteSpan payload) {
  Sha256 sum;
  sum.add(payload);
  return sum.finish();
}

}  // namespace

std::string DiskKey::hex() const {
  std::string out;
  for (const std::byte b : digest) {
    out += "0123456789abcdef"[static_cast<unsigned>(b) >> 4];
    out += "0123456789abcdef"[static_cast<unsigned>(b) & 15];
  }
  return out;
}

DiskKey make_key(const KeyParts& parts) {
  Sha256 sum;
  io::Bytes number;
  io::store_le(number, kEntryVersion, 4);
  sum.add(number);
  for (const std::string_view part :
       {parts.source, parts.architecture, parts.compiler, parts.options}) {
    number.clear();
    io::store_le(number, part.size(), 8);
    sum.add(number);
    sum.add(io::as_bytes(part));
  }
  return {sum.finish()};
}

io::Bytes make_entry(const DiskKey& key, io::ByteSpan payload) {
  io::Bytes out;
  out.reserve(kEntryHeader + payload.size());
  const io::ByteSpan magic = io::as_bytes(kMagic);
  out.insert(out.end(), magic.begin(), magic.end());
  io::store_le(out, kEntryVersion, 4);
  out.insert(out.end(), key.digest.begin(), key.digest.end());
  io::store_le(out, payload.size(), 8);
  const Digest sum = checksum(payload);
  out.insert(out.end(), sum.begin(), sum.end());
  out.insert(out.end(), payload.begin(), payload.end());
  return out;
}

std::uint64_t payload_size(io::ByteSpan header, std::uint64_t file_size, const DiskKey& key,
                           std::string_view name) {
  if (header.size() < kEntryHeader || file_size < kEntryHeader)
    io::fail(name, "ends early: it has " + std::to_string(file_size) + " bytes, its header " +
                       std::to_string(kEntryHeader));
  const io::ByteSpan magic = io::as_bytes(kMagic);
  if (!std::equal(magic.begin(), magic.end(), header.begin()))
    io::fail(name, "does not begin as a compiled kernel does");
  const std::uint64_t version = io::load_le(header, kVersionAt, 4);
  if (version != kEntryVersion)
    io::fail(name, "is of version " + std::to_string(version) + " of the format, not " +
                       std::to_string(kEntryVersion));
  if (!std::equal(key.digest.begin(), key.digest.end(), header.begin() + kKeyAt))
    io::fail(name, "is another kernel than its name says");
  const std::uint64_t size = io::load_le(header, kSizeAt, 8);
  if (size != file_size - kEntryHeader)
    io::fail(name, "should have " + std::to_string(size) + " bytes behind its header, it has " +
                       std::to_string(file_size - kEntryHeader));
  if (size > kMaxPayload)
    io::fail(name, "has " + std::to_string(size) + " bytes, more than any kernel (" +
                       std::to_string(kMaxPayload) + ")");
  return size;
}

void check_payload(io::ByteSpan header, io::ByteSpan payload, std::string_view name) {
  const Digest sum = checksum(payload);
  if (!std::equal(sum.begin(), sum.end(), header.begin() + kChecksumAt))
    io::fail(name, "has other bytes than were written: its checksum differs");
}

io::Bytes parse_entry(io::ByteSpan file, const DiskKey& key, std::string_view name) {
  const io::ByteSpan header = file.first(std::min(file.size(), kEntryHeader));
  const std::uint64_t size = payload_size(header, file.size(), key, name);
  const io::ByteSpan payload = file.subspan(kEntryHeader, size);
  check_payload(header, payload, name);
  return {payload.begin(), payload.end()};
}

}  // namespace flash::jit
