// tests/gzip.h -- gzip members for the readers' tests
#pragma once

#include "core/io/file.h"
#include "core/io/inflate.h"

namespace flash::test {

/// A gzip member made of a raw stream: header, data, checksum and size (RFC 1952).
inline io::Bytes gzip(io::ByteSpan bytes) {
  io::Bytes out;
  for (const int b : {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}) out.push_back(std::byte(b));
  const io::Bytes packed = io::deflate_raw(bytes);
  out.insert(out.end(), packed.begin(), packed.end());
  io::store_le(out, io::crc32_of(bytes), 4);
  io::store_le(out, bytes.size(), 4);
  return out;
}

}  // namespace flash::test
