// core/autograd/tape.h -- nodes of the tape, what they save, and the call that a gradient rule gets
//
// A node lies in one block of memory: a header, then its edges, saved tensors and words. Blocks
// come from a list of this thread, so that recording an operation allocates nothing in a steady
// loop. Nodes are counted; releasing one releases what only it held, without recursion, however
// long the chain.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/callback.h"
#include "core/hot_tls.h"
#include "core/ops/bind.h"
#include "core/storage.h"
#include "core/tensor.h"

namespace flash {

namespace autograd {
class TapeNode;
}

/// A tensor kept for a gradient. Its handle is soft: what only the tape keeps may be recomputed. It
/// remembers the storage's version, and reading it after an in-place change throws AutogradError.
struct SavedTensor {
  enum class Kind : std::uint8_t {
    kNone,    // nothing
    kTensor,  // an input or an intermediate value
    kOutput,  // an output of the node itself: no reference to it, that would be a cycle
    kAgain,   // what `node` makes of the tensor that is kept
    kScalar   // a 0-d constant: its bits alone
  };

  SavedTensor() = default;
  explicit SavedTensor(const Tensor& t) { set(t); }
  SavedTensor(const SavedTensor&) = delete;
  SavedTensor& operator=(const SavedTensor&) = delete;
  ~SavedTensor() { reset(); }

  void set(const Tensor& t);
  /// As set(), but an activation that the tape can make again, element by element, from what its
  /// operation saved is not kept: two layers then share one array instead of holding two.
  void set_or_make_again(const Tensor& t);
  /// Keeps output number `i` of the node that this belongs to.
  void set_output(const Tensor& t, std::uint32_t i);
  /// Says that what is kept is such an output.
  void make_output(std::uint32_t i);
  void reset();
  bool refers_to(const Tensor& t) const;  ///< same elements of the same storage

  /// The tensor, with its history if the tape is on. `op` and `self`: the node that keeps it.
  Tensor unpack(const char* op, autograd::TapeNode* self) const;

  union {
    TensorImpl* impl = nullptr;  ///< kTensor, kOutput, kAgain; owned
    std::int64_t bits;           ///< kScalar
  };
  Ref<autograd::TapeNode> node;  ///< history of a kTensor; kAgain: of the result, too
  std::uint32_t output = 0;
  std::uint32_t version = 0;
  Kind kind = Kind::kNone;
  std::uint8_t slot = 0;
  DType dtype = DType::kF32;
  Device device;

 private:
  void keep(const TensorImpl& t);
};
static_assert(sizeof(SavedTensor) == 32);

namespace autograd {

class BackwardCall;
struct JvpCall;
struct VmapCall;

/// What autocast does to an operation's operands.
enum class Autocast : std::uint8_t { kNone, kHalf, kSingle, kWidest };

/// How an operation is differentiated and transformed. A null column means: not available.
struct Rule {
  const char* name;
  void (*vjp)(BackwardCall&) = nullptr;
  Tensor (*jvp)(JvpCall&) = nullptr;
  Tensor (*vmap)(VmapCall&) = nullptr;
  Autocast autocast = Autocast::kNone;
  /// Of a cheap element-wise operation that saves its operand, and it alone: the result, again.
  Tensor (*again)(const Tensor& operand, std::span<const std::int64_t> words) = nullptr;
};

extern const Rule kLeafRule;
extern const Rule kReshapeRule;

/// Where the gradient of one input goes, and what the input looked like.
struct Edge {
  static constexpr std::uint16_t kNoShape = 0xffff;
  Ref<TapeNode> node;  ///< null: this input needs no gradient
  std::uint32_t output = 0;
  std::uint16_t shape_at =
      kNoShape;  ///< the input's shape in the node's words, if not the output's
  std::uint8_t rank = 0;
  std::uint8_t dtype : 7 = 0;
  std::uint8_t transposed : 1 = 0;  ///< the input's last two dimensions were column-major
};

struct Hook {
  std::int64_t id = 0;
  std::uint32_t output = 0;
  Callback<Tensor(const Tensor&)> call;
};

/// What only few nodes have.
struct NodeExtra {
  struct Kept {
    std::uint32_t output;
    Tensor grad;
  };
  struct OutputMeta {
    Shape shape;
    DType dtype;
    Device device;
  };
  std::vector<Hook> hooks;
  std::vector<Kept> kept;  ///< grad() of a leaf, and of outputs with retain_grad
  std::string name;        ///< custom functions
  bool replaced = false;   ///< a leaf whose tensor has become another by set_data
  std::vector<OutputMeta> outputs;
  Callback<std::vector<Tensor>(const std::vector<Tensor>&)> custom;
  Callback<void()> free_saved;
};

class TapeNode {
 public:
  static Ref<TapeNode> make(const Rule& rule, int inputs, int saved, int words, int outputs = 1);
  /// The node of a leaf.
  static Ref<TapeNode> make_leaf();

  const Rule& rule() const { return *rule_; }
  const char* name() const {
    const NodeExtra* e = extra();
    return e && !e->name.empty() ? e->name.c_str() : rule_->name;
  }
  bool is_leaf() const { return rule_ == &kLeafRule; }
  /// A leaf whose set_requires_grad was switched off again is not.
  bool active() const { return active_; }
  void set_active(bool on) { active_ = on; }
  std::uint64_t sequence() const { return sequence_; }
  int outputs() const { return n_outputs_; }

  std::span<Edge> edges() { return {edge_data(), n_inputs_}; }
  std::span<SavedTensor> saved() { return {saved_data(), n_saved_}; }
  std::span<std::int64_t> words() { return {word_data(), n_words_}; }

  NodeExtra* extra() const { return extra_.load(std::memory_order_acquire); }
  /// Threads may walk to a leaf while another gives it its first gradient, under the engine's lock.
  NodeExtra& need_extra();
  NodeExtra::Kept* kept(std::uint32_t output);
  NodeExtra::Kept& need_kept(std::uint32_t output);

  /// Forgets the saved tensors; a node that had some cannot be run again.
  void free_saved();
  bool freed() const { return freed_; }

  void retain() { refs_.retain(); }
  void release() {
    if (refs_.release()) retire(this);
  }

 private:
  TapeNode() = default;
  ~TapeNode() = default;
  static void retire(TapeNode* node);
  static void destroy(TapeNode* node);
  Edge* edge_data() { return reinterpret_cast<Edge*>(this + 1); }
  SavedTensor* saved_data() { return reinterpret_cast<SavedTensor*>(edge_data() + n_inputs_); }
  std::int64_t* word_data() { return reinterpret_cast<std::int64_t*>(saved_data() + n_saved_); }

  RefCount refs_;
  std::uint16_t n_inputs_ = 0, n_saved_ = 0, n_words_ = 0, n_outputs_ = 1;
  std::uint8_t size_class_ = 0;
  bool active_ = true;
  bool freed_ = false;
  const Rule* rule_ = nullptr;
  std::atomic<NodeExtra*> extra_{nullptr};  ///< owned
  union {
    std::uint64_t sequence_ = 0;  ///< order of recording in this thread
    TapeNode* next_;              ///< while it waits for its destruction
  };
};
static_assert(sizeof(TapeNode) == 40, "nodes are made at every operation on the tape");

/// State of the tape in one thread.
struct TapeThread {
  bool enabled = true;
  bool retiring = false;  ///< a release is being worked off further up the stack
  std::uint64_t sequence = 0;
  TapeNode* retired = nullptr;
  TapeNode* running = nullptr;  ///< the custom function whose backward runs
  bool keeps_all = false;       ///< nothing is made again: what tests compare with
};
extern constinit thread_local TapeThread tape_thread FLASH_HOT_TLS;

/// Sets the tape's switch for a while.
class GradMode {
 public:
  explicit GradMode(bool on) : before_(tape_thread.enabled) { tape_thread.enabled = on; }
  ~GradMode() { tape_thread.enabled = before_; }
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool before_;
};

/// What a rule sees when its node is differentiated. Rules are written with public operations, so
/// that they are recorded, fused and, with create_graph, differentiated again.
class BackwardCall {
 public:
  BackwardCall(TapeNode& node, std::span<Tensor> grads, std::span<const char> wanted,
               std::span<Tensor> results)
      : node_(node), grads_(grads), wanted_(wanted), results_(results) {}

  TapeNode& node() { return node_; }
  /// Gradient of an output.
  const Tensor& grad(int i = 0) const { return grads_[static_cast<std::size_t>(i)]; }
  std::span<Tensor> grads() { return grads_; }
  /// Whether the gradient of input `i` is asked for.
  bool needs(int i) const { return wanted_[static_cast<std::size_t>(i)] != 0; }
  /// Sets the gradient of input `i`; dimensions along which the input was broadcast are summed.
  void give(int i, Tensor g);
  /// What was saved in `slot` (table rules: the number of the input, or kOutputSlot).
  Tensor saved(int slot);
  /// A saved 0-d constant's value, if it is one.
  bool saved_scalar(int slot, double& value);
  std::int64_t word(int i) const { return node_.words()[static_cast<std::size_t>(i)]; }
  std::span<const std::int64_t> words() const { return node_.words(); }
  Shape input_shape(int i) const;
  DType input_dtype(int i) const {
    return static_cast<DType>(node_.edges()[static_cast<std::size_t>(i)].dtype);
  }
  bool input_transposed(int i) const {
    return node_.edges()[static_cast<std::size_t>(i)].transposed;
  }

 private:
  const SavedTensor* find(int slot);
  TapeNode& node_;
  std::span<Tensor> grads_;
  std::span<const char> wanted_;
  std::span<Tensor> results_;
};

/// Makes edge `i` of `node` lead to `input` if that is on the tape. Its shape is stored in the
/// node's words from `word` on when it differs from the output's (null: always); returns the words
/// used.
int connect(TapeNode& node, int i, const Tensor& input, const Shape* output_shape, int word);

/// Puts a composite operation with a hand-written VJP on the tape: `output` was made of `inputs`
/// without the tape. Inputs and saved tensors may be undefined. Saved tensors get slots 0, 1, ….
void record_composite(const Rule& rule, std::initializer_list<const Tensor*> inputs, Tensor& output,
                      std::initializer_list<const Tensor*> saved,
                      std::span<const std::int64_t> words = {});

/// The same for inputs that are not broadcast, at most kMostJoined: the VJP gives gradients of
/// their shapes.
void record_join(const Rule& rule, std::span<const Tensor> inputs, Tensor& output,
                 std::span<const std::int64_t> words);
inline constexpr std::size_t kMostJoined = 10'000;

/// Sums `g` over the dimensions along which `shape` was broadcast.
Tensor sum_to(const Tensor& g, const Shape& shape);

// -- the engine
struct BackwardRoot {
  Ref<TapeNode> node;
  std::uint32_t output;
  Tensor grad;
};
struct BackwardTarget {
  TapeNode* node;
  std::uint32_t output;
  Tensor grad;  ///< the result; undefined if the roots don't depend on it
};
/// Without targets: gathers gradients in the leaves. With: only fills in the targets' gradients.
void run_backward(std::span<BackwardRoot> roots, std::span<BackwardTarget> targets,
                  bool retain_graph, bool create_graph);

}  // namespace autograd
}  // namespace flash
