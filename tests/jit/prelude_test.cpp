// tests/jit/prelude_test.cpp -- sources hold what their kernels use of a prelude, and no more
#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

#include "jit/emit/clike/clike.h"

using flash::emit::Prelude;

TEST_CASE("a prelude is cut down to what kernels mention, and to what that mentions") {
  const Prelude p(R"(#version 1
// a comment
#define ALWAYS(x) \
  from_macro(x)
struct Pair {
  int a;
};
shared int exchanged[4];
FN int low(Pair p) { return p.a; }
FN int from_macro(int x) { return x; }
#ifdef WIDE
FN int wide(int x) {
  return low(x) + exchanged[0];
}
#else
FN int wide(int x) { return x; }
#endif
FN int unused(int x) { return wide(x); }
)");
  const std::string always = "#version 1\n#define ALWAYS(x) \\\n  from_macro(x)\n";
  CHECK(p.source("k()\n") == always + "FN int from_macro(int x) { return x; }\nk()\n");
  const std::string all = p.source("k(wide(1))\n");
  CHECK(all == always +
                   "struct Pair {\n  int a;\n};\nshared int exchanged[4];\n"
                   "FN int low(Pair p) { return p.a; }\nFN int from_macro(int x) { return x; }\n"
                   "#ifdef WIDE\nFN int wide(int x) {\n  return low(x) + exchanged[0];\n}\n#else\n"
                   "FN int wide(int x) { return x; }\n#endif\nk(wide(1))\n");
}

TEST_CASE("what a prelude says of several types is written for each") {
  const Prelude p(
      "%each T U IF\n  | i32 u32\n  | i64 u64 X\nFN $T f_$T($U a) { return $IF; }\n%end\n");
  CHECK(p.text() == "FN i32 f_i32(u32 a) { return ; }\nFN i64 f_i64(u64 a) { return X; }\n");
  CHECK(p.source("f_i64") == "FN i64 f_i64(u64 a) { return X; }\nf_i64");
  CHECK_THROWS_AS(Prelude("%each T | a\n$S\n%end\n"), std::logic_error);
  CHECK_THROWS_AS(Prelude("%each T | a\n$T\n"), std::logic_error);
}
