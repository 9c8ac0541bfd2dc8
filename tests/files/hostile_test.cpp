// tests/files/hostile_test.cpp -- a short, fixed round of what ./dev fuzz-files does for minutes
#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <string>

#include "tests/files/format.h"
#include "tests/files/mutate.h"

using namespace flash;
using Clock = std::chrono::steady_clock;

namespace {

std::string hex(const io::Bytes& file) {
  std::string out;
  for (const std::byte b : file) {
    out += "0123456789abcdef"[static_cast<unsigned>(b) >> 4];
    out += "0123456789abcdef"[static_cast<unsigned>(b) & 15];
  }
  return out.substr(0, 4000);
}

bool taken(const test::Format& format, const io::Bytes& file) {
  try {
    return format.read(file);
  } catch (const std::exception& e) {
    FAIL(std::string(format.name) << ": " << e.what() << "\nof the file " << hex(file));
  }
  return false;
}

}  // namespace

TEST_CASE("seeds and thousands of changed ones are read or refused, within their memory") {
  if (!std::filesystem::exists(std::filesystem::path(FLASH_TEST_DATA) / "formats"))
    MESSAGE("without test data at " << FLASH_TEST_DATA << " only files of our own are changed");
  for (const test::Format& format : test::formats()) {
    CAPTURE(std::string(format.name));
    const std::vector<io::Bytes> seeds = test::all_seeds(format);
    REQUIRE(seeds.size() >= 3);
    for (const io::Bytes& seed : seeds) (void)taken(format, seed);
    // The slower ones do fewer: all of this is to take a few seconds, with a sanitizer too.
    std::mt19937 random(20);
    const Clock::time_point end = Clock::now() + std::chrono::milliseconds(600);
    int rounds = 0, read = 0;
    for (; rounds < 8000 && (rounds < 500 || Clock::now() < end); ++rounds) {
      const io::Bytes &seed = seeds[random() % seeds.size()],
                      &other = seeds[random() % seeds.size()];
      read += taken(format, test::mutate(seed, other, format.words, random));
    }
    MESSAGE(std::string(format.name) << ": " << seeds.size() << " seeds, " << rounds
                                     << " changed ones, of which " << read << " were read");
    CHECK(read > 0);
    CHECK(read < rounds);
  }
}

TEST_CASE("what Flash's writers make is taken, and refused when its last byte is missing") {
  for (const test::Format& format : test::formats()) {
    CAPTURE(std::string(format.name));
    for (const io::Bytes& seed : format.seeds()) {
      CHECK(taken(format, seed));
      CHECK_FALSE(taken(format, {seed.begin(), seed.end() - 1}));
    }
  }
}
