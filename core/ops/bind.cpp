// core/ops/bind.cpp -- inference of shapes and dtypes, and the recording of one operation
#include "core/ops/bind.h"

#include <optional>

#include "core/autograd/hooks.h"
#include "core/ops/checks.h"
#include "core/scope.h"
#include "core/tensor_impl.h"
#include "core/thread_traces.h"

namespace flash {
namespace {

std::string op_name(Prim op) {
  const std::string_view scope = scope_name(current_marks().scope);
  return scope.empty() ? std::string(info(op).name)
                       : std::string(info(op).name) + " (in " + std::string(scope) + ")";
}

const char* wanted(Takes t) {
  constexpr const char* kText[] = {
      "any dtype", "a number", "a floating dtype", "an integer dtype", "bool or an integer dtype",
      "bool"};
  return kText[static_cast<int>(t)];
}

[[noreturn]] void refuse_dtype(Prim op, DType d) {
  throw DTypeError(op_name(op) + ": takes " + wanted(info(op).takes) + ", not " +
                   std::string(name(d)));
}
[[noreturn]] void refuse_mixture(Prim op, DType a, DType b) {
  throw DTypeError(op_name(op) + ": operands are " + std::string(name(a)) + " and " +
                   std::string(name(b)) + "; convert one with to()");
}

void check_operands(Prim op, std::span<const Tensor* const> in) {
  const PrimInfo& p = info(op);
  for (const Tensor* t : in)
    if (!t->defined()) throw ValueError(op_name(op) + ": an operand is an undefined tensor");
  const Cell& first = *in[0]->impl()->cell;
  bool mixed = false;
  for (std::size_t i = 1; i < in.size(); ++i) {
    const Cell& cell = *in[i]->impl()->cell;
    if (cell.device != first.device) refuse_devices(*in[0], *in[i], op_name(op));
    mixed |= cell.dtype != first.dtype;
  }
  // The operand that the rule is about; conditions and indices have dtypes of their own.
  const DType ruled = op == Prim::kWhere ? in[1]->impl()->cell->dtype : first.dtype;
  if (!takes(p.takes, ruled)) refuse_dtype(op, ruled);
  if (mixed && op != Prim::kWhere && !takes_index(op))
    for (const Tensor* t : in)
      if (t->dtype() != first.dtype) refuse_mixture(op, first.dtype, t->dtype());
}

Shape reduced_shape(const Shape& s, std::int64_t mask, bool keepdim) {
  Shape r;
  for (int i = 0; i < s.rank(); ++i) {
    if (!((mask >> i) & 1))
      r.push_back(s[i]);
    else if (keepdim)
      r.push_back(1);
  }
  return r;
}

/// The result's shape: most often an operand's, else it is put into `room`.
const Shape& infer_shape(Prim op, std::span<const Tensor* const> in, Attrs attrs, Shape& room) {
  const Shape* s = &in[0]->impl()->shape;
  switch (info(op).kind) {
    case PrimKind::kMap:
      for (std::size_t i = 1; i < in.size(); ++i) {
        const Shape& t = in[i]->impl()->shape;
        if (t == *s) continue;
        room = broadcast_shapes(*s, t, op_name(op).c_str());
        s = &room;
      }
      return *s;
    case PrimKind::kReduce:
      return room = reduced_shape(*s, attrs[0], attrs[1] != 0);
    case PrimKind::kUpdate:
      return *s;
    default:
      throw InternalError(op_name(op) + ": bind needs the result's shape");
  }
}

Tensor record(Prim op, std::span<const Tensor* const> in, Attrs attrs, const Shape& shape,
              DType dtype, Device device) {
  Trace& trace = this_trace(device);
  TensorImpl* out = TensorImpl::make(device, dtype, shape);
  Tensor result = Tensor::adopt(out);
  for (;;) {
    // Values that are pending on another thread are computed there first, outside of our mutex.
    for (const Tensor* t : in) {
      Cell& cell = *t->impl()->cell;
      Trace* where = cell.trace.load(std::memory_order_acquire);
      if (where == &trace) continue;
      if (where) materialize(cell, FlushReason::kThread);
      if (cell.poison) std::rethrow_exception(cell.poison);
    }
    TraceLock lock(trace);
    if (trace.over_limit(in)) trace.flush_prefix(trace.limit_reason());
    NodeId ids[kMaxInputs];
    std::size_t i = 0;
    for (; i < in.size(); ++i)
      if ((ids[i] = trace.node_of(*in[i]->impl())) == kNoNode) break;
    if (i < in.size()) continue;  // pending on another thread again
    trace.assign(*out->cell, trace.append(op, dtype, shape, {ids, in.size()}, attrs));
    return result;
  }
}

}  // namespace

Tensor bind(Prim op, std::span<const Tensor* const> in, Attrs attrs, const Shape* shape,
            DType dtype, Device device) {
  const PrimInfo& p = info(op);
  if (static_cast<int>(in.size()) < p.min_inputs || static_cast<int>(in.size()) > p.max_inputs)
    throw InternalError(op_name(op) + ": wrong number of operands");
  if (!in.empty()) {
    check_operands(op, in);
    device = in[0]->impl()->cell->device;
    if (p.dtype == DTypeRule::kSame) dtype = in[0]->impl()->cell->dtype;
    if (p.dtype == DTypeRule::kBool) dtype = DType::kBool;
    if (op == Prim::kCast) dtype = static_cast<DType>(attrs[0]);
    if (op == Prim::kWhere) {
      dtype = in[1]->dtype();
      if (in[0]->dtype() != DType::kBool)
        throw DTypeError("where: the condition must be bool, not " +
                         std::string(name(in[0]->dtype())));
      if (in[2]->dtype() != dtype)
        throw DTypeError("where: the choices are " + std::string(name(dtype)) + " and " +
                         std::string(name(in[2]->dtype())) + "; convert one with to()");
    }
  }
  if (shape) check_shape(*shape, p.name.data());
  Shape room;
  const Shape& result = shape ? *shape : infer_shape(op, in, attrs, room);
  bytes_of(result, dtype, p.name.data());  // from here on bytes are counted without checks
  Tensor out = record(op, in, attrs, result, dtype, device);
  if (autograd::tracks_any(in)) autograd::record(op, in, attrs, out);
  return out;
}

Tensor bind_source(Prim op, const Shape& shape, DType dtype, Device device, Attrs attrs) {
  return bind(op, {}, attrs, &shape, dtype, device);
}

Tensor as_dtype(const Tensor& t, DType dtype) {
  if (t.dtype() == dtype) return t;
  return bind(Prim::kCast, {&t}, {static_cast<std::int64_t>(dtype)});
}

namespace {
int category(DType d) { return d == DType::kBool ? 0 : is_integral(d) ? 1 : 2; }
}  // namespace

DType result_type(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() ? a.dtype() : result_type({&a, &b});
}

DType result_type(std::initializer_list<const Tensor*> tensors) {
  std::optional<DType> dimensioned, zero_dim;
  for (const Tensor* t : tensors) {
    std::optional<DType>& d = t->dim() > 0 ? dimensioned : zero_dim;
    d = d ? promote(*d, t->dtype()) : t->dtype();
  }
  // A 0-d tensor takes part by its category only, as a number does.
  if (!dimensioned) return *zero_dim;
  if (!zero_dim || category(*dimensioned) >= category(*zero_dim)) return *dimensioned;
  return promote(*dimensioned, *zero_dim);
}

DType result_type(const Tensor& a, Scalar b) {
  const int want = static_cast<int>(b.kind);
  if (category(a.dtype()) >= want) return a.dtype();
  return want == 2 ? DType::kF32 : DType::kI64;
}

}  // namespace flash
