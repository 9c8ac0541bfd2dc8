// jit/fuse/group.h -- which operations run in one kernel, and which values are stored
//
// A group is one iteration domain: an ordered list of axes (symbols), of which some are reduced.
// Its members are full-level nodes (all axes) and, once axes are reduced, row-level nodes (the
// others). A leaf group is anchored at a leaf kernel; its members are the epilogue.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "jit/graph/graph.h"

namespace flash::jit {

enum class GroupKind : std::uint8_t { kFused, kLeaf, kUpdate };

struct Group {
  GroupKind kind = GroupKind::kFused;
  NodeId anchor = kNoNode;             ///< the leaf or update node
  std::vector<NodeId> members;         ///< maps and reductions, in order of record
  std::vector<Symbol> domain;          ///< axes, none of size 1
  std::vector<std::uint8_t> axis_dim;  ///< for each axis, the dimension of `shape_of` with its size
  NodeId shape_of = kNoNode;           ///< a node (a full-level one) that has all axes
  std::uint32_t reduced = 0;           ///< mask of axes
  bool forward = false, again = false;  ///< passes that members were recorded in; never both
  std::vector<NodeId> reads;            ///< values from outside, to bound the number of operands
  std::vector<std::uint64_t> before;    ///< bit set of groups this one needs, directly or not
};

struct Groups {
  std::vector<Group> all;           ///< merged-away groups have no members and no anchor
  std::vector<std::int32_t> of;     ///< node → group, -1: computed where it is needed
  std::vector<char> stored;         ///< node → it is written to memory by its group
  std::vector<std::int32_t> order;  ///< groups in order of execution
  std::vector<char> sink;           ///< group → maps that no other group needs; last in `order`
};

/// Decides. `takes_epilogue` asks the device.
Groups make_groups(Graph& g, const std::function<bool(Prim, DType)>& takes_epilogue);

/// Positions, among the non-1 dimensions of its input, that a reduction reduces.
std::uint32_t reduced_axes(const Graph& g, NodeId reduce);

/// Follows views that keep the order of dimensions (adding, dropping, expanding only) to the value
/// they show. dims[d] is the value's dimension that dimension d of `n` walks, -1 if it is
/// broadcast. Returns kNoNode if a view on the way does anything else.
NodeId in_order_source(const Graph& g, NodeId n, std::vector<int>& dims);

}  // namespace flash::jit
