// kernels/cuda/blas_lt.cpp -- cuBLASLt: its calls, and products as it wants them described
//
// Calls, types and numbers are those of NVIDIA's cublasLt.h, the same in releases 11 to 13.
#include "kernels/cuda/blas_lt.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>

#include "core/env.h"
#include "core/error.h"
#include "core/log.h"
#include "jit/cache/lru.h"
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
constexpr Index kLeastWork = Index{1} << 15;  // below it a call costs more than the product
constexpr std::size_t kProductsKept = 256;

const std::string kWithout = "no cuBLASLt, so that products of f16 and bf16 are slow: ";

/// The library, opened once for all devices.
struct BlasLt {
  gpu::Library library;
  Calls calls;
  bool off = false;     // the user does without it
  std::string missing;  // why it cannot be used; empty when it can

  BlasLt() {
    constexpr const char* kToolkit[] = {"CUDA_HOME", "CUDA_PATH"};
    constexpr const char* kNames[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11",
                                      "libcublasLt.so"};
    std::vector<std::string> folders;
    std::string named = env::get_folder(Env::kCublas);
    off = named == "off";
    if (!named.empty()) {
      folders = {std::move(named)};
    } else {
      folders.emplace_back("");
      for (std::string& folder : gpu::folders_of(kToolkit, "lib64"))
        folders.push_back(std::move(folder));
      folders.emplace_back("/usr/local/cuda/lib64");
    }
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

/// A matrix whose columns lie one after the other, which is how the library sees memory.
struct Matrix {
  Index rows = 0, columns = 0, pitch = 0, batch_stride = 0;
  bool transposed = false;  ///< it is the operand's transpose
  Index alignment = 0;      ///< of its first element, bytes
};

/// Everything that a product depends on but for addresses: its key.
struct Problem {
  Index type = 0, batch = 1, biased = 0;
  Matrix a, b, d;
  std::array<Index, 21> words() const {
    std::array<Index, 21> all{type, batch, biased};
    std::size_t n = 3;
    for (const Matrix* m : {&a, &b, &d})
      for (const Index w :
           {m->rows, m->columns, m->pitch, m->batch_stride, Index{m->transposed}, m->alignment})
        all[n++] = w;
    return all;
  }
};
struct WordsHash {
  std::size_t operator()(const std::array<Index, 21>& words) const {
    std::uint64_t h = 0xcbf29ce484222325u;
    for (const Index w : words) h = (h ^ static_cast<std::uint64_t>(w)) * 0x100000001b3u;
    return static_cast<std::size_t>(h ^ h >> 32);
  }
};

Index alignment_of(const void* at) {
  const auto bits = std::bit_cast<std::uintptr_t>(at);
  return bits == 0 ? 16 : Index{1} << std::min(std::countr_zero(bits), 4);
}

/// rows × columns elements, `down` and `across` apart. One of the two has to be 1 (or to have one
/// element), the other as long as its run.
std::optional<Matrix> matrix(Index rows, Index columns, Index down, Index across) {
  Matrix m{rows, columns};
  if ((down == 1 || rows == 1) && (across >= rows || columns == 1)) {
    m.pitch = columns == 1 ? rows : across;
    return m;
  }
  if ((across == 1 || columns == 1) && (down >= columns || rows == 1)) {
    m.pitch = rows == 1 ? columns : down;
    std::swap(m.rows, m.columns);
    m.transposed = true;
    return m;
  }
  return std::nullopt;
}

/// Leading dimensions as one: how many products, and how far their operands lie apart.
struct Batch {
  Index count = 1, a = 0, b = 0;
};
std::optional<Batch> batch_of(const Operand& a, const Operand& b, const Shape& out) {
  Batch batch;
  const auto stride = [&](const Operand& x, int dim) {
    const int at = dim - (out.rank() - x.shape.rank());
    return at >= 0 && x.shape[at] != 1 ? x.strides[at] : 0;
  };
  for (int d = out.rank() - 3; d >= 0; --d) {
    if (out[d] == 1) continue;
    const Index sa = stride(a, d), sb = stride(b, d);
    if (batch.count == 1) {
      batch = {out[d], sa, sb};
    } else if (sa == batch.a * batch.count && sb == batch.b * batch.count) {
      batch.count *= out[d];
    } else {
      return std::nullopt;
    }
  }
  return batch;
}

/// The call as a product of columns: the output's transpose is b's transpose times a's.
std::optional<Problem> problem_of(const LeafCall& call) {
  const Operand &a = call.inputs[0], &b = call.inputs[1], &out = call.output;
  const bool half = out.dtype == DType::kF16 || out.dtype == DType::kBF16;
  if (call.op != Prim::kMatmul || !half || a.dtype != out.dtype || b.dtype != out.dtype) return {};
  const int ra = a.shape.rank(), rb = b.shape.rank();
  Index m = out.shape[out.shape.rank() - 2];
  const Index n = out.shape.back(), k = a.shape.back();
  const std::optional<Batch> found = batch_of(a, b, out.shape);
  if (!found || out.shape.numel() == 0 || k == 0) return {};
  Batch batch = *found;
  if (m * n * k * batch.count < kLeastWork) return {};
  const Index a_down = a.strides[ra - 2], a_across = a.strides[ra - 1];
  // Many with one right side are one that has many rows.
  if (batch.count > 1 && batch.b == 0 && batch.a == m * a_down) {
    m *= batch.count;
    batch = {};
  }
  if (batch.a < 0 || batch.b < 0) return {};
  // a^T is k × m, b^T is n × k, out^T n × m.
  std::optional<Matrix> left = matrix(n, k, b.strides[rb - 1], b.strides[rb - 2]);
  std::optional<Matrix> right = matrix(k, m, a_across, a_down);
  if (!left || !right) return {};
  Problem p;
  p.type = out.dtype == DType::kF16 ? kTypeF16 : kTypeBf16;
  p.batch = batch.count;
  p.a = *left;
  p.b = *right;
  p.d = {n, m, n};
  p.a.batch_stride = batch.b;
  p.b.batch_stride = batch.a;
  p.d.batch_stride = n * m;
  p.a.alignment = alignment_of(b.data);
  p.b.alignment = alignment_of(a.data);
  p.d.alignment = alignment_of(out.data);
  if (call.inputs.size() > 2) {
    const Operand& bias = call.inputs[2];
    if (bias.strides[0] != 1 && n > 1) return {};
    p.biased = alignment_of(bias.data);
  }
  return p;
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
  int make(const Problem& p) {
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
  int make(const Problem& p, const Matrix& m, Handle* matrix) const {
    const auto size = [](Index n) { return static_cast<std::uint64_t>(n); };
    if (const int e = calls_.create_matrix(matrix, static_cast<int>(p.type), size(m.rows),
                                           size(m.columns), m.pitch))
      return e;
    if (p.batch == 1) return gpu::kSuccess;
    const auto count = static_cast<std::int32_t>(p.batch);
    if (const int e = calls_.set_matrix(*matrix, kBatch, &count, sizeof count)) return e;
    return calls_.set_matrix(*matrix, kBatchStride, &m.batch_stride, sizeof m.batch_stride);
  }
  int choose(const Problem& p) {
    Handle wishes = nullptr;
    if (const int e = calls_.create_wishes(&wishes)) return e;
    int e = calls_.set_wish(wishes, kMostWorkspace, &kWorkspace, sizeof kWorkspace);
    if (e == gpu::kSuccess)
      e = calls_.set_wish(wishes, kReductions, &kReduceInF32, sizeof kReduceInF32);
    int attribute = kAlignmentOfA;
    for (const Matrix* m : {&p.a, &p.b, &p.d, &p.d}) {
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
    const std::optional<Problem> problem = problem_of(call);
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
      const std::string problem = context_->name() + ": cuBLASLt does not take a " + made->name +
                                  ": " + blas_lt().calls.error_text(e) + " (" + std::to_string(e) +
                                  "). An own kernel computes it.";
      if (e == kNotSupported)
        logging::debug(problem);
      else
        logging::warn(problem);
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
  jit::Lru<std::array<Index, 21>, std::shared_ptr<const Product>, WordsHash> products_{
      kProductsKept};
};

}  // namespace

std::unique_ptr<gpu::ProductLibrary> make_blas_lt(std::shared_ptr<gpu::Context> context) {
  return std::make_unique<Library>(std::move(context));
}

}  // namespace flash::cuda
