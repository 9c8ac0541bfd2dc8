// tests/files/gz.cpp -- hostile gzip and raw deflate streams
#include "core/io/inflate.h"
#include "tests/files/format.h"
#include "tests/files/harnesses.h"
#include "tests/gzip.h"

namespace flash::test {

/// The first byte chooses a limit and whether the rest is gzip or a raw stream.
bool read_gz(io::ByteSpan file) {
  if (file.empty()) return false;
  const auto choice = static_cast<unsigned>(file[0]);
  const io::Deflate kind = choice & 128 ? io::Deflate::kRaw : io::Deflate::kGzip;
  const std::uint64_t limit = std::uint64_t{1} << (choice & 127) % 20;
  const auto half = static_cast<std::size_t>(limit / 2);
  const io::ByteSpan packed = file.subspan(1);
  // Growing doubles the buffer, so old and new one are three halves of the limit.
  const auto all = read_bounded(2 * limit, [&] { return io::inflate(packed, kind, limit, kFile); });
  const auto start =
      read_bounded(2 * limit, [&] { return io::inflate_start(packed, kind, half, kFile); });
  if (!all) return false;
  promise(all->size() <= limit, "more came out than was asked for");
  promise(all->size() <= packed.size() * io::kMaxDeflateRatio, "more came out than could be in");
  const auto end = all->begin() + static_cast<std::ptrdiff_t>(std::min(all->size(), half));
  promise(start && io::Bytes(all->begin(), end) == *start, "the start is not the start of all");
  if (all->size() <= 256) {  // packing again is slow
    const io::Bytes again = kind == io::Deflate::kGzip ? gzip(*all) : io::deflate_raw(*all);
    promise(io::inflate(again, kind, limit, kFile) == *all, "what was packed unpacks as another");
  }
  return true;
}

std::vector<io::Bytes> gz_seeds() {
  std::vector<io::Bytes> out;
  const auto add = [&](const io::Bytes& packed, int choice = 13) {
    io::Bytes file{static_cast<std::byte>(choice)};
    file.insert(file.end(), packed.begin(), packed.end());
    out.push_back(file);
  };
  const HostArray mixed = some_array(DType::kF32, {40, 5});
  const io::Bytes zeros(3000), none;
  for (const io::Bytes* plain : {&mixed.bytes, &zeros, &none}) {
    add(io::deflate_raw(*plain), 128 + 12);
    add(gzip(*plain));
  }
  io::Bytes two = gzip(zeros);  // gzip files may be joined
  const io::Bytes second = gzip(mixed.bytes);
  two.insert(two.end(), second.begin(), second.end());
  add(two);
  return out;
}

}  // namespace flash::test
