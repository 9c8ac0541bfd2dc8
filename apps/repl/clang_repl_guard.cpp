// apps/repl/clang_repl_guard.cpp -- lets a clang-repl session outlive an exception that nobody
// caught
//
// clang-repl is built without exceptions and ends when a line throws. Preloaded, this stands
// between its prompt and clang::Interpreter::ParseAndExecute, prints what was thrown and returns to
// the prompt. The frames in between hold no lock while the line runs; what they allocated leaks.
// Written for LLVM 19; in a clang-repl without that symbol it is never called.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

namespace guard {

// llvm::Error and llvm::StringRef as the ABI passes them; a null payload is success.
struct Error {
  void* payload = nullptr;
  ~Error() {}
};
struct StringRef {
  const char* data;
  unsigned long length;
};
using ParseAndExecute = Error (*)(void* interpreter, StringRef code, void* value);

constexpr char kSymbol[] = "_ZN5clang11Interpreter15ParseAndExecuteEN4llvm9StringRefEPNS_5ValueE";

Error parse_and_execute(void* interpreter, StringRef code, void* value) __asm__(
    "_ZN5clang11Interpreter15ParseAndExecuteEN4llvm9StringRefEPNS_5ValueE");

Error parse_and_execute(void* interpreter, StringRef code, void* value) {
  static const auto next = reinterpret_cast<ParseAndExecute>(dlsym(RTLD_NEXT, kSymbol));
  if (!next) std::abort();  // whoever calls this has linked it
  try {
    return next(interpreter, code, value);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
  } catch (...) {
    std::fprintf(stderr, "error: something was thrown that is no std::exception\n");
  }
  return {};
}

}  // namespace guard
