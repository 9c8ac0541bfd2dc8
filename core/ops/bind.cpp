// core/ops/bind.cpp -- inference of shapes and dtypes, and the recording of one operation
#include "core/ops/bind.h"

#include <mutex>

#include "core/autograd/hooks.h"
#include "core/scope.h"
#include "core/tensor_impl.h"
#include "core/trace.h"

namespace flash {
namespace {

std::string op_name(Prim op) {
  const std::string_view scope = scope_name(current_scope());
  return scope.empty() ? std::string(info(op).name)
                       : std::string(info(op).name) + " (in " + std::string(scope) + ")";
}

const char* wanted(Takes t) {
  constexpr const char* kText[] = {
      "any dtype", "a number", "a floating dtype", "an integer dtype", "bool or an integer dtype",
      "bool"};
  return kText[static_cast<int>(t)];
}

[[noreturn]] void refuse_device(Prim op, const Tensor& a, const Tensor& b) {
  throw DeviceError(op_name(op) + ": operands are on " + a.device().str() + " and " +
                    b.device().str() + "; move one with to()");
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
  // The operand that the rule is about; conditions and indices have dtypes of their own.
  const bool mixed = op == Prim::kWhere || op == Prim::kGatherRows || op == Prim::kScatterAddRows;
  const Cell& first = *in[0]->impl()->cell;
  const DType ruled = op == Prim::kWhere ? in[1]->impl()->cell->dtype : first.dtype;
  if (!takes(p.takes, ruled)) refuse_dtype(op, ruled);
  for (std::size_t i = 1; i < in.size(); ++i) {
    const Cell& cell = *in[i]->impl()->cell;
    if (cell.device != first.device) refuse_device(op, *in[0], *in[i]);
    if (!mixed && cell.dtype != first.dtype) refuse_mixture(op, first.dtype, cell.dtype);
  }
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

Shape infer_shape(Prim op, std::span<const Tensor* const> in, Attrs attrs) {
  switch (info(op).kind) {
    case PrimKind::kMap: {
      Shape s = in[0]->impl()->shape;
      for (std::size_t i = 1; i < in.size(); ++i) {
        const Shape& t = in[i]->impl()->shape;
        if (!(t == s)) s = broadcast_shapes(s, t, op_name(op).c_str());
      }
      return s;
    }
    case PrimKind::kReduce:
      return reduced_shape(in[0]->shape(), attrs[0], attrs[1] != 0);
    case PrimKind::kUpdate:
      return in[0]->shape();
    default:
      throw InternalError(op_name(op) + ": bind needs the result's shape");
  }
}

Tensor record(Prim op, std::span<const Tensor* const> in, Attrs attrs, const Shape& shape,
              DType dtype, Device device) {
  Trace& trace = this_trace(device);
  // Values that are pending on another thread are computed there first, outside of our mutex.
  for (const Tensor* t : in) {
    Cell& cell = *t->impl()->cell;
    Trace* where = cell.trace.load(std::memory_order_acquire);
    if (where && where != &trace) materialize(cell, FlushReason::kThread);
    if (cell.poison) std::rethrow_exception(cell.poison);
  }
  TensorImpl* out = TensorImpl::make(device, dtype, shape);
  Tensor result = Tensor::adopt(out);
  TraceLock lock(trace);
  if (trace.over_limit(in)) trace.flush_prefix(trace.limit_reason());
  constexpr std::size_t kInline = 8;
  NodeId few[kInline];
  std::vector<NodeId> many;
  NodeId* ids = few;
  if (in.size() > kInline) {
    many.resize(in.size());
    ids = many.data();
  }
  for (std::size_t i = 0; i < in.size(); ++i) ids[i] = trace.node_of(*in[i]->impl());
  trace.assign(*out->cell, trace.append(op, dtype, shape, {ids, in.size()}, attrs));
  return result;
}

}  // namespace

bool takes(Takes t, DType d) {
  switch (t) {
    case Takes::kAny:
      return true;
    case Takes::kNumber:
      return d != DType::kBool;
    case Takes::kFloat:
      return is_floating(d);
    case Takes::kInteger:
      return is_integral(d) && d != DType::kBool;
    case Takes::kBits:
      return is_integral(d);
    case Takes::kBool:
      return d == DType::kBool;
  }
  return false;
}

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
  const Shape result = shape ? *shape : infer_shape(op, in, attrs);
  bytes_of(result, dtype, p.name.data());  // from here on bytes are counted without checks
  Tensor out = record(op, in, attrs, result, dtype, device);
  for (const Tensor* t : in)
    if (autograd::tracks(*t)) {
      autograd::record(op, in, attrs, out);
      break;
    }
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
  const DType da = a.dtype(), db = b.dtype();
  if (da == db) return da;
  // A 0-d tensor takes part by its category only, as a number does.
  if (a.dim() > 0 && b.dim() == 0) return category(da) >= category(db) ? da : promote(da, db);
  if (b.dim() > 0 && a.dim() == 0) return category(db) >= category(da) ? db : promote(da, db);
  return promote(da, db);
}

DType result_type(const Tensor& a, Scalar b) {
  const int want = static_cast<int>(b.kind);
  if (category(a.dtype()) >= want) return a.dtype();
  return want == 2 ? DType::kF32 : DType::kI64;
}

}  // namespace flash
