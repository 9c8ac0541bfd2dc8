// jit/emit/clike/instructions.cpp -- an instruction's line: its value's name, its function, its
// operands
#include "jit/emit/clike/instructions.h"

#include <algorithm>
#include <bit>

#include "core/error.h"
#include "jit/emit/clike/clike.h"
#include "jit/ir/op_info.h"

namespace flash::emit {

using ir::Access;
using ir::Inst;
using ir::kNone;
using ir::Op;
using ir::Role;
using ir::Step;
using ir::Type;
using ir::Value;

namespace {

std::string text(std::string_view s) { return std::string(s); }

/// 64 bits out of halves: no dialect's literal is longer.
std::string word64(std::uint64_t bits) {
  const auto half = [](std::uint64_t b) {
    return std::to_string(static_cast<std::uint32_t>(b)) + "u";
  };
  return "(u64(" + half(bits >> 32) + ") << 32 | u64(" + half(bits) + "))";
}

/// A load or store of neighbours along the vector axis, for all of them.
bool can_be_wide(const ir::Kernel& k, const Inst& i) {
  const Access& a = k.accesses[static_cast<std::size_t>(i.access)];
  const Value index = i.op == Op::kLoad ? i.a : i.b;
  return index == kNone && i.guard == kNone && a.step.back() == Step::kUnit;
}

}  // namespace

void check_emittable(const ir::Kernel& k, const Dialect& dialect) {
  verify(k);
  for (const Inst& i : k.insts)
    if (i.type == Type::kF64 && !dialect.has_f64)
      throw DTypeError("kernel " + k.name + ": it uses f64, which " + text(dialect.name) +
                       " does not have; cast its operands to f32, or use another device");
}

InstructionWriter::InstructionWriter(const ir::Kernel& k, std::string_view entry)
    : k_(k), entry_(entry), column_(k.form == ir::Form::kColumn) {
  words_.assign(static_cast<std::size_t>(k.words), false);
  tables_.assign(k.tables.size(), false);
  const auto all = [](const ir::Section&) { return true; };
  write_only(all);
  find_walked();
}

std::string InstructionWriter::type(Type t) { return text(ir::name(t)); }

std::string InstructionWriter::arg(int word) {
  words_[static_cast<std::size_t>(word)] = true;
  return "w" + str(word);
}

std::vector<int> InstructionWriter::argument_words() const {
  std::vector<int> all;
  for (std::size_t w = 0; w < words_.size(); ++w)
    if (words_[w]) all.push_back(static_cast<int>(w));
  return all;
}

std::vector<std::string> InstructionWriter::argument_lines() const {
  std::vector<std::string> lines;
  for (const int w : argument_words())
    lines.push_back("const i64 w" + str(w) + " = ARG(" + str(w) + ");");
  return lines;
}

std::string InstructionWriter::table_name(std::uint64_t t) const {
  return entry_ + "_table" + std::to_string(t);
}

std::string InstructionWriter::table(std::uint64_t t) {
  tables_[t] = true;
  return table_name(t);
}

std::vector<std::string> InstructionWriter::table_lines() const {
  std::vector<std::string> lines;
  for (std::size_t t = 0; t < tables_.size(); ++t) {
    if (!tables_[t]) continue;
    std::string values;
    for (const float x : k_.tables[t]) values += ", " + str(std::bit_cast<std::uint32_t>(x)) + "u";
    lines.push_back("TABLE(" + table_name(t) + values + ")");
  }
  return lines;
}

void InstructionWriter::write_only(FunctionRef<bool(const ir::Section&)> wanted) {
  used_.assign(k_.insts.size(), false);
  const auto use = [&](Value v) {
    if (v != kNone) used_[static_cast<std::size_t>(v)] = true;
  };
  for (auto s = k_.sections.rbegin(); s != k_.sections.rend(); ++s)
    for (auto v = s->body.rbegin(); v != s->body.rend(); ++v) {
      const Inst& i = inst(*v);
      const bool effect = i.op == Op::kStore || i.op == Op::kReduce;
      if (effect ? !wanted(*s) : !used(*v)) continue;
      use(*v);
      for (const Value operand : {i.a, i.b, i.c, i.guard}) use(operand);
    }
}

void InstructionWriter::find_walked() {
  walked_.assign(k_.axes.size(), false);
  for (const ir::Section& s : k_.sections)
    for (const Value v : s.body) {
      const Inst& i = inst(v);
      const bool iota = i.op == Op::kIota;
      if (!used(v) || (!iota && i.op != Op::kLoad && i.op != Op::kStore)) continue;
      for (int axis = 0; axis < k_.n_axes(); ++axis) {
        const auto a = static_cast<std::size_t>(axis);
        if (!has_index(axis, s.loop)) continue;
        if (iota || k_.accesses[static_cast<std::size_t>(i.access)].step[a] != Step::kZero)
          walked_[a] = true;
      }
    }
}

int InstructionWriter::lowest_walked(int first, int end) const {
  while (first < end && !walked(first)) ++first;
  return first;
}

void InstructionWriter::unravel(const std::string& number, int first, int end,
                                const std::string& narrow) {
  const auto as = [&](const std::string& t, const std::string& s) {
    return narrow.empty() ? s : t + "(" + s + ")";
  };
  const std::string divided = narrow.empty() ? "i64" : narrow;
  const int lowest = lowest_walked(first, end);
  std::string rest = as(divided, number);
  for (int a = end - 1; a >= lowest; --a) {
    const auto size = [&] { return as(divided, extent(a)); };  // a word that is asked for is read
    if (walked(a))
      line("const i64 " + index(a) + " = " + as("i64", a > first ? rest + " % " + size() : rest) +
           ";");
    if (a == lowest) break;
    line("const " + divided + " " + index(a) + "_above = " + rest + " / " + size() + ";");
    rest = index(a) + "_above";
  }
}

// Loop axes have no index in row sections.
bool InstructionWriter::has_index(int axis, bool loop) const {
  return loop || k_.axes[static_cast<std::size_t>(axis)] != Role::kLoop;
}

std::string InstructionWriter::address(const Inst& i, Value at, bool loop) {
  const Access& a = k_.accesses[static_cast<std::size_t>(i.access)];
  const std::string size = str(flash::size_of(a.dtype));
  std::string s = "u64(" + arg(a.pointer);
  for (int axis = 0; axis < k_.n_axes(); ++axis) {
    const Step step = a.step[static_cast<std::size_t>(axis)];
    if (step == Step::kZero || !has_index(axis, loop)) continue;
    s += " + " + index(axis) + " * " + (step == Step::kUnit ? size : arg(a.strides + axis));
  }
  if (at != kNone) s += " + " + name(at) + " * " + size;
  return s + ")";
}

std::string InstructionWriter::literal(const Inst& i) const {
  const std::string bits =
      ir::size_of(i.type) == 8 ? word64(i.imm) : str(static_cast<std::uint32_t>(i.imm)) + "u";
  return (ir::is_float(i.type) ? "literal_" : "") + type(i.type) + "(" + bits + ")";
}

std::string InstructionWriter::call(const Inst& i, const std::string& function) const {
  std::string s = function + "(" + name(i.a);
  if (i.b != kNone) s += ", " + name(i.b);
  if (i.c != kNone) s += ", " + name(i.c);
  return s + ")";
}

std::string InstructionWriter::expression(const Inst& i, bool loop) {
  const std::string op = text(ir::info(i.op).name);
  switch (i.op) {
    case Op::kConst:
      return literal(i);
    case Op::kScalar:
      return "word_" + type(i.type) + "(" + arg(i.slot) + ")";
    case Op::kIota: {
      std::string s = arg(i.slot);
      for (int axis = 0; axis < k_.n_axes(); ++axis)
        if (has_index(axis, loop)) s += " + " + index(axis) + " * " + arg(i.slot + 1 + axis);
      return s;
    }
    case Op::kLoad: {
      const Access& a = k_.accesses[static_cast<std::size_t>(i.access)];
      const std::string s =
          "load_" + text(flash::name(a.dtype)) + "(" + address(i, i.a, loop) + ")";
      if (words_moved(i, loop) > 0)
        return "whole_words ? " + out_of_words(a.dtype, wide(i)) + " : " + s;
      return i.guard == kNone ? s : name(i.guard) + " ? " + s + " : " + type(i.type) + "(0)";
    }
    case Op::kTable:
      return "bits_f32(" + table(i.imm) + "[" + name(i.a) + " & 15])";
    case Op::kCast:
    case Op::kBitcast:
      return call(i, op + "_" + type(i.type) + "_" + type(inst(i.a).type));
    case Op::kToPred:
    case Op::kEq:
    case Op::kNe:
    case Op::kLt:
    case Op::kLe:
      return call(i, op + "_" + type(inst(i.a).type));
    case Op::kPAnd:
    case Op::kPOr:
    case Op::kPNot:
      return call(i, op);
    default:
      return call(i, op + "_" + type(i.type));
  }
}

// -- accesses of whole words
int vector_width(const ir::Kernel& k, const Dialect& dialect) {
  constexpr std::size_t kMostInstructions = 100;  // a body that is long anyway is not unrolled
  constexpr std::int64_t kBytes = 16, kMostElements = 8;
  if (!dialect.wide || k.has_reduce() || k.mode == ir::Mode::kEpilogue) return 1;
  std::int64_t largest = 0;
  for (const ir::Section& s : k.sections) {
    if (!s.loop) continue;
    if (s.body.size() > kMostInstructions) return 1;
    for (const Value v : s.body) {
      const Inst& i = k.insts[static_cast<std::size_t>(v)];
      if (i.op != Op::kLoad && i.op != Op::kStore) continue;
      const Access& a = k.accesses[static_cast<std::size_t>(i.access)];
      if (a.step.back() == Step::kAny) return 1;  // neighbours in memory are other threads'
      if (can_be_wide(k, i)) largest = std::max<std::int64_t>(largest, flash::size_of(a.dtype));
    }
  }
  return largest == 0 ? 1 : static_cast<int>(std::min(kBytes / largest, kMostElements));
}

int InstructionWriter::words_moved(const Inst& i, bool loop) const {
  if (vector_ == 1 || !loop || !can_be_wide(k_, i)) return 0;
  const std::int64_t bytes =
      vector_ * flash::size_of(k_.accesses[static_cast<std::size_t>(i.access)].dtype);
  return bytes % 4 == 0 ? static_cast<int>(bytes / 4) : 0;
}

void InstructionWriter::each_wide(const ir::Section& s, FunctionRef<void(const Inst&, int)> f) {
  for (const Value v : s.body) {
    const Inst& i = inst(v);
    if (!used(v) || (i.op != Op::kStore && i.op != Op::kLoad)) continue;
    if (const int words = words_moved(i, s.loop)) f(i, words);
  }
}

std::string InstructionWriter::all_aligned(const ir::Section& s) {
  std::string all;
  each_wide(s, [&](const Inst& i, int words) {
    all += (all.empty() ? "" : " && ") + address(i, kNone, true) + " % " + str(4 * words) +
           " == u64(0)";
  });
  return all;
}

void InstructionWriter::wide_words(const ir::Section& s) {
  each_wide(s, [&](const Inst& i, int words) {
    std::string zeros = "0u";
    for (int w = 1; w < words; ++w) zeros += ", 0u";
    line("u32 " + wide(i) + "[" + str(words) + "] = {" + zeros + "};");
  });
}

std::vector<std::string> InstructionWriter::wide_moves(const ir::Section& s, Op op) {
  const std::string_view function = op == Op::kLoad ? "load_words_" : "store_words_";
  std::vector<std::string> all;
  each_wide(s, [&](const Inst& i, int words) {
    if (i.op != op) return;
    all.push_back(std::string(function) + str(words) + "(" + address(i, kNone, true) + ", " +
                  wide(i) + ");");
  });
  return all;
}

// The register's value of element e.
std::string InstructionWriter::out_of_words(DType dtype, const std::string& words) {
  const auto piece = [&](int per_word) {
    const std::string n = str(per_word), bits = str(32 / per_word);
    return "(" + words + "[e / " + n + "] >> " + bits + " * (e % " + n + ") & " +
           str(per_word == 2 ? 65535 : 255) + "u)";
  };
  const std::string both = "(u64(" + words + "[2 * e + 1]) << 32 | u64(" + words + "[2 * e]))";
  switch (dtype) {
    case DType::kF32:
      return "bits_f32(" + words + "[e])";
    case DType::kI32:
      return "i32(" + words + "[e])";
    case DType::kF64:
      return "bits_f64(" + both + ")";
    case DType::kI64:
      return "i64" + both;
    case DType::kF16:
      return "f16_value" + piece(2);
    case DType::kBF16:
      return "bf16_value" + piece(2);
    case DType::kI16:
      return "wrap_i16_i32(i32" + piece(2) + ")";
    case DType::kI8:
      return "wrap_i8_i32(i32" + piece(4) + ")";
    default:  // bool, u8
      return "i32" + piece(4);
  }
}

// A stored value into its place among the words.
void InstructionWriter::put_in_words(Value store) {
  const Inst& i = inst(store);
  const std::string words = wide(i), v = name(i.a);
  const auto piece = [&](int per_word, const std::string& bits) {
    const std::string n = str(per_word);
    line(words + "[e / " + n + "] |= (" + bits + ") << " + str(32 / per_word) + " * (e % " + n +
         ");");
  };
  const auto both = [&](const std::string& bits) {
    line(words + "[2 * e] = u32(" + bits + ");");
    line(words + "[2 * e + 1] = u32(" + bits + " >> 32);");
  };
  switch (k_.accesses[static_cast<std::size_t>(i.access)].dtype) {
    case DType::kF32:
      return line(words + "[e] = f32_bits(" + v + ");");
    case DType::kI32:
      return line(words + "[e] = u32(" + v + ");");
    case DType::kF64:
      return both("f64_bits(" + v + ")");
    case DType::kI64:
      return both("u64(" + v + ")");
    case DType::kF16:
      return piece(2, "f16_bits(" + v + ")");
    case DType::kBF16:
      return piece(2, "bf16_bits(" + v + ")");
    case DType::kI16:
      return piece(2, "u32(" + v + ") & 65535u");
    default:  // bool, u8, i8
      return piece(4, "u32(" + v + ") & 255u");
  }
}

void InstructionWriter::instruction(Value v, bool loop) {
  if (!used(v)) return;
  const Inst& i = inst(v);
  if (i.op == Op::kStore) {
    const Access& a = k_.accesses[static_cast<std::size_t>(i.access)];
    if (words_moved(i, loop) > 0) put_in_words(v);
    std::string s = "store_" + text(flash::name(a.dtype)) + "(" + address(i, i.b, loop) + ", " +
                    name(i.a) + ");";
    if (words_moved(i, loop) > 0) s = "if (!whole_words) " + s;
    if (i.guard != kNone) s = "if (" + name(i.guard) + ") " + s;
    // Threads that share a row-level value leave the store to the first of them.
    if (!loop && !column_) s = "if (lane == 0) " + s;
    return line(s);
  }
  if (i.op == Op::kReduce) {
    const std::string acc = accumulator(v) + (column_ ? "" : doubled(i) ? "[second]" : "[0]");
    std::string s = acc + " = " + combine(i, acc, name(i.a)) + ";";
    if (i.guard != kNone) s = "if (" + name(i.guard) + ") " + s;
    return line(s);
  }
  line("const " + type(i.type) + " " + name(v) + " = " + expression(i, loop) + ";");
}

void InstructionWriter::body(const ir::Section& s) {
  for (const Value v : s.body) instruction(v, s.loop);
}

bool InstructionWriter::doubled(const Inst& i) { return ir::lanes(i.type) == 2 * kWarp; }

std::string InstructionWriter::combine(const Inst& i, const std::string& a,
                                       const std::string& b) const {
  constexpr std::string_view kNames[] = {"add", "mul", "max", "min"};
  return text(kNames[static_cast<std::size_t>(i.reduce)]) + "_" + type(i.type) + "(" + a + ", " +
         b + ")";
}

std::string InstructionWriter::identity(const Inst& i) const {
  const bool least = i.reduce == ir::ReduceKind::kMax;
  if (i.reduce == ir::ReduceKind::kProd) return type(i.type) + "(1)";
  if (i.reduce == ir::ReduceKind::kSum)
    return i.type == Type::kF32   ? "literal_f32(0u)"
           : i.type == Type::kF64 ? "literal_f64(u64(0))"
                                  : type(i.type) + "(0)";
  switch (i.type) {
    case Type::kF32:
      return least ? "literal_f32(0xff800000u)" : "literal_f32(0x7f800000u)";
    case Type::kF64:
      return "literal_f64(u64(" + text(least ? "0xfff00000u" : "0x7ff00000u") + ") << 32)";
    case Type::kI32:
      return least ? "i32(0x80000000u)" : "i32(0x7fffffffu)";
    default:
      return "i64(" + word64(least ? std::uint64_t{1} << 63 : ~std::uint64_t{0} >> 1) + ")";
  }
}

}  // namespace flash::emit
