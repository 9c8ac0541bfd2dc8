// tests/fuzz/machine_views.cpp -- leaves and views of random programs
#include "fuzz/guard.h"
#include "fuzz/machine.h"

namespace fuzz {

Tensor Machine::execute_leaf(const Instr& c) {
  const Shape shape = leaf_shape(c);
  const std::uint64_t seed =
      p_.seed * 977 + static_cast<std::uint64_t>(at_) * 31 + static_cast<std::uint64_t>(o_.variant);
  const bool whole = pick(c.n[6], 3) == 0;
  constexpr DType kFloats[] = {DType::kF16, DType::kBF16, DType::kF32, DType::kF64};
  const DType real = is_floating(c.dtype) ? c.dtype : choose(kFloats, c.n[6] >> 8);
  const auto memory = [&](std::int64_t shift) {
    const std::vector<std::uint8_t> bytes = values(seed, shape, c.dtype, !p_.tame, whole);
    auto to = user_memory(bytes.size(), static_cast<std::size_t>(shift * size_of(c.dtype)));
    std::copy(bytes.begin(), bytes.end(), to.get());
    return to;
  };
  switch (c.op) {
    case Op::kData: {
      say("data(", seed, ", ", shape, ", ", c.dtype, ", ", !p_.tame, ", ", whole, ")");
      if (o_.shift < 0) return leaf(data(seed, shape, c.dtype, !p_.tame, whole), c);
      const auto bytes = memory(o_.shift);
      return leaf(from_blob(bytes.get(), shape, c.dtype, [bytes] {}), c);
    }
    case Op::kBlob: {
      say("blob(", seed, ", ", shape, ", ", c.dtype, ", ", !p_.tame, ", ", whole, ")");
      if (!o_.host) return leaf(data(seed, shape, c.dtype, !p_.tame, whole), c);
      const auto bytes = memory(std::max(o_.shift, 0));
      blobs.push_back({at_, bytes, c.dtype, shape});
      return from_blob(bytes.get(), shape, c.dtype, [bytes] {});
    }
    case Op::kFull:
      say("full(", shape, ", ", scalar(c), ", ", c.dtype, ")");
      return leaf(full(shape, scalar(c), c.dtype), c);
    case Op::kArange: {
      const std::int64_t n = p_.sizes[o_.variant][pick(c.n[1], 5)];
      const std::int64_t start = pick(c.n[2], 7) - 3, step = pick(c.n[3], 3) + 1;
      switch (pick(c.n[4], 4)) {
        case 0:
          say("linspace(", start, ", ", step, ", ", n, ", ", real, ")");
          return linspace(static_cast<double>(start), static_cast<double>(step), n, real);
        case 1: {
          const std::int64_t side = std::min<std::int64_t>(n, 16);
          say("eye(", side, ", ", c.dtype, ")");
          return eye(side, c.dtype);
        }
        default:
          say("arange(", start, ", ", start + n * step, ", ", step, ")");
          return arange(start, start + n * step, step);
      }
    }
    case Op::kRand: {
      say("rand(", shape, ", ", real, ")");
      const Generator::State from = default_generator().state();
      const Tensor t = rand(shape, real);
      const std::uint64_t blocks = default_generator().state().offset - from.offset;
      const auto per_block = real == DType::kF64 ? 2u : 4u;
      if (blocks * per_block < static_cast<std::uint64_t>(shape.numel()))
        broken = "a draw took fewer blocks of the stream than it has elements for";
      if (real == DType::kF32) draws.push_back({at_, t.clone(), from});
      return leaf(t, c);
    }
    case Op::kRandn:
      say("randn(", shape, ", ", real, ")");
      return leaf(randn(shape, real), c);
    default:
      say("randint(-3, 12, ", shape, ")");
      return randint(-3, 12, shape);
  }
}

Tensor Machine::execute_view(const Instr& c) {
  const Tensor& a = in(c, 0);
  const std::string A = v(c.in[0]);
  switch (c.op) {
    case Op::kPermute: {
      int order[kMaxRank];
      for (int i = 0; i < a.dim(); ++i) order[i] = i;
      for (int i = a.dim() - 1; i > 0; --i) std::swap(order[i], order[pick(c.n[i % 6], i + 1)]);
      std::string list;
      for (int i = 0; i < a.dim(); ++i) list += (i ? ", " : "") + std::to_string(order[i]);
      say(A, ".permute(std::initializer_list<int>{", list, "})");
      return a.permute(std::span<const int>(order, static_cast<std::size_t>(a.dim())));
    }
    case Op::kTranspose: {
      const int i = dim(a, c.n[0]), j = dim(a, c.n[1]);
      say(A, ".transpose(", i, ", ", j, ")");
      return a.transpose(i, j);
    }
    case Op::kReshape: {
      Shape s = a.shape();
      if (a.dim() == 0 || pick(c.n[0], 4) == 0) {
        s = Shape{-1};
        if (a.numel() == 0) s = Shape{0};
      } else if (pick(c.n[0], 4) == 1 && a.dim() > 1) {  // two dimensions become one
        const int d = static_cast<int>(pick(c.n[1], a.dim() - 1));
        s[d] *= s[d + 1];
        s.erase(d + 1);
      } else {  // one becomes two
        const int d = dim(a, c.n[1]);
        std::int64_t f = 1;
        for (std::int64_t k : {2, 3, 5, 7, 11, 17})
          if (s[d] % k == 0 && s[d] > 0) f = k;
        if (s.rank() >= 6) throw Skip{};
        s[d] /= f;
        s.insert(d + static_cast<int>(pick(c.n[2], 2)), f);
      }
      say(A, ".reshape(", s, ")");
      return a.reshape(s);
    }
    case Op::kSelect: {
      const int d = dim(a, c.n[0]);
      if (a.size(d) == 0) throw Skip{};
      const auto i = pick(c.n[1], a.size(d));
      say(A, ".select(", d, ", ", i, ")");
      return a.select(d, i);
    }
    case Op::kSlice: {
      const int d = dim(a, c.n[0]);
      const std::int64_t n = a.size(d), start = pick(c.n[1], n / 2 + 1),
                         step = pick(c.n[3], 5) < 3 ? 1 : pick(c.n[3], 3) + 1;
      const std::int64_t stop = pick(c.n[2], 4) == 0 ? INT64_MAX : n - pick(c.n[2], n / 3 + 1);
      say(A, ".slice(", d, ", ", start, ", ", stop, ", ", step, ")");
      return a.slice(d, start, stop, step);
    }
    case Op::kFlip: {
      const int d = dim(a, c.n[0]);
      say(A, ".flip(", d, ")");
      return a.flip(d);
    }
    case Op::kUnfold: {
      const int d = dim(a, c.n[0]);
      if (a.size(d) == 0 || a.dim() > 5) throw Skip{};
      const std::int64_t window = pick(c.n[1], std::min<std::int64_t>(a.size(d), 4)) + 1,
                         step = pick(c.n[2], 3) + 1;
      bounded(size(a.shape()) * static_cast<double>(window) / static_cast<double>(step));
      say(A, ".unfold(", d, ", ", window, ", ", step, ")");
      return a.unfold(d, window, step);
    }
    case Op::kStrided: {  // any index map over the first elements
      const std::int64_t n = std::min<std::int64_t>(a.numel(), 12);
      if (n < 6) throw Skip{};
      constexpr std::int64_t kStrides[][2] = {{1, 1}, {1, 3}, {2, 1}, {3, 1}, {0, 1}, {1, 2}};
      const auto& stride = choose(kStrides, c.n[0]);
      const Shape s{2, 2}, strides{stride[0], stride[1]};
      say(A, ".contiguous().as_strided(", s, ", ", strides, ", 1)");
      return a.contiguous().as_strided(s, strides, 1);
    }
    case Op::kSqueeze:
      say(A, ".squeeze()");
      return a.squeeze();
    case Op::kUnsqueeze: {
      if (a.dim() > 5) throw Skip{};
      const int d = static_cast<int>(pick(c.n[0], a.dim() + 1));
      say(A, ".unsqueeze(", d, ")");
      return a.unsqueeze(d);
    }
    case Op::kExpand: {
      Shape s = a.shape();
      bool grown = false;
      for (int d = 0; d < s.rank(); ++d)
        if (s[d] == 1 && !grown) {
          s[d] = p_.sizes[o_.variant][pick(c.n[0], 5)];
          grown = true;
        }
      if (!grown || pick(c.n[1], 3) == 0) {
        if (s.rank() > 4) throw Skip{};
        s.insert(0, p_.sizes[o_.variant][pick(c.n[2], 5)]);
      }
      bounded(size(s));
      say(A, ".expand(", s, ")");
      return a.expand(s);
    }
    case Op::kAlias:
      say(A);
      return a;
    default:
      say(A, ".detach()");
      return a.detach();
  }
}

}  // namespace fuzz
