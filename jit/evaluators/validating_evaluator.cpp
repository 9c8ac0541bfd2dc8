// jit/evaluators/validating_evaluator.cpp -- the promise of equal bits, checked at run time
#include "jit/evaluators/validating_evaluator.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/error.h"
#include "core/scope.h"
#include "jit/evaluators/jit_evaluator.h"

namespace flash::jit {
namespace {

bool is_nan(const std::byte* at, DType dtype) {
  const auto read = [at](auto value) {
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  switch (dtype) {
    case DType::kF64:
      return std::isnan(read(0.0));
    case DType::kF32:
      return std::isnan(read(0.0f));
    case DType::kF16:
      return (read(std::uint16_t{}) & 0x7fff) > 0x7c00;
    case DType::kBF16:
      return (read(std::uint16_t{}) & 0x7fff) > 0x7f80;
    default:
      return false;
  }
}

/// First element whose bits differ, NaNs being alike; -1: none.
std::int64_t first_difference(const void* a, const void* b, std::int64_t numel, DType dtype) {
  const auto size = static_cast<std::size_t>(size_of(dtype));
  const auto bytes = static_cast<std::size_t>(numel) * size;
  if (bytes == 0 || std::memcmp(a, b, bytes) == 0) return -1;
  const auto *x = static_cast<const std::byte*>(a), *y = static_cast<const std::byte*>(b);
  for (std::size_t i = 0; i < bytes; i += size)
    if (std::memcmp(x + i, y + i, size) != 0 && !(is_nan(x + i, dtype) && is_nan(y + i, dtype)))
      return static_cast<std::int64_t>(i / size);
  return -1;
}

std::string bits_of(const void* data, std::int64_t element, DType dtype) {
  const auto size = static_cast<std::size_t>(size_of(dtype));
  std::uint64_t bits = 0;
  std::memcpy(&bits, static_cast<const std::byte*>(data) + static_cast<std::size_t>(element) * size,
              size);
  char text[24];
  std::snprintf(text, sizeof text, "0x%0*llx", static_cast<int>(2 * size),
                static_cast<unsigned long long>(bits));
  return text;
}

class ValidatingEvaluator final : public Evaluator {
 public:
  explicit ValidatingEvaluator(std::unique_ptr<Evaluator> checked) : checked_(std::move(checked)) {
    references_[0] = {"the interpreter", make_interpreting_evaluator()};
    references_[1] = {"one kernel an operation", make_eager_evaluator()};
    references_[2] = {"fused kernels that leave inputs alone", make_fusing_evaluator()};
  }

  std::string_view name() const override { return checked_->name(); }

  void evaluate(const EvaluationRequest& request, Progress& progress) override {
    if (request.trace.device().type() != DeviceType::kCpu)
      return checked_->evaluate(request, progress);
    // First, while the buffers that may be reused still hold the inputs.
    const std::vector<char> none(request.count, 0);
    std::vector<LiveOut> results[3];
    std::string refused[3];
    for (std::size_t i = 0; i < 3; ++i) {
      for (const LiveOut& l : request.live) results[i].push_back({l.node, l.soft, {}});
      Progress of_reference;
      try {
        references_[i].evaluator->evaluate(
            {request.trace, request.count, results[i], none, request.reason}, of_reference);
      } catch (const OutOfMemory&) {
        throw;  // not a matter of what is computed: the caller may free something and try again
      } catch (const Error& e) {
        refused[i] = e.what();
      }
    }
    checked_->evaluate(request, progress);  // has the same to say if the program is wrong
    for (std::size_t i = 0; i < 3; ++i) {
      if (!refused[i].empty())
        throw InternalError("FLASH_VALIDATE: the evaluator '" + std::string(name()) +
                            "' computed what " + references_[i].what + " refused: " + refused[i]);
      for (std::size_t l = 0; l < request.live.size(); ++l)
        compare(request, request.live[l], results[i][l], references_[i].what);
    }
  }

  void prepare_thread() override {
    checked_->prepare_thread();
    for (Reference& r : references_) r.evaluator->prepare_thread();
  }
  std::vector<std::int32_t> kernels_of(const EvaluationRequest& request) override {
    return checked_->kernels_of(request);
  }
  std::string explain_last_compile() override { return checked_->explain_last_compile(); }

 private:
  struct Reference {
    const char* what = nullptr;
    std::unique_ptr<Evaluator> evaluator;
  };

  void compare(const EvaluationRequest& request, const LiveOut& got, const LiveOut& want,
               const char* by) const {
    const Trace& trace = request.trace;
    const Node& n = trace.nodes[got.node];
    const void *a = got.result->data(), *b = want.result->data();
    const std::int64_t at = first_difference(a, b, n.numel, n.dtype);
    if (at < 0) return;
    const Shape shape(trace.shape(n));
    std::string index;
    std::int64_t rest = at;
    for (int d = shape.rank() - 1; d >= 0; --d) {
      index = std::to_string(rest % shape[d]) + (index.empty() ? "" : ", ") + index;
      rest /= shape[d];
    }
    const std::string_view scope = scope_name(n.scope);
    std::string operation(info(n.op).name);
    if (!scope.empty()) operation += " (in " + std::string(scope) + ")";
    throw InternalError(
        "FLASH_VALIDATE: operation " + std::to_string(got.node) + " of " +
        std::to_string(request.count) + ", " + operation + ", of shape " + shape.str() + " and " +
        std::string(flash::name(n.dtype)) + ", differs at [" + index + "]: the evaluator '" +
        std::string(name()) + "' gave the bits " + bits_of(a, at, n.dtype) + ", " + by + " " +
        bits_of(b, at, n.dtype) +
        ". This is a fault of Flash: FLASH_DEBUG=3 shows the kernels, FLASH_EVALUATOR=interpret "
        "gives the reference's result");
  }

  std::unique_ptr<Evaluator> checked_;
  Reference references_[3];
};

}  // namespace

std::unique_ptr<Evaluator> make_validating_evaluator(std::unique_ptr<Evaluator> checked) {
  return std::make_unique<ValidatingEvaluator>(std::move(checked));
}

}  // namespace flash::jit
