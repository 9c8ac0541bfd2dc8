// core/device.h -- seam 2: what a device must do: hold memory, load kernels, launch, run leaf
// kernels
//
// `Device` names a device; `DeviceRuntime` is the small class that a new kind of hardware
// implements. Every call that does work takes a stream; the CPU has one, and its calls return when
// they are done.
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dtype.h"
#include "export.h"
#include "primitive.h"
#include "shape.h"

namespace flash {

namespace ir {
struct Kernel;
}
class Allocator;

enum class DeviceType : std::uint8_t { kCpu, kNull, kCuda, kHip, kVulkan };

/// Names a device: "cpu", "cuda:1". There is one "cpu" and one "null" device, which records and
/// plans but computes nothing: it counts. GPUs of a kind are numbered from 0, and "cuda" is
/// "cuda:0". A GPU's driver is opened when one of its kind is named first.
class FLASH_API Device {
 public:
  static constexpr int kTypes = 5;
  static constexpr int kOfOneType = 8;                          ///< GPUs of a kind, at most
  static constexpr int kSlots = 2 + (kTypes - 2) * kOfOneType;  ///< of all kinds

  constexpr Device() = default;     ///< the CPU
  Device(DeviceType t, int i = 0);  ///< throws as the next one does
  Device(std::string_view text);    ///< throws DeviceError saying why it is not there, and what is
  Device(const char* text) : Device(std::string_view(text)) {}
  Device(const std::string& text) : Device(std::string_view(text)) {}
  /// Without asking whether it is there: what its own runtime is called.
  static constexpr Device unchecked(DeviceType type, int index) {
    Device d;
    d.type_ = type;
    d.index_ = static_cast<std::int8_t>(index);
    return d;
  }
  constexpr DeviceType type() const { return type_; }
  constexpr int index() const { return index_; }
  std::string str() const;
  /// A number of its own in [0, kSlots).
  constexpr int slot() const {
    const int t = static_cast<int>(type_);
    return t < 2 ? t : 2 + (t - 2) * kOfOneType + index_;
  }
  friend bool operator==(const Device&, const Device&) = default;
  /// Whether that is its name, of a device that is there or is not. Throws DeviceError if the text
  /// names none.
  template <std::convertible_to<std::string_view> Text>
  friend bool operator==(const Device& device, const Text& text) {
    return device.is_named(text);
  }

 private:
  bool is_named(std::string_view text) const;
  DeviceType type_ = DeviceType::kCpu;
  std::int8_t index_ = 0;
};

FLASH_API std::ostream& operator<<(std::ostream& os, const Device& device);  ///< cuda:0

/// What names of devices look like; N may be left out and is 0 then.
inline constexpr const char* kDeviceNames = "cpu, null, cuda:N, hip:N, vulkan:N";
/// Kind and number of a name that looks so, whether or not there is such a device.
FLASH_API std::optional<std::pair<DeviceType, int>> parse_device(std::string_view text);

/// Whether Device(name) can be made: "cuda", "vulkan:1". Throws DeviceError if the text names none.
FLASH_API bool is_available(std::string_view name);

/// Where tensors are made unless their call says otherwise: FLASH_DEVICE, or the CPU. One for the
/// process, as the seed is. Host memory that is wrapped (from_blob) is always the CPU's.
FLASH_API Device default_device();
FLASH_API void set_default_device(Device device);

/// Order of work on a device. Work on one stream runs in order.
struct Stream {
  std::uint32_t id = 0;
};

/// How a kernel is compiled: as well as the device can, or by the portable reference.
enum class CodeKind : std::uint8_t { kBest, kPortable };

/// Code of one fused kernel, loaded on a device.
class LoadedKernel {
 public:
  virtual ~LoadedKernel() = default;
  virtual std::string listing() const { return {}; }  ///< source or assembly, where it was kept
  std::string name;
  /// Its device will compile it, or never does, and counts it then (add_compiled).
  bool pending = false;
};

/// One kernel over tiles [0, tiles). Items given to one `launch` call have no dependencies among
/// them and run as one launch.
struct Launch {
  const LoadedKernel* kernel = nullptr;
  const std::int64_t* args = nullptr;  ///< its ArgBlock, where the kernel reads it: see bind_args()
  const std::int64_t* host_args = nullptr;  ///< the same words for the host, during the call
  std::int64_t tiles = 0;
};

/// Words of an ArgBlock that move with the origin of a tile: args[base] += Σ
/// begin[axis]·args[strides+axis].
struct AffineWords {
  int base = 0, strides = 0;
};

/// A loaded map (ir::Mode::kEpilogue) that a leaf kernel calls on each finished tile or element of
/// its output, while it is in cache. The kernel's axes are exactly the output's dimensions.
struct Epilogue {
  const LoadedKernel* kernel = nullptr;
  const std::int64_t* args = nullptr;  ///< the whole output's ArgBlock, for the host
  int words = 0;
  int axes = 0;
  std::span<const AffineWords> affine;
};

/// A strided operand of a leaf kernel.
struct Operand {
  void* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;
  Strides strides;  ///< in elements; outputs are contiguous
};

/// One call of a leaf kernel: primitive, operands, the primitive's attributes (see primitive.h).
struct LeafCall {
  Prim op{};
  std::span<const Operand> inputs;
  Operand output;
  std::span<const std::int64_t> attrs;
  const Epilogue* epilogue = nullptr;
};

/// Launches counted where they happen; those of leaf kernels and copies count too.
struct DeviceCounters {
  std::atomic<std::uint64_t> launches{0};
  std::atomic<std::uint64_t> leaf_launches{0};
  std::atomic<std::uint64_t> generic_launches{0};
  std::atomic<std::uint64_t> replays{0};
  std::atomic<std::uint64_t> bytes_moved{0};
};

/// What a device made of a plan's runs, to repeat them with less work. The plan keeps it, and only
/// the device looks inside.
class Recording {
 public:
  virtual ~Recording() = default;
};

/// Times what one thread gives to a device, by the device's own clock where that can be asked.
class Stopwatch {
 public:
  virtual ~Stopwatch() = default;
  virtual void stop() = 0;            ///< behind what was given last; once
  virtual double microseconds() = 0;  ///< of all that was given; waits until it is done
};

/// What a device can do at best, measured by plain loops on all its threads.
struct MachineLimits {
  double gb_per_s = 0;  ///< memory: the best of copy and triad (kernels/cpu/limits.h); 0: not known
  double gflop_per_s = 0;  ///< fused multiply-adds of f32, two each
};

class FLASH_API DeviceRuntime {
 public:
  virtual ~DeviceRuntime() = default;
  virtual Device id() const = 0;
  virtual Allocator& allocator() = 0;

  /// Compiles and loads; throws and leaves nothing behind if it cannot.
  virtual std::shared_ptr<LoadedKernel> load(const ir::Kernel& kernel, CodeKind kind) = 0;
  /// How many kernels it is worth loading at the same time, on as many threads.
  virtual int load_threads() const { return 1; }
  /// Makes the ArgBlocks of one run readable by kernels: called once before its first launch.
  /// Returns where they are: for a device that reads the host's memory the words themselves, which
  /// stay until the run ends; else the address of a copy that lives until all that is enqueued
  /// with it is done.
  virtual const std::int64_t* bind_args(std::span<const std::int64_t> words, Stream) {
    return words.data();
  }
  /// A run of a plan by this thread: the calls of bind_args(), launch(), run_leaf() and copy() up
  /// to end_run() or drop_run(), and no others. True if none of them takes effect before end_run(),
  /// where a device that knows the same calls from earlier runs may replay them from `kept`. Memory
  /// they use is freed later.
  virtual bool begin_run(std::unique_ptr<Recording>& /*kept*/, Stream) { return false; }
  /// Of a run that takes effect at end_run(): what may fail and leaves nothing done, compiling most
  /// of all.
  virtual void prepare_run(Stream) {}
  /// Called when a run has failed, too, so that what came before the failure takes effect.
  virtual void end_run(Stream) {}
  /// Instead of end_run(): nothing of the run takes effect.
  virtual void drop_run(Stream) {}
  /// Before launches outside of a run: their kernels are there when it returns. May fail, and
  /// leaves nothing done.
  virtual void prepare(std::span<const Launch> /*items*/, Stream) {}
  virtual void launch(std::span<const Launch> items, Stream stream) = 0;
  /// True if this device has a leaf kernel for `op` that takes an epilogue.
  virtual bool takes_epilogue(Prim op, DType dtype) const = 0;
  virtual void run_leaf(const LeafCall& call, Stream stream) = 0;
  /// Throws IndexError ("index 9 (item 0) is out of range …") if a value of `index` (i64) is not in
  /// [0, rows). A device whose kernels find that out only when they run does nothing.
  virtual void check_index(const Operand& /*index*/, std::int64_t /*rows*/, Stream) {}

  virtual void copy(void* dst, const void* src, std::size_t bytes, Stream stream) = 0;  // on device
  virtual void to_host(void* dst, const void* src, std::size_t bytes, Stream stream) = 0;
  virtual void from_host(void* dst, const void* src, std::size_t bytes, Stream stream) = 0;
  /// From another device's memory to this one's: after all that the other was given, and before all
  /// that it is given later. False, and nothing is done, where the host has to carry it.
  virtual bool copy_from_peer(void* /*dst*/, DeviceRuntime& /*peer*/, const void* /*src*/,
                              std::size_t /*bytes*/, Stream) {
    return false;
  }
  virtual void synchronize(Stream stream) = 0;
  /// Times the calls of launch(), run_leaf() and copy() from here to stop(), outside of a run. The
  /// CPU's clock, unless the device has its own.
  virtual std::unique_ptr<Stopwatch> start_timing(Stream);

  /// As Evaluator::prepare_thread: makes the thread-local objects that its calls use.
  virtual void prepare_thread() {}

  /// What it is, for people: hardware, architecture, memory, driver, compiler; or what of these is
  /// missing and how to get it. One line; empty where there is nothing to say.
  virtual std::string description() { return {}; }

  /// Threads that work on one launch: what the binder cuts tiles for.
  virtual int parallelism() const = 0;
  /// Kernels that compile in the background, or wait for that.
  virtual std::uint64_t pending() const { return 0; }
  /// Measured at the first call; zeros where it cannot say.
  virtual MachineLimits limits() { return {}; }

  DeviceCounters counters;
};

/// The runtime of a device, which it opens; throws DeviceError if that fails.
FLASH_API DeviceRuntime& runtime(Device device);
/// How the devices of one kind are found; see install_devices().
struct DeviceProvider {
  /// Opens the driver: how many devices of this kind are there. Called once, when one of them is
  /// named first.
  int (*count)() = nullptr;
  /// Opens one of them, from 0; throws DeviceError. Called when it is used first, and again if that
  /// failed.
  std::unique_ptr<DeviceRuntime> (*open)(int index) = nullptr;
  /// Why there is none, and how to get one: one line, for people. Called after count().
  std::string (*missing)() = nullptr;
};
/// Called by flash.cpp for each kind of device; of several calls for one kind the first counts.
void install_devices(DeviceType type, DeviceProvider provider);
/// Every device that is there, in order of kind; opens all drivers, and none of the devices.
FLASH_API std::span<const Device> devices();
/// Why there is no device of this kind; empty if there is one.
FLASH_API std::string missing(DeviceType type);
/// False in a child of the process that opened the driver: drivers of GPUs survive no fork.
bool opened_here(Device device);
/// Those of the devices that have been opened so far.
std::vector<DeviceRuntime*> open_runtimes();

}  // namespace flash
