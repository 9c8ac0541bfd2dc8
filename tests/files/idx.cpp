// tests/files/idx.cpp -- hostile IDX files, plain and gzipped
#include "train/data/idx.h"

#include "core/io/inflate.h"
#include "tests/files/format.h"
#include "tests/files/harnesses.h"
#include "tests/gzip.h"

namespace flash::test {

/// A plain file may take itself once more. What a gzipped one unpacks to is bounded by what deflate
/// can do, however much its header promises; the growing buffer takes three halves of that.
bool read_idx(io::ByteSpan file) {
  const bool packed = file.size() >= 2 && file[0] == std::byte{0x1f} && file[1] == std::byte{0x8b};
  const std::uint64_t limit = file.size() * (packed ? 3 * io::kMaxDeflateRatio : 2);
  const auto array = read_bounded(limit, [&] { return data::parse_idx(file, kFile); });
  if (!array) return false;
  check_whole(*array);
  promise(packed || array->bytes.size() < file.size(), "there are more elements than bytes");
  return true;
}

std::vector<io::Bytes> idx_seeds() {
  std::vector<io::Bytes> out;
  constexpr int kCodes[] = {0x08, 0x09, 0x0b, 0x0c, 0x0d, 0x0e};
  constexpr int kWidths[] = {1, 1, 2, 4, 4, 8};
  for (std::size_t t = 0; t < std::size(kCodes); ++t) {
    for (const int rank : {0, 1, 3, 8}) {
      io::Bytes file{std::byte{0}, std::byte{0}, std::byte(kCodes[t]), std::byte(rank)};
      std::size_t elements = 1;
      for (int d = 0; d < rank; ++d) {
        const int size = d % 3 == 0 ? 3 : d == 4 ? 0 : 2;
        file.insert(file.end(), {std::byte{0}, std::byte{0}, std::byte{0}, std::byte(size)});
        elements *= static_cast<std::size_t>(size);
      }
      for (std::size_t i = 0; i < elements * static_cast<std::size_t>(kWidths[t]); ++i)
        file.push_back(static_cast<std::byte>(i * 37 + 1));
      out.push_back(file);
      if (rank == 3) out.push_back(gzip(file));
    }
  }
  return out;
}

}  // namespace flash::test
