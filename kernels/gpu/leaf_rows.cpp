// kernels/gpu/leaf_rows.cpp -- rows of a table by index, and the sum of gradients by row
//
// scatter_add_rows adds each row's items in their order, with no atomics on floats: a block has
// some rows and columns of the result in shared memory and walks all indices, a block's threads at
// a time; those that hit its rows are listed in order, then added by the threads of the columns.
#include <algorithm>

#include "kernels/contraction.h"
#include "kernels/gpu/fault.h"
#include "kernels/gpu/leaf_source.h"

namespace flash::gpu {
namespace {

// The index of item `item`, row-major in dimensions of (size, strides in bytes ...), WIDE_DIM words
// each; what it is and where its gradients lie. A block's first bad index, once it is known which.
constexpr std::string_view kCommonText = R"source(
SHARED(i64, bad_items, THREADS)

#define FIND(item)                                                                   \
  i64 rest = item, offset = i64(0), other = i64(0);                                  \
  for (i32 d = i32(ARG_DIMS) - 1; d >= 0; --d) {                                     \
    const i32 dim = ARG_TAIL + 3 * d;                                                \
    const i64 size = ARG(dim), at = rest % size;                                     \
    rest = rest / size;                                                              \
    offset += at * ARG(dim + 1);                                                     \
    other += at * ARG(dim + 2);                                                      \
  }                                                                                  \
  const i64 index = load_i64(u64(ARG_INDEX) + u64(offset));

// Thread 0 records the least of the threads' bad items; those without one have -1.
#define REPORT(bad)                                                                  \
  bad_items[THREAD_X] = bad;                                                         \
  BARRIER();                                                                         \
  if (THREAD_X == 0) {                                                               \
    i64 first = i64(-1);                                                             \
    for (i32 other_t = 0; other_t < THREADS; ++other_t) {                            \
      const i64 item = bad_items[other_t];                                           \
      if (item >= i64(0) && (first < i64(0) || item < first)) first = item;          \
    }                                                                                \
    if (first >= i64(0)) {                                                           \
      FIND(first)                                                                    \
      const u32 slot = atomic_add_u32(u64(ARG_FAULTS), 1u);                          \
      if (slot < u32(FAULT_SLOTS)) {                                                 \
        const u64 record = u64(ARG_FAULTS) + u64(8) + u64(slot) * u64(40);           \
        store_i64(record, ARG_SERIAL);                                               \
        store_i64(record + u64(8), ARG_OP);                                          \
        store_i64(record + u64(16), first);                                          \
        store_i64(record + u64(24), index);                                          \
        store_i64(record + u64(32), ARG_ROWS);                                       \
      }                                                                              \
    }                                                                                \
  }
)source";

// A row is CELLS cells of a size that has a type of its own; a thread copies cells.
constexpr std::string_view kGatherBody = R"source(
KERNEL(NAME) {
  i64 bad = i64(-1);
  const i64 cells = ARG_CELLS, count = ARG_ITEMS * max_i64(cells, i64(1));
  for (i64 tile = i64(BLOCK_X); tile < tiles; tile += i64(GRID_X)) {
    const i64 element = tile * i64(THREADS) + i64(THREAD_X);
    if (element >= count) continue;
    i64 item = element, cell = i64(0);
    if (cells > i64(1)) {
      item = element / cells;
      cell = element % cells;
    }
    FIND(item)
    const pred good = index >= i64(0) && index < ARG_ROWS;
    if (!good && bad < i64(0)) bad = item;
    if (cells == i64(0)) continue;
    CELL value = CELL(0);
    if (good) value = LOAD_CELL(u64(ARG_TABLE) + u64(index * ARG_TABLE_ROW + cell * ARG_TABLE_CELL));
    STORE_CELL(u64(ARG_C) + u64(element * i64(CELL_BYTES)), value);
  }
  REPORT(bad)
}
)source";

constexpr std::string_view kScatterBody = R"source(
#define LANES (THREADS / COLS)
SHARED(REAL, sums, (ROWS * COLS))
SHARED(i32, counts, (2 * THREADS))
SHARED(i64, hit_at, THREADS)
SHARED(i32, hit_row, THREADS)

KERNEL(NAME) {
  const i32 t = THREAD_X, col = t % COLS, lane = t / COLS, rows = i32(ARG_BLOCK_ROWS);
  for (i64 tile = i64(BLOCK_X); tile < tiles; tile += i64(GRID_X)) {
    const i64 row0 = tile % ARG_ROW_TILES * i64(rows);
    const i64 column = tile / ARG_ROW_TILES * i64(COLS) + i64(col);
    const pred mine = column < ARG_WIDTH;
    i64 bad = i64(-1);
    for (i32 s = t; s < rows * COLS; s += THREADS) sums[s] = ZERO;
    for (i64 base = i64(0); base < ARG_ITEMS; base += i64(THREADS)) {
      const i64 mine_item = base + i64(t);
      i32 hit = 0;
      i64 row = i64(0), at = i64(0);
      if (mine_item < ARG_ITEMS) {
        FIND(mine_item)
        row = index - row0;
        at = other;
        if (index < i64(0) || index >= ARG_ROWS) {
          if (bad < i64(0)) bad = mine_item;
        } else if (row >= i64(0) && row < i64(rows)) {
          hit = 1;
        }
      }
      // Hits up to each thread, by doubling distances.
      i32 from = 0;
      counts[t] = hit;
      BARRIER();
      for (i32 distance = 1; distance < THREADS; distance *= 2) {
        i32 n = counts[from + t];
        if (t >= distance) n += counts[from + t - distance];
        from = THREADS - from;
        counts[from + t] = n;
        BARRIER();
      }
      const i32 hits = counts[from + THREADS - 1];
      if (hit == 1) {
        hit_at[counts[from + t] - 1] = at;
        hit_row[counts[from + t] - 1] = i32(row);
      }
      BARRIER();
      for (i32 h = 0; h < hits; ++h) {
        const i32 target = hit_row[h];
        if (mine && target % LANES == lane) {
          const REAL v = LOAD(u64(ARG_DY) + u64(hit_at[h] + column * ARG_DY_COL));
          sums[target * COLS + col] = ADD(sums[target * COLS + col], v);
        }
      }
      BARRIER();
    }
    BARRIER();
    if (mine)
      for (i32 r = lane; r < rows; r += LANES)
        if (row0 + i64(r) < ARG_ROWS)
          STORE(u64(ARG_C) + u64(((row0 + i64(r)) * ARG_WIDTH + column) * i64(BYTES)),
                sums[r * COLS + col]);
    if (tile == i64(0)) {
      REPORT(bad)
    }
    BARRIER();
  }
}
)source";

using Index = std::int64_t;

/// Strides in bytes. Behind the words: size and strides of the indices and of the gradients' items,
/// for each dimension.
struct GatherWords {
  Index table, table_row, table_cell, cells, rows;
  Index index, items, dims, c, faults, serial, op;
};
constexpr std::string_view kGatherWords[] = {"TABLE", "TABLE_ROW", "TABLE_CELL", "CELLS",
                                             "ROWS",  "INDEX",     "ITEMS",      "DIMS",
                                             "C",     "FAULTS",    "SERIAL",     "OP"};
static_assert(sizeof(GatherWords) == std::size(kGatherWords) * sizeof(Index));

struct ScatterWords {
  Index dy, dy_col, width, rows, row_tiles, block_rows;
  Index index, items, dims, c, faults, serial, op;
};
constexpr std::string_view kScatterWords[] = {"DY",         "DY_COL", "WIDTH", "ROWS", "ROW_TILES",
                                              "BLOCK_ROWS", "INDEX",  "ITEMS", "DIMS", "C",
                                              "FAULTS",     "SERIAL", "OP"};
static_assert(sizeof(ScatterWords) == std::size(kScatterWords) * sizeof(Index));

int threads_for(const Capabilities& device) { return std::min(256, device.block_threads); }
constexpr int kCols = 64;
int most_rows(DType dtype) { return dtype == DType::kF64 ? 16 : 32; }

LeafSource gather_source(int bytes, const Capabilities& device) {
  const int threads = threads_for(device);
  const std::string cell = bytes == 1 ? "u8" : bytes == 2 ? "i16" : bytes == 4 ? "i32" : "i64";
  return leaf_source("gather_rows_" + cell + "_" + std::to_string(threads),
                     {kCommonText, kGatherBody}, threads, [&](Defines& d) {
                       d.words(kGatherWords).add("CELL", bytes == 8 ? "i64" : "i32");
                       d.add("CELL_BYTES", bytes).add("LOAD_CELL", "load_" + cell);
                       d.add("STORE_CELL", "store_" + cell).add("FAULT_SLOTS", kFaultSlots);
                     });
}

LeafSource scatter_source(DType dtype, const Capabilities& device) {
  const int threads = threads_for(device);
  return leaf_source("scatter_add_rows_" + std::string(name(dtype)) + "_" + std::to_string(threads),
                     {kCommonText, kScatterBody}, threads, [&](Defines& d) {
                       d.types(dtype).words(kScatterWords).add("FAULT_SLOTS", kFaultSlots);
                       d.add("COLS", std::min(kCols, threads)).add("ROWS", most_rows(dtype));
                     });
}

/// Size and strides of each dimension of `index`, those of `items`, which may be null, beside them;
/// neighbours that lie as one are one.
std::vector<Index> dims_of(const Operand& index, const Operand* items) {
  std::vector<Index> all;
  for (int d = 0; d < index.shape.rank(); ++d) {
    const Index size = index.shape[d], step = index.strides[d] * 8,
                other = items ? items->strides[d] * size_of(items->dtype) : 0;
    if (size == 1) continue;
    const std::size_t n = all.size();
    if (n > 0 && all[n - 2] == step * size && all[n - 1] == other * size) {
      all[n - 3] *= size;
      all[n - 2] = step;
      all[n - 1] = other;
    } else {
      all.insert(all.end(), {size, step, other});
    }
  }
  return all;
}

template <class Words>
std::vector<Index> with_dims(Words words, const std::vector<Index>& dims) {
  words.dims = static_cast<Index>(dims.size()) / 3;
  std::vector<Index> all = words_of(words);
  all.insert(all.end(), dims.begin(), dims.end());
  return all;
}

std::vector<LeafLaunch> gather(const LeafCall& call, const Capabilities& device,
                               const LeafMemory& memory) {
  const Operand &table = call.inputs[0], &index = call.inputs[1], &out = call.output;
  require(table.shape.rank() == 2 && out.shape.rank() == index.shape.rank() + 1 &&
              out.shape.back() == table.shape[1] && out.dtype == table.dtype,
          call, "a table [V, D] and an output [..., D]");
  require(index.dtype == DType::kI64, call, "i64 indices");
  const Index items = index.shape.numel(), size = size_of(table.dtype);
  if (items == 0) return {};
  // Rows without gaps are copied in the largest cells that they and their addresses allow.
  Index bytes = size;
  const Index row = table.shape[1] * size, step = table.strides[0] * size;
  if (table.strides[1] == 1 || table.shape[1] == 1)
    while (bytes < 8 && row % (2 * bytes) == 0 && step % (2 * bytes) == 0 &&
           word_of(table.data) % (2 * bytes) == 0 && word_of(out.data) % (2 * bytes) == 0)
      bytes *= 2;
  GatherWords w{};
  w.table = word_of(table.data);
  w.table_row = step;
  w.table_cell = bytes == size ? table.strides[1] * size : bytes;
  w.cells = row / bytes;
  w.rows = table.shape[0];
  w.index = word_of(index.data);
  w.items = items;
  w.c = word_of(out.data);
  w.faults = word_of(memory.faults);
  w.serial = memory.serial;
  w.op = static_cast<Index>(call.op);
  const LeafSource source = gather_source(static_cast<int>(bytes), device);
  const Index tiles = ceil_div(items * std::max<Index>(w.cells, 1), source.x);
  return {launch_of(source, with_dims(w, dims_of(index, nullptr)), tiles,
                    std::min<Index>(device.most_blocks, kFaultSlots))};
}

std::vector<LeafLaunch> scatter(const LeafCall& call, const Capabilities& device,
                                const LeafMemory& memory) {
  const Operand &dy = call.inputs[0], &index = call.inputs[1], &out = call.output;
  require(out.shape.rank() == 2 && dy.shape.rank() == index.shape.rank() + 1 &&
              dy.shape.back() == out.shape[1] && dy.dtype == out.dtype,
          call, "gradients [..., D] and an output [V, D]");
  require(index.dtype == DType::kI64, call, "i64 indices");
  const Index items = index.shape.numel();
  if (items == 0 && out.shape.numel() == 0) return {};
  const LeafSource source = scatter_source(out.dtype, device);
  ScatterWords w{};
  w.rows = out.shape[0];
  w.width = out.shape[1];
  // Few rows a block where the table is small, so that there are enough blocks.
  const Index cols = std::min(kCols, source.x);
  const Index column_tiles = std::max<Index>(ceil_div(w.width, cols), 1);
  w.block_rows = most_rows(out.dtype);
  while (w.block_rows > 1 && ceil_div(w.rows, w.block_rows) * column_tiles < 2 * device.processors)
    w.block_rows /= 2;
  w.row_tiles = std::max<Index>(ceil_div(w.rows, w.block_rows), 1);  // indices are looked at anyway
  w.dy = word_of(dy.data);
  w.dy_col = dy.strides.back() * size_of(dy.dtype);
  w.index = word_of(index.data);
  w.items = items;
  w.c = word_of(out.data);
  w.faults = word_of(memory.faults);
  w.serial = memory.serial;
  w.op = static_cast<Index>(call.op);
  return {launch_of(source, with_dims(w, dims_of(index, &dy)), w.row_tiles * column_tiles,
                    device.most_blocks)};
}

}  // namespace

std::vector<LeafLaunch> row_launches(const LeafCall& call, const Capabilities& device,
                                     const LeafMemory& memory) {
  return call.op == Prim::kGatherRows ? gather(call, device, memory)
                                      : scatter(call, device, memory);
}

void add_row_sources(const Capabilities& device, std::vector<LeafSource>& to) {
  for (const int bytes : {1, 2, 4, 8}) to.push_back(gather_source(bytes, device));
  for (const DType dtype : kFloats)
    if (dtype != DType::kF64 || device.f64) to.push_back(scatter_source(dtype, device));
}

}  // namespace flash::gpu
