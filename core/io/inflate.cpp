// core/io/inflate.cpp -- zlib behind core/io/inflate.h
#include "core/io/inflate.h"

#include <zlib.h>

#include <algorithm>
#include <string>

#include "core/error.h"

namespace flash::io {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 20;

Bytef* zbytes(const std::byte* p) { return const_cast<Bytef*>(reinterpret_cast<const Bytef*>(p)); }

struct InflateStream : z_stream {
  explicit InflateStream(int window_bits) : z_stream{} {
    if (inflateInit2(this, window_bits) != Z_OK) throw InternalError("zlib: inflateInit failed");
  }
  ~InflateStream() { inflateEnd(this); }
  InflateStream(const InflateStream&) = delete;
};

/// Unpacks all of `packed`, or until there are more than `limit` bytes.
Bytes unpack(ByteSpan packed, Deflate format, std::uint64_t limit, std::string_view path) {
  const std::size_t first = std::clamp<std::size_t>(packed.size() * 4, 256, 1 << 16);
  InflateStream stream(format == Deflate::kGzip ? 15 + 16 : -15);
  Bytes out;
  std::size_t filled = 0;
  for (;;) {
    if (stream.avail_in == 0) {
      const std::size_t chunk = std::min(packed.size(), kChunk);
      stream.next_in = zbytes(packed.data());
      stream.avail_in = static_cast<uInt>(chunk);
      packed = packed.subspan(chunk);
    }
    if (out.size() == filled) {  // grow by doubling: never far beyond what was really there
      const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(limit, SIZE_MAX - 1) + 1);
      const std::size_t next = std::min(std::max(out.size() * 2, first), most);
      out.reserve(next);  // exactly: resize alone may take twice as much
      out.resize(next);
    }
    const std::size_t room = std::min(out.size() - filled, kChunk);
    stream.next_out = zbytes(out.data() + filled);
    stream.avail_out = static_cast<uInt>(room);
    const int status = ::inflate(&stream, Z_NO_FLUSH);
    filled += room - stream.avail_out;
    if (filled > limit) break;
    if (status == Z_STREAM_END) {
      const bool more = stream.avail_in != 0 || !packed.empty();
      if (!more) break;
      if (format == Deflate::kRaw) fail(path, "has other data behind the compressed data");
      inflateReset(&stream);  // the next gzip member
    } else if (status == Z_BUF_ERROR && stream.avail_in == 0 && packed.empty()) {
      fail(path, "is truncated: its compressed data ends early");
    } else if (status != Z_OK && status != Z_BUF_ERROR) {
      fail(path, std::string("is damaged: ") + (stream.msg ? stream.msg : "not compressed data"));
    }
  }
  out.resize(filled);
  return out;
}

}  // namespace

Bytes inflate(ByteSpan packed, Deflate format, std::uint64_t limit, std::string_view path) {
  Bytes out = unpack(packed, format, limit, path);
  if (out.size() > limit) {
    fail(path, "unpacks to more than the " + std::to_string(limit) + " bytes it should have");
  }
  return out;
}

Bytes inflate_start(ByteSpan packed, Deflate format, std::size_t bytes, std::string_view path) {
  if (bytes == 0) return {};
  return unpack(packed, format, bytes - 1, path);  // stops as soon as there are `bytes`
}

Bytes deflate_raw(ByteSpan bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) !=
      Z_OK) {
    throw InternalError("zlib: deflateInit failed");
  }
  Bytes out;
  int status = Z_OK;
  while (status == Z_OK) {
    if (stream.avail_in == 0) {
      const std::size_t chunk = std::min(bytes.size(), kChunk);
      stream.next_in = zbytes(bytes.data());
      stream.avail_in = static_cast<uInt>(chunk);
      bytes = bytes.subspan(chunk);
    }
    const std::size_t filled = out.size();
    const std::size_t room =
        std::min<std::size_t>(kChunk, deflateBound(&stream, stream.avail_in + bytes.size()));
    out.resize(filled + room);
    stream.next_out = zbytes(out.data() + filled);
    stream.avail_out = static_cast<uInt>(room);
    status = deflate(&stream, bytes.empty() ? Z_FINISH : Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
  }
  deflateEnd(&stream);
  if (status != Z_STREAM_END) throw InternalError("zlib: deflate failed");
  return out;
}

std::uint32_t crc32_of(ByteSpan bytes) {
  uLong crc = crc32(0, nullptr, 0);
  while (!bytes.empty()) {
    const std::size_t chunk = std::min(bytes.size(), std::size_t{1} << 30);
    crc = crc32(crc, zbytes(bytes.data()), static_cast<uInt>(chunk));
    bytes = bytes.subspan(chunk);
  }
  return static_cast<std::uint32_t>(crc);
}

}  // namespace flash::io
