// kernels/gpu/product_library.h -- matrix products by a vendor's library, which drives the units
// that only it knows well
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "core/device.h"
#include "kernels/gpu/driver.h"

namespace flash::gpu {

/// A product of given sizes, types and layouts, ready to be enqueued. Thread-safe.
class LibraryProduct {
 public:
  virtual ~LibraryProduct() = default;
  virtual std::size_t workspace_bytes() const = 0;
  /// Throws DeviceError.
  virtual void enqueue(Address a, Address b, Address bias, Address out, Address workspace,
                       Handle stream) const = 0;
  std::string name;  ///< for messages
};

/// A library on one device.
class ProductLibrary {
 public:
  virtual ~ProductLibrary() = default;
  /// What computes a call (kMatmul, epilogue apart), or null where Flash's own kernels are to.
  virtual std::shared_ptr<const LibraryProduct> find(const LeafCall& call) = 0;
  /// Its name, version and place; or why it is not there, what is slower so, and how to get it.
  virtual std::string description() = 0;
};

}  // namespace flash::gpu
