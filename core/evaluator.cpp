// core/evaluator.cpp -- which evaluators there are and which one runs
#include "core/evaluator.h"

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/env.h"
#include "core/error.h"
#include "core/thread_traces.h"

namespace flash {
namespace {

struct Registry {
  std::vector<std::unique_ptr<Evaluator>> all;
  std::atomic<Evaluator*> chosen{nullptr};
};
Registry& registry() {
  static Registry& r = *new Registry;  // never destroyed: static tensors flush after main
  return r;
}

/// Null if there is none of that name.
Evaluator* choose(std::string_view name) {
  for (auto& e : registry().all)
    if (e->name() == name) {
      registry().chosen = e.get();
      return e.get();
    }
  return nullptr;
}

}  // namespace

void ensure_installed() {
  static std::once_flag once;
  static thread_local bool inside = false;  // the installer itself uses the registries
  if (inside) return;
  std::call_once(once, [] {
    env::check();
    inside = true;
    install_all();
    inside = false;
  });
}

void install_evaluator(std::unique_ptr<Evaluator> e) { registry().all.push_back(std::move(e)); }

void set_evaluator(std::string_view name) {
  ensure_installed();
  flush_all(FlushReason::kEval);  // what was recorded runs where it was meant to run
  if (choose(name)) return;
  std::string known;
  for (auto& e : registry().all) known += (known.empty() ? "" : ", ") + std::string(e->name());
  throw ValueError("use_evaluator: there is no evaluator '" + std::string(name) +
                   "'; there are: " + known);
}

void prepare_thread() {
  ensure_installed();
  for (auto& e : registry().all) e->prepare_thread();
  for (DeviceRuntime* r : open_runtimes()) r->prepare_thread();
}

Evaluator& evaluator() {
  if (Evaluator* e = registry().chosen.load(std::memory_order_acquire)) return *e;
  ensure_installed();
  const std::string want = env::get_choice(Env::kEvaluator);
  if (Evaluator* e = choose(want)) return *e;
  throw InternalError("evaluator '" + want + "' is not installed");
}

}  // namespace flash
