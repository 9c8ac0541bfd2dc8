// tests/jit/random_kernel.h -- random kernels over all ops, types, forms and steps, in guarded
// memory
#pragma once

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "run_kernel.h"

namespace flash::test {

/// Memory that ends (or begins) at a page that cannot be touched; the other side has one too.
class GuardedBuffer {
 public:
  GuardedBuffer(std::size_t bytes, bool at_end);
  ~GuardedBuffer();
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;
  unsigned char* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  unsigned char* map_ = nullptr;
  std::size_t mapped_ = 0;
  unsigned char* data_ = nullptr;
  std::size_t size_ = 0;
};

/// A kernel with its inputs and outputs, all drawn from `seed`. Index loads stay within their
/// tables; every store writes its own buffer, each element once or in lane order.
class RandomKernel {
 public:
  /// Without f64 no value is one: another kernel than the seed's with it.
  explicit RandomKernel(std::uint64_t seed, bool has_f64 = true);

  /// Runs on `t` and returns the outputs' bytes, NaNs made equal.
  std::vector<std::vector<unsigned char>> run(Target t, bool one_by_one = false);
  /// The same in mode kSplit with that many blocks a part.
  std::vector<std::vector<unsigned char>> run_split(Target t, std::int64_t part_blocks);
  std::vector<std::vector<unsigned char>> run(const Nest::Runner& runner);
  std::vector<std::vector<unsigned char>> run_split(const Nest::Runner& runner,
                                                    std::int64_t part_blocks);
  bool can_split() const { return splittable_; }
  /// All that its pointers point into.
  std::vector<std::span<unsigned char>> memory() const;
  const ir::Kernel& kernel() const { return nest_->kernel; }
  std::string text() const { return to_string(nest_->kernel); }

 private:
  struct Output {
    DType dtype;
    GuardedBuffer* buffer;
  };
  int pick(int n) { return static_cast<int>(random_() % static_cast<std::uint64_t>(n)); }
  bool chance(int percent) { return pick(100) < percent; }
  double number();
  ir::Type number_type();
  void fill(DType d, GuardedBuffer& b);
  void axes();
  int access(DType d, bool in_loop, bool input, bool indexed);
  void section(bool loop, int ops, bool reduce, bool stores);
  void operation(bool loop);
  ir::Value any(ir::Type t);
  ir::Value index_below(std::int64_t n);
  void load(bool loop);
  void store(ir::Type t, bool loop);
  DType dtype_for(ir::Type t);
  void clear_outputs();
  std::vector<std::vector<unsigned char>> outputs() const;

  std::mt19937_64 random_;
  const bool has_f64_;
  std::unique_ptr<Nest> nest_;
  std::vector<Nest::Axis> axes_;
  ir::Form form_ = ir::Form::kRow;
  bool map_ = true;
  bool splittable_ = false;
  std::int64_t blocks_ = 1;
  std::vector<ir::Value> pools_[5];      ///< by type: what may be read now
  std::vector<ir::Value> row_pools_[5];  ///< what later sections may read
  std::vector<std::unique_ptr<GuardedBuffer>> buffers_;
  std::vector<Output> outputs_;
};

/// The seeds that a test goes through: FLASH_TEST_SEED and as many as FLASH_TEST_KERNELS.
int first_kernel();
int kernels_wanted(int by_default);

/// Where two runs differ first; empty if they do not.
std::string difference(const std::vector<std::vector<unsigned char>>& got,
                       const std::vector<std::vector<unsigned char>>& want);

}  // namespace flash::test
