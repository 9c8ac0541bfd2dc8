// kernels/gpu/leaf_product_text.cpp -- the source of matrix products and of convolutions as
// products
//
// One of the texts of leaf_multiply_text.cpp stands in front, and before that what leaf_source()
// defines: the words (ARG_...), the types and the sizes of a tile.
//
//   FORM                       MATMUL, CONV (forward and input gradient) or FILTER (its gradient)
//   REAL LOAD STORE BYTES ...  the type it computes in, and that of the operands
//   BM BN RM RN BK             a block's tile is BM x BN, a thread's RM x RN elements of it
//   INDEX                      i32, or i64 where sizes of 2^31 and more occur
//   EPILOGUE(at) ...           what emit::clike_epilogue() defines, if an epilogue is called
#include "kernels/gpu/leaf_source.h"

namespace flash::gpu {

const std::string_view kProductText = R"source(
// How many fetches of a slice a thread makes.
#define LA (BM * BK / VEC / THREADS)
#define LB (BN * BK / VEC / THREADS)

SHARED(CELL, slice_a, (CELLS_A))
SHARED(CELL, slice_b, (CELLS_B))

// Where the bias of a group's first row lies.
#if FORM == CONV
#define BIAS_BEGIN (group * size_m)
#else
#define BIAS_BEGIN 0
#endif

#if FORM != MATMUL
// Where an element of b lies is the sum of a part that k gives and one that its column gives; the
// same holds for its pixel, and what lies outside of the image is 0.
SHARED(i64, k_a, BK)
SHARED(i64, k_b, BK)
SHARED(INDEX, k_y, BK)
SHARED(INDEX, k_x, BK)
SHARED(i64, n_b, BN)
SHARED(INDEX, n_y, BN)
SHARED(INDEX, n_x, BN)
#endif

// With PREFETCH a slice of k is read into registers while the one before is used; without, straight
// into shared memory.
#if PREFETCH
#define FETCHES UNROLL
#define KEEP_A(l, p, i, v) next_a[l] = v
#define KEEP_B(l, p, j, v) next_b[l] = v
#else
#define FETCHES
#define KEEP_A(l, p, i, v) PUT(slice_a[A_AT(p, i)], v)
#define KEEP_B(l, p, j, v) PUT(slice_b[B_AT(p, j)], v)
#endif

// Where block number `i` of k begins.
#if FORM == FILTER
#define CUT(i) ((i) / ARG_UNITS_PER_IMAGE * (ARG_OUT_H * ARG_OUT_W) + \
                (i) % ARG_UNITS_PER_IMAGE * (ARG_UNIT_ROWS * ARG_OUT_W))
#else
#define CUT(i) CUT_AT(i)
#endif

// Where column `n` of the result begins.
#if FORM == CONV
#define COLUMN_AT(n) (i64(INDEX(n) / (rows * cols)) * ARG_C_IMAGE +         \
                      i64(INDEX(n) % (rows * cols) / cols) * ARG_C_H +      \
                      i64(INDEX(n) % (rows * cols) % cols) * ARG_C_W)
#else
#define COLUMN_AT(n) ((n) * ARG_C_COL)
#endif

// After a slice of `next` steps of k: whether it ends a block, and which one is next.
#define ADVANCE()                            \
  left = next;                               \
  k += i64(next);                            \
  closes = k == end;                         \
  if (closes) {                              \
    block += i64(1);                         \
    if (block < last) end = CUT(block + i64(1)); \
  }

KERNEL(NAME) {
  const i32 t = THREAD_X;
  // Which element of a slice a thread fetches first, and how far the next ones are: neighbours run
  // along k or along the other side, as they lie in memory.
  const pred a_along_k = A_ALONG_K, b_along_k = B_ALONG_K;
  const i32 run_k = BK / VEC, run_a = BM / VEC, run_b = BN / VEC;
  const i32 a_p = a_along_k ? t % run_k * VEC : t / run_a;
  const i32 a_i = a_along_k ? t / run_k : t % run_a * VEC;
  const i32 b_p = b_along_k ? t % run_k * VEC : t / run_b;
  const i32 b_j = b_along_k ? t / run_k : t % run_b * VEC;
  const i32 a_dp = a_along_k ? 0 : THREADS / run_a, a_di = a_along_k ? THREADS / run_k : 0;
  const i32 b_dp = b_along_k ? 0 : THREADS / run_b, b_dj = b_along_k ? THREADS / run_k : 0;

  for (i64 tile = i64(BLOCK_X); tile < tiles; tile += i64(GRID_X)) {
    i64 rest = tile;
    const i64 m0 = rest % ARG_TILES_M * i64(BM);
    rest = rest / ARG_TILES_M;
    const i64 n0 = rest % ARG_TILES_N * i64(BN);
    rest = rest / ARG_TILES_N;
    const i64 part = rest % ARG_PARTS;
    rest = rest / ARG_PARTS;
    u64 a_at = u64(ARG_A), b_at = u64(ARG_B);
    i64 c_at = 0;

#if FORM == MATMUL
    const i64 size_m = ARG_M, size_n = ARG_N, depth = ARG_K;
    c_at = rest * (size_m * size_n);
    for (i32 d = i32(ARG_DIMS) - 1; d >= 0; --d) {
      const i64 size = ARG(ARG_TAIL + 3 * d), at = rest % size;
      rest = rest / size;
      a_at += u64(at * ARG(ARG_TAIL + 3 * d + 1));
      b_at += u64(at * ARG(ARG_TAIL + 3 * d + 2));
    }
#elif FORM == CONV
    // A phase has its own rows and columns of the result, and its own taps: five words each.
    const i32 phase_x = ARG_TAIL + 5 * i32(ARG_PHASES_Y + rest % ARG_PHASES_X);
    rest = rest / ARG_PHASES_X;
    const i32 phase_y = ARG_TAIL + 5 * i32(rest % ARG_PHASES_Y);
    const i64 group = rest / ARG_PHASES_Y;
    const INDEX rows = INDEX(ARG(phase_y)), cols = INDEX(ARG(phase_x));
    const INDEX taps_y = INDEX(ARG(phase_y + 1)), taps_x = INDEX(ARG(phase_x + 1));
    const INDEX shift_y = INDEX(ARG(phase_y + 2)), shift_x = INDEX(ARG(phase_x + 2));
    const i64 size_m = ARG_M, size_n = ARG_IMAGES * i64(rows) * i64(cols);
    const i64 depth = ARG_CHANNELS * i64(taps_y) * i64(taps_x);
    a_at += u64(group * ARG_A_GROUP + ARG(phase_y + 3) + ARG(phase_x + 3));
    b_at += u64(group * ARG_B_GROUP);
    c_at = group * ARG_C_GROUP + ARG(phase_y + 4) + ARG(phase_x + 4);
#else
    const i64 size_m = ARG_M, size_n = ARG_N, group = rest;
    const INDEX taps_y = INDEX(ARG_TAPS_Y), taps_x = INDEX(ARG_TAPS_X);
    const INDEX rows = INDEX(ARG_OUT_H), cols = INDEX(ARG_OUT_W);
    a_at += u64(group * ARG_A_GROUP);
    b_at += u64(group * ARG_B_GROUP);
    c_at = group * (size_m * size_n);
#endif

#if FORM == FILTER
    const i64 blocks = ARG_UNITS;
#else
    const i64 blocks = depth > i64(K_BLOCK) ? (depth + i64(K_BLOCK - 1)) / i64(K_BLOCK) : i64(1);
#endif
    const i32 left_m = i32(min_i64(size_m - m0, i64(BM)));
    const i32 left_n = i32(min_i64(size_n - n0, i64(BN)));
    i64 block = blocks * part / ARG_PARTS;
    const i64 last = blocks * (part + i64(1)) / ARG_PARTS;
    i64 k = i64(0), end = i64(0);
    if (block < last) {
      k = CUT(block);
      end = CUT(block + i64(1));
    }

#if FORM == MATMUL
    const i64 a_step = i64(a_di) * ARG_A_ROW + i64(a_dp) * ARG_A_COL, a_k = ARG_A_COL;
    const i64 b_step = i64(b_dp) * ARG_B_ROW + i64(b_dj) * ARG_B_COL, b_k = ARG_B_ROW;
    a_at += u64((m0 + i64(a_i)) * ARG_A_ROW + (k + i64(a_p)) * ARG_A_COL);
    b_at += u64((k + i64(b_p)) * ARG_B_ROW + (n0 + i64(b_j)) * ARG_B_COL);
#else
    const INDEX height = INDEX(ARG_H), width = INDEX(ARG_W);
    const INDEX dilation_y = INDEX(ARG_DILATION_Y), dilation_x = INDEX(ARG_DILATION_X);
    const INDEX step_y = INDEX(ARG_STEP_Y), step_x = INDEX(ARG_STEP_X);
    const i64 b_h = ARG_B_H, b_w = ARG_B_W, a_row = ARG_A_ROW;
    for (i32 j = t; j < left_n; j += THREADS) {
      const INDEX n = INDEX(n0) + INDEX(j);
#if FORM == CONV
      const INDEX image = n / (rows * cols), pixel = n % (rows * cols);
      const INDEX y = pixel / cols * step_y + shift_y, x = pixel % cols * step_x + shift_x;
      const i64 outer = i64(image) * ARG_B_IMAGE;
#else
      const INDEX channel = n / (taps_y * taps_x), tap = n % (taps_y * taps_x);
      const INDEX y = tap / taps_x * dilation_y - INDEX(ARG_PADDING_Y);
      const INDEX x = tap % taps_x * dilation_x - INDEX(ARG_PADDING_X);
      const i64 outer = i64(channel) * ARG_B_CHANNEL;
#endif
      n_y[j] = y;
      n_x[j] = x;
      n_b[j] = outer + i64(y) * b_h + i64(x) * b_w;
    }
#endif

    REAL acc[RM * RN];
    UNROLL for (i32 e = 0; e < RM * RN; ++e) acc[e] = ZERO;
#if EXACT
    REAL sum[RM * RN], a_of[RM], b_of[RN];
    UNROLL for (i32 e = 0; e < RM * RN; ++e) sum[e] = ZERO;
    pred begun = false;
#endif
#if PREFETCH
    FETCHED next_a[LA], next_b[LB];
#endif
    pred closes = false;
    i32 left = 0;
    for (;;) {
      // The next slice is of the same block of k, or the first of the following one.
      const i32 next = block < last ? i32(min_i64(end - k, i64(BK))) : 0;
#if FORM == CONV
      if (t < next) {
        const INDEX at = INDEX(k) + INDEX(t);
        const INDEX channel = at / (taps_y * taps_x), tap = at % (taps_y * taps_x);
        const INDEX y = tap / taps_x, x = tap % taps_x;
        k_a[t] = i64(channel) * ARG_A_CHANNEL + i64(y) * ARG_A_TAP_Y + i64(x) * ARG_A_TAP_X;
        k_y[t] = y * dilation_y;
        k_x[t] = x * dilation_x;
        k_b[t] = i64(channel) * ARG_B_CHANNEL + i64(k_y[t]) * b_h + i64(k_x[t]) * b_w;
      }
#elif FORM == FILTER
      if (t < next) {
        const INDEX at = INDEX(k) + INDEX(t);
        const INDEX image = at / (rows * cols), pixel = at % (rows * cols);
        const INDEX y = pixel / cols, x = pixel % cols;
        k_a[t] = i64(image) * ARG_A_IMAGE + i64(y) * ARG_A_H + i64(x) * ARG_A_W;
        k_y[t] = y * step_y;
        k_x[t] = x * step_x;
        k_b[t] = i64(image) * ARG_B_IMAGE + i64(k_y[t]) * b_h + i64(k_x[t]) * b_w;
      }
#endif
#if PREFETCH
      if (left > 0) {
        UNROLL for (i32 l = 0; l < LA; ++l)
          PUT(slice_a[A_AT(a_p + l * a_dp, a_i + l * a_di)], next_a[l]);
        UNROLL for (i32 l = 0; l < LB; ++l)
          PUT(slice_b[B_AT(b_p + l * b_dp, b_j + l * b_dj)], next_b[l]);
      }
#endif
      BARRIER();
      FETCHES for (i32 l = 0; l < LA; ++l) {
        const i32 p = a_p + l * a_dp, i = a_i + l * a_di;
        FETCHED v = NOTHING;
#if FORM == MATMUL
        if (p < next && i < left_m) v = FETCH(a_at + u64(i64(l) * a_step));
#else
        if (p < next && i < left_m) v = FETCH(a_at + u64((m0 + i64(i)) * a_row + k_a[p]));
#endif
        KEEP_A(l, p, i, v);
      }
      FETCHES for (i32 l = 0; l < LB; ++l) {
        const i32 p = b_p + l * b_dp, j = b_j + l * b_dj;
        FETCHED v = NOTHING;
#if FORM == MATMUL
        if (p < next && j < left_n) v = FETCH(b_at + u64(i64(l) * b_step));
#else
        if (p < next && j < left_n) {
          const INDEX y = n_y[j] + k_y[p], x = n_x[j] + k_x[p];
          if (y >= INDEX(0) && y < height && x >= INDEX(0) && x < width)
            v = FETCH(b_at + u64(n_b[j] + k_b[p]));
        }
#endif
        KEEP_B(l, p, j, v);
      }
#if FORM == MATMUL
      a_at += u64(i64(next) * a_k);
      b_at += u64(i64(next) * b_k);
#endif
#if !PREFETCH
      if (next == 0) break;
      ADVANCE()
      BARRIER();
#endif
      MULTIPLY()
#if EXACT
      if (closes) {
        UNROLL for (i32 e = 0; e < RM * RN; ++e) {
          sum[e] = begun ? ADD(sum[e], acc[e]) : acc[e];
          acc[e] = ZERO;
        }
        begun = true;
      }
#endif
#if PREFETCH
      BARRIER();
      if (next == 0) break;
      ADVANCE()
#endif
    }

#if EXACT
#define SUM(e) sum[e]
#else
#define SUM(e) acc[e]
#endif
    // A bias goes with the rows or with the columns.
    const u64 bias = u64(ARG_BIAS), bias_m = u64(ARG_BIAS_M), bias_n = u64(ARG_BIAS_N);
    const pred of_rows = bias != u64(0) && bias_m != u64(0), of_cols = bias != u64(0) && !of_rows;
    REAL row_bias[RM];
    UNROLL for (i32 r = 0; r < RM; ++r) {
      row_bias[r] = ZERO;
      if (of_rows && ROW(r) < left_m)
        row_bias[r] = LOAD(bias + u64(m0 + i64(ROW(r))) * bias_m + u64(BIAS_BEGIN) * bias_n);
    }
    const i64 c_row = ARG_C_ROW;
    const pred whole = ARG_PARTS == i64(1);
    const u64 to = u64(ARG_C) + (whole ? u64(0) : u64(part * ARG_COUNT * i64(REAL_BYTES)));
    UNROLL for (i32 c = 0; c < RN; ++c) {
      const i32 j = COL(c);
      if (j >= left_n) continue;
      const i64 n = n0 + i64(j), n_at = COLUMN_AT(n);
      REAL col_bias = ZERO;
      if (of_cols) col_bias = LOAD(bias + u64(n) * bias_n);
      UNROLL for (i32 r = 0; r < RM; ++r) {
        const i32 i = ROW(r);
        if (i >= left_m) continue;
        REAL v = SUM(r * RN + c);
        v = of_rows ? ADD(v, row_bias[r]) : of_cols ? ADD(v, col_bias) : v;
        const i64 at = c_at + (m0 + i64(i)) * c_row + n_at;
#if REAL_BYTES == BYTES
        STORE(to + u64(at * i64(BYTES)), v);
#else
        if (whole)
          STORE(to + u64(at * i64(BYTES)), v);
        else
          STORE_REAL(to + u64(at * i64(REAL_BYTES)), v);
#endif
      }
    }
#ifdef EPILOGUE
    EPILOGUE_WORDS(i32(ARG_EPILOGUE))
    for (i32 c = 0; c < RN; ++c) {
      const i32 j = COL(c);
      if (j >= left_n) continue;
      const i64 n_at = COLUMN_AT(n0 + i64(j));
      for (i32 r = 0; r < RM; ++r)
        if (ROW(r) < left_m) EPILOGUE(c_at + (m0 + i64(ROW(r))) * c_row + n_at);
    }
#endif
  }
}
)source";

// Adds up the parts of a product, in their order, then the bias.
const std::string_view kFoldText = R"source(
KERNEL(NAME) {
  for (i64 tile = i64(BLOCK_X); tile < tiles; tile += i64(GRID_X)) {
    const i64 e = tile * i64(THREADS) + i64(THREAD_X);
    if (e >= ARG_COUNT) continue;
    REAL sum = LOAD_REAL(u64(ARG_PARTS_AT) + u64(e * i64(REAL_BYTES)));
    for (i64 part = i64(1); part < ARG_PARTS; part += i64(1))
      sum = ADD(sum, LOAD_REAL(u64(ARG_PARTS_AT) + u64((part * ARG_COUNT + e) * i64(REAL_BYTES))));
    if (ARG_BIAS != i64(0))
      sum = ADD(sum, LOAD(u64(ARG_BIAS) + u64(e / ARG_BIAS_RUN % ARG_BIAS_COUNT * ARG_BIAS_STEP)));
    STORE(u64(ARG_C) + u64(e * i64(BYTES)), sum);
#ifdef EPILOGUE
    EPILOGUE_WORDS(i32(ARG_EPILOGUE))
    EPILOGUE(e);
#endif
  }
}
)source";

}  // namespace flash::gpu
