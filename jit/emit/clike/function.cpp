// jit/emit/clike/function.cpp -- a kernel's function in C-like source: tiles, loops, reductions
#include <string>
#include <vector>

#include "core/error.h"
#include "jit/emit/clike/clike.h"
#include "jit/emit/clike/instructions.h"
#include "jit/ir/op_info.h"

namespace flash::emit {
namespace {

using ir::Inst;
using ir::Op;
using ir::Role;
using ir::Value;

class FunctionWriter : InstructionWriter {
 public:
  FunctionWriter(const ir::Kernel& k, std::string_view entry, const Dialect& dialect)
      : InstructionWriter(k, entry), shared_in_kernel_(dialect.shared_in_kernel) {
    vector_ = vector_width(k, dialect);
    for (const Role r : k.axes) {
      first_loop_ += r == Role::kGrid;
      loops_ += r == Role::kLoop;
    }
    reduces_ = k.has_reduce();
    split_ = k.mode == ir::Mode::kSplit;
  }

  std::string run() {
    ++depth_;
    tiles();
    --depth_;
    const std::string body = take();  // which says what stands in front of it
    line("// " + k_.name);
    for (const std::string& s : table_lines()) line(s);
    if (!shared_in_kernel_) shared_memory();
    open("KERNEL(" + entry_ + ")");
    if (shared_in_kernel_) shared_memory();
    for (const std::string& s : argument_lines()) line(s);
    return take() + body + "}\n";
  }

 private:
  int run_axis() const { return first_loop_ + loops_ - 1; }
  std::string block() const { return str(column_ ? ir::kColumnBlock : ir::kRowBlock); }
  std::string verdict() const { return entry_ + "_is_last"; }
  std::string shared(Value v) const { return entry_ + "_shared" + str(v); }

  void tiles() {
    line("const i32 lane = THREAD_X, width = SIZE_X;");
    open(
        "for (i64 tile = i64(BLOCK_X) * SIZE_Y + THREAD_Y; tile < tiles; "
        "tile += i64(GRID_X) * SIZE_Y)");
    if (split_)
      line("const i64 parts = " + arg(ir::kArgParts) +
           ", part = tile % parts, whole = tile / parts;");
    const bool chunked = column_ || !reduces_;
    const bool anywhere = split_ || lowest_walked(0, first_loop_) < first_loop_;
    if (!split_ && (chunked || anywhere)) line("const i64 whole = tile;");
    if (chunked) line("const i64 chunks = " + arg(ir::kArgChunks) + ";");
    if (anywhere) line("const i64 point = " + std::string(chunked ? "whole / chunks;" : "whole;"));
    unravel("point", 0, first_loop_);
    if (column_)
      column();
    else
      row();
    close();
  }

  // -- reductions
  static std::string stack(Value v) { return "stack" + str(v); }

  // What the last block of a split is told by, and block results of the warps that share a tile.
  void shared_memory() {
    if (split_) line("SHARED(i32, " + verdict() + ", 1)");
    if (!reduces_ || column_) return;
    for (const ir::Section& s : k_.sections)
      for (const Value v : k_.reductions(s))
        line("SHARED(" + type(inst(v).type) + ", " + shared(v) + ", " + str(kWarp) + ")");
  }

  void begin_counter(const std::vector<Value>& r) {
    line("i64 pushed = 0;");
    for (const Value v : r) line(type(inst(v).type) + " " + stack(v) + "[40];");
  }
  // One block's results through the binary counter.
  void push(const std::vector<Value>& r, const std::string& prefix) {
    for (const Value v : r) {
      const std::string result = prefix + str(v), level = stack(v) + "[level]";
      open("");
      line("i32 level = 0;");
      line("for (; (pushed >> level & i64(1)) != 0; ++level) " + result + " = " +
           combine(inst(v), level, result) + ";");
      line(level + " = " + result + ";");
      close();
    }
    line("++pushed;");
  }
  // Gives the reductions' values.
  void finish(const std::vector<Value>& r) {
    for (const Value v : r) {
      const Inst& i = inst(v);
      line(name(v) + " = " + identity(i) + ";");
      open("if (pushed > 0)");
      line("i32 level = 0;");
      line("while ((pushed >> level & i64(1)) == 0) ++level;");
      line(name(v) + " = " + stack(v) + "[level];");
      line("for (++level; (pushed >> level) != 0; ++level)");
      line("  if ((pushed >> level & i64(1)) != 0) " + name(v) + " = " +
           combine(i, stack(v) + "[level]", name(v)) + ";");
      close();
    }
  }
  void declare(const std::vector<Value>& r) {
    for (const Value v : r) line(type(inst(v).type) + " " + name(v) + ";");
  }

  // -- loops over the axes in front of the last loop axis
  void open_outer() {
    for (int a = first_loop_; a < run_axis(); ++a)
      open("for (i64 " + index(a) + " = 0; " + index(a) + " < " + extent(a) + "; ++" + index(a) +
           ")");
  }
  void close_outer() {
    for (int a = first_loop_; a < run_axis(); ++a) close();
  }
  // kSplit: which block this is, and the indices of the outer axes from it.
  void part_bounds() {
    line("const i64 run = " + extent(run_axis()) + ", per_run = (run + " + block() + " - 1) / " +
         block() + ";");
    std::string outer;
    for (int a = first_loop_; a < run_axis(); ++a) outer += " * " + extent(a);
    const std::string blocks = arg(ir::kArgPartBlocks);
    line("const i64 blocks = per_run" + outer + ", begin = part * " + blocks + ";");
    line("const i64 end = blocks < begin + " + blocks + " ? blocks : begin + " + blocks + ";");
  }
  void block_of_part() {
    if (lowest_walked(first_loop_, run_axis()) < run_axis())
      line("const i64 outer = number / per_run;");
    unravel("outer", first_loop_, run_axis());
    line("const i64 from = number % per_run * " + block() + ";");
    // A warp beyond the part's last block has nothing to add up.
    line("const i64 to = number >= end ? from : run < from + " + block() + " ? run : from + " +
         block() + ";");
  }

  // -- form kRow
  void row() {
    const std::string i = index(run_axis());
    if (!reduces_) {  // a map: the tile is a chunk of the run
      const std::string chunk = arg(ir::kArgChunk), run = extent(run_axis());
      line("const i64 begin = whole % chunks * " + chunk + ", last = begin + " + chunk + ";");
      line("const i64 end = last < " + run + " ? last : " + run + ";");
    } else {
      line("const i32 warps = width / 32, warp = lane / 32, l = lane % 32;");
    }
    for (const ir::Section& s : k_.sections) {
      const std::vector<Value> r = k_.reductions(s);
      if (!s.loop) {
        body(s);
      } else if (!r.empty()) {
        declare(r);
        open("");
        if (split_)
          row_part(s, r);
        else
          row_reduce(s, r);
        close();
      } else {
        if (vector_ > 1) {
          vectors(s);
          continue;
        }
        open_outer();
        if (reduces_)
          open("for (i64 " + i + " = lane; " + i + " < " + extent(run_axis()) + "; " + i +
               " += width)");
        else
          open("for (i64 " + i + " = begin + lane; " + i + " < end; " + i + " += width)");
        body(s);
        close();
        close_outer();
      }
    }
  }

  // A map's run by `vector_` neighbours a thread: their words are moved at once, unless the last of
  // them is beyond the run or memory does not lie so.
  void vectors(const ir::Section& s) {
    const std::string i = index(run_axis()), v = str(vector_), all = all_aligned(s);
    open("");
    line("pred aligned = false;");
    if (!all.empty()) {
      open("");
      line("const i64 " + i + " = begin;");
      line("aligned = " + all + ";");
      close();
    }
    open("for (i64 group = begin + i64(lane * " + v + "); group < end; group += i64(width * " + v +
         "))");
    line("const pred whole_words = aligned && group + i64(" + v + ") <= end;");
    wide_words(s);
    move_words(s, ir::Op::kLoad);
    open("UNROLL for (i32 e = 0; e < " + v + "; ++e)");
    line("const i64 " + i + " = group + i64(e);");
    open("if (" + i + " < end)");
    body(s);
    close();
    close();
    move_words(s, ir::Op::kStore);
    close();
    close();
  }

  void move_words(const ir::Section& s, ir::Op op) {
    const std::vector<std::string> moves = wide_moves(s, op);
    if (moves.empty()) return;
    open("if (whole_words)");
    line("const i64 " + index(run_axis()) + " = group;");
    for (const std::string& move : moves) line(move);
    close();
  }

  // A warp's block: elements from … to - 1, results in r<value> of every thread.
  void row_block(const ir::Section& s, const std::vector<Value>& r) {
    const std::string i = index(run_axis());
    for (const Value v : r) {
      const std::string none = identity(inst(v));
      line(type(inst(v).type) + " " + accumulator(v) + "[2] = {" + none + ", " + none + "};");
    }
    open("for (i64 pair = from + l; pair < to; pair += 64)");
    open("UNROLL for (i32 second = 0; second < 2; ++second)");
    line("const i64 " + i + " = pair + 32 * second;");
    open("if (" + i + " < to)");  // a loop that is left in the midst is not unrolled
    body(s);
    close();
    close();
    close();
    for (const Value v : r) {
      const Inst& in = inst(v);
      const std::string acc = accumulator(v), result = "r" + str(v);
      line(type(in.type) + " " + result + " = " +
           (doubled(in) ? combine(in, acc + "[0]", acc + "[1]") : acc + "[0]") + ";");
      for (int h = kWarp / 2; h >= 1; h /= 2)
        line(result + " = " +
             combine(in, result, "below_" + type(in.type) + "(" + result + ", " + str(h) + ")") +
             ";");
      line(result + " = first_" + type(in.type) + "(" + result + ");");
    }
  }

  // The block results of one round of the warps, pushed in order by everybody. `count` is how many
  // blocks there are, `at` the round's first.
  void push_round(const std::vector<Value>& r, const std::string& at, const std::string& count) {
    open("if (warps == 1)");
    push(r, "r");
    close();
    open("else");
    for (const Value v : r) line("if (l == 0) " + shared(v) + "[warp] = r" + str(v) + ";");
    line("BARRIER();");
    open("for (i32 w = 0; w < warps && " + at + " + w < " + count + "; ++w)");
    for (const Value v : r) line(type(inst(v).type) + " s" + str(v) + " = " + shared(v) + "[w];");
    push(r, "s");
    close();
    line("BARRIER();");
    close();
  }

  void row_reduce(const ir::Section& s, const std::vector<Value>& r) {
    begin_counter(r);
    line("const i64 run = " + extent(run_axis()) + ", blocks = (run + " + block() + " - 1) / " +
         block() + ";");
    open_outer();
    open("for (i64 number = 0; number < blocks; number += warps)");
    line("const i64 from = (number + warp) * " + block() + ";");
    line("const i64 to = run < from + " + block() + " ? run : from + " + block() + ";");
    row_block(s, r);
    push_round(r, "number", "blocks");
    close();
    close_outer();
    finish(r);
  }

  std::string partial(Value v, const std::string& part) {
    const Inst& i = inst(v);
    std::string element = "(point * parts + " + part + ")";
    if (column_)
      element =
          "(" + element + " * " + extent(k_.vector_axis()) + " + " + index(k_.vector_axis()) + ")";
    return "u64(" + arg(k_.accesses[static_cast<std::size_t>(i.access)].pointer) + " + " + element +
           " * " + str(ir::size_of(i.type)) + ")";
  }
  void publish_partials(const std::vector<Value>& r) {
    for (const Value v : r)
      line("publish_" + type(inst(v).type) + "(" + partial(v, "part") + ", " + name(v) + ");");
  }
  // The thread block that finishes a tile's last part goes on; others take their next tile.
  void leave_unless_last() {
    line("FENCE();");
    line("BARRIER();");
    open("if (lane == 0)");
    line("const u64 tally = ARGS + u64((" + arg(ir::kArgTallies) + " + whole) * 8);");
    line("const pred all = atomic_add_u32(tally, 1u) + 1u == u32(parts);");
    line("if (all) store_i32(tally, 0);");
    line(verdict() + "[0] = all ? 1 : 0;");
    close();
    line("BARRIER();");
    line("const pred goes_on = " + verdict() + "[0] != 0;");
    line("BARRIER();");  // before the next tile's verdict
    line("if (!goes_on) continue;");
    line("FENCE();");
  }
  void combine_parts(const std::vector<Value>& r) {
    begin_counter(r);
    open("for (i64 p = 0; p < parts; ++p)");
    for (const Value v : r)
      line(type(inst(v).type) + " r" + str(v) + " = fresh_" + type(inst(v).type) + "(" +
           partial(v, "p") + ");");
    push(r, "r");
    close();
    finish(r);
  }

  void row_part(const ir::Section& s, const std::vector<Value>& r) {
    open("");
    begin_counter(r);
    part_bounds();
    open("for (i64 round_begin = begin; round_begin < end; round_begin += warps)");
    line("const i64 number = round_begin + warp;");
    block_of_part();
    row_block(s, r);
    push_round(r, "round_begin", "end");
    close();
    finish(r);
    open("if (lane == 0)");
    publish_partials(r);
    close();
    close();
    leave_unless_last();
    open("");
    combine_parts(r);
    close();
  }

  // -- form kColumn: a thread has a lane of its own
  void column() {
    const std::string chunk = arg(ir::kArgChunk), width = extent(k_.vector_axis());
    line("const i64 first = whole % chunks * " + chunk + ", last = first + " + chunk + ";");
    line("const i64 end_lane = last < " + width + " ? last : " + width + ";");
    if (!split_) return lanes(Pass::kWhole);
    write_only([](const ir::Section& s) { return s.loop; });
    lanes(Pass::kPart);
    leave_unless_last();
    write_only([](const ir::Section& s) { return !s.loop; });
    lanes(Pass::kCombine);
  }

  enum class Pass { kWhole, kPart, kCombine };
  void lanes(Pass pass) {
    const std::string i = index(k_.vector_axis());
    open("for (i64 " + i + " = first + lane; " + i + " < end_lane; " + i + " += width)");
    for (const ir::Section& s : k_.sections) {
      const std::vector<Value> r = k_.reductions(s);
      if (!s.loop) {
        body(s);
        continue;
      }
      declare(r);
      open("");
      if (pass == Pass::kPart) {
        column_part(s, r);
        close();
        break;
      }
      if (pass == Pass::kCombine)
        combine_parts(r);
      else
        column_loop(s, r);
      close();
    }
    close();
  }

  // Elements from … to - 1 of the last loop axis, in order; results in r<value>.
  void column_block(const ir::Section& s, const std::vector<Value>& r) {
    const std::string i = index(run_axis());
    for (const Value v : r)
      line(type(inst(v).type) + " " + accumulator(v) + " = " + identity(inst(v)) + ";");
    open("for (i64 " + i + " = from; " + i + " < to; ++" + i + ")");
    body(s);
    close();
    push(r, "acc");
  }
  void column_loop(const ir::Section& s, const std::vector<Value>& r) {
    begin_counter(r);
    line("const i64 run = " + extent(run_axis()) + ";");
    open_outer();
    open("for (i64 from = 0; from < run; from += " + block() + ")");
    line("const i64 to = run < from + " + block() + " ? run : from + " + block() + ";");
    column_block(s, r);
    close();
    close_outer();
    finish(r);
  }
  void column_part(const ir::Section& s, const std::vector<Value>& r) {
    begin_counter(r);
    part_bounds();
    open("for (i64 number = begin; number < end; ++number)");
    block_of_part();
    column_block(s, r);
    close();
    finish(r);
    publish_partials(r);
  }

  const bool shared_in_kernel_;
  int first_loop_ = 0, loops_ = 0;
  bool reduces_ = false, split_ = false;
};

}  // namespace

std::string clike_function(const ir::Kernel& k, std::string_view entry, const Dialect& dialect) {
  check_emittable(k, dialect);
  return FunctionWriter(k, entry, dialect).run();
}

}  // namespace flash::emit
