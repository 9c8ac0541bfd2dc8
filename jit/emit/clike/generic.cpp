// jit/emit/clike/generic.cpp -- programs of the generic kernel, and its function
//
// A program is a list of 32-bit words:
//
//   8    column, axes, first loop axis, run axis, whether anything reduces, sections,
//        where accesses and tables begin
//   4    a section: loop + 2 * reductions, where its instructions begin, how many they are,
//        where its reductions begin
//   8    an instruction: case, result, operands a, b, c, guard + 1, and two words more
//   8    a reduction: case of combining, result, whether a thread keeps two lanes, -, identity
//   4    an access: word of the pointer, first word of strides, axes that move it, those of them
//        whose stride is the element's size
//   16   a table
//
// A result or an operand is a register's number; where something is begins, in words from the
// program's first.
#include "jit/emit/clike/generic.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <map>
#include <tuple>
#include <type_traits>
#include <utility>

#include "core/error.h"
#include "jit/ir/op_info.h"

namespace flash::emit {
namespace {

using ir::Inst;
using ir::kNone;
using ir::Op;
using ir::ReduceKind;
using ir::Role;
using ir::Step;
using ir::Type;
using ir::Value;
using Word32 = std::uint32_t;

constexpr int kRegisters = 48, kReductions = 3, kAxes = 8;
constexpr int kLevels = 32;  // of a binary counter: 2^32 blocks
constexpr Type kTypes[] = {Type::kPred, Type::kI32, Type::kI64, Type::kF32, Type::kF64};
constexpr DType kDTypes[] = {DType::kBool, DType::kU8,  DType::kI8,   DType::kI16, DType::kI32,
                             DType::kI64,  DType::kF16, DType::kBF16, DType::kF32, DType::kF64};
constexpr std::string_view kCombine[] = {"add", "mul", "max", "min"};  // by ReduceKind

std::string text(std::string_view s) { return std::string(s); }
std::string str(std::int64_t n) { return std::to_string(n); }
bool takes(std::uint8_t types, Type t) { return (types & ir::type_bit(t)) != 0; }

// -- cases: what an instruction may be
/// Of loads and stores the dtype counts, of conversions both types, of comparisons the operands'.
using CaseKey = std::tuple<Op, int, int>;

CaseKey key_of(const ir::Kernel& k, const Inst& i) {
  const auto number = [](auto x) { return static_cast<int>(x); };
  if (i.op == Op::kLoad || i.op == Op::kStore)
    return {i.op, number(k.accesses[static_cast<std::size_t>(i.access)].dtype), 0};
  if (i.op == Op::kConst || i.op == Op::kReduce || i.op == Op::kTable) return {i.op, 0, 0};
  const auto operand = [&] { return number(k.insts[static_cast<std::size_t>(i.a)].type); };
  switch (ir::info(i.op).signature) {
    case ir::Signature::kCompare:
      return {i.op, operand(), 0};
    case ir::Signature::kConvert:
      return {i.op, number(i.type), operand()};
    default:
      return {i.op, number(i.type), 0};
  }
}

/// Every case, with the statement that computes it.
std::vector<std::pair<CaseKey, std::string>> all_cases() {
  std::vector<std::pair<CaseKey, std::string>> all;
  const auto add = [&](Op op, Type type, int from, const std::string& value) {
    all.push_back({{op, static_cast<int>(type), from},
                   "r[d] = BITS_" + text(ir::name(type)) + "(" + value + ");"});
  };
  const auto reg = [](Type t, const char* operand) {
    return "AS_" + text(ir::name(t)) + "(r[" + operand + "])";
  };
  const auto address = [](DType t) { return "ADDRESS(" + str(flash::size_of(t)) + ")"; };

  all.push_back({{Op::kConst, 0, 0}, "r[d] = u64(f[3]) << 32 | u64(f[2]);"});
  all.push_back(
      {{Op::kTable, 0, 0}, "r[d] = u64(CODE(CODE(7) + f[6] * 16u + u32(AS_i32(r[a]) & 15)));"});
  all.push_back({{Op::kReduce, 0, 0},
                 "if (on) {\n        const u32 q = f[6] + (f[7] != 0u ? u32(second) : 0u);\n"
                 "        acc[q] = generic_combine(c, acc[q], r[a]);\n      }"});
  for (const DType t : kDTypes) {
    const Type type = ir::register_type(t);
    const std::string name(flash::name(t));
    const auto number = static_cast<int>(t);
    all.push_back({{Op::kLoad, number, 0},
                   "r[d] = on ? BITS_" + text(ir::name(type)) + "(load_" + name + "(" + address(t) +
                       ")) : u64(0);"});
    all.push_back(
        {{Op::kStore, number, 0},
         "if (on && writes) store_" + name + "(" + address(t) + ", " + reg(type, "a") + ");"});
  }
  for (std::size_t o = 0; o < ir::kOps.size(); ++o) {
    const ir::OpInfo& info = ir::kOps[o];
    const auto op = static_cast<Op>(o);
    const std::string name(info.name);
    constexpr const char* kOperands[] = {"a", "b", "c"};
    const auto call = [&](const std::string& function, Type t) {
      std::string s = function + "(";
      for (int n = 0; n < info.arity; ++n) s += (n > 0 ? ", " : "") + reg(t, kOperands[n]);
      return s + ")";
    };
    for (const Type t : kTypes) {
      const std::string type(ir::name(t));
      switch (info.signature) {
        case ir::Signature::kSource:
          if (op == Op::kScalar && t != Type::kPred) add(op, t, 0, "word_" + type + "(WORD(f[6]))");
          if (op == Op::kIota && t == Type::kI64)
            add(op, t, 0, "generic_position(words, f[6], index, axes)");
          break;
        case ir::Signature::kSame:
          if (takes(info.types, t)) add(op, t, 0, call(name + "_" + type, t));
          break;
        case ir::Signature::kCompare:
          if (!takes(info.types, t)) break;
          all.push_back({{op, static_cast<int>(t), 0},
                         "r[d] = BITS_pred(" + call(name + "_" + type, t) + ");"});
          break;
        case ir::Signature::kPredicate:
          if (t == Type::kPred) add(op, t, 0, call(name, t));
          break;
        case ir::Signature::kSelect:
          if (takes(info.types, t))
            add(op, t, 0,
                name + "_" + type + "(" + reg(Type::kPred, "a") + ", " + reg(t, "b") + ", " +
                    reg(t, "c") + ")");
          break;
        case ir::Signature::kConvert:
          if (op == Op::kTable) break;
          for (const Type from : kTypes) {
            const std::string source(ir::name(from));
            const auto n = static_cast<int>(from);
            const bool same_size = t != from && ir::size_of(t) == ir::size_of(from) &&
                                   ir::is_float(t) != ir::is_float(from);
            if (op == Op::kToPred && t == Type::kPred && from != Type::kPred)
              add(op, t, n, name + "_" + source + "(" + reg(from, "a") + ")");
            if ((op == Op::kCast && t != Type::kPred && (from != Type::kPred || t == Type::kI32)) ||
                (op == Op::kBitcast && t != Type::kPred && from != Type::kPred && same_size))
              add(op, t, n, name + "_" + type + "_" + source + "(" + reg(from, "a") + ")");
          }
          break;
      }
    }
  }
  return all;
}

Word32 case_of(const CaseKey& key) {
  static const std::map<CaseKey, Word32> numbers = [] {
    std::map<CaseKey, Word32> all;
    Word32 number = 0;
    for (const auto& [k, statement] : all_cases()) all.emplace(k, number++);
    return all;
  }();
  const auto found = numbers.find(key);
  if (found == numbers.end())
    throw InternalError("generic kernel: no case for " + text(ir::info(std::get<Op>(key)).name) +
                        " of these types");
  return found->second;
}

Word32 combining(ReduceKind kind, Type type) {
  return static_cast<Word32>(kind) * 5 + static_cast<Word32>(type);
}

std::uint64_t identity(ReduceKind kind, Type type) {
  const bool least = kind == ReduceKind::kMax;
  const auto number = [&](auto one, auto lowest, auto highest) -> std::uint64_t {
    using T = decltype(one);
    using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
    const T value = kind == ReduceKind::kSum    ? T{0}
                    : kind == ReduceKind::kProd ? one
                    : least                     ? lowest
                                                : highest;
    return std::bit_cast<Bits>(value);
  };
  switch (type) {
    case Type::kF32:
      return number(1.0f, -std::numeric_limits<float>::infinity(),
                    std::numeric_limits<float>::infinity());
    case Type::kF64:
      return number(1.0, -std::numeric_limits<double>::infinity(),
                    std::numeric_limits<double>::infinity());
    case Type::kI64:
      return number(std::int64_t{1}, INT64_MIN, INT64_MAX);
    default:
      return number(std::int32_t{1}, INT32_MIN, INT32_MAX);
  }
}

// -- programs
class Encoder {
 public:
  explicit Encoder(const ir::Kernel& k) : k_(k) {
    register_.assign(k.insts.size(), -1);
    last_use_.assign(k.insts.size(), -1);
    for (int r = kRegisters; r-- > 0;) free_.push_back(r);
  }

  /// Empty if it does not fit.
  std::vector<Word32> run() {
    if (k_.n_axes() > kAxes) return {};
    find_uses();
    const auto count = [](std::size_t n) { return static_cast<Word32>(n); };
    std::size_t instructions = 0, reductions = 0;
    for (const ir::Section& s : k_.sections) {
      instructions += s.body.size();
      reductions += reductions_of(s).size();
    }
    const std::size_t code = 8 + 4 * k_.sections.size(), reduced = code + 8 * instructions,
                      accesses = reduced + 8 * reductions,
                      tables = accesses + 4 * k_.accesses.size();
    Word32 first_loop = 0, loops = 0;
    for (const Role r : k_.axes) {
      first_loop += r == Role::kGrid;
      loops += r == Role::kLoop;
    }
    words_ = {k_.form == ir::Form::kColumn,
              count(k_.axes.size()),
              first_loop,
              first_loop + loops - 1,
              k_.has_reduce(),
              count(k_.sections.size()),
              count(accesses),
              count(tables)};
    std::size_t at = code, reduced_at = reduced;
    for (const ir::Section& s : k_.sections) {
      const std::size_t n = reductions_of(s).size();
      if (n > kReductions) return {};
      words_.insert(words_.end(), {Word32{s.loop} + 2 * count(n), count(at), count(s.body.size()),
                                   count(reduced_at)});
      at += 8 * s.body.size();
      reduced_at += 8 * n;
    }
    for (const ir::Section& s : k_.sections)
      if (!section(s)) return {};
    words_.insert(words_.end(), reductions_.begin(), reductions_.end());
    for (const ir::Access& a : k_.accesses) access(a);
    for (const ir::Table& table : k_.tables)
      for (const float x : table) words_.push_back(std::bit_cast<Word32>(x));
    return std::move(words_);
  }

 private:
  const Inst& inst(Value v) const { return k_.insts[static_cast<std::size_t>(v)]; }
  std::vector<Value> reductions_of(const ir::Section& s) const {
    std::vector<Value> all;
    for (const Value v : s.body)
      if (inst(v).op == Op::kReduce) all.push_back(v);
    return all;
  }

  // A loop's body is run again: what comes from outside is used up to its end.
  void find_uses() {
    std::vector<int> defined(k_.insts.size(), -1);
    int at = 0;
    for (const ir::Section& s : k_.sections) {
      const int first = at, end = at + static_cast<int>(s.body.size());
      for (const Value v : s.body) {
        const Inst& i = inst(v);
        for (const Value u : {i.a, i.b, i.c, i.guard}) {
          if (u == kNone) continue;
          const auto n = static_cast<std::size_t>(u);
          last_use_[n] = s.loop && defined[n] < first ? end : std::max(last_use_[n], at);
        }
        defined[static_cast<std::size_t>(v)] = i.op == Op::kReduce ? end : at;
        ++at;
      }
      ++at;  // the end of the section
    }
  }

  bool take(Value v) {
    if (free_.empty()) return false;
    register_[static_cast<std::size_t>(v)] = free_.back();
    free_.pop_back();
    held_.push_back(v);
    return true;
  }
  /// Values whose last use was before the step behind `at`.
  void release(int at) {
    std::erase_if(held_, [&](Value v) {
      const auto n = static_cast<std::size_t>(v);
      if (last_use_[n] > at) return false;
      free_.push_back(register_[n]);
      return true;
    });
  }
  Word32 reg(Value v) const {
    return v == kNone ? 0 : static_cast<Word32>(register_[static_cast<std::size_t>(v)]);
  }
  Word32 reg_or_none(Value v) const { return v == kNone ? 0 : reg(v) + 1; }

  bool section(const ir::Section& s) {
    Word32 reduction = 0;
    for (const Value v : s.body) {
      const Inst& i = inst(v);
      std::array<Word32, 8> f{case_of(key_of(k_, i)), 0, reg(i.a), reg(i.b), reg(i.c),
                              reg_or_none(i.guard),   0, 0};
      if (i.op == Op::kConst) {
        f[2] = static_cast<Word32>(i.imm);
        f[3] = static_cast<Word32>(i.imm >> 32);
      } else if (i.op == Op::kScalar || i.op == Op::kIota) {
        f[6] = static_cast<Word32>(i.slot);
      } else if (i.op == Op::kTable) {
        f[6] = static_cast<Word32>(i.imm);
      } else if (i.op == Op::kLoad || i.op == Op::kStore) {
        f[6] = static_cast<Word32>(i.access);
        f[7] = reg_or_none(i.op == Op::kLoad ? i.a : i.b);
      } else if (i.op == Op::kReduce) {
        f[4] = combining(i.reduce, i.type);
        f[6] = 2 * reduction++;
        f[7] = ir::lanes(i.type) == 64;
      }
      release(at_);
      if (i.op != Op::kStore && i.op != Op::kReduce) {
        if (!take(v)) return false;
        f[1] = reg(v);
        if (last_use_[static_cast<std::size_t>(v)] < 0) release(at_);
      }
      words_.insert(words_.end(), f.begin(), f.end());
      ++at_;
    }
    release(at_);
    for (const Value v : reductions_of(s)) {
      const Inst& i = inst(v);
      if (!take(v)) return false;
      const std::uint64_t none = identity(i.reduce, i.type);
      reductions_.insert(reductions_.end(),
                         {combining(i.reduce, i.type), reg(v), ir::lanes(i.type) == 64, 0,
                          static_cast<Word32>(none), static_cast<Word32>(none >> 32), 0, 0});
    }
    ++at_;
    return true;
  }

  void access(const ir::Access& a) {
    Word32 moves = 0, unit = 0;
    for (std::size_t axis = 0; axis < a.step.size(); ++axis) {
      if (a.step[axis] != Step::kZero) moves |= 1u << axis;
      if (a.step[axis] == Step::kUnit) unit |= 1u << axis;
    }
    words_.insert(words_.end(),
                  {static_cast<Word32>(a.pointer), static_cast<Word32>(a.strides), moves, unit});
  }

  const ir::Kernel& k_;
  std::vector<Word32> words_, reductions_;
  std::vector<int> register_, last_use_;  // of values; last uses count steps from the first section
  std::vector<int> free_;
  std::vector<Value> held_;
  int at_ = 0;
};

// -- the function
constexpr std::string_view kHelpers = R"source(
#define AS_pred(bits) (bits != u64(0))
#define AS_i32(bits) i32(u32(bits))
#define AS_i64(bits) i64(bits)
#define AS_f32(bits) bits_f32(u32(bits))
#define AS_f64(bits) bits_f64(bits)
#define BITS_pred(v) u64((v) ? 1 : 0)
#define BITS_i32(v) u64(u32(v))
#define BITS_i64(v) u64(v)
#define BITS_f32(v) u64(f32_bits(v))
#define BITS_f64(v) f64_bits(v)
#define CODE(n) u32(load_i32(program + u64(n) * u64(4)))
#define WORD(n) load_i64(words + u64(n) * u64(8))

FN i64 generic_position(u64 words, u32 slot, const i64* index, i32 axes) {
  i64 at = WORD(slot);
  for (i32 a = 0; a < axes; ++a) at += index[a] * WORD(slot + 1u + u32(a));
  return at;
}

// Where an access is: the access, in words of the program, and the element's size.
FN u64 generic_address(u64 program, u64 words, u32 access, i64 size, const i64* index, i32 axes) {
  u32 f[4];
  load_words_2(program + u64(access) * u64(4), f);
  load_words_2(program + u64(access) * u64(4) + u64(8), f + 2);
  i64 at = WORD(f[0]);
  for (i32 a = 0; a < axes; ++a)
    if ((f[2] >> a & 1u) != 0u)
      at += index[a] * ((f[3] >> a & 1u) != 0u ? size : WORD(f[1] + u32(a)));
  return u64(at);
}
#define ADDRESS(size)                                                                   \
  (generic_address(program, words, CODE(6) + f[6] * 4u, i64(size), index, axes) +       \
   (f[7] != 0u ? r[f[7] - 1u] * u64(size) : u64(0)))
)source";

constexpr std::string_view kKernel = R"source({
  const u64 program = u64(ARGS) + u64(ARG(0)), words = u64(ARGS) + u64(ARG(1));
  const pred column = CODE(0) != 0u, reduces = CODE(4) != 0u;
  const i32 axes = i32(CODE(1)), first_loop = i32(CODE(2)), run_axis = i32(CODE(3));
  const i32 sections = i32(CODE(5));
  const i32 lane = THREAD_X, width = SIZE_X;
#define EXTENT(a) WORD(FIRST_EXTENT + (a))
#define BODY(writes, second)                                                               \
  generic_body(u64(code), count, program, words, index, axes, writes, second, r, acc);
  u64 r[REGISTERS], acc[2 * REDUCTIONS], stack[REDUCTIONS * LEVELS];
  i64 index[AXES];
  i64 run = EXTENT(run_axis), outer = i64(1);
  for (i32 a = first_loop; a < run_axis; ++a) outer *= EXTENT(a);

  for (i64 tile = i64(BLOCK_X) * SIZE_Y + THREAD_Y; tile < tiles; tile += i64(GRID_X) * SIZE_Y) {
    i64 point = tile, begin = i64(0), end = i64(1);
    if (column || !reduces) {  // a chunk of the lanes, or of a map's run
      const i64 chunks = WORD(CHUNKS), size = WORD(CHUNK);
      point = tile / chunks;
      begin = tile % chunks * size;
      end = min_i64(begin + size, EXTENT(axes - 1));
    }
    for (i32 a = first_loop - 1; a >= 0; --a) {
      index[a] = point % EXTENT(a);
      point = point / EXTENT(a);
    }
    for (i64 l = column ? begin + lane : i64(0); l < (column ? end : i64(1)); l += width) {
      if (column) index[axes - 1] = l;
      for (i32 s = 0; s < sections; ++s) {
        const u32 kind = CODE(8 + 4 * s), code = CODE(9 + 4 * s), count = CODE(10 + 4 * s);
        const u32 reduced = CODE(11 + 4 * s);
        const i32 reductions = i32(kind >> 1);
        if ((kind & 1u) == 0u) {
          for (i32 a = first_loop; a <= run_axis; ++a) index[a] = i64(0);
          BODY(column || lane == 0, 0)
          continue;
        }
        i64 pushed = i64(0);
        for (i64 o = i64(0); o < outer; ++o) {
          i64 rest = o;
          for (i32 a = run_axis - 1; a >= first_loop; --a) {
            index[a] = rest % EXTENT(a);
            rest = rest / EXTENT(a);
          }
          if (reductions == 0) {
            const i64 first = column ? i64(0) : reduces ? i64(lane) : begin + lane;
            const i64 last = column || reduces ? run : end;
            for (i64 i = first; i < last; i += column ? 1 : width) {
              index[run_axis] = i;
              BODY(true, 0)
            }
            continue;
          }
          const i64 block = column ? i64(COLUMN_BLOCK) : i64(ROW_BLOCK);
          for (i64 from = i64(0); from < run; from += block) {
            const i64 to = min_i64(run, from + block);
            for (i32 q = 0; q < reductions; ++q) {
              const u32 at = reduced + u32(8 * q);
              acc[2 * q] = u64(CODE(at + 5u)) << 32 | u64(CODE(at + 4u));
              acc[2 * q + 1] = acc[2 * q];
            }
            if (column) {
              for (i64 i = from; i < to; ++i) {
                index[run_axis] = i;
                BODY(true, 0)
              }
            } else {
              for (i64 pair = from + lane; pair < to; pair += 64)
                for (i32 second = 0; second < 2; ++second) {
                  index[run_axis] = pair + 32 * second;
                  if (index[run_axis] < to) BODY(true, second)
                }
            }
            for (i32 q = 0; q < reductions; ++q) {
              const u32 at = reduced + u32(8 * q), how = CODE(at);
              u64 v = acc[2 * q];
              if (!column) {
                if (CODE(at + 2u) != 0u) v = generic_combine(how, v, acc[2 * q + 1]);
                for (i32 h = 16; h >= 1; h /= 2)
                  v = generic_combine(how, v, u64(below_i64(i64(v), h)));
                v = u64(first_i64(i64(v)));
              }
              i32 level = 0;
              for (; (pushed >> level & i64(1)) != i64(0); ++level)
                v = generic_combine(how, stack[q * LEVELS + level], v);
              stack[q * LEVELS + level] = v;
            }
            ++pushed;
          }
        }
        for (i32 q = 0; q < reductions; ++q) {
          const u32 at = reduced + u32(8 * q), how = CODE(at);
          u64 v = u64(CODE(at + 5u)) << 32 | u64(CODE(at + 4u));
          if (pushed > i64(0)) {
            i32 level = 0;
            while ((pushed >> level & i64(1)) == i64(0)) ++level;
            v = stack[q * LEVELS + level];
            for (++level; (pushed >> level) != i64(0); ++level)
              if ((pushed >> level & i64(1)) != i64(0))
                v = generic_combine(how, stack[q * LEVELS + level], v);
          }
          r[CODE(at + 1u)] = v;
        }
      }
    }
  }
}
)source";

}  // namespace

std::vector<ir::Word> generic_program(const ir::Kernel& k) {
  verify(k);
  if (k.mode == ir::Mode::kEpilogue)
    throw InternalError("generic_program: " + k.name + " is an epilogue");
  std::vector<Word32> halves = Encoder(k).run();
  if (halves.size() % 2 != 0) halves.push_back(0);
  std::vector<ir::Word> words;
  for (std::size_t i = 0; i < halves.size(); i += 2)
    words.push_back(static_cast<ir::Word>(halves[i] | std::uint64_t{halves[i + 1]} << 32));
  return words;
}

std::string generic_function(std::string_view entry) {
  std::string s = "// the generic kernel\n";
  const auto define = [&](const char* name, std::int64_t value) {
    s += text("#define ") + name + " " + str(value) + "\n";
  };
  define("REGISTERS", kRegisters);
  define("REDUCTIONS", kReductions);
  define("LEVELS", kLevels);
  define("AXES", kAxes);
  define("FIRST_EXTENT", ir::kArgExtents);
  define("CHUNK", ir::kArgChunk);
  define("CHUNKS", ir::kArgChunks);
  define("ROW_BLOCK", ir::kRowBlock);
  define("COLUMN_BLOCK", ir::kColumnBlock);
  s += kHelpers;
  s += "FN u64 generic_combine(u32 how, u64 a, u64 b) {\n  switch (how) {\n";
  for (std::size_t kind = 0; kind < std::size(kCombine); ++kind)
    for (const Type t : kTypes) {
      if (t == Type::kPred) continue;
      const std::string type(ir::name(t));
      s += "    case " + str(combining(static_cast<ReduceKind>(kind), t)) +
           "u:\n      return BITS_" + type + "(" + text(kCombine[kind]) + "_" + type + "(AS_" +
           type + "(a), AS_" + type + "(b)));\n";
    }
  s += "  }\n  return a;\n}\n\n";
  s += "FN void generic_body(u64 at, u32 count, u64 program, u64 words, const i64* index, i32 "
       "axes,\n                     pred writes, i32 second, u64* r, u64* acc) {\n"
       "  at = program + at * u64(4);\n"
       "  for (u32 n = 0u; n < count; ++n) {\n"
       "    u32 f[8];\n"
       "    UNROLL for (i32 i = 0; i < 8; i += 2) load_words_2(at + u64(4 * i), f + i);\n"
       "    at += u64(32);\n"
       "    const u32 d = f[1], a = f[2], b = f[3], c = f[4];\n"
       "    const pred on = f[5] == 0u || r[f[5] - 1u] != u64(0);\n"
       "    switch (f[0]) {\n";
  int number = 0;
  for (const auto& [key, statement] : all_cases())
    s += "      case " + str(number++) + "u:\n        " + statement + "\n        break;\n";
  s += "    }\n  }\n}\n\nKERNEL(" + text(entry) + ") ";
  return s.append(kKernel);
}

}  // namespace flash::emit
