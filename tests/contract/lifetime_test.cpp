// tests/contract/lifetime_test.cpp -- memory lives as long as something needs it, and no longer;
// a failure takes what depends on it and nothing else
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#include <flash/flash.h>

#include "contract/op_table.h"
#include "core/allocator.h"
#include "in_child.h"

using namespace flash;

namespace {

/// Runs f twice; the second time leaves as many bytes and blocks as there were before.
void leaves_nothing(const std::function<void()>& f) {
  f();
  eval_all();
  const MemoryStats before = memory_stats();
  f();
  eval_all();
  const MemoryStats after = memory_stats();
  CHECK(after.live == before.live);
  CHECK(after.live_blocks == before.live_blocks);
}

std::vector<float> values(const Tensor& t) { return t.to_vector<float>(); }

}  // namespace

TEST_CASE("programs give all their memory back") {
  for (const char* evaluator : contract::kEvaluators) {
    CAPTURE(std::string(evaluator));
    use_evaluator(evaluator);
    leaves_nothing([] {  // what is recorded and never read
      const Tensor x = randn({100, 100});
      const Tensor y = softmax(matmul(x, x), 1);
    });
    leaves_nothing([] {  // and what is read
      const Tensor x = randn({100, 100});
      const Tensor y = softmax(matmul(x, x), 1);
      CHECK(values(sum(y))[0] > 0);
    });
    leaves_nothing([] {  // forward, backward, double backward
      Tensor w = randn({20, 20});
      w.set_requires_grad();
      const Tensor loss = sum(tanh(matmul(w, w)));
      const Tensor g = grad({loss}, {w}, {}, true, true)[0];
      sum(g * g).backward();
      CHECK(w.grad().defined());
    });
    leaves_nothing([] {  // a graph that is never walked
      Tensor w = randn({20, 20});
      w.set_requires_grad();
      const Tensor loss = sum(exp(w) * w);
      loss.eval();
    });
    leaves_nothing([] {  // views, and writes through them
      Tensor x = zeros({64, 64});
      Tensor row = x[3], column = x.t()[5];
      row.add_(1);
      column.copy_(row);
      x = Tensor();
      row.eval();
      CHECK(values(column)[9] == 1);
      CHECK(values(row)[0] == 1);
    });
    leaves_nothing([] {  // a chain that runs into the trace's limit
      Tensor x = ones({1000});
      for (int i = 0; i < 6000; ++i) x = x * 1.0 + 0.0;
      CHECK(values(x)[0] == 1);
    });
    leaves_nothing([] {  // training
      nn::Linear model(8, 4);
      optim::Adam opt(model.parameters());
      for (int i = 0; i < 3; ++i) {
        opt.zero_grad();
        mse_loss(model(ones({2, 8})), zeros({2, 4})).backward();
        opt.step();
      }
    });
  }
  use_evaluator("fuse");
}

TEST_CASE("memory that lives at the peak does not grow with the length of a program") {
  use_evaluator("fuse");
  constexpr std::int64_t kBytes = 4 << 20;
  const auto peak = [&](int n) {
    eval_all();
    runtime(Device()).allocator().trim();
    reset_peak_memory_stats();
    const std::size_t start = memory_stats().live;
    Tensor x = ones({kBytes / 4});
    for (int i = 0; i < n; ++i) {
      x = sin(x) + x.flip(0);
      if (i % 3 == 0) x.eval();
    }
    x.eval();
    return memory_stats().peak - start;
  };
  const std::size_t few = peak(6), many = peak(60);
  CHECK(few >= kBytes);
  CHECK(many <= few);
}

TEST_CASE("a view keeps the storage when its base is gone, and nothing does when both are") {
  (ones({1}) + 1).eval();  // a GPU's memory for arguments stays
  const std::uint64_t blocks = memory_stats().live_blocks;
  Tensor view, pending;
  {
    Tensor base = arange(12).to(f32).view({3, 4}).clone();
    view = base.t().slice(0, 1, 3);
    pending = base[2] * 2;
    base.add_(100);  // the view sees it, what was computed from the base before does not
  }
  CHECK(values(view) == std::vector<float>{101, 105, 109, 102, 106, 110});
  CHECK(values(pending) == std::vector<float>{16, 18, 20, 22});
  {
    const Tensor narrower = view[0];
    view = Tensor();
    CHECK(values(narrower) == std::vector<float>{101, 105, 109});
  }
  pending = Tensor();
  eval_all();
  CHECK(memory_stats().live_blocks == blocks);
}

namespace {

/// The user's memory, and how often it was given back.
struct Blob {
  explicit Blob(std::size_t n) : data(n) {
    for (std::size_t i = 0; i < n; ++i) data[i] = static_cast<float>(i);
  }
  Tensor tensor(const Shape& s) {
    return from_blob(data.data(), s, f32, [this] { ++released; });
  }
  std::vector<float> data;
  int released = 0;
};

}  // namespace

TEST_CASE("from_blob gives the memory back once, when the last that needs it is gone") {
  Blob blob(6);
  {
    const Tensor t = blob.tensor({2, 3});
    CHECK(blob.released == 0);
    CHECK(values(t * 2) == std::vector<float>{0, 2, 4, 6, 8, 10});
  }
  CHECK(blob.released == 1);

  Blob viewed(6);
  {
    Tensor view = viewed.tensor({2, 3}).t()[1];
    CHECK(viewed.released == 0);
    CHECK(values(view) == std::vector<float>{1, 4});
  }
  CHECK(viewed.released == 1);

  // What is recorded needs it until it is computed; what is computed has memory of its own.
  Blob recorded(6);
  Tensor y = recorded.tensor({6}) + 1;
  CHECK(recorded.released == 0);
  recorded.data[5] = 50;  // read when it is computed
  y.eval();
  CHECK(recorded.released == 1);
  CHECK(values(y) == std::vector<float>{1, 2, 3, 4, 5, 51});

  // The tape needs it until the graph is gone.
  Blob taped(6);
  {
    Tensor w = ones({6});
    w.set_requires_grad();
    Tensor loss = sum(w * taped.tensor({6}));
    loss.eval();
    CHECK(taped.released == 0);
    loss.backward();
    CHECK(values(w.grad()) == std::vector<float>{0, 1, 2, 3, 4, 5});
  }
  eval_all();
  CHECK(taped.released == 1);

  // Nobody reads it at all.
  Blob unused(6);
  { const Tensor t = exp(unused.tensor({6})); }
  eval_all();
  CHECK(unused.released == 1);
}

TEST_CASE("writes to a blob land in the user's memory when they are computed") {
  Blob blob(6);
  {
    Tensor t = blob.tensor({2, 3});
    const Tensor before = t * 1;
    t.mul_(10);
    t[1].add_(1);
    t.eval();
    CHECK(blob.data == std::vector<float>{0, 10, 20, 31, 41, 51});
    CHECK(values(before) == std::vector<float>{0, 1, 2, 3, 4, 5});
    t.fill_(7);
    CHECK(values(t.t())[5] == 7);
  }
  CHECK(blob.released == 1);
  CHECK(blob.data == std::vector<float>(6, 7));

  // A write that nobody waits for still lands: the memory is somebody else's.
  Blob written(3);
  {
    Tensor t = written.tensor({3});
    t.add_(1);
  }
  eval_all();
  CHECK(written.released == 1);
  CHECK(written.data == std::vector<float>{1, 2, 3});
}

TEST_CASE("a bad index poisons what depends on it, and nothing else") {
  for (const char* evaluator : contract::kEvaluators) {
    CAPTURE(std::string(evaluator));
    use_evaluator(evaluator);
    Tensor table = arange(6).to(f32).view({3, 2}).clone(), computed = table * 2,
           counter = zeros({1});
    eval_all();
    const auto lookup = [&](std::int64_t i) { return sum(embedding(full({2}, i, i64), table)); };
    CHECK(lookup(2).item() == 18);

    const Tensor lost = lookup(3), with = table + 1;
    const Tensor follows = lost * 2;
    counter.add_(1);
    CHECK_THROWS_AS(lost.item(), IndexError);
    for (const Tensor& t : {lost, follows}) {
      CHECK_THROWS_WITH_AS(t.eval(), doctest::Contains("out of range"), IndexError);
      CHECK_THROWS_WITH_AS((t + 1).eval(), doctest::Contains("out of range"), IndexError);
    }
    // What was recorded beside it, was there before, and comes after, is right.
    CHECK(values(with) == std::vector<float>{1, 2, 3, 4, 5, 6});
    CHECK(values(counter) == std::vector<float>{1});
    CHECK(values(computed) == std::vector<float>{0, 2, 4, 6, 8, 10});
    CHECK(values(table) == std::vector<float>{0, 1, 2, 3, 4, 5});
    CHECK(lookup(1).item() == 10);
    CHECK_THROWS_AS(lookup(-1).item(), IndexError);
    CHECK(lookup(0).item() == 2);
    // A cell that would have been overwritten keeps its value, also in a user's own memory.
    std::vector<float> mine{7, 8};
    Tensor kept = from_blob(mine.data(), {2}, f32), twice = table + 0;
    twice.eval();
    counter.add_(lookup(9));
    kept.mul_(lookup(9));
    CHECK_THROWS_AS(counter.eval(), IndexError);
    CHECK_THROWS_AS(kept.eval(), IndexError);
    CHECK(values(counter) == std::vector<float>{1});
    CHECK(values(kept + 1) == std::vector<float>{8, 9});
    CHECK(mine == std::vector<float>{7, 8});
    // Of two changes that wait, none is left out silently.
    twice.add_(1);
    twice.add_(lookup(9));
    CHECK_THROWS_AS(twice.eval(), IndexError);
    CHECK_THROWS_AS(twice.eval(), IndexError);
    // A whole new value heals a lost one.
    twice.fill_(4);
    CHECK(values(twice) == std::vector<float>(6, 4));
  }
  use_evaluator("fuse");
  leaves_nothing([] {
    const Tensor table = ones({3, 2});
    const Tensor lost = embedding(full({1}, 5, i64), table) + 1;
    CHECK_THROWS_AS(lost.eval(), IndexError);
  });
}

TEST_CASE("nothing is overwritten before all indices are known to be good") {
  for (const char* evaluator : contract::kEvaluators) {
    CAPTURE(std::string(evaluator));
    use_evaluator(evaluator);
    // The index waits for the sum, which could be made where x lies.
    Tensor x = ones({1000});
    x.eval();
    x.add_(1);
    Tensor lost = embedding(x.sum().to(i64).view({1}), ones({3, 2}));
    const Tensor beside = x * 2;
    CHECK_THROWS_AS(lost.eval(), IndexError);
    CHECK(values(x) == std::vector<float>(1000, 2));
    CHECK(values(beside) == std::vector<float>(1000, 4));

    // Inputs that nobody needs any more, whose memory others take, before and behind the lookup.
    Tensor p = ones({2}), q = ones({4, 250}), y = ones({1000});
    for (const Tensor& t : {p, q, y}) t.eval();
    const Tensor scaled = softmax(q, 1), total = (y * 2).sum();
    q = y = Tensor();
    lost = embedding(full({1}, 9, i64), ones({3, 2})).sum();
    p.add_(1);
    const Tensor w = p * 2;
    CHECK_THROWS_AS(lost.eval(), IndexError);
    CHECK(total.item() == 2000);
    CHECK(values(p) == std::vector<float>{2, 2});
    CHECK(values(w) == std::vector<float>{4, 4});
    CHECK(scaled.sum().item() == doctest::Approx(4));
  }
  use_evaluator("fuse");
}

TEST_CASE(
    "several bad indices, equal ones too, fail at once; a failing one after another's result") {
  for (const char* evaluator : contract::kEvaluators) {
    CAPTURE(std::string(evaluator));
    use_evaluator(evaluator);
    const Tensor table = ones({3, 2}), bad = full({1}, 9, i64), worse = full({1}, -1, i64);
    Tensor p = ones({2}), c = ones({2}) * 4;
    eval_all();
    p.add_(embedding(worse, table).sum());
    std::vector<Tensor> lost;
    for (int k = 0; k < 3; ++k) lost.push_back(embedding(bad, table) + static_cast<double>(k));
    const Tensor four = c + 0;
    CHECK_THROWS_AS(four.eval(), IndexError);
    CHECK(values(four) == std::vector<float>{4, 4});
    for (const Tensor& t : lost) CHECK_THROWS_AS(t.eval(), IndexError);
    p.add_(5);
    CHECK(values(p) == std::vector<float>{6, 6});

    // The second lookup's index is made of what the first one finds.
    const Tensor places = full({4, 1}, 7.0);
    const Tensor second = embedding(embedding(full({1}, 2, i64), places).to(i64).view({1}), table);
    CHECK_THROWS_WITH_AS(second.eval(), doctest::Contains("index 7 (item 0)"), IndexError);
    c.add_(1);
    CHECK(values(c) == std::vector<float>{5, 5});
  }
  use_evaluator("fuse");
}

TEST_CASE("the tape knows of a change in place that failed") {
  const Tensor table = ones({3, 2}), bad = full({1}, 9, i64);
  Tensor k = full({2}, 5.0);
  k.set_requires_grad(true);
  Tensor q = ones({2}), y = ones({2});
  eval_all();
  q.add_(embedding(bad, table).sum());
  const Tensor z = (k * q).sum();
  CHECK_THROWS_AS(q.eval(), IndexError);
  CHECK(values(q) == std::vector<float>{1, 1});
  CHECK_THROWS_WITH_AS(z.backward(), doctest::Contains("changed in place"), AutogradError);

  y.add_(k + embedding(bad, table).sum());
  CHECK_THROWS_AS(y.eval(), IndexError);
  CHECK(values(y) == std::vector<float>{1, 1});
  CHECK_THROWS_WITH_AS(y.sum(), doctest::Contains("not the history"), AutogradError);
  CHECK(y.detach().sum().item() == 2);
  CHECK_FALSE(k.grad().defined());
}

TEST_CASE("a thread's end and a write to a user's memory keep what a bad index does not touch") {
  const auto lookup = [] { return embedding(full({1}, 9, i64), ones({3, 2})).sum(); };
  Tensor a, b;
  std::thread([&] {
    a = ones({2}) * 3;
    b = lookup();
  }).join();
  CHECK(values(a) == std::vector<float>{3, 3});
  CHECK_THROWS_AS(b.eval(), IndexError);

  float mine[2] = {1, 2};
  {
    Tensor x = from_blob(mine, {2}, f32);
    x.add_(10);
    const Tensor lost = lookup();
    x = Tensor();
    CHECK(mine[0] == 11);
    CHECK_THROWS_AS(lost.eval(), IndexError);
  }
  Tensor x = from_blob(mine, {2}, f32);
  x.copy_(lookup() + zeros({2}));
  CHECK_THROWS_AS(x.eval(), IndexError);
  CHECK(values(x) == std::vector<float>{11, 12});
}

TEST_CASE("meters do not count an update that failed") {
  metrics::MeanMeter loss;
  metrics::AccuracyMeter accuracy;
  for (const int index : {0, 9, 1}) {
    const Tensor row = embedding(full({1}, index, i64), ones({3, 2}));
    loss.update(row.mean());
    accuracy.update(row, zeros({1}, {.dtype = i64}));
    if (index == 9)
      CHECK_THROWS_AS(eval_all(), IndexError);
    else
      eval_all();
  }
  CHECK(loss.value() == 1);
  CHECK(loss.count() == 2);
  CHECK(accuracy.value() == 1);
  CHECK(accuracy.count() == 2);
}

TEST_CASE("a bad index in a training step leaves parameters and optimizer as they were") {
  for (const char* evaluator : contract::kEvaluators) {
    for (const bool adam : {false, true}) {
      CAPTURE(std::string(evaluator));
      CAPTURE(adam);
      use_evaluator(evaluator);
      const auto train = [&](bool stumbles) {
        manual_seed(3);
        nn::Embedding table(5, 4);
        nn::Linear features(8, 4), head(4, 2);
        std::vector<Tensor> parameters = table.parameters();
        for (const nn::Module* m : {&features, &head})
          for (const Tensor& p : m->parameters()) parameters.push_back(p);
        std::unique_ptr<optim::Optimizer> opt;
        if (adam)
          opt = std::make_unique<optim::AdamW>(parameters);
        else
          opt = std::make_unique<optim::SGD>(parameters, optim::SgdOptions{.momentum = 0.9});
        const auto step = [&](std::int64_t word) {
          Tensor x = arange(16).to(f32).view({2, 8});
          x.eval();
          x = (x - x.mean(1, true)) / x.std(1, true);  // where the first x lay
          const Tensor loss = cross_entropy(head(relu(features(x) + table(full({2}, word, i64)))),
                                            zeros({2}, {.dtype = i64}));
          opt->zero_grad();
          loss.backward();
          opt->step();
        };
        for (std::int64_t i = 0; i < 3; ++i) step(i);
        if (stumbles) CHECK_THROWS_WITH_AS(step(5), doctest::Contains("out of range"), IndexError);
        std::vector<float> all;
        for (const Tensor& p : parameters)
          for (const float v : values(p)) all.push_back(v);
        for (std::int64_t i = 0; i < 3; ++i) step(i);  // with momentum and steps of before
        for (const Tensor& p : parameters)
          for (const float v : values(p)) all.push_back(v);
        return all;
      };
      CHECK(train(true) == train(false));
    }
    // A loss that is linear in the rows: their gradient does not wait for the lookup.
    nn::Embedding table(5, 2);
    optim::SGD opt(table.parameters(), {.lr = 0.1});
    const auto step = [&](std::int64_t word) {
      opt.zero_grad();
      table(full({2}, word, i64)).mean().backward();
      opt.step();
    };
    step(0);
    const auto before = values(table.weight);
    CHECK_THROWS_AS(step(7), IndexError);
    CHECK(values(table.weight) == before);
    for (std::int64_t i = 1; i < 4; ++i) step(i);
  }
  use_evaluator("fuse");
}

TEST_CASE("when memory is out the trace stays as it was, and may be computed in smaller parts") {
  for (const char* evaluator : {"fuse", "eager"}) {
    CAPTURE(std::string(evaluator));
    use_evaluator(evaluator);
    const Tensor x = ones({4});
    Tensor small = x + 1, more = small * 3;
    Tensor huge = x.view({4, 1}).expand({4, std::int64_t{1} << 45}) * 2.0;  // 512 TiB
    for (int again = 0; again < 2; ++again)
      CHECK_THROWS_WITH_AS(small.eval(), doctest::Contains("out of memory"), OutOfMemory);
    huge = Tensor();
    CHECK(values(more) == std::vector<float>(4, 6));
    CHECK(values(small) == std::vector<float>(4, 2));
  }
  use_evaluator("fuse");
}

TEST_CASE("an object of a thread may compute when it goes, after what the thread computed with") {
  static std::atomic<int> right{0};
  struct Last {
    Tensor x;
    ~Last() {
      right += (x / (x * 2)).matmul(x).sum().item() == 70 * 70 * 35;
      (void)(x * 3);  // is pending when the thread is over
    }
  };
  std::size_t after_some = 0;
  for (int n = 0; n < 40; ++n) {
    std::thread([] {
      static thread_local Last last;  // is made before the thread computes
      last.x = ones({70, 70}, {.device = "cpu"});
      CHECK(last.x.matmul(last.x).sum().item() == 70 * 70 * 70);
    }).join();
    if (n == 10) after_some = memory_stats().live;
  }
  CHECK(right == 40);
  CHECK(memory_stats().live == after_some);
}

TEST_CASE("a static object may compute when it goes") {
#if FLASH_THREAD_SANITIZER
  MESSAGE("skipped: the thread sanitizer does not follow threads through a fork");
  return;
#endif
  CHECK(flash::test::in_child([]() -> int {
          struct Last {
            Tensor total;
            ~Last() {
              // Scratch memory of the plan and of the product is that of a thread that has ended.
              const Tensor mean = total / ones({70, 70}, {.device = "cpu"});
              _exit(mean.matmul(mean.t()).sum().item() == 9 * 70 * 70 * 70 ? 7 : 8);
            }
          };
          static Last last{ones({70, 70}, {.device = "cpu"}) * 3};
          CHECK(last.total.matmul(last.total).sum().item() > 0);
          std::exit(9);
        }) == 7);
}
