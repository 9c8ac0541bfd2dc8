// jit/ir/print.cpp -- kernel IR as text, one instruction a line
#include <bit>
#include <cstdio>

#include "jit/ir/op_info.h"

namespace flash::ir {
namespace {

std::string ref(Value v) { return "%" + std::to_string(v); }

std::string number(float x) {
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", static_cast<double>(x));
  return text;
}

std::string number(const Inst& i) {
  char text[40];
  const auto low = static_cast<std::uint32_t>(i.imm);
  switch (i.type) {
    case Type::kF32:
      return number(std::bit_cast<float>(low));
    case Type::kF64:
      std::snprintf(text, sizeof text, "%.17g", std::bit_cast<double>(i.imm));
      return text;
    case Type::kI32:
      return std::to_string(static_cast<std::int32_t>(low));
    default:
      return std::to_string(static_cast<std::int64_t>(i.imm));
  }
}

std::string instruction(const Kernel& k, Value v) {
  const Inst& i = k.insts[static_cast<std::size_t>(v)];
  std::string s = "    ";
  if (i.op != Op::kStore) s += ref(v) + ": " + std::string(name(i.type)) + " = ";
  s += info(i.op).name;
  constexpr const char* kKinds[] = {"sum", "prod", "max", "min"};
  if (i.op == Op::kReduce) s += std::string(".") + kKinds[static_cast<int>(i.reduce)];
  if (i.op == Op::kConst) s += " " + number(i);
  if (i.op == Op::kTable) s += " #" + std::to_string(i.imm);
  if (i.slot >= 0) s += " w" + std::to_string(i.slot);
  if (i.access >= 0) s += " @" + std::to_string(i.access);
  const Value index = i.op == Op::kLoad ? i.a : i.op == Op::kStore ? i.b : kNone;
  if (index != kNone) s += "[" + ref(index) + "]";
  const char* separator = " ";
  if (i.op != Op::kLoad)
    for (const Value operand : {i.a, i.op == Op::kStore ? kNone : i.b, i.c})
      if (operand != kNone) {
        s += separator + ref(operand);
        separator = ", ";
      }
  if (i.guard != kNone) s += " if " + ref(i.guard);
  return s + "\n";
}

}  // namespace

std::string to_string(const Kernel& k) {
  constexpr const char* kModes[] = {"whole", "split", "epilogue"};
  constexpr const char* kRoles[] = {"grid", "loop", "lane"};
  constexpr const char* kSteps[] = {"zero", "unit", "any"};
  std::string s = "kernel " + (k.name.empty() ? std::string("(unnamed)") : k.name);
  s += k.form == Form::kRow ? " row " : " column ";
  s += kModes[static_cast<int>(k.mode)];
  s += ", " + std::to_string(k.words) + " words\n  axes:";
  for (const Role r : k.axes) s += std::string(" ") + kRoles[static_cast<int>(r)];
  s += "\n";
  for (std::size_t n = 0; n < k.accesses.size(); ++n) {
    const Access& a = k.accesses[n];
    s += "  @" + std::to_string(n) + ": " + std::string(flash::name(a.dtype));
    s += a.stored ? " out" : " in";
    s += " w" + std::to_string(a.pointer) + ", strides w" + std::to_string(a.strides) + ":";
    for (const Step step : a.step) s += std::string(" ") + kSteps[static_cast<int>(step)];
    s += "\n";
  }
  for (std::size_t n = 0; n < k.tables.size(); ++n) {
    s += "  #" + std::to_string(n) + ":";
    for (const float x : k.tables[n]) s += " " + number(x);
    s += "\n";
  }
  for (const Section& section : k.sections) {
    s += section.loop ? "  loop:\n" : "  row:\n";
    for (const Value v : section.body) s += instruction(k, v);
  }
  return s;
}

}  // namespace flash::ir
