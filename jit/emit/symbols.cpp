// jit/emit/symbols.cpp -- the map file of perf, and the JIT interface of GDB
//
// perf: tools/perf/Documentation/jit-interface.txt in the Linux sources. GDB: chapter "JIT
// Compilation Interface" of its manual: an ELF file in memory for each piece of code, in a list
// that GDB finds by name, and a function in which it has a breakpoint.
#include "jit/emit/symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/fork.h"
#include "core/log.h"

// The names, types and values are GDB's.
extern "C" {
struct jit_code_entry {
  jit_code_entry *next_entry, *prev_entry;
  const char* symfile_addr;
  std::uint64_t symfile_size;
};
struct jit_descriptor {
  std::uint32_t version, action_flag;
  jit_code_entry *relevant_entry, *first_entry;
};
extern jit_descriptor __jit_debug_descriptor;
jit_descriptor __jit_debug_descriptor = {1, 0, nullptr, nullptr};
void __jit_debug_register_code();
__attribute__((noinline)) void __jit_debug_register_code() { asm volatile("" ::: "memory"); }
}

namespace flash::emit {
namespace {

enum class Reader { kNone, kPerf, kGdb };

Reader reader() {
  static const Reader wanted = [] {
    const std::string choice = env::get_choice(Env::kJitSymbols);
    return choice == "perf" ? Reader::kPerf : choice == "gdb" ? Reader::kGdb : Reader::kNone;
  }();
  return wanted;
}

/// Guards GDB's list and the map file.
std::mutex& symbols_mutex() {
  static std::mutex& mutex = hold_at_fork(ForkOrder::kLast, *new std::mutex);
  return mutex;
}

void append_to_map(const std::string& name, const void* code, std::size_t size) {
  std::lock_guard lock(symbols_mutex());
  static bool failed = false;
  if (failed) return;
  const std::string path = "/tmp/perf-" + std::to_string(getpid()) + ".map";
  // The folder is everybody's: a link that somebody left there is not followed.
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0644);
  char line[64];
  std::snprintf(line, sizeof line, "%llx %zx ",
                static_cast<unsigned long long>(reinterpret_cast<std::uintptr_t>(code)), size);
  const std::string text = line + name + "\n";
  const bool written =
      file >= 0 && write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (!written) {
    failed = true;
    logging::warn("FLASH_JIT_SYMBOLS=perf: cannot write " + path + ": " + std::strerror(errno));
  }
  if (file >= 0) close(file);
}

/// An ELF file that says of one function where it is, and nothing else.
std::vector<char> elf_file(const std::string& name, const void* code, std::size_t size) {
  enum : std::uint16_t { kNull, kText, kSymbols, kStrings, kSections };
  const std::string strings = std::string("\0.text\0.symtab\0.strtab\0", 23) + name + '\0';
  struct File {
    Elf64_Ehdr header;
    Elf64_Shdr sections[kSections];
    Elf64_Sym symbols[2];
  } f{};
  Elf64_Ehdr& h = f.header;
  std::memcpy(h.e_ident, ELFMAG, SELFMAG);
  h.e_ident[EI_CLASS] = ELFCLASS64;
  h.e_ident[EI_DATA] = ELFDATA2LSB;
  h.e_ident[EI_VERSION] = EV_CURRENT;
  h.e_type = ET_EXEC;
  h.e_machine = EM_X86_64;
  h.e_version = EV_CURRENT;
  h.e_shoff = offsetof(File, sections);
  h.e_ehsize = sizeof(Elf64_Ehdr);
  h.e_shentsize = sizeof(Elf64_Shdr);
  h.e_shnum = kSections;
  h.e_shstrndx = kStrings;
  const auto address = reinterpret_cast<std::uintptr_t>(code);
  f.sections[kText] = {.sh_name = 1,
                       .sh_type = SHT_NOBITS,
                       .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                       .sh_addr = address,
                       .sh_offset = 0,
                       .sh_size = size,
                       .sh_link = 0,
                       .sh_info = 0,
                       .sh_addralign = 16,
                       .sh_entsize = 0};
  f.sections[kSymbols] = {.sh_name = 7,
                          .sh_type = SHT_SYMTAB,
                          .sh_flags = 0,
                          .sh_addr = 0,
                          .sh_offset = offsetof(File, symbols),
                          .sh_size = sizeof f.symbols,
                          .sh_link = kStrings,
                          .sh_info = 1,
                          .sh_addralign = 8,
                          .sh_entsize = sizeof(Elf64_Sym)};
  f.sections[kStrings] = {.sh_name = 15,
                          .sh_type = SHT_STRTAB,
                          .sh_flags = 0,
                          .sh_addr = 0,
                          .sh_offset = sizeof(File),
                          .sh_size = strings.size(),
                          .sh_link = 0,
                          .sh_info = 0,
                          .sh_addralign = 1,
                          .sh_entsize = 0};
  f.symbols[1] = {.st_name = 23,
                  .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                  .st_other = STV_DEFAULT,
                  .st_shndx = kText,
                  .st_value = address,
                  .st_size = size};
  std::vector<char> out(sizeof(File) + strings.size());
  std::memcpy(out.data(), &f, sizeof f);
  std::memcpy(out.data() + sizeof f, strings.data(), strings.size());
  return out;
}

class GdbSymbol final : public Symbol {
 public:
  GdbSymbol(const std::string& name, const void* code, std::size_t size)
      : file_(elf_file(name, code, size)) {
    std::lock_guard lock(symbols_mutex());
    entry_ = {__jit_debug_descriptor.first_entry, nullptr, file_.data(), file_.size()};
    if (entry_.next_entry) entry_.next_entry->prev_entry = &entry_;
    __jit_debug_descriptor.first_entry = &entry_;
    tell(kRegister);
  }
  ~GdbSymbol() override {
    std::lock_guard lock(symbols_mutex());
    (entry_.prev_entry ? entry_.prev_entry->next_entry : __jit_debug_descriptor.first_entry) =
        entry_.next_entry;
    if (entry_.next_entry) entry_.next_entry->prev_entry = entry_.prev_entry;
    tell(kUnregister);
  }

 private:
  enum Action : std::uint32_t { kNoAction, kRegister, kUnregister };
  void tell(Action action) {
    __jit_debug_descriptor.relevant_entry = &entry_;
    __jit_debug_descriptor.action_flag = action;
    __jit_debug_register_code();
    __jit_debug_descriptor.action_flag = kNoAction;
  }
  std::vector<char> file_;
  jit_code_entry entry_{};
};

}  // namespace

bool wants_symbols() { return reader() != Reader::kNone; }

std::unique_ptr<Symbol> make_symbol(std::string_view kernel, const void* code, std::size_t size) {
  if (reader() == Reader::kNone) return nullptr;
  constexpr std::size_t kMostName = 120;  // operations joined by '_'
  const std::string name = "flash_jit_" + std::string(kernel.substr(0, kMostName));
  if (reader() == Reader::kPerf) {
    append_to_map(name, code, size);
    return nullptr;  // a map has no way to take a name back
  }
  return std::make_unique<GdbSymbol>(name, code, size);
}

}  // namespace flash::emit
