#include "prelude.metal"
// column_sum
KERNEL(column_sum) {
  SHARED(i32, column_sum_is_last, 1)
  const i64 w0 = ARG(0);
  const i64 w1 = ARG(1);
  const i64 w3 = ARG(3);
  const i64 w4 = ARG(4);
  const i64 w5 = ARG(5);
  const i64 w6 = ARG(6);
  const i64 w7 = ARG(7);
  const i64 w8 = ARG(8);
  const i64 w9 = ARG(9);
  const i64 w11 = ARG(11);
  const i64 w14 = ARG(14);
  const i32 lane = THREAD_X, width = SIZE_X;
  for (i64 tile = i64(BLOCK_X) * SIZE_Y + THREAD_Y; tile < tiles; tile += i64(GRID_X) * SIZE_Y) {
    const i64 parts = w3, part = tile % parts, whole = tile / parts;
    const i64 chunks = w1;
    const i64 point = whole / chunks;
    const i64 first = whole % chunks * w0, last = first + w0;
    const i64 end_lane = last < w7 ? last : w7;
    for (i64 i1 = first + lane; i1 < end_lane; i1 += width) {
      f32 v1;
      {
        i64 pushed = 0;
        f32 stack1[40];
        const i64 run = w6, per_run = (run + 64 - 1) / 64;
        const i64 blocks = per_run, begin = part * w4;
        const i64 end = blocks < begin + w4 ? blocks : begin + w4;
        for (i64 number = begin; number < end; ++number) {
          const i64 from = number % per_run * 64;
          const i64 to = number >= end ? from : run < from + 64 ? run : from + 64;
          f32 acc1 = literal_f32(0u);
          for (i64 i0 = from; i0 < to; ++i0) {
            const f32 v0 = load_f32(u64(w8 + i0 * w9 + i1 * 4));
            acc1 = add_f32(acc1, v0);
          }
          {
            i32 level = 0;
            for (; (pushed >> level & i64(1)) != 0; ++level) acc1 = add_f32(stack1[level], acc1);
            stack1[level] = acc1;
          }
          ++pushed;
        }
        v1 = literal_f32(0u);
        if (pushed > 0) {
          i32 level = 0;
          while ((pushed >> level & i64(1)) == 0) ++level;
          v1 = stack1[level];
          for (++level; (pushed >> level) != 0; ++level)
            if ((pushed >> level & i64(1)) != 0) v1 = add_f32(stack1[level], v1);
        }
        publish_f32(u64(w14 + ((point * parts + part) * w7 + i1) * 4), v1);
      }
    }
    FENCE();
    BARRIER();
    if (lane == 0) {
      const u64 tally = ARGS + u64((w5 + whole) * 8);
      const pred all = atomic_add_u32(tally, 1u) + 1u == u32(parts);
      if (all) store_i32(tally, 0);
      column_sum_is_last[0] = all ? 1 : 0;
    }
    BARRIER();
    const pred goes_on = column_sum_is_last[0] != 0;
    BARRIER();
    if (!goes_on) continue;
    FENCE();
    for (i64 i1 = first + lane; i1 < end_lane; i1 += width) {
      f32 v1;
      {
        i64 pushed = 0;
        f32 stack1[40];
        for (i64 p = 0; p < parts; ++p) {
          f32 r1 = fresh_f32(u64(w14 + ((point * parts + p) * w7 + i1) * 4));
          {
            i32 level = 0;
            for (; (pushed >> level & i64(1)) != 0; ++level) r1 = add_f32(stack1[level], r1);
            stack1[level] = r1;
          }
          ++pushed;
        }
        v1 = literal_f32(0u);
        if (pushed > 0) {
          i32 level = 0;
          while ((pushed >> level & i64(1)) == 0) ++level;
          v1 = stack1[level];
          for (++level; (pushed >> level) != 0; ++level)
            if ((pushed >> level & i64(1)) != 0) v1 = add_f32(stack1[level], v1);
        }
      }
      store_f32(u64(w11 + i1 * 4), v1);
    }
  }
}
