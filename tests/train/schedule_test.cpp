// tests/train/schedule_test.cpp -- learning rates against values worked out by hand
#include <doctest/doctest.h>

#include <cmath>

#include "core/ops/create.h"
#include "train/optim/adam.h"
#include "train/optim/schedule.h"
#include "train/optim/sgd.h"

using namespace flash;

TEST_CASE("StepLR multiplies by gamma every step_size steps") {
  optim::SGD opt({zeros({1})}, {.lr = 0.8});
  optim::StepLR schedule(opt, {.step_size = 3, .gamma = 0.5});
  const double want[] = {0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2};
  for (const double lr : want) {
    CHECK(opt.lr() == doctest::Approx(lr).epsilon(1e-14));
    schedule.step();
  }
}

TEST_CASE("CosineAnnealingLR starts at the base, passes the middle and ends at eta_min") {
  optim::SGD opt({{.params = {zeros({1})}, .lr = 1.0}, {.params = {zeros({1})}, .lr = 0.5}});
  optim::CosineAnnealingLR schedule(opt, {.t_max = 8, .eta_min = 0.1});
  CHECK(opt.lr(0) == 1.0);
  CHECK(opt.lr(1) == 0.5);
  for (int i = 0; i < 2; ++i) schedule.step();
  CHECK(opt.lr(0) == doctest::Approx(0.1 + 0.9 * (1 + std::sqrt(0.5)) / 2).epsilon(1e-14));
  for (int i = 0; i < 2; ++i) schedule.step();
  CHECK(opt.lr(0) == doctest::Approx(0.55).epsilon(1e-14));
  CHECK(opt.lr(1) == doctest::Approx(0.3).epsilon(1e-14));
  for (int i = 0; i < 4; ++i) schedule.step();
  CHECK(opt.lr(0) == doctest::Approx(0.1).epsilon(1e-14));
}

TEST_CASE(
    "OneCycleLR rises to max_lr at pct_start and falls to the last rate, momentum against it") {
  optim::AdamW opt({zeros({1})});
  // PyTorch: phases end at 0.3 · 10 - 1 = 2 and at 10 - 1 = 9.
  optim::OneCycleLR schedule(opt, {.max_lr = 1.0, .total_steps = 10});
  CHECK(opt.lr() == doctest::Approx(0.04).epsilon(1e-14));
  CHECK(opt.momentum() == doctest::Approx(0.95).epsilon(1e-14));
  schedule.step();
  CHECK(opt.lr() == doctest::Approx((0.04 + 1) / 2).epsilon(1e-14));
  CHECK(opt.momentum() == doctest::Approx(0.9).epsilon(1e-14));
  schedule.step();
  CHECK(opt.lr() == doctest::Approx(1.0).epsilon(1e-14));
  CHECK(opt.momentum() == doctest::Approx(0.85).epsilon(1e-14));
  schedule.step();
  const double third = 4e-6 + (1.0 - 4e-6) / 2 * (1 + std::cos(std::acos(-1.0) / 7));
  CHECK(opt.lr() == doctest::Approx(third).epsilon(1e-13));
  for (int i = 0; i < 6; ++i) schedule.step();
  CHECK(opt.lr() == doctest::Approx(4e-6).epsilon(1e-12));
  CHECK(opt.momentum() == doctest::Approx(0.95).epsilon(1e-14));
  schedule.step();  // after the tenth optimizer step
  CHECK_THROWS_WITH_AS(schedule.step(), "OneCycleLR: step 11 of 10; make it for more total_steps",
                       ValueError);
}

TEST_CASE("a linear one-cycle and a resumed one give the same rates as one that ran through") {
  optim::SGD opt({zeros({1})}, {.lr = 0.1, .momentum = 0.9}),
      other({zeros({1})}, {.momentum = 0.9});
  const optim::OneCycleLROptions options{.max_lr = 2.0, .total_steps = 20, .cosine = false};
  optim::OneCycleLR schedule(opt, options), resumed(other, options);
  for (int i = 0; i < 11; ++i) schedule.step();
  resumed.set_steps(11);
  CHECK(opt.lr() == other.lr());
  CHECK(opt.momentum() == other.momentum());
  CHECK(opt.lr() == doctest::Approx(2.0 + (8e-6 - 2.0) * (11 - 5) / 14.0).epsilon(1e-13));
}

TEST_CASE("schedules refuse options out of range") {
  optim::SGD opt({zeros({1})});
  CHECK_THROWS_WITH_AS(optim::StepLR(opt, {.step_size = 0}),
                       "StepLR: step_size is 0; it must be above 0", ValueError);
  CHECK_THROWS_WITH_AS(optim::OneCycleLR(opt, {.pct_start = 2}),
                       "OneCycleLR: pct_start is 2; it must be in [0, 1]", ValueError);
}
