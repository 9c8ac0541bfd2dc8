// kernels/cuda/blas_lt.cpp -- cuBLASLt: its calls, and products that are ready to be enqueued
//
// Calls, types and numbers are those of NVIDIA's cublasLt.h, the same in releases 11 to 13.
#include "kernels/cuda/blas_lt.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>

#include "core/env.h"
#include "core/error.h"
#include "core/log.h"
#include "jit/cache/lru.h"
#include "kernels/cuda/blas_lt_problem.h"
#include "kernels/cuda/runtime.h"
#include "kernels/gpu/library.h"

namespace flash::cuda {
namespace {

using gpu::Address;
using gpu::Handle;
using Index = std::int64_t;

struct Algorithm {
  std::uint64_t data[8];
};
struct Suggestion {
  Algorithm algorithm;
  std::size_t workspace;
  int status;
  float waves;
  int reserved[4];
};

#define FLASH_BLAS_LT_CALLS(X)                                                                     \
  X(create, int (*)(Handle * handle), "cublasLtCreate")                                            \
  X(destroy, int (*)(Handle handle), "cublasLtDestroy")                                            \
  X(version, std::size_t (*)(), "cublasLtGetVersion")                                              \
  X(error_text, const char* (*)(int status), "cublasLtGetStatusString")                            \
  X(create_product, int (*)(Handle * product, int compute, int scale), "cublasLtMatmulDescCreate") \
  X(destroy_product, int (*)(Handle product), "cublasLtMatmulDescDestroy")                         \
  X(set_product, int (*)(Handle product, int attribute, const void* value, std::size_t bytes),     \
    "cublasLtMatmulDescSetAttribute")                                                              \
  X(create_matrix,                                                                                 \
    int (*)(Handle * matrix, int type, std::uint64_t rows, std::uint64_t columns, Index pitch),    \
    "cublasLtMatrixLayoutCreate")                                                                  \
  X(destroy_matrix, int (*)(Handle matrix), "cublasLtMatrixLayoutDestroy")                         \
  X(set_matrix, int (*)(Handle matrix, int attribute, const void* value, std::size_t bytes),       \
    "cublasLtMatrixLayoutSetAttribute")                                                            \
  X(create_wishes, int (*)(Handle * wishes), "cublasLtMatmulPreferenceCreate")                     \
  X(destroy_wishes, int (*)(Handle wishes), "cublasLtMatmulPreferenceDestroy")                     \
  X(set_wish, int (*)(Handle wishes, int attribute, const void* value, std::size_t bytes),         \
    "cublasLtMatmulPreferenceSetAttribute")                                                        \
  X(suggest,                                                                                       \
    int (*)(Handle handle, Handle product, Handle a, Handle b, Handle c, Handle d, Handle wishes,  \
            int wanted, void* suggestions, int* count),                                            \
    "cublasLtMatmulAlgoGetHeuristic")                                                              \
  X(multiply,                                                                                      \
    int (*)(Handle handle, Handle product, const void* alpha, const void* a, Handle a_is,          \
            const void* b, Handle b_is, const void* beta, const void* c, Handle c_is, void* d,     \
            Handle d_is, const void* algorithm, void* workspace, std::size_t bytes,                \
            Handle stream),                                                                        \
    "cublasLtMatmul")

struct Calls {
#define X(member, type, name) std::type_identity_t<type> member = nullptr;
  FLASH_BLAS_LT_CALLS(X)
#undef X
};

constexpr int kNotSupported = 15;
constexpr int kTypeF32 = 0, kTypeF16 = 2, kTypeBf16 = 14, kComputeF32 = 68;
constexpr int kTransposeA = 3, kTransposeB = 4, kEpilogue = 7, kBias = 8;  // of a product
constexpr std::uint32_t kAddBias = 4;                                      // an epilogue
constexpr int kBatch = 5, kBatchStride = 6;                                // of a matrix
constexpr int kMostWorkspace = 1, kReductions = 3, kAlignmentOfA = 5;      // B, C and D follow A
constexpr std::uint32_t kReduceInF32 = 2;  // parts of k are added in f32, not in the output's type

constexpr std::size_t kWorkspace = 32 << 20;  // what NVIDIA advises for its largest GPUs
constexpr std::size_t kProductsKept = 256;

const std::string kWithout = "no cuBLASLt, so that products of f16 and bf16 are slower: ";

/// The library, opened once for all devices.
struct BlasLt {
  gpu::Library library;
  Calls calls;
  bool off = false;     // the user does without it
  std::string missing;  // why it cannot be used; empty when it can

  BlasLt() {
    constexpr const char* kNames[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11",
                                      "libcublasLt.so"};
    std::string named = env::get_folder(Env::kCublas);
    off = named == "off";
    const std::vector<std::string> folders =
        named.empty() ? toolkit_folders() : std::vector{std::move(named)};
    library = gpu::Library::open(folders, kNames);
    if (!library) {
      missing = off ? "cuBLASLt is off (FLASH_CUBLAS)" : kWithout + "looked for " + library.tried();
      return;
    }
#define X(member, type, name)                                                    \
  calls.member = reinterpret_cast<decltype(calls.member)>(library.symbol(name)); \
  if (!calls.member) missing = kWithout + library.path() + " is too old: it has no " name;
    FLASH_BLAS_LT_CALLS(X)
#undef X
  }
};
BlasLt& blas_lt() {
  static BlasLt& opened = *new BlasLt;  // outlives static tensors
  return opened;
}

class Product final : public gpu::LibraryProduct {
 public:
  Product(const Calls& calls, Handle handle, std::shared_ptr<std::mutex> mutex)
      : calls_(calls), handle_(handle), mutex_(std::move(mutex)) {}
  ~Product() override {
    if (product_) calls_.destroy_product(product_);
    for (const Handle m : {a_, b_, d_})
      if (m) calls_.destroy_matrix(m);
  }

  /// What failed, or success.
  int make(const BlasProblem& p) {
    name = "product of " + std::to_string(p.d.columns) + " x " + std::to_string(p.d.rows) +
           " elements";
    if (const int e = calls_.create_product(&product_, kComputeF32, kTypeF32)) return e;
    const int transpose_a = p.a.transposed, transpose_b = p.b.transposed;
    if (const int e = set(kTransposeA, transpose_a)) return e;
    if (const int e = set(kTransposeB, transpose_b)) return e;
    biased_ = p.biased != 0;
    if (biased_) {
      if (const int e = set(kEpilogue, kAddBias)) return e;
      // Only its alignment is looked at, until there is one.
      if (const int e = set(kBias, static_cast<Address>(p.biased))) return e;
    }
    if (const int e = make(p, p.a, &a_)) return e;
    if (const int e = make(p, p.b, &b_)) return e;
    if (const int e = make(p, p.d, &d_)) return e;
    return choose(p);
  }

  std::size_t workspace_bytes() const override { return workspace_; }
  void enqueue(Address a, Address b, Address bias, Address out, Address workspace,
               Handle stream) const override {
    const float one = 1, zero = 0;
    const auto at = [](Address address) { return reinterpret_cast<void*>(address); };
    const std::lock_guard lock(*mutex_);  // the bias's address is the product's
    int e = biased_ ? set(kBias, bias) : gpu::kSuccess;
    // The call's right operand stands left here.
    if (e == gpu::kSuccess)
      e = calls_.multiply(handle_, product_, &one, at(b), a_, at(a), b_, &zero, at(out), d_,
                          at(out), d_, &algorithm_, at(workspace), workspace_, stream);
    if (e != gpu::kSuccess)
      throw DeviceError("cuBLASLt: " + name + " failed: " + calls_.error_text(e) + " (" +
                        std::to_string(e) + "). FLASH_CUBLAS=off does without it.");
  }

 private:
  template <class T>
  int set(int attribute, const T& value) const {
    return calls_.set_product(product_, attribute, &value, sizeof value);
  }
  int make(const BlasProblem& p, const BlasMatrix& m, Handle* matrix) const {
    const auto size = [](Index n) { return static_cast<std::uint64_t>(n); };
    if (const int e = calls_.create_matrix(matrix, p.dtype == DType::kF16 ? kTypeF16 : kTypeBf16,
                                           size(m.rows), size(m.columns), m.pitch))
      return e;
    if (p.batch == 1) return gpu::kSuccess;
    const auto count = static_cast<std::int32_t>(p.batch);
    if (const int e = calls_.set_matrix(*matrix, kBatch, &count, sizeof count)) return e;
    return calls_.set_matrix(*matrix, kBatchStride, &m.batch_stride, sizeof m.batch_stride);
  }
  int choose(const BlasProblem& p) {
    Handle wishes = nullptr;
    if (const int e = calls_.create_wishes(&wishes)) return e;
    int e = calls_.set_wish(wishes, kMostWorkspace, &kWorkspace, sizeof kWorkspace);
    if (e == gpu::kSuccess)
      e = calls_.set_wish(wishes, kReductions, &kReduceInF32, sizeof kReduceInF32);
    int attribute = kAlignmentOfA;
    for (const BlasMatrix* m : {&p.a, &p.b, &p.d, &p.d}) {
      const auto bytes = static_cast<std::uint32_t>(m->alignment);
      if (e == gpu::kSuccess) e = calls_.set_wish(wishes, attribute++, &bytes, sizeof bytes);
    }
    Suggestion suggestion{};
    int count = 0;
    if (e == gpu::kSuccess)
      e = calls_.suggest(handle_, product_, a_, b_, d_, d_, wishes, 1, &suggestion, &count);
    calls_.destroy_wishes(wishes);
    if (e != gpu::kSuccess) return e;
    if (count == 0 || suggestion.status != gpu::kSuccess) return kNotSupported;
    algorithm_ = suggestion.algorithm;
    workspace_ = suggestion.workspace;
    return gpu::kSuccess;
  }

  const Calls& calls_;
  const Handle handle_;
  const std::shared_ptr<std::mutex> mutex_;
  Handle product_ = nullptr, a_ = nullptr, b_ = nullptr, d_ = nullptr;
  Algorithm algorithm_{};
  std::size_t workspace_ = 0;
  bool biased_ = false;
};

class Library final : public gpu::ProductLibrary {
 public:
  explicit Library(std::shared_ptr<gpu::Context> context) : context_(std::move(context)) {}
  ~Library() override {
    if (handle_) blas_lt().calls.destroy(handle_);
  }

  std::shared_ptr<const gpu::LibraryProduct> find(const LeafCall& call) override {
    const std::optional<BlasProblem> problem = blas_problem(call);
    if (!problem) return nullptr;
    if (!open()) {
      if (!told_.exchange(true) && !blas_lt().off)
        logging::warn(context_->name() + ": " + description() + ".");
      return nullptr;
    }
    const auto key = problem->words();
    std::shared_ptr<const Product> product;
    if (products_.find(key, product)) return product;
    auto made = std::make_shared<Product>(blas_lt().calls, handle_, mutex_);
    if (const int e = made->make(*problem)) {
      const std::string refusal = context_->name() + ": cuBLASLt does not take a " + made->name +
                                  ": " + blas_lt().calls.error_text(e) + " (" + std::to_string(e) +
                                  "). An own kernel computes it.";
      if (e == kNotSupported)
        logging::debug(refusal);
      else
        logging::warn(refusal);
      made = nullptr;
    }
    products_.insert(key, made);
    return made;
  }

  std::string description() override {
    if (open()) return "cuBLASLt " + version() + " (" + blas_lt().library.path() + ")";
    if (blas_lt().off) return missing_;
    return missing_ +
           ". Install the CUDA toolkit, or PyPI's nvidia-cublas, and name the folder with "
           "libcublasLt by FLASH_CUBLAS";
  }

 private:
  static std::string version() {
    const std::size_t v = blas_lt().calls.version();
    return std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100);
  }
  bool open() {
    std::call_once(opened_, [this] {
      missing_ = blas_lt().missing;
      if (!missing_.empty()) return;
      if (const int e = blas_lt().calls.create(&handle_))
        missing_ = blas_lt().library.path() + " does not start: " + blas_lt().calls.error_text(e) +
                   " (" + std::to_string(e) + ")";
    });
    return missing_.empty();
  }

  const std::shared_ptr<gpu::Context> context_;
  std::once_flag opened_;
  Handle handle_ = nullptr;
  std::string missing_;
  std::atomic<bool> told_ = false;
  const std::shared_ptr<std::mutex> mutex_ = std::make_shared<std::mutex>();
  jit::Lru<std::array<Index, 21>, std::shared_ptr<const Product>, BlasProblemHash> products_{
      kProductsKept};
};

}  // namespace

std::unique_ptr<gpu::ProductLibrary> make_blas_lt(std::shared_ptr<gpu::Context> context) {
  return std::make_unique<Library>(std::move(context));
}

}  // namespace flash::cuda
