// tests/files/kernel_entry.cpp -- hostile entries of the cache of compiled kernels
#include <algorithm>

#include "jit/cache/entry.h"
#include "tests/files/format.h"
#include "tests/files/harnesses.h"

namespace flash::test {
namespace {

const jit::DiskKey& some_key() {
  static const jit::DiskKey key = jit::make_key({"source", "sm_90", "NVRTC 12.4", "-O3"});
  return key;
}

constexpr std::size_t kChecksumAt = 52;

}  // namespace

/// The first byte says whether the checksum is set right, so that changes get behind it.
bool read_kernel_entry(io::ByteSpan file) {
  if (file.empty()) return false;
  io::Bytes entry(file.begin() + 1, file.end());
  if ((file[0] & std::byte{1}) == std::byte{1} && entry.size() >= jit::kEntryHeader) {
    jit::Sha256 sum;
    sum.add(io::ByteSpan(entry).subspan(jit::kEntryHeader));
    const jit::Digest digest = sum.finish();
    std::copy(digest.begin(), digest.end(), entry.begin() + kChecksumAt);
  }
  const auto payload =
      read_bounded(entry.size(), [&] { return jit::parse_entry(entry, some_key(), kFile); });
  if (!payload) return false;
  promise(jit::make_entry(some_key(), *payload) == entry, "an entry that was written is another");
  return true;
}

std::vector<io::Bytes> kernel_entry_seeds() {
  std::vector<io::Bytes> out;
  for (const std::size_t size : {0, 1, 64, 1000})
    for (const std::byte repair : {std::byte{0}, std::byte{1}}) {
      const io::Bytes entry =
          jit::make_entry(some_key(), some_array(DType::kU8, {static_cast<int>(size)}).bytes);
      io::Bytes file{repair};
      file.insert(file.end(), entry.begin(), entry.end());
      out.push_back(file);
    }
  return out;
}

}  // namespace flash::test
