// jit/emit/x86/emitter.h -- what both loop forms share: tiles, pointers, section bodies
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "jit/emit/x86/analysis.h"
#include "jit/emit/x86/simd.h"

namespace flash::emit::x64 {

using asmjit::Label;

/// Where each item stands at one depth of the loop nest: accesses as addresses, iotas as values.
using Cursors = std::vector<x86::Gp>;

/// Where a copy of a section's body stands.
struct Context {
  const Cursors* at = nullptr;
  x86::Gp index;          ///< on the vector axis; none if uniform
  int lane0 = 0;          ///< lanes by which this copy's lane 0 is ahead of `index`
  bool uniform = false;   ///< one element for all lanes: row sections of kRow, hoisted values
  Val* tail = nullptr;    ///< lanes that exist; nullptr: all
  bool stream = false;    ///< stores bypass the caches; their addresses are aligned
  int copy = 0;           ///< number of this copy in an unrolled loop
  bool unrolled = false;  ///< reductions keep their accumulators in registers
};

class Emitter {
 public:
  Emitter(const ir::Kernel& k, Isa isa, x86::Compiler& cc);
  virtual ~Emitter() = default;
  void function();

 protected:
  // -- what the forms write
  virtual void tile() = 0;
  virtual void reduce(ir::Value v, Val& x, Val* mask, const Context& c) = 0;
  /// Runs after each copy of a body, while vals_ hold its values.
  virtual void end_of_body(std::size_t section, const Context& c) = 0;
  /// A row-level value that is not in kept_; kColumn reads it from its buffer.
  virtual Val row_level(ir::Value v, const Context& c) = 0;

  // -- tiles (tiles.cpp)
  /// Splits the tile number: part (kSplit), chunk, grid point; sets the tile's cursors.
  void decode_tile(bool chunked);
  x86::Gp chunk_;
  x86::Gp part_, whole_, point_;  ///< kSplit only; whole_: the tile of kWhole
  Cursors tile_at_;

  // -- mode kSplit (tiles.cpp)
  /// `f(index)` for each reduction block of the part, which it may use up.
  void each_block_of_part(std::int64_t block, const std::function<void(const x86::Gp&)>& f);
  /// Copies of the cursors of `section`, moved to reduction block `index`, which is used up; sets
  /// `start` to the block's first index of the run.
  Cursors enter_block(std::size_t section, const Cursors& at, std::int64_t block,
                      const x86::Gp& index, x86::Gp& start);
  /// Counts the part as done; jumps to `out` if it was not the last of its whole tile.
  void leave_unless_last(const Label& out);

  // -- loops over axes (tiles.cpp)
  /// Walks the loop axes from `axis` to the one before the run; `leaf` gets the cursors there.
  void nest(std::size_t section, int axis, const Cursors& at,
            const std::function<void(const Cursors&)>& leaf);
  /// Moves cursors to outer loop index `outer` (row-major); uses `outer` up.
  void move_outer(std::size_t section, const Cursors& at, const x86::Gp& outer);
  /// Copies of the cursors of `section` that move along `axis`; the others stay as they are.
  Cursors enter(std::size_t section, int axis, const Cursors& at);
  void advance(std::size_t section, int axis, const Cursors& at);
  void move_by(std::size_t section, int axis, const Cursors& at, const x86::Gp& count);
  /// quotient (holding the dividend) / by; all unsigned.
  template <class Divisor>
  void divide(const x86::Gp& quotient, x86::Gp& remainder, const Divisor& by) {
    remainder = cc_.newInt64();
    cc_.xor_(remainder.r32(), remainder.r32());
    cc_.div(remainder, quotient, by);
  }
  /// Jumps to `out` if some loop axis has no index.
  void skip_if_empty(const Label& out);
  /// Number of reduction blocks of one pass over the run, and of all loop axes.
  x86::Gp blocks_of_run(std::int64_t block);
  x86::Gp blocks_of_point(std::int64_t block);

  // -- vectors along the vector axis (vectors.cpp)
  /// index … end - 1 in copies of whole vectors, then what is left, masked.
  struct VectorLoop {
    x86::Gp index, end;
    int unroll = 1;
    bool interleave = false;             ///< copies in pairs; the section is side_by_side
    bool may_stream = false;             ///< obey kFlagStream; the section is streamable
    std::function<void()> between = {};  ///< runs after the whole vectors, before what is left
  };
  void vectors(std::size_t section, const Cursors& at, const VectorLoop& loop, const Context& c);
  void whole_vectors(std::size_t section, const Cursors& at, const VectorLoop& loop,
                     const Context& c);
  /// Interleaved pairs of whole vectors, streamed: neighbours, or in a tile of kHalvedRun elements
  /// one from each half of it, so that memory works on more pages at once.
  void streamed_pairs(std::size_t section, const VectorLoop& loop, const Context& c);
  /// Asks for what a vector some way ahead will load.
  void prefetch(std::size_t section, const Context& c);
  /// One vector's first `count` lanes.
  void masked_vector(std::size_t section, Context c, const x86::Gp& count);
  /// Running cursors (of lanes that lie apart) move on by one vector.
  void next_vector(std::size_t section, const Cursors& at);
  /// Instructions of the section's body, and whether masked vectors are as fast as whole ones.
  int body_size(std::size_t section) const;
  bool masks_well(std::size_t section) const;
  /// Every access is one element for all lanes or a vector of neighbours, and none is guarded.
  bool side_by_side(std::size_t section) const;
  /// Also, all stores are whole words: they can be aligned and bypass the caches.
  bool streamable(std::size_t section) const;

  // -- section bodies (body.cpp)
  /// Several copies are written instruction by instruction: neighbours do not wait for each other.
  void body(std::size_t section, std::span<const Context> copies);
  void body(std::size_t section, const Context& c) { body(section, {&c, 1}); }
  void hoist(std::size_t section);
  void forget_hoisted(std::size_t section);
  Val& get(ir::Value v, const Context& c);
  const ir::Inst& inst(ir::Value v) const { return k_.insts[static_cast<std::size_t>(v)]; }
  Val identity(ir::ReduceKind kind, Type t);

  // -- memory (memory.cpp)
  Val load(const ir::Inst& i, int item, const Context& c);
  void store(const ir::Inst& i, int item, const Context& c);
  Val iota(int item, const Context& c);

  x86::Mem word(int i) const { return x86::qword_ptr(args_, i * 8); }
  x86::Mem extent(int axis) const { return word(ir::kArgExtents + axis); }
  x86::Mem stride(int item, int axis) const {
    return word(an_.items[static_cast<std::size_t>(item)].strides + axis);
  }

  const ir::Kernel& k_;
  const Analysis an_;
  x86::Compiler& cc_;
  std::unique_ptr<Simd> simd_;
  x86::Gp args_, tile_, tile_end_;
  std::vector<Val> kept_;  ///< values visible to every body: pooled, hoisted, row-level (kRow)
  std::vector<Val> vals_;  ///< values of the body being written
  std::vector<int> uses_left_;

 private:
  void compute(ir::Value v, const Context& c);
  Val apply(ir::Value v, const Context& c);
  bool dies(ir::Value v);
  void lane_offsets();
  /// Sets `head` to the elements before every store is aligned; jumps to `no` if that never is.
  void align_stores(std::size_t section, const Cursors& at, const x86::Gp& index,
                    const x86::Gp& head, const Label& no);
  x86::Mem address(int item, const Context& c);
  /// Address of one lane: base and offsets, as the item and the index vector want it.
  struct LaneAddress {
    int item;
    x86::Gp base;
    bool indexed;
  };
  LaneAddress lane_address(const ir::Inst& i, int item, ir::Value index, const Context& c);
  x86::Mem lane_mem(const LaneAddress& a, const x86::Gp& lane, int size);
  void each_lane(Val* mask, const std::function<void(const x86::Gp&)>& f);
  Val* masked(Val* guard, const Context& c, Val& room);
  Val load_uniform(const ir::Inst& i, const x86::Mem& m, Val* guard);
  Val load_lanes(const ir::Inst& i, int item, Val* mask, const Context& c);
  void copy_element(const x86::Mem& to, const x86::Mem& from, int size);
  x86::Mem& buffer(x86::Mem& m);

  std::vector<x86::Mem> offsets_;  ///< by item: lane × stride for lanes + 1 lanes
  x86::Mem element_buffer_, index_buffer_;
};

std::unique_ptr<Emitter> make_row_emitter(const ir::Kernel& k, Isa isa, x86::Compiler& cc);
std::unique_ptr<Emitter> make_column_emitter(const ir::Kernel& k, Isa isa, x86::Compiler& cc);

}  // namespace flash::emit::x64
