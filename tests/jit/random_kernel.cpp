// tests/jit/random_kernel.cpp -- draws kernels, their axes and their data
#include "random_kernel.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "core/dtype.h"

namespace flash::test {

using ir::Form;
using ir::Op;
using ir::Role;
using ir::Type;
using ir::Value;
using std::int64_t;

GuardedBuffer::GuardedBuffer(std::size_t bytes, bool at_end) : size_(bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t inner = (std::max<std::size_t>(bytes, 1) + page - 1) / page * page;
  mapped_ = inner + 2 * page;
  void* m = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (m == MAP_FAILED) throw std::runtime_error("mmap failed");
  map_ = static_cast<unsigned char*>(m);
  if (mprotect(map_ + page, inner, PROT_READ | PROT_WRITE) != 0)
    throw std::runtime_error("mprotect failed");
  data_ = map_ + page + (at_end ? inner - bytes : 0);
}

GuardedBuffer::~GuardedBuffer() { munmap(map_, mapped_); }

namespace {

constexpr Type kTypes[] = {Type::kPred, Type::kI32, Type::kI64, Type::kF32, Type::kF64};
std::size_t at(Type t) { return static_cast<std::size_t>(t); }

template <class F>
void each_element(DType d, const GuardedBuffer& b, F f) {
  const auto size = static_cast<std::size_t>(size_of(d));
  for (std::size_t i = 0; i + size <= b.size(); i += size) f(b.data() + i);
}

template <class T>
void put(unsigned char* p, T v) {
  std::memcpy(p, &v, sizeof v);
}
template <class T>
T get(const unsigned char* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

}  // namespace

ir::Type RandomKernel::number_type() { return kTypes[1 + pick(has_f64_ ? 4 : 3)]; }

double RandomKernel::number() {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  static constexpr double kSpecial[] = {
      0.0,          -0.0,          kInf,   -kInf,  1.0,    -1.0,   0.5,
      65504.0,      65520.0,       1e-40,  -1e-41, 3.0e38, 3.4e38, 1e-310,
      2147483648.0, -2147483648.0, 9.3e18, 255.0,  256.0,  6e-8,   2.9e-8};
  if (chance(2)) return std::numeric_limits<double>::quiet_NaN();
  if (chance(10)) return kSpecial[pick(static_cast<int>(std::size(kSpecial)))];
  const double u = static_cast<double>(random_() >> 11) * 0x1p-52 - 1;
  return std::ldexp(u, pick(24) - 4);
}

void RandomKernel::fill(DType d, GuardedBuffer& b) {
  each_element(d, b, [&](unsigned char* p) {
    const double x = number();
    const auto bits = random_();
    switch (d) {
      case DType::kBool:
        put(p, static_cast<std::uint8_t>(bits & 1));
        break;
      case DType::kU8:
      case DType::kI8:
        put(p, static_cast<std::uint8_t>(bits));
        break;
      case DType::kI16:
        put(p, static_cast<std::uint16_t>(bits));
        break;
      case DType::kI32:
        put(p, static_cast<std::int32_t>(bits >> 32) >> static_cast<int>(bits % 32));
        break;
      case DType::kI64:
        put(p, static_cast<int64_t>(bits) >> static_cast<int>(bits % 64));
        break;
      case DType::kF16:
        put(p, to_half(static_cast<float>(x)));
        break;
      case DType::kBF16:
        put(p, to_bfloat16(static_cast<float>(x)));
        break;
      case DType::kF32:
        put(p, static_cast<float>(x));
        break;
      case DType::kF64:
        put(p, x);
        break;
    }
  });
}

void RandomKernel::axes() {
  static constexpr int64_t kRuns[] = {1,  2,  3,  5,  7,   8,   9,   15,   16,   17,   31,  32,
                                      33, 63, 64, 65, 100, 127, 128, 1000, 4095, 4096, 4097};
  form_ = chance(40) ? Form::kColumn : Form::kRow;
  map_ = form_ == Form::kRow && chance(50);
  const int grids = pick(3), loops = map_ ? 1 : 1 + pick(3);
  for (int i = 0; i < grids; ++i) axes_.push_back({Role::kGrid, 1 + pick(4)});
  int64_t total = 1;
  for (int i = 0; i < loops; ++i) {
    const bool run = i + 1 == loops;
    int64_t n = run ? kRuns[pick(static_cast<int>(std::size(kRuns)))] : 1 + pick(4);
    if (run && map_ && chance(10)) n = 1024 + pick(3000);
    if (run && !map_ && chance(8)) n = 8192 + pick(8192);
    if (chance(3)) n = 0;
    if (form_ == Form::kColumn) n = std::min<int64_t>(n, 260);
    axes_.push_back({Role::kLoop, n});
    total *= n;
    if (run) {
      const int64_t block = form_ == Form::kRow ? ir::kRowBlock : ir::kColumnBlock;
      blocks_ = n == 0 ? 0 : total / n * ((n + block - 1) / block);
    }
  }
  if (form_ == Form::kColumn) {
    int64_t lanes = kRuns[pick(19)];
    if (total < 300 && chance(15)) lanes = 1020 + pick(1100);
    axes_.push_back({Role::kLane, lanes});
  }
}

DType RandomKernel::dtype_for(Type t) {
  static constexpr DType kInts[] = {DType::kBool, DType::kU8, DType::kI8, DType::kI16, DType::kI32};
  static constexpr DType kFloats[] = {DType::kF16, DType::kBF16, DType::kF32};
  switch (t) {
    case Type::kI64:
      return DType::kI64;
    case Type::kF64:
      return DType::kF64;
    case Type::kF32:
      return chance(50) ? DType::kF32 : kFloats[pick(3)];
    default:
      return chance(40) ? DType::kI32 : kInts[pick(5)];
  }
}

// An access with a buffer of exactly the bytes it spans. Inputs may broadcast, be transposed,
// flipped and strided; outputs are too, but give every index its own element.
int RandomKernel::access(DType d, bool in_loop, bool input, bool indexed) {
  const std::size_t n = axes_.size();
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < n; ++i) {
    const bool loop = axes_[i].role == Role::kLoop;
    if (loop && !in_loop) continue;
    if (input && chance(indexed ? 70 : 15)) continue;  // broadcast
    order.push_back(i);
  }
  if (!chance(65)) std::shuffle(order.begin(), order.end(), random_);
  std::vector<int64_t> strides(n, 0);
  const int64_t size = size_of(d);
  int64_t span = chance(15) ? 2 + pick(2) : 1, low = 0, elements = 1;
  for (std::size_t k = order.size(); k-- > 0;) {
    const std::size_t i = order[k];
    strides[i] = span * size;
    span *= std::max<int64_t>(1, axes_[i].extent);
    elements *= axes_[i].extent;
    if (chance(10)) strides[i] = -strides[i];
  }
  int64_t high = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const int64_t end = strides[i] * std::max<int64_t>(0, axes_[i].extent - 1);
    (end < 0 ? low : high) += end;
  }
  const int64_t extra = indexed ? 100 * size : 0;  // room for an index of 0 … 100
  const int64_t bytes = elements == 0 ? 0 : high - low + size + extra;
  buffers_.push_back(std::make_unique<GuardedBuffer>(static_cast<std::size_t>(bytes), chance(60)));
  GuardedBuffer& b = *buffers_.back();
  if (input) {
    fill(d, b);
  } else {
    outputs_.push_back({d, &b});
  }
  return nest_->access(d, b.data() - low, strides);
}

Value RandomKernel::any(Type t) {
  auto& pool = pools_[at(t)];
  ir::Builder& b = nest_->b;
  if (pool.empty() || (t != Type::kPred && chance(10))) {
    switch (t) {
      case Type::kI32:
        if (chance(30)) return b.scalar(t, nest_->word(static_cast<std::int32_t>(random_())));
        return b.i32(chance(60) ? pick(40) - 8 : static_cast<std::int32_t>(random_()));
      case Type::kI64:
        if (chance(30)) return b.scalar(t, nest_->word(static_cast<int64_t>(random_())));
        return b.i64(chance(60) ? pick(70) - 5 : static_cast<int64_t>(random_()));
      case Type::kF32: {
        const auto x = static_cast<float>(number());
        if (chance(30)) return b.scalar(t, nest_->word(std::bit_cast<std::uint32_t>(x)));
        return b.f32(x);
      }
      case Type::kF64: {
        const double x = number();
        if (chance(30)) return b.scalar(t, nest_->word(std::bit_cast<int64_t>(x)));
        return b.f64(x);
      }
      case Type::kPred: {
        const Type u = number_type();
        return b.compare(Op::kLt, any(u), any(u));
      }
    }
  }
  return pool[static_cast<std::size_t>(pick(static_cast<int>(pool.size())))];
}

Value RandomKernel::index_below(int64_t n) {
  ir::Builder& b = nest_->b;
  return b.binary(Op::kMin, b.binary(Op::kMax, any(Type::kI64), b.i64(0)), b.i64(n - 1));
}

void RandomKernel::load(bool loop) {
  const Type t = number_type();
  const bool indexed = chance(15);
  const int a = access(dtype_for(t), loop, true, indexed);
  const Value index = indexed ? index_below(101) : ir::kNone;
  const Value guard = chance(15) ? any(Type::kPred) : ir::kNone;
  pools_[at(t)].push_back(nest_->b.load(a, t, index, guard));
}

void RandomKernel::store(Type t, bool loop) {
  const Value v = any(t);
  // One element for all lanes: in kRow the last lane wins. Elsewhere every index has its own.
  const int a = access(dtype_for(t), loop, false, false);
  const Value guard = chance(15) ? any(Type::kPred) : ir::kNone;
  nest_->kernel.accesses[static_cast<std::size_t>(a)].stored = true;
  nest_->b.store(a, v, ir::kNone, guard);
}

void RandomKernel::operation(bool loop) {
  ir::Builder& b = nest_->b;
  const auto give = [&](Value v) { pools_[at(b.type(v))].push_back(v); };
  if (chance(20)) return load(loop);
  if (chance(4)) {
    std::vector<ir::Word> words = {pick(1000) - 500};
    for (std::size_t i = 0; i < axes_.size(); ++i) words.push_back(pick(50) - 25);
    return give(b.iota(nest_->iota(words)));
  }
  static constexpr Op kBoth[] = {Op::kAdd, Op::kSub, Op::kMul, Op::kDiv, Op::kMax, Op::kMin};
  static constexpr Op kInt[] = {Op::kRem, Op::kAnd,  Op::kOr,  Op::kXor,
                                Op::kShl, Op::kShrA, Op::kShrL};
  static constexpr Op kFloat[] = {Op::kSqrt, Op::kFloor, Op::kCeil, Op::kRint, Op::kTrunc};
  static constexpr Op kCompare[] = {Op::kEq, Op::kNe, Op::kLt, Op::kLe};
  const Type t = number_type();
  const bool is_float = t == Type::kF32 || t == Type::kF64;
  switch (pick(14)) {
    case 0:
    case 1:
    case 2:
      return give(b.binary(kBoth[pick(6)], any(t), any(t)));
    case 3:
      if (is_float) return give(b.unary(kFloat[pick(5)], any(t)));
      return give(b.binary(kInt[pick(7)], any(t), any(t)));
    case 4:
      if (is_float) return give(b.fma(any(t), any(t), any(t)));
      return give(t == Type::kI32 && chance(50) ? b.binary(Op::kMulHiU, any(t), any(t))
                                                : b.unary(Op::kNot, any(t)));
    case 5:
      return give(b.unary(chance(50) ? Op::kNeg : Op::kAbs, any(t)));
    case 6:
      return give(b.compare(kCompare[pick(4)], any(t), any(t)));
    case 7:
      return give(b.select(any(Type::kPred), any(t), any(t)));
    case 8: {
      if (chance(25)) return give(b.to_pred(any(t)));
      if (chance(25)) return give(b.cast(any(Type::kPred), Type::kI32));
      return give(b.cast(any(t), number_type()));
    }
    case 9: {
      if (chance(33)) return give(b.unary(Op::kPNot, any(Type::kPred)));
      return give(b.binary(chance(50) ? Op::kPAnd : Op::kPOr, any(Type::kPred), any(Type::kPred)));
    }
    case 10: {
      static constexpr Type kOther[] = {Type::kPred, Type::kF32, Type::kF64, Type::kI32,
                                        Type::kI64};
      Value x = any(t);  // NaNs are alike as floats, not as bits
      if (t == Type::kI64 && !has_f64_) return load(loop);
      if (is_float) x = b.select(b.compare(Op::kEq, x, x), x, b.constant(t, 1));
      return give(b.bitcast(x, kOther[at(t)]));
    }
    case 11: {
      ir::Table table;
      for (float& x : table) x = static_cast<float>(number());
      return give(b.table(table, any(Type::kI32)));
    }
    case 12: {
      const Type f = !has_f64_ || chance(50) ? Type::kF32 : Type::kF64;
      const double most = f == Type::kF32 ? 250 : 2000;
      const Value x = any(f);
      const Value n =
          b.binary(Op::kMin, b.binary(Op::kMax, b.unary(Op::kRint, x), b.constant(f, -most)),
                   b.constant(f, most));
      const Value a = any(f), size = b.unary(Op::kAbs, a), one = b.constant(f, 1);
      const Value fits = b.binary(Op::kPAnd, b.compare(Op::kLt, b.constant(f, 0x1p-20), size),
                                  b.compare(Op::kLt, size, b.constant(f, 0x1p20)));
      return give(
          b.binary(Op::kScale, b.select(fits, a, one), b.select(b.compare(Op::kEq, x, x), n, one)));
    }
    default: {
      if (chance(50))
        return give(b.unary(chance(50) ? Op::kRoundF16 : Op::kRoundBF16, any(Type::kF32)));
      static constexpr Op kWrap[] = {Op::kWrapI8, Op::kWrapU8, Op::kWrapI16};
      return give(b.unary(kWrap[pick(3)], any(Type::kI32)));
    }
  }
}

void RandomKernel::section(bool loop, int ops, bool reduce, bool stores) {
  if (loop) {
    nest_->b.begin_loop();
  } else {
    nest_->b.begin_row();
  }
  std::copy(std::begin(row_pools_), std::end(row_pools_), std::begin(pools_));
  load(loop);
  for (int i = 0; i < ops; ++i) operation(loop);
  std::vector<Value> results;
  if (reduce) {
    for (int i = 0; i < 1 + pick(3); ++i) {
      const Type t = number_type();
      int64_t elements = blocks_ + 1;
      for (const Nest::Axis& a : axes_)
        if (a.role != Role::kLoop) elements *= a.extent;
      static constexpr DType kOwn[] = {DType::kBool, DType::kI32, DType::kI64, DType::kF32,
                                       DType::kF64};
      const int partials = nest_->partials(kOwn[at(t)], elements);
      const auto kind = static_cast<ir::ReduceKind>(pick(4));
      const Value guard = chance(25) ? any(Type::kPred) : ir::kNone;
      results.push_back(nest_->b.reduce(kind, any(t), partials, guard));
    }
  }
  for (int i = 0; stores && i < 1 + pick(3); ++i) {
    // Prefer what was computed last.
    const Type t = number_type();
    store(t, loop);
  }
  if (!loop) std::copy(std::begin(pools_), std::end(pools_), std::begin(row_pools_));
  for (const Value v : results) row_pools_[at(nest_->b.type(v))].push_back(v);
}

RandomKernel::RandomKernel(std::uint64_t seed, bool has_f64) : random_(seed), has_f64_(has_f64) {
  axes();
  nest_ = std::make_unique<Nest>(form_, axes_);
  const int size = chance(20) ? 40 : 1 + pick(14);
  const bool before = chance(35), stores_before = chance(50) && !map_;
  if (before) section(false, pick(6), false, stores_before);
  const int loops = map_ ? 1 : 1 + pick(3);
  for (int i = 0; i < loops; ++i) {
    const bool reduces = !map_ && (i == 0 || chance(60));
    section(true, size, reduces, !reduces || chance(20));
    if ((i + 1 == loops && !map_) || chance(25)) section(false, pick(8), false, !map_);
  }
  splittable_ = !map_ && loops == 1 && !(before && stores_before);
  const int64_t vector = std::max<int64_t>(1, axes_.back().extent);
  nest_->args[ir::kArgFlags] = chance(50) ? ir::kFlagStream : 0;
  nest_->set_chunk(chance(50) ? vector : 1 + pick(static_cast<int>(vector)));
}

std::vector<std::vector<unsigned char>> RandomKernel::run(Target t, bool one_by_one) {
  clear_outputs();
  nest_->run(t, one_by_one);
  return outputs();
}

std::vector<std::vector<unsigned char>> RandomKernel::run_split(Target t, int64_t part_blocks) {
  clear_outputs();
  nest_->run_split(t, part_blocks);
  return outputs();
}

std::vector<std::vector<unsigned char>> RandomKernel::run(const Nest::Runner& runner) {
  clear_outputs();
  nest_->run(runner);
  return outputs();
}

std::vector<std::vector<unsigned char>> RandomKernel::run_split(const Nest::Runner& runner,
                                                                int64_t part_blocks) {
  clear_outputs();
  nest_->run_split(runner, part_blocks);
  return outputs();
}

std::vector<std::span<unsigned char>> RandomKernel::memory() const {
  std::vector<std::span<unsigned char>> all = nest_->partial_memory();
  for (const auto& b : buffers_) all.emplace_back(b->data(), b->size());
  return all;
}

void RandomKernel::clear_outputs() {
  for (const Output& o : outputs_) std::memset(o.buffer->data(), 0x5a, o.buffer->size());
}

std::vector<std::vector<unsigned char>> RandomKernel::outputs() const {
  std::vector<std::vector<unsigned char>> all;
  for (const Output& o : outputs_) {
    each_element(o.dtype, *o.buffer, [&](unsigned char* p) {
      if (o.dtype == DType::kF32 && std::isnan(get<float>(p))) put(p, 0x7fc00000u);
      if (o.dtype == DType::kF64 && std::isnan(get<double>(p))) put(p, 0x7ff8000000000000ull);
      if (o.dtype == DType::kF16 && std::isnan(to_float(get<Half>(p))))
        put(p, std::uint16_t{0x7e00});
      if (o.dtype == DType::kBF16 && std::isnan(to_float(get<BFloat16>(p))))
        put(p, std::uint16_t{0x7fc0});
    });
    all.emplace_back(o.buffer->data(), o.buffer->data() + o.buffer->size());
  }
  return all;
}

int first_kernel() {
  const char* seed = std::getenv("FLASH_TEST_SEED");
  return seed != nullptr ? std::atoi(seed) : 1;
}

int kernels_wanted(int by_default) {
  const char* n = std::getenv("FLASH_TEST_KERNELS");
  return n != nullptr ? std::atoi(n) : by_default;
}

std::string difference(const std::vector<std::vector<unsigned char>>& got,
                       const std::vector<std::vector<unsigned char>>& want) {
  for (std::size_t o = 0; o < want.size(); ++o)
    for (std::size_t i = 0; i < want[o].size(); ++i)
      if (got[o][i] != want[o][i])
        return "output " + std::to_string(o) + ", byte " + std::to_string(i) + " of " +
               std::to_string(want[o].size());
  return "";
}

}  // namespace flash::test
