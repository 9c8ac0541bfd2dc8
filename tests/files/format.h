// tests/files/format.h -- what every reader of files has to stand: any bytes at all
//
// A harness hands bytes to a reader as its users would, and checks what comes of it: an array that
// is whole and survives being written and read again, or one of Flash's errors that a person can
// read. libFuzzer runs the harnesses for minutes (./dev fuzz-files), the tests over fixed
// mutations.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/host_array.h"
#include "core/io/file.h"
#include "tests/files/memory.h"

namespace flash::test {

/// A promise that a reader broke. Not one of Flash's errors, so that nothing takes it for one.
class Finding : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

inline void promise(bool kept, const std::string& what) {
  if (!kept) throw Finding(what);
}

struct Format {
  const char* name;
  bool (*read)(io::ByteSpan file);    ///< the harness: was it taken, or refused? Throws Finding.
  std::vector<io::Bytes> (*seeds)();  ///< whole files, by Flash's own writers
  std::vector<std::string_view> folders;     ///< of the test data with more of them …
  std::vector<std::string_view> extensions;  ///< … and what their names end in
  std::vector<std::string_view> words;       ///< that a mutation may put anywhere
};

std::span<const Format> formats();
const Format& format(std::string_view name);  ///< throws Finding when there is none

/// The folder of test data, which may be absent.
std::string data_folder();

/// Own seeds, then those of the test data (none where that is absent), up to 4 KiB each: larger
/// files only make a round slower.
std::vector<io::Bytes> all_seeds(const Format& format);

inline constexpr const char* kFile = "hostile";  ///< the name that errors must begin with

/// An error's text is one that can be shown: short, and nothing in it moves a cursor.
void check_message(std::string_view text);

/// The bytes fill the shape, and a bool is 0 or 1.
void check_whole(const HostArray& array);
void check_same(const HostArray& a, const HostArray& b);
void check_same(const HostArrays& a, const HostArrays& b);

/// Calls a reader. Nothing if it refuses with an error; everything but Flash's errors about files
/// and their types gets through. It may hold `limit` bytes at most while it reads, and 1 MiB for
/// buffers of fixed size.
template <class F>
auto read_bounded(std::uint64_t limit, F f) -> std::optional<decltype(f())> {
  std::optional<decltype(f())> out;
  const PeakMemory memory;
  const auto check = [&] {
    promise(memory.peak() <= limit + (1 << 20), "it held " + std::to_string(memory.peak()) +
                                                    " bytes, at most " + std::to_string(limit) +
                                                    " and 1 MiB are allowed");
  };
  try {
    out = f();
  } catch (const IoError& e) {
    check();
    check_message(e.what());
    return {};
  } catch (const DTypeError& e) {
    check();
    check_message(e.what());
    return {};
  }
  check();
  return out;
}

}  // namespace flash::test
