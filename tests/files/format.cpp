// tests/files/format.cpp -- the table of formats, and what all harnesses check
#include "tests/files/format.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "core/io/npy.h"
#include "tests/files/harnesses.h"

namespace flash::test {
namespace fs = std::filesystem;
using namespace std::string_view_literals;

std::span<const Format> formats() {
  static const Format all[] = {
      {"idx", read_idx, idx_seeds, {}, {}, {"\0\0\x08\3"sv, "\0\0\x0e\1"sv, "\x1f\x8b\x08"sv}},
      {"gz", read_gz, gz_seeds, {}, {}, {"\x1f\x8b\x08\0"sv, "\0\0\xff\xff"sv}},
      {"npy",
       read_npy,
       npy_seeds,
       {"formats/npy"},
       {".npy"},
       {"'descr'", "'fortran_order'", "'shape'", "True", "'<f8'", "'>i2'", "'|b1'", "(1,)", "L,"}},
      {"npz",
       read_npz,
       npz_seeds,
       {"formats/npy"},
       {".npz"},
       {"PK\1\2", "PK\3\4", "PK\5\6", ".npy", "\xff\xff\xff\xff"}},
      {"safetensors",
       read_safetensors,
       safetensors_seeds,
       {"formats/safetensors"},
       {".safetensors"},
       {"\"dtype\":", "\"shape\":", "\"data_offsets\":", "\"__metadata__\":", "\"F32\"", "\"BOOL\"",
        "\"F8_E4M3\"", "[0,0]", "18446744073709551615"}},
      {"trace", read_trace, trace_seeds, {}, {}, {"FLASHTRC", "\xff\xff\xff\xff\xff\xff\xff\x7f"}},
      {"checkpoint",
       read_checkpoint,
       checkpoint_seeds,
       {},
       {},
       {"\"version\":", "\"crc32\":", "\"history\":", "\"validation\":", "null", "\"nan\"",
        "9223372036854775807", "1e308", "true", "{}", "[]"}},
      {"image",
       read_image,
       image_seeds,
       {"formats/png", "formats/jpeg", "formats/bmp"},
       {".png", ".jpg", ".bmp", ".ppm"},
       {"IHDR", "PLTE", "IDAT", "IEND", "tRNS", "CgBI", "\0\0\0\0"sv, "P5 ", "P6 ", " 65535\n"}},
      {"kernel_entry",
       read_kernel_entry,
       kernel_entry_seeds,
       {},
       {},
       {"\1FLASHKRN\1\0\0\0"sv, "\xff\xff\xff\xff\xff\xff\xff\xff", "\0\0\0\4\0\0\0\0"sv}},
  };
  return all;
}

const Format& format(std::string_view name) {
  for (const Format& f : formats())
    if (f.name == name) return f;
  throw Finding("there is no format " + std::string(name));
}

std::string data_folder() {
  const char* from_env = std::getenv("FLASH_TEST_DATA");
  return from_env ? from_env : FLASH_TEST_DATA;
}

std::vector<io::Bytes> all_seeds(const Format& format) {
  std::vector<io::Bytes> out = format.seeds();
  const fs::path data = data_folder();
  std::vector<fs::path> paths;
  for (const std::string_view folder : format.folders) {
    std::error_code error;
    for (fs::recursive_directory_iterator it(data / folder, error), end; !error && it != end;
         it.increment(error)) {
      const std::string extension = it->path().extension().string();
      const bool ours = std::find(format.extensions.begin(), format.extensions.end(), extension) !=
                        format.extensions.end();
      if (ours && it->is_regular_file() && it->file_size() <= 4096) paths.push_back(it->path());
    }
  }
  std::sort(paths.begin(), paths.end());  // the same on every machine
  for (const fs::path& path : paths) out.push_back(io::read_file(path.string()));
  return out;
}

void check_message(std::string_view text) {
  const std::string begin = "\"" + std::string(kFile);
  promise(text.starts_with(begin), "an error does not name its file: " + std::string(text));
  promise(text.size() < 700, "an error is " + std::to_string(text.size()) + " bytes long");
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    promise(byte >= 0x20 && byte != 0x7f, "an error has control characters");
  }
}

void check_whole(const HostArray& array) {
  io::check_host_array(array, "the reader");
  if (array.dtype != DType::kBool) return;
  for (const std::byte b : array.bytes) promise(b <= std::byte{1}, "a bool is neither 0 nor 1");
}

void check_same(const HostArray& a, const HostArray& b) {
  promise(a.dtype == b.dtype && a.shape == b.shape && a.bytes == b.bytes,
          "an array that was written reads as another one");
}

void check_same(const HostArrays& a, const HostArrays& b) {
  promise(a.size() == b.size(), "of the arrays that were written others are read");
  for (const auto& [name, array] : a) {
    const auto found = b.find(name);
    promise(found != b.end(), "an array that was written is not read");
    check_same(array, found->second);
  }
}

}  // namespace flash::test
