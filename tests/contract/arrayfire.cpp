// tests/contract/arrayfire.cpp -- reads ArrayFire's test files, and says what their results are
#include "contract/arrayfire.h"

#include <algorithm>
#include <cmath>
#include <fstream>

namespace contract::arrayfire {

TestFile read_file(const std::filesystem::path& path) {
  std::ifstream stream(path);
  if (!stream.good()) throw Error("no file " + path.string());
  const auto count = [&] {
    std::int64_t n = -1;
    stream >> n;
    return n;
  };
  const auto number = [&] {
    std::string word;
    stream >> word;
    const std::size_t point = word.find('.');
    return Printed{std::strtold(word.c_str(), nullptr),
                   point == std::string::npos ? 0 : static_cast<int>(word.size() - point - 1)};
  };
  TestFile file;
  for (std::int64_t n = count(); n > 0; --n) {
    Shape s{1, 1, 1, 1};
    for (int k = 0; k < 4; ++k) s[3 - k] = count();
    file.in.emplace_back(DType::kF64, s);
  }
  for (std::int64_t n = count(); n > 0; --n)
    file.out.emplace_back(static_cast<std::size_t>(count()));
  for (Array& a : file.in)
    for (Wide& x : a.v) {
      const Printed p = number();
      x = p.value;
      file.decimals = std::max(file.decimals, p.decimals);
    }
  for (auto& out : file.out)
    for (Printed& p : out) p = number();
  if (stream.fail()) throw Error(path.string() + " ends too early");
  return file;
}

namespace {

constexpr int axis(int dimension) { return 3 - dimension; }

/// ArrayFire's af_seq: both ends belong to it.
struct Seq {
  std::int64_t begin, end, step = 1;
};
Tensor pick(Tensor x, const std::vector<Seq>& seqs) {
  for (std::size_t k = 0; k < seqs.size(); ++k) {
    const Seq& s = seqs[k];
    const std::int64_t after = s.step > 0 ? s.end + 1 : s.end - 1;
    x = x.slice(axis(static_cast<int>(k)), s.begin, after < 0 ? INT64_MIN : after, s.step);
  }
  return x;
}
Recipe picks(std::vector<Seq> seqs) {
  return [seqs](In in) { return pick(in[0], seqs); };
}

/// in[1] with in[0] written from these indices on.
Recipe writes(std::vector<std::int64_t> from, std::vector<std::int64_t> count) {
  return [=](In in) {
    const Tensor all = in[1].clone();
    Tensor part = all;
    for (std::size_t k = 0; k < from.size(); ++k)
      part = part.narrow(axis(static_cast<int>(k)), from[k], count[k]);
    part.copy_(in[0].reshape(in[0].numel() == 1 ? Shape{} : part.shape()));
    return all;
  };
}

Recipe along(int dimension, Tensor (*f)(const Tensor&, const Dims&, bool)) {
  return [=](In in) { return f(in[0], {axis(dimension)}, false); };
}
std::vector<Recipe> along_each(Tensor (*f)(const Tensor&, const Dims&, bool)) {
  return {along(0, f), along(1, f), along(2, f), along(3, f)};
}
/// Of a block of 5 x 5 x 3 x 2, as ArrayFire's tests of sub-arrays take.
std::vector<Recipe> along_each_of_block(Tensor (*f)(const Tensor&, const Dims&, bool)) {
  std::vector<Recipe> recipes;
  for (int k = 0; k < 4; ++k)
    recipes.push_back([=](In in) {
      return f(pick(in[0], {{2, 6}, {1, 5}, {1, 3}, {1, 2}}), {axis(k)}, false);
    });
  return recipes;
}
Tensor nonzero_count(const Tensor& x, const Dims& dims, bool keepdim) {
  return sum(ne(x, 0), dims, keepdim);
}
Tensor population_std(const Tensor& x, const Dims& dims, bool keepdim) {
  return flash::std(x, dims, keepdim, 0);
}
Recipe weighted_mean(int k) {
  return [=](In in) { return sum(in[0] * in[1], {axis(k)}) / sum(in[1], {axis(k)}); };
}
Recipe difference_along(int k, std::vector<Seq> block = {}) {
  return [=](In in) {
    const Tensor x = pick(in[0], block);
    const std::int64_t n = x.size(axis(k));
    return x.narrow(axis(k), 1, n - 1) - x.narrow(axis(k), 0, n - 1);
  };
}
Recipe second_difference_along(int k, std::vector<Seq> block = {}) {
  return [=](In in) {
    const Tensor once = difference_along(k, block)(in);
    return difference_along(k)(std::span(&once, 1));
  };
}

Recipe permuted(std::vector<int> dims) {
  return [=](In in) {
    std::vector<int> order(4);
    for (int k = 0; k < 4; ++k)
      order[static_cast<std::size_t>(axis(k))] = axis(dims[static_cast<std::size_t>(k)]);
    return in[0].permute(order);
  };
}
Recipe tiled(std::vector<std::int64_t> times) {
  return [=](In in) {
    Tensor x = in[0];
    for (int k = 0; k < 4; ++k)
      x = cat(std::vector<Tensor>(static_cast<std::size_t>(times[static_cast<std::size_t>(k)]), x),
              axis(k));
    return x;
  };
}
Recipe shifted(std::vector<std::int64_t> by) {
  return [=](In in) {
    Tensor x = in[0];
    for (int k = 0; k < 4; ++k) {
      const std::int64_t n = x.size(axis(k)), cut = n - by[static_cast<std::size_t>(k)];
      x = cat({x.narrow(axis(k), cut, n - cut), x.narrow(axis(k), 0, cut)}, axis(k));
    }
    return x;
  };
}
/// The slices that in[1] names, in its order.
Recipe looked_up(int k) {
  return [=](In in) {
    const Tensor first = in[0].transpose(0, axis(k));
    const Tensor rows = embedding(in[1].flatten().to(i64), first.reshape({first.size(0), -1}));
    Shape s = first.shape();
    s[0] = rows.size(0);
    return rows.view(s).transpose(0, axis(k));
  };
}

Tensor matrix(const Tensor& x) { return x.view({x.size(2), x.size(3)}); }  // transposed: A^T
Recipe product(bool transpose_a, bool transpose_b) {
  return [=](In in) {
    const Tensor a = transpose_a ? matrix(in[0]) : matrix(in[0]).t(),
                 b = transpose_b ? matrix(in[1]) : matrix(in[1]).t();
    return matmul(a, b).t();  // the first dimension is the fastest
  };
}

/// A convolution as mathematics defines it: each of N planes [N, 1, H, W] with its own filter, or
/// one filter for all. `full`: everywhere the two meet; else as large as the signal.
Tensor convolved(Tensor x, Tensor filter, bool full) {
  const std::int64_t n = std::max(x.size(0), filter.size(0)), h = filter.size(-2),
                     w = filter.size(-1);
  // As one image with n channels, each a group of its own.
  x = x.expand({n, 1, -1, -1}).transpose(0, 1);
  filter = filter.expand({n, 1, -1, -1}).flip(2).flip(3);
  const Tensor y = conv2d(x, filter, {}, {.padding_h = h - 1, .padding_w = w - 1, .groups = n});
  if (full) return y;
  return y.narrow(2, h / 2, x.size(2)).narrow(3, w / 2, x.size(3));
}
/// Planes are the third dimension of a file's arrays, and for vectors the second.
Recipe convolution(bool full, bool vectors = false) {
  return [=](In in) {
    const auto planes = [&](const Tensor& t) {
      return vectors ? t.view({t.size(2), 1, 1, t.size(3)})
                     : t.view({t.size(1), 1, t.size(2), t.size(3)});
    };
    return convolved(planes(in[0]), planes(in[1]), full);
  };
}
/// A column filter along the first dimension, then a row filter along the second.
Recipe separable(bool full) {
  return [=](In in) {
    const Tensor x = in[0].view({in[0].size(1), 1, in[0].size(2), in[0].size(3)});
    const Tensor column = in[1].flatten().view({1, 1, 1, -1}),
                 row = in[2].flatten().view({1, 1, -1, 1});
    return convolved(convolved(x, column, full).transpose(0, 1), row, full);
  };
}
/// A layer's convolution with its two gradients for an output gradient of ones: `first` and
/// `second` are the values along ArrayFire's first and second dimension.
std::vector<Recipe> layer(std::int64_t stride_first, std::int64_t stride_second,
                          std::int64_t dilation_first, std::int64_t dilation_second) {
  const Conv2dOptions o{.stride_h = stride_second,
                        .stride_w = stride_first,
                        .padding_h = 1,
                        .padding_w = 1,
                        .dilation_h = dilation_second,
                        .dilation_w = dilation_first};
  std::vector<Recipe> recipes = {
      [=](In in) { return conv2d(in[0], in[1].flip(2).flip(3), {}, o); }};
  for (const std::size_t which : {0u, 1u})
    recipes.push_back([=](In in) {
      Tensor x = in[0].clone(), w = in[1].clone();
      x.set_requires_grad();
      w.set_requires_grad();
      const Tensor y = conv2d(x, w.flip(2).flip(3), {}, o);
      return grad({y}, {which == 0 ? x : w}, {ones_like(y)})[0];
    });
  return recipes;
}
/// The largest (or least) of a window about each element; a window of even size reaches further
/// back.
Recipe morphed(bool dilate) {
  return [=](In in) {
    const std::int64_t w = in[1].size(3), h = in[1].size(2);
    const double sign = dilate ? 1 : -1;
    const Tensor x = pad(in[0] * sign, {w / 2, w - 1 - w / 2, h / 2, h - 1 - h / 2}, -kInf);
    return max_pool2d(x, {.kernel_h = h, .kernel_w = w, .stride_h = 1, .stride_w = 1}) * sign;
  };
}
/// Derivative along a dimension by Sobel's filter, the border reflected.
Recipe sobel(bool first) {
  return [=](In in) {
    const auto reflected = [](const Tensor& x, int d) {
      return cat({x.narrow(d, 1, 1), x, x.narrow(d, x.size(d) - 2, 1)}, d);
    };
    const Tensor x = reflected(reflected(in[0], 2), 3);
    const Tensor k = tensor({-1, -2, -1, 0, 0, 0, 1, 2, 1}, x.dtype()).view({1, 1, 3, 3});
    return conv2d(x, first ? k.transpose(2, 3) : k);
  };
}
Tensor centred(const Tensor& x) { return x - mean(x); }

}  // namespace

const std::vector<File>& files() {
  const Seq all{0, 9};
  static const std::vector<File> table = {
      {"arrayindex/dim0", {looked_up(0)}},
      {"arrayindex/dim0Large", {looked_up(0)}},
      {"arrayindex/dim2", {looked_up(2)}},
      {"arrayindex/dim3", {looked_up(3)}},
      {"assign/1d_to_1d", {writes({5}, {16})}},
      {"assign/1d_to_4d", {writes({3, 0, 0, 1}, {2, 1, 1, 1})}},
      {"assign/2d_to_2d", {writes({1, 1}, {2, 2})}},
      {"assign/2d_to_4d", {writes({3, 0, 0, 1}, {2, 2, 1, 1})}},
      {"assign/3d_to_3d", {writes({3, 0, 1}, {2, 2, 2})}},
      {"assign/3d_to_4d", {writes({3, 0, 0, 1}, {2, 2, 2, 1})}},
      {"assign/scalar_to_1d", {writes({5}, {16})}},
      {"assign/scalar_to_2d", {writes({1, 1}, {2, 2})}},
      {"assign/scalar_to_3d", {writes({3, 0, 1}, {2, 2, 2})}},
      {"blas/Basic", {product(0, 0), product(0, 1), product(1, 0), product(1, 1)}},
      {"blas/RectangleVector", {{}, product(1, 0), product(1, 0), {}, {}}},
      {"blas/SquareVector",
       {product(0, 0), product(1, 0), product(1, 0), product(0, 0), product(0, 0)}},
      {"blas/dot_f_10", {[](In in) { return matmul(in[0].flatten(), in[1].flatten()); }}},
      {"blas/dot_f_1000", {[](In in) { return matmul(in[0].flatten(), in[1].flatten()); }}},
      {"convolve/rectangle", {convolution(true)}},
      {"convolve/rectangle_many2one", {convolution(true)}},
      {"convolve/rectangle_one2many", {convolution(true)}},
      {"convolve/rectangle_same", {convolution(false)}},
      {"convolve/rectangle_same_many2one", {convolution(false)}},
      {"convolve/rectangle_same_one2many", {convolution(false)}},
      {"convolve/vector", {convolution(true, true)}},
      {"convolve/vector_many2many", {convolution(true, true)}},
      {"convolve/vector_many2one", {convolution(true, true)}},
      {"convolve/vector_same", {convolution(false, true)}},
      {"convolve/vector_same_many2many", {convolution(false, true)}},
      {"convolve/vector_same_many2one", {convolution(false, true)}},
      {"convolve/separable_conv2d_full", {separable(true)}},
      {"convolve/separable_conv2d_full_rectangle", {separable(true)}},
      {"convolve/separable_conv2d_full_rectangle_batch", {separable(true)}},
      {"convolve/separable_conv2d_same", {separable(false)}},
      {"convolve/separable_conv2d_same_rectangle", {separable(false)}},
      {"convolve/separable_conv2d_same_rectangle_batch", {separable(false)}},
      {"convolve/sig101011_filt3311_s11_p11_d11", layer(1, 1, 1, 1), true},
      {"convolve/sig101011_filt3311_s11_p11_d33", layer(1, 1, 3, 3), true},
      {"convolve/sig101011_filt3311_s33_p11_d11", layer(3, 3, 1, 1), true},
      {"convolve/sig101011_filt3511_s11_p11_d11", layer(1, 1, 1, 1), true},
      {"convolve/sig101011_filt3511_s31_p11_d21", layer(3, 1, 2, 1), true},
      {"convolve/sig101011_filt5311_s11_p11_d11", layer(1, 1, 1, 1), true},
      {"convolve/sig101011_filt5511_s11_p11_d11", layer(1, 1, 1, 1), true},
      {"convolve/sig101011_filt7711_s11_p11_d11", layer(1, 1, 1, 1), true},
      {"convolve/sig101011_filt7711_s77_p11_d11", layer(7, 7, 1, 1), true},
      {"convolve/sig81011_filt3311_s11_p11_d11", layer(1, 1, 1, 1), true},
      {"corrcoef/mat_10x10_scalar", {[](In in) {
         const Tensor x = centred(in[0]), y = centred(in[1]);
         return sum(x * y) / sqrt(sum(x * x) * sum(y * y));
       }}},
      {"covariance/vec_size60",
       {[](In in) { return sum(centred(in[0]) * centred(in[1])) / (in[0].numel() - 1); }}},
      {"diff1/basic0", {difference_along(0)}},
      {"diff1/basic2", {difference_along(2)}},
      {"diff1/matrix0", {difference_along(0)}},
      {"diff1/matrix1", {difference_along(1)}},
      {"diff1/subref1", {difference_along(1, {{0, 4}, {1, 3}, {1, 3}})}},
      {"diff1/subref2", {difference_along(2, {{1, 5}, {0, 3}, {0, 2}})}},
      {"diff1/vector0", {difference_along(0)}},
      {"diff2/basic1", {second_difference_along(1)}},
      {"diff2/basic2", {second_difference_along(2)}},
      {"diff2/matrix0", {second_difference_along(0)}},
      {"diff2/subref0", {second_difference_along(0, {{0, 4}, {0, 2}, {0, 1}})}},
      {"diff2/subref1", {second_difference_along(1, {{1, 4}, {0, 2}, {0, 1}})}},
      {"diff2/subref2", {second_difference_along(2, {{1, 4}, {0, 3}, {0, 2}})}},
      {"gen_assign/s10_14s0_9s0_ns0_n", {[](In in) {
         const Tensor y = in[0].clone();
         pick(y, {{10, 14}, {0, 9}}).copy_(in[1]);
         return y;
       }}},
      {"index/ColumnContiniousReverse",
       {picks({all, {6, 0, -1}}), picks({all, {9, 4, -1}}), picks({all, {8, 3, -1}})}},
      {"index/ColumnStrided",
       {picks({all, {0, 8, 2}}), picks({all, {2, 8, 3}}), picks({all, {0, 8, 4}})}},
      {"index/ColumnStridedReverse",
       {picks({all, {8, 0, -2}}), picks({all, {9, 3, -3}}), picks({all, {9, 1, -4}})}},
      {"index/ContiniousReverse",
       {picks({{1, 6}, {6, 0, -1}}), picks({{3, 9}, {9, 4, -1}}), picks({{5, 8}, {8, 3, -1}})}},
      {"index/ContiniousStrided",
       {picks({{1, 6}, {0, 8, 2}}), picks({{3, 9}, {2, 8, 3}}), picks({{5, 8}, {1, 9, 4}})}},
      {"index/ContiniousStridedReverse",
       {picks({{1, 6}, {8, 0, -2}}), picks({{3, 9}, {9, 3, -3}}), picks({{5, 8}, {9, 1, -4}})}},
      {"index/Continuous3Dto2D",
       {picks({all, {0, 6}, {0, 0}}), picks({all, {4, 9}, {1, 1}}), picks({all, {3, 8}, {0, 0}})}},
      {"index/Continuous3Dto3D",
       {picks({{0, 4}, {0, 6}}), picks({{4, 8}, {4, 9}}), picks({{6, 9}, {3, 8}})}},
      {"index/Continuous4Dto1D", {picks({{2, 6}, {2, 2}, {0, 0}, {0, 0}})}},
      {"index/Continuous4Dto3D", {picks({{2, 6}, {2, 6}, {0, 1}, {0, 0}})}},
      {"index/Continuous4Dto4D", {picks({{2, 6}, {2, 6}})}},
      {"index/ReverseContinious",
       {picks({{6, 1, -1}, {0, 6}}), picks({{9, 3, -1}, {4, 9}}), picks({{8, 5, -1}, {3, 8}})}},
      {"index/ReverseStrided",
       {picks({{6, 1, -1}, {0, 8, 2}}), picks({{9, 3, -1}, {2, 8, 3}}),
        picks({{8, 5, -1}, {1, 9, 4}})}},
      {"index/ReverseStridedReverse",
       {picks({{6, 1, -1}, {8, 0, -2}}), picks({{9, 3, -1}, {9, 3, -3}}),
        picks({{8, 5, -1}, {9, 1, -4}})}},
      {"index/RowContinious", {picks({{0, 6}}), picks({{4, 9}}), picks({{3, 8}})}},
      {"index/RowStrided", {picks({{0, 8, 2}}), picks({{2, 8, 3}}), picks({{0, 8, 4}})}},
      {"index/RowStridedReverse", {picks({{8, 0, -2}}), picks({{9, 3, -3}}), picks({{9, 1, -4}})}},
      {"index/StridedContinious",
       {picks({{0, 8, 2}, {0, 6}}), picks({{2, 8, 3}, {4, 9}}), picks({{1, 9, 4}, {3, 8}})}},
      {"mean/mean_dim0_hypercube", {along(0, mean)}},
      {"mean/mean_dim1_cube", {along(1, mean)}},
      {"mean/mean_dim2_cube", {along(2, mean)}},
      {"mean/mean_dim2_hypercube", {along(2, mean)}},
      {"mean/wtd_mean_dim0_mat", {weighted_mean(0)}},
      {"mean/wtd_mean_dim1_mat", {weighted_mean(1)}},
      {"moddims/basic", {[](In in) {
         return in[0].reshape({2, 12});
       }}},
      {"moddims/subref", {[](In in) {
         return pick(in[0], {{1, 2}, {1, 3}}).reshape({3, 2});
       }}},
      {"morph/dilate12x12", {morphed(true)}},
      {"morph/dilate3x3_batch", {morphed(true)}},
      {"morph/dilate4x4", {morphed(true)}},
      {"morph/erode3x3", {morphed(false)}},
      {"morph/erode3x3_batch", {morphed(false)}},
      {"reduce/all_true", along_each(flash::all)},
      {"reduce/any_true", along_each(any)},
      {"reduce/any_trueSubs", along_each_of_block(any)},
      {"reduce/count", along_each(nonzero_count)},
      {"reduce/max", along_each(amax)},
      {"reduce/maxSubs", along_each_of_block(amax)},
      {"reduce/min", along_each(amin)},
      {"reduce/sum", along_each(sum)},
      {"reduce/sumSubs", along_each_of_block(sum)},
      {"reorder/reorder",
       {permuted({0, 1, 2, 3}), permuted({0, 2, 1, 3}), permuted({1, 0, 2, 3}),
        permuted({1, 2, 0, 3}), permuted({2, 0, 1, 3}), permuted({2, 1, 0, 3})}},
      {"reorder/reorder4d",
       {permuted({0, 1, 2, 3}), permuted({0, 1, 3, 2}), permuted({0, 2, 1, 3}),
        permuted({0, 2, 3, 1}), permuted({0, 3, 1, 2}), permuted({0, 3, 2, 1}),
        permuted({1, 0, 2, 3}), permuted({1, 0, 3, 2}), permuted({1, 2, 0, 3}),
        permuted({1, 2, 3, 0}), permuted({1, 3, 0, 2}), permuted({1, 3, 2, 0}),
        permuted({2, 1, 0, 3}), permuted({2, 1, 3, 0}), permuted({2, 0, 1, 3}),
        permuted({2, 0, 3, 1}), permuted({2, 3, 1, 0}), permuted({2, 3, 0, 1}),
        permuted({3, 1, 2, 0}), permuted({3, 1, 0, 2}), permuted({3, 2, 1, 0}),
        permuted({3, 2, 0, 1}), permuted({3, 0, 1, 2}), permuted({3, 0, 2, 1})}},
      {"shift/shift4d",
       {shifted({2, 0, 0, 0}), shifted({4, 0, 0, 0}), shifted({3, 2, 0, 0}), shifted({1, 2, 0, 0}),
        shifted({0, 1, 0, 0}), shifted({0, 2, 0, 0}), shifted({0, 3, 1, 0}), shifted({0, 0, 2, 0}),
        shifted({0, 0, 1, 0}), shifted({0, 0, 0, 1}), shifted({0, 0, 0, 1}), shifted({1, 1, 1, 1}),
        shifted({4, 3, 2, 1}), shifted({1, 1, 0, 1}), shifted({4, 3, 0, 1})}},
      {"sobel/rectangle", {sobel(true), sobel(false)}},
      {"stdev/hypercube_10x10x5x5_dim3", {along(3, population_std)}},
      {"stdev/mat_10x10_dim0", {along(0, population_std)}},
      {"stdev/mat_10x10_dim1", {along(1, population_std)}},
      {"stdev/mat_10x10_seq2_6x1_7_dim0", {[](In in) {
         return population_std(pick(in[0], {{2, 6}, {1, 7}}), {axis(0)}, false);
       }}},
      {"stdev/mat_10x10_seq2_6x1_7_dim1", {[](In in) {
         return population_std(pick(in[0], {{2, 6}, {1, 7}}), {axis(1)}, false);
       }}},
      {"tile/tile",
       {tiled({4, 3, 1, 2}), tiled({1, 1, 1, 1}), tiled({1, 2, 1, 3}), tiled({3, 1, 1, 2}),
        tiled({2, 3, 1, 1})}},
      {"transpose/offset", {[](In in) {
         return pick(in[0], {{2, 7}, {2, 7}}).transpose(2, 3);
       }}},
      {"transpose/offset_batch", {[](In in) {
         return pick(in[0], {{2, 7}, {2, 7}}).transpose(2, 3);
       }}},
      {"transpose/rectangle", {permuted({1, 0, 2, 3})}},
      {"transpose/rectangle_batch2", {permuted({1, 0, 2, 3})}},
      {"transpose/square", {permuted({1, 0, 2, 3})}},
      {"transpose/vector", {permuted({1, 0, 2, 3})}},
      {"transpose/vector_batch", {permuted({1, 0, 2, 3})}},
  };
  return table;
}

}  // namespace contract::arrayfire
