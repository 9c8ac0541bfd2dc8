// tests/core/serial_test.cpp -- traces as bytes: round trips, stable ids, hostile bytes
#include "core/serial.h"

#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/autograd/autograd.h"
#include "core/error.h"
#include "core/io/tensor_io.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"
#include "core/ops/linalg.h"
#include "core/ops/reduce.h"
#include "core/scope.h"
#include "core/stats.h"

using namespace flash;

namespace {

Tensor ready(Tensor t) {
  t.eval();
  return t;
}

/// Records something of everything; returns what lives.
std::vector<Tensor> record_much() {
  const Tensor x = ready(randn({2, 3, 8, 8})), w = ready(randn({4, 3, 3, 3})),
               b = ready(randn({4}));
  const Tensor table = ready(randn({10, 5})), index = ready(randint(0, 10, {2, 3}));
  const Tensor m = ready(randn({4, 6})), lw = ready(randn({2, 6})), lb = ready(randn({2}));
  eval_all();
  std::vector<Tensor> out;
  {
    const Scope scope("features");
    out.push_back(relu(conv2d(x, w, b, {.padding_h = 1, .padding_w = 1})));
    out.push_back(max_pool2d(out.back(), {.kernel_h = 2, .kernel_w = 2}));
    out.push_back(avg_pool2d(out[0], {.kernel_h = 2, .kernel_w = 2}));
  }
  out.push_back(embedding(index, table));
  out.push_back(matmul(m.t(), m) + arange(6).to(f32) * 0.5);
  out.push_back(linear(m, lw, lb));
  out.push_back(m.softmax(-1).sum({0}, true));
  out.push_back(m.flip(1).slice(0, 1, 4, 2).unsqueeze(1).expand({2, 3, 6}).amax({1, 2}));
  out.push_back(where(m < 0, m.to(f64), scalar_tensor(2, f64)).to(f16));
  out.push_back(rand({3, 4}) + m.unfold(1, 4, 2).select(0, 0).sum({0}));
  Tensor z = m.clone();
  z.slice(1, 0, 2).fill_(7);
  z.t().select(0, 3).mul_(2);
  out.push_back(z);
  out.push_back(zeros({0, 3}).sum({0}));
  return out;
}

std::vector<io::Bytes> values(const std::vector<Tensor>& tensors) {
  std::vector<io::Bytes> v;
  for (const Tensor& t : tensors) v.push_back(to_host(t).bytes);
  return v;
}

void check_same(const TraceProgram& a, const TraceProgram& b) {
  CHECK(a.scopes == b.scopes);
  CHECK(a.outputs == b.outputs);
  REQUIRE(a.nodes.size() == b.nodes.size());
  for (std::size_t i = 0; i < a.nodes.size(); ++i) {
    CHECK(a.nodes[i].op == b.nodes[i].op);
    CHECK(a.nodes[i].dtype == b.nodes[i].dtype);
    CHECK(a.nodes[i].shape == b.nodes[i].shape);
    CHECK(a.nodes[i].in == b.nodes[i].in);
    CHECK(a.nodes[i].attrs == b.nodes[i].attrs);
    CHECK(a.nodes[i].scope == b.nodes[i].scope);
  }
  REQUIRE(a.data.size() == b.data.size());
  for (const auto& entry : a.data) CHECK(entry.second.bytes == b.data.at(entry.first).bytes);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a trace survives being written and read, and computes the same bits again") {
  eval_all();
  const std::vector<Tensor> original = record_much();
  const TraceProgram p = recorded_program();
  CHECK(p.outputs.size() == original.size());
  CHECK(has(p.scopes.at(1), "features"));
  const io::Bytes bytes = write_program(p);
  const TraceProgram q = read_program(bytes, "memory");
  check_same(p, q);
  CHECK(write_program(q) == bytes);
  const auto expected = values(original);
  const std::vector<Tensor> again = replay(q);
  // Outputs are in order of record, as the tensors here are.
  CHECK(values(again) == expected);
  use_evaluator("interpret");
  const auto interpreted = values(replay(q));
  use_evaluator("fuse");
  CHECK(interpreted == expected);
}

TEST_CASE(
    "a training step's trace can be recorded, shipped without data and fed with other inputs") {
  eval_all();
  Tensor w = ready(randn({6, 3})), x = ready(randn({5, 6})), y = ready(randn({5, 3}));
  eval_all();
  const auto step = [](const Tensor& x_in, const Tensor& w_in, const Tensor& y_in) {
    Tensor weight = w_in.detach();
    weight.set_requires_grad();
    const Tensor error = tanh(matmul(x_in, weight)) - y_in;
    (error * error).mean().backward();
    return weight.grad();
  };
  const Tensor g = step(x, w, y);
  TraceProgram p = recorded_program(default_device(), false);
  CHECK(p.data.empty());
  std::vector<Shape> wanted;
  for (const TraceProgram::Node& n : p.nodes)
    if (n.op == Prim::kInput) wanted.push_back(n.shape);
  REQUIRE(wanted.size() == 3);
  const Tensor x2 = ready(randn({5, 6})), w2 = ready(randn({6, 3})), y2 = ready(randn({5, 3}));
  p = read_program(write_program(p), "memory");
  std::vector<Tensor> inputs;
  for (const Shape& s : wanted) inputs.push_back(s == x2.shape() ? x2 : s == w2.shape() ? w2 : y2);
  const auto expected = values({step(x2, w2, y2)});
  const auto outputs = values(replay(p, inputs));
  CHECK(std::find(outputs.begin(), outputs.end(), expected[0]) != outputs.end());
  CHECK_THROWS_WITH_AS(replay(p), doctest::Contains("wants more"), ValueError);
  inputs.push_back(x2);
  CHECK_THROWS_AS(replay(p, inputs), ValueError);
  inputs.pop_back();
  inputs[0] = x2.to(f64);
  CHECK_THROWS_WITH_AS(replay(p, inputs), doctest::Contains("must be f32"), ValueError);
  CHECK(g.defined());
}

TEST_CASE("a trace read again is grouped as it was: the passes of training are part of it") {
  const Tensor x = randn({8, 4}), w = randn({4, 4}).set_requires_grad(true);
  eval_all();
  const Tensor g = grad({gelu(linear(gelu(linear(x, w)), w)).sum()}, {w})[0];
  const TraceProgram program = recorded_program();
  const TraceProgram again = read_program(write_program(program), "t");
  std::set<Pass> passes;
  for (std::size_t i = 0; i < program.nodes.size(); ++i) {
    CHECK(again.nodes[i].pass == program.nodes[i].pass);
    passes.insert(again.nodes[i].pass);
  }
  CHECK(passes.size() == 3);
  g.eval();
  const auto outputs = replay(again, {});
  std::set<Pass> replayed;
  for (const TraceProgram::Node& n : recorded_program().nodes) replayed.insert(n.pass);
  CHECK(replayed == passes);
}

TEST_CASE("the bytes of version 1 never change") {
  TraceProgram p;
  p.scopes.emplace_back("s");
  p.nodes.push_back({Prim::kInput, f32, {2}, {}, {}, 0});
  p.nodes.push_back({Prim::kScalar, f32, {}, {}, {5}, 0});
  p.nodes.push_back({Prim::kAdd, f32, {2}, {0, 1}, {}, 1});
  p.nodes.push_back({Prim::kSum, f32, {}, {2}, {1, 0}, 0});
  p.outputs = {3};
  p.data[0] = {f32, {2}, io::Bytes(8, std::byte{9})};
  const unsigned char expected[] = {
      'F', 'L', 'A', 'S', 'H', 'T', 'R', 'C', 1, 0, 0, 0,                      // magic, version
      2,   0,   0,   0,   0,   0,   0,   0,   1, 0, 0, 0, 's',                 // scopes
      4,   0,   0,   0,                                                        // nodes
      0,   0,   8,   1,   0,   0,   0,   0,   0, 0, 2, 0, 0,   0, 0, 0, 0, 0,  // input
      1,   0,   8,   0,   0,   1,   0,   0,   0, 0, 5, 0, 0,   0, 0, 0, 0, 0,  // scalar
      26,  0,   8,   1,   2,   0,   1,   0,   0, 0, 2, 0, 0,   0, 0, 0, 0, 0,  // add …
      0,   0,   0,   0,   1,   0,   0,   0,                              // … of nodes 0 and 1
      47,  0,   8,   0,   1,   2,   0,   0,   0, 0, 2, 0, 0,   0,        // sum of node 2
      1,   0,   0,   0,   0,   0,   0,   0,   0, 0, 0, 0, 0,   0, 0, 0,  // over axis 0
      1,   0,   0,   0,   3,   0,   0,   0,                              // outputs
      1,   0,   0,   0,   0,   0,   0,   0,   8, 0, 0, 0, 0,   0, 0, 0, 9, 9,
      9,   9,   9,   9,   9,   9};  // data
  const io::Bytes bytes = write_program(p);
  REQUIRE(bytes.size() == sizeof expected);
  CHECK(std::memcmp(bytes.data(), expected, sizeof expected) == 0);
  // Ids of the last operations of each kind as they were when version 1 was made.
  CHECK(static_cast<int>(Prim::kUpdate) == 51);
  CHECK(static_cast<int>(Prim::kMatmul) == 52);
  CHECK(static_cast<int>(Prim::kScatterAddRows) == 61);
  CHECK(static_cast<int>(DType::kF64) == 9);
}

TEST_CASE("a cut trace is refused at every length") {
  eval_all();
  const std::vector<Tensor> keep = record_much();
  TraceProgram p = recorded_program();
  eval_all();
  io::Bytes bytes = write_program(p);
  for (std::size_t n = 0; n < bytes.size(); n += n < 4000 ? 1 : 97) {
    CAPTURE(n);
    CHECK_THROWS_AS(read_program(io::ByteSpan(bytes).first(n), "cut"), IoError);
  }
  bytes.push_back(std::byte{0});
  CHECK_THROWS_WITH_AS(read_program(bytes, "long.trace"), doctest::Contains("long.trace"), IoError);
}

TEST_CASE("changed bytes are refused, or are another trace that runs") {
  eval_all();
  const std::vector<Tensor> keep = record_much();
  const io::Bytes bytes = write_program(recorded_program());
  eval_all();
  std::mt19937 random(5);
  int ran = 0, refused = 0;
  for (int i = 0; i < 800; ++i) {
    io::Bytes b = bytes;
    for (int k = 0; k <= i % 3; ++k)
      b[random() % std::min<std::size_t>(b.size(), 6000)] =
          static_cast<std::byte>(random() % (i % 2 ? 256 : 8));
    try {
      const TraceProgram p = read_program(b, "changed");
      std::int64_t elements = 0;
      for (const TraceProgram::Node& n : p.nodes) elements += n.shape.numel();
      if (elements > 1000000) continue;
      values(replay(p));
      ++ran;
    } catch (const IoError&) {
      ++refused;
    } catch (const IndexError&) {  // an embedding's index, known when it runs
      eval_all();
    }
  }
  CHECK(ran > 100);
  CHECK(refused > 100);
}

TEST_CASE("a program that could not have been recorded is refused with its node and reason") {
  eval_all();
  const std::vector<Tensor> keep = record_much();
  const TraceProgram good = recorded_program();
  eval_all();
  const auto find = [&](Prim op, const TraceProgram& p) {
    for (std::size_t i = 0; i < p.nodes.size(); ++i)
      if (p.nodes[i].op == op) return i;
    FAIL("the trace has no " << info(op).name);
    return std::size_t{0};
  };
  using Change = std::function<void(TraceProgram::Node&)>;
  const auto refuses = [&](Prim op, const Change& change, const char* why) {
    CAPTURE(info(op).name);
    CAPTURE(why);
    TraceProgram p = good;
    change(p.nodes[find(op, p)]);
    CHECK_THROWS_WITH_AS(verify_program(p), doctest::Contains(why), ValueError);
    CHECK_THROWS_AS(replay(p), ValueError);
  };
  using Node = TraceProgram::Node;
  for (const int unknown : {static_cast<int>(Prim::kCount), 200, 255})
    refuses(
        Prim::kAdd, [&](Node& n) { n.op = static_cast<Prim>(unknown); }, "there is no primitive");
  refuses(
      Prim::kAdd, [](Node& n) { n.in[0] = 100000; }, "not an earlier node");
  refuses(
      Prim::kAdd, [](Node& n) { n.in.pop_back(); }, "number of inputs");
  refuses(
      Prim::kAdd, [](Node& n) { n.dtype = i32; }, "dtype");
  refuses(
      Prim::kAdd, [](Node& n) { n.scope = 99; }, "scope");
  refuses(
      Prim::kAdd, [](Node& n) { n.shape.push_back(3); }, "shape");
  refuses(
      Prim::kView, [](Node& n) { n.attrs[2] = 1 << 20; }, "outside");
  refuses(
      Prim::kView, [](Node& n) { n.attrs[3] = INT64_MAX; }, "outside");
  refuses(
      Prim::kView, [](Node& n) { n.attrs[3] = INT64_MIN; }, "outside");
  refuses(
      Prim::kView, [](Node& n) { n.attrs.pop_back(); }, "attributes");
  refuses(
      Prim::kView, [](Node& n) { n.attrs[0] = 77; }, "kind");
  refuses(
      Prim::kUpdate, [](Node& n) { n.attrs[0] = -1; }, "outside");
  refuses(
      Prim::kUpdate, [](Node& n) { n.attrs[1] = 0; }, "more than once");
  refuses(
      Prim::kUpdate, [](Node& n) { n.attrs.pop_back(); }, "view");
  refuses(
      Prim::kSum, [](Node& n) { n.attrs[0] = 1 << 20; }, "not there");
  refuses(
      Prim::kSum, [](Node& n) { n.shape[0] += 1; }, "shape");
  refuses(
      Prim::kMatmul, [](Node& n) { n.shape[0] += 1; }, "matrices");
  refuses(
      Prim::kConv2d, [](Node& n) { n.attrs[0] = 0; }, "fit");
  refuses(
      Prim::kConv2d, [](Node& n) { n.attrs[2] = INT64_MAX; }, "too large");
  refuses(
      Prim::kConv2d, [](Node& n) { n.shape[3] += 1; }, "fit");
  refuses(
      Prim::kMaxPool2d, [](Node& n) { n.attrs[4] = 2; }, "padding");
  refuses(
      Prim::kGatherRows, [](Node& n) { n.shape[0] += 1; }, "shape");
  refuses(
      Prim::kIota, [](Node& n) { n.attrs[0] = 3; }, "iota");
  refuses(
      Prim::kExpand,
      [](Node& n) {
        n.shape = {INT64_MAX, INT64_MAX};
      },
      "too large");
  refuses(
      Prim::kExpand,
      [](Node& n) {
        n.shape = {1 << 30, 1 << 30};
      },
      "too many");
  refuses(
      Prim::kCast, [](Node& n) { n.attrs[0] = 3; }, "casts to");
  refuses(
      Prim::kInput, [](Node& n) { n.shape.push_back(2); }, "");
  TraceProgram p = good;
  p.outputs.push_back(0);
  CHECK_THROWS_WITH_AS(verify_program(p), doctest::Contains("output 0"), ValueError);
  p = good;
  p.data.begin()->second.bytes.pop_back();
  CHECK_THROWS_WITH_AS(verify_program(p), doctest::Contains("do not fill"), ValueError);
}

TEST_CASE("numbers of a file are bounded before they are multiplied") {
  TraceProgram p;
  const std::int64_t huge = std::int64_t{1} << 40;
  p.nodes.push_back({Prim::kInput, f32, {1, 0, 4, 4}, {}, {}, 0});
  p.nodes.push_back({Prim::kInput, f32, {0, huge, 1, 1}, {}, {}, 0});
  p.nodes.push_back(
      {Prim::kConv2d, f32, {1, 0, 4, 4}, {0, 1}, {1, 1, 0, 0, 1, 1, std::int64_t{1} << 30}, 0});
  CHECK_THROWS_WITH_AS(verify_program(p), doctest::Contains("groups do not fit"), ValueError);
  // What reaches no element may still not have strides that overflow when they are negated.
  p.nodes.clear();
  p.nodes.push_back({Prim::kInput, f32, {4}, {}, {}, 0});
  p.nodes.push_back({Prim::kInput, f32, {}, {}, {}, 0});
  p.nodes.push_back({Prim::kUpdate, f32, {4}, {0, 1}, {0, 1, INT64_MIN, 0, 5}, 0});
  CHECK_THROWS_WITH_AS(verify_program(p), doctest::Contains("strides is too large"), ValueError);
  p.nodes[2].attrs = {0, 5, 1, 0, 5};
  CHECK_NOTHROW(verify_program(p));
}

TEST_CASE("a view of nothing is written and read as any other") {
  eval_all();
  const Tensor none = ready(zeros({5, 0}));
  const std::vector<Tensor> keep = {none.t() + 1, none.reshape({0, 3, 2}).sum({1})};
  const io::Bytes bytes = write_program(recorded_program());
  CHECK(values(replay(read_program(bytes, "memory"))) == values(keep));
}

TEST_CASE("what this version does not know is said plainly") {
  TraceProgram p;
  p.nodes.push_back({Prim::kScalar, f32, {}, {}, {5}, 0});
  io::Bytes bytes = write_program(p);
  bytes[8] = std::byte{2};
  CHECK_THROWS_WITH_AS(read_program(bytes, "t"), doctest::Contains("version 2"), IoError);
  bytes[8] = std::byte{1};
  bytes[0] = std::byte{'X'};
  CHECK_THROWS_WITH_AS(read_program(bytes, "t"), doctest::Contains("FLASHTRC"), IoError);
  bytes[0] = std::byte{'F'};
  bytes[24] = std::byte{0xff};
  CHECK_THROWS_WITH_AS(read_program(bytes, "t"), doctest::Contains("operation 255"), IoError);
}
