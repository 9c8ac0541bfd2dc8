// core/serial.cpp -- traces to bytes and back
//
// Version 1, all numbers little-endian:
//   "FLASHTRC", u32 version
//   u32 count, then each scope:  u32 length, text
//   u32 count, then each node:   u16 op, u8 dtype, u8 rank, u8 inputs, u8 attributes, u24 scope,
//                                u8 pass, i64 sizes…, u32 inputs…, i64 attributes…
//   u32 count, then each output: u32 node
//   u32 count, then each value:  u32 node, u64 length, bytes
#include "core/serial.h"

#include <cstring>
#include <unordered_map>

#include "core/autograd/autograd.h"
#include "core/error.h"
#include "core/io/tensor_io.h"
#include "core/ops/bind.h"
#include "core/scope.h"
#include "core/tensor_impl.h"
#include "core/thread_traces.h"

namespace flash {
namespace {

constexpr std::string_view kMagic = "FLASHTRC";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kLongestScope = 4096;
constexpr int kPassShift = 24;
constexpr std::uint32_t kScopeMask = (1u << kPassShift) - 1;

class Writer {
 public:
  template <class T>
  void number(T v) {
    io::store_le(out, static_cast<std::uint64_t>(v), sizeof v);
  }
  template <class T>
  void count(const T& list) {
    number(static_cast<std::uint32_t>(list.size()));
  }
  void raw(io::ByteSpan bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }
  io::Bytes out;
};

/// Every read checks what is left first.
class Reader {
 public:
  Reader(io::ByteSpan bytes, std::string_view path) : bytes_(bytes), path_(path) {}

  template <class T>
  T number() {
    need(sizeof(T));
    const auto v = static_cast<T>(io::load_le(bytes_, at_, sizeof(T)));
    at_ += sizeof(T);
    return v;
  }
  /// A count of things that take at least `size` bytes each.
  std::uint32_t count(std::size_t size, const char* what) {
    const auto n = number<std::uint32_t>();
    if (n > (bytes_.size() - at_) / size)
      fail(std::to_string(n) + " " + what + " do not fit into what is left of the file");
    return n;
  }
  io::ByteSpan raw(std::uint64_t n) {
    need(n);
    const io::ByteSpan s = bytes_.subspan(at_, static_cast<std::size_t>(n));
    at_ += static_cast<std::size_t>(n);
    return s;
  }
  void end() const {
    if (at_ != bytes_.size()) fail("has bytes behind its end");
  }
  [[noreturn]] void fail(const std::string& what) const { io::fail(path_, what); }

 private:
  void need(std::uint64_t n) const {
    if (n > bytes_.size() - at_) fail("is truncated");
  }
  io::ByteSpan bytes_;
  std::string_view path_;
  std::size_t at_ = 0;
};

TraceProgram::Node read_node(Reader& r, std::size_t scopes) {
  TraceProgram::Node n;
  const auto op = r.number<std::uint16_t>();
  if (op >= static_cast<std::uint16_t>(Prim::kCount))
    r.fail("uses operation " + std::to_string(op) + ", which this version of Flash has not");
  n.op = static_cast<Prim>(op);
  const auto dtype = r.number<std::uint8_t>();
  if (dtype >= kNumDTypes)
    r.fail("uses dtype " + std::to_string(dtype) + ", which this version of Flash has not");
  n.dtype = static_cast<DType>(dtype);
  const auto rank = r.number<std::uint8_t>();
  if (rank > kMaxRank) r.fail("has a value of " + std::to_string(rank) + " dimensions; 8 is most");
  const auto inputs = r.number<std::uint8_t>(), attrs = r.number<std::uint8_t>();
  const auto marks = r.number<std::uint32_t>();
  n.scope = marks & kScopeMask;
  if (n.scope >= scopes) r.fail("names a scope that it has not");
  if (marks >> kPassShift > static_cast<std::uint32_t>(Pass::kAgain))
    r.fail("has a pass of training that this version of Flash has not");
  n.pass = static_cast<Pass>(marks >> kPassShift);
  for (int d = 0; d < rank; ++d) n.shape.push_back(r.number<std::int64_t>());
  for (int i = 0; i < inputs; ++i) n.in.push_back(r.number<std::uint32_t>());
  for (int a = 0; a < attrs; ++a) n.attrs.push_back(r.number<std::int64_t>());
  return n;
}

}  // namespace

TraceProgram recorded_program(Device device, bool with_data) {
  Trace& t = this_trace(device);
  TraceLock lock(t);
  TraceProgram p;
  std::unordered_map<std::uint16_t, std::uint32_t> scopes{{0, 0}};
  for (std::size_t i = 0; i < t.nodes.size(); ++i) {
    const Node& n = t.nodes[i];
    const auto in = t.in(n);
    const auto attrs = t.attrs(n);
    TraceProgram::Node& out = p.nodes.emplace_back();
    out.op = n.op;
    out.dtype = n.dtype;
    out.shape = Shape(t.shape(n));
    out.in.assign(in.begin(), in.end());
    out.attrs.assign(attrs.begin(), attrs.end());
    const auto [it, added] =
        scopes.try_emplace(n.scope, static_cast<std::uint32_t>(p.scopes.size()));
    if (added) p.scopes.emplace_back(scope_name(n.scope).substr(0, kLongestScope));
    out.scope = it->second;
    out.pass = n.pass;
    const auto id = static_cast<NodeId>(i);
    if (n.op != Prim::kInput) {
      if (n.owner) p.outputs.push_back(id);
    } else if (with_data) {
      HostArray a{n.dtype, out.shape, {}};
      a.bytes.resize(static_cast<std::size_t>(t.bytes(n)));
      if (!a.bytes.empty())
        n.buffer->device().to_host(a.bytes.data(), n.buffer->data(), a.bytes.size(), {});
      p.data.emplace(id, std::move(a));
    }
  }
  return p;
}

io::Bytes write_program(const TraceProgram& p) {
  verify_program(p);
  Writer w;
  w.raw(io::as_bytes(kMagic));
  w.number(kVersion);
  w.count(p.scopes);
  for (const std::string& s : p.scopes) {
    w.count(s);
    w.raw(io::as_bytes(s));
  }
  w.count(p.nodes);
  for (const TraceProgram::Node& n : p.nodes) {
    w.number(static_cast<std::uint16_t>(n.op));
    w.number(static_cast<std::uint8_t>(n.dtype));
    w.number(static_cast<std::uint8_t>(n.shape.rank()));
    w.number(static_cast<std::uint8_t>(n.in.size()));
    w.number(static_cast<std::uint8_t>(n.attrs.size()));
    w.number(n.scope | static_cast<std::uint32_t>(n.pass) << kPassShift);
    for (std::int64_t size : n.shape) w.number(size);
    for (NodeId u : n.in) w.number(u);
    for (std::int64_t a : n.attrs) w.number(a);
  }
  w.count(p.outputs);
  for (NodeId n : p.outputs) w.number(n);
  w.count(p.data);
  for (const auto& [n, array] : p.data) {
    w.number(n);
    w.number(static_cast<std::uint64_t>(array.bytes.size()));
    w.raw(array.bytes);
  }
  return std::move(w.out);
}

TraceProgram read_program(io::ByteSpan bytes, std::string_view path) {
  Reader r(bytes, path);
  const io::ByteSpan magic = r.raw(std::min(kMagic.size(), bytes.size()));
  if (magic.size() != kMagic.size() || std::memcmp(magic.data(), kMagic.data(), kMagic.size()) != 0)
    r.fail("is not a trace: it does not begin with " + std::string(kMagic));
  const auto version = r.number<std::uint32_t>();
  if (version == 0 || version > kVersion)
    r.fail("is of version " + std::to_string(version) + "; this Flash reads versions up to " +
           std::to_string(kVersion));
  TraceProgram p;
  p.scopes.clear();
  for (std::uint32_t i = r.count(4, "scopes"); i > 0; --i) {
    const auto n = r.number<std::uint32_t>();
    if (n > kLongestScope) r.fail("has a scope of " + std::to_string(n) + " bytes");
    const io::ByteSpan text = r.raw(n);
    p.scopes.emplace_back(reinterpret_cast<const char*>(text.data()), text.size());
  }
  for (std::uint32_t i = r.count(10, "nodes"); i > 0; --i)
    p.nodes.push_back(read_node(r, p.scopes.size()));
  for (std::uint32_t i = r.count(4, "outputs"); i > 0; --i)
    p.outputs.push_back(r.number<std::uint32_t>());
  for (std::uint32_t i = r.count(12, "values"); i > 0; --i) {
    const auto id = r.number<std::uint32_t>();
    const io::ByteSpan value = r.raw(r.number<std::uint64_t>());
    if (id >= p.nodes.size()) r.fail("has a value for a node that it has not");
    const TraceProgram::Node& n = p.nodes[id];
    if (!p.data.emplace(id, HostArray{n.dtype, n.shape, {value.begin(), value.end()}}).second)
      r.fail("has two values for node " + std::to_string(id));
  }
  r.end();
  try {
    verify_program(p);
  } catch (const ValueError& e) {
    r.fail(std::string("is not a trace that can run: ") + e.what());
  }
  return p;
}

std::vector<Tensor> replay(const TraceProgram& p, const std::vector<Tensor>& inputs,
                           Device device) {
  verify_program(p);
  NoGrad guard;
  std::vector<Tensor> value(p.nodes.size());
  std::size_t next = 0;
  for (std::size_t i = 0; i < p.nodes.size(); ++i) {
    const TraceProgram::Node& n = p.nodes[i];
    const Scope scope(p.scopes[n.scope]);
    const PassScope pass(n.pass);
    if (n.op == Prim::kInput) {
      if (const auto it = p.data.find(static_cast<NodeId>(i)); it != p.data.end()) {
        value[i] = from_host(it->second, device);
        continue;
      }
      if (next == inputs.size())
        throw ValueError("replay: " + std::to_string(inputs.size()) +
                         " inputs are given and the trace wants more");
      const Tensor& t = inputs[next++];
      if (!t.defined() || t.dtype() != n.dtype || !(t.shape() == n.shape) || t.device() != device)
        throw ValueError("replay: input " + std::to_string(next - 1) + " must be " +
                         std::string(name(n.dtype)) + " " + n.shape.str() + " on " + device.str());
      value[i] = t.impl()->whole ? t : t.clone();  // views of it start at its storage
      continue;
    }
    if (n.op == Prim::kView) {
      const Attrs a(n.attrs);
      value[i] = Tensor::adopt(
          TensorImpl::make_view(*value[n.in[0]].impl(), n.shape, Strides(a.subspan(3)), a[2],
                                static_cast<ViewKind>(a[0]), static_cast<std::uint64_t>(a[1])));
      continue;
    }
    std::vector<const Tensor*> in;
    for (NodeId u : n.in) in.push_back(&value[u]);
    value[i] = bind(n.op, in, n.attrs, &n.shape, n.dtype, device);
  }
  if (next != inputs.size())
    throw ValueError("replay: " + std::to_string(inputs.size()) +
                     " inputs are given and the trace " + "wants " + std::to_string(next));
  std::vector<Tensor> outputs;
  for (NodeId n : p.outputs) outputs.push_back(value[n]);
  return outputs;
}

}  // namespace flash
