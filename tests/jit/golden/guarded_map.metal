#include "prelude.metal"
// guarded_map
TABLE(guarded_map_table0, 0u, 1048576000u, 1056964608u, 1061158912u, 1065353216u, 1067450368u, 1069547520u, 1071644672u, 1073741824u, 1074790400u, 1075838976u, 1076887552u, 1077936128u, 1078984704u, 1080033280u, 1081081856u)
KERNEL(guarded_map) {
  const i64 w0 = ARG(0);
  const i64 w1 = ARG(1);
  const i64 w7 = ARG(7);
  const i64 w8 = ARG(8);
  const i64 w9 = ARG(9);
  const i64 w11 = ARG(11);
  const i64 w12 = ARG(12);
  const i64 w14 = ARG(14);
  const i64 w15 = ARG(15);
  const i64 w16 = ARG(16);
  const i64 w17 = ARG(17);
  const i64 w18 = ARG(18);
  const i32 lane = THREAD_X, width = SIZE_X;
  for (i64 tile = i64(BLOCK_X) * SIZE_Y + THREAD_Y; tile < tiles; tile += i64(GRID_X) * SIZE_Y) {
    const i64 whole = tile;
    const i64 chunks = w1;
    const i64 point = whole / chunks;
    const i64 i0 = point;
    const i64 begin = whole % chunks * w0, last = begin + w0;
    const i64 end = last < w7 ? last : w7;
    for (i64 i1 = begin + lane; i1 < end; i1 += width) {
      const i64 v0 = w14 + i0 * w15 + i1 * w16;
      const i64 v1 = word_i64(w17);
      const pred v2 = lt_i64(v0, v1);
      const i32 v3 = cast_i32_i64(v0);
      const f32 v4 = bits_f32(guarded_map_table0[v3 & 15]);
      const f32 v5 = word_f32(w18);
      const f32 v6 = v2 ? load_f16(u64(w8 + i0 * w9 + i1 * 2)) : f32(0);
      const f32 v7 = fma_f32(v6, v5, v4);
      if (v2) store_f32(u64(w11 + i0 * w12 + i1 * 4), v7);
    }
  }
}
