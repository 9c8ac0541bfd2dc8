// tests/jit/disk_cache_test.cpp -- the cache of compiled kernels: keys, hits, its place, its size
#include <doctest/doctest.h>

#include <cstdlib>
#include <optional>
#include <stdexcept>

#include "core/error.h"
#include "core/io/atomic_file.h"
#include "core/kernel_cache.h"
#include "jit/cache/cached_compile.h"
#include "jit/cache/folder.h"
#include "tests/jit/cache_folder.h"

using namespace flash;
using namespace flash::test;
using namespace std::chrono_literals;
using jit::make_key;

namespace {

std::string sha256(std::string_view text) {
  jit::Sha256 sum;
  sum.add(io::as_bytes(text));
  return jit::DiskKey{sum.finish()}.hex();
}

/// Sets variables of the environment for one scope.
class Environment {
 public:
  Environment& set(const char* name, const std::optional<std::string>& value) {
    const char* before = std::getenv(name);
    before_.emplace_back(name, before ? std::optional<std::string>(before) : std::nullopt);
    value ? setenv(name, value->c_str(), 1) : unsetenv(name);
    return *this;
  }
  ~Environment() {
    for (auto it = before_.rbegin(); it != before_.rend(); ++it)
      it->second ? setenv(it->first, it->second->c_str(), 1) : unsetenv(it->first);
  }

 private:
  std::vector<std::pair<const char*, std::optional<std::string>>> before_;
};

void set_age(const std::string& path, std::chrono::seconds age) {
  fs::last_write_time(path, fs::file_time_type::clock::now() - age);
}

std::chrono::seconds age(const std::string& path) {
  return std::chrono::duration_cast<std::chrono::seconds>(fs::file_time_type::clock::now() -
                                                          fs::last_write_time(path));
}

}  // namespace

TEST_CASE("SHA-256 gives the digests of the standard's examples, however it is fed") {
  CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  const io::Bytes bytes = payload_of(1, 300);
  std::set<std::string> seen;
  for (std::size_t size = 0; size <= 200; ++size) {
    jit::Sha256 whole;
    whole.add(io::ByteSpan(bytes).first(size));
    const jit::Digest digest = whole.finish();
    CHECK(seen.insert(jit::DiskKey{digest}.hex()).second);
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{64}}) {
      jit::Sha256 pieces;
      for (std::size_t at = 0; at < size; at += piece)
        pieces.add(io::ByteSpan(bytes).subspan(at, std::min(piece, size - at)));
      REQUIRE(pieces.finish() == digest);
    }
  }
}

TEST_CASE("a key depends on each part, and on where one part ends") {
  const jit::KeyParts parts{"source", "sm_90", "NVRTC 12.4", "-O3"};
  const jit::DiskKey key = make_key(parts);
  CHECK(make_key(parts) == key);
  std::set<std::string> all{key.hex()};
  for (const jit::KeyParts& other : {jit::KeyParts{"sourcf", "sm_90", "NVRTC 12.4", "-O3"},
                                     {"source", "sm_80", "NVRTC 12.4", "-O3"},
                                     {"source", "sm_90", "NVRTC 12.5", "-O3"},
                                     {"source", "sm_90", "NVRTC 12.4", "-O2"},
                                     {"sources", "m_90", "NVRTC 12.4", "-O3"},
                                     {"source", "sm_90", "NVRTC 12.4-O3", ""},
                                     {"", "source", "sm_90NVRTC 12.4", "-O3"}})
    CHECK(all.insert(make_key(other).hex()).second);
  CHECK(key.hex().size() == 64);
}

TEST_CASE("what is stored is found by the next process, and by no other key") {
  CacheFolder f("found");
  TestCache first(f / "deep/er");
  CHECK_FALSE(first.cache.find(key_of(1)));
  first.cache.store(key_of(1), payload_of(1));
  first.cache.store(key_of(2), {});
  TestCache second(f / "deep/er");
  CHECK(second.cache.find(key_of(1)) == payload_of(1));
  CHECK(second.cache.find(key_of(2)) == io::Bytes{});
  CHECK_FALSE(second.cache.find(key_of(3)));
  CHECK(first.counters.misses == 1);
  CHECK(first.counters.stored == 2);
  CHECK(second.counters.hits == 2);
  CHECK(second.counters.misses == 1);
  CHECK(second.counters.rejected == 0);
  const auto contents = second.cache.contents();
  CHECK(contents.entries == 2);
  CHECK(contents.bytes == 2 * jit::kEntryHeader + payload_of(1).size());
  const fs::perms mode = fs::status(f / "deep/er").permissions();
  CHECK((mode & (fs::perms::group_all | fs::perms::others_all)) == fs::perms::none);
}

TEST_CASE("a kernel is compiled once; an error gets through and keeps nothing") {
  CacheFolder f("compile");
  TestCache c(f.path.string());
  int compiled = 0;
  const auto compile = [&] { return ++compiled, payload_of(5); };
  const jit::KeyParts parts{"source", "gfx90a", "hiprtc 5.2", ""};
  const auto fails = [&]() -> io::Bytes { throw std::runtime_error("line 3: no such type"); };
  CHECK_THROWS_WITH_AS(jit::cached_compile(&c.cache, parts, fails), "line 3: no such type",
                       std::runtime_error);
  CHECK(f.names().empty());
  for (int i = 0; i < 3; ++i) CHECK(jit::cached_compile(&c.cache, parts, compile) == payload_of(5));
  CHECK(compiled == 1);
  CHECK(c.counters.hits == 2);
  CHECK(c.counters.misses == 2);
  CHECK(c.counters.stored == 1);
  c.cache.reject(make_key(parts));  // the driver would not load it
  CHECK(c.counters.rejected == 1);
  CHECK(jit::cached_compile(&c.cache, parts, compile) == payload_of(5));
  CHECK(compiled == 2);
  for (int i = 0; i < 2; ++i) jit::cached_compile(nullptr, parts, compile);
  CHECK(compiled == 4);
}

TEST_CASE("the cache lies where FLASH_CACHE_DIR, XDG_CACHE_HOME and HOME say, in this order") {
  const std::optional<std::string> none;
  const struct {
    std::optional<std::string> dir, xdg, home;
    std::string folder;
  } table[] = {
      {"/a/b", "/xdg", "/home/me", "/a/b"},
      {none, "/xdg", "/home/me", "/xdg/flash"},
      {"", "/xdg", "/home/me", "/xdg/flash"},
      {none, "relative", "/home/me", "/home/me/.cache/flash"},
      {none, "", "/home/me", "/home/me/.cache/flash"},
      {none, none, "/home/me", "/home/me/.cache/flash"},
      {"off", "/xdg", "/home/me", ""},
      {none, none, none, ""},
      {none, "relative", "", ""},
      {none, none, "relative", ""},
  };
  for (const auto& row : table) {
    CAPTURE(row.folder);
    Environment e;
    e.set("FLASH_CACHE_DIR", row.dir).set("XDG_CACHE_HOME", row.xdg).set("HOME", row.home);
    const jit::CachePlace place = jit::cache_place();
    CHECK(place.folder == row.folder);
    CHECK(place.off_because.empty() == !row.folder.empty());
    CHECK(place.asked_for == (row.dir == "off"));
    if (row.folder.empty()) CHECK(kernel_cache_info().off_because == place.off_because);
  }
  Environment e;
  e.set("FLASH_CACHE_DIR", "relative");
  CHECK_THROWS_AS(jit::cache_place(), ValueError);
}

TEST_CASE("the cap is kept by deleting what was used longest ago, and a hit is a use") {
  CacheFolder f("cap");
  constexpr int kEntries = 16;
  constexpr std::size_t kBytes = 1000;
  const io::Bytes payload(kBytes - jit::kEntryHeader);
  TestCache c(f.path.string(), kEntries * kBytes);
  for (int i = 0; i < kEntries; ++i) {
    c.cache.store(key_of(i), payload);
    set_age(c.cache.path_of(key_of(i)), std::chrono::hours(100 - i));
  }
  CHECK(c.cache.sweep().entries == 0);  // just full
  CHECK(c.cache.find(key_of(0)));       // the oldest, now the newest
  CHECK(age(c.cache.path_of(key_of(0))) < 60s);
  set_age(c.cache.path_of(key_of(5)), 30s);
  CHECK(c.cache.find(key_of(5)));
  CHECK(age(c.cache.path_of(key_of(5))) >= 30s);  // marked a moment ago: not written again
  c.cache.store(key_of(kEntries), payload);       // above the cap: sweeps by itself
  // 17 entries, seven eighths of 16 are 14: three go.
  CHECK(c.counters.swept == 3);
  for (int i = 0; i <= kEntries; ++i) {
    CAPTURE(i);
    CHECK(fs::exists(c.cache.path_of(key_of(i))) == (i == 0 || i >= 4));
  }
  // Larger than all of it: not kept, and nothing goes for it.
  c.cache.store(key_of(99), io::Bytes(kEntries * kBytes));
  CHECK_FALSE(fs::exists(c.cache.path_of(key_of(99))));
  CHECK(c.cache.contents().entries == 14);
}

TEST_CASE("temporary files of killed processes are swept at the next first store") {
  CacheFolder f("stale");
  TestCache c(f.path.string());
  const std::string path = c.cache.path_of(key_of(1));
  const std::string old = io::temporary_path(path), fresh = io::temporary_path(path);
  for (const std::string& name : {old, fresh}) write_file(name, payload_of(3));
  set_age(old, 2h);
  c.cache.store(key_of(2), payload_of(2));
  CHECK_FALSE(fs::exists(old));
  CHECK(fs::exists(fresh));  // somebody may be writing it
  CHECK(c.counters.swept == 1);
  CHECK(c.cache.find(key_of(2)));
}

TEST_CASE("names: only the cache's own are") {
  const std::string key = key_of(1).hex();
  using jit::NameKind;
  CHECK(jit::kind_of_name(key + ".kernel") == NameKind::kEntry);
  CHECK(jit::kind_of_name(key + ".kernel.0123456789abcdef.tmp") == NameKind::kTemporary);
  const std::string temporary = io::temporary_path("/x/" + key + ".kernel");
  CHECK(jit::kind_of_name(temporary.substr(3)) == NameKind::kTemporary);
  for (const std::string& other :
       {std::string(), std::string("."), std::string(".."), std::string("a.kernel"), key,
        key + ".kernel2", key + ".Kernel", "x" + key + ".kernel", key.substr(1) + ".kernel",
        "0" + key + ".kernel", std::string(64, 'A') + ".kernel", key + ".kernel.tmp",
        key + ".kernel.0123456789abcdef", key + ".kernel.0123456789abcdeg.tmp",
        key + ".kernel.0123456789abcdef.tmp~", key + "/.kernel"}) {
    CAPTURE(other);
    CHECK(jit::kind_of_name(other) == NameKind::kNotOurs);
  }
}

TEST_CASE("clearing deletes the cache's files and nothing else, and follows no link") {
  CacheFolder f("clear"), elsewhere("elsewhere");
  TestCache other(elsewhere.path.string());
  other.cache.store(key_of(7), payload_of(7));
  write_file(elsewhere / "precious", payload_of(8));

  TestCache c(f.path.string());
  for (int i = 0; i < 3; ++i) c.cache.store(key_of(i), payload_of(i));
  write_file(io::temporary_path(c.cache.path_of(key_of(1))), payload_of(5));
  write_file(f / "notes.txt", payload_of(1));
  write_file(f / "a.kernel", payload_of(1));
  fs::create_directories(c.cache.path_of(key_of(11)));                      // a folder so named
  fs::create_symlink(elsewhere / "precious", c.cache.path_of(key_of(12)));  // a link so named
  fs::create_directory_symlink(elsewhere.path, f / "link");
  fs::create_directories(f / "inner");
  fs::copy_file(c.cache.path_of(key_of(0)), f / "inner/" + jit::entry_name(key_of(0)));

  Environment e;
  e.set("FLASH_CACHE_DIR", f.path.string()).set("FLASH_CACHE_DIR_BYTES", "2M");
  const KernelCacheInfo before = kernel_cache_info();
  CHECK(before.folder == f.path.string());
  CHECK(before.entries == 3);
  CHECK(before.cap == 2 << 20);
  const KernelCacheInfo deleted = clear_kernel_cache();
  CHECK(deleted.entries == 3);
  CHECK(deleted.bytes == before.bytes);
  CHECK(f.names() == std::set<std::string>{"notes.txt", "a.kernel", "link", "inner",
                                           jit::entry_name(key_of(11)),
                                           jit::entry_name(key_of(12))});
  CHECK(fs::exists(f / "inner/" + jit::entry_name(key_of(0))));
  CHECK(elsewhere.names().size() == 2);
  CHECK(other.cache.find(key_of(7)));
  // Neither does sweeping.
  TestCache tiny(f.path.string(), 0, 0s);
  CHECK(tiny.cache.sweep().entries == 0);
  CHECK(f.names().size() == 6);
  CHECK(clear_kernel_cache().entries == 0);
}

TEST_CASE("a folder that is not there is empty; one that cannot be read is told") {
  CacheFolder f("not-there");
  Environment e;
  e.set("FLASH_CACHE_DIR", f / "missing");
  CHECK(kernel_cache_info().entries == 0);
  CHECK(clear_kernel_cache().entries == 0);
  CHECK_FALSE(fs::exists(f / "missing"));  // looking makes nothing
  write_file(f / "file", payload_of(1));
  e.set("FLASH_CACHE_DIR", f / "file");
  const std::string want = "\"" + (f / "file") + "\": cannot be opened: Not a directory";
  CHECK_THROWS_WITH_AS(kernel_cache_info(), want.c_str(), IoError);
  CHECK_THROWS_WITH_AS(clear_kernel_cache(), want.c_str(), IoError);
}
