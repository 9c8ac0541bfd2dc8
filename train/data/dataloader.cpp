// train/data/dataloader.cpp -- the order of an epoch, and the workers that make its batches ahead
#include "train/data/dataloader.h"

#include <unistd.h>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "core/stats.h"

namespace flash::data {

std::vector<std::int64_t> permutation(std::int64_t n, std::uint64_t seed, std::int64_t epoch) {
  if (n < 0) throw ValueError("permutation: of " + std::to_string(n) + " items; at least 0");
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i);
  // Fisher-Yates; a 64-bit word times the range, its high half: the bias is below n / 2^64.
  for (std::size_t i = order.size(); i > 1; --i) {
    const PhiloxWords w =
        philox({static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(std::uint64_t{i} >> 32),
                static_cast<std::uint32_t>(epoch), 0x0DE2u},
               {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
    const std::uint64_t word = std::uint64_t{w[0]} | std::uint64_t{w[1]} << 32;
    const auto j = static_cast<std::size_t>((static_cast<unsigned __int128>(word) * i) >> 64);
    std::swap(order[i - 1], order[j]);
  }
  return order;
}

namespace {

/// The batches of one pass, in order. Workers take tickets; at most `prefetch` finished or started
/// batches wait for the consumer.
class Pass {
 public:
  Pass(const Dataset& dataset, const LoaderOptions& options, std::int64_t epoch, std::int64_t first,
       std::int64_t end)
      : dataset_(dataset),
        options_(options),
        draw_{options.seed, epoch},
        taken_(first),
        made_(first),
        end_(end),
        process_(getpid()) {
    const std::int64_t n = dataset.size();
    order_ = options.shuffle ? permutation(n, options.seed, epoch) : std::vector<std::int64_t>{};
    count_ = n;
    slots_.resize(static_cast<std::size_t>(options.prefetch));
    const std::int64_t workers = std::min<std::int64_t>(options.workers, end - first);
    try {
      for (std::int64_t i = 0; i < workers; ++i) workers_.emplace_back([this] { work(); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~Pass() { stop(); }
  /// False in the child of a fork: the workers stayed in the parent, maybe with the lock.
  bool here() const { return getpid() == process_; }

  /// The next batch; nothing at the end.
  std::optional<Batch> next() {
    if (taken_ == end_) return {};
    if (workers_.empty()) {
      Batch batch = make(taken_);
      ++taken_;
      return batch;
    }
    std::unique_lock lock(mutex_);
    Slot& slot = slots_[static_cast<std::size_t>(taken_) % slots_.size()];
    ready_.wait(lock, [&] { return slot.full; });
    slot.full = false;
    ++taken_;
    std::exception_ptr error = std::move(slot.error);
    Batch batch = std::move(slot.batch);
    slot = {};
    lock.unlock();
    room_.notify_one();
    if (error) std::rethrow_exception(error);
    return batch;
  }

 private:
  struct Slot {
    Batch batch;
    std::exception_ptr error;
    bool full = false;
  };

  Batch make(std::int64_t ticket) const {
    const std::int64_t first = ticket * options_.batch_size;
    const std::int64_t last = std::min(first + options_.batch_size, count_);
    std::vector<std::int64_t> indices;
    for (std::int64_t i = first; i < last; ++i)
      indices.push_back(order_.empty() ? i : order_[static_cast<std::size_t>(i)]);
    return dataset_.get_batch(indices, draw_);
  }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      room_.wait(lock, [&] {
        return stop_ || made_ == end_ || made_ - taken_ < static_cast<std::int64_t>(slots_.size());
      });
      if (stop_ || made_ == end_) return;
      const std::int64_t ticket = made_++;
      lock.unlock();
      Slot result;
      try {
        result.batch = make(ticket);
        eval_all();  // what the data set computed, here and not in the consumer
      } catch (...) {
        result.batch = {};
        result.error = std::current_exception();
      }
      result.full = true;
      lock.lock();
      slots_[static_cast<std::size_t>(ticket) % slots_.size()] = std::move(result);
      ready_.notify_one();
      if (made_ == end_) room_.notify_all();
    }
  }

  void stop() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    room_.notify_all();
    for (auto& w : workers_) w.join();
    workers_.clear();
  }

  const Dataset& dataset_;
  const LoaderOptions options_;
  const Draw draw_;
  std::vector<std::int64_t> order_;
  std::int64_t count_ = 0;
  std::mutex mutex_;  // guards everything below
  std::condition_variable ready_, room_;
  std::vector<Slot> slots_;
  std::int64_t taken_, made_, end_;
  const pid_t process_;
  bool stop_ = false;
  std::vector<std::thread> workers_;
};

struct EndOfPass {
  void operator()(Pass* pass) const {
    if (pass->here()) delete pass;  // else nobody would answer
  }
};

}  // namespace

struct DataLoader::Impl {
  std::shared_ptr<const Dataset> dataset;
  LoaderOptions options;
  State state;
  bool fresh = true;  // no pass was started at `state` yet
  Batch current;
  std::unique_ptr<Pass, EndOfPass> pass;
};

DataLoader::DataLoader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options)
    : impl_(std::make_unique<Impl>()) {
  const auto require = [](bool ok, const std::string& text) {
    if (!ok) throw ValueError("DataLoader: " + text);
  };
  require(dataset != nullptr, "the data set is null; pass one that exists");
  require(dataset->size() > 0, "the data set is empty; it needs at least one example");
  require(options.batch_size > 0,
          "batch_size is " + std::to_string(options.batch_size) + "; it must be at least 1");
  require(options.workers >= 0 && options.workers <= 256,
          "workers is " + std::to_string(options.workers) + "; it must be from 0 to 256");
  require(options.prefetch > 0 && options.prefetch <= 4096,
          "prefetch is " + std::to_string(options.prefetch) + "; it must be from 1 to 4096");
  impl_->dataset = std::move(dataset);
  impl_->options = options;
  require(size() > 0, "batch_size is " + std::to_string(options.batch_size) +
                          " and the data set has " + std::to_string(impl_->dataset->size()) +
                          " examples; with drop_last nothing is left, use a smaller batch");
}

DataLoader::~DataLoader() = default;
DataLoader::DataLoader(DataLoader&&) noexcept = default;
DataLoader& DataLoader::operator=(DataLoader&&) noexcept = default;

std::int64_t DataLoader::size() const {
  const std::int64_t n = impl_->dataset->size(), b = impl_->options.batch_size;
  return n / b + (!impl_->options.drop_last && n % b != 0 ? 1 : 0);
}

const Dataset& DataLoader::dataset() const { return *impl_->dataset; }
const LoaderOptions& DataLoader::options() const { return impl_->options; }
DataLoader::State DataLoader::state() const { return impl_->state; }

void DataLoader::set_state(const State& state) {
  if (state.epoch < 0 || state.position < 0 || state.position > size())
    throw ValueError("DataLoader: epoch " + std::to_string(state.epoch) + ", position " +
                     std::to_string(state.position) + "; an epoch has " + std::to_string(size()) +
                     " batches, and neither may be negative");
  impl_->pass.reset();
  impl_->current = {};
  impl_->state = state;
  impl_->fresh = true;
}

DataLoader::iterator DataLoader::begin() {
  impl_->pass.reset();
  if (!impl_->fresh) impl_->state = {impl_->state.epoch + 1, 0};
  impl_->fresh = false;
  start();
  return advance() ? iterator(this) : end();
}

void DataLoader::start() {
  impl_->pass.reset(
      new Pass(*impl_->dataset, impl_->options, impl_->state.epoch, impl_->state.position, size()));
}

Batch& DataLoader::current() { return impl_->current; }

bool DataLoader::advance() {
  impl_->current = {};
  if (!impl_->pass->here()) start();
  std::optional<Batch> batch = impl_->pass->next();
  if (!batch) {
    impl_->pass.reset();
    impl_->state = {impl_->state.epoch + 1, 0};
    impl_->fresh = true;
    return false;
  }
  impl_->current = std::move(*batch);
  ++impl_->state.position;
  return true;
}

}  // namespace flash::data
