// jit/emit/x86/analysis.h -- what is known of a kernel before code is written
#pragma once

#include <vector>

#include "jit/ir/kernel.h"

namespace flash::emit::x64 {

/// Something that moves along the axes: an access's address, or an iota's value.
struct Item {
  const ir::Access* access = nullptr;  ///< nullptr: an iota
  int base = -1;                       ///< word
  int strides = -1;                    ///< first word
  std::vector<bool> in_section;        ///< used there
  bool lane_by_lane = false;           ///< needs the offsets of single lanes along the vector axis
  ir::Step step(int axis) const {
    return access != nullptr ? access->step[static_cast<std::size_t>(axis)] : ir::Step::kAny;
  }
};

/// Where a value's code goes.
enum class Place : std::uint8_t {
  kPooled,   ///< kConst, kScalar: once, at the function's entry
  kHoisted,  ///< the same for every lane and loop index: once before its loop section
  kBody,     ///< where it stands
  kNowhere,  ///< nothing reads it
};

struct Analysis {
  explicit Analysis(const ir::Kernel& k);

  std::vector<Item> items;
  std::vector<int> item_of;  ///< by value (kLoad, kStore, kIota); -1 = none
  std::vector<Place> place;  ///< by value
  /// Selects that a minimum or maximum instruction computes: kMin, kMax, else kSelect.
  std::vector<ir::Op> select_as;
  /// By value, of kAnd, kOr, kXor: an operand that is one of these too, is read nowhere else, and
  /// is computed along with it (Place::kNowhere); kNone.
  std::vector<ir::Value> inner;
  std::vector<bool> used_later;  ///< row-level and read in a later section
  std::vector<std::vector<int>>
      uses;  ///< [section][value]: reads by instructions placed in the body
  std::vector<std::vector<ir::Value>> reduces;  ///< [section]
  int first_loop = 0;                           ///< axis
  int run = 0;                                  ///< last loop axis
  int pooled = 0;                               ///< values of Place::kPooled

 private:
  void find_items(const ir::Kernel& k);
  void find_places(const ir::Kernel& k);
  void find_min_max(const ir::Kernel& k);
  void find_inner(const ir::Kernel& k);
  void drop_unused(const ir::Kernel& k);
  /// Calls f for each operand that v's code reads.
  template <class F>
  void each_operand(const ir::Kernel& k, ir::Value v, F f) const;
};

}  // namespace flash::emit::x64
