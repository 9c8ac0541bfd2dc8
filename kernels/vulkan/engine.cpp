// kernels/vulkan/engine.cpp -- launches, copies and waits on a device's streams
#include "kernels/vulkan/engine.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/counters.h"
#include "core/error.h"

namespace flash::vulkan {
namespace {

// Of a transfer: what is longer goes in pieces.
constexpr std::size_t kPiece = std::size_t{4} << 20;

constexpr MemoryWish kArgs{
    .must = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
    .better = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT};
constexpr MemoryWish kUp{.must = kArgs.must, .better = 0};
constexpr MemoryWish kDown{.must = kArgs.must, .better = VK_MEMORY_PROPERTY_HOST_CACHED_BIT};

}  // namespace

Engine::StreamState::StreamState(const std::shared_ptr<Gpu>& gpu)
    : commands(gpu),
      args(gpu, commands, kArgs, std::size_t{256} << 10, std::size_t{32} << 20),
      up(gpu, commands, kUp, kPiece, 16 * kPiece),
      down(gpu, commands, kDown, kPiece, 8 * kPiece) {}

Engine::Engine(std::shared_ptr<Gpu> gpu) : gpu_(std::move(gpu)) {
  fault_buffer_ = gpu_->make_buffer(gpu::kFaultWords * sizeof(std::int64_t),
                                    {.better = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT});
  gpu_->check(fault_buffer_.address == 0 ? VK_ERROR_OUT_OF_DEVICE_MEMORY : VK_SUCCESS,
              "opening the device");
  const std::lock_guard lock(mutex_);
  gpu_->vk().CmdFillBuffer(stream({}).commands.next(), fault_buffer_.handle, 0, VK_WHOLE_SIZE, 0);
}

Engine::~Engine() {
  for (auto& [id, s] : streams_) s->commands.wait(s->commands.submit());
  leaf_programs_.clear();
  streams_.clear();
  gpu_->vk().DestroyCommandPool(gpu_->device, recorded_pool_, nullptr);
  gpu_->destroy(fault_buffer_);
}

std::unique_ptr<RawMemory> Engine::take_memory() {
  auto memory = std::make_unique<DeviceMemory>(gpu_, [this] { drain(); });
  memory_ = memory.get();
  return memory;
}

Engine::StreamState& Engine::stream(Stream s) {
  std::unique_ptr<StreamState>& state = streams_[s.id];
  if (!state) state = std::make_unique<StreamState>(gpu_);
  return *state;
}

// A thread that binds again, or waits, has recorded all that uses its former words.
void Engine::let_go(StreamState& s) {
  const auto held = s.held.find(std::this_thread::get_id());
  if (held == s.held.end()) return;
  s.args.release(*held->second);
  s.held.erase(held);
}

const std::int64_t* Engine::bind_args(std::span<const std::int64_t> words, Stream at) {
  const std::lock_guard lock(mutex_);
  StreamState& s = stream(at);
  let_go(s);
  const Staging::Region r = s.args.take(words.size_bytes());
  std::memcpy(r.host, words.data(), words.size_bytes());
  s.args.hold(*r.page);
  s.held[std::this_thread::get_id()] = r.page;
  return reinterpret_cast<const std::int64_t*>(static_cast<std::uintptr_t>(r.address));
}

void Engine::append(std::span<const Command> commands, VkDeviceAddress args, StreamState& s) {
  for (const Command& c : commands) {
    // Those beside each other are of one batch.
    if (!c.beside) s.commands.submit_if_due();
    vulkan::append(*gpu_, c.beside ? s.commands.beside() : s.commands.next(), c, args);
  }
  s.commands.submit_if_due();
}

void Engine::enqueue(std::span<const Command> commands, Stream at) {
  const std::lock_guard lock(mutex_);
  append(commands, 0, stream(at));
}

void Engine::run(std::span<const Command> commands, std::span<const std::int64_t> words,
                 bool faults, Stream at) {
  const std::lock_guard lock(mutex_);
  StreamState& s = stream(at);
  may_have_faulted_ = may_have_faulted_ || faults;
  const Staging::Region r = s.args.take(words.size_bytes());
  if (!words.empty()) std::memcpy(r.host, words.data(), words.size_bytes());
  struct Hold {
    Staging& staging;
    Staging::Page& page;
    ~Hold() { staging.release(page); }
  } const hold{s.args, *r.page};
  s.args.hold(*r.page);
  append(commands, r.address, s);
}

std::unique_ptr<Recorded> Engine::record(std::span<const Command> commands, VkDeviceAddress args) {
  const std::lock_guard lock(mutex_);
  for (auto& [id, s] : streams_) free_retired(*s);
  if (recorded_pool_ == VK_NULL_HANDLE) {
    VkCommandPoolCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
    info.queueFamilyIndex = gpu_->queue_family;
    gpu_->check(gpu_->vk().CreateCommandPool(gpu_->device, &info, nullptr, &recorded_pool_),
                "making a command pool");
  }
  return std::make_unique<Recorded>(gpu_, recorded_pool_, commands, args);
}

void Engine::replay(const Recorded& recorded, std::span<const std::int64_t> words, void* args,
                    bool faults, Stream at) {
  const Place to = memory_->place_of(args);
  const std::lock_guard lock(mutex_);
  StreamState& s = stream(at);
  may_have_faulted_ = may_have_faulted_ || faults;
  upload(to, words.data(), words.size_bytes(), s);
  s.commands.execute(recorded.buffer(), recorded.commands());
  s.commands.submit_if_due();
}

Program& Engine::leaf_program(const gpu::LeafLaunch& l) {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Program>& program = leaf_programs_[l.entry];
  if (!program) {
    const CompileTime time;
    program = std::make_unique<Program>(gpu_, std::string(l.source), std::string(l.entry));
    add_compiled(std::string(l.entry), time.microseconds());
  }
  return *program;
}

void Engine::upload(Place to, const void* src, std::size_t bytes, StreamState& s) {
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t piece = std::min(kPiece, bytes - done);
    const Staging::Region r = s.up.take(piece);
    std::memcpy(r.host, static_cast<const char*>(src) + done, piece);
    const VkBufferCopy region{r.offset, to.offset + done, piece};
    // The first piece waits for readers of what was there before; the others are elsewhere.
    const VkCommandBuffer buffer = done == 0 ? s.commands.next() : s.commands.beside();
    gpu_->vk().CmdCopyBuffer(buffer, r.page->buffer.handle, to.buffer, 1, &region);
    done += piece;
    if (done < bytes) s.commands.submit_if_due();
  }
}

void Engine::from_host(void* dst, const void* src, std::size_t bytes, Stream at) {
  if (bytes == 0) return;
  const std::lock_guard lock(mutex_);
  StreamState& s = stream(at);
  upload(memory_->place_of(dst), src, bytes, s);
  s.commands.submit_if_due();
}

// Waits without the lock: others go on recording. If it is to be cleared, then before they do.
void Engine::read(void* dst, Place from, std::size_t bytes, StreamState& s,
                  std::unique_lock<std::mutex>& lock, bool clear) {
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t piece = std::min(kPiece, bytes - done);
    const Staging::Region r = s.down.take(piece);
    s.down.hold(*r.page);
    const VkBufferCopy region{from.offset + done, r.offset, piece};
    gpu_->vk().CmdCopyBuffer(s.commands.next(), from.buffer, r.page->buffer.handle, 1, &region);
    if (clear)
      gpu_->vk().CmdFillBuffer(s.commands.next(), from.buffer, from.offset + done, piece, 0);
    s.commands.show_to_host();
    const std::uint64_t batch = s.commands.submit();
    lock.unlock();
    s.commands.wait(batch);
    std::memcpy(static_cast<char*>(dst) + done, r.host, piece);
    lock.lock();
    s.down.release(*r.page);
    done += piece;
  }
}

void Engine::check_faults(StreamState& s, std::unique_lock<std::mutex>& lock) {
  if (!may_have_faulted_) return;
  may_have_faulted_ = false;
  std::vector<std::int64_t> words(gpu::kFaultWords, 0);
  const Place place{fault_buffer_.handle, 0};
  read(words.data(), place, sizeof(std::int64_t), s, lock, false);
  if (words[0] == 0) return;
  read(words.data(), place, words.size() * sizeof(std::int64_t), s, lock, true);
  if (const auto message = gpu::fault_message(words)) throw IndexError(*message);
}

void Engine::to_host(void* dst, const void* src, std::size_t bytes, Stream at) {
  std::unique_lock lock(mutex_);
  StreamState& s = stream(at);
  if (bytes > 0) read(dst, memory_->place_of(src), bytes, s, lock, false);
  let_go(s);
  free_retired(s);
  check_faults(s, lock);
  gpu_->throw_complaints();
}

void Engine::synchronize(Stream at) {
  std::unique_lock lock(mutex_);
  StreamState& s = stream(at);
  const std::uint64_t batch = s.commands.submit();
  lock.unlock();
  s.commands.wait(batch);
  lock.lock();
  let_go(s);
  free_retired(s);
  check_faults(s, lock);
  gpu_->throw_complaints();
}

void Engine::mark(Marks& marks, std::uint32_t which, Stream at) {
  gpu_->process.check(gpu_->label);
  std::unique_lock lock(mutex_);
  StreamState& s = stream(at);
  // So that what is timed is one batch, and what the host does meanwhile does not count.
  if (which == 0 || marks.pool == VK_NULL_HANDLE) marks.batch = s.commands.submit();
  if (marks.pool == VK_NULL_HANDLE) {
    lock.unlock();
    s.commands.wait(marks.batch);
    marks.host[which] = std::chrono::steady_clock::now();
    return;
  }
  const Api& vk = gpu_->vk();
  const VkCommandBuffer buffer = s.commands.beside();
  if (which == 0) vk.CmdResetQueryPool(buffer, marks.pool, 0, 2);
  vk.CmdWriteTimestamp(buffer, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, marks.pool, which);
  marks.batch = s.commands.open_batch();
}

void Engine::wait(std::uint64_t batch, Stream at) {
  gpu_->process.check(gpu_->label);
  std::unique_lock lock(mutex_);
  StreamState& s = stream(at);
  if (batch == s.commands.open_batch()) s.commands.submit();
  lock.unlock();
  s.commands.wait(batch);
}

void Engine::drain() {
  const std::lock_guard lock(mutex_);
  for (auto& [id, s] : streams_) s->commands.wait(s->commands.submit());
}

void Engine::free_retired(StreamState& s) {
  const std::uint64_t done = s.commands.done();
  std::erase_if(s.retired, [&](const auto& r) { return r.first <= done; });
}

void Engine::retire(std::shared_ptr<void> used) {
  if (!gpu_->process.here()) return;  // the driver is the parent's, and maybe the lock is held
  const std::lock_guard lock(mutex_);
  for (auto& [id, s] : streams_) s->retired.emplace_back(s->commands.open_batch(), used);
}

void* Engine::faults() const {
  return reinterpret_cast<void*>(static_cast<std::uintptr_t>(fault_buffer_.address));
}

std::int64_t Engine::next_serial() {
  const std::lock_guard lock(mutex_);
  return ++serial_;
}

}  // namespace flash::vulkan
