// kernels/gpu/leaf_product.h -- a product, and the words that its kernels read
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/gpu/leaf.h"

namespace flash::gpu {

/// A convolution's forward and input gradient have one form, its filters' gradient another.
enum class ProductForm : std::uint8_t { kMatmul, kConv, kFilter };

/// The words of all forms; strides of a and b in bytes, those of c in elements.
struct ProductWords {
  std::int64_t epilogue = 0;  ///< word 0 of all that take one
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t tiles_m = 0, tiles_n = 0, parts = 1;
  std::int64_t a = 0, b = 0, c = 0, count = 0;  ///< count: elements of the whole output
  std::int64_t bias = 0, bias_m = 0, bias_n = 0;
  std::int64_t a_along_k = 0, b_along_k = 0;  ///< whether neighbours along k lie closest
  std::int64_t a_row = 0, a_col = 0, b_row = 0, b_col = 0, c_row = 0, c_col = 1;
  std::int64_t dims = 0;  ///< of the batch: size and strides of a and b each, behind the words
  // convolutions
  std::int64_t images = 0, channels = 0, phases_y = 1, phases_x = 1;
  std::int64_t a_group = 0, a_image = 0, a_channel = 0, a_tap_y = 0, a_tap_x = 0, a_h = 0, a_w = 0;
  std::int64_t b_group = 0, b_image = 0, b_channel = 0, b_h = 0, b_w = 0;
  std::int64_t c_group = 0, c_image = 0, c_h = 0, c_w = 0;
  std::int64_t h = 0, w = 0;  ///< of the images that b reads
  std::int64_t step_y = 1, step_x = 1, dilation_y = 1, dilation_x = 1, padding_y = 0, padding_x = 0;
  std::int64_t taps_y = 0, taps_x = 0, out_h = 0, out_w = 0;
  std::int64_t units = 0, units_per_image = 1, unit_rows = 1;
};

/// A product as the choice of a kernel sees it.
struct Product {
  ProductForm form;
  DType dtype;
  std::int64_t m, n;
  std::int64_t outer;   ///< products in one launch, and parts of sums that are always cut
  std::int64_t blocks;  ///< of k
  bool splits;          ///< whether blocks of k may be parts
  bool wide;            ///< whether sizes need 64 bits
};

/// Chooses the tile and the parts. `tail` follows the words; `bias_run` neighbours of the output
/// have one bias, `bias_count` biases take turns.
std::vector<LeafLaunch> launches_of(const Product& p, ProductWords words,
                                    std::span<const std::int64_t> tail, std::int64_t bias_run,
                                    std::int64_t bias_count, const Capabilities& device,
                                    const LeafMemory& memory);

}  // namespace flash::gpu
