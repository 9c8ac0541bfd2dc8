// tests/accuracy/accuracy_test.cpp -- the quick form of ./dev accuracy, and that its page is whole
#include <doctest/doctest.h>

#include <cfloat>
#include <fstream>
#include <iomanip>
#include <sstream>

#include "accuracy/bounds.h"
#include "accuracy/functions.h"
#include "accuracy/specials.h"
#include "accuracy/sweep.h"

using namespace flash;
using namespace flash::accuracy;

namespace {

void check(const Function& f, DType dtype, const Sweep& sweep) {
  const Point worst = sweep.worst.front();
  CAPTURE(f.name);
  CAPTURE(std::string(name(dtype)));
  CAPTURE(worst.x);
  CAPTURE(worst.got);
  CHECK(worst.error <= bound_of(f, dtype));
}

}  // namespace

TEST_CASE("every f16 and bf16 input gives a result within the bounds") {
  for (const Function& f : functions())
    for (const DType dtype : {DType::kF16, DType::kBF16}) check(f, dtype, sweep_half(f, dtype));
}

TEST_CASE("a sweep over f32 and the places where formulas change stays within the bounds") {
  for (const Function& f : functions()) check(f, DType::kF32, sweep_f32(f, 997 * 8 + 1, Runner{}));
}

TEST_CASE("a sweep over f64 stays within the bounds") {
  if (LDBL_MANT_DIG < 64) {
    MESSAGE("skipped: this platform's long double is no wider than double");
    return;
  }
  const std::vector<double> hard = {6381956970095103.0 * 0x1p797, 5319372648326541.0 * 0x1p-30};
  for (const Function& f : functions())
    check(f, DType::kF64,
          sweep_f64(f, 50'000, is_trigonometric(f) ? hard : std::vector<double>{}, Runner{}));
}

TEST_CASE("infinities, zeros, NaN and the ends of each format give what Annex F says") {
  for (const Function& f : functions())
    for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32, DType::kF64}) {
      if (dtype == DType::kF64 && LDBL_MANT_DIG < 64) continue;
      std::vector<Special> all = ends(f, dtype);
      for (const Special& s : limits(f, dtype)) all.push_back(s);
      for (const Special& s : all) {
        CAPTURE(f.name);
        CAPTURE(std::string(name(dtype)));
        CAPTURE(s.x);
        CAPTURE(s.want);
        CAPTURE(s.got);
        CHECK(s.good);
      }
    }
}

TEST_CASE("docs/accuracy.md shows every function of the table with the bound that holds now") {
  std::ifstream file(std::string(FLASH_SOURCE_ROOT) + "/docs/accuracy.md");
  std::stringstream page;
  page << file.rdbuf();
  for (const Bound& b : kBounds)
    for (const double bound : {b.f32, b.f64}) {
      std::ostringstream row;  // as report.cpp writes it
      row << "\n| " << b.name << " | " << std::fixed << std::setprecision(2) << bound << " | ";
      CAPTURE(row.str());
      const std::size_t at = page.str().find(row.str());
      REQUIRE(at != std::string::npos);
      // What follows is the error that was found, in asterisks where it is beyond the goal.
      std::string found = page.str().substr(at + row.str().size(), 12);
      std::erase(found, '*');
      CHECK(std::stod(found) <= bound);
    }
  CHECK(page.str().find("dirty") == std::string::npos);  // generated from what it names
  CHECK(std::size(kBounds) == functions().size());
  for (const Function& f : functions()) CHECK_NOTHROW(accuracy::bound_of(std::string_view(f.name)));
}
