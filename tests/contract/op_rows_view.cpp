// tests/contract/op_rows_view.cpp -- rows of the operation table: views, copies, writes through
// views
#include <functional>

#include "contract/op_table.h"

namespace contract {
namespace {

using From = std::function<Shape(const Shape& index)>;

struct View {
  const char* name;
  const char* variant;
  std::function<Tensor(const Tensor&)> op;
  Shape in, out;
  From from;
};

/// The index of the element with number `p` in row-major order.
Shape index_of(std::int64_t p, const Shape& shape) {
  Shape index = shape;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    index[d] = p % shape[d];
    p /= shape[d];
  }
  return index;
}
/// Another shape of the same elements in the same order.
From regrouped(const Shape& in, const Shape& out) {
  return [=](const Shape& i) { return index_of(position(out, i), in); };
}
From as_is() {
  return [](const Shape& i) { return i; };
}

std::vector<View> views() {
  const Shape s{3, 5, 7};
  std::vector<View> v = {
      {"Tensor::reshape",
       "fewer dimensions",
       [](auto& x) {
         return x.reshape({15, -1});
       },
       s,
       {15, 7},
       regrouped(s, {15, 7})},
      {"Tensor::reshape",
       "across dimensions",
       [](auto& x) {
         return x.reshape({7, 15});
       },
       s,
       {7, 15},
       regrouped(s, {7, 15})},
      {"Tensor::reshape",
       "nothing",
       [](auto& x) {
         return x.reshape({4, 0, 2});
       },
       {0, 8},
       {4, 0, 2},
       as_is()},
      {"Tensor::view",
       "of a contiguous tensor",
       [](auto& x) {
         return x.contiguous().view({5, 21});
       },
       s,
       {5, 21},
       regrouped(s, {5, 21})},
      {"Tensor::view",
       "more dimensions",
       [](auto& x) {
         return x.view({3, 1, 5, 7, 1});
       },
       s,
       {3, 1, 5, 7, 1},
       [](auto& i) {
         return Shape{i[0], i[2], i[3]};
       }},
      {"Tensor::flatten",
       "all",
       [](auto& x) { return x.flatten(); },
       s,
       {105},
       regrouped(s, {105})},
      {"Tensor::flatten",
       "the last two",
       [](auto& x) { return x.flatten(1, 2); },
       s,
       {3, 35},
       regrouped(s, {3, 35})},
      {"Tensor::flatten",
       "0-d",
       [](auto& x) { return x.flatten(); },
       {},
       {1},
       [](auto&) { return Shape{}; }},
      {"Tensor::unflatten",
       "",
       [](auto& x) {
         return x.unflatten(1, {2, 3});
       },
       {4, 6, 5},
       {4, 2, 3, 5},
       [](auto& i) {
         return Shape{i[0], i[1] * 3 + i[2], i[3]};
       }},
      {"Tensor::permute",
       "",
       [](auto& x) {
         return x.permute({1, 2, 0});
       },
       s,
       {5, 7, 3},
       [](auto& i) {
         return Shape{i[2], i[0], i[1]};
       }},
      {"Tensor::transpose",
       "",
       [](auto& x) { return x.transpose(0, -1); },
       s,
       {7, 5, 3},
       [](auto& i) {
         return Shape{i[2], i[1], i[0]};
       }},
      {"Tensor::t",
       "",
       [](auto& x) { return x.t(); },
       {9, 37},
       {37, 9},
       [](auto& i) {
         return Shape{i[1], i[0]};
       }},
      {"Tensor::squeeze",
       "all",
       [](auto& x) { return x.squeeze(); },
       {1, 5, 1, 7},
       {5, 7},
       [](auto& i) {
         return Shape{0, i[0], 0, i[1]};
       }},
      {"Tensor::squeeze",
       "one",
       [](auto& x) { return x.squeeze(-2); },
       {1, 5, 1, 7},
       {1, 5, 7},
       [](auto& i) {
         return Shape{i[0], i[1], 0, i[2]};
       }},
      {"Tensor::squeeze",
       "one that is not 1",
       [](auto& x) { return x.squeeze(1); },
       {1, 5, 7},
       {1, 5, 7},
       as_is()},
      {"Tensor::unsqueeze",
       "",
       [](auto& x) { return x.unsqueeze(-2); },
       s,
       {3, 5, 1, 7},
       [](auto& i) {
         return Shape{i[0], i[1], i[3]};
       }},
      {"Tensor::expand",
       "",
       [](auto& x) {
         return x.expand({4, 3, 6, -1});
       },
       {3, 1, 7},
       {4, 3, 6, 7},
       [](auto& i) {
         return Shape{i[1], 0, i[3]};
       }},
      {"Tensor::expand_as",
       "",
       [](auto& x) {
         return x.expand_as(zeros({6, 1, 7}));
       },
       {1, 7},
       {6, 1, 7},
       [](auto& i) {
         return Shape{0, i[2]};
       }},
      {"broadcast_to",
       "",
       [](auto& x) {
         return broadcast_to(x, {2, 3, 4});
       },
       {3, 1},
       {2, 3, 4},
       [](auto& i) {
         return Shape{i[1], 0};
       }},
      {"Tensor::select",
       "",
       [](auto& x) { return x.select(1, -2); },
       s,
       {3, 7},
       [](auto& i) {
         return Shape{i[0], 3, i[1]};
       }},
      {"Tensor::operator[]",
       "",
       [](auto& x) { return x[2]; },
       s,
       {5, 7},
       [](auto& i) {
         return Shape{2, i[0], i[1]};
       }},
      {"Tensor::slice",
       "",
       [](auto& x) { return x.slice(2, 1, 6); },
       s,
       {3, 5, 5},
       [](auto& i) {
         return Shape{i[0], i[1], i[2] + 1};
       }},
      {"Tensor::slice",
       "step 3",
       [](auto& x) { return x.slice(-1, 0, INT64_MAX, 3); },
       s,
       {3, 5, 3},
       [](auto& i) {
         return Shape{i[0], i[1], 3 * i[2]};
       }},
      {"Tensor::slice",
       "from the end",
       [](auto& x) { return x.slice(1, -3, -1); },
       s,
       {3, 2, 7},
       [](auto& i) {
         return Shape{i[0], i[1] + 2, i[2]};
       }},
      {"Tensor::slice", "nothing", [](auto& x) { return x.slice(1, 4, 2); }, s, {3, 0, 7}, as_is()},
      {"Tensor::slice",
       "Slice",
       [](auto& x) {
         return x.slice(0, Slice{1, 3, 2});
       },
       s,
       {1, 5, 7},
       [](auto& i) {
         return Shape{1, i[1], i[2]};
       }},
      {"Tensor::narrow",
       "",
       [](auto& x) { return x.narrow(1, 2, 3); },
       s,
       {3, 3, 7},
       [](auto& i) {
         return Shape{i[0], i[1] + 2, i[2]};
       }},
      {"Tensor::flip", "", [](auto& x) { return x.flip(1); }, s, s,
       [](auto& i) {
         return Shape{i[0], 4 - i[1], i[2]};
       }},
      {"Tensor::unfold",
       "windows that overlap",
       [](auto& x) { return x.unfold(2, 3, 2); },
       s,
       {3, 5, 3, 3},
       [](auto& i) {
         return Shape{i[0], i[1], 2 * i[2] + i[3]};
       }},
      {"Tensor::unfold",
       "windows apart",
       [](auto& x) { return x.unfold(0, 1, 2); },
       s,
       {2, 5, 7, 1},
       [](auto& i) {
         return Shape{2 * i[0], i[1], i[2]};
       }},
      {"Tensor::as_strided",
       "of a contiguous tensor",
       [](auto& x) {
         return x.contiguous().as_strided({4, 3}, {2, 30}, 5);
       },
       s,
       {4, 3},
       [](auto& i) {
         return index_of(5 + 2 * i[0] + 30 * i[1], {3, 5, 7});
       }},
      {"Tensor::detach", "", [](auto& x) { return x.detach(); }, s, s, as_is()},
      {"Tensor::clone", "", [](auto& x) { return x.clone(); }, s, s, as_is()},
      {"Tensor::contiguous", "", [](auto& x) { return x.contiguous(); }, s, s, as_is()},
      {"split",
       "the last piece",
       [](auto& x) { return split(x, 3, 2).back(); },
       s,
       {3, 5, 1},
       [](auto& i) {
         return Shape{i[0], i[1], 6};
       }},
      {"chunk",
       "the second of three",
       [](auto& x) { return chunk(x, 3, 1)[1]; },
       s,
       {3, 2, 7},
       [](auto& i) {
         return Shape{i[0], i[1] + 2, i[2]};
       }},
      {"Tensor::flip",
       "a chain of views",
       [](auto& x) { return x.transpose(0, 1).slice(0, 1, 5, 2).flip(2).unsqueeze(0); },
       s,
       {1, 2, 3, 7},
       [](auto& i) {
         return Shape{i[2], 1 + 2 * i[1], 6 - i[3]};
       }},
  };
  return v;
}

Row view_row(const View& v) {
  return {v.name,
          v.variant,
          kAny,
          [v](Operands in, DType) { return v.op(in[0]); },
          [v](Values in, DType) { return gathered(in[0], v.out, v.from); },
          [v](DType d) { return layouts_of(ordinary, d, {v.in}, v.in); }};
}

}  // namespace

std::vector<Row> view_rows() {
  std::vector<Row> rows;
  for (const View& v : views()) rows.push_back(view_row(v));
  return rows;
}

}  // namespace contract
