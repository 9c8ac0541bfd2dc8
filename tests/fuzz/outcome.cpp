// tests/fuzz/outcome.cpp -- what a random program leaves behind, and how two runs compare
#include <cmath>
#include <cstring>

#include "fuzz/machine.h"

namespace fuzz {

namespace {

/// Bits of an element as text, and whether it is a NaN.
struct Element {
  std::uint64_t bits = 0;
  bool nan = false;
  double value = 0;
};
Element element(const Outcome& o, std::int64_t i) {
  Element e;
  const auto size = static_cast<std::size_t>(size_of(o.dtype));
  std::memcpy(&e.bits, o.bytes.data() + static_cast<std::size_t>(i) * size, size);
  const auto narrow = [&](auto t) {
    std::memcpy(static_cast<void*>(&t), &e.bits, sizeof t);
    return t;
  };
  switch (o.dtype) {
    case DType::kF16:
      e.value = to_float(narrow(Half{}));
      break;
    case DType::kBF16:
      e.value = to_float(narrow(BFloat16{}));
      break;
    case DType::kF32:
      e.value = narrow(float{});
      break;
    case DType::kF64:
      e.value = narrow(double{});
      break;
    case DType::kI8:
      e.value = narrow(std::int8_t{});
      break;
    case DType::kI16:
      e.value = narrow(std::int16_t{});
      break;
    case DType::kI32:
      e.value = narrow(std::int32_t{});
      break;
    default:
      e.value = static_cast<double>(e.bits);
  }
  e.nan = std::isnan(e.value);
  return e;
}

Outcome value_of(int instr, const char* what, const Tensor& t) {
  return {instr, what, t.dtype(), t.shape(), bytes_of(t)};
}

/// Whether these f32 numbers are those that core/random.h defines.
bool is_stream(const std::vector<std::uint8_t>& bytes, const Generator::State& from) {
  for (std::size_t i = 0; i < bytes.size() / sizeof(float); ++i) {
    const float want = uniform_from_word(philox_element(from.seed, from.offset, i));
    if (std::memcmp(bytes.data() + i * sizeof want, &want, sizeof want) != 0) return false;
  }
  return true;
}

}  // namespace

bool dropped(const Program& p, int i) {
  return Random(p.seed * 8191 + static_cast<std::uint64_t>(i)).one_in(2);
}

std::vector<Outcome> run(const Program& p, const RunOptions& o) {
  eval_all();
  std::vector<Outcome> out;
  Machine m(p, o);
  for (int i = 0; i < static_cast<int>(p.code.size()); ++i)
    if (const std::string error = m.step(i); !error.empty())
      out.push_back({i, error, DType::kF32, {}, {}});
  for (int i = 0; o.drop && i < static_cast<int>(p.code.size()); ++i)
    if (dropped(p, i)) m.vars[static_cast<std::size_t>(i)] = Tensor();
  for (int i = 0; i < static_cast<int>(p.code.size()); ++i) {
    const Tensor& t = m.vars[static_cast<std::size_t>(i)];
    if (!t.defined()) continue;
    out.push_back(value_of(i, "value", t));
    if (t.requires_grad() && t.is_leaf() && t.grad().defined())
      out.push_back(value_of(i, "grad", t.grad()));
  }
  eval_all();
  for (const Machine::Draw& d : m.draws)
    if (!is_stream(bytes_of(d.drawn), d.from))
      out.push_back({d.instr, std::string(kBroken) + "rand() is not the stream", {}, {}, {}});
  for (const Machine::Blob& b : m.blobs)
    if (m.vars[static_cast<std::size_t>(b.instr)].defined())
      out.push_back({b.instr,
                     "blob",
                     b.dtype,
                     b.shape,
                     {b.bytes.get(), b.bytes.get() + b.shape.numel() * size_of(b.dtype)}});
  for (const Machine::Pin& pin : m.pins) {
    const Tensor& t = m.vars[static_cast<std::size_t>(pin.instr)];
    if (!t.defined()) continue;
    const std::vector<std::uint8_t> b = bytes_of(t);
    if (!b.empty() && std::memcmp(b.data(), pin.data, b.size()) != 0)
      out.push_back({pin.instr,
                     std::string(kBroken) + "a write did not land in what raw_data() gave out",
                     t.dtype(),
                     {},
                     {}});
  }
  return out;
}

std::string difference(const std::vector<Outcome>& a, const std::vector<Outcome>& b) {
  for (std::size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    if (i >= a.size() || i >= b.size() || a[i].instr != b[i].instr || a[i].what != b[i].what) {
      const auto show = [&](const std::vector<Outcome>& o) {
        return i < o.size() ? "v" + std::to_string(o[i].instr) + ": " + o[i].what
                            : std::string("nothing");
      };
      return "one run has '" + show(a) + "', the other '" + show(b) + "'";
    }
    const Outcome &x = a[i], &y = b[i];
    const std::string name_of = x.what + " v" + std::to_string(x.instr) + " ";
    if (x.dtype != y.dtype || !(x.shape == y.shape) || x.bytes.size() != y.bytes.size())
      return name_of + "has another dtype or shape: " + x.shape.str() + " and " + y.shape.str();
    if (x.bytes == y.bytes) continue;
    for (std::int64_t k = 0; k < x.shape.numel(); ++k) {
      const Element e = element(x, k), f = element(y, k);
      if (e.bits == f.bits || (e.nan && f.nan)) continue;
      std::ostringstream s;
      s.precision(17);
      s << name_of << name(x.dtype) << " " << x.shape.str() << " differs at " << k << ": "
        << e.value << " (0x" << std::hex << e.bits << ") and " << f.value << " (0x" << f.bits
        << ")";
      return s.str();
    }
  }
  return "";
}

}  // namespace fuzz
