// jit/emit/clike/generic.cpp -- programs of the generic kernel
//
// A program is a list of 32-bit words:
//
//   8    column, axes, first loop axis, run axis, whether anything reduces, sections,
//        where accesses and tables begin
//   4    a section: loop + 2 * reductions, where its instructions begin, how many they are,
//        where its reductions begin
//   8    an instruction: case, result, operands a, b, c, guard + 1, and two words: of a load and a
//        store the access and the index + 1, of kScalar and kIota the slot, of kTable the table, of
//        kReduce the accumulator and whether a thread keeps two lanes. kConst's bits are a and b,
//        kReduce's c is the case of combining
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
#include <type_traits>
#include <utility>

#include "core/error.h"
#include "jit/emit/clike/generic_cases.h"
#include "jit/ir/scalar.h"

namespace flash::emit {
namespace {

using namespace generic;
using ir::Inst;
using ir::kNone;
using ir::Op;
using ir::ReduceKind;
using ir::Role;
using ir::Step;
using ir::Type;
using ir::Value;
using Word32 = std::uint32_t;

std::uint64_t identity_bits(ReduceKind kind, Type type) {
  return ir::scalar::dispatch(type, [&]<class T>(T) -> std::uint64_t {
    using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
    return std::bit_cast<Bits>(ir::scalar::identity<T>(kind));
  });
}

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
      reductions += k_.reductions(s).size();
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
      const std::size_t n = k_.reductions(s).size();
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
    for (const Value v : k_.reductions(s)) {
      const Inst& i = inst(v);
      if (!take(v)) return false;
      const std::uint64_t none = identity_bits(i.reduce, i.type);
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

}  // namespace flash::emit
