// kernels/gpu/leaf_product_tile.cpp -- which kernel computes a product: its tile, its parts
//
// Bits do not depend on the tile, nor on whether blocks of k are summed by one thread block one
// after the other or side by side, into parts that a second launch adds up in the same order. (On
// tensor cores they depend on the latter.)
#include <algorithm>
#include <string>

#include "kernels/contraction.h"
#include "kernels/gpu/leaf_product.h"
#include "kernels/gpu/leaf_source.h"

namespace flash::gpu {
namespace {

using Index = std::int64_t;
using Form = ProductForm;

constexpr std::string_view kFormNames[] = {"matmul", "conv2d", "conv2d_dw"};
constexpr std::string_view kProductWords[] = {"EPILOGUE",   "M",         "N",
                                              "K",          "TILES_M",   "TILES_N",
                                              "PARTS",      "A",         "B",
                                              "C",          "COUNT",     "BIAS",
                                              "BIAS_M",     "BIAS_N",    "A_ALONG_K",
                                              "B_ALONG_K",  "A_ROW",     "A_COL",
                                              "B_ROW",      "B_COL",     "C_ROW",
                                              "C_COL",      "DIMS",      "IMAGES",
                                              "CHANNELS",   "PHASES_Y",  "PHASES_X",
                                              "A_GROUP",    "A_IMAGE",   "A_CHANNEL",
                                              "A_TAP_Y",    "A_TAP_X",   "A_H",
                                              "A_W",        "B_GROUP",   "B_IMAGE",
                                              "B_CHANNEL",  "B_H",       "B_W",
                                              "C_GROUP",    "C_IMAGE",   "C_H",
                                              "C_W",        "H",         "W",
                                              "STEP_Y",     "STEP_X",    "DILATION_Y",
                                              "DILATION_X", "PADDING_Y", "PADDING_X",
                                              "TAPS_Y",     "TAPS_X",    "OUT_H",
                                              "OUT_W",      "UNITS",     "UNITS_PER_IMAGE",
                                              "UNIT_ROWS"};
static_assert(sizeof(ProductWords) == std::size(kProductWords) * sizeof(Index));

struct FoldWords {
  Index epilogue, parts_at, parts, count, c, bias, bias_run, bias_count, bias_step;
};
constexpr std::string_view kFoldWords[] = {"EPILOGUE", "PARTS_AT", "PARTS",      "COUNT",    "C",
                                           "BIAS",     "BIAS_RUN", "BIAS_COUNT", "BIAS_STEP"};
static_assert(sizeof(FoldWords) == std::size(kFoldWords) * sizeof(Index));

/// A block's tile bm × bn, computed by tx × ty threads.
struct TileShape {
  int bm, bn, tx, ty;
  bool prefetch = true;        ///< of the next slice into registers
  int warp_m = 0, warp_n = 0;  ///< a warp's part of it, where tensor cores compute it
  bool tensor_cores() const { return warp_m != 0; }
  int threads() const { return tx * ty; }
  // A thread's elements; of a 16 × 8 matrix of a warp's it has two by two.
  int rows() const { return tensor_cores() ? warp_m / 8 : bm / ty; }
  int columns() const { return tensor_cores() ? warp_n / 4 : bn / tx; }
  int depth() const { return tensor_cores() ? 32 : 16; }  ///< of k that lies in shared memory
};
// The first is for large products; those with few rows are for products that have few.
constexpr TileShape kLarge{128, 128, 16, 16}, kMedium{64, 64, 16, 16}, kFlat{32, 128, 32, 8},
    kThin{8, 128, 32, 4}, kSmall{32, 32, 8, 8};
// Compiling takes most of the time: one shape, without prefetching, for all products. In f64 an fma
// may be a long function.
constexpr TileShape kSoftware{64, 64, 8, 8, false}, kSoftwareF64{16, 16, 8, 8, false};
constexpr TileShape kTiles[] = {kLarge, kMedium, kFlat, kThin, kSmall};
const TileShape& software_tile(DType dtype) {
  return dtype == DType::kF64 ? kSoftwareF64 : kSoftware;
}
// Of halves, where there are tensor cores.
constexpr TileShape kTensorLarge{128, 128, 16, 16, true, 64, 32},
    kTensorSmall{64, 64, 16, 8, true, 32, 32};
constexpr TileShape kTensorTiles[] = {kTensorLarge, kTensorSmall};

bool fits(const TileShape& t, DType dtype, const Capabilities& device) {
  const Index real = dtype == DType::kF64 ? 8 : 4;
  const Index slices = t.tensor_cores() ? (t.bm + t.bn) * (t.depth() + 8) * 2
                                        : t.depth() * (t.bm + 4 + t.bn + 4) * real;
  const Index bytes = slices + t.depth() * 32 + t.bn * 24;
  // f64 has the registers of a medium tile.
  return t.threads() <= device.block_threads && bytes <= device.shared_bytes &&
         (t.bm * t.bn / t.threads() <= 16 || real == 4);
}

Index tiles_of(const TileShape& t, const Product& p) {
  return ceil_div(p.m, t.bm) * ceil_div(p.n, t.bn) * p.outer;
}

const TileShape& tile_for(const Product& p, const Capabilities& device) {
  const auto good = [&](const TileShape& t, Index least_m, Index least_n, Index least_tiles) {
    return fits(t, p.dtype, device) && p.m > least_m && p.n > least_n &&
           tiles_of(t, p) >= least_tiles;
  };
  if (device.software) return software_tile(p.dtype);
  if (device.tensor_cores && is_half(p.dtype)) {
    if (good(kTensorLarge, 96, 96, device.processors)) return kTensorLarge;
    if (good(kTensorSmall, 16, 16, 0)) return kTensorSmall;
  }
  if (good(kLarge, 96, 96, device.processors)) return kLarge;
  if (good(kMedium, 32, 32, device.processors / 2)) return kMedium;
  if (p.m <= 8 && good(kThin, 0, 32, 0)) return kThin;
  if (good(kFlat, 8, 64, device.processors / 2)) return kFlat;
  return kSmall;
}

std::string_view suffix(bool wide) { return wide ? "_i64" : ""; }

/// How operands lie, which sources for tensor cores are made for.
struct Layout {
  bool a_along_k = false, b_along_k = false;  ///< whether neighbours along k lie closest
  bool vectors = false;                       ///< neighbours are read eight at a time
};

LeafSource product_source(Form form, DType dtype, const TileShape& t, bool wide,
                          const Layout& layout) {
  const auto number = static_cast<std::size_t>(form);
  const std::string type(name(dtype));
  std::string entry = std::string(kFormNames[number]) + "_" + type + "_" + std::to_string(t.bm) +
                      "x" + std::to_string(t.bn) + "_" + std::to_string(t.threads()) +
                      std::string(suffix(wide));
  if (t.tensor_cores())
    entry += std::string("_mma_") + (layout.a_along_k ? "k" : "m") +
             (layout.b_along_k ? "k" : "n") + (layout.vectors ? "_x8" : "");
  return leaf_source(
      entry, {t.tensor_cores() ? kTensorCoreText : kRegisterText, kProductText}, t.threads(),
      [&](Defines& d) {
        d.types(dtype).words(kProductWords);
        d.add("INDEX", index_name(wide)).add("MATMUL", 0).add("CONV", 1).add("FILTER", 2);
        d.add("FORM", static_cast<Index>(form)).add("BM", t.bm).add("BN", t.bn);
        d.add("K_BLOCK", kBlockOfK).add("BK", t.depth()).add("RM", t.rows()).add("RN", t.columns());
        d.add("PREFETCH", t.prefetch ? 1 : 0);
        if (t.tensor_cores()) {
          d.add("WM", t.warp_m).add("WN", t.warp_n).add("VEC", layout.vectors ? 8 : 1);
          d.add("A_ALONG_K", layout.a_along_k ? 1 : 0).add("B_ALONG_K", layout.b_along_k ? 1 : 0);
          d.add("ADD_PRODUCT_OF", "add_product_" + type);
        } else {
          d.add("TX", t.tx).add("TY", t.ty);
        }
      });
}

constexpr int kFoldThreads = 256;
LeafSource fold_source(DType dtype, const Capabilities& device) {
  const int threads = std::min(kFoldThreads, device.block_threads);
  return leaf_source("fold_" + std::string(name(dtype)) + "_" + std::to_string(threads),
                     {kFoldText}, threads, [&](Defines& d) { d.types(dtype).words(kFoldWords); });
}

/// Vectors are read where every run of neighbours begins at a multiple of 16 bytes and ends at a
/// multiple of 8 elements.
Layout layout_of(Form form, const ProductWords& w, std::span<const Index> batch) {
  Layout layout{w.a_along_k != 0, w.b_along_k != 0};
  if (form != Form::kMatmul) return layout;
  const auto runs = [](Index at, Index along, Index across, Index neighbours) {
    return along == 2 && neighbours % 8 == 0 && (at | across) % 16 == 0;
  };
  layout.vectors =
      (layout.a_along_k ? runs(w.a, w.a_col, w.a_row, w.k) : runs(w.a, w.a_row, w.a_col, w.m)) &&
      (layout.b_along_k ? runs(w.b, w.b_row, w.b_col, w.k) : runs(w.b, w.b_col, w.b_row, w.n));
  for (std::size_t i = 0; i < batch.size(); i += 3)
    layout.vectors = layout.vectors && (batch[i + 1] | batch[i + 2]) % 16 == 0;
  return layout;
}

}  // namespace

std::vector<LeafLaunch> launches_of(const Product& p, ProductWords w, std::span<const Index> tail,
                                    Index bias_run, Index bias_count, const Capabilities& device,
                                    const LeafMemory& memory) {
  constexpr Index kMostScratch = 64 << 20;
  const TileShape& tile = tile_for(p, device);
  const LeafSource source =
      product_source(p.form, p.dtype, tile, p.wide, layout_of(p.form, w, tail));
  const Index real = p.dtype == DType::kF64 ? 8 : 4;
  w.tiles_m = ceil_div(p.m, tile.bm);
  w.tiles_n = ceil_div(p.n, tile.bn);
  Index tiles = w.tiles_m * w.tiles_n * p.outer;
  if (p.splits && tiles < device.processors && p.blocks > 1 &&
      p.blocks * w.count * real <= kMostScratch) {
    w.parts = p.blocks;
    tiles *= w.parts;
  }
  FoldWords fold{0,        0,          w.parts,
                 w.count,  w.c,        w.bias,
                 bias_run, bias_count, w.bias_m != 0 ? w.bias_m : w.bias_n};
  if (w.parts > 1) {
    void* scratch = memory.scratch(static_cast<std::size_t>(w.parts * w.count * real));
    fold.parts_at = w.c = word_of(scratch);
    w.bias = 0;
  }
  std::vector<Index> words = words_of(w);
  words.insert(words.end(), tail.begin(), tail.end());
  std::vector<LeafLaunch> all;
  all.push_back(launch_of(source, std::move(words), tiles, device.most_blocks));
  if (w.parts > 1) {
    const LeafSource adds = fold_source(p.dtype, device);
    all.push_back(launch_of(adds, words_of(fold), ceil_div(w.count, adds.x), device.most_blocks));
  }
  return all;
}

void add_product_sources(const Capabilities& device, std::vector<LeafSource>& to) {
  for (const DType dtype : kFloats) {
    if (dtype == DType::kF64 && !device.f64) continue;
    for (const TileShape& tile :
         device.software ? std::span(&software_tile(dtype), 1) : std::span(kTiles)) {
      if (!fits(tile, dtype, device)) continue;
      for (const Form form : {Form::kMatmul, Form::kConv, Form::kFilter})
        for (const bool wide : {false, true})
          if (form != Form::kMatmul || !wide)
            to.push_back(product_source(form, dtype, tile, wide, {}));
    }
    if (device.tensor_cores && is_half(dtype))
      for (const TileShape& tile : kTensorTiles) {
        if (!fits(tile, dtype, device)) continue;
        for (const bool a_along_k : {false, true})
          for (const bool b_along_k : {false, true})
            for (const bool vectors : {false, true})
              to.push_back(product_source(Form::kMatmul, dtype, tile, false,
                                          {a_along_k, b_along_k, vectors}));
        for (const bool wide : {false, true}) {
          to.push_back(product_source(Form::kConv, dtype, tile, wide, {true, false}));
          to.push_back(product_source(Form::kFilter, dtype, tile, wide, {true, true}));
        }
      }
    to.push_back(fold_source(dtype, device));
  }
}

}  // namespace flash::gpu
