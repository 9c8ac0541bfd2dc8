// tests/emulation/engine.cpp -- fibers, barriers and shuffles of emulated blocks
#include "emulation/engine.h"

#include <dlfcn.h>
#include <link.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "emulation/checks.h"
#include "emulation/fiber.h"

namespace flash::test::emulation {

Library::Library(const std::string& bytes) {
  file_ = memfd_create("emulated kernels", MFD_CLOEXEC);
  if (file_ < 0 || write(file_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
    throw std::runtime_error("emulation: no memory for a library");
  // The loader knows a library by its name: nobody else may have this number while it is loaded.
  handle_ = dlopen(("/proc/self/fd/" + std::to_string(file_)).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle_) throw std::runtime_error(std::string("emulation: ") + dlerror());
  state_ = static_cast<State*>(dlsym(handle_, "emulation_state"));
  const auto shared =
      reinterpret_cast<void (*)(char**, char**)>(dlsym(handle_, "emulation_shared"));
  if (!state_ || !shared) throw std::runtime_error("emulation: not a library of kernels");
  shared(&shared_begin_, &shared_end_);
  // Its own constants are in here, and what the engine tells it.
  Dl_info info{};
  dladdr(state_, &info);
  std::pair<Library*, void*> search{this, info.dli_fbase};
  dl_iterate_phdr(
      [](dl_phdr_info* object, std::size_t, void* data) {
        auto& [library, base] = *static_cast<std::pair<Library*, void*>*>(data);
        if (reinterpret_cast<void*>(object->dlpi_addr) != base) return 0;
        for (int i = 0; i < object->dlpi_phnum; ++i)
          if (const auto& part = object->dlpi_phdr[i]; part.p_type == PT_LOAD)
            library->image_end_ = std::max(
                library->image_end_,
                reinterpret_cast<const char*>(object->dlpi_addr + part.p_vaddr + part.p_memsz));
        library->image_begin_ = static_cast<const char*>(base);
        return 1;
      },
      &search);
}
Library::~Library() {
  dlclose(handle_);
  close(file_);
}
Entry Library::entry(const std::string& name) const {
  return reinterpret_cast<Entry>(dlsym(handle_, name.c_str()));
}

namespace {

constexpr std::size_t kWarp = 32;

enum class Waits : std::uint8_t { kNot, kBlock, kWarp, kDone };

/// Where threads of a block run, one after another while none has to wait.
struct Lane : Fiber {
  std::size_t thread = 0;  // the one that runs on it, or is halted there
};

}  // namespace

/// One launch. Reached by the kernel's calls through a pointer of the process: one runs at a time.
class Run {
 public:
  Run(const Library& library, const Launch& launch)
      : library_(library),
        launch_(launch),
        state_(*library.state_),
        n_(std::size_t{launch.x} * launch.y),
        checks_(n_, library.shared_begin_, library.shared_end_, launch.valid) {
    waits_.resize(n_);
    values_.resize(n_);
    lane_of_.resize(n_);
  }

  std::string run() {
    static const Calls calls{
        [] { now->wait(Waits::kBlock); }, [] { now->checks_.fence(now->current_); },
        [](void* v, unsigned bytes, unsigned offset, bool down) {
          now->shuffle(v, bytes, offset, down);
        },
        [](unsigned* at, unsigned n) { return now->atomic_add(at, n); },
        [](const void* at, unsigned bytes, unsigned kind) { now->access(at, bytes, kind); }};
    state_ = {{}, {}, {launch_.x, launch_.y, 1}, {launch_.grid, 1, 1}, calls};
    for (unsigned b = launch_.grid; b-- > 0 && problem_.empty();) {
      block_ = b;
      state_.block = {b, 0, 0};
      // Nothing of another block's is there.
      std::memset(library_.shared_begin_, 0x7f,
                  static_cast<std::size_t>(library_.shared_end_ - library_.shared_begin_));
      checks_.begin_block(b);
      run_block();
    }
    if (problem_.empty()) problem_ = checks_.problem();
    return problem_;
  }

  static Run* now;  // the running launch

 private:
  void run_block() {
    next_ = 0;
    std::fill(waits_.begin(), waits_.end(), Waits::kNot);
    for (;;) {
      bool ran = false;
      while (next_ < n_) {
        start();
        ran = true;
      }
      for (std::size_t t = 0; t < n_; ++t)
        if (waits_[t] == Waits::kNot) {
          resume(t);
          ran = true;
        }
      bool alive = false;
      for (std::size_t t = 0; t < n_; ++t) alive = alive || waits_[t] != Waits::kDone;
      if (!alive) return;
      bool freed = release(0, n_, Waits::kBlock);
      if (freed) checks_.barrier();
      for (std::size_t w = 0; w < n_; w += kWarp)
        freed = release(w, std::min(w + kWarp, n_), Waits::kWarp) || freed;
      if (!ran && !freed) {
        problem_ = "threads of a block wait for different things, or only some of them for one";
        return;
      }
    }
  }

  // Lets threads that have not begun run on a stack until one of them waits.
  void start() {
    if (idle_.empty()) {
      lanes_.push_back(std::make_unique<Lane>());
      idle_.push_back(lanes_.back().get());
    }
    lane_ = idle_.back();
    idle_.pop_back();
    lane_->begin([] { now->begin_threads(); });
    left();
  }
  void begin_threads() {
    while (next_ < n_) {
      lane_->thread = next_++;
      enter(lane_->thread);
      launch_.entry(launch_.args, launch_.tiles);
      waits_[lane_->thread] = Waits::kDone;
    }
    lane_->give_back();
  }
  void resume(std::size_t t) {
    lane_ = lane_of_[t];
    enter(t);
    lane_->go_on();
    left();
  }
  // The lane gave control back: its thread waits, or it has no more to do.
  void left() {
    if (waits_[lane_->thread] == Waits::kDone)
      idle_.push_back(lane_);
    else
      lane_of_[lane_->thread] = lane_;
  }
  void enter(std::size_t t) {
    current_ = t;
    state_.thread = {static_cast<unsigned>(t % launch_.x), static_cast<unsigned>(t / launch_.x), 0};
  }
  void wait(Waits what) {
    waits_[current_] = what;
    lane_->give_back();
  }
  // Whether all of threads first … last - 1 wait for `what`; then they go on.
  bool release(std::size_t first, std::size_t last, Waits what) {
    for (std::size_t t = first; t < last; ++t)
      if (waits_[t] != what) return false;
    std::fill(waits_.begin() + static_cast<std::ptrdiff_t>(first),
              waits_.begin() + static_cast<std::ptrdiff_t>(last), Waits::kNot);
    return true;
  }

  void shuffle(void* v, unsigned bytes, unsigned offset, bool down) {
    std::memcpy(values_[current_].bytes, v, bytes);
    wait(Waits::kWarp);
    const std::size_t lane = current_ % kWarp, warp = current_ - lane;
    const std::size_t other = down ? (lane + offset < kWarp ? lane + offset : lane) : offset;
    std::memcpy(v, values_[warp + other].bytes, bytes);
    wait(Waits::kWarp);
  }
  unsigned atomic_add(unsigned* at, unsigned n) {
    checks_.atomic(current_, at);
    const unsigned before = *at;
    *at += n;
    return before;
  }
  void access(const void* at, unsigned bytes, unsigned kind) {
    const char* p = static_cast<const char*>(at);
    if (lane_->contains(p)) return;  // a thread's own
    const bool shared = p >= library_.shared_begin_ && p < library_.shared_end_;
    const bool write = kind == kWrite || kind == kVolatileWrite;
    if (!write && !shared && p >= library_.image_begin_ && p < library_.image_end_) return;
    checks_.access(current_, p, bytes, kind);
  }

  const Library& library_;
  const Launch& launch_;
  State& state_;
  const std::size_t n_;  // threads of a block
  Checks checks_;
  std::string problem_;
  struct Value {
    unsigned char bytes[kMostShuffled];
  };
  std::vector<Waits> waits_;  // by thread
  std::vector<Value> values_;
  std::vector<Lane*> lane_of_;  // of threads that wait
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<Lane*> idle_;
  std::size_t next_ = 0;  // the first thread that has not begun
  std::size_t current_ = 0;
  unsigned block_ = 0;
  Lane* lane_ = nullptr;
};

Run* Run::now = nullptr;

namespace {

sigjmp_buf touched;  // where a touch of forbidden memory ends
thread_local bool in_kernel = false;
const void* volatile touched_at = nullptr;
struct sigaction before_segv, before_bus;

void on_touch(int signal, siginfo_t* info, void*) {
  if (!in_kernel) {  // somebody else's: let it happen again without us
    sigaction(signal, signal == SIGBUS ? &before_bus : &before_segv, nullptr);
    return;
  }
  touched_at = info->si_addr;
  siglongjmp(touched, 1);
}

/// Catches touches of forbidden memory by this thread.
class Guard {
 public:
  Guard() {
    stack_t alternative{};
    alternative.ss_sp = stack_.get();
    alternative.ss_size = kSignalStack;
    sigaltstack(&alternative, &before_);
    struct sigaction action {};
    action.sa_sigaction = on_touch;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &before_segv);
    sigaction(SIGBUS, &action, &before_bus);
    in_kernel = true;
  }
  ~Guard() {
    in_kernel = false;
    sigaction(SIGSEGV, &before_segv, nullptr);
    sigaction(SIGBUS, &before_bus, nullptr);
    sigaltstack(&before_, nullptr);
  }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

 private:
  static constexpr std::size_t kSignalStack = 128 << 10;
  std::unique_ptr<char[]> stack_{new char[kSignalStack]};
  stack_t before_{};
};

}  // namespace

std::string run(const Library& library, const Launch& launch) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  Run run(library, launch);
  Run::now = &run;
  const Guard guard;
  if (sigsetjmp(touched, 1) == 0) return run.run();
  char text[100];
  std::snprintf(text, sizeof text, "a touch of memory that is not the device's, at %p", touched_at);
  return text;
}

}  // namespace flash::test::emulation
