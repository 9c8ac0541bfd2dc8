// tests/fuzz/generate.cpp -- random programs out of a seed
#include <cmath>
#include <functional>
#include <limits>

#include "fuzz/machine.h"

namespace fuzz {
namespace {

/// How often each operation is drawn.
struct Weight {
  Op op;
  int weight;
};
constexpr Weight kWeights[] = {
    {Op::kData, 5},      {Op::kBlob, 1},          {Op::kFull, 1},         {Op::kArange, 1},
    {Op::kRand, 2},      {Op::kRandn, 1},         {Op::kRandint, 1},      {Op::kUnary, 14},
    {Op::kBinary, 18},   {Op::kBinaryScalar, 6},  {Op::kScalarBinary, 2}, {Op::kWhere, 3},
    {Op::kCast, 5},      {Op::kFma, 2},           {Op::kClamp, 1},        {Op::kLerp, 1},
    {Op::kDropout, 1},   {Op::kPermute, 3},       {Op::kTranspose, 3},    {Op::kReshape, 4},
    {Op::kSelect, 2},    {Op::kSlice, 5},         {Op::kFlip, 3},         {Op::kUnfold, 3},
    {Op::kStrided, 1},   {Op::kSqueeze, 1},       {Op::kUnsqueeze, 2},    {Op::kExpand, 4},
    {Op::kAlias, 1},     {Op::kDetach, 1},        {Op::kClone, 1},        {Op::kReduce, 10},
    {Op::kArg, 1},       {Op::kSoftmax, 1},       {Op::kLogSoftmax, 1},   {Op::kLogSumExp, 1},
    {Op::kLayerNorm, 1}, {Op::kBatchNorm, 1},     {Op::kCrossEntropy, 1}, {Op::kNll, 1},
    {Op::kMse, 1},       {Op::kMatmul, 4},        {Op::kLinear, 2},       {Op::kConv2d, 3},
    {Op::kMaxPool, 2},   {Op::kAvgPool, 2},       {Op::kEmbedding, 3},    {Op::kCat, 2},
    {Op::kStack, 1},     {Op::kChunk, 2},         {Op::kPad, 1},          {Op::kOneHot, 1},
    {Op::kWritten, 6},   {Op::kFill, 1},          {Op::kCopyInto, 3},     {Op::kSelfCopy, 3},
    {Op::kInplace, 4},   {Op::kInplaceScalar, 3}, {Op::kGrad, 3},         {Op::kBackward, 1},
    {Op::kDrop, 8},      {Op::kEval, 2},          {Op::kRead, 1},         {Op::kPin, 1},
};

constexpr std::int64_t kSmall[] = {1, 2, 3, 4, 5, 7, 8, 13, 16, 17};
constexpr std::int64_t kMiddle[] = {31, 33, 40, 63, 64, 65, 70, 127, 128, 129, 257};
constexpr std::int64_t kLarge[] = {1023, 1031, 4096, 4097, 5003, 9001};
constexpr std::int64_t kHuge[] = {16385, 40009, 70001};

/// How large a program's values are: most are small, so that many programs run; some pass every
/// block, tile and split.
enum class Scale : std::uint8_t { kSmall, kMiddle, kLarge, kHuge };
Scale draw_scale(Random& r) {
  const std::int64_t x = r.below(100);
  return x < 76 ? Scale::kSmall : x < 94 ? Scale::kMiddle : x < 99 ? Scale::kLarge : Scale::kHuge;
}

void draw_sizes(Program& p, Scale scale, Random& r) {
  constexpr std::int64_t kMost[] = {400, 3000, 12000, 150000};
  p.most = kMost[static_cast<int>(scale)];
  for (int k = 1; k < 5; ++k)
    for (auto& sizes : p.sizes) {
      sizes[k] = choose(kSmall, r.below(1000));
      if (scale >= Scale::kMiddle && (k == 2 || r.one_in(5)))
        sizes[k] = choose(kMiddle, r.below(1000));
      if (scale == Scale::kSmall && k == 2 && r.one_in(3))
        sizes[k] = choose(kMiddle, r.below(1000));
      if (scale >= Scale::kLarge && k == 3) sizes[k] = choose(kLarge, r.below(1000));
      if (scale == Scale::kHuge && k == 4) sizes[k] = choose(kHuge, r.below(1000));
      if (scale < Scale::kHuge && k == 4 && r.one_in(12)) sizes[k] = 0;
    }
  // Sizes of one are part of a plan's key: only where both variants agree can plans be replayed.
  for (int k = 0; k < 5; ++k)
    if (k == 0 || (p.sizes[0][k] == 1) != (p.sizes[1][k] == 1))
      p.sizes[0][k] = p.sizes[1][k] = k == 0 ? 1 : 6;
}

}  // namespace

Program generate(std::uint64_t seed) {
  set_default_device({});  // another device's program may have run before
  Random r(seed ^ 0xF1A5);
  Program p;
  p.seed = seed;
  p.tame = !r.one_in(4);
  p.grads = r.one_in(3);
  const Scale scale = draw_scale(r);
  draw_sizes(p, scale, r);
  // Values of one dtype meet without being converted.
  const auto favourite = static_cast<DType>(p.grads ? static_cast<int>(DType::kF16) + r.below(4)
                                                    : r.below(kNumDTypes));

  int total = 0;
  for (const Weight& w : kWeights) total += w.weight;
  const auto length = static_cast<std::size_t>(scale == Scale::kHuge    ? 6 + r.below(8)
                                               : scale == Scale::kLarge ? 8 + r.below(12)
                                                                        : 8 + r.below(16));
  Machine m(p, {.variant = 0, .flush_points = false});
  std::vector<int> alive;
  const auto var = [&](int i) -> const Tensor& { return m.vars[static_cast<std::size_t>(i)]; };
  const auto any = [&] {
    const auto n = static_cast<std::int64_t>(alive.size());
    const auto back = r.one_in(2) ? r.below(std::min<std::int64_t>(n, 4)) : r.below(n);
    return alive[static_cast<std::size_t>(n - 1 - back)];
  };
  const auto draw = [&](Op op) {
    Instr c;
    c.op = op;
    for (int& in : c.in)
      if (!alive.empty()) in = any();
    // Operands that fit each other are rare by chance: look for them.
    if (!alive.empty()) {
      const Tensor& with = var(c.in[0]);
      for (int& in : {std::ref(c.in[1]), std::ref(c.in[2])})
        for (int k = 0; k < 6; ++k) {
          const Tensor& t = var(in);
          bool fits = k > 2 || t.dtype() == with.dtype();
          for (int d = 1; fits && d <= std::min(t.dim(), with.dim()); ++d)
            fits = t.size(-d) == with.size(-d) || t.size(-d) == 1 || with.size(-d) == 1;
          if (fits) break;
          in = any();
        }
    }
    if (op == Op::kGrad)
      for (int k = 0; k < 4 && !var(c.in[1]).requires_grad(); ++k) c.in[1] = any();
    c.dtype = r.one_in(2) ? favourite : static_cast<DType>(r.below(kNumDTypes));
    for (std::int64_t& n : c.n) n = static_cast<std::int64_t>(r.next() >> 8);
    constexpr double kScalars[] = {0, 1, -1, 2, 3, 0.5, -0.5, 2.5, -3.25, 0.1, 7, 100};
    c.x = choose(kScalars, r.below(1000));
    if (!p.tame && r.one_in(8))
      c.x = r.one_in(2) ? std::nan("") : -std::numeric_limits<double>::infinity();
    return c;
  };
  // Sizes that agree by chance in one variant only are no reason to combine values: most programs
  // go the same way in both, and so the second is replayed through the plans of the first.
  Machine m1(p, {.variant = 1, .flush_points = false});
  const bool alike = !r.one_in(8);
  const auto step = [&](int at) {
    const std::string error = m.step(at);
    if (!alike) return error;
    const std::string error1 = m1.step(at);
    if (error.empty() != error1.empty() || (error == "skipped") != (error1 == "skipped"))
      return std::string("skipped");
    const Tensor &t = var(at), &t1 = m1.vars[static_cast<std::size_t>(at)];
    if (t.defined() != t1.defined()) return std::string("skipped");
    bool same = !t.defined() || (t.dim() == t1.dim() && t.is_leaf() == t1.is_leaf());
    for (int d = 0; same && t.defined() && d < t.dim(); ++d)
      same = (t.size(d) == 1) == (t1.size(d) == 1);
    return same ? error : std::string("skipped");
  };
  /// Appends it, unless it does not apply; an instruction that throws stays now and then.
  const auto append = [&](Instr c) {
    const int at = static_cast<int>(p.code.size());
    p.code.push_back(c);
    std::string error = step(at);
    for (int k = 0; k < 3 && !error.empty() && error != "skipped"; ++k) {
      p.code.back().n[0] += 1 + r.below(1000);  // another function, another dimension
      error = step(at);
    }
    if (!error.empty() && !(error != "skipped" && r.one_in(8))) {
      p.code.pop_back();
      m.vars.resize(p.code.size());
      m1.vars.resize(p.code.size());
      return false;
    }
    if (var(at).defined()) alive.push_back(at);
    if (c.op == Op::kDrop) std::erase(alive, c.in[0]);
    return true;
  };
  // What was expanded is expanded to another size as well, and the same is made of both: where the
  // sizes are one by chance these are one value, and must not be taken for it in the other variant.
  const auto grow_again = [&](int at) {
    Instr again = p.code[static_cast<std::size_t>(at)];
    ++again.n[0];
    ++again.n[2];
    if (!append(again)) return;
    Instr f = draw(Op::kUnary);
    for (const int grown : {at, static_cast<int>(p.code.size()) - 1}) {
      f.in[0] = grown;
      append(f);
    }
  };
  // Leaf kernels have gradients of their own, which few programs would reach by chance.
  const auto differentiate = [&](int at) {
    if (!var(at).defined() || !var(at).requires_grad()) return;
    const Instr leaf = p.code[static_cast<std::size_t>(at)];
    for (const int operand : leaf.in) {
      if (operand < 0 || !var(operand).defined() || !var(operand).requires_grad()) continue;
      Instr c = draw(Op::kGrad);
      c.in[0] = at;
      c.in[1] = operand;
      append(c);
    }
  };
  // An activation that the tape makes again is wanted by the gradient of the product it went into.
  const auto use_made_again = [&](int at) {
    if (!var(at).defined() || !var(at).requires_grad()) return;
    Instr product = draw(Op::kLinear);
    product.in[0] = product.in[1] = at;
    if (append(product)) differentiate(static_cast<int>(p.code.size()) - 1);
  };
  for (int tries = 0; p.code.size() < length && tries < 400; ++tries) {
    Op op = Op::kData;
    if (alive.size() >= 2) {
      auto w = static_cast<int>(r.below(total));
      for (const Weight& x : kWeights) {
        op = x.op;
        if ((w -= x.weight) < 0) break;
      }
    }
    Instr c = draw(op);
    // Seen in another way first: else most operands would be contiguous.
    if (r.one_in(2) && c.in[0] >= 0 && op >= Op::kUnary && op <= Op::kWritten) {
      constexpr Op kViews[] = {Op::kPermute, Op::kTranspose, Op::kSlice,  Op::kFlip,
                               Op::kUnfold,  Op::kUnfold,    Op::kExpand, Op::kSelect};
      Instr view = draw(choose(kViews, r.below(1000)));
      view.in[0] = c.in[0];
      if (append(view)) {
        const int seen = alive.back();
        for (int& in : c.in)
          if (in == view.in[0]) in = seen;
        if (var(c.in[1]).dtype() != var(seen).dtype() || r.one_in(2)) c.in[1] = seen;
      }
    }
    if (!append(c)) continue;
    const int made = static_cast<int>(p.code.size()) - 1;
    if (op == Op::kExpand) grow_again(made);
    if (op >= Op::kMatmul && op <= Op::kEmbedding) differentiate(made);
    if (op == Op::kUnary && (m.line.starts_with("silu(") || m.line.starts_with("gelu(")))
      use_made_again(made);
  }
  // First and second gradients of what came last, and such as add up in grad().
  const auto differentiable = [&](int i) {
    return is_floating(var(i).dtype()) && var(i).requires_grad();
  };
  std::vector<int> leaves, results;
  for (const int i : alive)
    if (differentiable(i)) (var(i).is_leaf() ? leaves : results).push_back(i);
  for (int k = 0; k < 1 + r.below(2) && !leaves.empty() && !results.empty(); ++k) {
    Instr first = draw(Op::kGrad);
    first.in[0] = results[results.size() - 1 -
                          static_cast<std::size_t>(r.below(std::min<std::int64_t>(
                              3, static_cast<std::int64_t>(results.size()))))];
    first.in[1] =
        leaves[static_cast<std::size_t>(r.below(static_cast<std::int64_t>(leaves.size())))];
    first.n[0] &= ~std::int64_t{1};  // differentiable again
    if (!append(first)) continue;
    const int gradient = static_cast<int>(p.code.size()) - 1;
    if (!var(gradient).defined() || !var(gradient).requires_grad()) continue;
    Instr second = draw(Op::kGrad);
    second.in[0] = gradient;
    second.in[1] =
        leaves[static_cast<std::size_t>(r.below(static_cast<std::int64_t>(leaves.size())))];
    append(second);
  }
  if (!results.empty() && r.one_in(2)) {
    Instr c = draw(Op::kBackward);
    c.in[0] = results.back();
    append(c);
  }
  for (Machine* machine : {&m, &m1}) {
    machine->vars.clear();
    machine->draws.clear();
  }
  eval_all();
  return p;
}

}  // namespace fuzz
