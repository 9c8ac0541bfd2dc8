// tests/in_child.h -- does something in a child of fork()
#pragma once

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include <flash/flash.h>

#include "core/sanitizers.h"

namespace flash::test {

/// Forks; the child leaves with f()'s answer, or is killed when it has not after a minute.
inline int in_child(const auto& f) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    int status = 99;
    try {
      status = f();
    } catch (...) {
      status = 98;
    }
    _exit(status);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/// What a child of fork() must find with `gpu`, which its parent has opened: an error that says so,
/// and a CPU that computes and trains. The parent goes on with both.
inline void check_fork_leaves_gpu_alone(const Device& gpu) {
#if FLASH_THREAD_SANITIZER
  MESSAGE("skipped: the thread sanitizer does not follow threads through a fork");
  return;
#endif
  const Tensor x = ones({100}).to(gpu);
  CHECK((x * 2).sum().item() == 200);
  Tensor pending = exp(zeros({100}, {.device = gpu}));
  CHECK(in_child([&] {
          if ((ones({10}) * 3).sum().item() != 30) return 1;
          eval_all();  // but for what is pending on the GPU
          nn::Linear layer(2, 2);
          optim::SGD optimizer(layer.parameters(), {.lr = 0.1});
          layer(ones({1, 2})).sum().backward();
          optimizer.step();
          const auto refused = [](const auto& use) {
            try {
              use();
              return false;
            } catch (const DeviceError& e) {
              return std::string(e.what()).find("survive no fork") != std::string::npos;
            }
          };
          if (!refused([&] { (void)x.sum().item(); })) return 2;
          if (!refused([&] { (void)pending.to("cpu").sum().item(); })) return 3;
          if (!refused([&] { (void)rand({3}, {.device = gpu}).sum().item(); })) return 4;
          pending = Tensor();  // is given up without a word
          return (ones({10}) * 4).sum().item() == 40 ? 0 : 5;
        }) == 0);
  CHECK((pending + x).sum().item() == 200);
}

}  // namespace flash::test
