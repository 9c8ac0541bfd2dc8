// tests/jit/disk_torture_test.cpp -- damage, full disks, killed and crowding processes: the kernel
// cache finds what was stored or nothing at all
#include <doctest/doctest.h>

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "core/error.h"
#include "jit/cache/cached_compile.h"
#include "jit/cache/folder.h"
#include "tests/jit/cache_folder.h"

using namespace flash;
using namespace flash::test;
using namespace std::chrono_literals;

namespace {

int count_lines(const std::string& text) {
  return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
}

/// Mounted over a folder until the end of the scope.
struct Mount {
  std::string at;
  bool there;
  Mount(const char* source, const std::string& where, const char* type, unsigned long flags,
        const char* data)
      : at(where), there(mount(source, where.c_str(), type, flags, data) == 0) {}
  ~Mount() {
    if (there) umount2(at.c_str(), MNT_DETACH);
  }
};

/// Puts `file` into the place of entry 1: nothing may be found there, it is deleted, and the next
/// compilation heals the cache.
void check_damaged(const CacheFolder& f, io::ByteSpan file) {
  TestCache c(f.path.string());
  const std::string path = c.cache.path_of(key_of(1));
  write_file(path, file);
  REQUIRE_FALSE(c.cache.find(key_of(1)));
  REQUIRE(c.counters.rejected == 1);
  REQUIRE_FALSE(fs::exists(path));
}

}  // namespace

TEST_CASE("an entry that ends at any byte is rejected, deleted and compiled anew") {
  CacheFolder f("truncated");
  const io::Bytes entry = jit::make_entry(key_of(1), payload_of(1));
  for (std::size_t size = 0; size < entry.size(); ++size) {
    CAPTURE(size);
    check_damaged(f, io::ByteSpan(entry).first(size));
    const char* why = size < jit::kEntryHeader ? "ends early" : "bytes behind its header";
    CHECK_THROWS_WITH_AS(jit::parse_entry(io::ByteSpan(entry).first(size), key_of(1), "x"),
                         doctest::Contains(why), IoError);
  }
  io::Bytes longer = entry;
  longer.push_back(std::byte{0});
  check_damaged(f, longer);
  MESSAGE(entry.size() << " lengths, and one byte more");

  TestCache c(f.path.string());
  write_file(c.cache.path_of(key_of(1)), io::ByteSpan(entry).first(100));
  const jit::KeyParts parts{"kernel 1", "sm_90", "NVRTC 12.4", "-fmad=false"};
  int compiled = 0;
  for (int i = 0; i < 2; ++i)
    CHECK(jit::cached_compile(&c.cache, parts, [&] { return ++compiled, payload_of(1); }) ==
          payload_of(1));
  CHECK(compiled == 1);
  CHECK(c.counters.rejected == 1);
  CHECK(c.counters.hits == 1);
}

TEST_CASE("an entry with any bit or byte flipped is rejected") {
  CacheFolder f("flipped");
  const io::Bytes entry = jit::make_entry(key_of(1), payload_of(1));
  int flips = 0;
  for (std::size_t at = 0; at < entry.size(); ++at)
    for (const int mask : {1, 2, 4, 8, 16, 32, 64, 128, 255}) {
      CAPTURE(at);
      CAPTURE(mask);
      io::Bytes changed = entry;
      changed[at] ^= static_cast<std::byte>(mask);
      check_damaged(f, changed);
      ++flips;
    }
  MESSAGE(flips << " flips in " << entry.size() << " bytes");
}

TEST_CASE("an entry under another's name is rejected, and so are lengths that lie") {
  CacheFolder f("hostile");
  check_damaged(f, jit::make_entry(key_of(2), payload_of(1)));  // whole, but of another key
  const io::Bytes entry = jit::make_entry(key_of(1), payload_of(1));
  const std::uint64_t size = entry.size() - jit::kEntryHeader;
  for (const std::uint64_t lie :
       {std::uint64_t{0}, size - 1, size + 1, size + jit::kEntryHeader, std::uint64_t{1} << 31,
        std::uint64_t{1} << 32 | size, std::uint64_t{1} << 63, ~std::uint64_t{0},
        ~std::uint64_t{0} - jit::kEntryHeader + 1, std::uint64_t{0} - size}) {
    CAPTURE(lie);
    io::Bytes number, changed = entry;
    io::store_le(number, lie, 8);
    std::copy(number.begin(), number.end(), changed.begin() + 44);
    // The checksum is right, also of a shorter payload: nothing but the length is wrong.
    jit::Sha256 sum;
    sum.add(io::ByteSpan(changed).subspan(jit::kEntryHeader, std::min(lie, size)));
    const jit::Digest digest = sum.finish();
    std::copy(digest.begin(), digest.end(), changed.begin() + 52);
    check_damaged(f, changed);
  }
  // A length that is true, of a file that takes no room on the disk and none of the memory.
  for (const std::uint64_t bytes : {jit::kMaxPayload + 1, std::uint64_t{1} << 40}) {
    io::Bytes header(entry.begin(), entry.begin() + 44);
    io::store_le(header, bytes, 8);
    header.resize(jit::kEntryHeader);
    TestCache c(f.path.string());
    const std::string path = c.cache.path_of(key_of(1));
    write_file(path, header);
    if (truncate(path.c_str(), static_cast<off_t>(jit::kEntryHeader + bytes)) != 0) {
      MESSAGE("skipped: the file system has no files of " << bytes << " bytes");
      continue;
    }
    CHECK_FALSE(c.cache.find(key_of(1)));
    CHECK(c.counters.rejected == 1);
    CHECK_FALSE(fs::exists(path));
  }
}

TEST_CASE("what is no regular file is neither read nor waited for, and a link not followed") {
  CacheFolder f("irregular");
  TestCache c(f / "cache");
  c.cache.store(key_of(1), payload_of(1));
  fs::create_directories(c.cache.path_of(key_of(2)));
  REQUIRE(mkfifo(c.cache.path_of(key_of(3)).c_str(), 0600) == 0);
  // A link to the right bytes: who made it could change them after they were checked.
  fs::create_symlink(c.cache.path_of(key_of(1)), c.cache.path_of(key_of(4)));
  write_file(f / "precious", jit::make_entry(key_of(5), payload_of(5)));
  fs::create_symlink(f / "precious", c.cache.path_of(key_of(5)));
  const int status = in_child(f / "log", [&] {
    alarm(20);
    for (int i = 2; i <= 5; ++i)
      if (c.cache.find(key_of(i))) return i;
    for (int i = 2; i <= 5; ++i) c.cache.store(key_of(i), payload_of(i + 10));
    return c.cache.find(key_of(2)) ? 12 : 0;  // nothing takes a folder's place
  });
  REQUIRE(status == 0);  // else the pipe is still there, and whoever opens it waits
  CHECK(count_lines(read_text(f / "log")) == 1);
  for (int i = 3; i <= 5; ++i) CHECK(c.cache.find(key_of(i)) == payload_of(i + 10));
  CHECK(io::read_file(f / "precious") == jit::make_entry(key_of(5), payload_of(5)));
  CHECK(c.counters.rejected == 0);
}

TEST_CASE("a read-only folder gives what it holds, takes nothing, and is one line of the log") {
  CacheFolder f("read-only");
  const std::string folder = f / "cache";
  TestCache before(folder);
  before.cache.store(key_of(1), payload_of(1));
  before.cache.store(key_of(2), payload_of(2));
  const io::Bytes damaged(100);
  write_file(before.cache.path_of(key_of(2)), damaged);
  const Mount bind(folder.c_str(), folder, nullptr, MS_BIND, nullptr);
  const Mount read_only(nullptr, folder, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr);
  if (!read_only.there) {
    if (geteuid() == 0) {
      MESSAGE("skipped: root writes to any folder, and cannot mount one read-only here");
      return;
    }
    fs::permissions(folder, fs::perms::owner_read | fs::perms::owner_exec);
  }
  const int status = in_child(f / "log", [&] {
    TestCache c(folder);
    int compiled = 0;
    for (int round = 0; round < 3; ++round)
      for (int i = 1; i <= 5; ++i) {
        const io::Bytes got = jit::cached_compile(
            &c.cache, {"kernel " + std::to_string(i), "sm_90", "NVRTC 12.4", "-fmad=false"},
            [&] { return ++compiled, payload_of(i); });
        if (got != payload_of(i)) return 1;
      }
    if (compiled != 12) return 2;  // all but the first kernel, each time
    if (c.counters.hits != 3 || c.counters.stored != 0 || c.counters.rejected != 3) return 3;
    try {
      c.cache.clear();
      return 4;
    } catch (const IoError& e) {
      return std::string(e.what()).find("2 files of the kernel cache cannot be deleted") !=
                     std::string::npos
                 ? 0
                 : 5;
    }
  });
  const std::string log = read_text(f / "log");
  CAPTURE(log);
  CHECK(status == 0);
  CHECK(count_lines(log) == 1);
  CHECK(log.find(folder) != std::string::npos);
  CHECK(log.find("cannot be") != std::string::npos);
  if (!read_only.there) fs::permissions(folder, fs::perms::owner_all);
}

TEST_CASE("a full disk keeps what is whole, leaves no remains, and is one line of the log") {
  CacheFolder f("full");
  const std::string folder = f / "cache";
  fs::create_directories(folder);
  const Mount disk("flash", folder, "tmpfs", 0, "size=256k");
  if (!disk.there) {
    MESSAGE("skipped: a small tmpfs cannot be mounted here (that needs root)");
    return;
  }
  constexpr int kKernels = 40;  // of 10 to 20 kB each
  const int status = in_child(f / "log", [&] {
    TestCache c(folder);
    for (int i = 0; i < kKernels; ++i) c.cache.store(key_of(i), payload_of(i, 10000));
    const std::uint64_t stored = c.counters.stored;
    if (stored < 5 || stored >= kKernels) return 1;
    for (int i = 0; i < kKernels; ++i)
      if (const auto found = c.cache.find(key_of(i)); found && *found != payload_of(i, 10000))
        return 2;
    if (c.counters.hits != stored || c.counters.rejected != 0) return 3;
    if (c.cache.contents().entries != stored) return 4;
    for (const auto& file : fs::directory_iterator(folder))
      if (jit::kind_of_name(file.path().filename().string()) != jit::NameKind::kEntry) return 5;
    c.cache.clear();  // and it goes on as soon as there is room
    c.cache.store(key_of(100), payload_of(100));
    return c.cache.find(key_of(100)) == payload_of(100) ? 0 : 6;
  });
  const std::string log = read_text(f / "log");
  CAPTURE(log);
  CHECK(status == 0);
  CHECK(count_lines(log) == 1);
  CHECK(log.find("No space left on device") != std::string::npos);
}

TEST_CASE("a limit of a file's size does not end the process") {
  CacheFolder f("limit");
  const int status = in_child(f / "log", [&] {
    const rlimit limit{5000, 5000};
    setrlimit(RLIMIT_FSIZE, &limit);
    TestCache c(f / "cache");
    c.cache.store(key_of(1), payload_of(1, 6000));
    c.cache.store(key_of(2), payload_of(2));
    return !c.cache.find(key_of(1)) && c.cache.find(key_of(2)) ? 0 : 1;
  });
  CHECK(status == 0);
  CHECK(read_text(f / "log").find("File too large") != std::string::npos);
}

TEST_CASE("a folder that is a file, may not be made or goes away is harmless") {
  CacheFolder f("gone");
  write_file(f / "file", payload_of(1));
  const int status = in_child(f / "log", [&] {
    for (const std::string& folder :
         {f / "file", f / "file/deeper", std::string("/proc/flash/cache"),
          f / ("new" + std::string(300, 'n'))}) {
      TestCache c(folder);
      c.cache.store(key_of(1), payload_of(1));
      if (c.cache.find(key_of(1)) || c.counters.stored != 0) return 1;
      c.cache.reject(key_of(1));
      c.cache.sweep();
    }
    TestCache c(f / "cache");
    for (int i = 0; i < 3; ++i) {
      c.cache.store(key_of(1), payload_of(1));
      if (c.cache.find(key_of(1)) != payload_of(1)) return 2;
      fs::remove_all(f / "cache");
      if (c.cache.find(key_of(1))) return 3;
    }
    return 0;
  });
  CHECK(status == 0);
  CHECK(count_lines(read_text(f / "log")) == 1);
}

TEST_CASE("writers killed at any moment leave whole entries, and remains that are swept") {
  const char* from_environment = std::getenv("FLASH_TEST_KILLS");
  const int kills = from_environment ? std::atoi(from_environment) : 20;
  REQUIRE(kills > 0);
  CacheFolder f("killed");
  const std::string folder = f / "cache";
  std::mt19937 random(9);
  // Small, so that the time goes into opening, writing and renaming.
  std::vector<io::Bytes> payloads;
  for (int i = 0; i < 24; ++i) payloads.push_back(payload_of(i, i < 22 ? 1500 : 40000));
  const int keys = static_cast<int>(payloads.size());
  int stored = 0, remains = 0;
  for (int round = 0; round < kills; ++round) {
    CAPTURE(round);
    const auto seed = static_cast<unsigned>(random());
    const pid_t child = start_child(f / "log", [&] {
      std::mt19937 own(seed);
      TestCache c(folder);
      while (true) {
        const std::size_t i = own() % payloads.size();
        c.cache.store(key_of(static_cast<int>(i)), payloads[i]);
      }
      return 0;
    });
    REQUIRE(child > 0);
    // On a busy machine it first has to get so far; each fourth is killed whenever it is.
    for (int i = 0; i < 2000 && round % 4 != 0 && (!fs::exists(folder) || fs::is_empty(folder));
         ++i)
      usleep(1000);
    usleep(static_cast<unsigned>(random() % 20000));
    kill(child, SIGKILL);
    REQUIRE(wait_for(child) == 128 + SIGKILL);
    TestCache c(folder);
    for (int i = 0; i < keys; ++i) {
      const auto found = c.cache.find(key_of(i));
      if (found) REQUIRE(*found == payloads[static_cast<std::size_t>(i)]);
      stored += found.has_value();
    }
    REQUIRE(c.counters.rejected == 0);
    if (!fs::exists(folder)) continue;
    for (const auto& file : fs::directory_iterator(folder))
      remains += jit::kind_of_name(file.path().filename().string()) == jit::NameKind::kTemporary;
    // Now and then from nothing, so that first stores are killed as well.
    TestCache sweeper(folder, round % 2 == 0 ? 0 : 1 << 30, 0s);
    sweeper.cache.sweep();
    for (const auto& file : fs::directory_iterator(folder))
      REQUIRE(jit::kind_of_name(file.path().filename().string()) == jit::NameKind::kEntry);
  }
  MESSAGE(kills << " kills: " << stored << " whole entries found, 0 torn, " << remains
                << " temporary files left and swept");
  CHECK(stored > 0);
  CHECK(read_text(f / "log") == "");
}

TEST_CASE("eight processes that store, find, sweep, damage and clear at once do no harm") {
  CacheFolder f("eight");
  const std::string folder = f / "cache";
  constexpr int kProcesses = 8, kSteps = 300, kKeys = 60;
  constexpr std::uint64_t kCap = 200000;  // of 60 kernels of 8 to 16 kB: some are always swept
  std::vector<pid_t> children;
  for (int p = 0; p < kProcesses; ++p)
    children.push_back(start_child(f / "log", [&] {
      std::mt19937 random(static_cast<unsigned>(p));
      TestCache c(folder, kCap);
      std::uint64_t hits = 0, rejects = 0;
      for (int step = 0; step < kSteps; ++step) {
        const int i = static_cast<int>(random() % kKeys);
        const auto found = c.cache.find(key_of(i));
        if (found && *found != payload_of(i, 8000)) return 1;
        if (!found) c.cache.store(key_of(i), payload_of(i, 8000));
        hits += found.has_value();
        if (random() % 50 == 0) c.cache.sweep();
        if (random() % 100 == 0) {
          c.cache.reject(key_of(static_cast<int>(random() % kKeys)));
          ++rejects;
        }
        // All of them write this one, whether it is there or not, and read it at once.
        if (random() % 2 == 0) c.cache.store(key_of(0), payload_of(0, 8000));
        if (const auto hot = c.cache.find(key_of(0)); hot && *hot != payload_of(0, 8000)) return 4;
        if (random() % 200 == 0) c.cache.clear();
      }
      if (c.counters.rejected != rejects) return 2;  // found one that was not whole
      return c.counters.hits > hits && c.counters.hits + c.counters.misses == 2 * kSteps ? 0 : 3;
    }));
  for (const pid_t child : children) CHECK(wait_for(child) == 0);
  CHECK(read_text(f / "log") == "");
  TestCache c(folder, kCap);
  for (int i = 0; i < kKeys; ++i) {
    const auto found = c.cache.find(key_of(i));
    if (found) CHECK(*found == payload_of(i, 8000));
  }
  CHECK(c.counters.rejected == 0);
  // Before a process sweeps it has stored a sixteenth of the cap at most, and a kernel.
  CHECK(c.cache.contents().bytes <= kCap + kProcesses * (kCap / 16 + 16200));
  c.cache.sweep();
  CHECK(c.cache.contents().bytes <= kCap);
  for (const auto& file : fs::directory_iterator(folder))
    CHECK(jit::kind_of_name(file.path().filename().string()) == jit::NameKind::kEntry);
}

TEST_CASE("processes that sweep one full folder at once delete no more than one would") {
  CacheFolder f("sweepers");
  constexpr std::uint64_t kCap = 400000;
  constexpr std::size_t kBytes = 1000;
  for (int round = 0; round < 5; ++round) {
    TestCache filler(f.path.string());
    for (int i = 0; i < 500; ++i)
      filler.cache.store(key_of(i), io::Bytes(kBytes - jit::kEntryHeader));
    std::vector<pid_t> children;
    for (int p = 0; p < 8; ++p)
      children.push_back(start_child(f / "log", [&] {
        TestCache c(f.path.string(), kCap);
        c.cache.sweep();
        return 0;
      }));
    for (const pid_t child : children) CHECK(wait_for(child) == 0);
    CHECK(filler.cache.contents().bytes == kCap / 8 * 7);
  }
}
