// tests/fuzz/print.cpp -- random programs as one complete C++ program
#include <fstream>

#include "fuzz/machine.h"

namespace fuzz {
namespace {

std::string name_of(const Program& p, int variant) {
  return "program_" + std::to_string(p.seed) + "_" + std::to_string(variant);
}

/// tests/fuzz/prelude.h, but for what only a header needs.
std::string prelude() {
  std::ifstream file(FLASH_SOURCE_ROOT "/tests/fuzz/prelude.h");
  if (!file.good()) throw Error("no prelude at " FLASH_SOURCE_ROOT "/tests/fuzz/prelude.h");
  std::string text, line;
  bool inside = false;
  while (std::getline(file, line)) {
    if (inside) text += line + "\n";
    inside = inside || line == "#pragma once";
  }
  return text;
}

/// One variant as a function that returns the lines of its values.
std::string function(const Program& p, int variant) {
  std::string names, body;
  Machine m(p, {.variant = variant, .flush_points = false});
  for (int i = 0; i < static_cast<int>(p.code.size()); ++i) {
    if (p.code[static_cast<std::size_t>(i)].op == Op::kNop) continue;
    const std::string error = m.step(i);
    if (m.line.empty() || error == "skipped") continue;
    const Tensor& t = m.vars[static_cast<std::size_t>(i)];
    if (!error.empty()) {
      body += "  try {\n    " + m.line + ";\n  } catch (const Error&) {  // " + error + "\n  }\n";
    } else if (t.defined()) {
      names += (names.empty() ? "  Tensor v" : ", v") + std::to_string(i);
      body += "  v" + std::to_string(i) + " = " + m.line + ";  // " + std::string(name(t.dtype())) +
              " " + t.shape().str() + "\n";
    } else {
      body += "  " + m.line + ";\n";
    }
  }
  std::string values;
  for (std::size_t i = 0; i < m.vars.size(); ++i) {
    const Tensor& t = m.vars[i];
    const std::string v = "v" + std::to_string(i);
    if (!t.defined()) continue;
    values += "  lines.push_back(line_of(\"" + v + "\", " + v + "));\n";
    if (t.requires_grad() && t.is_leaf())
      values += "  if (" + v + ".grad().defined()) lines.push_back(line_of(\"" + v + ".grad\", " +
                v + ".grad()));\n";
  }
  m.vars.clear();
  m.draws.clear();
  eval_all();
  return "static Lines " + name_of(p, variant) + "([[maybe_unused]] bool flush_points) {\n" +
         "  manual_seed(" + cpp(p.seed) + ");\n" + names + (names.empty() ? "" : ";\n") + body +
         "  Lines lines;\n" + values + "  return lines;\n}\n\n";
}

}  // namespace

std::string to_cpp(std::span<const Program> programs, const std::string& comment) {
  std::string text =
      comment + prelude() + "\nnamespace fuzz {\n\nusing Lines = std::vector<std::string>;\n\n";
  std::string table;
  for (const Program& p : programs)
    for (const int variant : {0, 1}) {
      text += function(p, variant);
      table += "      {\"" + name_of(p, variant) + "\", " + name_of(p, variant) + "},\n";
    }
  return text + R"(static int compare() {
  const std::vector<std::pair<std::string, Lines (*)(bool)>> programs = {
)" + table +
         R"(  };
  bool same = true;
  for (const auto& [name, run] : programs) {
    use_evaluator("interpret");
    const Lines want = run(false);
    for (const std::string& line : want) std::printf("%s %s\n", name.c_str(), line.c_str());
    use_evaluator("fuse");
    for (const bool flush_points : {false, true}) {
      const Lines got = run(flush_points);
      for (std::size_t i = 0; i < want.size(); ++i)
        if (got[i] != want[i]) {
          std::fprintf(stderr, "%s: interpreted %s, fused %s\n", name.c_str(), want[i].c_str(),
                       got[i].c_str());
          same = false;
        }
    }
  }
  return same ? 0 : 1;
}

}  // namespace fuzz

int main() { return fuzz::compare(); }
)";
}

std::string expected_lines(std::span<const Program> programs) {
  use_evaluator("interpret");
  std::string text;
  for (const Program& p : programs)
    for (const int variant : {0, 1}) {
      Machine m(p, {.variant = variant, .flush_points = false});
      for (int i = 0; i < static_cast<int>(p.code.size()); ++i) m.step(i);
      for (std::size_t i = 0; i < m.vars.size(); ++i) {
        const Tensor& t = m.vars[i];
        if (!t.defined()) continue;
        const std::string v = name_of(p, variant) + " v" + std::to_string(i);
        text += line_of(v, t) + "\n";
        if (t.requires_grad() && t.is_leaf() && t.grad().defined())
          text += line_of(v + ".grad", t.grad()) + "\n";
      }
    }
  return text;
}

}  // namespace fuzz
