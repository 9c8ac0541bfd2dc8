// tests/emulation/fiber.cpp -- the change of stacks
#include "emulation/fiber.h"

#include <cstdint>

#if !defined(__x86_64__)
#error "emulated kernels need a change of stacks for this processor: see fiber.cpp"
#endif

// Halts here, at *halted, and goes on at `next`. What a call has to keep lies on the stack that is
// left (System V ABI, AMD64 supplement, 3.2.1); modes of the floating-point units are never
// changed.
extern "C" void flash_test_change_stack(void** halted, void* next);
asm(R"(
.text
.p2align 4
.type flash_test_change_stack, @function
.hidden flash_test_change_stack
.globl flash_test_change_stack
flash_test_change_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size flash_test_change_stack, . - flash_test_change_stack
)");

namespace flash::test::emulation {

void Fiber::begin(void (*body)()) {
  // As if body had been called by nobody, with six registers of 0: its frame begins at a multiple
  // of 16, less the word of a return address.
  auto* top = reinterpret_cast<void**>(reinterpret_cast<std::uintptr_t>(memory_.get() + kBytes) &
                                       ~std::uintptr_t{15});
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(body);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  inside_ = top;
  go_on();
}

void Fiber::go_on() { flash_test_change_stack(&outside_, inside_); }

void Fiber::give_back() { flash_test_change_stack(&inside_, outside_); }

}  // namespace flash::test::emulation
