// apps/repl/cling.cpp -- a prompt for the cling that PyPI's package cppyy-cling brings as a library
//
// A line is handed over once its brackets are closed, so that a struct may take several. What is
// compiled without a semicolon at its end is printed. `.q` or the end of the input ends it.
#include <TInterpreter.h>
#include <TROOT.h>
#include <cxxabi.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <iostream>
#include <new>
#include <string>

// What code compiled by this cling refers to and neither it nor the C++ library holds: clang's end
// of a noexcept function, and a member that C++20's headers expect in line.
extern "C" void __clang_call_terminate(void* exception) {
  abi::__cxa_begin_catch(exception);
  std::terminate();
}
void deallocate(void*, char* memory, std::size_t) __asm__("_ZNSaIcE10deallocateEPcm");
void deallocate(void*, char* memory, std::size_t) { ::operator delete(memory); }

namespace {

/// How many brackets `code` leaves open, those in strings, characters and comments left out. A
/// comment that does not end counts as an open bracket.
int open_brackets(const std::string& code) {
  int depth = 0;
  char quote = 0;
  for (std::size_t i = 0; i < code.size(); ++i) {
    const char c = code[i];
    if (quote) {
      if (c == '\\') ++i;
      if (c == quote || c == '\n') quote = 0;
    } else if (c == '"' || (c == '\'' && (i == 0 || !isalnum(code[i - 1])))) {  // not 1'000
      quote = c;
    } else if (code.compare(i, 2, "//") == 0) {
      i = code.find('\n', i);
      if (i == std::string::npos) break;
    } else if (code.compare(i, 2, "/*") == 0) {
      i = code.find("*/", i + 2);
      if (i == std::string::npos) return std::max(depth, 0) + 1;
      ++i;
    } else if (c == '(' || c == '[' || c == '{') {
      ++depth;
    } else if (c == ')' || c == ']' || c == '}') {
      --depth;
    }
  }
  return depth;
}

}  // namespace

int main(int argc, char** argv) {
  const bool prompt = isatty(STDIN_FILENO);
  CppyyLegacy::TInterpreter& interpreter = *gInterpreter;
  for (int i = 1; i < argc; ++i) {  // headers to begin with
    const std::string include = std::string("#include \"") + argv[i] + '"';
    if (!interpreter.Declare(include.c_str())) return 1;
  }
  std::string code, line;
  if (prompt) std::cout << "flash> " << std::flush;
  while (std::getline(std::cin, line)) {
    if (code.empty() && line == ".q") break;
    code += line + '\n';
    if (open_brackets(code) <= 0) {
      try {
        interpreter.ProcessLine(code.c_str());
      } catch (const std::exception& e) {
        std::cerr << "error: " << e.what() << '\n';
      }
      code.clear();
    }
    std::cout << std::flush;
    if (prompt) std::cout << (code.empty() ? "flash> " : "  ...> ") << std::flush;
  }
  if (prompt && std::cin.eof()) std::cout << '\n';
}
