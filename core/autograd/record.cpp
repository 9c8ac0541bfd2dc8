// core/autograd/record.cpp -- putting operations on the tape, and what their rules see later
#include <bit>

#include "core/autograd/hooks.h"
#include "core/autograd/meta.h"
#include "core/autograd/rules.h"
#include "core/ops/reduce.h"

namespace flash::autograd {

bool tracks(const Tensor& t) { return tape_thread.enabled && history_of(t).node != nullptr; }

bool tracks_any(std::span<const Tensor* const> tensors) {
  if (!tape_thread.enabled) return false;
  for (const Tensor* t : tensors)
    if (history_of(*t).node) return true;
  return false;
}

namespace {

/// Words needed to remember the input's shape.
int shape_words(const Tensor& input, const Shape& output_shape) {
  if (!input.defined()) return 0;
  const Shape& s = input.shape();
  return s == output_shape ? 0 : s.rank();
}

void put_attrs(TapeNode& node, std::span<const std::int64_t> attrs) {
  std::int64_t* words = node.words().data();
  for (const std::int64_t a : attrs) *words++ = a;
}

}  // namespace

int connect(TapeNode& node, int i, const Tensor& input, const Shape* output_shape, int word) {
  const History h = history_of(input);
  if (!h.node) return 0;
  Edge& e = node.edges()[static_cast<std::size_t>(i)];
  e.node = Ref(h.node);
  e.output = h.output;
  e.dtype = static_cast<std::uint8_t>(input.dtype()) & 0x7f;
  const Shape& s = input.shape();
  if (output_shape && s == *output_shape) return 0;
  e.shape_at = static_cast<std::uint16_t>(word);
  e.rank = static_cast<std::uint8_t>(s.rank());
  for (int d = 0; d < s.rank(); ++d) node.words()[static_cast<std::size_t>(word + d)] = s[d];
  return s.rank();
}

void record(Prim op, std::span<const Tensor* const> inputs, Attrs attrs, Tensor& output) {
  if (!is_floating(output.dtype())) return;
  const PrimRule& r = rule_of(op);
  if (!r.rule.vjp)
    throw AutogradError(std::string(r.rule.name) +
                        ": has no gradient rule; detach() its operands or compute it in no_grad");
  const Shape& shape = output.shape();
  unsigned wanted = 0;
  int words = static_cast<int>(attrs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (history_of(*inputs[i]).node) {
      wanted |= 1u << i;
      words += shape_words(*inputs[i], shape);
    }
  int saved = (r.output_needed_by & wanted) ? 1 : 0;
  for (std::size_t j = 0; j < inputs.size() && j < r.needed_by.size(); ++j)
    saved += (r.needed_by[j] & wanted) ? 1 : 0;
  Ref<TapeNode> node = TapeNode::make(r.rule, static_cast<int>(inputs.size()), saved, words);
  put_attrs(*node, attrs);
  int word = static_cast<int>(attrs.size());
  // Other kernels compute a cheap operand where they need it.
  const bool is_leaf = info(op).kind == PrimKind::kLeaf;
  SavedTensor* s = node->saved().data();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& in = *inputs[i];
    if (wanted & (1u << i)) word += connect(*node, static_cast<int>(i), in, &shape, word);
    if (i < r.needed_by.size() && (r.needed_by[i] & wanted)) {
      if (is_leaf)
        s->set_or_make_again(in);
      else
        s->set(in);
      s->slot = static_cast<std::uint8_t>(i);
      ++s;
    }
    if (op == Prim::kMatmul && in.dim() >= 2) {
      const Strides& st = in.strides();
      node->edges()[i].transposed = st[st.rank() - 2] == 1 && st[st.rank() - 1] > 1;
    }
  }
  if (r.output_needed_by & wanted) {
    s->set_output(output, 0);
    s->slot = kOutputSlot;
  }
  set_history(*output.impl(), std::move(node), 0);
}

void record_composite(const Rule& rule, std::initializer_list<const Tensor*> inputs, Tensor& output,
                      std::initializer_list<const Tensor*> saved,
                      std::span<const std::int64_t> attrs) {
  const Shape& shape = output.shape();
  int words = static_cast<int>(attrs.size());
  for (const Tensor* t : inputs) words += shape_words(*t, shape);
  Ref<TapeNode> node =
      TapeNode::make(rule, static_cast<int>(inputs.size()), static_cast<int>(saved.size()), words);
  put_attrs(*node, attrs);
  int word = static_cast<int>(attrs.size()), i = 0;
  for (const Tensor* t : inputs) word += connect(*node, i++, *t, &shape, word);
  std::uint8_t slot = 0;
  for (const Tensor* t : saved) {
    SavedTensor& s = node->saved()[slot];
    if (t->is_same(output))
      s.set_output(output, 0);
    else
      s.set(*t);
    s.slot = slot++;
  }
  set_history(*output.impl(), std::move(node), 0);
}

void record_join(const Rule& rule, std::span<const Tensor> inputs, Tensor& output,
                 std::span<const std::int64_t> words) {
  Ref<TapeNode> node =
      TapeNode::make(rule, static_cast<int>(inputs.size()), 0, static_cast<int>(words.size()));
  put_attrs(*node, words);
  int i = 0;
  for (const Tensor& t : inputs) connect(*node, i++, t, &t.shape(), 0);
  set_history(*output.impl(), std::move(node), 0);
}

// -- what a rule sees

Tensor sum_to(const Tensor& g, const Shape& shape) {
  if (g.shape() == shape) return g;
  const int extra = g.dim() - shape.rank();
  Shape dims;
  for (int d = 0; d < g.dim(); ++d)
    if (d < extra || (shape[d - extra] == 1 && g.shape()[d] != 1)) dims.push_back(d);
  const Tensor s = dims.empty() ? g : sum(g, dims, /*keepdim=*/true);
  return s.shape() == shape ? s : s.reshape(shape);
}

void BackwardCall::give(int i, Tensor g) {
  const Edge& e = node_.edges()[static_cast<std::size_t>(i)];
  if (e.shape_at != Edge::kNoShape) g = sum_to(g, input_shape(i));
  results_[static_cast<std::size_t>(i)] = std::move(g);
}

const SavedTensor* BackwardCall::find(int slot) {
  for (const SavedTensor& s : node_.saved())
    if (s.slot == slot) return &s;
  throw InternalError(std::string(node_.name()) + ": its rule reads a tensor that was not saved");
}

Tensor BackwardCall::saved(int slot) { return find(slot)->unpack(node_.name(), &node_); }

bool BackwardCall::saved_scalar(int slot, double& value) {
  const SavedTensor* s = find(slot);
  if (s->kind != SavedTensor::Kind::kScalar || !is_floating(s->dtype)) return false;
  value = s->dtype == DType::kF64
              ? std::bit_cast<double>(s->bits)
              : static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(s->bits)));
  return true;
}

Shape BackwardCall::input_shape(int i) const {
  const Edge& e = node_.edges()[static_cast<std::size_t>(i)];
  if (e.shape_at == Edge::kNoShape) return grads_[0].shape();
  return Shape(node_.words().subspan(e.shape_at, e.rank));
}

}  // namespace flash::autograd
