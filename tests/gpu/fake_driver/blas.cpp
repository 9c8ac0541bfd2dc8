// tests/gpu/fake_driver/blas.cpp -- cuBLASLt without a GPU: products in the fake driver's queues
//
// Written against NVIDIA's documentation. It adds in f64 and rounds once, which no tensor core
// does: what uses it is compared within a bound.
#include <dlfcn.h>

#include <cstdint>
#include <cstring>
#include <utility>

#include "control.h"
#include "core/dtype.h"
#include "objects.h"

#define EXPORT extern "C" __attribute__((visibility("default")))
#define ENTER(call) \
  if (const int error = fake::enter(#call)) return error

using namespace flash;
using namespace flash::test;
using flash::test::fake::Objects;

namespace {

constexpr int kOk = 0, kInvalid = 7, kNotSupported = 15;
constexpr int kF16 = 2, kBf16 = 14;

struct Product {
  std::int32_t transpose[2] = {0, 0};
  std::uint32_t epilogue = 1;
  std::uint64_t bias = 0;
};
struct Matrix {
  int type = 0;
  std::uint64_t rows = 0, columns = 0;
  std::int64_t pitch = 0, stride = 0;
  std::int32_t batch = 1;
};
struct Wishes {
  std::uint64_t workspace = 0;
  std::uint32_t reductions = 7, alignment[4] = {256, 256, 256, 256};
};
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
constexpr std::uint64_t kChosen = 0xa160;
constexpr std::size_t kWorkspace = 4096;

struct All {
  Objects<int> handles{"blas"};
  Objects<Product> products{"blas object"};
  Objects<Matrix> matrices{"blas object"};
  Objects<Wishes> wishes{"blas object"};
};
All& all() {
  static All& objects = *new All;
  return objects;
}

/// Copies an attribute of the very size that it has.
template <class T>
int read(T& to, const void* value, std::size_t bytes) {
  if (bytes != sizeof(T)) return kInvalid;
  std::memcpy(&to, value, bytes);
  return kOk;
}

double element(int type, const void* at, std::int64_t i) {
  if (type == kF16) return to_float(static_cast<const Half*>(at)[i]);
  return to_float(static_cast<const BFloat16*>(at)[i]);
}
void put(int type, void* at, std::int64_t i, double v) {
  if (type == kF16)
    static_cast<Half*>(at)[i] = to_half(static_cast<float>(v));
  else
    static_cast<BFloat16*>(at)[i] = to_bfloat16(static_cast<float>(v));
}

struct Work {
  Product p;
  Matrix a, b, d;
  const void *a_at, *b_at;
  void *d_at, *workspace;
};
void release(void* data) { delete static_cast<Work*>(data); }
void multiply(void* data) {
  const auto* const w = static_cast<const Work*>(data);
  const int type = w->d.type;
  const auto rows = static_cast<std::int64_t>(w->d.rows),
             columns = static_cast<std::int64_t>(w->d.columns);
  const auto depth = static_cast<std::int64_t>(w->p.transpose[0] ? w->a.rows : w->a.columns);
  if (w->workspace) std::memset(w->workspace, 0x55, kWorkspace);
  for (std::int32_t n = 0; n < w->d.batch; ++n)
    for (std::int64_t j = 0; j < columns; ++j)
      for (std::int64_t i = 0; i < rows; ++i) {
        double sum = 0;
        for (std::int64_t k = 0; k < depth; ++k) {
          const std::int64_t a = w->p.transpose[0] ? k + i * w->a.pitch : i + k * w->a.pitch;
          const std::int64_t b = w->p.transpose[1] ? j + k * w->b.pitch : k + j * w->b.pitch;
          sum += element(type, w->a_at, a + n * w->a.stride) *
                 element(type, w->b_at, b + n * w->b.stride);
        }
        if (w->p.epilogue == 4) sum += element(type, reinterpret_cast<const void*>(w->p.bias), i);
        put(type, w->d_at, i + j * w->d.pitch + n * w->d.stride, sum);
      }
}

/// What a product does not fit.
bool fits(const Product& p, const Matrix& a, const Matrix& b, const Matrix& d) {
  const auto size = [](const Matrix& m, bool transposed) {
    return transposed ? std::pair(m.columns, m.rows) : std::pair(m.rows, m.columns);
  };
  const auto [m, k] = size(a, p.transpose[0]);
  const auto [k_of_b, n] = size(b, p.transpose[1]);
  if (m != d.rows || n != d.columns || k != k_of_b || a.type != d.type || b.type != d.type)
    return false;
  if (a.batch != d.batch || b.batch != d.batch) return false;
  for (const Matrix* x : {&a, &b, &d})
    if (x->pitch < static_cast<std::int64_t>(x->rows)) return false;
  return d.type == kF16 || d.type == kBf16;
}

}  // namespace

EXPORT int cublasLtCreate(void** handle) {
  ENTER(cublasLtCreate);
  *handle = all().handles.make();
  return kOk;
}
EXPORT int cublasLtDestroy(void* handle) { return all().handles.destroy(handle) ? kOk : kInvalid; }
EXPORT std::size_t cublasLtGetVersion() { return 130'000; }
EXPORT const char* cublasLtGetStatusString(int) { return "an error of the fake library"; }

EXPORT int cublasLtMatmulDescCreate(void** product, int compute, int scale) {
  ENTER(cublasLtMatmulDescCreate);
  if (compute != 68 || scale != 0) return kInvalid;
  *product = all().products.make();
  return kOk;
}
EXPORT int cublasLtMatmulDescDestroy(void* product) {
  return all().products.destroy(product) ? kOk : kInvalid;
}
EXPORT int cublasLtMatmulDescSetAttribute(void* product, int attribute, const void* value,
                                          std::size_t bytes) {
  ENTER(cublasLtMatmulDescSetAttribute);
  Product* const p = all().products.find(product);
  if (!p) return kInvalid;
  switch (attribute) {
    case 3:
    case 4:
      return read(p->transpose[attribute - 3], value, bytes);
    case 7:
      return read(p->epilogue, value, bytes);
    case 8:
      return read(p->bias, value, bytes);
    default:
      return kInvalid;
  }
}

EXPORT int cublasLtMatrixLayoutCreate(void** matrix, int type, std::uint64_t rows,
                                      std::uint64_t columns, std::int64_t pitch) {
  ENTER(cublasLtMatrixLayoutCreate);
  *matrix = all().matrices.make(Matrix{type, rows, columns, pitch});
  return kOk;
}
EXPORT int cublasLtMatrixLayoutDestroy(void* matrix) {
  return all().matrices.destroy(matrix) ? kOk : kInvalid;
}
EXPORT int cublasLtMatrixLayoutSetAttribute(void* matrix, int attribute, const void* value,
                                            std::size_t bytes) {
  ENTER(cublasLtMatrixLayoutSetAttribute);
  Matrix* const m = all().matrices.find(matrix);
  if (!m) return kInvalid;
  if (attribute == 5) return read(m->batch, value, bytes);
  if (attribute == 6) return read(m->stride, value, bytes);
  return kInvalid;
}

EXPORT int cublasLtMatmulPreferenceCreate(void** wishes) {
  ENTER(cublasLtMatmulPreferenceCreate);
  *wishes = all().wishes.make();
  return kOk;
}
EXPORT int cublasLtMatmulPreferenceDestroy(void* wishes) {
  return all().wishes.destroy(wishes) ? kOk : kInvalid;
}
EXPORT int cublasLtMatmulPreferenceSetAttribute(void* wishes, int attribute, const void* value,
                                                std::size_t bytes) {
  ENTER(cublasLtMatmulPreferenceSetAttribute);
  Wishes* const w = all().wishes.find(wishes);
  if (!w) return kInvalid;
  if (attribute == 1) return read(w->workspace, value, bytes);
  if (attribute == 3) return read(w->reductions, value, bytes);
  if (attribute >= 5 && attribute <= 8) return read(w->alignment[attribute - 5], value, bytes);
  return kInvalid;
}

// An algorithm remembers for which alignments it was chosen. Some products have none: those of odd
// depth.
EXPORT int cublasLtMatmulAlgoGetHeuristic(void* handle, void* product, void* a, void* b, void* c,
                                          void* d, void* wishes, int wanted, void* suggestions,
                                          int* count) {
  ENTER(cublasLtMatmulAlgoGetHeuristic);
  const Product* const p = all().products.find(product);
  const Matrix *const a_is = all().matrices.find(a), *const b_is = all().matrices.find(b),
                      *const d_is = all().matrices.find(d);
  const Wishes* const w = all().wishes.find(wishes);
  if (!all().handles.find(handle) || !p || !a_is || !b_is || !d_is || c != d || !w || wanted < 1)
    return kInvalid;
  if (!fits(*p, *a_is, *b_is, *d_is) || w->reductions != 2) return kInvalid;
  if ((p->transpose[0] ? a_is->rows : a_is->columns) % 2) {
    *count = 0;
    return kNotSupported;
  }
  Suggestion s{};
  s.algorithm.data[0] = kChosen;
  for (int i = 0; i < 4; ++i) s.algorithm.data[1 + i] = w->alignment[i];
  s.workspace = w->workspace >= kWorkspace ? kWorkspace : 0;
  std::memcpy(suggestions, &s, sizeof s);
  *count = 1;
  return kOk;
}

EXPORT int cublasLtMatmul(void* handle, void* product, const void* alpha, const void* a, void* a_is,
                          const void* b, void* b_is, const void* beta, const void* c, void* c_is,
                          void* d, void* d_is, const void* chosen, void* workspace,
                          std::size_t bytes, void* stream) {
  ENTER(cublasLtMatmul);
  const auto* const algorithm = static_cast<const Algorithm*>(chosen);
  const Product* const p = all().products.find(product);
  const Matrix *const am = all().matrices.find(a_is), *const bm = all().matrices.find(b_is),
                      *const dm = all().matrices.find(d_is);
  if (!all().handles.find(handle) || !p || !am || !bm || !dm || c_is != d_is || c != d ||
      algorithm->data[0] != kChosen || !fits(*p, *am, *bm, *dm))
    return kInvalid;
  float one = 0, zero = 1;
  std::memcpy(&one, alpha, sizeof one);
  std::memcpy(&zero, beta, sizeof zero);
  if (one != 1 || zero != 0) return kInvalid;
  if (bytes != 0 && (bytes < kWorkspace || !workspace)) return kInvalid;
  const void* const at[] = {a, b, c, d};
  for (int i = 0; i < 4; ++i)
    if (reinterpret_cast<std::uintptr_t>(at[i]) % algorithm->data[1 + i]) return kInvalid;
  static void* const driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
  using Submit = int (*)(void*, void (*)(void*), void (*)(void*), void*);
  static const auto submit = reinterpret_cast<Submit>(dlsym(driver, "fake_gpu_submit"));
  return submit(stream, multiply, release,
                new Work{*p, *am, *bm, *dm, a, b, d, bytes ? workspace : nullptr});
}
