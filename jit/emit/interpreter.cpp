// jit/emit/interpreter.cpp -- the portable reference: walks the IR a strip of elements at a time
//
// The loop nest of kernel.h is followed word by word. To be usable for whole programs every
// instruction is decoded once and then works on a strip of up to 256 neighbours on the vector axis.
// A value lives in a slot of the frame, one strip long. Constants and scalars are filled in once a
// call; in form kRow, where a row-level value is a single number, it is copied along its strip when
// some loop section uses it.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

#include "core/error.h"
#include "jit/emit/emit.h"
#include "jit/emit/interpreter_ops.h"
#include "jit/ir/op_info.h"

namespace flash::emit {
namespace {

using ir::Access;
using ir::Form;
using ir::Inst;
using ir::kNone;
using ir::Mode;
using ir::Op;
using ir::Role;
using ir::Step;
using ir::Type;
using ir::Value;
using ir::Word;
using std::int64_t;

constexpr int kStrip = strip::kWidth;
constexpr std::size_t kSlotBytes = kStrip * 8;
static_assert(ir::kRowBlock % kStrip == 0, "a strip never crosses a reduction block");

struct Decoded {  // one instruction
  Inst inst;
  Type from = Type::kF32;                            // type of operand a (b for kSelect)
  int out = -1, a = -1, b = -1, c = -1, guard = -1;  // slots
  bool splat = false;                                // row-level, kRow, used in a loop
  int reduction = -1;                                // kReduce: index into the section's reductions
};

struct Body {
  bool loop = false;
  std::vector<Decoded> steps;
  std::vector<std::size_t> reductions;  // the kReduce among `steps`
};

struct Program {
  ir::Kernel kernel;
  std::vector<Decoded> prologue;  // constants and scalars
  std::vector<Body> bodies;
  int slots = 0;
  int first_loop = 0;  // axes
  int n_loops = 0;
};

// Assigns slots: values of loop sections give theirs back after the last use.
class Decoder {
 public:
  explicit Decoder(const ir::Kernel& k) {
    p_.kernel = k;
    slot_.assign(k.insts.size(), -1);
    last_use_.assign(k.insts.size(), -1);
    used_in_loop_.assign(k.insts.size(), false);
  }

  Program run() {
    for (const Role r : k().axes) {
      p_.first_loop += r == Role::kGrid;
      p_.n_loops += r == Role::kLoop;
    }
    find_uses();
    for (const ir::Section& s : k().sections) decode(s);
    p_.slots = next_;
    return std::move(p_);
  }

 private:
  const ir::Kernel& k() const { return p_.kernel; }
  const Inst& inst(Value v) const { return k().insts[static_cast<std::size_t>(v)]; }
  static bool invariant(const Inst& i) { return i.op == Op::kConst || i.op == Op::kScalar; }

  void find_uses() {
    int at = 0;
    for (const ir::Section& s : k().sections)
      for (const Value v : s.body) {
        for (const Value u : {inst(v).a, inst(v).b, inst(v).c, inst(v).guard})
          if (u != kNone) {
            last_use_[static_cast<std::size_t>(u)] = at;
            if (s.loop) used_in_loop_[static_cast<std::size_t>(u)] = true;
          }
        ++at;
      }
  }

  int new_slot(bool reusable) {
    if (reusable && !free_.empty()) {
      const int s = free_.back();
      free_.pop_back();
      return s;
    }
    return next_++;
  }

  int slot(Value v) const { return v == kNone ? -1 : slot_[static_cast<std::size_t>(v)]; }

  void decode(const ir::Section& s) {
    Body body;
    body.loop = s.loop;
    free_.clear();
    for (const Value v : s.body) {
      const Inst& i = inst(v);
      Decoded step;
      step.inst = i;
      step.a = slot(i.a);
      step.b = slot(i.b);
      step.c = slot(i.c);
      step.guard = slot(i.guard);
      const Value typed = i.op == Op::kSelect ? i.b : i.a;
      step.from = typed == kNone ? i.type : inst(typed).type;
      const bool temporary = s.loop && !invariant(i) && i.op != Op::kReduce;
      if (i.op != Op::kStore) {
        step.out = new_slot(temporary);
        slot_[static_cast<std::size_t>(v)] = step.out;
        if (temporary) owned_.push_back(v);
      }
      const bool row_level = !temporary && i.op != Op::kStore;
      step.splat =
          row_level && k().form == Form::kRow && used_in_loop_[static_cast<std::size_t>(v)];
      if (i.op == Op::kReduce) {
        step.reduction = static_cast<int>(body.reductions.size());
        body.reductions.push_back(body.steps.size());
      }
      if (invariant(i))
        p_.prologue.push_back(step);
      else
        body.steps.push_back(step);
      release(position_++);
    }
    owned_.clear();
    p_.bodies.push_back(std::move(body));
  }

  // A slot is free once its value's last user has its own slot, so results never overlap operands.
  void release(int position) {
    std::erase_if(owned_, [&](Value v) {
      if (last_use_[static_cast<std::size_t>(v)] > position) return false;
      free_.push_back(slot_[static_cast<std::size_t>(v)]);
      return true;
    });
  }

  Program p_;
  std::vector<int> slot_, last_use_;
  std::vector<bool> used_in_loop_;
  std::vector<int> free_;
  std::vector<Value> owned_;  // temporaries of the section whose slots are in use
  int next_ = 0;
  int position_ = 0;
};

// The accumulators of one kReduce: the current block's, and the binary counter's stack.
struct Reduction {
  alignas(64) unsigned char acc[kSlotBytes];
  std::vector<std::vector<unsigned char>> stack;  // levels of kSlotBytes
  int64_t pushed = 0;
};

class Machine {
 public:
  Machine(const Program& p, const Word* args) : p_(p), k_(p.kernel), args_(args) {
    frame_.resize((static_cast<std::size_t>(p.slots) + 1) * kSlotBytes / sizeof(Line));
    index_.assign(k_.axes.size(), 0);
    std::size_t most = 0;
    for (const Body& b : p.bodies) most = std::max(most, b.reductions.size());
    reductions_.resize(most);
    has_reduce_ = most > 0;
    for (const Decoded& s : p.prologue) {
      const auto bits =
          s.inst.op == Op::kConst ? s.inst.imm : static_cast<std::uint64_t>(args[s.inst.slot]);
      strip::fill(s.inst.type, bits, at(s.out));
    }
  }

  void tile(int64_t t) {
    if (k_.mode != Mode::kSplit) return pass(t);
    const int64_t parts = args_[ir::kArgParts];
    part_ = t % parts;
    pass_ = Pass::kPart;
    pass(t / parts);
    if (!is_last_part(t / parts)) return;
    pass_ = Pass::kCombine;
    pass(t / parts);
  }

 private:
  /// What a tile's sections do: all of it, one part's blocks, or what follows all parts.
  enum class Pass : std::uint8_t { kWhole, kPart, kCombine };

  struct alignas(64) Line {
    unsigned char bytes[64];
  };

  /// Adds a finished part to the tally of its whole tile.
  bool is_last_part(int64_t whole) const {
    // The one thing that kernels write in an ArgBlock.
    std::atomic_ref<Word> tally(const_cast<Word&>(args_[args_[ir::kArgTallies] + whole]));
    if (tally.fetch_add(1, std::memory_order_acq_rel) + 1 < args_[ir::kArgParts]) return false;
    tally.store(0, std::memory_order_relaxed);
    return true;
  }

  void pass(int64_t t) {
    if (k_.form == Form::kColumn) return column_tile(t);
    const int64_t chunks = args_[ir::kArgChunks];
    set_grid(t / chunks);
    run_begin_ = 0;
    run_end_ = extent(k_.vector_axis());
    if (!has_reduce_) {  // a map: the tile is a chunk of the run
      run_begin_ = std::min(run_end_, t % chunks * args_[ir::kArgChunk]);
      run_end_ = std::min(run_end_, run_begin_ + args_[ir::kArgChunk]);
    }
    sections(0, 1);
  }

  void* at(int slot) {
    return reinterpret_cast<unsigned char*>(frame_.data()) +
           static_cast<std::size_t>(slot) * kSlotBytes;
  }
  template <class T>
  const T* maybe(int slot) {
    return slot < 0 ? nullptr : static_cast<const T*>(at(slot));
  }
  int64_t extent(int axis) const { return args_[ir::kArgExtents + axis]; }

  void set_grid(int64_t point) {
    point_ = point;
    for (int a = p_.first_loop - 1; a >= 0; --a) {
      index_[static_cast<std::size_t>(a)] = point % extent(a);
      point /= extent(a);
    }
  }

  // Indices of the loop axes but the last, row-major; the last stays as it is.
  void set_outer(int64_t outer) {
    for (int a = last_loop() - 1; a >= p_.first_loop; --a) {
      index_[static_cast<std::size_t>(a)] = outer % extent(a);
      outer /= extent(a);
    }
  }
  void clear_loops() {
    for (int a = p_.first_loop; a <= last_loop(); ++a) index_[static_cast<std::size_t>(a)] = 0;
  }
  int last_loop() const { return p_.first_loop + p_.n_loops - 1; }
  int64_t outer_count() const {
    int64_t n = 1;
    for (int a = p_.first_loop; a < last_loop(); ++a) n *= extent(a);
    return n;
  }

  void column_tile(int64_t t) {
    const int64_t chunks = args_[ir::kArgChunks];
    set_grid(t / chunks);
    const int64_t lane_extent = extent(k_.vector_axis());
    const int64_t begin = t % chunks * args_[ir::kArgChunk];
    const int64_t end = std::min(lane_extent, begin + args_[ir::kArgChunk]);
    for (int64_t lane = begin; lane < end; lane += kStrip)
      sections(lane, static_cast<int>(std::min<int64_t>(kStrip, end - lane)));
  }

  // All sections for one grid point (kColumn: for lanes first … first + n - 1 of it).
  void sections(int64_t first, int n) {
    for (const Body& b : p_.bodies) {
      if (!b.loop) {
        clear_loops();
        execute(b, first, n);
      } else if (pass_ == Pass::kPart) {
        part(b, first, n);
        return;
      } else if (pass_ == Pass::kCombine) {
        combine_partials(b, first, n);
      } else {
        loop(b, first, n);
      }
    }
  }

  // -- loop sections ------------------------------------------------------------------------------
  void loop(const Body& b, int64_t first, int n) {
    begin_reductions(b);
    const int64_t outer = outer_count();
    const bool column = k_.form == Form::kColumn;
    const int64_t run = column ? extent(last_loop()) : run_end_;
    const int64_t block = column ? ir::kColumnBlock : ir::kRowBlock;
    for (int64_t o = 0; o < outer; ++o) {
      set_outer(o);
      for (int64_t from = column ? 0 : run_begin_; from < run; from += block) {
        one_block(b, from, std::min(run, from + block), first, n);
        push_blocks(b, n);
      }
    }
    finish_reductions(b, n);
  }

  // Runs elements from … to - 1 of the last loop axis, leaving each reduction's block result in
  // acc.
  void one_block(const Body& b, int64_t from, int64_t to, int64_t first, int n) {
    const bool column = k_.form == Form::kColumn;
    for (const std::size_t r : b.reductions) {
      const Decoded& s = b.steps[r];
      strip::fill_identity(s.inst.reduce, s.inst.type, reduction(s).acc,
                           column ? n : ir::lanes(s.inst.type));
    }
    if (column) {
      for (int64_t j = from; j < to; ++j) {
        index_[static_cast<std::size_t>(last_loop())] = j;
        execute(b, first, n);
      }
      return;
    }
    for (int64_t j = from; j < to; j += kStrip)
      execute(b, j, static_cast<int>(std::min<int64_t>(kStrip, to - j)));
    for (const std::size_t r : b.reductions) fold_lanes(b.steps[r]);
  }

  void fold_lanes(const Decoded& s) {
    unsigned char* acc = reduction(s).acc;
    for (int h = ir::lanes(s.inst.type) / 2; h >= 1; h /= 2)
      strip::combine(s.inst.reduce, s.inst.type, acc, acc + h * ir::size_of(s.inst.type), acc, h);
  }

  void part(const Body& b, int64_t first, int n) {
    const bool column = k_.form == Form::kColumn;
    const int64_t block = column ? ir::kColumnBlock : ir::kRowBlock;
    const int64_t run = extent(last_loop());
    const int64_t per_run = (run + block - 1) / block;
    const int64_t begin = part_ * args_[ir::kArgPartBlocks];
    const int64_t end = std::min(outer_count() * per_run, begin + args_[ir::kArgPartBlocks]);
    begin_reductions(b);
    for (int64_t i = begin; i < end; ++i) {
      set_outer(i / per_run);
      const int64_t from = i % per_run * block;
      one_block(b, from, std::min(run, from + block), first, n);
      push_blocks(b, n);
    }
    finish_reductions(b, n);
    for (const std::size_t r : b.reductions) {
      const Decoded& s = b.steps[r];
      const auto bytes = static_cast<std::size_t>(n * ir::size_of(s.inst.type));
      std::memcpy(partial_address(s, part_, first), at(s.out), bytes);
    }
  }

  void combine_partials(const Body& b, int64_t first, int n) {
    begin_reductions(b);
    for (int64_t part = 0; part < args_[ir::kArgParts]; ++part) {
      for (const std::size_t r : b.reductions) {
        const Decoded& s = b.steps[r];
        const auto bytes = static_cast<std::size_t>(n * ir::size_of(s.inst.type));
        std::memcpy(reduction(s).acc, partial_address(s, part, first), bytes);
      }
      push_blocks(b, n);
    }
    finish_reductions(b, n);
  }

  char* partial_address(const Decoded& s, int64_t part, int64_t first) {
    int64_t element = point_ * args_[ir::kArgParts] + part;
    if (k_.form == Form::kColumn) element = element * extent(k_.vector_axis()) + first;
    return pointer(access(s)) + element * ir::size_of(s.inst.type);
  }

  // -- the binary counter -------------------------------------------------------------------------
  Reduction& reduction(const Decoded& s) {
    return reductions_[static_cast<std::size_t>(s.reduction)];
  }

  void begin_reductions(const Body& b) {
    for (const std::size_t r : b.reductions) reduction(b.steps[r]).pushed = 0;
  }

  void push_blocks(const Body& b, int n) {
    for (const std::size_t r : b.reductions) {
      const Decoded& s = b.steps[r];
      Reduction& red = reduction(s);
      std::size_t level = 0;
      for (; (red.pushed >> level & 1) != 0; ++level)
        strip::combine(s.inst.reduce, s.inst.type, red.stack[level].data(), red.acc, red.acc, n);
      if (red.stack.size() <= level) red.stack.resize(level + 1);
      red.stack[level].assign(red.acc, red.acc + kSlotBytes);
      ++red.pushed;
    }
  }

  void finish_reductions(const Body& b, int n) {
    for (const std::size_t r : b.reductions) {
      const Decoded& s = b.steps[r];
      Reduction& red = reduction(s);
      void* out = at(s.out);
      const auto count = static_cast<std::uint64_t>(red.pushed);
      if (count == 0) {
        strip::fill_identity(s.inst.reduce, s.inst.type, out, n);
      } else {
        auto level = static_cast<std::size_t>(std::countr_zero(count));
        std::memcpy(out, red.stack[level].data(), kSlotBytes);
        for (++level; count >> level != 0; ++level)
          if (count >> level & 1)
            strip::combine(s.inst.reduce, s.inst.type, red.stack[level].data(), out, out, n);
      }
      if (s.splat) strip::splat(s.inst.type, out);
    }
  }

  // -- instructions -------------------------------------------------------------------------------
  const Access& access(const Decoded& s) const {
    return k_.accesses[static_cast<std::size_t>(s.inst.access)];
  }
  char* pointer(const Access& a) const {
    return reinterpret_cast<char*>(static_cast<std::uintptr_t>(args_[a.pointer]));
  }

  int64_t stride(const Access& a, int axis) const {
    switch (a.step[static_cast<std::size_t>(axis)]) {
      case Step::kZero:
        return 0;
      case Step::kUnit:
        return flash::size_of(a.dtype);
      default:
        return args_[a.strides + axis];
    }
  }
  // The address of the strip's first element.
  char* address(const Access& a, int64_t first) const {
    const int vector = k_.vector_axis();
    int64_t offset = first * stride(a, vector);
    for (int i = 0; i < vector; ++i) offset += index_[static_cast<std::size_t>(i)] * stride(a, i);
    return pointer(a) + offset;
  }

  void iota(const Decoded& s, int64_t first, int n) {
    const Word* words = args_ + s.inst.slot;
    const int vector = k_.vector_axis();
    int64_t value = words[0] + first * words[1 + vector];
    for (int i = 0; i < vector; ++i) value += index_[static_cast<std::size_t>(i)] * words[1 + i];
    auto* out = static_cast<int64_t*>(at(s.out));
    for (int i = 0; i < n; ++i) out[i] = value + i * words[1 + vector];
  }

  // Runs a section's instructions on elements first … first + n - 1 of the vector axis.
  void execute(const Body& b, int64_t first, int n) {
    const int vector = k_.vector_axis();
    for (const Decoded& s : b.steps) {
      switch (s.inst.op) {
        case Op::kIota:
          iota(s, first, n);
          break;
        case Op::kLoad: {
          const Access& a = access(s);
          strip::load(a.dtype, address(a, first), stride(a, vector), maybe<int64_t>(s.a),
                      maybe<std::uint8_t>(s.guard), at(s.out), n);
          break;
        }
        case Op::kStore: {
          const Access& a = access(s);
          strip::store(a.dtype, address(a, first), stride(a, vector), maybe<int64_t>(s.b),
                       maybe<std::uint8_t>(s.guard), at(s.a), n);
          break;
        }
        case Op::kReduce: {
          // Strips start at multiples of kStrip in a block, so element i goes to lane i % period.
          const int period = k_.form == Form::kColumn ? kStrip : ir::lanes(s.inst.type);
          strip::accumulate(s.inst.reduce, s.inst.type, reduction(s).acc, period, at(s.a),
                            maybe<std::uint8_t>(s.guard), n);
          break;
        }
        case Op::kTable:
          strip::table(k_.tables[s.inst.imm], maybe<std::int32_t>(s.a),
                       static_cast<float*>(at(s.out)), n);
          break;
        default:
          strip::compute(s.inst.op, s.inst.type, s.from,
                         {at(s.out), maybe<void>(s.a), maybe<void>(s.b), maybe<void>(s.c)}, n);
      }
      if (s.splat && !b.loop) strip::splat(s.inst.type, at(s.out));
    }
  }

  const Program& p_;
  const ir::Kernel& k_;
  const Word* args_;
  bool has_reduce_ = false;
  std::vector<Line> frame_;
  std::vector<int64_t> index_;  // of every axis but the vector axis
  std::vector<Reduction> reductions_;
  Pass pass_ = Pass::kWhole;
  int64_t point_ = 0, part_ = 0;
  int64_t run_begin_ = 0, run_end_ = 0;
};

class InterpretedCode final : public Code {
 public:
  explicit InterpretedCode(Program p) : p_(std::move(p)) {}

  void run(const Word* args, int64_t tile_begin, int64_t tile_end) const override {
    if (tile_begin >= tile_end) return;
    Machine m(p_, args);
    for (int64_t t = tile_begin; t < tile_end; ++t) m.tile(t);
  }
  std::size_t size() const override {
    std::size_t steps = p_.prologue.size();
    for (const Body& b : p_.bodies) steps += b.steps.size();
    return steps * sizeof(Decoded);
  }
  std::string listing() const override { return to_string(p_.kernel); }

 private:
  Program p_;
};

}  // namespace

std::unique_ptr<Code> compile_interpreter(const ir::Kernel& k) {
  verify(k);
  return std::make_unique<InterpretedCode>(Decoder(k).run());
}

}  // namespace flash::emit
