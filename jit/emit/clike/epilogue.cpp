// jit/emit/clike/epilogue.cpp -- what leaf kernels call on elements of their output, in C-like
// source
#include <string>

#include "jit/emit/clike/clike.h"
#include "jit/emit/clike/instructions.h"

namespace flash::emit {
namespace {

class EpilogueWriter : InstructionWriter {
 public:
  explicit EpilogueWriter(const ir::Kernel& k) : InstructionWriter(k, "epilogue") {}

  std::string run() {
    ++depth_;
    unravel("at", 0, k_.n_axes(), "EPILOGUE_INDEX");
    for (const ir::Section& s : k_.sections) body(s);
    --depth_;
    const std::string text = take();
    std::string parameters, arguments, words;
    for (const int w : argument_words()) {
      const std::string name = "w" + str(w);
      parameters += "i64 " + name + ", ";
      arguments += "epilogue_" + name + ", ";
      words += " \\\n  const i64 epilogue_" + name + " = ARG((first) + " + str(w) + ");";
    }
    line("// " + k_.name);
    for (const std::string& s : table_lines()) line(s);
    line("FN void epilogue(" + parameters + "i64 at) {");
    const std::string head = take();
    line("}");
    line("#define EPILOGUE_WORDS(first)" + words);
    line("#define EPILOGUE(at) epilogue(" + arguments + "at)");
    return head + text + take();
  }
};

}  // namespace

std::string clike_epilogue(const ir::Kernel& k, const Dialect& dialect) {
  check_emittable(k, dialect);
  return EpilogueWriter(k).run();
}

}  // namespace flash::emit
