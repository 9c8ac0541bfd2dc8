// tests/accuracy/digest.cpp -- hashes of results, in this process and in children
#include "accuracy/digest.h"

#include <bit>
#include <cmath>

#include "accuracy/inputs.h"
#include "bench/process.h"
#include "ulp.h"

namespace flash::accuracy {
namespace {

class Hash {
 public:
  template <class T>
  void add(const std::vector<T>& values) {
    for (const T v : values) {
      const double d = std::isnan(v) ? std::nan("") : static_cast<double>(v);  // NaN is NaN
      value_ = (value_ ^ std::bit_cast<std::uint64_t>(d)) * 0x100000001b3u;
      value_ ^= value_ >> 29;
    }
  }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325u;
};

}  // namespace

std::uint64_t digest(const Function& f) {
  Hash hash;
  std::vector<float> x32 = test::float_sweep(997 * 4 + 1);
  const std::vector<float> near = near_edges_f32(f);
  x32.insert(x32.end(), near.begin(), near.end());
  hash.add(f.op(from_vector(x32)).to_vector<float>());
  std::vector<double> x64(1 << 16);
  for (std::uint64_t chunk = 0; chunk < 2; ++chunk) {
    fill_f64(f, {}, chunk, x64);
    hash.add(f.op(from_vector(x64)).to_vector<double>());
  }
  std::vector<std::uint16_t> bits(1 << 16);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i);
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const Tensor x = from_blob(bits.data(), {static_cast<std::int64_t>(bits.size())}, dtype);
    hash.add(f.op(x).to(f32).to_vector<float>());
  }
  return hash.value();
}

std::vector<Code> kinds_of_code() {
  std::vector<Code> kinds;
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    kinds.push_back({"AVX-512", "FLASH_ISA=avx512"});
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    kinds.push_back({"AVX2", "FLASH_ISA=avx2"});
#endif
  kinds.push_back({"the interpreter", "FLASH_EVALUATOR=interpret"});
  return kinds;
}

std::vector<std::string> digests_under(const Code& code, const std::vector<std::string>& names) {
  std::vector<std::string> command = {"env", code.variable, bench::own_program(), "--digest"};
  command.insert(command.end(), names.begin(), names.end());
  bench::Process child(command);
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < names.size(); ++i) lines.push_back(child.read_line());
  return lines;
}

}  // namespace flash::accuracy
