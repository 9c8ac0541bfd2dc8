// tests/train/safetensors_test.cpp -- round trips, foreign files, and hostile headers
#include "train/io/safetensors.h"

#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "core/error.h"
#include "core/io/atomic_file.h"
#include "tests/train/scratch_folder.h"

using namespace flash;
using test::error_of;
namespace fs = std::filesystem;

namespace {

/// A file with this header and so many zero bytes behind it.
void write_raw(const std::string& path, const std::string& header, std::size_t data) {
  io::Bytes file;
  io::store_le(file, header.size(), 8);
  const io::ByteSpan text = io::as_bytes(header);
  file.insert(file.end(), text.begin(), text.end());
  file.resize(file.size() + data);
  io::write_file_atomic(path, file);
}

HostArrays example() {
  HostArrays out;
  for (int t = 0; t < kNumDTypes; ++t) {
    const auto dtype = static_cast<DType>(t);
    for (const Shape& shape : {Shape{}, Shape{3}, Shape{0, 2}, Shape{2, 1, 2}}) {
      HostArray a{dtype, shape, {}};
      a.bytes.resize(static_cast<std::size_t>(shape.numel() * size_of(dtype)));
      for (std::size_t i = 0; i < a.bytes.size(); ++i) {
        a.bytes[i] = static_cast<std::byte>(dtype == boolean ? i & 1 : i * 29 + 3);
      }
      out.emplace("layer." + std::string(name(dtype)) + shape.str(), std::move(a));
    }
  }
  return out;
}

}  // namespace

TEST_CASE("arrays of every dtype and metadata come back from safetensors as they were") {
  test::ScratchFolder folder;
  const HostArrays arrays = example();
  const io::Metadata metadata = {{"epoch", "3"}, {"text", "a \"quoted\" \n line, äöü"}};
  io::write_safetensors(folder / "a", arrays, metadata);
  io::Metadata read;
  const HostArrays back = io::read_safetensors(folder / "a", &read);
  CHECK(read == metadata);
  REQUIRE(back.size() == arrays.size());
  for (const auto& item : arrays) {
    const std::string& name = item.first;
    const HostArray& array = item.second;
    CAPTURE(name);
    CHECK(back.at(name).dtype == array.dtype);
    CHECK(back.at(name).shape == array.shape);
    CHECK(back.at(name).bytes == array.bytes);
  }
  io::write_safetensors(folder / "b", arrays, metadata);
  CHECK(io::read_file(folder / "a") == io::read_file(folder / "b"));
  const io::SafetensorsFile file(folder / "a");
  for (const auto& [name, entry] : file.entries()) {
    const HostArray& array = arrays.at(name);
    CHECK(entry.begin % static_cast<std::uint64_t>(size_of(array.dtype)) == 0);  // aligned
  }
  io::write_safetensors(folder / "c", {});
  CHECK(io::read_safetensors(folder / "c").empty());
}

TEST_CASE("one array can be read without the others; a missing one is an IndexError") {
  test::ScratchFolder folder;
  const HostArrays arrays = example();
  io::write_safetensors(folder / "a", arrays);
  const io::SafetensorsFile file(folder / "a");
  CHECK(file.contains("layer.f32[3]"));
  CHECK(file.read("layer.f32[3]").bytes == arrays.at("layer.f32[3]").bytes);
  CHECK(error_of<IndexError>([&] { file.read("nope"); }) ==
        "\"" + (folder / "a") + "\": has no array \"nope\"; it has 40 others");
}

TEST_CASE("a type that Flash has not is an error only when it is asked for") {
  test::ScratchFolder folder;
  const std::string path = folder / "f8";
  write_raw(path,
            R"({"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]},)"
            R"("b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]},)"
            R"("c":{"dtype":"Q7_NEW","shape":[9],"data_offsets":[6,9]}})",
            9);
  const io::SafetensorsFile file(path);
  CHECK(file.read("b").shape == Shape{2});
  CHECK(error_of<DTypeError>([&] { file.read("a"); }) ==
        "\"" + path +
            "\": a has elements of type F8_E4M3, which Flash has not; convert them "
            "before saving, as to F32 or I64");
  CHECK_THROWS_AS(file.read("c"), DTypeError);
  CHECK_THROWS_AS(io::read_safetensors(path), DTypeError);
}

TEST_CASE("headers that lie are refused") {
  test::ScratchFolder folder;
  const std::string path = folder / "bad";
  auto error = [&](const std::string& header, std::size_t data) {
    write_raw(path, header, data);
    std::string text = error_of<IoError>([&] { io::SafetensorsFile file(path); });
    const std::string prefix = "\"" + path;
    return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
  };
  auto entry = [](const char* shape, const char* offsets) {
    return std::string(R"({"a":{"dtype":"F32","shape":)") + shape + R"(,"data_offsets":)" +
           offsets + "}}";
  };
  CHECK(error(entry("[2]", "[0,8]"), 8) == "(nothing)");
  CHECK(error(entry("[2]", "[0,8]"), 7) ==
        ": a\": is damaged: its data_offsets 0 and 8 do not lie in the 7 bytes of data");
  CHECK(error(entry("[2]", "[0,8]"), 9) == "\": is damaged: 1 bytes belong to no array");
  CHECK(error(entry("[3]", "[0,8]"), 8) ==
        ": a\": is damaged: shape [3] of F32 does not fill 8 bytes");
  CHECK(error(entry("[2]", "[8,0]"), 8).find("data_offsets") != std::string::npos);
  CHECK(error(entry("[2]", "[0,18446744073709551615]"), 8).find("data_offsets") !=
        std::string::npos);
  CHECK(error(entry("[2]", "[4,12]"), 12) == "\": is damaged: its arrays overlap or leave holes");
  CHECK(error(entry("[-2]", "[0,8]"), 8).find("whole numbers") != std::string::npos);
  CHECK(error(entry("[2.0]", "[0,8]"), 8).find("whole numbers") != std::string::npos);
  CHECK(error(entry("[4611686018427387904,4]", "[0,0]"), 0).find("64-bit") != std::string::npos);
  CHECK(error(entry("[18446744073709551615]", "[0,0]"), 0).find("too large") != std::string::npos);
  CHECK(error(entry("[1,1,1,1,1,1,1,1,2]", "[0,8]"), 8) == ": a\": has more than 8 dimensions");
  CHECK(error(entry("2", "[0,8]"), 8).find("it needs dtype, shape") != std::string::npos);
  CHECK(error(R"({"a":7})", 0).find("it needs dtype, shape") != std::string::npos);
  CHECK(error("[1]", 0) == "\": is damaged: its header is not a JSON object");
  CHECK(error("{", 0).find("its header is not JSON") != std::string::npos);
  CHECK(error("\xff\xfe{}", 0).find("its header is not JSON") != std::string::npos);
  CHECK(error(std::string(100000, '['), 0) == "\": is damaged: its header is nested too deep");
  CHECK(error(R"({"__metadata__":{"a":1}})", 0) ==
        "\": is damaged: __metadata__ holds more than strings");
  const std::string one = R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})";
  CHECK(error("{" + one + "," + one + "}", 2) == "\": is damaged: its header has \"a\" twice");
  const std::string two = R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]})";
  CHECK(error("{" + one + "," + two + "}", 3) ==
        "\": is damaged: its arrays overlap or leave holes");
}

TEST_CASE(
    "what a header calls its arrays and types is shown short and without control characters") {
  const std::string name(5000, 'n');
  const std::string header = R"({"\u001b[2J)" + name + R"(":{"dtype":"\u0007)" + name +
                             R"(","shape":[1],"data_offsets":[0,1]}})";
  io::Bytes file;
  io::store_le(file, header.size(), 8);
  file.insert(file.end(), io::as_bytes(header).begin(), io::as_bytes(header).end());
  file.push_back(std::byte{0});
  const std::string text = error_of<DTypeError>([&] { io::parse_safetensors(file, "x"); });
  CHECK(text.size() < 300);
  CHECK(text.starts_with("\"x\": \\x1b[2Jnnn"));
  CHECK(text.find("elements of type \\x07nnn") != std::string::npos);
  file.pop_back();
  CHECK(error_of<IoError>([&] { io::parse_safetensors(file, "x"); }).size() < 300);
}

TEST_CASE("a safetensors file that is cut or flipped anywhere is refused or read, never a crash") {
  test::ScratchFolder folder;
  HostArrays arrays;
  arrays["w"] = {f32, {2, 2}, io::Bytes(16)};
  arrays["b"] = {i64, {2}, io::Bytes(16)};
  io::write_safetensors(folder / "good", arrays, {{"k", "v"}});
  const io::Bytes good = io::read_file(folder / "good");
  int refused = 0;
  for (std::size_t n = 0; n < good.size(); ++n) {
    io::write_file_atomic(folder / "cut", io::ByteSpan(good).first(n));
    refused += error_of<IoError>([&] { io::read_safetensors(folder / "cut"); }) != "(nothing)";
    io::Bytes bad = good;
    bad[n] ^= std::byte{0x11};
    io::write_file_atomic(folder / "flipped", bad);
    error_of<Error>([&] { io::read_safetensors(folder / "flipped"); });
  }
  CHECK(refused == static_cast<int>(good.size()));
}

TEST_CASE("writing refuses arrays that do not fit their shape, and leaves the old file") {
  test::ScratchFolder folder;
  const std::string path = folder / "a";
  io::write_safetensors(path, {{"w", {u8, {2}, io::Bytes(2)}}});
  CHECK_THROWS_AS(io::write_safetensors(path, {{"w", {u8, {3}, io::Bytes(2)}}}), ValueError);
  CHECK_THROWS_AS(io::write_safetensors(path, {{"__metadata__", {u8, {2}, io::Bytes(2)}}}),
                  ValueError);
  CHECK_THROWS_AS(io::write_safetensors(path, {{"\xff", {u8, {2}, io::Bytes(2)}}}), IoError);
  CHECK_THROWS_AS(io::write_safetensors(folder / "no/a", {}), IoError);
  CHECK(io::read_safetensors(path).at("w").shape == Shape{2});
}

TEST_CASE("files of other libraries are read; the abusive one is refused") {
  const fs::path data = fs::path(FLASH_TEST_DATA) / "formats" / "safetensors";
  if (!fs::exists(data)) {
    MESSAGE("skipped: no test data at " << data.string());
    return;
  }
  CHECK(error_of<IoError>([&] {
          io::SafetensorsFile file((data / "abuse_attempt_1.safetensors").string());
        }).find("truncated: its header should have 1000 bytes") != std::string::npos);
  const io::SafetensorsFile model((data / "model.safetensors").string());
  CHECK(model.entries().size() == 36);
  int read = 0, foreign = 0;
  for (const auto& [name, entry] : model.entries()) {
    try {
      const HostArray array = model.read(name);
      CHECK(array.bytes.size() ==
            static_cast<std::size_t>(array.shape.numel() * size_of(array.dtype)));
      ++read;
    } catch (const DTypeError&) {
      ++foreign;
    }
  }
  CHECK(read > 20);
  CHECK(foreign > 0);
  CHECK(read + foreign == 36);
  io::SafetensorsFile with((data / "model.with_metadata.safetensors").string());
  CHECK_FALSE(with.metadata().empty());
  for (int i = 1; i <= 6; ++i) {
    const auto shard =
        data / "sharded" / ("model-0000" + std::to_string(i) + "-of-00006.safetensors");
    CHECK_FALSE(io::SafetensorsFile(shard.string()).entries().empty());
  }
}
