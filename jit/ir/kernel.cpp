// jit/ir/kernel.cpp -- properties of a whole kernel: its 128-bit key
#include "jit/ir/kernel.h"

#include <algorithm>
#include <bit>

namespace flash::ir {
namespace {

// Two independent 64-bit chains. Each step is a bijection of the state for a given word, so a
// difference in one word never cancels by itself. Finaliser: Stafford's mix 13 (as in splitmix64).
class Hasher {
 public:
  void add(std::uint64_t word) {
    lo_ = mix(lo_ * 0x9e3779b97f4a7c15u + word + 0x2545f4914f6cdd1du);
    hi_ = mix((hi_ ^ word) * 0xd6e8feb86659fd93u + 0xa0761d6478bd642fu);
  }
  template <class T>
  void add_signed(T value) {
    add(static_cast<std::uint64_t>(static_cast<std::int64_t>(value)));
  }
  Key key() const { return {mix(lo_ + hi_), mix(hi_ ^ (lo_ >> 1))}; }

 private:
  static std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::uint64_t lo_ = 0x243f6a8885a308d3u, hi_ = 0x13198a2e03707344u;  // digits of pi
};

}  // namespace

bool Kernel::has_reduce() const {
  return std::any_of(insts.begin(), insts.end(), [](const Inst& i) { return i.op == Op::kReduce; });
}

std::vector<Value> Kernel::reductions(const Section& s) const {
  std::vector<Value> all;
  for (const Value v : s.body)
    if (insts[static_cast<std::size_t>(v)].op == Op::kReduce) all.push_back(v);
  return all;
}

Key key_of(const Kernel& k) {
  Hasher h;
  h.add(static_cast<std::uint64_t>(k.form) << 8 | static_cast<std::uint64_t>(k.mode));
  h.add_signed(k.words);
  h.add(k.axes.size());
  for (const Role r : k.axes) h.add(static_cast<std::uint64_t>(r));
  h.add(k.accesses.size());
  for (const Access& a : k.accesses) {
    h.add(static_cast<std::uint64_t>(a.dtype) << 1 | static_cast<std::uint64_t>(a.stored));
    h.add_signed(a.pointer);
    h.add_signed(a.strides);
    h.add(a.step.size());
    for (const Step s : a.step) h.add(static_cast<std::uint64_t>(s));
  }
  h.add(k.tables.size());
  for (const Table& t : k.tables)
    for (const float x : t) h.add(std::bit_cast<std::uint32_t>(x));
  h.add(k.insts.size());
  for (const Inst& i : k.insts) {
    h.add(static_cast<std::uint64_t>(i.op) << 16 | static_cast<std::uint64_t>(i.type) << 8 |
          static_cast<std::uint64_t>(i.reduce));
    for (const std::int32_t field : {i.a, i.b, i.c, i.guard, i.access, i.slot}) h.add_signed(field);
    h.add(i.imm);
  }
  h.add(k.sections.size());
  for (const Section& s : k.sections) {
    h.add(s.body.size() << 1 | static_cast<std::uint64_t>(s.loop));
    for (const Value v : s.body) h.add_signed(v);
  }
  return h.key();
}

}  // namespace flash::ir
