// core/autograd/tape.cpp -- memory of tape nodes and what they save
#include "core/autograd/tape.h"

#include <mutex>
#include <new>

#include "core/autograd/meta.h"
#include "core/fork.h"
#include "core/mutants.h"
#include "core/pool.h"
#include "core/scope.h"
#include "core/thread_traces.h"

namespace flash {

void* AutogradMeta::operator new(std::size_t size) {
  return detail::Pool<AutogradMeta>::take(size);
}
void AutogradMeta::operator delete(void* p) { detail::Pool<AutogradMeta>::give(p); }

// -- saved tensors

namespace {

/// Guards what a node saved against a backward pass that frees it while another thread asks whether
/// its result can be made again.
std::mutex& again_mutex() {
  static std::mutex& mutex = hold_at_fork(ForkOrder::kLast, *new std::mutex);
  return mutex;
}

/// Layers that take rows see [batch, length, width] as [batch * length, width].
autograd::TapeNode* before_reshapes(autograd::TapeNode* node) {
  while (node && &node->rule() == &autograd::kReshapeRule) node = node->edges()[0].node.get();
  return node;
}

/// Of the value `t` that `maker` computed element by element: the operand, shown as `t` is.
/// Undefined if the operand cannot tell what `t` is, for example because that was changed in place.
Tensor operand_for(const Tensor& t, autograd::TapeNode& maker) {
  const Cell& cell = *t.impl()->cell;
  if (cell.version != 0 || cell.pinned || t.numel() != cell.shape.numel()) return {};
  Tensor x;
  {
    std::lock_guard lock(again_mutex());
    if (maker.freed()) return {};
    const SavedTensor& s = maker.saved()[0];
    if (s.kind != SavedTensor::Kind::kTensor || s.version != s.impl->cell->version) return {};
    if (s.impl->cell->pinned) return {};  // may be written without a sign
    x = Tensor::adopt(autograd::alias(*s.impl));
  }
  if (x.shape() == t.shape() && x.strides() == t.strides()) return x;
  if (!x.is_contiguous() || !t.is_contiguous()) return {};
  autograd::GradMode off(false);
  return x.view(t.shape());
}

}  // namespace

void SavedTensor::keep(const TensorImpl& t) {
  impl = autograd::alias(t);
  impl->soft = true;
  impl->cell->soft.fetch_add(1, std::memory_order_relaxed);
  version = impl->cell->version;
}

void SavedTensor::set(const Tensor& t) {
  reset();
  if (!t.defined()) return;
  Cell& cell = *t.impl()->cell;
  const autograd::History h = autograd::history_of(t);
  if (!h.node && t.dim() == 0) {
    // A constant is kept as its bits, so that it stays a parameter of kernels after a flush, too.
    Trace& trace = this_trace(cell.device);
    TraceLock lock(trace);
    if (cell.trace.load(std::memory_order_relaxed) == &trace) {
      const Node& n = trace.nodes[cell.pending];
      if (n.op == Prim::kScalar) {
        kind = Kind::kScalar;
        bits = trace.attrs(n)[0];
        dtype = cell.dtype;
        device = cell.device;
        return;
      }
    }
  }
  keep(*t.impl());
  kind = Kind::kTensor;
  node = Ref(h.node);
  output = h.output;
}

void SavedTensor::set_or_make_again(const Tensor& t) {
  const autograd::History h = autograd::history_of(t);
  autograd::TapeNode* maker = before_reshapes(h.node);
  const Tensor x = maker && maker->rule().again ? operand_for(t, *maker) : Tensor();
  if (!x.defined() || autograd::tape_thread.keeps_all) return set(t);
  reset();
  keep(*x.impl());
  kind = Kind::kAgain;
  node = Ref(h.node);
  output = h.output;
}

void SavedTensor::set_output(const Tensor& t, std::uint32_t i) {
  reset();
  keep(*t.impl());
  kind = Kind::kOutput;
  output = i;
}

void SavedTensor::make_output(std::uint32_t i) {
  kind = Kind::kOutput;
  node.reset();
  output = i;
}

void SavedTensor::reset() {
  if (kind != Kind::kNone && kind != Kind::kScalar) impl->release();
  kind = Kind::kNone;
  impl = nullptr;
  node.reset();
}

bool SavedTensor::refers_to(const Tensor& t) const {
  if (kind != Kind::kTensor || !t.defined()) return false;
  const TensorImpl& o = *t.impl();
  return impl->cell.get() == o.cell.get() && impl->offset == o.offset && impl->shape == o.shape &&
         impl->strides == o.strides;
}

Tensor SavedTensor::unpack(const char* op, autograd::TapeNode* self) const {
  if (kind == Kind::kNone) return {};
  if (kind == Kind::kScalar) return bind_source(Prim::kScalar, {}, dtype, device, {&bits, 1});
  if (impl->cell->version != version)
    throw AutogradError(
        std::string("backward: ") + op + " saved a tensor of shape " + impl->shape.str() +
        (kind == Kind::kAgain ? std::string(", to make the result of ") +
                                    before_reshapes(node.get())->name() + " again"
                              : "") +
        " for its gradient, but it was changed in place later "
        "(version " +
        std::to_string(impl->cell->version) + ", saved at version " + std::to_string(version) +
        "); clone() it before the change, or compute the "
        "change out of place");
  Tensor t = Tensor::adopt(autograd::alias(*impl));
  if (kind == Kind::kAgain) {
    autograd::TapeNode& maker = *before_reshapes(node.get());
    autograd::GradMode off(false);
    PassScope pass(Pass::kAgain);
    if (!mutant(Mutant::kSoftRecompute)) t = maker.rule().again(t, maker.words());
  }
  if (autograd::tape_thread.enabled) {
    if (kind == Kind::kOutput)
      autograd::set_history(*t.impl(), Ref(self), output);
    else if (node)
      autograd::set_history(*t.impl(), node, output);
  }
  return t;
}

namespace autograd {

constinit thread_local TapeThread tape_thread FLASH_HOT_TLS;

const Rule kLeafRule{.name = "leaf"};

// -- nodes

namespace {

// Blocks come in steps of 64 bytes, each size with a list of its own.
template <int kSize>
struct Block {};

template <template <int> class F, class... Args>
auto by_class(int size_class, Args... args) {
  switch (size_class) {
    case 1:
      return F<64>::call(args...);
    case 2:
      return F<128>::call(args...);
    case 3:
      return F<192>::call(args...);
    case 4:
      return F<256>::call(args...);
    case 5:
      return F<320>::call(args...);
    default:
      return F<384>::call(args...);
  }
}
constexpr std::size_t kClasses = 6;
template <int kSize>
struct Take {
  static void* call() { return detail::Pool<Block<kSize>>::take(kSize); }
};
template <int kSize>
struct Give {
  static void call(void* p) { detail::Pool<Block<kSize>>::give(p); }
};

}  // namespace

Ref<TapeNode> TapeNode::make(const Rule& rule, int inputs, int saved, int words, int outputs) {
  const auto n_in = static_cast<std::size_t>(inputs), n_saved = static_cast<std::size_t>(saved),
             n_words = static_cast<std::size_t>(words);
  constexpr std::size_t kMost = UINT16_MAX;
  if (n_in > kMost || n_saved > kMost || n_words > kMost ||
      static_cast<std::size_t>(outputs) > kMost)
    throw AutogradError(std::string(rule.name) + ": more than 65,535 inputs or outputs");
  const std::size_t bytes = sizeof(TapeNode) + n_in * sizeof(Edge) + n_saved * sizeof(SavedTensor) +
                            n_words * sizeof(std::int64_t);
  const std::size_t size_class = (bytes + 63) / 64;
  const bool pooled = size_class <= kClasses;
  void* p = pooled ? by_class<Take>(static_cast<int>(size_class)) : ::operator new(bytes);
  TapeNode* node = new (p) TapeNode;
  node->size_class_ = static_cast<std::uint8_t>(pooled ? size_class : 0);
  node->rule_ = &rule;
  node->n_inputs_ = static_cast<std::uint16_t>(inputs);
  node->n_saved_ = static_cast<std::uint16_t>(saved);
  node->n_words_ = static_cast<std::uint16_t>(words);
  node->n_outputs_ = static_cast<std::uint16_t>(outputs);
  node->sequence_ = ++tape_thread.sequence;
  for (std::size_t i = 0; i < n_in; ++i) new (node->edge_data() + i) Edge;
  for (std::size_t i = 0; i < n_saved; ++i) new (node->saved_data() + i) SavedTensor;
  return Ref<TapeNode>::adopt(node);
}

Ref<TapeNode> TapeNode::make_leaf() { return make(kLeafRule, 0, 0, 0); }

void TapeNode::destroy(TapeNode* node) {
  for (Edge& e : node->edges()) e.~Edge();
  for (SavedTensor& s : node->saved()) s.~SavedTensor();
  delete node->extra();
  const int size_class = node->size_class_;
  node->~TapeNode();
  if (size_class)
    by_class<Give>(size_class, static_cast<void*>(node));
  else
    ::operator delete(node);
}

void TapeNode::retire(TapeNode* node) {
  TapeThread& t = tape_thread;
  if (t.retiring) {
    node->next_ = t.retired;
    t.retired = node;
    return;
  }
  t.retiring = true;
  destroy(node);
  while (TapeNode* next = t.retired) {
    t.retired = next->next_;
    destroy(next);
  }
  t.retiring = false;
}

NodeExtra& TapeNode::need_extra() {
  if (!extra()) extra_.store(new NodeExtra, std::memory_order_release);
  return *extra();
}

NodeExtra::Kept* TapeNode::kept(std::uint32_t output) {
  if (NodeExtra* e = extra())
    for (NodeExtra::Kept& k : e->kept)
      if (k.output == output) return &k;
  return nullptr;
}

NodeExtra::Kept& TapeNode::need_kept(std::uint32_t output) {
  if (NodeExtra::Kept* k = kept(output)) return *k;
  return need_extra().kept.emplace_back(NodeExtra::Kept{output, {}});
}

void TapeNode::free_saved() {
  if (rule_->again) {
    std::lock_guard lock(again_mutex());
    freed_ = true;
  }
  for (SavedTensor& s : saved()) {
    if (s.kind == SavedTensor::Kind::kNone) continue;
    s.reset();
    freed_ = true;
  }
  if (NodeExtra* e = extra(); e && e->free_saved) {
    e->free_saved();
    e->free_saved = nullptr;
    freed_ = true;
  }
}

// -- what tensors know of the tape

TensorImpl* alias(const TensorImpl& t) {
  TensorImpl* a = TensorImpl::make_view(t, t.shape, t.strides, t.offset, t.view, t.dims);
  a->node.copy(t.node);
  return a;
}

AutogradMeta& meta_of(TensorImpl& t) {
  if (!t.grad) t.grad = {new AutogradMeta, [](AutogradMeta* m) { delete m; }};
  return *t.grad;
}

void set_history(TensorImpl& t, Ref<TapeNode> node, std::uint32_t output) {
  AutogradMeta& m = meta_of(t);
  m.node = std::move(node);
  m.output = output;
}

History any_history_of(const TensorImpl& t) {
  AutogradMeta* m = t.grad.get();
  if (!m) return {};
  if (t.cell->history_lost && m->node)
    throw AutogradError("a tensor of shape " + t.shape.str() +
                        " has the value from before a change in place that failed, but not the "
                        "history from before it; use detach(), or compute it again");
  if (m->owner) {
    const AutogradMeta* owner = m->owner->grad.get();
    if (owner && owner->generation != m->generation) refresh_view(t, *m);
  }
  return {m->node.get(), m->output};
}

}  // namespace autograd
}  // namespace flash
