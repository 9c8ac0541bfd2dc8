// tests/jit/run_kernel.cpp -- the tests' stand-in for fuser and launcher
#include "run_kernel.h"

#include <algorithm>
#include <stdexcept>

namespace flash::test {

using ir::Form;
using ir::Mode;
using ir::Role;
using ir::Word;
using std::int64_t;

std::vector<Target> targets() {
  std::vector<Target> all = {Target::kInterpreter};
#if FLASH_WITH_ASMJIT
  if (emit::detect_isa() >= emit::Isa::kAvx2) all.push_back(Target::kAvx2);
  if (emit::detect_isa() >= emit::Isa::kAvx512) all.push_back(Target::kAvx512);
#endif
  return all;
}

std::string name(Target t) {
  return t == Target::kInterpreter ? "interpreter" : t == Target::kAvx2 ? "avx2" : "avx512";
}

std::unique_ptr<emit::Code> compile(const ir::Kernel& k, Target t) {
#if FLASH_WITH_ASMJIT
  if (t == Target::kAvx2) return emit::compile_x86(k, emit::Isa::kAvx2);
  if (t == Target::kAvx512) return emit::compile_x86(k, emit::Isa::kAvx512);
#endif
  if (t != Target::kInterpreter) throw std::runtime_error("this build has no x86 emitter");
  return emit::compile_interpreter(k);
}

Nest::Nest(Form form, std::vector<Axis> axes) : b(kernel) {
  kernel.name = "test";
  kernel.form = form;
  args.assign(ir::kArgExtents, 0);
  for (const Axis& a : axes) {
    kernel.axes.push_back(a.role);
    args.push_back(a.extent);
  }
  kernel.words = static_cast<int>(args.size());
  set_chunk(std::max<int64_t>(1, axes.back().extent));
}

int Nest::word(Word w) {
  args.push_back(w);
  return kernel.words++;
}

int Nest::iota(std::vector<Word> words) {
  const int first = kernel.words;
  for (const Word w : words) word(w);
  return first;
}

int Nest::access(DType dtype, const void* data, std::vector<int64_t> byte_strides) {
  ir::Access a;
  a.dtype = dtype;
  a.pointer = word(static_cast<Word>(reinterpret_cast<std::uintptr_t>(data)));
  a.strides = kernel.words;
  for (std::size_t i = 0; i < byte_strides.size(); ++i) {
    const bool vector = static_cast<int>(i) == kernel.vector_axis();
    const int64_t s = byte_strides[i];
    a.step.push_back(s == 0                                 ? ir::Step::kZero
                     : vector && s == flash::size_of(dtype) ? ir::Step::kUnit
                                                            : ir::Step::kAny);
    word(s == 0 ? Word{0x5555} : s);  // a kZero step's word is never read
  }
  kernel.accesses.push_back(a);
  return static_cast<int>(kernel.accesses.size()) - 1;
}

int Nest::partials(DType dtype, int64_t elements) {
  buffers_.push_back(
      std::make_unique<std::vector<double>>(static_cast<std::size_t>(elements), -1e300));
  ir::Access a;
  a.dtype = dtype;
  a.pointer = word(static_cast<Word>(reinterpret_cast<std::uintptr_t>(buffers_.back()->data())));
  kernel.accesses.push_back(a);
  return static_cast<int>(kernel.accesses.size()) - 1;
}

std::vector<std::span<unsigned char>> Nest::partial_memory() const {
  std::vector<std::span<unsigned char>> all;
  for (const auto& b : buffers_)
    all.emplace_back(reinterpret_cast<unsigned char*>(b->data()), b->size() * sizeof(double));
  return all;
}

void Nest::set_chunk(int64_t chunk) {
  const bool whole = kernel.form == Form::kRow && kernel.has_reduce();
  args[ir::kArgChunk] = chunk;
  args[ir::kArgChunks] = whole ? 1 : (extent(kernel.vector_axis()) + chunk - 1) / chunk;
}

int64_t Nest::grid_points() const {
  int64_t n = 1;
  for (int i = 0; i < kernel.n_axes(); ++i)
    if (kernel.axes[static_cast<std::size_t>(i)] == Role::kGrid) n *= extent(i);
  return n;
}

void Nest::run(const Runner& runner) {
  kernel.mode = Mode::kWhole;
  verify(kernel);
  if (kernel.form == Form::kRow && kernel.has_reduce()) args[ir::kArgChunks] = 1;
  runner(kernel, args.data(), grid_points() * args[ir::kArgChunks]);
}

void Nest::run(Target t, bool one_by_one) {
  run([&](const ir::Kernel& k, const Word* words, int64_t tiles) {
    const auto code = compile(k, t);
    if (one_by_one)
      for (int64_t i = tiles - 1; i >= 0; --i) code->run(words, i, i + 1);
    else
      code->run(words, 0, tiles);
  });
}

void Nest::run_split(const Runner& runner, int64_t part_blocks) {
  int64_t outer = 1, run = 1;
  for (int i = 0; i < kernel.n_axes(); ++i)
    if (kernel.axes[static_cast<std::size_t>(i)] == Role::kLoop) {
      outer *= run;
      run = extent(i);
    }
  const int64_t block = kernel.form == Form::kRow ? ir::kRowBlock : ir::kColumnBlock;
  const int64_t blocks = outer * ((run + block - 1) / block);
  if (kernel.form == Form::kRow) args[ir::kArgChunks] = 1;
  args[ir::kArgPartBlocks] = part_blocks;
  args[ir::kArgParts] = std::max<int64_t>(1, (blocks + part_blocks - 1) / part_blocks);
  const int64_t tiles = grid_points() * args[ir::kArgChunks];
  args[ir::kArgTallies] = kernel.words;
  args.resize(static_cast<std::size_t>(kernel.words + tiles), 0);

  kernel.mode = Mode::kSplit;
  verify(kernel);
  runner(kernel, args.data(), tiles * args[ir::kArgParts]);
  kernel.mode = Mode::kWhole;
  for (int64_t i = 0; i < tiles; ++i)
    if (args[static_cast<std::size_t>(kernel.words + i)] != 0)
      throw std::runtime_error("mode kSplit left a tally behind");
}

void Nest::run_split(Target t, int64_t part_blocks) {
  run_split(
      [&](const ir::Kernel& k, const Word* words, int64_t tiles) {
        const auto code = compile(k, t);
        for (int64_t i = tiles - 1; i >= 0; --i) code->run(words, i, i + 1);
      },
      part_blocks);
}

}  // namespace flash::test
