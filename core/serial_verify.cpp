// core/serial_verify.cpp -- is this program one that could have been recorded?
//
// Kernels trust a trace's shapes, strides and attributes; those of a file are trusted only after
// this.
#include <algorithm>

#include "core/error.h"
#include "core/ops/bind.h"
#include "core/serial.h"
#include "core/tensor_impl.h"

namespace flash {
namespace {

using Node = TraceProgram::Node;

/// Sizes and parameters above are refused, so that no product below overflows.
constexpr std::int64_t kMostElements = std::int64_t{1} << 48;
constexpr std::int64_t kMostParameter = std::int64_t{1} << 31;
constexpr std::int64_t kMostPadding = 1 << 20;

class Verifier {
 public:
  explicit Verifier(const TraceProgram& p) : p_(p) {}

  void run() {
    if (p_.scopes.empty()) throw ValueError("there is no scope 0");
    for (at_ = 0; at_ < p_.nodes.size(); ++at_) node(p_.nodes[at_]);
    for (NodeId n : p_.outputs)
      if (n >= p_.nodes.size() || p_.nodes[n].op == Prim::kInput || p_.nodes[n].op == Prim::kView)
        throw ValueError("output " + std::to_string(n) + " is not a computed value");
    for (const auto& [n, array] : p_.data) {
      if (n >= p_.nodes.size() || p_.nodes[n].op != Prim::kInput)
        throw ValueError("there is a value for node " + std::to_string(n) + ", which is no input");
      const Node& node = p_.nodes[n];
      if (array.dtype != node.dtype || !(array.shape == node.shape) ||
          array.bytes.size() != static_cast<std::size_t>(node.shape.numel() * size_of(node.dtype)))
        throw ValueError("the value of input " + std::to_string(n) + " has " +
                         std::to_string(array.bytes.size()) + " bytes, which do not fill " +
                         std::string(name(node.dtype)) + " " + node.shape.str());
    }
  }

 private:
  void need(bool good, const char* what) const {
    if (good) return;
    throw ValueError("node " + std::to_string(at_) + ", " +
                     std::string(info(p_.nodes[at_].op).name) + ": " + what);
  }

  const Node& in(const Node& n, std::size_t i) const { return p_.nodes[n.in[i]]; }

  void node(const Node& n) {
    if (n.op >= Prim::kCount)
      throw ValueError("node " + std::to_string(at_) + ": there is no primitive " +
                       std::to_string(static_cast<int>(n.op)));
    const PrimInfo& p = info(n.op);
    need(n.scope < p_.scopes.size(), "its scope is not there");
    need(static_cast<int>(n.in.size()) >= p.min_inputs &&
             static_cast<int>(n.in.size()) <= p.max_inputs,
         "it has a wrong number of inputs");
    need(n.attrs.size() <= UINT8_MAX, "it has too many attributes");
    for (NodeId u : n.in) need(u < at_, "an input is not an earlier node");
    bounded(n.shape);
    switch (p.kind) {
      case PrimKind::kSource:
        return source(n);
      case PrimKind::kView:
        return view(n);
      case PrimKind::kMap:
        return map(n);
      case PrimKind::kReduce:
        return reduce(n);
      case PrimKind::kUpdate:
        return update(n);
      case PrimKind::kLeaf:
        return leaf(n);
    }
  }

  void bounded(const Shape& s) const {
    std::int64_t n = 1;
    for (std::int64_t d : s) {
      need(d >= 0 && d <= kMostElements, "a size is negative or too large");
      if (d == 0) continue;  // and still no product of some of the sizes overflows
      need(n <= kMostElements / d, "it has too many elements");
      n *= d;
    }
  }

  void count_attrs(const Node& n, std::size_t want) const {
    need(n.attrs.size() == want, "it has a wrong number of attributes");
  }
  void parameters(const Node& n, std::size_t want) const {
    count_attrs(n, want);
    for (std::int64_t a : n.attrs)
      need(a >= 0 && a <= kMostParameter, "an attribute is negative or too large");
  }

  void source(const Node& n) const {
    switch (n.op) {
      case Prim::kScalar:
        count_attrs(n, 1);
        return need(n.shape.empty(), "a scalar has no dimensions");
      case Prim::kIota:
        count_attrs(n, 3);
        return need(n.dtype == DType::kI64 && n.attrs[0] >= 0 && n.attrs[0] < n.shape.rank(),
                    "an iota counts along one of its dimensions, in i64");
      case Prim::kUniform:
        count_attrs(n, 2);
        return need(is_floating(n.dtype), "random numbers are of a floating dtype");
      default:
        return count_attrs(n, 0);
    }
  }

  /// The elements that (shape, strides, offset) reaches lie within `storage` elements.
  void within(std::span<const std::int64_t> shape, std::span<const std::int64_t> strides,
              std::int64_t offset, std::int64_t storage) const {
    need(offset >= 0 && offset <= storage, "it begins outside of its storage");
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) {
      // It reaches nothing; but whoever asks how far its dimensions go must not overflow.
      for (std::size_t d = 0; d < shape.size(); ++d) {
        const std::int64_t most = kMostElements / std::max<std::int64_t>(shape[d] - 1, 1);
        need(strides[d] >= -most && strides[d] <= most, "one of its strides is too large");
      }
      return;
    }
    std::int64_t low = offset, high = offset;
    for (std::size_t d = 0; d < shape.size(); ++d) {
      const std::int64_t stride = strides[d];
      need(stride >= -storage && stride <= storage, "it reaches outside of its storage");
      if (shape[d] == 1) continue;
      need(shape[d] - 1 <= storage || stride == 0, "it reaches outside of its storage");
      const std::int64_t most = stride == 0 ? 0 : storage / std::abs(stride);
      need(stride == 0 || shape[d] - 1 <= most, "it reaches outside of its storage");
      (stride < 0 ? low : high) += stride * (shape[d] - 1);
      need(low >= 0 && high < storage, "it reaches outside of its storage");
    }
    need(high < storage, "it reaches outside of its storage");
  }

  void view(const Node& n) const {
    const Node& base = in(n, 0);
    const int rank = n.shape.rank();
    count_attrs(n, 3 + static_cast<std::size_t>(rank));
    need(base.op != Prim::kView, "it is a view of a view");
    need(n.dtype == base.dtype, "its dtype is not that of its base");
    const std::span<const std::int64_t> strides = std::span(n.attrs).subspan(3);
    within(n.shape, strides, n.attrs[2], base.shape.numel());
    const Strides whole = contiguous_strides(base.shape);
    switch (static_cast<ViewKind>(n.attrs[0])) {
      case ViewKind::kDims: {
        const auto dims = static_cast<std::uint64_t>(n.attrs[1]);
        unsigned used = 0;
        need(n.attrs[2] == 0, "a view of whole dimensions begins at 0");
        for (int d = 0; d < rank; ++d) {
          const int from = dim_of(dims, d);
          const std::int64_t stride = strides[static_cast<std::size_t>(d)];
          if (from == static_cast<int>(kDimNone)) {
            need(n.shape[d] == 1 || stride == 0, "a new dimension of more than 1 has stride 0");
            continue;
          }
          need(from < base.shape.rank() && !(used >> from & 1) && n.shape[d] == base.shape[from],
               "it does not show its base's dimensions whole");
          need(n.shape[d] == 1 || stride == whole[from], "its strides are not its base's");
          used |= 1u << from;
        }
        for (int d = 0; d < base.shape.rank(); ++d)
          need((used >> d & 1) || base.shape[d] == 1,
               "it does not show its base's dimensions whole");
        return;
      }
      case ViewKind::kFlat:
        need(n.attrs[2] == 0 && n.shape.numel() == base.shape.numel(), "it hides elements");
        return need(is_contiguous(n.shape, Strides(strides)), "its strides are not row-major");
      case ViewKind::kStrided:
        return;
    }
    need(false, "it is of a kind that does not exist");
  }

  Shape broadcast(const Node& n) const {
    Shape s = in(n, 0).shape;
    try {
      for (std::size_t i = 1; i < n.in.size(); ++i)
        s = broadcast_shapes(s, in(n, i).shape, "trace");
    } catch (const ShapeError&) {
      need(false, "its inputs do not broadcast");
    }
    return s;
  }

  void map(const Node& n) const {
    const PrimInfo& p = info(n.op);
    count_attrs(n, static_cast<std::size_t>(p.static_attrs));
    const std::size_t ruled = n.op == Prim::kWhere ? 1 : 0;
    const DType d = in(n, ruled).dtype;
    need(takes(p.takes, d), "it does not take this dtype");
    for (std::size_t i = ruled; i < n.in.size(); ++i)
      need(in(n, i).dtype == d, "its inputs are of different dtypes");
    if (n.op == Prim::kWhere) need(in(n, 0).dtype == DType::kBool, "its condition is not bool");
    if (n.op == Prim::kCast) {
      need(n.attrs[0] == static_cast<std::int64_t>(n.dtype),
           "its dtype is not the one it casts to");
    } else {
      need(n.dtype == (p.dtype == DTypeRule::kBool ? DType::kBool : d), "its dtype is wrong");
    }
    const Shape s = broadcast(n);
    if (n.op != Prim::kExpand) return need(n.shape == s, "its shape is not that of its inputs");
    bool fits = s.rank() <= n.shape.rank();
    for (int i = 1; fits && i <= s.rank(); ++i) {
      const std::int64_t from = s[s.rank() - i];
      fits = from == 1 || from == n.shape[n.shape.rank() - i];
    }
    need(fits, "its input does not broadcast to its shape");
  }

  void reduce(const Node& n) const {
    count_attrs(n, 2);
    const Node& x = in(n, 0);
    need(takes(info(n.op).takes, x.dtype) && n.dtype == x.dtype, "its dtype is wrong");
    const std::int64_t mask = n.attrs[0];
    need(mask >= 0 && mask < std::int64_t{1} << x.shape.rank(),
         "it reduces dimensions that are not there");
    need(n.attrs[1] == 0 || n.attrs[1] == 1, "keepdim is 0 or 1");
    Shape s;
    for (int d = 0; d < x.shape.rank(); ++d) {
      if (!(mask >> d & 1))
        s.push_back(x.shape[d]);
      else if (n.attrs[1])
        s.push_back(1);
    }
    need(n.shape == s, "its shape does not follow from its input");
    std::int64_t terms = 1;
    for (int d = 0; d < x.shape.rank(); ++d)
      if (mask >> d & 1) terms *= x.shape[d];
    need(terms != 1, "it reduces a single term");  // never recorded; see core/ops/reduce.cpp
    need(terms > 0 || n.op == Prim::kSum || n.op == Prim::kProd,
         "there is no largest of no elements");
  }

  void update(const Node& n) const {
    const Node &base = in(n, 0), &value = in(n, 1);
    need(n.dtype == base.dtype && value.dtype == base.dtype, "its dtypes differ");
    need(base.op != Prim::kView && n.shape == base.shape,
         "its base is not a whole value of its shape");
    need(n.attrs.size() % 2 == 1 && n.attrs.size() / 2 <= kMaxRank, "its attributes are no view");
    const std::size_t rank = n.attrs.size() / 2;
    const auto strides = std::span(n.attrs).subspan(1, rank),
               shape = std::span(n.attrs).subspan(1 + rank);
    bounded(Shape(shape));
    within(shape, strides, n.attrs[0], n.shape.numel());
    need(!may_overlap(Shape(shape), Strides(strides)), "it writes elements more than once");
    bool fits = value.shape.rank() <= static_cast<int>(rank);
    for (int i = 1; fits && i <= value.shape.rank(); ++i) {
      const std::int64_t from = value.shape[value.shape.rank() - i];
      fits = from == 1 || from == shape[rank - static_cast<std::size_t>(i)];
    }
    need(fits, "its value does not broadcast to what it writes");
  }

  // -- leaf kernels -----------------------------------------------------------
  /// Windows of `k` elements, `dilation` apart, that fit into a padded length; −1 if none does.
  static std::int64_t windows(std::int64_t length, std::int64_t k, std::int64_t stride,
                              std::int64_t pad, std::int64_t dilation) {
    if (k < 1 || stride < 1 || dilation < 1) return -1;
    const std::int64_t room = length + 2 * pad - dilation * (k - 1) - 1;
    return room < 0 ? -1 : room / stride + 1;
  }

  void convolution(const Node& n, const Shape& x, const Shape& w, const Shape& y) const {
    const auto& a = n.attrs;
    need(x.rank() == 4 && w.rank() == 4 && y.rank() == 4, "convolutions have four dimensions");
    const std::int64_t groups = a[6];
    need(groups >= 1 && x[1] % groups == 0 && x[1] / groups == w[1] && w[0] % groups == 0,
         "its groups do not fit");
    need(w[2] <= kMostParameter && w[3] <= kMostParameter, "its filter is too large");
    // Padded planes are packed, so their size must be one that memory may have.
    need(a[2] <= kMostPadding && a[3] <= kMostPadding &&
             (x[2] + 2 * a[2]) <= kMostParameter / (x[3] + 2 * a[3] + 1),
         "its padding is too large");
    need(y[0] == x[0] && y[1] == w[0] && y[2] == windows(x[2], w[2], a[0], a[2], a[4]) &&
             y[3] == windows(x[3], w[3], a[1], a[3], a[5]),
         "its shapes do not fit");
  }

  void pool(const Node& n, const Shape& x, const Shape& y) const {
    const auto& a = n.attrs;
    need(x.rank() == 4 && y.rank() == 4, "pools have four dimensions");
    need(2 * a[4] <= a[0] && 2 * a[5] <= a[1] && a[6] <= 1,
         "its padding exceeds half of its window");
    need(y[0] == x[0] && y[1] == x[1] && y[2] == windows(x[2], a[0], a[2], a[4], 1) &&
             y[3] == windows(x[3], a[1], a[3], a[5], 1),
         "its shapes do not fit");
  }

  void matmul(const Node& n) const {
    const Shape &a = in(n, 0).shape, &b = in(n, 1).shape, &y = n.shape;
    need(a.rank() >= 2 && b.rank() >= 2 && y.rank() >= 2, "matrices have two dimensions");
    const auto matrix = [](const Shape& s, int d) { return s[s.rank() - 2 + d]; };
    need(matrix(a, 1) == matrix(b, 0) && matrix(y, 0) == matrix(a, 0) &&
             matrix(y, 1) == matrix(b, 1),
         "its matrices do not fit");
    const auto batch = [](const Shape& s) {
      return Shape(std::span<const std::int64_t>(s.data(), static_cast<std::size_t>(s.rank() - 2)));
    };
    Shape s;
    try {
      s = broadcast_shapes(batch(a), batch(b), "trace");
    } catch (const ShapeError&) {
      need(false, "its batches do not broadcast");
    }
    need(batch(y) == s, "its batches do not broadcast");
    if (n.in.size() == 3) need(in(n, 2).shape == Shape{matrix(y, 1)}, "its bias does not fit");
  }

  void leaf(const Node& n) const {
    const bool indexed = takes_index(n.op);
    need(takes(info(n.op).takes, n.dtype), "it does not take this dtype");
    for (std::size_t i = 0; i < n.in.size(); ++i) {
      const DType want = indexed && i == 1 ? DType::kI64 : n.dtype;
      need(in(n, i).dtype == want, "its inputs are of a wrong dtype");
    }
    const auto shape = [&](std::size_t i) -> const Shape& { return in(n, i).shape; };
    constexpr auto kConv = static_cast<std::size_t>(kConvAttrs);
    constexpr auto kPool = static_cast<std::size_t>(kPoolAttrs);
    switch (n.op) {
      case Prim::kMatmul:
        count_attrs(n, 0);
        return matmul(n);
      case Prim::kConv2d:
        parameters(n, kConv);
        convolution(n, shape(0), shape(1), n.shape);
        if (n.in.size() == 3) need(shape(2) == Shape{n.shape[1]}, "its bias does not fit");
        return;
      case Prim::kConv2dDx:
        parameters(n, kConv + 2);
        convolution(n, n.shape, shape(1), shape(0));
        return need(n.attrs[kConv] == n.shape[2] && n.attrs[kConv + 1] == n.shape[3],
                    "its attributes are not its size");
      case Prim::kConv2dDw:
        parameters(n, kConv + 2);
        convolution(n, shape(1), n.shape, shape(0));
        return need(n.attrs[kConv] == n.shape[2] && n.attrs[kConv + 1] == n.shape[3],
                    "its attributes are not its size");
      case Prim::kMaxPool2d:
      case Prim::kAvgPool2d:
        parameters(n, kPool);
        return pool(n, shape(0), n.shape);
      case Prim::kMaxPool2dDx:
        parameters(n, kPool);
        need(n.shape == shape(1), "its shape is not that of the pool's input");
        return pool(n, n.shape, shape(0));
      case Prim::kAvgPool2dDx:
        parameters(n, kPool + 2);
        pool(n, n.shape, shape(0));
        return need(n.attrs[kPool] == n.shape[2] && n.attrs[kPool + 1] == n.shape[3],
                    "its attributes are not its size");
      case Prim::kGatherRows: {
        count_attrs(n, 0);
        need(shape(0).rank() == 2 && shape(1).rank() < kMaxRank, "its table is no matrix");
        Shape s = shape(1);
        s.push_back(shape(0)[1]);
        return need(n.shape == s, "its shape does not follow from its inputs");
      }
      case Prim::kScatterAddRows: {
        parameters(n, 1);
        need(shape(1).rank() < kMaxRank && n.shape.rank() == 2, "its result is no matrix");
        Shape s = shape(1);
        s.push_back(n.shape[1]);
        return need(shape(0) == s && n.attrs[0] == n.shape[0], "its shapes do not fit");
      }
      default:
        return need(false, "it cannot be verified");
    }
  }

  const TraceProgram& p_;
  std::size_t at_ = 0;
};

}  // namespace

void verify_program(const TraceProgram& program) { Verifier(program).run(); }

}  // namespace flash
