// tests/contract/public_functions.cpp -- the names of public functions, read from their headers
#include <filesystem>
#include <fstream>
#include <regex>

#include "contract/op_table.h"

namespace contract {
namespace {

/// The names of tensor functions that a header of core/ declares as public; those of namespace
/// detail are what inline ones are made of.
std::set<std::string> declared(const std::filesystem::path& header, const std::string& prefix) {
  std::ifstream file(header);
  if (!file.good()) throw Error("no header at " + header.string());
  const std::regex function(
      R"(^(?:FLASH_API|  )(?: *)(?:Tensor&?|std::vector<Tensor>) (operator(?:[^ (]+)|\w+)\()");
  const std::regex macro(R"(^(  )?FLASH_(?:OP|OP2|METHOD|IN_PLACE)\(([^,)]+))");
  std::set<std::string> names;
  std::string line;
  std::smatch m;
  bool in_definition = false;  // of a macro
  bool in_detail = false;
  while (std::getline(file, line)) {
    if (line == "namespace detail {") in_detail = true;
    if (line == "}  // namespace detail") in_detail = false;
    if (in_detail) continue;
    const bool skip = in_definition || line.starts_with("#define");
    in_definition = line.ends_with('\\');
    if (skip) continue;
    if (std::regex_search(line, m, macro))
      names.insert((m[1].matched ? prefix : "") + m[2].str());
    else if (std::regex_search(line, m, function))
      names.insert((line[0] == ' ' ? prefix : "") + m[1].str());
  }
  return names;
}

}  // namespace

std::set<std::string> public_functions() {
  const std::filesystem::path core = std::filesystem::path(FLASH_SOURCE_ROOT) / "core";
  std::set<std::string> names = declared(core / "tensor.h", "Tensor::");
  for (const auto& entry : std::filesystem::directory_iterator(core / "ops"))
    if (entry.path().extension() == ".h") names.merge(declared(entry.path(), ""));
  return names;
}

}  // namespace contract
