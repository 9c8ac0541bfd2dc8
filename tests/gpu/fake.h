// tests/gpu/fake.h -- the fake drivers, as tests steer them
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/device.h"

namespace flash::test {

/// One vendor's fake libraries. They are loaded before main, under the names that a runtime asks
/// the loader for.
class Fake {
 public:
  static Fake cuda();
  static Fake hip();

  std::string name;  ///< "cuda"
  /// Its runtimes, opened afresh.
  std::vector<std::unique_ptr<DeviceRuntime>> (*open)();

  void fail(const std::string& call, int nth, int error) const;  ///< in the driver or the compiler
  long calls(const std::string& call) const;
  long live(const std::string& what) const;
  void reset() const;
  /// The driver's or compiler's name of a call: index 0 is CUDA's, 1 HIP's.
  const char* pick(const char* cuda_name, const char* hip_name) const {
    return name == "cuda" ? cuda_name : hip_name;
  }

 private:
  std::vector<void*> libraries_;
};

/// Both, one after another.
std::vector<Fake> fakes();

}  // namespace flash::test
