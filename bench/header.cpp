// bench/header.cpp -- what #include <flash/flash.h> costs a program's compilation
#include <sys/resource.h>

#include <stdexcept>

#include "bench/process.h"
#include "bench/workloads.h"

namespace flash::bench {
namespace {

/// Milliseconds of user time that g++ takes for a file of these lines, unoptimised.
double compile_time(const std::string& lines) {
  const auto user = [] {
    rusage usage{};
    getrusage(RUSAGE_CHILDREN, &usage);
    return static_cast<double>(usage.ru_utime.tv_sec) * 1e3 +
           static_cast<double>(usage.ru_utime.tv_usec) * 1e-3;
  };
  const double before = user();
  const std::string answer =
      output_of({"sh", "-c",
                 "printf '" + lines +
                     "' | g++ -std=c++20 -O0 -I'" FLASH_SOURCE_ROOT
                     "' -x c++ -c -o /dev/null - && echo compiled || echo failed"});
  if (answer != "compiled") throw std::runtime_error("bench: g++ did not compile the header");
  return user() - before;
}

}  // namespace

void header(Suite& suite) {
  suite.value("flash.h, g++ -O0", [] { return compile_time("#include <train/flash.h>\\n"); }, {},
              {.unit = "ms", .goal = "<= 700"});
  suite.value(
      "<string> <vector> <memory> <map>",
      [] {
        return compile_time(
            "#include <string>\\n#include <vector>\\n#include <memory>\\n#include <map>\\n");
      },
      {}, {.unit = "ms"});
}

}  // namespace flash::bench
