// core/trace.h -- the trace recorder: what was asked, in order, until it is flushed
//
// One trace per (thread, device). Recording appends a node; its inputs are earlier nodes of the
// same trace. Nothing is computed, shapes and dtypes are known. Nodes, shapes, attributes and input
// lists lie in flat vectors that keep their capacity, so that a steady loop allocates nothing.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "owner_lock.h"
#include "scope.h"
#include "storage.h"

namespace flash {

class Tensor;
struct TensorImpl;

struct Node {
  Prim op{};
  DType dtype{};
  std::uint8_t rank = 0;
  std::uint8_t n_in = 0;
  std::uint8_t n_attr = 0;
  Pass pass{};
  std::uint16_t scope = 0;  ///< label of the user's or of the composite region (see core/scope.h)
  std::uint32_t in = 0;     ///< first of n_in entries of Trace::inputs
  std::uint32_t attr = 0;   ///< first of n_attr entries of Trace::words
  std::uint32_t shape = 0;  ///< first of rank entries of Trace::words
  Cell* owner = nullptr;  ///< the cell whose latest version this is; null: only other nodes need it
  Buffer* buffer = nullptr;  ///< kInput: the value (the trace holds a reference)
  std::int64_t numel = 0;
};
static_assert(sizeof(Node) <= 64,
              "nodes are written on every operation; keep them in one cache line");

/// Why a trace is flushed; FLASH_DEBUG=1 prints it.
enum class FlushReason : std::uint8_t {
  kRead,       // item, to_vector, data, print, save
  kEval,       // eval(), synchronize()
  kStep,       // end of an optimizer step
  kThread,     // another thread or device needs a value
  kNodeLimit,  // too many nodes
  kByteLimit,  // too many pending bytes
  kExit,       // the thread ends
};
const char* name(FlushReason r);

class Trace {
 public:
  explicit Trace(Device device);

  Device device() const { return device_; }
  std::uint64_t epoch() const { return epoch_; }

  // The recorded program; only under the mutex.
  std::vector<Node> nodes;
  std::vector<NodeId> inputs;
  std::vector<std::int64_t> words;

  std::span<const std::int64_t> shape(const Node& n) const {
    return {words.data() + n.shape, n.rank};
  }
  std::span<const std::int64_t> attrs(const Node& n) const {
    return {words.data() + n.attr, n.n_attr};
  }
  std::span<const NodeId> in(const Node& n) const { return {inputs.data() + n.in, n.n_in}; }
  std::int64_t bytes(const Node& n) const { return n.numel * size_of(n.dtype); }

  /// Appends a node; the mutex is held.
  NodeId append(Prim op, DType dtype, const Shape& shape, std::span<const NodeId> in,
                std::span<const std::int64_t> attrs);
  /// The node for the latest version of a cell: pending in this trace, or its buffer as an input.
  /// kNoNode: another thread has changed it meanwhile, and it is pending there.
  NodeId node_of(Cell& cell) {
    return cell.trace.load(std::memory_order_relaxed) == this ? cell.pending : input_of(cell);
  }
  /// The node for a tensor: its cell's, through a view node where it is not the whole.
  NodeId node_of(TensorImpl& t);
  /// So that the next version of `cell` can only come from this trace, until it is assigned or
  /// unclaimed; the mutex is held all the while. False if a version is pending in another trace.
  bool claim(Cell& cell);
  /// Leaves a claimed cell to others, if no version of it is pending.
  void unclaim(Cell& cell);
  /// Makes `node` the latest version of `cell`.
  void assign(Cell& cell, NodeId node);
  /// A cell's value in this trace is no longer wanted: it was flushed, or the cell dies.
  void drop(Cell& cell);
  /// The same for a cell that stays claimed.
  void disown(Cell& cell);
  /// On the trace's own thread, without the mutex: a dying cell is dropped and freed when that
  /// thread locks the trace next, which it does at its next operation. False on other threads.
  bool drop_later(Cell& cell);

  /// Evaluates every live cell. Called with the mutex held. On an exception before anything ran
  /// the trace is as it was and may be flushed again. Where indices are out of range, what depends
  /// on them is given up and the rest stays recorded. If anything else throws, all is lost.
  void flush(FlushReason reason);
  /// Flushes until nothing is recorded, or would fail as it did. Returns the last failure, or null.
  std::exception_ptr settle(FlushReason reason);
  /// A flush is due before an operation on `operands` is recorded. They don't count as bytes that
  /// wait: most often that operation is the last to use them, and they are never stored. One
  /// without operands, a scalar often, is recorded in the midst of an expression: the next is soon.
  bool over_limit(std::span<const Tensor* const> operands) const {
    if (nodes.size() >= node_limit_) return true;
    return pending_bytes_ > byte_limit_ && !operands.empty() &&
           pending_bytes_ - pending_among(operands) > byte_limit_;
  }
  FlushReason limit_reason() const {
    return nodes.size() >= node_limit_ ? FlushReason::kNodeLimit : FlushReason::kByteLimit;
  }
  /// Flushes up to the point in the later half where the fewest bytes are live, so that a loop that
  /// runs into a limit always meets the same traces; the rest stays recorded.
  void flush_prefix(FlushReason reason);

  /// Forgets everything; who reads one of the values learns why there is none.
  void abandon(const std::exception_ptr& why);

 private:
  friend class TraceLock;
  friend struct Traces;
  NodeId input_of(Cell& cell);
  bool is_own() const;
  void free_dropped();
  void unlock_and_give_back();
  void evaluate(std::size_t count, FlushReason reason);
  /// Gives up what depends on `failed`. The last change of a cell is undone; where several wait, or
  /// there was no value before or it is not kept, the cell has none, but the reason.
  void forsake(std::span<const NodeId> failed, const std::exception_ptr& why);
  /// By node: it is a value that lives, or such a value needs it.
  std::vector<char> needed() const;
  /// Records the needed nodes from `cut` on again, over what they need from before it.
  void keep_from(std::size_t cut, const std::vector<char>& needed,
                 const std::vector<Ref<Buffer>>& results);
  std::size_t canonical_cut() const;
  void clear();
  void let_go(Buffer* buffer);
  std::int64_t pending_among(std::span<const Tensor* const> operands) const;
  static std::uint64_t next_epoch();

  Device device_;
  OwnerLock mutex_;
  /// A list of cells to drop_later; other threads only ask whether it is empty.
  std::atomic<Cell*> dead_cells_{nullptr};
  /// The user's memory that is to be given back without the mutex.
  std::vector<Ref<Buffer>> dead_buffers_;
  std::uint64_t epoch_ = next_epoch();
  std::int64_t pending_bytes_ = 0;
  std::size_t node_limit_;
  std::int64_t byte_limit_;
};

}  // namespace flash
