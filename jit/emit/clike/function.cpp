// jit/emit/clike/function.cpp -- kernel IR to a function of C-like source, one line an instruction
#include <bit>
#include <string>
#include <vector>

#include "jit/emit/clike/clike.h"
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

std::string str(std::int64_t n) { return std::to_string(n); }
std::string text(std::string_view s) { return std::string(s); }

class FunctionWriter {
 public:
  FunctionWriter(const ir::Kernel& k, std::string_view entry) : k_(k), entry_(entry) {
    for (const Role r : k.axes) {
      first_loop_ += r == Role::kGrid;
      loops_ += r == Role::kLoop;
    }
    column_ = k.form == Form::kColumn;
    reduces_ = k.has_reduce();
    split_ = k.mode == Mode::kSplit;
    find_uses();
  }

  std::string run() {
    for (std::size_t t = 0; t < k_.tables.size(); ++t)
      if (reads_table(t)) table(t);
    line("// " + k_.name);
    // A kernel that writes its ArgBlock's tallies may not promise that nobody does.
    open("extern \"C\" __global__ void " + entry_ + "(const i64* " +
         (split_ ? "" : "__restrict__ ") + "args, i64 tiles)");
    if (split_) line("__shared__ i32 is_last;");
    if (reduces_ && !column_) shared_partials();
    line("const i32 lane = threadIdx.x, width = blockDim.x;");
    open(
        "for (i64 tile = (i64)blockIdx.x * blockDim.y + threadIdx.y; tile < tiles; "
        "tile += (i64)gridDim.x * blockDim.y)");
    if (split_)
      line("const i64 parts = " + arg(ir::kArgParts) +
           ", part = tile % parts, whole = tile / parts;");
    else
      line("const i64 whole = tile;");
    grid();
    if (column_)
      column();
    else
      row();
    close();
    close();
    return std::move(out_);
  }

 private:
  // -- text
  void line(const std::string& s) { out_.append(2 * depth_, ' ').append(s).append("\n"); }
  void open(const std::string& s) {
    line(s.empty() ? "{" : s + " {");
    ++depth_;
  }
  void close() {
    --depth_;
    line("}");
  }

  static std::string arg(std::int64_t word) { return "args[" + str(word) + "]"; }
  std::string extent(int axis) const { return arg(ir::kArgExtents + axis); }
  static std::string index(int axis) { return "i" + str(axis); }
  static std::string name(Value v) { return "v" + str(v); }
  const Inst& inst(Value v) const { return k_.insts[static_cast<std::size_t>(v)]; }
  static std::string type(Type t) { return text(ir::name(t)); }
  int run_axis() const { return first_loop_ + loops_ - 1; }
  std::string block() const { return str(column_ ? ir::kColumnBlock : ir::kRowBlock); }

  bool reads_table(std::size_t t) const {
    for (std::size_t v = 0; v < k_.insts.size(); ++v)
      if (used_[v] && k_.insts[v].op == Op::kTable && k_.insts[v].imm == t) return true;
    return false;
  }
  void table(std::size_t t) {
    std::string values;
    for (const float x : k_.tables[t])
      values += (values.empty() ? "" : ", ") + str(std::bit_cast<std::uint32_t>(x)) + "u";
    line("static __device__ const u32 " + entry_ + "_table" + str(static_cast<std::int64_t>(t)) +
         "[16] = {" + values + "};");
  }

  // The indices of the grid axes.
  void grid() {
    const bool chunked = column_ || !reduces_;
    if (chunked) line("const i64 chunks = " + arg(ir::kArgChunks) + ";");
    if (first_loop_ > 0 || split_)
      line("const i64 point = " + std::string(chunked ? "whole / chunks;" : "whole;"));
    if (first_loop_ > 0) line("i64 rest = point;");
    for (int a = first_loop_ - 1; a >= 0; --a) {
      if (a > 0) {
        line("const i64 " + index(a) + " = rest % " + extent(a) + ";");
        line("rest /= " + extent(a) + ";");
      } else {
        line("const i64 " + index(a) + " = rest;");
      }
    }
  }

  // Compilers warn of values that nobody reads.
  void find_uses() {
    used_.assign(k_.insts.size(), false);
    for (auto s = k_.sections.rbegin(); s != k_.sections.rend(); ++s)
      for (auto v = s->body.rbegin(); v != s->body.rend(); ++v) {
        const Inst& i = inst(*v);
        if (!used(*v) && i.op != Op::kStore && i.op != Op::kReduce) continue;
        for (const Value u : {i.a, i.b, i.c, i.guard})
          if (u != kNone) used_[static_cast<std::size_t>(u)] = true;
      }
  }
  bool used(Value v) const { return used_[static_cast<std::size_t>(v)]; }

  // -- instructions
  // Whether an axis has an index here: loop axes have none in row sections.
  bool has_index(int axis, bool loop) const {
    const Role r = k_.axes[static_cast<std::size_t>(axis)];
    return r != Role::kLoop || loop;
  }

  std::string address(const Inst& i, Value at, bool loop) const {
    const Access& a = k_.accesses[static_cast<std::size_t>(i.access)];
    std::string s = (a.stored ? "(char*)" : "(const char*)") + arg(a.pointer);
    for (int axis = 0; axis < k_.n_axes(); ++axis) {
      const Step step = a.step[static_cast<std::size_t>(axis)];
      if (step == Step::kZero || !has_index(axis, loop)) continue;
      s += " + " + index(axis) + " * " +
           (step == Step::kUnit ? str(size_of(a.dtype)) : arg(a.strides + axis));
    }
    if (at != kNone) s += " + " + name(at) + " * " + str(size_of(a.dtype));
    return s;
  }
  static std::int64_t size_of(DType d) { return flash::size_of(d); }

  std::string literal(const Inst& i) const {
    const auto half = [](std::uint64_t bits) {
      return str(static_cast<std::uint32_t>(bits)) + "u";
    };
    // 64 bits are given in halves, so that no literal is beyond an i64.
    const std::string word = ir::size_of(i.type) == 8
                                 ? "((u64)" + half(i.imm >> 32) + " << 32 | " + half(i.imm) + ")"
                                 : half(i.imm);
    if (ir::is_float(i.type)) return "bits_" + type(i.type) + "(" + word + ")";
    return "(" + type(i.type) + ")" + word;
  }

  std::string expression(const Inst& i, bool loop) const {
    const auto call = [&](const std::string& f) {
      std::string s = f + "(" + name(i.a);
      if (i.b != kNone) s += ", " + name(i.b);
      if (i.c != kNone) s += ", " + name(i.c);
      return s + ")";
    };
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
        return i.guard == kNone ? s : name(i.guard) + " ? " + s + " : (" + type(i.type) + ")0";
      }
      case Op::kTable:
        return "bits_f32(" + entry_ + "_table" + str(static_cast<std::int64_t>(i.imm)) + "[" +
               name(i.a) + " & 15])";
      case Op::kCast:
      case Op::kBitcast:
        return call(op + "_" + type(i.type) + "_" + type(inst(i.a).type));
      case Op::kToPred:
      case Op::kEq:
      case Op::kNe:
      case Op::kLt:
      case Op::kLe:
        return call(op + "_" + type(inst(i.a).type));
      case Op::kPAnd:
      case Op::kPOr:
      case Op::kPNot:
        return call(op);
      default:
        return call(op + "_" + type(i.type));
    }
  }

  void instruction(Value v, bool loop) {
    const Inst& i = inst(v);
    if (i.op == Op::kStore) {
      const Access& a = k_.accesses[static_cast<std::size_t>(i.access)];
      std::string s = "store_" + text(flash::name(a.dtype)) + "(" + address(i, i.b, loop) + ", " +
                      name(i.a) + ");";
      if (i.guard != kNone) s = "if (" + name(i.guard) + ") " + s;
      // Threads that share a row-level value leave the store to the first of them.
      if (!loop && !column_) s = "if (lane == 0) " + s;
      return line(s);
    }
    if (i.op == Op::kReduce) {
      const std::string acc = accumulator(v) + (column_ ? "" : doubled(i) ? "[half]" : "[0]");
      std::string s = acc + " = " + combine(i, acc, name(i.a)) + ";";
      if (i.guard != kNone) s = "if (" + name(i.guard) + ") " + s;
      return line(s);
    }
    if (!used(v)) return;
    line("const " + type(i.type) + " " + name(v) + " = " + expression(i, loop) + ";");
  }
  void body(const ir::Section& s) {
    for (const Value v : s.body) instruction(v, s.loop);
  }

  // -- reductions
  static std::string accumulator(Value v) { return "acc" + str(v); }
  static std::string stack(Value v) { return "stack" + str(v); }
  static bool doubled(const Inst& i) { return ir::lanes(i.type) == 2 * kWarp; }
  std::string combine(const Inst& i, const std::string& a, const std::string& b) const {
    constexpr std::string_view kNames[] = {"add", "mul", "max", "min"};
    return text(kNames[static_cast<std::size_t>(i.reduce)]) + "_" + type(i.type) + "(" + a + ", " +
           b + ")";
  }
  std::string identity(const Inst& i) const {
    const bool least = i.reduce == ir::ReduceKind::kMax;
    if (i.reduce == ir::ReduceKind::kSum) return "(" + type(i.type) + ")0";
    if (i.reduce == ir::ReduceKind::kProd) return "(" + type(i.type) + ")1";
    switch (i.type) {
      case Type::kF32:
        return least ? "bits_f32(0xff800000u)" : "bits_f32(0x7f800000u)";
      case Type::kF64:
        return least ? "bits_f64(0xfff0000000000000ull)" : "bits_f64(0x7ff0000000000000ull)";
      case Type::kI32:
        return least ? "(-2147483647 - 1)" : "2147483647";
      default:
        return least ? "(-9223372036854775807ll - 1)" : "9223372036854775807ll";
    }
  }
  std::vector<Value> reductions(const ir::Section& s) const {
    std::vector<Value> r;
    for (const Value v : s.body)
      if (inst(v).op == Op::kReduce) r.push_back(v);
    return r;
  }

  // Block results of the warps that share a tile.
  void shared_partials() {
    for (const ir::Section& s : k_.sections)
      for (const Value v : reductions(s))
        line("__shared__ " + type(inst(v).type) + " shared" + str(v) + "[32];");
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
      line("for (; pushed >> level & 1; ++level) " + result + " = " +
           combine(inst(v), level, result) + ";");
      line(level + " = " + result + ";");
      close();
    }
    line("++pushed;");
  }
  // Declares the reductions' values.
  void finish(const std::vector<Value>& r) {
    for (const Value v : r) {
      const Inst& i = inst(v);
      line(name(v) + " = " + identity(i) + ";");
      open("if (pushed > 0)");
      line("i32 level = 0;");
      line("while (!(pushed >> level & 1)) ++level;");
      line(name(v) + " = " + stack(v) + "[level];");
      line("for (++level; pushed >> level; ++level)");
      line("  if (pushed >> level & 1) " + name(v) + " = " +
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
    std::string outer = "1";
    for (int a = first_loop_; a < run_axis(); ++a) outer += " * " + extent(a);
    line("const i64 blocks = per_run * " + outer + ", begin = part * " + arg(ir::kArgPartBlocks) +
         ";");
    line("const i64 end = blocks < begin + " + arg(ir::kArgPartBlocks) + " ? blocks : begin + " +
         arg(ir::kArgPartBlocks) + ";");
  }
  void block_of_part() {
    line("i64 outer = number / per_run;");
    for (int a = run_axis() - 1; a >= first_loop_; --a) {
      line("const i64 " + index(a) + " = outer % " + extent(a) + ";");
      line("outer /= " + extent(a) + ";");
      line("(void)" + index(a) + ";");  // an access need not move along
    }
    line("const i64 from = number % per_run * " + block() + ";");
    // A warp beyond the part's last block has nothing to add up.
    line("const i64 to = number >= end ? from : run < from + " + block() + " ? run : from + " +
         block() + ";");
  }

  // -- form kRow
  void row() {
    const std::string i = index(run_axis());
    if (!reduces_) {  // a map: the tile is a chunk of the run
      line("const i64 begin = whole % chunks * " + arg(ir::kArgChunk) + ", last = begin + " +
           arg(ir::kArgChunk) + ";");
      line("const i64 end = last < " + extent(run_axis()) + " ? last : " + extent(run_axis()) +
           ";");
    } else {
      line("const i32 warps = width / 32, warp = lane / 32, l = lane % 32;");
    }
    for (const ir::Section& s : k_.sections) {
      const std::vector<Value> r = reductions(s);
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

  // A warp's block: elements from … to - 1, results in r<value> of every thread.
  void row_block(const ir::Section& s, const std::vector<Value>& r) {
    const std::string i = index(run_axis());
    for (const Value v : r) {
      const Inst& in = inst(v);
      line(type(in.type) + " " + accumulator(v) + "[2] = {" + identity(in) + ", " + identity(in) +
           "};");
    }
    open("for (i64 pair = from + l; pair < to; pair += 64)");
    line("#pragma unroll");
    open("for (i32 half = 0; half < 2; ++half)");
    line("const i64 " + i + " = pair + 32 * half;");
    line("if (" + i + " >= to) break;");
    body(s);
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
    for (const Value v : r) line("if (l == 0) shared" + str(v) + "[warp] = r" + str(v) + ";");
    line("__syncthreads();");
    open("for (i32 w = 0; w < warps && " + at + " + w < " + count + "; ++w)");
    for (const Value v : r)
      line(type(inst(v).type) + " s" + str(v) + " = shared" + str(v) + "[w];");
    push(r, "s");
    close();
    line("__syncthreads();");
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

  std::string partial(Value v, const std::string& part) const {
    const Inst& i = inst(v);
    std::string element = "(point * parts + " + part + ")";
    if (column_)
      element =
          "(" + element + " * " + extent(k_.vector_axis()) + " + " + index(k_.vector_axis()) + ")";
    return "(char*)" + arg(k_.accesses[static_cast<std::size_t>(i.access)].pointer) + " + " +
           element + " * " + str(ir::size_of(i.type));
  }
  void store_partials(const std::vector<Value>& r) {
    for (const Value v : r)
      line("store_" + type(inst(v).type) + "(" + partial(v, "part") + ", " + name(v) + ");");
  }
  // The thread block that finishes a tile's last part goes on; others take their next tile.
  void leave_unless_last() {
    line("__threadfence();");
    line("__syncthreads();");
    open("if (lane == 0)");
    line("u64* tally = (u64*)(args + " + arg(ir::kArgTallies) + " + whole);");
    line("is_last = atomicAdd(tally, 1ull) + 1 == (u64)parts;");
    line("if (is_last) *tally = 0;");
    close();
    line("__syncthreads();");
    line("const bool goes_on = is_last;");
    line("__syncthreads();");  // before the next tile's verdict
    line("if (!goes_on) continue;");
    line("__threadfence();");
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
    open("for (i64 round = begin; round < end; round += warps)");
    line("const i64 number = round + warp;");
    block_of_part();
    row_block(s, r);
    push_round(r, "round", "end");
    close();
    finish(r);
    open("if (lane == 0)");
    store_partials(r);
    close();
    close();
    leave_unless_last();
    open("");
    combine_parts(r);
    close();
  }

  // -- form kColumn: a thread has a lane of its own
  void column() {
    line("const i64 first = whole % chunks * " + arg(ir::kArgChunk) + ", last = first + " +
         arg(ir::kArgChunk) + ";");
    line("const i64 end_lane = last < " + extent(k_.vector_axis()) +
         " ? last : " + extent(k_.vector_axis()) + ";");
    if (!split_) return lanes(Pass::kWhole);
    lanes(Pass::kPart);
    leave_unless_last();
    lanes(Pass::kCombine);
  }

  enum class Pass { kWhole, kPart, kCombine };
  void lanes(Pass pass) {
    const std::string i = index(k_.vector_axis());
    open("for (i64 " + i + " = first + lane; " + i + " < end_lane; " + i + " += width)");
    for (const ir::Section& s : k_.sections) {
      const std::vector<Value> r = reductions(s);
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
    store_partials(r);
  }

  const ir::Kernel& k_;
  const std::string entry_;
  std::vector<bool> used_;
  int first_loop_ = 0, loops_ = 0;
  bool column_ = false, reduces_ = false, split_ = false;
  std::string out_;
  std::size_t depth_ = 0;
};

}  // namespace

std::string clike_function(const ir::Kernel& k, std::string_view entry) {
  verify(k);
  return FunctionWriter(k, entry).run();
}

}  // namespace flash::emit
