// tests/train/trainer_test.cpp -- training, checkpoints, and resume that equals the undisturbed run
#include <doctest/doctest.h>

#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>

#include "train/flash.h"
#include "train/loop/checkpoint_store.h"
#include "train/loop/run_state.h"

using namespace flash;
namespace fs = std::filesystem;

namespace {

/// A folder that goes at the end.
struct Folder {
  fs::path path;
  explicit Folder(const std::string& name)
      : path(fs::temp_directory_path() / ("flash-test-" + std::to_string(getpid()) + "-" + name)) {
    fs::remove_all(path);
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  std::string operator/(const std::string& name) const { return (path / name).string(); }
};

struct Mlp : nn::Module {
  nn::Linear fc1{6, 16}, fc2{16, 3};
  nn::Dropout drop{0.3};
  FLASH_MODULE(Mlp, fc1, drop, fc2)
  Tensor forward(const Tensor& x) { return fc2(drop(relu(fc1(x)))); }
};

/// 105 points in 3 classes: which of three sums is the largest.
std::shared_ptr<const data::Dataset> points() {
  std::vector<float> x;
  std::vector<std::int64_t> y;
  for (std::uint32_t i = 0; i < 105; ++i) {
    float best = -1;
    std::int64_t label = 0;
    for (std::uint32_t k = 0; k < 3; ++k) {
      const float a = uniform_from_word(philox({i, k, 0, 0}, {1, 2})[0]);
      const float b = uniform_from_word(philox({i, k, 0, 0}, {1, 2})[1]);
      x.push_back(a);
      x.push_back(b);
      if (a + b > best) {
        best = a + b;
        label = k;
      }
    }
    y.push_back(label);
  }
  return std::make_shared<data::TensorDataset>(from_vector(x, Shape{105, 6}), from_vector(y));
}

/// One run with everything that has a state: dropout, moments, schedule, shuffling, meters.
struct Run {
  struct Seed {
    Seed() { manual_seed(5); }
  } seed;  // before the model draws its weights
  Mlp model;
  optim::AdamW opt;
  data::DataLoader loader;
  optim::OneCycleLR schedule;
  train::Trainer trainer;

  explicit Run(const std::string& out, std::int64_t checkpoint_every = 0, double decay = 0.01)
      : opt(model.parameters(), {.weight_decay = decay}),
        loader(points(), {.batch_size = 10, .shuffle = true, .seed = 11}),
        schedule(opt, {.max_lr = 0.1, .total_steps = 6 * 11}),
        trainer(model, opt,
                {.epochs = 6,
                 .out = out,
                 .checkpoint_every = checkpoint_every,
                 .quiet = true,
                 .config = {{"seed", "5"}}}) {
    trainer.set_schedule(schedule);
  }
  train::FitResult fit(std::int64_t stop_after = -1) {
    trainer.set_callbacks(
        {.on_step = [=](const train::StepInfo& info) { return info.step != stop_after; }});
    return trainer.fit(loader);
  }
  std::vector<std::vector<float>> weights() {
    std::vector<std::vector<float>> out;
    for (const Tensor& p : model.parameters()) out.push_back(p.detach().to_vector<float>());
    return out;
  }
};

std::string message(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

void flip_byte(const std::string& path, std::uintmax_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const char old = static_cast<char>(file.get());
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(old ^ 1));
}

}  // namespace

TEST_CASE("a trainer lowers the loss, and its result says what happened") {
  Run run("");
  const train::FitResult result = run.fit();
  CHECK_FALSE(result.stopped);
  CHECK(result.steps == 66);
  REQUIRE(result.epochs.size() == 6);
  CHECK(result.epochs.back().train.loss < result.epochs.front().train.loss);
  CHECK(result.epochs.back().train.examples == 105);
  data::DataLoader all(points(), {.batch_size = 16});
  const train::Metrics metrics = run.trainer.validate(all);
  CHECK(metrics.accuracy > 0.8);
  CHECK(metrics.examples == 105);
  // predict gives what validate counted.
  const Tensor outputs = run.trainer.predict(all);
  CHECK(outputs.shape() == Shape{105, 3});
  const std::vector<std::int64_t> classes = argmax(outputs, 1).to_vector<std::int64_t>();
  std::int64_t right = 0;
  std::size_t i = 0;
  for (auto& [x, y] : all)
    for (const std::int64_t label : y.to_vector<std::int64_t>()) right += classes[i++] == label;
  CHECK(static_cast<double>(right) / 105 == doctest::Approx(metrics.accuracy.value()));
}

TEST_CASE("a fit turns gradients on for itself, and knows no accuracy of floating targets") {
  Folder f("regression");
  manual_seed(5);
  const Tensor x = randn({64, 4}), y = x.sum({1}, true);
  nn::Linear model(4, 1);
  optim::SGD opt(model.parameters(), {.lr = 0.1});
  data::DataLoader loader(std::make_shared<data::TensorDataset>(x, y), {.batch_size = 16});
  train::Trainer trainer(model, opt, {.epochs = 3, .out = f.path.string(), .quiet = true});
  trainer.set_loss(
      [](const Tensor& output, const Tensor& target) { return mse_loss(output, target); });
  NoGrad outside;
  const train::FitResult result = trainer.fit(loader, &loader);
  CHECK_FALSE(grad_enabled());
  REQUIRE(result.epochs.size() == 3);
  CHECK(result.epochs[2].train.loss < result.epochs[0].train.loss);
  CHECK_FALSE(result.epochs[2].train.accuracy.has_value());
  CHECK_FALSE(result.epochs[2].validation.value().accuracy.has_value());
  // The history that a resume brings back has none either.
  trainer.resume(f.path.string());
  const train::FitResult resumed = trainer.fit(loader);
  REQUIRE(resumed.epochs.size() == 3);
  CHECK_FALSE(resumed.epochs[2].train.accuracy.has_value());
}

TEST_CASE("a run that was stopped at any step and resumed equals one that was not, bit for bit") {
  Run whole("");
  const train::FitResult expected = whole.fit();
  // In the middle of an epoch, its first and last step, and twice in one run.
  const std::vector<std::vector<std::int64_t>> stops = {{1}, {11}, {12}, {37}, {22, 40}, {65}};
  for (const auto& steps : stops) {
    CAPTURE(steps[0]);
    Folder folder("resume");
    Run first(folder / "run");
    CHECK(first.fit(steps[0]).stopped);
    for (std::size_t i = 1; i <= steps.size(); ++i) {
      manual_seed(999);  // what a fresh process would not have
      Run next(folder / "run");
      (void)rand({7});
      next.trainer.resume(folder / "run");
      const train::FitResult result = next.fit(i < steps.size() ? steps[i] : -1);
      if (i < steps.size()) {
        CHECK(result.stopped);
        continue;
      }
      CHECK(result.steps == 66);
      CHECK(next.weights() == whole.weights());
      REQUIRE(result.epochs.size() == expected.epochs.size());
      for (std::size_t e = 0; e < result.epochs.size(); ++e) {
        CHECK(result.epochs[e].train.loss == expected.epochs[e].train.loss);
        CHECK(result.epochs[e].train.accuracy == expected.epochs[e].train.accuracy);
      }
      CHECK(next.opt.lr() == whole.opt.lr());
    }
  }
}

TEST_CASE("checkpoints on the way don't change the run, and the newest three stay") {
  Folder folder("keep");
  Run whole("");
  whole.fit();
  Run saving(folder / "run", 4);
  const train::FitResult result = saving.fit();
  CHECK(saving.weights() == whole.weights());
  const std::vector<std::string> kept = train::list_checkpoints(folder / "run");
  REQUIRE(kept.size() == 3);
  CHECK(kept[0] == result.checkpoint);
  for (const auto& entry : fs::directory_iterator(folder / "run"))
    CHECK(entry.path().filename().string().rfind("checkpoint-", 0) == 0);  // nothing left behind
  // Any of them continues to the same end.
  Run resumed(folder / "again");
  resumed.trainer.resume(kept[2]);
  resumed.fit();
  CHECK(resumed.weights() == whole.weights());
}

TEST_CASE("SIGINT and SIGTERM finish the step, save and stop; the handlers of before come back") {
  for (const int number : {SIGINT, SIGTERM}) {
    Folder folder("signal");
    struct sigaction before = {}, after = {};
    sigaction(number, nullptr, &before);
    Run run(folder / "run");
    run.trainer.set_callbacks({.on_step = [&](const train::StepInfo& info) {
      if (info.step == 15) std::raise(number);
      return true;
    }});
    const train::FitResult result = run.trainer.fit(run.loader);
    CHECK(result.stopped);
    CHECK(result.signal == number);
    CHECK(result.steps == 15);
    const auto found = train::find_checkpoint(folder / "run");
    REQUIRE(found.has_value());
    CHECK(found->step == 15);
    CHECK(found->epoch == 2);
    sigaction(number, nullptr, &after);
    CHECK((before.sa_handler == after.sa_handler));
  }
}

TEST_CASE("the newest whole checkpoint is taken when a newer one is damaged") {
  Folder folder("damaged");
  Run run(folder / "run", 5);
  run.fit(20);
  const std::vector<std::string> kept = train::list_checkpoints(folder / "run");
  REQUIRE(kept.size() >= 2);
  const std::string weights = (fs::path(kept[0]) / "model.safetensors").string();
  flip_byte(weights, fs::file_size(weights) - 3);
  CHECK(train::find_checkpoint(folder / "run")->path == kept[1]);
  // Named itself, it is an error that says why.
  const std::string text = message([&] { (void)train::find_checkpoint(kept[0]); });
  CHECK(text.find("model.safetensors") != std::string::npos);
  CHECK(text.find("is corrupt: bytes and CRC-32 are") != std::string::npos);
  CHECK(text.find("resume from an older checkpoint") != std::string::npos);
  // A number changed in the state is found too.
  const std::string state = (fs::path(kept[1]) / "state.json").string();
  std::string text_of_state;
  std::getline(std::ifstream(state), text_of_state, '\0');
  const std::size_t at = text_of_state.find("\"step\": 15");
  REQUIRE(at != std::string::npos);
  flip_byte(state, at + 9);
  CHECK(message([&] {
          (void)train::find_checkpoint(kept[1]);
        }).find("state.json\": is corrupt: its CRC-32 is another one than it says") !=
        std::string::npos);
  std::ofstream(state) << std::string(100000, '[');
  CHECK(message([&] {
          (void)train::find_checkpoint(kept[1]);
        }).find("is corrupt: it is nested too deep") != std::string::npos);
  for (const std::string& path : kept) fs::resize_file(path + "/state.json", 40);
  CHECK(message([&] {
          (void)train::find_checkpoint(folder / "run");
        }).find("is whole. The newest:") != std::string::npos);
}

TEST_CASE("a state whose checksum is right may still not hold numbers that no run has") {
  const nlohmann::json good = train::to_json({});
  const auto error = [&](const char* pointer, const nlohmann::json& value) {
    nlohmann::json state = good;
    state[nlohmann::json::json_pointer(pointer)] = value;
    return message([&] { (void)train::run_state_from(state, "s"); });
  };
  CHECK(error("/step", 7) == "no error");
  CHECK(
      error("/epoch", INT64_MAX) ==
      "\"s\": is corrupt: epoch is 9223372036854775807; it must be a whole number, and one that a "
      "run can reach; resume from an older checkpoint");
  for (const nlohmann::json& value : {nlohmann::json(1e300), nlohmann::json(2.5),
                                      nlohmann::json(true), nlohmann::json(UINT64_MAX)})
    CHECK(error("/step", value).find("must be a whole number") != std::string::npos);
  CHECK(error("/position", -1).find("position is -1; it must be at least 0") != std::string::npos);
  CHECK(error("/schedule", INT64_MAX).find("that a run can reach") != std::string::npos);
  CHECK(error("/schedule", -1) == "no error");  // there is none
  CHECK(error("/generator/seed", 1e300).find("seed is 1e+300") != std::string::npos);
  CHECK(error("/loader/seed", UINT64_MAX) == "no error");
  CHECK(error("/config", {{"a", 1}}).find("\"s\": is corrupt: ") == 0);
  CHECK(error("/optimizer/numbers", {{"a", std::string(500, '\x1b')}}).size() < 150);

  const auto parse = [](const nlohmann::json& state) {
    return message([&] {
      const std::string text = state.dump();
      (void)train::parse_checkpoint_state(io::as_bytes(text), "s");
    });
  };
  CHECK(parse({{"version", 1.5}, {"crc32", 0}}).find("version is no whole number") !=
        std::string::npos);
  CHECK(parse({{"version", 1ull << 32 | 1}, {"crc32", 0}}).find("version is no whole number") !=
        std::string::npos);
  CHECK(parse({{"version", 1}, {"crc32", -1}}).find("crc32 is no whole number") !=
        std::string::npos);
  CHECK(parse({{"version", 2}}) == "\"s\": is of version 2; this Flash reads version 1");
  CHECK(parse(7).find("\"s\": is corrupt: ") == 0);
}

TEST_CASE("a checkpoint is found by its folder, a file in it or its run, and else there is none") {
  Folder folder("find");
  CHECK_FALSE(train::find_checkpoint(folder / "run").has_value());
  fs::create_directories(folder / "run");
  CHECK_FALSE(train::find_checkpoint(folder / "run").has_value());
  Run run(folder / "run");
  const std::string path = run.fit(3).checkpoint;
  for (const std::string& name : {folder / "run", path, path + "/state.json"})
    CHECK(train::find_checkpoint(name)->path == path);
  save(run.model.state_dict(), folder / "weights.safetensors");
  CHECK(message([&] {
          (void)train::find_checkpoint(folder / "weights.safetensors");
        }).find("is no checkpoint; give a folder checkpoint-") != std::string::npos);
  CHECK(message([&] {
          (void)train::find_checkpoint(folder / "missing.json");
        }).find("there is no file") != std::string::npos);
}

TEST_CASE("what a killed run has left half removed or half written goes with the next one") {
  Folder f("leftovers");
  const std::string old = f / "run/.checkpoint-000001.old", half = f / "run/.checkpoint-000009.tmp",
                    mine = f / "run/.mine.old";
  for (const std::string& name : {old, half, mine}) {
    fs::create_directories(name);
    std::ofstream(name + "/model.safetensors") << "half";
  }
  Run run(f / "run");
  run.fit();
  CHECK_FALSE(fs::exists(old));
  CHECK_FALSE(fs::exists(half));
  CHECK(fs::exists(mine));
}

TEST_CASE("a run keeps its folder to itself") {
  Folder f("own");
  std::vector<std::string> before;
  {
    Run first(f / "run");
    first.trainer.set_callbacks({.on_step = [&](const train::StepInfo& info) {
      if (info.step > 1) return true;
      Run second(f / "run");
      CHECK(message([&] { second.fit(); }) ==
            "'" + (f / "run") +
                "' is being trained into by another process or Trainer; wait for "
                "it, or choose another folder");
      return true;
    }});
    first.trainer.fit(first.loader);
    before = train::list_checkpoints(f / "run");
    REQUIRE(before.size() == 3);
  }
  Run other(f / "run");
  CHECK(message([&] { other.fit(); }) ==
        "'" + (f / "run") +
            "' holds the checkpoints of a run (checkpoint-000006); resume it, or "
            "give the new run a folder of its own");
  CHECK(train::list_checkpoints(f / "run") == before);
  Run elsewhere(f / "elsewhere");  // continues in a new folder
  elsewhere.trainer.resume(before.back());
  CHECK(elsewhere.fit().steps == 66);
  CHECK(train::list_checkpoints(f / "run") == before);
}

TEST_CASE("a checkpoint of another run is refused, and the model stays") {
  Folder folder("other");
  Run run(folder / "run");
  run.fit(3);
  Mlp model;
  optim::SGD sgd(model.parameters());
  optim::AdamW adam(model.parameters());
  optim::OneCycleLR schedule(adam, {.total_steps = 66});
  train::Trainer other(model, adam, {.config = {{"seed", "6"}}});
  CHECK(message([&] { other.resume(folder / "run"); }).find("is of another run: seed 5 (here 6)") !=
        std::string::npos);
  train::Trainer bare(model, adam, {.config = {{"seed", "5"}}});
  CHECK(message([&] { bare.resume(folder / "run"); }).find("was written with a schedule") !=
        std::string::npos);
  const std::vector<float> before = model.parameters()[0].detach().to_vector<float>();
  train::Trainer wrong(model, sgd, {.config = {{"seed", "5"}}});
  wrong.set_schedule(schedule);
  CHECK(message([&] { wrong.resume(folder / "run"); }) ==
        "SGD::load_state_dict: the state is of AdamW; make that optimizer to continue it");
  CHECK(model.parameters()[0].detach().to_vector<float>() == before);
  Run batches(folder / "run2");
  batches.trainer.resume(folder / "run");
  data::DataLoader loader(points(), {.batch_size = 20, .shuffle = true, .seed = 11});
  CHECK(message([&] { batches.trainer.fit(loader); })
            .find("is of 105 examples in batches of 10, shuffled by seed 11, the loader gives 105 "
                  "examples in batches of 20") != std::string::npos);
}

TEST_CASE("meters count without a flush, and read what was counted") {
  metrics::MeanMeter mean;
  metrics::AccuracyMeter accuracy;
  CHECK(std::isnan(mean.value()));
  eval_all();
  const std::uint64_t flushes = stats().flushes;
  mean.update(tensor({2.0}), 3);
  mean.update(tensor({4.0}), 1);
  const Tensor logits = tensor({1.0, 2.0, 3.0, 9.0, 8.0, 7.0, 0.0, 5.0, 1.0}).reshape({3, 3});
  accuracy.update(logits, from_vector(std::vector<std::int64_t>{2, 1, 1}));
  CHECK(stats().flushes == flushes);
  CHECK(mean.value() == doctest::Approx(2.5));
  CHECK(accuracy.correct() == 2);
  CHECK(accuracy.value() == doctest::Approx(2.0 / 3));
  CHECK_THROWS_AS(mean.update(zeros({2})), ShapeError);
  CHECK_THROWS_AS(accuracy.update(logits, zeros({2}, i64)), ShapeError);
}

TEST_CASE("meters and trainers work where the values and the model are") {
  metrics::MeanMeter mean;
  mean.update(tensor({2.0}));
  mean.update(tensor({4.0}).to("cpu"));
  CHECK(mean.value() == 3);
  mean.update(tensor({4.0}).to("null"));
  CHECK(mean.count() == 3);
  CHECK(mean.state().sum.device() == Device("null"));
  metrics::AccuracyMeter accuracy;
  accuracy.update(ones({3, 2}).to("null"), zeros({3}, i64).to("null"));
  CHECK(accuracy.state().sum.device() == Device("null"));

  // Where nothing is computed; batches are made on the default device.
  Run run("");
  run.model.to(Device("null"));
  const train::FitResult result = run.fit(2);
  CHECK(result.steps == 2);
  CHECK(run.opt.state_dict().tensors.at("0.exp_avg").device() == Device("null"));
  CHECK(run.trainer.validate(run.loader).examples == 105);
  CHECK(run.trainer.predict(run.loader).device() == Device("null"));
}

TEST_CASE("save and load keep names, dtypes, shapes and bits") {
  Folder folder("save");
  fs::create_directories(folder.path);
  nn::StateDict state;
  state["a.weight"] = randn({3, 4});
  state["b"] = tensor({1.5, -2.25}, f16);
  state["flags"] = tensor({1, 0, 1}, boolean);
  state["count"] = full({}, 12345678901, i64);
  save(state, folder / "x.safetensors");
  const nn::StateDict back = load(folder / "x.safetensors");
  REQUIRE(back.size() == state.size());
  for (const auto& [name, t] : state) {
    const HostArray a = to_host(t), b = to_host(back.at(name));
    CHECK(a.dtype == b.dtype);
    CHECK(a.shape == b.shape);
    CHECK(a.bytes == b.bytes);
  }
  const Device before = default_device();
  set_default_device("null");
  const Device there = load(folder / "x.safetensors").at("b").device();
  set_default_device(before);
  CHECK(there == "cpu");
  CHECK(load(folder / "x.safetensors", "null").at("b").device() == "null");
  CHECK_THROWS_AS(load(folder / "missing.safetensors"), IoError);
  CHECK_THROWS_AS(save(state, folder / "no/such/folder.safetensors"), IoError);
}
