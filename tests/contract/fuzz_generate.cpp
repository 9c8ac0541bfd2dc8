// tests/contract/fuzz_generate.cpp -- random programs out of a seed
#include <cmath>
#include <functional>
#include <limits>

#include "contract/fuzz_machine.h"

namespace fuzz {
namespace {

/// How often each operation is drawn.
struct Weight {
  Op op;
  int weight;
};
constexpr Weight kWeights[] = {
    {Op::kData, 5},         {Op::kBlob, 1},          {Op::kFull, 1},         {Op::kArange, 1},
    {Op::kRand, 1},         {Op::kRandn, 1},         {Op::kRandint, 1},      {Op::kUnary, 12},
    {Op::kBinary, 16},      {Op::kBinaryScalar, 6},  {Op::kScalarBinary, 2}, {Op::kWhere, 3},
    {Op::kCast, 4},         {Op::kFma, 1},           {Op::kClamp, 1},        {Op::kLerp, 1},
    {Op::kDropout, 1},      {Op::kPermute, 3},       {Op::kTranspose, 3},    {Op::kReshape, 5},
    {Op::kSelect, 2},       {Op::kSlice, 5},         {Op::kFlip, 3},         {Op::kUnfold, 2},
    {Op::kSqueeze, 1},      {Op::kUnsqueeze, 2},     {Op::kExpand, 3},       {Op::kAlias, 1},
    {Op::kDetach, 1},       {Op::kClone, 1},         {Op::kReduce, 10},      {Op::kArg, 2},
    {Op::kSoftmax, 2},      {Op::kLogSoftmax, 2},    {Op::kLogSumExp, 1},    {Op::kLayerNorm, 2},
    {Op::kCrossEntropy, 2}, {Op::kNll, 1},           {Op::kMse, 1},          {Op::kMatmul, 3},
    {Op::kLinear, 2},       {Op::kConv2d, 2},        {Op::kMaxPool, 1},      {Op::kAvgPool, 1},
    {Op::kEmbedding, 2},    {Op::kCat, 2},           {Op::kStack, 1},        {Op::kPad, 1},
    {Op::kOneHot, 1},       {Op::kFill, 1},          {Op::kCopyInto, 3},     {Op::kSelfCopy, 3},
    {Op::kInplace, 4},      {Op::kInplaceScalar, 3}, {Op::kDrop, 8},         {Op::kEval, 2},
    {Op::kRead, 1},         {Op::kPin, 1},           {Op::kBackward, 2},
};

DType draw_dtype(Random& r) {
  if (r.one_in(2)) return DType::kF32;
  return static_cast<DType>(r.below(kNumDTypes));
}

}  // namespace

Program generate(std::uint64_t seed) {
  Random r(seed ^ 0xF1A5);
  Program p;
  p.seed = seed;
  p.tame = !r.one_in(4);
  p.grads = r.one_in(3);
  const bool large = r.one_in(16);
  p.most = large ? 200000 : 6000;
  constexpr std::int64_t kSmall[] = {1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 31, 33};
  constexpr std::int64_t kMiddle[] = {40, 63, 64, 65, 70, 127, 128, 129, 257};
  constexpr std::int64_t kLarge[] = {1023, 1031, 4096, 4097, 5003};
  constexpr std::int64_t kHuge[] = {8192, 16385, 40009, 70001};
  for (int k = 1; k < 5; ++k)
    for (auto& sizes : p.sizes) {
      sizes[k] = choose(kSmall, r.below(1000));
      if (k == 2 || r.one_in(5)) sizes[k] = choose(kMiddle, r.below(1000));
      if (k == 3 && r.one_in(2)) sizes[k] = choose(kLarge, r.below(1000));
      if (k == 4 && r.one_in(12)) sizes[k] = 0;
      if (k == 3 && large) sizes[k] = choose(kHuge, r.below(1000));
    }
  // Sizes of one are part of a plan's key: only where both variants agree can plans be replayed.
  for (int k = 0; k < 5; ++k)
    if (k == 0 || (p.sizes[0][k] == 1) != (p.sizes[1][k] == 1))
      p.sizes[0][k] = p.sizes[1][k] = k == 0 ? 1 : 6;

  int total = 0;
  for (const Weight& w : kWeights) total += w.weight;
  const std::size_t length = static_cast<std::size_t>(large ? 6 + r.below(10) : 6 + r.below(40));
  Machine m(p, {.variant = 0, .flush_points = false});
  std::vector<int> alive;
  for (int tries = 0; p.code.size() < length && tries < 400; ++tries) {
    Instr c;
    auto w = static_cast<int>(r.below(total));
    for (const Weight& x : kWeights) {
      c.op = x.op;
      if ((w -= x.weight) < 0) break;
    }
    if (alive.size() < 2) c.op = Op::kData;
    const int at = static_cast<int>(p.code.size());
    for (int& in : c.in) {
      if (alive.empty()) break;
      const auto n = static_cast<std::int64_t>(alive.size());
      const auto back = r.one_in(2) ? r.below(std::min<std::int64_t>(n, 4)) : r.below(n);
      in = alive[static_cast<std::size_t>(n - 1 - back)];
    }
    // Operands that fit each other are rare by chance: look for one.
    if (!alive.empty() && c.in[1] >= 0) {
      const Shape want = m.vars[static_cast<std::size_t>(c.in[0])].shape();
      for (int& in : {std::ref(c.in[1]), std::ref(c.in[2])})
        for (int k = 0; k < 6; ++k) {
          const Tensor& t = m.vars[static_cast<std::size_t>(in)];
          bool fits = true;
          for (int d = 1; d <= std::min(t.dim(), want.rank()); ++d) {
            const std::int64_t x = t.size(-d), y = want[want.rank() - d];
            fits = fits && (x == y || x == 1 || y == 1);
          }
          if (fits) break;
          in = alive[static_cast<std::size_t>(r.below(static_cast<std::int64_t>(alive.size())))];
        }
    }
    c.dtype = draw_dtype(r);
    for (std::int64_t& n : c.n) n = static_cast<std::int64_t>(r.next() >> 8);
    constexpr double kScalars[] = {0, 1, -1, 2, 3, 0.5, -0.5, 2.5, -3.25, 0.1, 7, 100};
    c.x = choose(kScalars, r.below(1000));
    if (!p.tame && r.one_in(8))
      c.x = r.one_in(2) ? std::nan("") : -std::numeric_limits<double>::infinity();
    p.code.push_back(c);
    const std::string error = m.step(at);
    if (!error.empty() && !(error != "skipped" && r.one_in(6))) {
      p.code.pop_back();
      m.vars.resize(p.code.size());
      continue;
    }
    if (m.vars[static_cast<std::size_t>(at)].defined()) alive.push_back(at);
    if (c.op == Op::kDrop) std::erase(alive, c.in[0]);
  }
  // Gradients of what came last, twice, so that they add up.
  for (int k = 0; p.grads && k < 2; ++k)
    for (std::size_t i = alive.size(); i-- > 0;) {
      const Tensor& t = m.vars[static_cast<std::size_t>(alive[i])];
      if (!t.defined() || !is_floating(t.dtype()) || !t.requires_grad() || (k && i % 2)) continue;
      p.code.push_back({.op = Op::kBackward, .in = {alive[i], -1, -1}});
      break;
    }
  m.vars.clear();
  eval_all();
  return p;
}

}  // namespace fuzz
