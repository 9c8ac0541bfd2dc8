// tests/jit/device_runner.cpp -- host pointers to device addresses, word by word
#include "device_runner.h"

#include <memory>
#include <stdexcept>

#include "core/allocator.h"

namespace flash::test {

Nest::Runner on_device(DeviceRuntime& device, std::vector<std::span<unsigned char>> memory,
                       bool as_run) {
  return [&device, memory, as_run](const ir::Kernel& k, const ir::Word* args, std::int64_t tiles) {
    std::vector<Block*> blocks;
    for (const auto& m : memory) {
      blocks.push_back(device.allocator().allocate(m.size(), "random kernel"));
      device.from_host(blocks.back()->data, m.data(), m.size(), {});
    }
    std::size_t n = static_cast<std::size_t>(k.words);
    if (k.mode == ir::Mode::kSplit)
      n = static_cast<std::size_t>(args[ir::kArgTallies] + tiles / args[ir::kArgParts]);
    std::vector<ir::Word> words(args, args + n);
    for (const ir::Access& a : k.accesses) {
      ir::Word& w = words[static_cast<std::size_t>(a.pointer)];
      const auto at = static_cast<std::uintptr_t>(args[a.pointer]);
      bool found = false;
      for (std::size_t m = 0; m < memory.size() && !found; ++m) {
        const auto begin = reinterpret_cast<std::uintptr_t>(memory[m].data());
        found = at >= begin && at <= begin + memory[m].size();
        if (found)
          w = reinterpret_cast<std::intptr_t>(blocks[m]->data) +
              static_cast<std::intptr_t>(at - begin);
      }
      if (!found) throw std::runtime_error("a pointer leads into no buffer of the kernel");
    }
    const auto kernel = device.load(k, CodeKind::kBest);
    std::unique_ptr<Recording> kept;
    if (as_run) device.begin_run(kept, {});
    const Launch launch{.kernel = kernel.get(),
                        .args = device.bind_args(words, {}),
                        .host_args = words.data(),
                        .tiles = tiles};
    device.launch({&launch, 1}, {});
    if (as_run) {
      device.prepare_run({});
      device.end_run({});
    }
    for (std::size_t m = 0; m < memory.size(); ++m) {
      device.to_host(memory[m].data(), blocks[m]->data, memory[m].size(), {});
      device.allocator().free(blocks[m]);
    }
  };
}

}  // namespace flash::test
