// tests/contract/concurrency_test.cpp -- threads that infer with one model, hand tensors on, train
// and die at the same time
//
// Whatever else runs, everyone gets the bits that he gets alone. The thread sanitizer runs this as
// well (./dev sanitize thread contract).
#include <doctest/doctest.h>

#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <flash/flash.h>

#include "contract/on_threads.h"
#include "core/scope.h"
#include "core/thread_traces.h"

using namespace flash;

namespace {

bool on_cpu() { return default_device().type() == DeviceType::kCpu; }

/// A GPU has ArgBlocks for each thread beside what tensors hold.
void check_blocks(std::size_t want) {
  if (on_cpu()) CHECK(memory_stats().live_blocks == want);
}

using Bits = std::vector<std::uint8_t>;

/// A model that is not trained. Not inlined: g++ 12 would take default arguments for gone.
[[gnu::noinline]] std::unique_ptr<SmallNet> made() {
  manual_seed(9);
  auto model = std::make_unique<SmallNet>();
  model->eval();
  return model;
}

/// What `model` says of a batch, whose numbers are a function of `seed` alone.
Bits inferred(SmallNet& model, std::int64_t seed) {
  NoGrad guard;
  Generator random(static_cast<std::uint64_t>(seed));
  const Tensor x = randn({1 + seed % 5, 1, 8, 8}, f32, &random);
  return fuzz::bytes_of(softmax(model(x), 1));
}

/// A queue that waits: what threads hand each other.
template <class T>
class Channel {
 public:
  void put(T value) {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(value));
    filled_.notify_one();
  }
  T take() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [&] { return !queue_.empty(); });
    T value = std::move(queue_.front());
    queue_.pop_front();
    return value;
  }

 private:
  std::mutex mutex_;
  std::condition_variable filled_;
  std::deque<T> queue_;
};

}  // namespace

TEST_CASE("threads that infer with one model get the bits that one thread gets") {
  for (const bool pending : {false, true}) {
    CAPTURE(pending);
    std::vector<Bits> want;
    {
      const auto model = made();
      for (int i = 0; i < 40; ++i) want.push_back(inferred(*model, i));
    }
    // Its weights may still be pending here when all threads want them.
    const auto model = made();
    if (!pending) eval_all();
    on_threads(4, [&](int t) {
      for (int i = 0; i < 40; ++i) {
        const int seed = (i * 7 + t * 11) % 40;
        const bool equal = inferred(*model, seed) == want[static_cast<std::size_t>(seed)];
        CHECK(equal);
      }
    });
  }
}

TEST_CASE("a tensor may be made on one thread, extended on a second and walked back on a third") {
  Tensor w = full({8}, 2.0, f64);
  w.set_requires_grad();
  w.eval();
  constexpr int kItems = 200;
  struct Item {
    Tensor on_tape, plain;
  };
  Channel<Item> made, extended;
  const auto blocks = memory_stats().live_blocks;
  on_threads(3, [&](int stage) {
    for (int i = 0; i < kItems; ++i) {
      if (stage == 0) {
        const Tensor x = full({8}, i, f64);
        made.put({x * w, x.view({2, 4}) + 1});  // pending, both
      } else if (stage == 1) {
        Item item = made.take();
        item.plain.t()[1].mul_(3);  // a write into what another thread recorded
        if (i % 3 == 0) item.plain.eval();
        extended.put({(item.on_tape + 1).view({2, 4}).t(), item.plain.t()});
      } else {
        const Item item = extended.take();
        sum(item.on_tape * item.on_tape).backward();
        const double one = i + 1;
        CHECK(item.plain.to_vector<double>() ==
              std::vector<double>{one, one, 3 * one, 3 * one, one, one, one, one});
      }
    }
  });
  // d/dw Σ (x·w + 1)² = 2·x·(2x + 1), and i² add up to n(n − 1)(2n − 1)/6.
  const double n = kItems, squares = (n - 1) * n * (2 * n - 1) / 6, numbers = n * (n - 1) / 2;
  CHECK(w.grad().to_vector<double>() == std::vector<double>(8, 4 * squares + 2 * numbers));
  check_blocks(blocks + 1);  // the gradient
}

namespace {

struct Death : std::runtime_error {
  Death() : std::runtime_error("this thread dies") {}
};

/// Ways to end a thread while something is recorded, on the tape or being differentiated. What is
/// given to `kept` must have its value afterwards.
using Way = std::pair<const char*, void (*)(const Tensor& w, Tensor& kept)>;
const Way kDeaths[] = {
    {"returns with work pending",
     [](const Tensor& w, Tensor& kept) {
       const Tensor x = ones({64}) * 3.0;
       kept = w.detach() * 3.0 + sum(x) * 0.0;
       const Tensor y = tanh(x * x), loss = sum(y * w);
       if (x.dim() == 1) return;
       loss.backward();
     }},
    {"throws with work pending",
     [](const Tensor& w, Tensor& kept) {
       std::vector<Tensor> pending;
       for (int i = 0; i < 50; ++i) pending.push_back(exp(w * static_cast<double>(i)));
       kept = w.detach() * 3.0;
       throw Death();
     }},
    {"throws inside of guards",
     [](const Tensor& w, Tensor& kept) {
       const Scope scope("dying");
       NoGrad guard;
       kept = w * 3.0;
       const Tensor y = kept + 1.0;
       throw Death();
     }},
    {"misuses an operation",
     [](const Tensor& w, Tensor& kept) {
       kept = w.detach() * 3.0;
       const Tensor y = softmax(kept, 0);
       matmul(y.view({8, 8}), ones({3, 3}));
     }},
    {"throws in a hook of backward",
     [](const Tensor& w, Tensor& kept) {
       Tensor y = w.detach().set_requires_grad() * 3.0;
       kept = y.detach();
       y.register_hook([](const Tensor&) -> Tensor { throw Death(); });
       sum(exp(y)).backward({}, false, true);
     }},
    {"throws in a custom function",
     [](const Tensor& w, Tensor& kept) {
       kept = w.detach() * 3.0;
       custom_function(
           "dying", {w * 2.0},
           [](FunctionContext& c, const std::vector<Tensor>& in) -> std::vector<Tensor> {
             c.save({in[0] * in[0]});
             throw Death();
           },
           [](FunctionContext&, const std::vector<Tensor>& g) { return g; });
     }},
    {"dies of a flush that fails",  // on a GPU whoever waits next is told of a bad index
     [](const Tensor& w, Tensor& kept) {
       kept = w.detach() * 3.0;
       kept.eval();
       const Tensor leaf = w.detach().set_requires_grad();
       sum(embedding(full({2}, 99, i64), leaf.view({8, 8})) * leaf[0]).backward();
       eval_all();
     }},
};

std::span<const Way> deaths() {
  return std::span(kDeaths).first(std::size(kDeaths) - (on_cpu() ? 0 : 1));
}

/// Whether this thread, which may use the trace of a dead one, finds it as new.
void check_untouched() {
  CHECK(grad_enabled());
  CHECK(current_marks().scope == 0);
  CHECK((current_marks().pass == Pass::kForward));
  CHECK(this_trace(Device()).nodes.size() == 0);
  const Tensor x = full({3}, 2.0).set_requires_grad();
  sum(x * x).backward();
  CHECK(x.grad().to_vector<float>() == std::vector<float>(3, 4));
}

}  // namespace

TEST_CASE("a thread that dies while it records leaves no mark") {
  Tensor w = ones({64});
  w.set_requires_grad();
  w.eval();
  std::thread(check_untouched).join();
  const auto blocks = memory_stats().live_blocks;
  for (int round = 0; round < 3; ++round)
    for (const auto& death : deaths()) {
      CAPTURE(std::string(death.first));
      Tensor kept;
      bool threw = false;
      std::thread([&] {
        try {
          death.second(w, kept);
        } catch (const std::exception&) {
          threw = true;
        }
      }).join();
      CHECK(threw == (&death != &kDeaths[0]));
      CHECK(kept.to_vector<float>() == std::vector<float>(64, 3));
      CHECK_FALSE(w.grad().defined());
      kept = Tensor();
      check_blocks(blocks);
      std::thread(check_untouched).join();
    }
}

TEST_CASE("training, inference and dying threads at once: everyone has the bits he has alone") {
  std::deque<Training> alone, together;
  for (const std::uint64_t seed : {3, 4}) {
    alone.emplace_back(seed);
    together.emplace_back(seed);
  }
  for (Training& t : alone) t.run();
  const auto shared = made();
  std::vector<Bits> want;
  for (int i = 0; i < 10; ++i) want.push_back(inferred(*shared, i));
  Tensor w = ones({64});
  w.set_requires_grad();
  w.eval();
  const auto blocks = memory_stats().live_blocks;
  on_threads(6, [&](int t) {
    if (t < 2) {
      together[static_cast<std::size_t>(t)].run();
    } else if (t < 4) {
      for (int i = 0; i < 40; ++i) {
        const bool equal = inferred(*shared, i % 10) == want[static_cast<std::size_t>(i % 10)];
        CHECK(equal);
      }
    } else {
      for (int i = 0; i < 40; ++i) {
        const auto& death = deaths()[static_cast<std::size_t>(i + t) % deaths().size()];
        std::thread([&] {
          Tensor kept;
          try {
            death.second(w, kept);
          } catch (const std::exception&) {
          }
          const bool right = kept.to_vector<float>() == std::vector<float>(64, 3);
          CHECK(right);
        }).join();
      }
    }
  });
  for (std::size_t i = 0; i < alone.size(); ++i) {
    CHECK(alone[i].losses == together[i].losses);
    CHECK((alone[i].bits() == together[i].bits()));
  }
  CHECK_FALSE(w.grad().defined());
  for (Training& t : together) t.model->zero_grad();
  check_blocks(blocks);
}
