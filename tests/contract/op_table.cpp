// tests/contract/op_table.cpp -- lays operands out, runs rows under every evaluator, compares
#include "contract/op_table.h"

#include <cmath>

#include "fuzz/prelude.h"

namespace contract {

const char* name(Layout l) {
  constexpr const char* kNames[] = {"contiguous", "transposed",   "flipped",        "stepped",
                                    "offset",     "repeated row", "repeated column"};
  return kNames[static_cast<int>(l)];
}

namespace {

Shape reversed(const Shape& s) {
  Shape r;
  for (int d = s.rank() - 1; d >= 0; --d) r.push_back(s[d]);
  return r;
}

/// `a` inside of an array of `shape`, at a stride and an offset in each dimension.
Array embedded(const Array& a, const Shape& shape, std::int64_t offset, std::int64_t last_step) {
  Array base(a.dtype, shape);
  for (Wide& x : base.v) x = is_floating(a.dtype) ? kNaN : a.dtype == DType::kBool ? 1 : 77;
  each_index(a.shape, [&](const Shape& index, std::int64_t i) {
    Shape at = index;
    for (int d = 0; d < at.rank(); ++d)
      at[d] = offset + at[d] * (d == at.rank() - 1 ? last_step : 1);
    base[position(shape, at)] = a[i];
  });
  return base;
}

Tensor repeated(Array& a, int dim) {
  if (a.shape.empty() || a.numel() == 0) return upload(a);
  if (dim < 0) dim += a.shape.rank();
  Shape one = a.shape;
  one[dim] = 1;
  const Array base = gathered(a, one, [](const Shape& i) { return i; });
  a = broadcast(base, a.shape);
  return upload(base).expand(a.shape);
}

}  // namespace

Tensor laid_out(Array& a, Layout l) {
  const int rank = a.shape.rank();
  switch (l) {
    case Layout::kContiguous:
      return upload(a);
    case Layout::kTransposed: {
      std::vector<int> order;
      for (int d = rank - 1; d >= 0; --d) order.push_back(d);
      return upload(gathered(a, reversed(a.shape), reversed)).permute(order);
    }
    case Layout::kFlipped: {
      Tensor t = upload(gathered(a, a.shape, [&](const Shape& index) {
        Shape from = index;
        for (int d = 0; d < rank; ++d) from[d] = a.shape[d] - 1 - index[d];
        return from;
      }));
      for (int d = 0; d < rank; ++d) t = t.flip(d);
      return t;
    }
    case Layout::kStepped: {
      if (rank == 0) return upload(a);
      Shape wide = a.shape;
      wide[rank - 1] = 2 * wide[rank - 1] + 1;
      Array base = embedded(a, wide, 0, 2);
      // One to the right, so that the view has an offset as well.
      for (std::size_t i = base.v.size(); i-- > 1;) base.v[i] = base.v[i - 1];
      return upload(base).slice(-1, 1, wide[rank - 1], 2);
    }
    case Layout::kOffset: {
      if (rank == 0) {
        Array base(a.dtype, {3});
        base[1] = a[0];
        return upload(base).select(0, 1);
      }
      Shape wide = a.shape;
      for (int d = 0; d < rank; ++d) wide[d] += 3;
      Tensor t = upload(embedded(a, wide, 1, 1));
      for (int d = 0; d < rank; ++d) t = t.narrow(d, 1, a.shape[d]);
      return t;
    }
    case Layout::kRepeatedRow:
      return repeated(a, 0);
    case Layout::kRepeatedColumn:
      return repeated(a, -1);
  }
  return {};
}

Array ordinary(DType d, const Shape& s, std::uint64_t seed) {
  fuzz::Random r(seed + 17);
  Array a(d, s);
  for (Wide& x : a.v) {
    if (d == DType::kBool)
      x = r.below(2);
    else if (is_integral(d))
      x = static_cast<Wide>(r.below(15)) - (d == DType::kU8 ? 0 : 6);
    else
      x = rounded(r.one_in(4) ? static_cast<Wide>(r.below(9)) - 4 : (r.real() - 0.5) * 6, d);
  }
  return a;
}

Array between(DType d, const Shape& s, double low, double high, std::uint64_t seed) {
  fuzz::Random r(seed + 31);
  Array a(d, s);
  for (Wide& x : a.v) {
    x = low + (high - low) * r.real();
    x = is_floating(d) ? rounded(x, d) : d == DType::kBool ? x != 0 : std::floor(x);
  }
  return a;
}

Array special(DType d) {
  std::vector<Wide> v;
  if (d == DType::kBool) {
    v = {0, 1};
  } else if (is_integral(d)) {
    for (const int k : {0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 31, 32, 33, 63, 64, 65, 100})
      v.insert(v.end(), {static_cast<Wide>(k), static_cast<Wide>(-k)});
    for (const int k : {0, 1, 2})
      v.insert(v.end(), {least_int(d) + k, most_int(d) - k, std::trunc(most_int(d) / 2) + k});
    std::erase_if(v, [&](Wide x) { return x < least_int(d); });
  } else {
    const Format& f = format(d);
    for (const Wide x : {0.0L,      0.25L,       0.5L,        1.0L,
                         1.5L,      2.0L,        2.5L,        3.0L,
                         7.0L,      10.0L,       88.0L,       1000.0L,
                         60000.0L,  f.max,       f.max / 2,   std::ldexp(1.0L, f.least),
                         tiny(d),   3 * tiny(d), 1 - unit(d), 1 + 2 * unit(d),
                         Wide{kInf}})
      v.insert(v.end(), {rounded(x, d), rounded(-x, d)});
    v.push_back(kNaN);
  }
  Array a(d, {static_cast<std::int64_t>(v.size())});
  a.v = v;
  return a;
}

std::vector<Call> layouts_of(const std::function<Array(DType, const Shape&, std::uint64_t)>& make,
                             DType d, const std::vector<Shape>& plain, const Shape& strided) {
  std::vector<Call> calls;
  for (const Shape& s : plain) calls.push_back({{make(d, s, calls.size())}, {Layout::kContiguous}});
  for (const Layout l : kStrided) calls.push_back({{make(d, strided, calls.size())}, {l}});
  return calls;
}

std::string difference(const Array& got, const Expected& want, const Bound& bound) {
  const DType d = want.value.dtype;
  if (got.dtype != d)
    return "the dtype is " + std::string(flash::name(got.dtype)) + ", expected is " +
           std::string(flash::name(d));
  if (!(got.shape == want.value.shape))
    return "the shape is " + got.shape.str() + ", expected is " + want.value.shape.str();
  for (std::int64_t i = 0; i < got.numel(); ++i) {
    const Wide g = got[i], w = want.value[i];
    const Wide slack = want.slack.empty() ? 0 : want.slack[static_cast<std::size_t>(i)];
    const auto wrong = [&](const std::string& why) {
      return "element " + std::to_string(i) + " of " + got.shape.str() + " is " + text(g) +
             ", expected is " + text(w) + " " + why;
    };
    if (is_integral(d)) {
      if (!std::isnan(w) && g != w) return wrong("");
      continue;
    }
    if (std::isinf(slack)) continue;
    if (std::isnan(w) || std::isnan(g)) {
      if (std::isnan(w) != std::isnan(g)) return wrong("");
      continue;
    }
    // The reference itself is rounded to 64 digits: 2^-10 units of f64 are left for that.
    Wide allowed = slack + (static_cast<Wide>(d == DType::kF64 ? bound.f64 : bound.f32) + 0x1p-10) *
                               ulp(w, compute(d));
    if (is_half(d)) allowed += ulp(w, d) / 2;
    const Wide edge = format(d).max + ulp(format(d).max, d) / 2;  // from here on it is infinite
    bool fits;
    if (std::isinf(g))
      fits = std::signbit(g) == std::signbit(w) && std::fabs(w) + allowed >= edge;
    else
      fits = std::isfinite(w) && std::fabs(g - w) <= allowed;
    if (!fits) return wrong("within " + text(allowed));
    if (bound.zero_sign && slack == 0 && w == 0 && std::signbit(w) != std::signbit(g))
      return wrong("(the sign of zero)");
  }
  return "";
}

namespace {

std::string describe(const Row& row, DType d, const Call& call) {
  std::string s = row.name + (row.variant.empty() ? "" : " (" + row.variant + ")") + " for " +
                  std::string(flash::name(d)) + " on ";
  for (std::size_t k = 0; k < call.in.size(); ++k)
    s += (k ? ", " : "") + std::string(flash::name(call.in[k].dtype)) + " " +
         call.in[k].shape.str() + " " + name(call.layout[k]);
  return s;
}

std::string operands_at(const Call& call, const Array& got, const std::string& wrong) {
  // Where operands have the result's shape or broadcast to it, say which values gave the element.
  if (wrong.rfind("element ", 0) != 0) return "";
  const std::int64_t at = std::stoll(wrong.substr(8));
  std::string s;
  for (const Array& a : call.in) {
    if (!(broadcast(a.shape, got.shape) == got.shape) || a.numel() == 0) return "";
    s += (s.empty() ? "; operands " : ", ") + text(broadcast(a, got.shape)[at]);
  }
  return s;
}

}  // namespace

std::string check(const Row& row, DType d, std::int64_t& elements) {
  std::vector<Call> calls = row.calls(d);
  std::vector<Expected> expected;
  std::vector<Array> first;
  for (const char* evaluator : kEvaluators) {
    use_evaluator(evaluator);
    std::vector<Tensor> results;
    try {
      for (Call& call : calls) {
        std::vector<Tensor> in;
        for (std::size_t k = 0; k < call.in.size(); ++k)
          in.push_back(laid_out(call.in[k], call.layout[k]));
        results.push_back(row.op(in, d));
      }
    } catch (const Error& e) {
      return describe(row, d, calls[results.size()]) + ", " + evaluator + ": threw " + e.what();
    }
    for (std::size_t i = 0; i < calls.size(); ++i) {
      const auto where = [&] { return describe(row, d, calls[i]) + ", " + evaluator + ": "; };
      Array got;
      try {
        got = read(results[i]);
      } catch (const Error& e) {
        return where() + "threw " + e.what();
      }
      if (first.size() == i) {  // the first evaluator
        expected.push_back(row.reference(calls[i].in, d));
        first.push_back(got);
        elements += got.numel();
        const std::string wrong = difference(got, expected[i], row.bound);
        if (!wrong.empty()) return where() + wrong + operands_at(calls[i], got, wrong);
        continue;
      }
      if (got.dtype != first[i].dtype || !(got.shape == first[i].shape))
        return where() + "another dtype or shape than interpreted";
      for (std::int64_t k = 0; k < got.numel(); ++k)
        if (!same(got[k], first[i][k]))
          return where() + "element " + std::to_string(k) + " is " + text(got[k]) +
                 ", interpreted it is " + text(first[i][k]);
    }
  }
  return "";
}

std::string check_refused(const Row& row, DType d) {
  std::vector<Call> calls = row.calls(d);
  for (Call& call : calls) {
    std::vector<Tensor> in;
    for (std::size_t k = 0; k < call.in.size(); ++k)
      in.push_back(laid_out(call.in[k], call.layout[k]));
    try {
      const Tensor t = row.op(in, d);
      return describe(row, d, call) + ": must throw a DTypeError, but gives " +
             std::string(flash::name(t.dtype()));
    } catch (const DTypeError&) {
    } catch (const Error& e) {
      return describe(row, d, call) + ": must throw a DTypeError, but throws " + e.what();
    }
  }
  return "";
}

std::vector<Row> all_rows() {
  std::vector<Row> all;
  for (const auto group :
       {unary_rows, binary_rows, ternary_rows, reduction_rows, view_rows, inplace_rows, join_rows,
        creation_rows, contraction_rows, pool_rows, loss_rows})
    for (Row& row : group()) all.push_back(std::move(row));
  return all;
}

}  // namespace contract
