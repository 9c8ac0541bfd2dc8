// tests/accuracy/report.cpp -- the tables of docs/accuracy.md
#include "accuracy/report.h"

#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>

#include "accuracy/bounds.h"
#include "bench/process.h"

namespace flash::accuracy {
namespace {

template <class... A>
std::string print(const char* format, A... a) {
  char text[256];
  std::snprintf(text, sizeof text, format, a...);
  return text;
}

double goal_of(DType dtype) { return dtype == DType::kF64 ? 2 : 1; }

std::string grouped(std::uint64_t n) {
  if (n < 1000) return std::to_string(n);
  return grouped(n / 1000) + print(",%03d", static_cast<int>(n % 1000));
}

std::string ulp(double e) {
  if (e == 0 || e == 0.5) return print("%g", e);
  return e < 100 ? print("%.4f", e) : print("%.4g", e);
}

std::string share(std::uint64_t part, std::uint64_t of) {
  if (part == 0) return "0";
  return print("%.2g %%", 100 * static_cast<double>(part) / static_cast<double>(of));
}

/// A value of the special ones, as people write it.
std::string word(double x) {
  if (std::isnan(x)) return "NaN";
  if (std::isinf(x)) return x > 0 ? "∞" : "−∞";
  if (x == 0) return std::signbit(x) ? "−0" : "0";
  return print("%g", x);
}

std::string field(const char* path, const std::string& name) {
  std::ifstream file(path);
  for (std::string text; std::getline(file, text);)
    if (text.starts_with(name) && text.find(": ") != std::string::npos)
      return text.substr(text.find(": ") + 2);
  return "unknown";
}

/// A number in hexadecimal, set as code.
std::string code(double x) { return print("`%s`", hex(x).c_str()); }

void function_table(std::ostream& out, const Findings& findings, DType dtype) {
  // f64's inputs are chosen: a share of them says nothing, and at ties nor does their reference.
  const bool all_inputs = dtype != DType::kF64;
  out << "| function | bound | max ULP | at | Flash's result |"
      << (all_inputs ? " not nearest |" : "") << " elements/ns | × libm |\n|---|---|---|---|---|"
      << (all_inputs ? "---|" : "") << "---|---|\n";
  for (const Measured& m : findings.measured) {
    if (m.dtype != dtype) continue;
    const Point& w = m.verdict.worst;
    const bool exact = w.error == 0;
    const char* mark = w.error > goal_of(dtype) ? "**" : "";
    out << "| " << m.function->name << " | " << print("%.2f", bound_of(*m.function, dtype)) << " | "
        << mark << ulp(w.error) << mark << " | " << (exact ? std::string() : code(w.x)) << " | "
        << (exact ? std::string() : code(w.got)) << " | ";
    if (all_inputs) out << share(m.not_nearest, m.inputs) << " | ";
    out << print("%.2f", m.speed.flash) << " | " << print("%.1f", m.speed.flash / m.speed.libm)
        << " |\n";
  }
  out << '\n';
}

constexpr DType kDTypes[] = {DType::kF32, DType::kF64, DType::kF16, DType::kBF16};

void special_table(std::ostream& out, const Findings& findings) {
  out << "| function | f(−∞) | f(−0) | f(0) | f(∞) | f(NaN) | ends of the formats |\n"
         "|---|---|---|---|---|---|---|\n";
  for (const Measured& m : findings.measured) {
    if (m.dtype != DType::kF32) continue;  // a row for all dtypes
    const Function& f = *m.function;
    std::string cells[5];
    int passed = 0, all = 0;
    for (const DType dtype : kDTypes) {
      const std::vector<Special> specials = ends(f, dtype);
      for (std::size_t i = 0; i < specials.size(); ++i) {
        if (cells[i].empty()) cells[i] = word(specials[i].want);
        if (!specials[i].good)
          cells[i] += " **(" + std::string(name(dtype)) + ": " + word(specials[i].got) + ")**";
      }
      for (const Special& s : limits(f, dtype)) {
        passed += s.good;
        ++all;
      }
    }
    out << "| " << f.name << " |";
    for (const std::string& cell : cells) out << ' ' << cell << " |";
    out << (passed == all ? " pass" : " **fail**") << " (" << passed << " of " << all << ") |\n";
  }
  out << '\n';
}

std::string error(double e) { return e == 0 ? "0" : print("%.1e", e); }

void sum_table(std::ostream& out, const Sums& sums) {
  const bool torch = !sums.torch.empty();
  const auto theirs = [&](double e) { return torch ? error(e) : std::string("not there"); };
  out << "| addends | exact sum | Σ\\|x\\| / \\|Σx\\| | sum: Flash | PyTorch | mean: Flash | "
         "PyTorch | "
         "over dim 1: Flash | PyTorch | over dim 0: Flash | PyTorch |\n"
         "|---|---|---|---|---|---|---|---|---|---|---|\n";
  for (const SumCase& c : sums.cases)
    out << "| " << c.name << " | " << print("%.9g", c.exact) << " | " << print("%.2g", c.condition)
        << " | " << error(c.flash.sum) << " | " << theirs(c.torch.sum) << " | "
        << error(c.flash.mean) << " | " << theirs(c.torch.mean) << " | " << error(c.flash.rows)
        << " | " << theirs(c.torch.rows) << " | " << error(c.flash.columns) << " | "
        << theirs(c.torch.columns) << " |\n";
  out << '\n';
}

/// The lines that fall short of a goal, as sentences; none is good.
std::vector<std::string> shortfalls(const Findings& findings) {
  std::vector<std::string> out;
  for (const Measured& m : findings.measured) {
    if (is_half(m.dtype) || m.verdict.worst.error <= goal_of(m.dtype)) continue;
    out.push_back(print("`%s` of %s: %s ULP at %s", m.function->name,
                        std::string(name(m.dtype)).c_str(), ulp(m.verdict.worst.error).c_str(),
                        code(m.verdict.worst.x).c_str()));
  }
  return out;
}

/// What the reference is worth, as found by the judge.
std::string judge_sentence(const Findings& findings, DType dtype) {
  if (!judge_name()) return "Nothing judged the references: MPFR was not there.";
  double doubt = 0;
  for (const Measured& m : findings.measured)
    if (m.dtype == dtype) doubt = std::max(doubt, m.verdict.doubt);
  return "The " + std::to_string(Sweep::kKept) +
         " worst points of each\nfunction were computed again by the judge, and so was a sample of "
         "some thousand others:\nthe reference is off by at most " +
         print("%.1g", doubt) + " ULP.";
}

}  // namespace

std::string hex(double x) {
  if (!std::isfinite(x)) return std::isnan(x) ? "nan" : x > 0 ? "inf" : "-inf";
  return print("%a", x);
}

std::vector<std::string> surroundings() {
  std::time_t now = std::time(nullptr);
  char date[32];
  std::strftime(date, sizeof date, "%Y-%m-%d", std::gmtime(&now));
  std::vector<std::string> out;
  out.push_back("CPU: " + field("/proc/cpuinfo", "model name"));
  out.push_back(std::string("date: ") + date);
  try {
    out.push_back("commit: " + bench::output_of({"git", "-C", FLASH_SOURCE_ROOT, "describe",
                                                 "--always", "--dirty", "--exclude=*"}));
  } catch (const std::exception&) {
    out.emplace_back("commit: unknown");
  }
#if defined(__clang__)
  out.emplace_back("compiler: clang " __clang_version__);
#else
  out.emplace_back("compiler: g++ " __VERSION__);
#endif
#ifdef __GLIBC__
  out.push_back(std::string("libm: glibc ") + gnu_get_libc_version());
#endif
  out.push_back("judge of the worst points: " +
                judge_name().value_or("none (built without libmpfr: the references' own word)"));
  return out;
}

std::string line(const Measured& m) {
  const Point& w = m.verdict.worst;
  std::string text = print("%-13s %-5s", m.function->name, std::string(name(m.dtype)).c_str()) +
                     print("%12s ULP", ulp(w.error).c_str());
  if (w.error > 0) text += " at " + hex(w.x) + " (" + hex(w.got) + ")";
  text += ", " + grouped(m.inputs) + " inputs" + print(", %.2f/ns", m.speed.flash) +
          print(", %.1f x libm", m.speed.flash / m.speed.libm) + print(", %.1f s", m.seconds);
  if (m.verdict.doubt > 0) text += print(", reference within %.1g", m.verdict.doubt);
  if (!m.within_bound()) text += print("  ABOVE THE BOUND OF %g", bound_of(*m.function, m.dtype));
  return text;
}

void write_page(std::ostream& out, const Findings& findings, const std::string& command) {
  out << "# Accuracy\n\nGenerated by `" << command << "`; not written by hand.\n\n";
  for (const std::string& s : findings.surroundings) out << "- " << s << "\n";
  out << R"(
Every unary float function of the public interface is run through it and compared with a wider
reference. An error is |result − exact value| in ULP, the weight of the dtype's last place at the exact
value; 0.5 is the least that rounding allows. A wrong infinity, NaN or sign of zero counts as an
infinite error. The goal: at most 1 ULP in f32, at most 2 ULP in f64, special values exact.

)";
  const std::vector<std::string> missed = shortfalls(findings);
  out << (missed.empty() ? "Every function meets it.\n" : "Short of it:\n\n");
  for (const std::string& s : missed) out << "- " << s << "\n";
  out << R"(
Columns: `bound`, what the tests hold the function to (`tests/accuracy/bounds.h`); the worst input and
Flash's result there, in hexadecimal; `not nearest`, the share of results that are not the correctly
rounded ones; elements per ns of one thread, 2¹⁶ elements in the second-level cache; `× libm`, that
beside a plain loop over the C library's function. Both speeds are medians of interleaved rounds of one
run. `leaky_relu` has slope 0.25; `pow(x, 3)` is recorded as x·x·x.

## f32

All 2³² inputs, against the C library's double functions. )"
      << judge_sentence(findings, DType::kF32) << "\n\n";
  function_table(out, findings, DType::kF32);
  std::uint64_t doubles = 0;
  for (const Measured& m : findings.measured)
    if (m.dtype == DType::kF64) doubles = std::max(doubles, m.inputs);
  out << "## f64\n\n"
      << grouped(doubles) << R"( inputs a function, against the C library's long double functions
(64 bits). A quarter of the inputs are any bits, a quarter lie in the function's usual range, an eighth
has every magnitude, the rest lies around the places where formulas change, saturate, overflow or
vanish; for sin and cos also around multiples of π/2 and at the arguments that come closest to them,
found for every exponent by continued fractions. The neighbourhoods of the worst points are searched as
well. )"
      << judge_sentence(findings, DType::kF64) << "\n\n";
  function_table(out, findings, DType::kF64);
  out << R"(## f16 and bf16

All 65,536 inputs of each. The plain loop converts to float, calls libm's float function and converts
back.

)";
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    out << "### " << name(dtype) << "\n\n";
    function_table(out, findings, dtype);
  }
  out << R"(## Special values

In all four dtypes, as C99's Annex F has them, and PyTorch where that is silent. The last column: both
signs of the least and the largest subnormal number, the least normal and the largest finite one, within
the function's bound.

)";
  special_table(out, findings);
  out << "## One result everywhere\n\n"
         "The bits of every function on 1.4 million inputs of the four dtypes, under ";
  for (std::size_t i = 0; i < findings.code.size(); ++i)
    out << (i == 0 ? "" : i + 1 == findings.code.size() ? " and " : ", ") << findings.code[i];
  out << (findings.differing.empty() ? ": equal" : ": **different** for");
  for (const std::string& s : findings.differing) out << " " << s;
  out << ".\n\n## Sums and means\n\n"
      << grouped(static_cast<std::uint64_t>(findings.sums.addends))
      << R"( addends of f32, a square matrix. `sum` and `mean` over everything: relative error. Sums
over one dimension: the largest error of a sum, relative to the sum of its magnitudes. The exact sums
have some 106 bits. Half a last place of f32 is 6.0e-8 relative; where much cancels (the third column
tells how much), no f32 sum in one pass is that near. )"
      << (findings.sums.torch.empty()
              ? std::string(
                    "PyTorch was not there: `./dev accuracy --write --peers torch` asks it.")
              : "PyTorch's numbers are those of " + findings.sums.torch + " in the same run.")
      << "\n\n";
  sum_table(out, findings.sums);
}

}  // namespace flash::accuracy
