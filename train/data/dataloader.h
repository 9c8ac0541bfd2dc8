// train/data/dataloader.h -- batches of a data set in a seeded order, made ahead by worker threads
//
//   data::DataLoader loader(dataset, {.batch_size = 64, .shuffle = true, .workers = 1, .seed = 1});
//   for (auto& [x, y] : loader) …          // one epoch
//
// The order of an epoch is a function of (seed, epoch, size) alone, and each batch of its indices,
// so any number of workers gives the same batches.
#pragma once

#include <cstdint>
#include <iterator>
#include <memory>
#include <vector>

#include "../../core/export.h"
#include "dataset.h"

namespace flash::data {

struct LoaderOptions {
  std::int64_t batch_size = 32;
  bool shuffle = false;
  bool drop_last = false;  ///< leave out a last batch that is not full
  int workers = 1;         ///< threads that make batches ahead; 0: made when asked for
  int prefetch = 4;        ///< batches made ahead at most
  std::uint64_t seed = 0;
};

/// A permutation of 0 … n - 1 that depends on (n, seed, epoch) only.
FLASH_API std::vector<std::int64_t> permutation(std::int64_t n, std::uint64_t seed,
                                                std::int64_t epoch);

/// Used by one thread. Destroying it, or leaving a loop early, stops the workers.
class FLASH_API DataLoader {
 public:
  /// Where a loader stands: `position` batches of `epoch` were handed out. Behind a loop that ran
  /// to its end it stands at the begin of the next epoch.
  struct State {
    std::int64_t epoch = 0;
    std::int64_t position = 0;
    friend bool operator==(const State&, const State&) = default;
  };

  /// Throws ValueError for a null or empty data set, or options out of range.
  explicit DataLoader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options = {});
  ~DataLoader();
  DataLoader(DataLoader&&) noexcept;
  DataLoader& operator=(DataLoader&&) noexcept;

  std::int64_t size() const;  ///< batches in an epoch
  const Dataset& dataset() const;
  const LoaderOptions& options() const;

  State state() const;
  /// The next loop continues there: it yields the rest of that epoch. Throws ValueError when out of
  /// range.
  void set_state(const State& state);

  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Batch;
    using difference_type = std::ptrdiff_t;
    using pointer = Batch*;
    using reference = Batch&;
    Batch& operator*() const { return loader_->current(); }
    Batch* operator->() const { return &loader_->current(); }
    iterator& operator++() {
      if (!loader_->advance()) loader_ = nullptr;
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(const iterator&) const = default;

   private:
    friend class DataLoader;
    explicit iterator(DataLoader* loader) : loader_(loader) {}
    DataLoader* loader_;
  };

  /// Starts the next epoch (or the rest of the one given to set_state). What a worker throws is
  /// thrown here or by ++, at the batch that it concerns.
  iterator begin();
  iterator end() { return iterator(nullptr); }

 private:
  Batch& current();
  bool advance();
  void start();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace flash::data
