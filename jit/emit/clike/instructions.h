// jit/emit/clike/instructions.h -- lines of C-like source, and one for each instruction of a body
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/function_ref.h"
#include "jit/ir/kernel.h"

namespace flash::emit {

struct Dialect;

/// Verifies the IR; throws what clike_function() does.
void check_emittable(const ir::Kernel& k, const Dialect& dialect);

/// Text with its indentation.
class Lines {
 public:
  void line(const std::string& s) { text_.append(2 * depth_, ' ').append(s).append("\n"); }
  void open(const std::string& s) {
    line(s.empty() ? "{" : s + " {");
    ++depth_;
  }
  void close() {
    --depth_;
    line("}");
  }
  std::string take() { return std::move(text_); }

 protected:
  std::size_t depth_ = 0;

 private:
  std::string text_;
};

/// What an instruction is called and computed from. Words of the ArgBlock become constants of the
/// function, w<index>: memory that stores may reach is read once, in front of all loops.
class InstructionWriter : public Lines {
 protected:
  InstructionWriter(const ir::Kernel& k, std::string_view entry);

  static std::string str(std::int64_t n) { return std::to_string(n); }
  static std::string type(ir::Type t);
  static std::string index(int axis) { return "i" + str(axis); }
  static std::string name(ir::Value v) { return "v" + str(v); }
  static std::string accumulator(ir::Value v) { return "acc" + str(v); }
  const ir::Inst& inst(ir::Value v) const { return k_.insts[static_cast<std::size_t>(v)]; }
  std::string arg(int word);
  std::string extent(int axis) { return arg(ir::kArgExtents + axis); }
  /// The words that were asked for.
  std::vector<int> argument_words() const;
  /// "const i64 w0 = ARG(0);" for each of them.
  std::vector<std::string> argument_lines() const;
  /// "TABLE(...)" for every table that has been asked for.
  std::vector<std::string> table_lines() const;
  /// Whether anything reads the index of `axis`.
  bool walked(int axis) const { return walked_[static_cast<std::size_t>(axis)]; }

  /// The lowest of the axes first … end - 1 whose index is read, or end.
  int lowest_walked(int first, int end) const;
  /// The indices of the axes first … end - 1, as far as they are read, from their row-major number.
  /// They are divided as type `narrow`, if one is named.
  void unravel(const std::string& number, int first, int end, const std::string& narrow = "");

  /// An access of `vector_` neighbours that moves whole words: their number, or 0.
  int words_moved(const ir::Inst& i, bool loop) const;
  /// "load_words_4(address, wide3);" of those loads (op kLoad) of a section, or of the stores
  /// (kStore), which take what the elements have left there; and what declares wide3.
  std::vector<std::string> wide_moves(const ir::Section& s, ir::Op op);
  void wide_words(const ir::Section& s);
  /// Whether the addresses of all of them, at the indices in scope, are aligned; empty for none.
  std::string all_aligned(const ir::Section& s);

  /// From here on a body is what the stores and reductions of the sections that are `wanted` need,
  /// and they: compilers warn of values that nobody reads. At first all are.
  void write_only(FunctionRef<bool(const ir::Section&)> wanted);
  void body(const ir::Section& s);
  /// Whether a thread keeps two lanes of such a reduction.
  static bool doubled(const ir::Inst& i);
  std::string combine(const ir::Inst& i, const std::string& a, const std::string& b) const;
  std::string identity(const ir::Inst& i) const;

  const ir::Kernel& k_;
  const std::string entry_;
  const bool column_;
  int vector_ = 1;  ///< elements that a thread of a map computes at once: `e` says which it is

 private:
  void each_wide(const ir::Section& s, FunctionRef<void(const ir::Inst&, int words)> f);
  std::string wide(const ir::Inst& i) const { return "wide" + str(&i - k_.insts.data()); }
  static std::string out_of_words(DType dtype, const std::string& words);
  void put_in_words(ir::Value store);
  void find_walked();
  bool used(ir::Value v) const { return used_[static_cast<std::size_t>(v)]; }
  bool has_index(int axis, bool loop) const;
  std::string table_name(std::uint64_t t) const;
  std::string table(std::uint64_t t);
  std::string address(const ir::Inst& i, ir::Value at, bool loop);
  std::string literal(const ir::Inst& i) const;
  std::string call(const ir::Inst& i, const std::string& function) const;
  std::string expression(const ir::Inst& i, bool loop);
  void instruction(ir::Value v, bool loop);

  std::vector<bool> used_;    // of values
  std::vector<bool> walked_;  // of axes
  std::vector<bool> words_;   // of the ArgBlock: asked for
  std::vector<bool> tables_;  // asked for
};

}  // namespace flash::emit
