// kernels/gpu/leaf_multiply_text.cpp -- how a product's thread block multiplies: by its threads'
// registers, or by tensor cores
//
// A text stands in front of kProductText and says how slices of the operands lie in shared memory,
// and how they are multiplied. A block's tile is BM x BN, a thread's part of it RM x RN elements,
// a slice BK steps of k:
//
//   CELL PITCH_A CELLS_A ...   an element of a slice; the cells that one takes
//   A_ALONG_K A_AT(p, i) ...   whether neighbours along k lie closest, and where an element goes
//   VEC FETCHED FETCH NOTHING  what is read at once: VEC neighbours; PUT(cell, v) writes them
//   ROW(r) COL(c)              where a thread's elements of the tile are
//   CUT_AT(i)                  where block number i of k begins, of `blocks`
//   EXACT                      whether blocks of k are summed on their own, as on the CPU
//   MULTIPLY()                 adds to acc the product of the slices' first `left` steps of k
#include "kernels/gpu/leaf_source.h"

namespace flash::gpu {

// In registers, a step of k after the other: the CPU's bits. TX x TY threads.
const std::string_view kRegisterText = R"source(
#define EXACT 1
#define CELL REAL
#define VEC 1
#define FETCHED REAL
#define FETCH(at) LOAD(at)
#define NOTHING ZERO
#define PUT(cell, v) cell = v
#define PITCH_A (BM + 4)
#define PITCH_B (BN + 4)
#define CELLS_A (BK * PITCH_A)
#define CELLS_B (BK * PITCH_B)
#define A_ALONG_K (ARG_A_ALONG_K != i64(0))
#define B_ALONG_K (ARG_B_ALONG_K != i64(0))
#define A_AT(p, i) ((p) * PITCH_A + (i))
#define B_AT(p, j) ((p) * PITCH_B + (j))
#define CUT_AT(i) (depth * (i) / blocks)

// A thread's rows and columns lie in runs of VM and VN, the runs of the other threads between them:
// reads of shared memory are wide and without conflicts, writes of the output neighbours.
#define VM (RM % 4 == 0 ? 4 : RM)
#define VN (RN % 4 == 0 ? 4 : RN)
#define ROW(r) (t / TX * VM + (r) / VM * (TY * VM) + (r) % VM)
#define COL(c) (t % TX * VN + (c) / VN * (TX * VN) + (c) % VN)

#define STEP(p)                                                                            \
  {                                                                                        \
    UNROLL for (i32 r = 0; r < RM; ++r) a_of[r] = slice_a[A_AT(p, ROW(r))];                \
    UNROLL for (i32 c = 0; c < RN; ++c) b_of[c] = slice_b[B_AT(p, COL(c))];                \
    UNROLL for (i32 r = 0; r < RM; ++r)                                                    \
      UNROLL for (i32 c = 0; c < RN; ++c)                                                  \
        acc[r * RN + c] = CHAIN(a_of[r], b_of[c], acc[r * RN + c]);                        \
  }
#if PREFETCH
#define MULTIPLY()                           \
  if (left == BK) {                          \
    UNROLL for (i32 p = 0; p < BK; ++p) STEP(p) \
  } else {                                   \
    for (i32 p = 0; p < left; ++p) STEP(p)   \
  }
#else
#define MULTIPLY() for (i32 p = 0; p < left; ++p) STEP(p)
#endif
)source";

// By the units of NVIDIA's GPUs that multiply small matrices of halves and add in f32 (PTX ISA,
// "Matrix multiply-accumulate instructions": mma and ldmatrix, sm_80 and later): 16 rows of a by 16
// steps of k times those by 8 columns of b. A warp computes WM x WN elements of the tile; slices
// lie in shared memory the way round that they do in global memory (A_ALONG_K, B_ALONG_K), whose
// neighbours are read VEC at once. Rows of 8 halves, which ldmatrix reads eight at a time, are a
// pitch apart that keeps them in different banks.
const std::string_view kTensorCoreText = R"source(
#define EXACT 0
#define CELL i16
#if VEC == 8
#define FETCHED Words4
#define FETCH(at) (*(const Words4*)(at))
#define NOTHING Words4{0u, 0u, 0u, 0u}
#define PUT(cell, v) *(Words4*)&cell = v
#else
#define FETCHED i32
#define FETCH(at) load_i16(at)
#define NOTHING 0
#define PUT(cell, v) cell = i16(v)
#endif
#define PITCH_A ((A_ALONG_K ? BK : BM) + 8)
#define PITCH_B ((B_ALONG_K ? BK : BN) + 8)
#define CELLS_A ((A_ALONG_K ? BM : BK) * PITCH_A)
#define CELLS_B ((B_ALONG_K ? BN : BK) * PITCH_B)
#define A_AT(p, i) (A_ALONG_K ? (i) * PITCH_A + (p) : (p) * PITCH_A + (i))
#define B_AT(p, j) (B_ALONG_K ? (j) * PITCH_B + (p) : (p) * PITCH_B + (j))
#define CUT_AT(i) min_i64(depth, i64(K_BLOCK) * (i))

// A thread's part of a warp's elements: pairs of neighbours in two rows of each 16 x 8.
#define WARP_ROW (t / 32 % (BM / WM) * WM)
#define WARP_COL (t / 32 / (BM / WM) * WN)
#define ROW(r) (WARP_ROW + (r) / 2 * 16 + (r) % 2 * 8 + t % 32 / 4)
#define COL(c) (WARP_COL + (c) / 2 * 8 + t % 4 * 2 + (c) % 2)

#ifdef __CUDACC_RTC__
// Four 8 x 8 matrices whose rows begin at the addresses of eight threads each; each thread gets two
// neighbours of one row of every matrix, or of one column.
#define LOAD_MATRICES(name, way)                                                              \
  FN void name(u32* m, const i16* row) {                                                      \
    asm volatile("ldmatrix.sync.aligned.m8n8.x4" way ".shared.b16 {%0, %1, %2, %3}, [%4];"    \
                 : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])                             \
                 : "r"(u32(__cvta_generic_to_shared(row)))                                    \
                 : "memory");                                  \
  }
LOAD_MATRICES(load_rows, "")
LOAD_MATRICES(load_columns, ".trans")
#define ADD_PRODUCT(name, type)                                                               \
  FN void name(f32& c0, f32& c1, f32& c2, f32& c3, const u32* a, const u32* b) {              \
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type ".f32 "               \
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"            \
                 : "+f"(c0), "+f"(c1), "+f"(c2), "+f"(c3)                                     \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));         \
  }
ADD_PRODUCT(add_product_f16, "f16")
ADD_PRODUCT(add_product_bf16, "bf16")
#endif

// Of the four matrices of 16 x 16 elements that begin at (p, at), the row that this thread names:
// they are numbered along the side of a first, along k of b.
#define MATRIX_ROW_A(p, at)                                                                   \
  &slice_a[A_ALONG_K ? A_AT((p) + t % 32 / 16 * 8, (at) + t % 16)                             \
                     : A_AT((p) + t % 32 / 16 * 8 + t % 8, (at) + t % 16 / 8 * 8)]
#define MATRIX_ROW_B(p, at)                                                                   \
  &slice_b[B_ALONG_K ? B_AT((p) + t % 16 / 8 * 8, (at) + t % 32 / 16 * 8 + t % 8)             \
                     : B_AT((p) + t % 16, (at) + t % 32 / 16 * 8)]
#define LOAD_A(m, row) if (A_ALONG_K) load_rows(m, row); else load_columns(m, row);
#define LOAD_B(m, row) if (B_ALONG_K) load_rows(m, row); else load_columns(m, row);

// A slice is zero behind its end.
#define MULTIPLY()                                                                            \
  if (left > 0) {                                                                             \
    UNROLL for (i32 p = 0; p < BK; p += 16) {                                                 \
      u32 a_of[RM * 2], b_of[RN];                                                             \
      UNROLL for (i32 r = 0; r < RM; r += 2)                                                  \
        LOAD_A(a_of + r * 2, MATRIX_ROW_A(p, WARP_ROW + r * 8))                               \
      UNROLL for (i32 c = 0; c < RN; c += 4)                                                  \
        LOAD_B(b_of + c, MATRIX_ROW_B(p, WARP_COL + c * 4))                                   \
      UNROLL for (i32 r = 0; r < RM; r += 2)                                                  \
        UNROLL for (i32 c = 0; c < RN; c += 2)                                                \
          ADD_PRODUCT_OF(acc[r * RN + c], acc[r * RN + c + 1], acc[(r + 1) * RN + c],         \
                         acc[(r + 1) * RN + c + 1], a_of + r * 2, b_of + c);                  \
    }                                                                                         \
  }
)source";

}  // namespace flash::gpu
