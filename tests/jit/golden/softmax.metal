#include "prelude.metal"
// softmax
KERNEL(softmax) {
  SHARED(f32, softmax_shared1, 32)
  SHARED(f32, softmax_shared7, 32)
  const i64 w7 = ARG(7);
  const i64 w8 = ARG(8);
  const i64 w9 = ARG(9);
  const i64 w11 = ARG(11);
  const i64 w12 = ARG(12);
  const i32 lane = THREAD_X, width = SIZE_X;
  for (i64 tile = i64(BLOCK_X) * SIZE_Y + THREAD_Y; tile < tiles; tile += i64(GRID_X) * SIZE_Y) {
    const i64 whole = tile;
    const i64 point = whole;
    const i64 i0 = point;
    const i32 warps = width / 32, warp = lane / 32, l = lane % 32;
    f32 v1;
    {
      i64 pushed = 0;
      f32 stack1[40];
      const i64 run = w7, blocks = (run + 4096 - 1) / 4096;
      for (i64 number = 0; number < blocks; number += warps) {
        const i64 from = (number + warp) * 4096;
        const i64 to = run < from + 4096 ? run : from + 4096;
        f32 acc1[2] = {literal_f32(0xff800000u), literal_f32(0xff800000u)};
        for (i64 pair = from + l; pair < to; pair += 64) {
          UNROLL for (i32 second = 0; second < 2; ++second) {
            const i64 i1 = pair + 32 * second;
            if (i1 < to) {
              const f32 v0 = load_f32(u64(w8 + i0 * w9 + i1 * 4));
              acc1[second] = max_f32(acc1[second], v0);
            }
          }
        }
        f32 r1 = max_f32(acc1[0], acc1[1]);
        r1 = max_f32(r1, below_f32(r1, 16));
        r1 = max_f32(r1, below_f32(r1, 8));
        r1 = max_f32(r1, below_f32(r1, 4));
        r1 = max_f32(r1, below_f32(r1, 2));
        r1 = max_f32(r1, below_f32(r1, 1));
        r1 = first_f32(r1);
        if (warps == 1) {
          {
            i32 level = 0;
            for (; (pushed >> level & i64(1)) != 0; ++level) r1 = max_f32(stack1[level], r1);
            stack1[level] = r1;
          }
          ++pushed;
        }
        else {
          if (l == 0) softmax_shared1[warp] = r1;
          BARRIER();
          for (i32 w = 0; w < warps && number + w < blocks; ++w) {
            f32 s1 = softmax_shared1[w];
            {
              i32 level = 0;
              for (; (pushed >> level & i64(1)) != 0; ++level) s1 = max_f32(stack1[level], s1);
              stack1[level] = s1;
            }
            ++pushed;
          }
          BARRIER();
        }
      }
      v1 = literal_f32(0xff800000u);
      if (pushed > 0) {
        i32 level = 0;
        while ((pushed >> level & i64(1)) == 0) ++level;
        v1 = stack1[level];
        for (++level; (pushed >> level) != 0; ++level)
          if ((pushed >> level & i64(1)) != 0) v1 = max_f32(stack1[level], v1);
      }
    }
    f32 v7;
    {
      i64 pushed = 0;
      f32 stack7[40];
      const i64 run = w7, blocks = (run + 4096 - 1) / 4096;
      for (i64 number = 0; number < blocks; number += warps) {
        const i64 from = (number + warp) * 4096;
        const i64 to = run < from + 4096 ? run : from + 4096;
        f32 acc7[2] = {literal_f32(0u), literal_f32(0u)};
        for (i64 pair = from + l; pair < to; pair += 64) {
          UNROLL for (i32 second = 0; second < 2; ++second) {
            const i64 i1 = pair + 32 * second;
            if (i1 < to) {
              const f32 v2 = load_f32(u64(w8 + i0 * w9 + i1 * 4));
              const f32 v3 = sub_f32(v2, v1);
              const f32 v4 = floor_f32(v3);
              const f32 v5 = literal_f32(1065353216u);
              const f32 v6 = scale_f32(v5, v4);
              acc7[second] = add_f32(acc7[second], v6);
            }
          }
        }
        f32 r7 = add_f32(acc7[0], acc7[1]);
        r7 = add_f32(r7, below_f32(r7, 16));
        r7 = add_f32(r7, below_f32(r7, 8));
        r7 = add_f32(r7, below_f32(r7, 4));
        r7 = add_f32(r7, below_f32(r7, 2));
        r7 = add_f32(r7, below_f32(r7, 1));
        r7 = first_f32(r7);
        if (warps == 1) {
          {
            i32 level = 0;
            for (; (pushed >> level & i64(1)) != 0; ++level) r7 = add_f32(stack7[level], r7);
            stack7[level] = r7;
          }
          ++pushed;
        }
        else {
          if (l == 0) softmax_shared7[warp] = r7;
          BARRIER();
          for (i32 w = 0; w < warps && number + w < blocks; ++w) {
            f32 s7 = softmax_shared7[w];
            {
              i32 level = 0;
              for (; (pushed >> level & i64(1)) != 0; ++level) s7 = add_f32(stack7[level], s7);
              stack7[level] = s7;
            }
            ++pushed;
          }
          BARRIER();
        }
      }
      v7 = literal_f32(0u);
      if (pushed > 0) {
        i32 level = 0;
        while ((pushed >> level & i64(1)) == 0) ++level;
        v7 = stack7[level];
        for (++level; (pushed >> level) != 0; ++level)
          if ((pushed >> level & i64(1)) != 0) v7 = add_f32(stack7[level], v7);
      }
    }
    for (i64 i1 = lane; i1 < w7; i1 += width) {
      const f32 v8 = load_f32(u64(w8 + i0 * w9 + i1 * 4));
      const f32 v9 = sub_f32(v8, v1);
      const f32 v10 = floor_f32(v9);
      const f32 v11 = literal_f32(1065353216u);
      const f32 v12 = scale_f32(v11, v10);
      const f32 v13 = div_f32(v12, v7);
      store_bf16(u64(w11 + i0 * w12 + i1 * 2), v13);
    }
  }
}
