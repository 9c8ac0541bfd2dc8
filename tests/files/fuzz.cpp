// tests/files/fuzz.cpp -- libFuzzer's entry: one program a format, named by FLASH_FUZZ_FORMAT
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "core/evaluator.h"
#include "core/io/atomic_file.h"
#include "tests/files/format.h"

/// Readers make arrays, not tensors: without devices and evaluators, neither they nor the compiler
/// behind them are linked and built.
void flash::install_all() {}

using namespace flash;
namespace fs = std::filesystem;

namespace {

/// The seeds as files 0, 1, …, and the words as a dictionary, for ./dev fuzz-files.
void write_seeds(const fs::path& folder) {
  const test::Format& format = test::format(FLASH_FUZZ_FORMAT);
  if (!format.folders.empty() && !fs::exists(test::data_folder() + "/formats"))
    std::cout << format.name << ": no test data at " << test::data_folder()
              << "; it begins from own files alone\n";
  fs::create_directories(folder / "seeds");
  int count = 0;
  for (const io::Bytes& seed : test::all_seeds(format))
    io::write_file_atomic((folder / "seeds" / std::to_string(count++)).string(), seed);
  std::string words;
  for (const std::string_view word : format.words) {
    words += '"';
    for (const char c : word) {
      const auto byte = static_cast<unsigned char>(c);
      words += {'\\', 'x', "0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
    }
    words += "\"\n";
  }
  io::write_file_atomic((folder / "words").string(), io::as_bytes(words));
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  if (const char* folder = std::getenv("FLASH_FUZZ_WRITE_SEEDS")) {
    write_seeds(folder);
    std::exit(0);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const test::Format& format = test::format(FLASH_FUZZ_FORMAT);
  try {
    format.read({reinterpret_cast<const std::byte*>(data), size});
  } catch (const std::exception& e) {
    std::cerr << "FINDING: " << e.what() << std::endl;
    std::abort();
  }
  return 0;
}
