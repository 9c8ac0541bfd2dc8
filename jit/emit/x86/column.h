// jit/emit/x86/column.h -- form kColumn: vectors along the lane axis, loop axes one index at a time
//
// A tile's lanes are taken in groups. Row-level values and accumulators of a group lie in the stack
// frame, and for each index of the loop axes the group's lanes stream by: whole row segments, which
// is what memory likes. Levels of the binary counter have one value a lane too; groups get smaller
// when there are many levels.
#pragma once

#include <functional>

#include "jit/emit/x86/emitter.h"

namespace flash::emit::x64 {

class ColumnEmitter final : public Emitter {
 public:
  ColumnEmitter(const ir::Kernel& k, Isa isa, x86::Compiler& cc);

 private:
  void plan_frame();
  /// What groups of lanes do: all of a tile, a part's blocks, or what follows all parts.
  enum class Pass : std::uint8_t { kWhole, kPart, kCombine };

  void tile() override;
  void group_lanes();
  void groups(const x86::Gp& last, Pass pass);
  void group(Pass pass);

  // -- loops (column.cpp)
  void lanes(std::size_t s, const Cursors& at);
  void run(std::size_t s, const Cursors& at);
  int rows_at_once(std::size_t s) const;
  void indices(std::size_t s, const Cursors& at, const x86::Gp& n);
  struct Ahead {
    x86::Gp row;
    std::uint32_t shift;  ///< of the element size
  };
  std::vector<Ahead> rows_ahead(std::size_t s, const std::vector<Cursors>& rows);
  void whole_rows(std::size_t s, const Cursors& at, const x86::Gp& left);
  void masked_rows(std::size_t s, const Cursors& at, const x86::Gp& rows, const x86::Gp& first,
                   const x86::Gp& end);

  // -- slots: one value a lane (column_state.cpp)
  static std::size_t at(ir::Value v) { return static_cast<std::size_t>(v); }
  x86::Mem slot(ir::Value v, const x86::Gp& index, int lane0) const;
  Val load_slot(ir::Value v, const x86::Gp& index, int lane0);
  void store_slot(ir::Value v, Val& x, const x86::Gp& index, int lane0);
  Val row_level(ir::Value v, const Context& c) override;
  void end_of_body(std::size_t s, const Context& c) override;
  void reduce(ir::Value v, Val& x, Val* mask, const Context& c) override;

  // -- the binary counter (column_state.cpp)
  void begin_reductions(std::size_t s);
  /// `f(index)` for every vector of the group.
  void each_vector(const std::function<void(const x86::Gp&)>& f);
  /// Also with the vector's place in a level, where its reductions lie side by side.
  void each_level_vector(const x86::Gp& level,
                         const std::function<void(const x86::Gp&, ir::Value, const x86::Mem&)>& f);
  void fill_identities();
  void combine_level(const x86::Gp& level);
  x86::Gp level_step();
  void push();
  void finish();

  // -- mode kSplit (column_state.cpp)
  void part(std::size_t s, const Cursors& at);
  void copy_partials(const x86::Gp& element, bool out);
  void combine_partials();

  int lane_axis_ = 0;
  int group_ = 1024;       ///< lanes that the slots hold
  std::vector<int> slot_;  ///< by value: offset of its buffer in slots_; negative: none
  int slots_bytes_ = 0;
  int level_bytes_ = 0;  ///< of one lane in one level
  int levels_bytes_ = 0;
  x86::Mem slots_, levels_;
  x86::Gp lanes_now_;                ///< lanes of the tile's groups
  x86::Gp first_, whole_end_, end_;  ///< lanes of the group; whole vectors end before whole_end_
  x86::Gp base4_, base8_;            ///< slots_ minus the first lane, for 4- and 8-byte values
  std::vector<ir::Value> reductions_;
  std::vector<Val> acc_;  ///< of reductions_, while several rows are combined in registers
  int rows_ = 1;          ///< rows of the body being written
  x86::Gp pushed_;
};

}  // namespace flash::emit::x64
