// core/print.cpp -- tensors as text, exactly as PyTorch prints them
//
// The rules are those of torch/_tensor_str.py with its default options: 4 digits, at most 1000
// elements in full, 3 items at each edge of a summary, lines of 80 columns. The values are read
// where they lie: nothing is recorded, neither in the trace nor on the tape.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ostream>

#include "core/tensor.h"
#include "core/tensor_impl.h"
#include "core/thread_traces.h"

namespace flash {
namespace {

constexpr std::int64_t kThreshold = 1000;
constexpr std::int64_t kEdge = 3;
constexpr std::int64_t kLineWidth = 80;
constexpr int kDigits = 4;

/// The elements of a tensor in host memory, addressed as the tensor walks them.
class Elements {
 public:
  explicit Elements(const Tensor& t) : dtype_(t.dtype()), shape_(t.shape()), strides_(t.strides()) {
    const TensorImpl& i = *t.impl();
    held_ = buffer_of(*i.cell, FlushReason::kRead);
    const Buffer& b = *held_;
    const auto start = i.offset * size_of(dtype_);
    if (i.device().type() == DeviceType::kCpu) {
      data_ = static_cast<const char*>(b.data()) + start;
    } else {
      copy_.resize(b.bytes());
      b.device().to_host(copy_.data(), b.data(), copy_.size(), {});
      data_ = copy_.data() + start;
    }
  }

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::int64_t stride(int d) const { return strides_[d]; }

  double real(std::int64_t at) const {
    switch (dtype_) {
      case DType::kF16:
        return static_cast<double>(to_float(as<Half>(at)));
      case DType::kBF16:
        return static_cast<double>(to_float(as<BFloat16>(at)));
      case DType::kF32:
        return static_cast<double>(as<float>(at));
      default:
        return as<double>(at);
    }
  }
  std::int64_t integer(std::int64_t at) const {
    switch (dtype_) {
      case DType::kI8:
        return as<std::int8_t>(at);
      case DType::kI16:
        return as<std::int16_t>(at);
      case DType::kI32:
        return as<std::int32_t>(at);
      case DType::kI64:
        return as<std::int64_t>(at);
      default:
        return as<std::uint8_t>(at);
    }
  }

 private:
  template <class T>
  T as(std::int64_t at) const {
    T v;
    std::memcpy(&v, data_ + at * static_cast<std::int64_t>(sizeof v), sizeof v);
    return v;
  }

  DType dtype_;
  Shape shape_;
  Strides strides_;
  std::vector<char> copy_;
  Ref<Buffer> held_;
  const char* data_;
};

std::string text_of(double v, const char* format, int digits) {
  if (std::isnan(v)) return "nan";
  if (std::isinf(v)) return v < 0 ? "-inf" : "inf";
  char text[400];  // %.0f of the largest double has 309 digits
  const int n = std::snprintf(text, sizeof text, format, digits, v);
  return {text, static_cast<std::size_t>(n)};
}

/// One width and one notation for all elements that are shown (torch's _Formatter).
class Formatter {
 public:
  Formatter(const Elements& e, bool summarize) : e_(e), floating_(is_floating(e.dtype())) {
    std::vector<std::int64_t> shown;
    collect(summarize, shown);
    if (!floating_) {
      for (std::int64_t at : shown) widen(plain(at).size());
      return;
    }
    std::vector<double> finite;
    for (std::int64_t at : shown)
      if (const double v = e_.real(at); std::isfinite(v) && v != 0) finite.push_back(v);
    if (finite.empty()) return;
    double least = std::abs(finite[0]), most = least;
    for (double v : finite) {
      least = std::min(least, std::abs(v));
      most = std::max(most, std::abs(v));
      whole_ = whole_ && v == std::ceil(v);
    }
    scientific_ = most / least > 1000 || most > 1e8 || least < 1e-4;
    for (double v : finite) {
      if (scientific_)
        widen(text_of(v, "%.*e", kDigits).size());
      else
        widen(text_of(v, "%.*f", whole_ ? 0 : kDigits).size() + (whole_ ? 1 : 0));
    }
  }

  std::int64_t width() const { return static_cast<std::int64_t>(width_); }

  std::string operator()(std::int64_t at) const {
    std::string s;
    if (!floating_) {
      s = plain(at);
    } else {
      const double v = e_.real(at);
      if (scientific_) {
        s = text_of(v, "%.*e", kDigits);
      } else {
        s = text_of(v, "%.*f", whole_ ? 0 : kDigits);
        if (whole_ && std::isfinite(v)) s += '.';
      }
    }
    return s.size() < width_ ? std::string(width_ - s.size(), ' ') + s : s;
  }

 private:
  void widen(std::size_t n) { width_ = std::max(width_, n); }

  std::string plain(std::int64_t at) const {
    const std::int64_t v = e_.integer(at);
    if (e_.dtype() == DType::kBool) return v ? "True" : "False";
    return std::to_string(v);
  }

  /// Offsets of the elements that the text shows.
  void collect(bool summarize, std::vector<std::int64_t>& out) const {
    out.push_back(0);
    for (int d = 0; d < e_.shape().rank(); ++d) {
      const std::int64_t n = e_.shape()[d];
      std::vector<std::int64_t> next;
      for (std::int64_t at : out)
        for (std::int64_t i = 0; i < n; ++i) {
          if (summarize && n > 2 * kEdge && i == kEdge) i = n - kEdge;
          next.push_back(at + i * e_.stride(d));
        }
      out = std::move(next);
    }
  }

  const Elements& e_;
  const bool floating_;
  bool whole_ = true, scientific_ = false;
  std::size_t width_ = 1;
};

/// Rank is at most 8, so the recursion over dimensions is shallow.
void write(const Elements& e, const Formatter& format, bool summarize, int d, std::int64_t at,
           std::int64_t indent, std::string& out) {
  const int rank = e.shape().rank();
  if (d == rank) {
    out += format(at);
    return;
  }
  const std::int64_t n = e.shape()[d];
  const bool cut = summarize && n > 2 * kEdge;
  const bool last = d + 1 == rank;
  const std::string margin(static_cast<std::size_t>(indent + 1), ' ');
  const std::string newline = std::string(static_cast<std::size_t>(rank - d - 1), '\n') + margin;
  const std::int64_t per_line =
      std::max<std::int64_t>(1, (kLineWidth - indent) / (format.width() + 2));
  std::int64_t column = 0;
  const auto separate = [&] {
    if (column) out += last ? (column % per_line ? ", " : ",\n" + margin) : "," + newline;
    ++column;
  };
  out += '[';
  for (std::int64_t i = 0; i < n; ++i) {
    if (cut && i == kEdge) {
      separate();
      out += last ? " ..." : "...";
      i = n - kEdge;
    }
    separate();
    write(e, format, summarize, d + 1, at + i * e.stride(d), indent + 1, out);
  }
  out += ']';
}

/// What PyTorch calls an operation where our name for it, put into its style, is not that.
struct TorchName {
  std::string_view op, name;
};
constexpr TorchName kTorchNames[] = {
    {"avg_pool2d", "AvgPool2DBackward0"},
    {"batch_norm", "NativeBatchNormBackward0"},
    {"cast", "ToCopyBackward0"},
    {"conv2d", "ConvolutionBackward0"},
    {"copy", "CloneBackward0"},
    {"copy_", "CopyBackwards"},
    {"cross_entropy", "NllLossBackward0"},
    {"gather_rows", "EmbeddingBackward0"},
    {"layer_norm", "NativeLayerNormBackward0"},
    {"max_pool2d", "MaxPool2DWithIndicesBackward0"},
    {"reshape", "ViewBackward0"},
    {"to", "ToCopyBackward0"},
    {"write_view", "CopySlices"},
};

/// "leaky_relu" → "LeakyReluBackward0", and PyTorch's names where they differ.
std::string tape_name(const std::string& op, int rank) {
  for (const TorchName& n : kTorchNames)
    if (n.op == op) return std::string(n.name);
  if (op == "matmul") return rank == 2 ? "MmBackward0" : "BmmBackward0";
  if ((op == "sum" || op == "prod") && rank > 0)  // the overload with dimensions
    return op == "sum" ? "SumBackward1" : "ProdBackward1";
  std::string s;
  bool up = true;
  for (char c : op) {
    if (c == '_') {
      up = true;
      continue;
    }
    s += up ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    up = false;
  }
  return s + "Backward0";
}

std::string tuple(const Shape& shape) {
  std::string s = "(";
  for (int d = 0; d < shape.rank(); ++d) s += (d ? ", " : "") + std::to_string(shape[d]);
  return s + (shape.rank() == 1 ? ",)" : ")");
}

}  // namespace

std::string Tensor::str() const {
  if (!defined()) return "tensor(undefined)";
  constexpr std::string_view kPrefix = "tensor(";
  constexpr auto kIndent = static_cast<std::int64_t>(kPrefix.size());
  const Elements elements(*this);
  std::string s(kPrefix);
  std::vector<std::string> suffixes;
  if (device().type() != DeviceType::kCpu) suffixes.push_back("device='" + device().str() + "'");
  const std::string type = "dtype=torch." + std::string(info(dtype()).torch_name);
  if (numel() == 0) {
    s += "[]";
    if (dim() != 1) suffixes.push_back("size=" + tuple(shape()));
    if (dtype() != DType::kF32) suffixes.push_back(type);
  } else {
    const bool summarize = numel() > kThreshold;
    const Formatter format(elements, summarize);
    write(elements, format, summarize, 0, 0, kIndent, s);
    if (dtype() != DType::kF32 && dtype() != DType::kI64 && dtype() != DType::kBool)
      suffixes.push_back(type);
  }
  if (const std::string fn = grad_fn(); !fn.empty())
    suffixes.push_back("grad_fn=<" + tape_name(fn, dim()) + ">");
  else if (requires_grad())
    suffixes.emplace_back("requires_grad=True");

  const std::size_t newline = s.rfind('\n');
  // As PyTorch counts: one more than the last line's length, two when there is only that line.
  auto line = static_cast<std::int64_t>(newline == std::string::npos ? s.size() + 2
                                                                     : s.size() - newline + 1);
  for (const std::string& suffix : suffixes) {
    const auto n = static_cast<std::int64_t>(suffix.size());
    if (line + n + 2 > kLineWidth) {
      s += ",\n" + std::string(kPrefix.size(), ' ') + suffix;
      line = kIndent + n;
    } else {
      s += ", " + suffix;
      line += n + 2;
    }
  }
  return s + ")";
}

std::ostream& operator<<(std::ostream& os, const Tensor& t) { return os << t.str(); }
std::ostream& operator<<(std::ostream& os, const Shape& s) { return os << s.str(); }
std::ostream& operator<<(std::ostream& os, DType d) { return os << name(d); }

}  // namespace flash
