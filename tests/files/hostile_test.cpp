// tests/files/hostile_test.cpp -- a short, fixed round of what ./dev fuzz-files does for minutes
#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <string>

#include "core/serial.h"
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

TEST_CASE("the harnesses notice a reader that takes too much, breaks a promise or says too much") {
  const auto take = [](std::size_t bytes) { return io::Bytes(bytes).size(); };
  CHECK(test::read_bounded(3 << 20, [&] { return take(3 << 20); }) == std::size_t{3} << 20);
  CHECK_THROWS_AS(test::read_bounded(1 << 20, [&] { return take(3 << 20); }), test::Finding);
  CHECK_FALSE(test::read_bounded(0, []() -> int { io::fail(test::kFile, "is bad"); }));
  CHECK_THROWS_AS(test::read_bounded(0, []() -> int { io::fail("other", "is bad"); }),
                  test::Finding);
  CHECK_THROWS_AS(test::read_bounded(0, []() -> int { throw InternalError("a bug"); }),
                  InternalError);
  CHECK_THROWS_AS(test::check_message("\"hostile\": \x1b[2J"), test::Finding);
  CHECK_THROWS_AS(test::check_message("\"hostile\": " + std::string(1000, 'n')), test::Finding);
  CHECK_THROWS_AS(test::check_whole({boolean, {1}, {std::byte{2}}}), test::Finding);
  CHECK_THROWS_AS(test::check_whole({f32, {2}, io::Bytes(4)}), ValueError);
}

TEST_CASE("the densest JSON and trace stay within their limits, and take linear time") {
  const auto repeated = [](const std::string& piece, std::size_t bytes = 400000) {
    std::string out;
    while (out.size() < bytes) out += (out.empty() ? "" : ",") + piece;
    return out;
  };
  std::string keys;  // of two letters, each once
  for (char a = '#'; a < '['; ++a)
    for (char b = '#'; b < '['; ++b)
      keys += std::string(keys.empty() ? "" : ",") + '"' + a + b + "\":\"\"";
  for (const std::string& header :
       {"{\"a\":[" + repeated("[]") + "]}", "{\"a\":[" + repeated("{}") + "]}",
        "{\"a\":[" + repeated("0") + "]}", "{\"a\":[" + repeated("\"\"") + "]}",
        // Once each object went through all before it: these would not end within a test's time.
        "{\"a\":[" + repeated("{\"\":0}", 4000000) + "]}", "{\"__metadata__\":{" + keys + "}}",
        "{" + keys + "}"}) {
    io::Bytes file;
    io::store_le(file, header.size(), 8);
    file.insert(file.end(), io::as_bytes(header).begin(), io::as_bytes(header).end());
    (void)taken(test::format("safetensors"), file);
    (void)taken(test::format("checkpoint"), {file.begin() + 8, file.end()});
  }
  TraceProgram trace;
  for (int i = 0; i < 20000; ++i) trace.nodes.push_back({Prim::kInput, f32, {}, {}, {}, 0});
  CHECK(taken(test::format("trace"), write_program(trace)));
}

TEST_CASE("seeds and thousands of changed ones are read or refused, within their memory") {
  if (!std::filesystem::exists(test::data_folder() + "/formats"))
    MESSAGE("skipped: no test data at " << test::data_folder() << "; only own files are changed");
  for (const test::Format& format : test::formats()) {
    CAPTURE(std::string(format.name));
    const std::vector<io::Bytes> seeds = test::all_seeds(format);
    REQUIRE(seeds.size() >= 3);
    for (const io::Bytes& seed : seeds) (void)taken(format, seed);
    // The slower ones do fewer: all of this is to take a few seconds, with a sanitizer too.
    std::mt19937 random(20);
    const Clock::time_point end = Clock::now() + std::chrono::milliseconds(600);
    int rounds = 0, read = 0;
    for (; rounds < 8000 && (rounds < 500 || read == 0 || Clock::now() < end); ++rounds) {
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
