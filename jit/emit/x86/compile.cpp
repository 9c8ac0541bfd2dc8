// jit/emit/x86/compile.cpp -- from a kernel to executable memory
#include "core/error.h"
#include "jit/emit/symbols.h"
#include "jit/emit/x86/emitter.h"

namespace flash::emit {

namespace {

using asmjit::JitRuntime;

// Executable memory of the process. Every code object shares it, so that it outlives the last one
// whatever the order in which static objects are destroyed.
std::shared_ptr<JitRuntime> runtime() {
  static const auto shared = std::make_shared<JitRuntime>();
  return shared;
}

class X86Code final : public Code {
 public:
  X86Code(std::shared_ptr<JitRuntime> rt, Function f, std::size_t size, std::string listing,
          std::string_view name)
      : runtime_(std::move(rt)),
        function_(f),
        size_(size),
        listing_(std::move(listing)),
        symbol_(make_symbol(name, reinterpret_cast<const void*>(f), size)) {}
  X86Code(const X86Code&) = delete;
  X86Code& operator=(const X86Code&) = delete;
  ~X86Code() override {
    symbol_.reset();  // while the code is still there
    runtime_->release(function_);
  }

  void run(const ir::Word* args, std::int64_t begin, std::int64_t end) const override {
    function_(args, begin, end);
  }
  Function function() const override { return function_; }
  std::size_t size() const override { return size_; }
  std::string listing() const override { return listing_; }

 private:
  std::shared_ptr<JitRuntime> runtime_;
  Function function_;
  std::size_t size_;
  std::string listing_;
  std::unique_ptr<Symbol> symbol_;
};

// Keeps the first error; Asmjit's functions cannot be thrown through.
class FirstError final : public asmjit::ErrorHandler {
 public:
  void handleError(asmjit::Error error, const char* message, asmjit::BaseEmitter*) override {
    if (code == asmjit::kErrorOk) {
      code = error;
      text = message;
    }
  }
  asmjit::Error code = asmjit::kErrorOk;
  std::string text;
};

}  // namespace

std::unique_ptr<Code> compile_x86(const ir::Kernel& k, Isa isa, bool keep_listing) {
  verify(k);
  if (isa == Isa::kNone) throw InternalError("compile_x86: no instruction set was given");

  FirstError first;
  const auto check = [&](asmjit::Error e) {
    if (first.code != asmjit::kErrorOk) e = first.code;
    if (e == asmjit::kErrorOk) return;
    const std::string why = first.text.empty() ? asmjit::DebugUtils::errorAsString(e) : first.text;
    if (e == asmjit::kErrorOutOfMemory)
      throw OutOfMemory("compile kernel '" + k.name + "': no memory for code (" + why + ")");
    throw InternalError("compile kernel '" + k.name + "': " + why);
  };

  const std::shared_ptr<JitRuntime> rt = runtime();
  asmjit::CodeHolder holder;
  asmjit::StringLogger logger;
  check(holder.init(rt->environment()));
  holder.setErrorHandler(&first);
  if (keep_listing) holder.setLogger(&logger);
  asmjit::x86::Compiler cc(&holder);
  const auto emitter = k.form == ir::Form::kRow ? x64::make_row_emitter(k, isa, cc)
                                                : x64::make_column_emitter(k, isa, cc);
  emitter->function();
  check(asmjit::kErrorOk);
  check(cc.finalize());
  Function f = nullptr;
  check(rt->add(&f, &holder));
  return std::make_unique<X86Code>(
      rt, f, holder.codeSize(), keep_listing ? std::string(logger.data(), logger.dataSize()) : "",
      k.name);
}

}  // namespace flash::emit
