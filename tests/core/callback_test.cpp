// tests/core/callback_test.cpp -- Callback takes what std::function takes, and knows what is empty
#include "core/callback.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>

namespace {

using flash::Callback;

int twice(int x) { return 2 * x; }

struct Counter {
  int* calls;
  int operator()(int x) { return *calls += x; }
};

}  // namespace

TEST_CASE("callback: functions, lambdas and objects are called with their arguments") {
  int calls = 0;
  CHECK(Callback<int(int)>(twice)(4) == 8);
  CHECK(Callback<int(int)>([](int x) { return x + 1; })(4) == 5);
  CHECK(Callback<int(int)>(Counter{&calls})(4) == 4);
  CHECK(Callback<std::string(const std::string&)>([](const std::string& s) { return s + "!"; })(
            "a") == "a!");
  Callback<void(int)>(Counter{&calls})(1);  // the result is dropped
  CHECK(calls == 5);
}

TEST_CASE("callback: what holds nothing is false") {
  int (*none)(int) = nullptr;
  CHECK(!Callback<int(int)>());
  CHECK(!Callback<int(int)>(nullptr));
  CHECK(!Callback<int(int)>(none));
  CHECK(!Callback<int(int)>(std::function<int(int)>()));
  CHECK(Callback<int(int)>(std::function<int(int)>(twice)));
  CHECK(Callback<int(int)>(twice));
}

TEST_CASE("callback: what was moved from is false, what can be asked for a bool is not asked") {
  Callback<int()> a = [k = 3] { return k; };
  const Callback<int()> b = std::move(a);
  CHECK(!a);  // NOLINT: that is the question
  CHECK(b() == 3);
  struct Switch {
    bool on = false;
    explicit operator bool() const { return on; }
    int operator()() const { return 5; }
  };
  CHECK(Callback<int()>(Switch{})() == 5);
  struct Thing {
    int member() { return 1; }
  };
  CHECK(!std::is_constructible_v<Callback<int(Thing&)>, int (Thing::*)()>);
}

TEST_CASE("callback: copies share what they call, and the last one destroys it") {
  const auto held = std::make_shared<int>(0);
  Callback<int()> a = [held, n = 0]() mutable { return ++n; };
  Callback<int()> b = a;
  CHECK(a() == 1);
  CHECK(b() == 2);
  CHECK(held.use_count() == 2);
  a = {};
  CHECK(held.use_count() == 2);
  b = nullptr;
  CHECK(held.use_count() == 1);
}
