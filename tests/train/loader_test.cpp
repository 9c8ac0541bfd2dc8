// tests/train/loader_test.cpp -- the loader's order, its workers, resume in an epoch, and errors
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include "core/ops/create.h"
#include "train/data/dataloader.h"
#include "train/data/digits.h"

using namespace flash;

namespace {

/// Batches of indices, with a random word of each; slow now and then, so that workers overtake.
struct Counting : data::Dataset {
  std::int64_t n = 103, broken = -1;
  mutable std::atomic<int> made{0};
  explicit Counting(std::int64_t size = 103, std::int64_t bad = -1) : n(size), broken(bad) {}
  std::int64_t size() const override { return n; }
  data::Batch get_batch(std::span<const std::int64_t> indices,
                        const data::Draw& draw) const override {
    if (++made % 3 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::vector<std::int64_t> x, y;
    for (const auto i : indices) {
      if (i == broken) throw IoError("example " + std::to_string(i) + " cannot be read");
      x.push_back(i);
      y.push_back(draw.words(i)[0]);
    }
    return {from_vector(x), from_vector(y)};
  }
};

using Batches = std::vector<std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>>>;

Batches epoch_of(data::DataLoader& loader) {
  Batches out;
  for (auto& [x, y] : loader)
    out.emplace_back(x.to_vector<std::int64_t>(), y.to_vector<std::int64_t>());
  return out;
}

data::DataLoader make(int workers, std::uint64_t seed = 7) {
  return data::DataLoader(std::make_shared<Counting>(),
                          {.batch_size = 10, .shuffle = true, .workers = workers, .seed = seed});
}

}  // namespace

TEST_CASE("0 to 4 workers give the same batches, and each epoch holds every example once") {
  data::DataLoader alone = make(0);
  const Batches first = epoch_of(alone), second = epoch_of(alone);
  CHECK(first.size() == 11);
  CHECK(first.back().first.size() == 3);
  CHECK(first != second);
  for (const Batches& epoch : {first, second}) {
    std::set<std::int64_t> seen;
    for (const auto& [x, y] : epoch) seen.insert(x.begin(), x.end());
    CHECK(seen.size() == 103);
  }
  for (int workers = 1; workers <= 4; ++workers) {
    CAPTURE(workers);
    data::DataLoader loader = make(workers);
    CHECK(epoch_of(loader) == first);
    CHECK(epoch_of(loader) == second);
  }
  data::DataLoader other = make(1, 8);
  CHECK(epoch_of(other) != first);
}

TEST_CASE("a permutation is a function of size, seed and epoch") {
  const auto p = data::permutation(1000, 3, 5);
  CHECK(p == data::permutation(1000, 3, 5));
  CHECK(p != data::permutation(1000, 3, 6));
  CHECK(p != data::permutation(1000, 4, 5));
  auto sorted = p;
  std::sort(sorted.begin(), sorted.end());
  for (std::int64_t i = 0; i < 1000; ++i) CHECK(sorted[static_cast<std::size_t>(i)] == i);
  CHECK(data::permutation(0, 1, 1).empty());
  // Each of 4 items comes first about 1,000 times in 4,000 epochs (6 standard deviations: 165).
  int first[4] = {};
  for (int epoch = 0; epoch < 4000; ++epoch)
    ++first[static_cast<std::size_t>(data::permutation(4, 1, epoch)[0])];
  for (const int n : first) CHECK(std::abs(n - 1000) < 165);
}

TEST_CASE("a state saved in the middle of an epoch continues with the batches that are left") {
  for (const int workers : {0, 2}) {
    data::DataLoader whole = make(workers);
    (void)epoch_of(whole);
    const Batches second = epoch_of(whole), third = epoch_of(whole);

    data::DataLoader stopped = make(workers);
    (void)epoch_of(stopped);
    data::DataLoader::State state;
    Batches begun;
    for (auto& [x, y] : stopped) {
      begun.emplace_back(x.to_vector<std::int64_t>(), y.to_vector<std::int64_t>());
      state = stopped.state();
      if (begun.size() == 4) break;
    }
    CHECK(state == data::DataLoader::State{1, 4});
    data::DataLoader resumed = make(workers);
    resumed.set_state(state);
    for (const auto& batch : epoch_of(resumed)) begun.push_back(batch);
    CHECK(begun == second);
    CHECK(epoch_of(resumed) == third);
  }
}

TEST_CASE("a state at the end of an epoch gives no batch of it, then the next epoch") {
  data::DataLoader loader = make(1), whole = make(0);
  (void)epoch_of(whole);
  loader.set_state({0, loader.size()});
  CHECK(epoch_of(loader).empty());
  CHECK(epoch_of(loader) == epoch_of(whole));
}

TEST_CASE("a state saved behind a whole epoch continues with the next one") {
  data::DataLoader loader = make(1);
  (void)epoch_of(loader);
  const data::DataLoader::State state = loader.state();
  CHECK(state == data::DataLoader::State{1, 0});
  data::DataLoader resumed = make(1);
  resumed.set_state(state);
  CHECK(epoch_of(resumed) == epoch_of(loader));
}

TEST_CASE("drop_last leaves out the partial batch") {
  data::DataLoader loader(std::make_shared<Counting>(), {.batch_size = 10, .drop_last = true});
  CHECK(loader.size() == 10);
  CHECK(epoch_of(loader).size() == 10);
}

TEST_CASE("what a worker throws arrives at its batch, and the batches before it arrive too") {
  for (const int workers : {0, 1, 3}) {
    data::DataLoader loader(std::make_shared<Counting>(100, 55),
                            {.batch_size = 10, .workers = workers});
    int batches = 0;
    std::string message;
    try {
      for (auto& [x, y] : loader) batches += static_cast<int>(x.size(0)) / 10;
    } catch (const IoError& e) {
      message = e.what();
    }
    CHECK(batches == 5);
    CHECK(message == "example 55 cannot be read");
  }
}

TEST_CASE("leaving a loop early stops the workers, and the prefetch is bounded") {
  auto dataset = std::make_shared<Counting>(10000);
  {
    data::DataLoader loader(dataset, {.batch_size = 10, .workers = 2, .prefetch = 3});
    for (auto& [x, y] : loader) {
      CHECK(x.size(0) == 10);
      break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK(dataset->made <= 1 + 3);
  }
  CHECK(dataset.use_count() == 1);
}

TEST_CASE("tensors are a data set, and a subset is a part of one") {
  const Tensor x = arange(12).reshape({6, 2}), y = arange(6).to(f16);
  auto all = std::make_shared<data::TensorDataset>(x, y);
  const std::int64_t rows[] = {4, 0};
  const data::Batch batch = all->get_batch(rows, {});
  CHECK(batch.x.to_vector<std::int64_t>() == std::vector<std::int64_t>{8, 9, 0, 1});
  CHECK(batch.y.dtype() == f16);
  CHECK(batch.y.to(f32).to_vector<float>() == std::vector<float>{4, 0});
  data::Subset part(all, 2, 3);
  const std::int64_t last[] = {2};
  CHECK(part.get_batch(last, {}).x.to_vector<std::int64_t>() == std::vector<std::int64_t>{8, 9});
  const std::int64_t past[] = {3};
  CHECK_THROWS_AS(part.get_batch(past, {}), IndexError);
  CHECK_THROWS_AS(data::Subset(all, 2, 5), IndexError);
  CHECK_THROWS_WITH_AS(
      data::TensorDataset(x, arange(5)),
      "TensorDataset: x is [6, 2] and y [5]; both need the same number of examples as dimension 0",
      ShapeError);
}

TEST_CASE("a batch is on the device that the examples' tensors were on") {
  const Tensor x = ones({3, 2}), y = arange(3, {.device = "cpu"});
  const data::TensorDataset examples(x, y);
  const Device before = default_device();
  set_default_device("null");
  const std::int64_t rows[] = {2, 0};
  const data::Batch batch = examples.get_batch(rows, {});
  set_default_device(before);
  CHECK(batch.x.device() == x.device());
  CHECK(batch.y.device() == "cpu");
}

TEST_CASE("digits are normalised, and a shift moves a picture without losing its label") {
  data::LabelledImages images;
  images.images = {DType::kU8, {1, 4, 4}, std::vector<std::byte>(16)};
  images.images.bytes[5] = std::byte{255};  // row 1, column 1
  images.labels = {DType::kU8, {1}, {std::byte{7}}};
  const data::Digits plain(images, {.mean = 0.5, .stddev = 0.5});
  const std::int64_t index[] = {0};
  const data::Batch batch = plain.get_batch(index, {});
  CHECK(batch.x.shape() == Shape{1, 1, 4, 4});
  CHECK(batch.y.to_vector<std::int64_t>() == std::vector<std::int64_t>{7});
  std::vector<float> want(16, -1.0f);
  want[5] = 1.0f;
  CHECK(batch.x.to_vector<float>() == want);

  const data::Digits shifting(images, {.shift = 1, .mean = 0.5, .stddev = 0.5});
  std::set<std::size_t> places;
  for (std::int64_t epoch = 0; epoch < 200; ++epoch) {
    const auto x = shifting.get_batch(index, {.seed = 1, .epoch = epoch}).x.to_vector<float>();
    places.insert(static_cast<std::size_t>(std::max_element(x.begin(), x.end()) - x.begin()));
    CHECK(std::count(x.begin(), x.end(), 1.0f) == 1);
  }
  CHECK(places == std::set<std::size_t>{0, 1, 2, 4, 5, 6, 8, 9, 10});
}

TEST_CASE("a loader refuses what cannot work") {
  auto dataset = std::make_shared<Counting>();
  CHECK_THROWS_WITH_AS(data::DataLoader(nullptr),
                       "DataLoader: the data set is null; pass one that exists", ValueError);
  CHECK_THROWS_WITH_AS(data::DataLoader(dataset, {.batch_size = 0}),
                       "DataLoader: batch_size is 0; it must be at least 1", ValueError);
  CHECK_THROWS_AS(data::DataLoader(std::make_shared<Counting>(0)), ValueError);
  CHECK_THROWS_AS(data::DataLoader(dataset, {.batch_size = 200, .drop_last = true}), ValueError);
  data::DataLoader loader(dataset);
  CHECK_THROWS_AS(loader.set_state({0, 99}), ValueError);
}
