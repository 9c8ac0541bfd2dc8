// jit/fuse/expression.h -- the values that a kernel computes, each at an index map
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "jit/fuse/group.h"
#include "jit/ir/kernel.h"

namespace flash::jit {

using DimMap = std::array<std::int8_t, kMaxRank>;  ///< dimension → part, -1: not walked

/// A value as it is needed in this kernel: a node at an index map.
struct Expr {
  enum Kind : std::uint8_t { kLoad, kScalar, kIota, kUniform, kMap, kReduce } kind;
  NodeId node = kNoNode;
  NodeId view = kNoNode;  ///< kLoad: the view it is read through
  DimMap map{};           ///< of the view, or of the node
  std::vector<int> in;
  int phase = 0;     ///< the first loop (or row section) that can compute it
  bool row = false;  ///< does not vary along the loop axes
  ir::Value reduced = ir::kNone;
};

/// The expressions of one group, inputs before users. A node that several members need at the same
/// index map is one expression; what other groups have stored is loaded, all else is computed here.
class Expressions {
 public:
  /// `part_of_axis`: the part of the domain that each axis of the group is.
  Expressions(Graph& g, const Groups& groups, int group, const std::vector<int>& part_of_axis)
      : g_(g),
        groups_(groups),
        id_(group),
        group_(groups.all[static_cast<std::size_t>(group)]),
        part_of_axis_(part_of_axis) {}

  /// The expression of `node` at `map`; makes what it needs.
  int make(NodeId node, const DimMap& map);

  /// The map of a member: its dimensions in order are the group's axes at its level.
  DimMap map_of(NodeId member);

  std::vector<Expr> all;

 private:
  struct Key {
    NodeId node;
    DimMap map;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& k) const {
      std::uint64_t m;
      static_assert(sizeof m == sizeof k.map);
      std::memcpy(&m, k.map.data(), sizeof m);
      return (m ^ (std::uint64_t{k.node} << 17)) * 0x9E3779B97F4A7C15u >> 7;
    }
  };

  bool in_memory(NodeId n) const;
  void describe(const Key& k, Expr& e, std::vector<Key>& needs);

  Graph& g_;
  const Groups& groups_;
  const int id_;
  const Group& group_;
  const std::vector<int>& part_of_axis_;
  std::unordered_map<Key, int, KeyHash> memo_;
};

}  // namespace flash::jit
