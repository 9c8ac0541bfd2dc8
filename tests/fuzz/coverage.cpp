// tests/fuzz/coverage.cpp -- reads layouts off the nodes of evaluated traces, and prints the table
#include "fuzz/coverage.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>

#include "core/trace.h"

namespace fuzz {
namespace {

using namespace flash;

using Layouts = unsigned;  // bit l stands for Layout l
constexpr Layouts bit(Layout l) { return 1u << static_cast<int>(l); }

constexpr const char* kNames[kLayouts] = {"contiguous", "broadcast",   "transposed", "flipped",
                                          "strided",    "overlapping", "written"};

/// What an index map does. Dimensions of size 1 don't count.
Layouts layouts_of(std::span<const std::int64_t> shape, std::span<const std::int64_t> strides,
                   std::int64_t offset) {
  Layouts l = 0;
  std::vector<std::pair<std::int64_t, std::int64_t>> walked;  // |stride|, size
  std::int64_t before = INT64_MAX, next = 1;
  bool dense = offset == 0;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == 0) return bit(Layout::kContiguous);
    if (shape[d] == 1) continue;
    if (strides[d] == 0) {
      l |= bit(Layout::kBroadcast);
      continue;
    }
    if (strides[d] < 0) l |= bit(Layout::kFlipped);
    const std::int64_t s = std::abs(strides[d]);
    if (s > before) l |= bit(Layout::kTransposed);
    before = s;
    walked.emplace_back(s, shape[d]);
  }
  std::sort(walked.begin(), walked.end());
  std::int64_t reach = 0;
  for (const auto& [stride, size] : walked) {
    if (stride <= reach) l |= bit(Layout::kOverlapping);
    if (stride != next) dense = false;
    next = stride * size;
    reach += stride * (size - 1);
  }
  if (!dense && !(l & (bit(Layout::kOverlapping) | bit(Layout::kFlipped))))
    l |= bit(Layout::kStrided);
  return l ? l : bit(Layout::kContiguous);
}

Layouts layouts_of_view(const Trace& t, const Node& view) {
  const auto a = t.attrs(view);
  return layouts_of(t.shape(view), a.subspan(3), a[2]);
}

/// How `n` sees its operand `u`.
Layouts operand_layouts(const Trace& t, const Node& n, const Node& u) {
  Layouts l = u.op == Prim::kView     ? layouts_of_view(t, u)
              : u.op == Prim::kExpand ? bit(Layout::kBroadcast)
                                      : bit(Layout::kContiguous);
  if (info(n.op).kind == PrimKind::kMap && u.numel < n.numel) l |= bit(Layout::kBroadcast);
  return l;
}

class Counting final : public Evaluator {
 public:
  Counting(std::unique_ptr<Evaluator> inner, Coverage& to) : inner_(std::move(inner)), to_(to) {}
  std::string_view name() const override { return "counted"; }
  void evaluate(const EvaluationRequest& request, Progress& progress) override {
    to_.note(request);
    inner_->evaluate(request, progress);
  }
  void prepare_thread() override { inner_->prepare_thread(); }

 private:
  const std::unique_ptr<Evaluator> inner_;
  Coverage& to_;
};

}  // namespace

void Coverage::add(const Coverage& o) {
  for (std::size_t p = 0; p < kPrimCount; ++p)
    for (std::size_t d = 0; d < kDTypes; ++d)
      for (std::size_t l = 0; l < kLayouts; ++l) count[p][d][l] += o.count[p][d][l];
  nodes += o.nodes;
  replayed += o.replayed;
}

void Coverage::note(const EvaluationRequest& r) {
  const Trace& t = r.trace;
  std::vector<char> needed(r.count, 0);
  for (const LiveOut& l : r.live) needed[l.node] = 1;
  const auto cell = [&](const Node& n) -> std::uint32_t(&)[kLayouts] {
    // As in core/ops/bind.cpp: conditions and indices have dtypes of their own.
    const auto in = t.in(n);
    const DType d = in.empty() ? n.dtype : t.nodes[in[n.op == Prim::kWhere ? 1 : 0]].dtype;
    return count[static_cast<std::size_t>(n.op)][static_cast<std::size_t>(d)];
  };
  for (std::size_t i = r.count; i-- > 0;) {
    if (!needed[i]) continue;
    const Node& n = t.nodes[i];
    const auto in = t.in(n);
    for (const NodeId u : in) needed[u] = 1;
    if (n.op != Prim::kInput) ++nodes;
    Layouts l = 0;
    if (in.empty()) l = bit(Layout::kContiguous);
    if (n.op == Prim::kView) {
      l = layouts_of_view(t, n);
    } else if (n.op == Prim::kUpdate) {
      const auto a = t.attrs(n);
      const auto rank = (a.size() - 1) / 2;
      l = bit(Layout::kWritten) | layouts_of(a.subspan(1 + rank), a.subspan(1, rank), a[0]) |
          operand_layouts(t, n, t.nodes[in[1]]);
      // What is written may have been broadcast or converted on its way.
      NodeId value = in[1];
      while (true) {
        const Node& v = t.nodes[value];
        ++cell(v)[static_cast<std::size_t>(Layout::kWritten)];
        if (v.op != Prim::kView && v.op != Prim::kExpand && v.op != Prim::kCast) break;
        value = t.in(v)[0];
      }
    } else {
      for (const NodeId u : in) l |= operand_layouts(t, n, t.nodes[u]);
    }
    for (std::size_t k = 0; k < kLayouts; ++k)
      if (l >> k & 1) ++cell(n)[k];
  }
}

bool Coverage::reached(Prim p, DType d) const {
  const auto& cells = count[static_cast<std::size_t>(p)][static_cast<std::size_t>(d)];
  return std::any_of(std::begin(cells), std::end(cells), [](std::uint32_t n) { return n > 0; });
}
bool Coverage::reached(Prim p) const {
  for (std::size_t d = 0; d < kDTypes; ++d)
    if (reached(p, static_cast<DType>(d))) return true;
  return false;
}

const char* impossible(Prim p, DType d) {
  if (!takes(info(p).takes, d)) return "not taken by the primitive";
  if (p == Prim::kIota && d != DType::kI64) return "an index is i64";
  if (p == Prim::kUniform && size_of(d) == 2) return "half types draw as f32 and round";
  if (p == Prim::kDiv && !is_floating(d)) return "division is true: integers become f32 first";
  if ((p == Prim::kSum || p == Prim::kProd) && !is_floating(d) && d != DType::kI64)
    return "integers are added and multiplied up as i64";
  if (p == Prim::kGatherRows && !is_floating(d)) return "an embedding's rows are floating";
  return nullptr;
}

const char* impossible(Prim p, DType d, Layout l) {
  if (const char* why = impossible(p, d)) return why;
  if (l != Layout::kContiguous && l != Layout::kWritten && info(p).kind == PrimKind::kSource)
    return "a source has no operand";
  return nullptr;
}

std::string table_of(const Coverage& c) {
  std::string text = "primitive          ";
  for (const char* name : kNames) {
    char cell[24];
    std::snprintf(cell, sizeof cell, "%13s", name);
    text += cell;
  }
  text += "   (dtypes reached of those possible)\n";
  std::map<std::string, int> reasons;
  std::string missing;
  int possible = 0, reached = 0;
  for (std::size_t p = 0; p < kPrimCount; ++p) {
    const auto prim = static_cast<Prim>(p);
    std::string name(info(prim).name);
    text += name + std::string(name.size() < 19 ? 19 - name.size() : 1, ' ');
    for (std::size_t l = 0; l < kLayouts; ++l) {
      int some = 0, all = 0;
      std::string dtypes;
      for (std::size_t d = 0; d < kDTypes; ++d) {
        const auto dtype = static_cast<DType>(d);
        if (const char* why = impossible(prim, dtype, static_cast<Layout>(l))) {
          ++reasons[why];
          continue;
        }
        ++all;
        if (c.count[p][d][l])
          ++some;
        else
          dtypes += " " + std::string(flash::name(dtype));
      }
      possible += all;
      reached += some;
      char cell[24];
      if (all)
        std::snprintf(cell, sizeof cell, "%10d/%-2d", some, all);
      else
        std::snprintf(cell, sizeof cell, "%13s", "-");
      text += cell;
      if (!dtypes.empty()) missing += "  " + name + ", " + kNames[l] + ":" + dtypes + "\n";
    }
    text += "\n";
  }
  text += std::to_string(reached) + " of " + std::to_string(possible) + " cells reached\n";
  if (!missing.empty()) text += "not reached:\n" + missing;
  text += "impossible:";
  for (const auto& [why, count] : reasons) text += " " + std::to_string(count) + " (" + why + ")";
  return text + "\n";
}

std::unique_ptr<Evaluator> make_counting(std::unique_ptr<Evaluator> inner, Coverage& to) {
  return std::make_unique<Counting>(std::move(inner), to);
}

}  // namespace fuzz
